"""A real model for the tests of the whole."""

import os
from pathlib import Path

import pytest

from pipeline.adapters.yolo import export
from pipeline.adapters.yolo.torch import is_installed


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """YOLOv8n as an OpenVINO folder: the one GANTRY_TEST_MODEL names, or exported from the footage's weights."""
    if named := os.environ.get("GANTRY_TEST_MODEL"):
        return Path(named)
    weights = Path(os.environ.get("GANTRY_TEST_DATA", "missing")) / "weights" / "yolov8n.pt"
    if not weights.is_file():
        pytest.skip(
            "YOLOv8n is needed: set GANTRY_TEST_DATA to the folder of footage and weights, or GANTRY_TEST_MODEL"
        )
    if not is_installed():
        pytest.skip("exporting the model needs the extra torch: make setup EXTRAS=dev,torch")
    return export(weights, tmp_path_factory.mktemp("model") / "yolov8n")
