"""A model for tests without footage: an untrained network, exported once for all of them."""

from pathlib import Path

import pytest

from pipeline.adapters.yolo import export, load_model
from pipeline.adapters.yolo.torch import is_installed
from tests.fakes.weights import tiny_weights


@pytest.fixture(scope="session", autouse=True)
def quiet_ultralytics(tmp_path_factory):
    """Its settings file goes into a temporary folder, not into the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("ultralytics")))
        yield


@pytest.fixture(autouse=True)
def models_home(tmp_path, monkeypatch) -> Path:
    """A models folder of this test alone."""
    monkeypatch.setenv("GANTRY_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Weights of a small untrained network."""
    if not is_installed():
        pytest.skip("the extra torch is not installed: make setup EXTRAS=dev,torch")
    return tiny_weights(tmp_path_factory.mktemp("tiny") / "tiny.pt")


@pytest.fixture(scope="session")
def tiny_folder(tiny, tmp_path_factory) -> Path:
    """The same network as an OpenVINO folder."""
    return export(tiny, tmp_path_factory.mktemp("exported") / "tiny")


@pytest.fixture(params=["openvino", "torch"])
def model(request, tiny, tiny_folder):
    """The same network behind each backend, in full precision."""
    if request.param == "openvino":
        made = load_model(tiny_folder, backend="openvino", precision="f32")
    else:
        made = load_model(tiny, backend="torch", device="cpu", precision="f32", max_batch=3)
    yield made
    made.close()
