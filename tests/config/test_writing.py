import itertools
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import installation_yaml, load, load_scene, scene_yaml
from pipeline.core.model import (
    Calibration,
    GroundPoint,
    KnownPose,
    Line,
    Scene,
    Size,
    SpeedTrap,
    StraightRoad,
    Zone,
)

POINT = st.tuples(st.floats(0, 1), st.floats(0, 1))
WORDS = st.none() | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=9)
CLASSES = st.none() | st.lists(st.sampled_from(["car", "bus", "no", "012"]), max_size=3)
NAMES = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}", fullmatch=True), unique=True, max_size=4)


CALIBRATIONS = [
    None,
    Calibration(
        points=[
            GroundPoint(at=(0.2, 0.8), metres=(-0.1, 1 / 3)), GroundPoint(at=(0.8, 0.8), metres=(8.0, 0.0)),
            GroundPoint(at=(0.35, 0.4), metres=(0.0, 40.0)), GroundPoint(at=(0.65, 0.4), metres=(8.0, 40.0)),
        ],
        ground_sd_m=0.1, picture_sd_px=1 / 3, valid=[(0.2, 0.8), (0.8, 0.8), (0.65, 0.4)],
    ),
    Calibration(pose=KnownPose(height_m=8.1, tilt_deg=31.7, focal_px=900.5, k1=-0.01, tilt_sd_deg=0.7)),
]  # fmt: skip
ROAD = StraightRoad(
    left=[(0.4, 0.9), (0.48, 0.4)], right=[(0.6, 0.9), (0.52, 0.4)], width_m=3.5, marks=[(0.4, 0.9), (0.46, 0.55)],
    along_m=[0.0, 12.1], focal_px=1000.0,
)  # fmt: skip


@st.composite
def scenes(draw):
    lines = [
        Line(name=name, start=start, end=end, to_right=draw(WORDS), to_left=draw(WORDS), classes=draw(CLASSES))
        for name in draw(NAMES)
        for start, end in [draw(st.tuples(POINT, POINT).filter(lambda ends: ends[0] != ends[1]))]
    ]
    x, y = draw(st.floats(0, 0.4)), draw(st.floats(0, 0.4))
    zones = [
        Zone(name=f"{name}.zone", points=[(x, y), (x + 0.5, y), (x + 0.5, y + 0.5)], classes=draw(CLASSES))
        for name in draw(NAMES)
        if f"{name}.zone" not in {line.name for line in lines}
    ]
    names = [line.name for line in lines]
    traps = [
        SpeedTrap(name="t", start=a, end=b, metres=draw(st.floats(0.1, 999))) for a, b in itertools.pairwise(names[:2])
    ]
    calibration = draw(st.sampled_from(CALIBRATIONS))
    size = (
        st.builds(Size, st.integers(1, 99999), st.integers(1, 99999))
        if calibration is None
        else st.just(Size(1280, 720))
    )
    return Scene(
        drawn_on=draw(size),
        lines=lines,
        zones=zones,
        calibration=calibration,
        speed_traps=traps,
    )


@given(scenes())
def test_a_scene_that_was_written_is_read_back_to_the_last_bit(scene):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.yaml"
        file.write_text(scene_yaml(scene))

        assert load_scene(file) == scene


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True), scenes(), max_size=3), WORDS)
def test_an_installation_that_was_written_is_read_back(scenes, word):
    sections = {
        "kafka": {"servers": ["one:9092", "two:9093"], "prefix": "t."},
        "metrics": {"port": 9100},
        "serve": {"database": word or "none", "truth": {}},
        "dashboard": {},
        "cameras": {name: {"source": f"rtsp://{name}/1", "fps": 7.5} for name in scenes},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gantry.yaml"
        file.write_text(installation_yaml(sections, scenes))
        installation = load(file, {})

    assert installation.settings.kafka.servers == ["one:9092", "two:9093"]
    assert installation.settings.serve.database == (word or "none")
    assert installation.scenes == scenes
    assert {camera.id: camera.fps for camera in installation.cameras} == dict.fromkeys(scenes, 7.5)


def test_a_scene_reads_as_a_person_would_write_it():
    scene = Scene(
        drawn_on=Size(1280, 720),
        revision=3,
        lines=[Line(name="gate", start=(0.1, 0.5), end=(0.9, 0.5), to_right="south: city", classes=["car", "bus"])],
        zones=[Zone(name="box", points=[(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)])],
    )

    assert scene_yaml(scene) == (
        "drawn_on: 1280x720\n"
        "lines:\n"
        '  gate: {from: [0.1, 0.5], to: [0.9, 0.5], to_right: "south: city", classes: ["car", "bus"]}\n'
        "zones:\n"
        "  box: {points: [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]}\n"
    )
    assert yaml.safe_load(scene_yaml(scene))["lines"]["gate"]["to"] == [0.9, 0.5]


@pytest.mark.parametrize("empty", [Scene(drawn_on=Size(64, 48))])
def test_an_empty_scene_is_its_size(empty):
    assert scene_yaml(empty) == "drawn_on: 64x48\n"


def test_a_straight_road_that_was_written_is_read_back(tmp_path):
    scene = Scene(drawn_on=Size(1280, 720), calibration=Calibration(road=ROAD))
    (tmp_path / "scene.yaml").write_text(scene_yaml(scene))

    assert load_scene(tmp_path / "scene.yaml") == scene
