"""`gantry calibrate`: a picture with metres on it, and what it is worth."""

import re

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.config import scene_yaml
from pipeline.core.model import Calibration, GroundPoint, Scene
from pipeline.errors import Fatal
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import SCENARIOS
from workers.calibrate import POOR, calibrate

PLACE = SCENARIOS["motorway"]
METRES = [(26, -12.8), (26, 12.8), (80, -12.8), (80, 12.8), (44, 0.0)]


@pytest.fixture
def picture(tmp_path):
    grey = np.full((720, 1280, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "road.png"), grey)
    return tmp_path / "road.png"


def measured(tmp_path, *, off_px=0.0, **more):
    """A scene whose points are where the simulated camera sees them; the last one is off."""
    shares, _ = PLACE.camera.project(np.array([(*m, 0.0) for m in METRES]))
    shares[-1, 1] += off_px / 720
    points = [
        GroundPoint(at=tuple(s), metres=(float(m[0]), float(m[1])))
        for s, m in zip(shares.tolist(), METRES, strict=True)
    ]
    scene = Scene(drawn_on=PLACE.size, lines=scene_of(PLACE).lines, calibration=Calibration(points=points, **more))
    (tmp_path / "scene.yaml").write_text(scene_yaml(scene))
    return tmp_path / "scene.yaml"


def run(*args):
    return CliRunner().invoke(calibrate, [str(a) for a in args], catch_exceptions=False, env={"COLUMNS": "160"})


def test_it_draws_the_grid_and_tells_how_well_speeds_are_known(picture, tmp_path):
    said = run(picture, "--scene", measured(tmp_path), "--out", tmp_path / "grid.png")
    drawn = cv2.imread(str(tmp_path / "grid.png"))

    assert said.exit_code == 0
    assert len(re.findall(r"(near|middle|far) .* is told", said.output)) == 3
    assert drawn.shape == (720, 1280, 3)
    # a line of the grid every ten metres, where the true camera has them
    for x in (30, 40, 50, 60, 70):
        at, _ = PLACE.camera.project(np.array([(x, 6.0, 0.0)]))
        column, row = (at[0] * (1280, 720)).round().astype(int)
        assert (drawn[row - 2 : row + 3, column] != 90).any(), f"no line at {x} m"
    assert (drawn[:100] < 60).all(), "what is outside of the polygon is darker"


def test_a_point_that_was_mismeasured_is_named(picture, tmp_path):
    said = run(picture, "--scene", measured(tmp_path, off_px=80))

    assert "far more than picture_sd_px" in said.output


def test_a_calibration_that_can_be_used_nowhere_has_its_own_exit_code(picture, tmp_path):
    said = run(picture, "--scene", measured(tmp_path, picture_sd_px=200.0))

    assert said.exit_code == POOR
    assert "too unsure: not told" in said.output


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p, s: (p.with_name("none.png"), s), "no such file"),
        (lambda p, s: ("rtsp://user:secret@host/1", s), "reads a picture or a video"),
        (lambda p, s: (s, s), "scene.yaml"),
    ],
    ids=["missing", "stream", "no picture"],
)
def test_what_cannot_be_looked_at_is_refused_clearly(change, why, picture, tmp_path):
    shown, scene = change(picture, measured(tmp_path))

    with pytest.raises(Fatal, match=why) as refused:
        run(shown, "--scene", scene)
    assert "secret" not in str(refused.value)


def test_a_scene_without_calibration_and_one_of_another_shape_are_refused(picture, tmp_path):
    (tmp_path / "bare.yaml").write_text("drawn_on: 1280x720\n")
    with pytest.raises(Fatal, match="has no `calibration:`"):
        run(picture, "--scene", tmp_path / "bare.yaml")

    cv2.imwrite(str(tmp_path / "square.png"), np.zeros((500, 500, 3), np.uint8))
    with pytest.raises(Fatal, match="another shape"):
        run(tmp_path / "square.png", "--scene", measured(tmp_path))
