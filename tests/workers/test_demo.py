"""`gantry demo`, as a user types it: what it makes ready, and what it refuses. That it works is a test of the whole."""

import socket
import tempfile

import pytest
from click.testing import CliRunner

from pipeline.config import load
from pipeline.core.model import Way
from pipeline.errors import Fatal, GantryError
from pipeline.ports import TrueCount
from workers import classes
from workers import demo as module
from workers.demo import demo


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    """A folder that is taken for a model where it is only looked for."""
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(classes, "known_to", lambda _model: None)
    return str(tmp_path / "model")


def gantry_demo(*words):
    result = CliRunner().invoke(demo, [str(word) for word in words])
    if isinstance(result.exception, GantryError):
        raise result.exception
    return result


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_a_port_that_is_taken_is_told_and_another_one_is_used(taken, monkeypatch):
    said = []
    monkeypatch.setattr(module, "API", taken)
    ports = module._ports(said.append)

    assert ports.api > taken
    assert f"port {taken} is taken; the API takes {ports.api}" in said


def test_no_two_processes_get_one_port():
    ports = module._ports(lambda _text: None)
    all_of_them = [ports.api, ports.page, *range(ports.metrics, ports.metrics + 6)]

    assert len(set(all_of_them)) == len(all_of_them)


def test_the_file_registers_two_painted_places_with_their_truth(tmp_path):
    ports = module.Ports(api=18080, page=18081, metrics=19101)
    file = module._installation(tmp_path, module._places(10), ports, ["127.0.0.1:9"], "m")
    installation = load(file, {})

    assert {camera.id: camera.source for camera in installation.cameras} == {
        "junction": "sim://junction?seed=1&fps=10",
        "motorway": "sim://motorway?seed=1&fps=10",
    }
    assert set(installation.scenes) == set(installation.settings.serve.truth) == {"junction", "motorway"}
    assert installation.settings.serve.port == 18080
    assert installation.settings.dashboard.port == 18081


def test_a_film_of_ones_own_has_a_scene_and_no_truth(tmp_path):
    (tmp_path / "road.mp4").touch()
    scene = tmp_path / "scene.yaml"
    scene.write_text("drawn_on: 640x360\nlines: {main: {from: [0, 0.5], to: [1, 0.5]}}\n")
    cameras = module._own(str(tmp_path / "road.mp4"), scene)
    ports = module.Ports(api=18080, page=18081, metrics=19101)
    installation = load(module._installation(tmp_path, cameras, ports, ["127.0.0.1:9"], "m"), {})

    assert installation.settings.serve.truth == {}
    assert [line.name for line in installation.scenes["camera"].lines] == ["main"]


def test_how_far_the_counts_are_off_is_told_for_each_line_and_camera(capsys):
    told = {"line": "main", "direction": Way.TO_LEFT, "until_ms": 74_000}
    module._tell(
        [
            TrueCount(camera="a", true=50, counted=49, **told),
            TrueCount(camera="a", true=0, counted=1, **(told | {"direction": Way.TO_RIGHT})),
            TrueCount(camera="b", true=10, counted=10, **(told | {"until_ms": 95_000})),
        ],
        ended_ms=100_000,
    )
    shown = capsys.readouterr().out

    assert "-1 (-2.0 %)" in shown
    assert "+1 " in shown
    assert "50 |" not in shown
    assert shown.count("all") == 2
    assert "a: both speak of what was filmed up to 26 s before the end" in shown
    assert "b: both" not in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--source", "missing.mp4"), "--source missing.mp4: there is no such file: check the path"),
        (("--scene", "scene.yaml"), "--scene scene.yaml: says what to count of --source, which is missing"),
        (("--source", "rtsp://host/1"), "--source rtsp://host/1: needs --scene"),
        (("--source", "sim://junctoin"), "did you mean junction"),
        (("--model", "missing"), "there is no model at missing"),
    ],
)
def test_bad_input_is_told_in_one_line(words, told, model):
    words = words if "--model" in words else (*words, "--model", model)
    with pytest.raises(Fatal, match=told):
        gantry_demo(*words)


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(monkeypatch, tmp_path, model):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(
        Fatal, match=r"a folder for the demo cannot be made in .*: name one that can be written with TMPDIR"
    ):
        gantry_demo("--model", model)


def test_a_model_without_the_classes_of_the_scene_is_refused_before_anything_runs(monkeypatch, model):
    monkeypatch.setattr(classes, "known_to", lambda _model: {"boat"})
    with pytest.raises(Fatal, match=r"does not know what is to be counted: junction: north asks for bicycle, bus, car"):
        gantry_demo("--model", model)
