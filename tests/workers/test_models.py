"""`gantry models`, as a user types it."""

import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.adapters.yolo import folder
from pipeline.adapters.yolo.torch import is_installed
from pipeline.errors import Fatal, GantryError
from tests.fakes.weights import tiny_weights
from workers.models import models


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GANTRY_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "settings"))
    return tmp_path / "models"


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    if not is_installed():
        pytest.skip("the extra torch is not installed: make setup EXTRAS=dev,torch")
    return tiny_weights(tmp_path_factory.mktemp("release") / "yolov8m.pt")


@pytest.fixture
def release(weights, tmp_path):
    """A server that holds two releases, as the public one does: (its address, its folder)."""
    shelf = tmp_path / "release"
    shelf.mkdir()
    shutil.copy(weights, shelf / "yolov8m.pt")
    (shelf / "yolov8n.pt").write_bytes(b"not the yolov8n we know")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(shelf))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def gantry_models(*words, **environment):
    result = CliRunner().invoke(models, [str(word) for word in words], env=environment)
    if isinstance(result.exception, GantryError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.torch
def test_a_name_is_downloaded_measured_exported_and_listed(release, home, weights):
    got = gantry_models("get", "yolov8m", GANTRY_MODELS_URL=release)

    digest = folder.sha256(weights)
    assert got.exit_code == 0
    assert f"{weights.stat().st_size} bytes, SHA-256 {digest}" in " ".join(got.output.split())
    assert {path.name for path in home.iterdir()} == {"yolov8m.pt", "yolov8m"}
    assert folder.read(home / "yolov8m").traits.digest == digest

    listed = gantry_models("list").output
    assert "yolov8m.pt" in listed
    assert digest[:12] in listed
    shown = gantry_models("show", "yolov8m").output
    assert f"yolov8m@{digest[:12]}" in shown
    assert "classes   person, bicycle, car" in shown
    assert digest in gantry_models("show", home / "yolov8m.pt").output


@pytest.mark.torch
def test_weights_with_the_digest_asked_for_are_not_downloaded_again(release, home, weights, tmp_path):
    home.mkdir()
    shutil.copy(weights, home / "yolov8m.pt")

    got = gantry_models(
        "get", f"{release}/gone/yolov8m.pt", "--sha256", folder.sha256(weights), "--out", tmp_path / "here"
    )

    assert "is there already" in got.output
    assert folder.read(tmp_path / "here").traits.name == "yolov8m"


@pytest.mark.torch
def test_another_file_under_a_name_we_know_is_refused_and_not_kept(release, home):
    with pytest.raises(Fatal, match="is not the expected file"):
        gantry_models("get", "yolov8n", "--from", release)

    assert list(home.iterdir()) == []


@pytest.mark.torch
def test_what_the_server_does_not_have_is_said(release, home):
    with pytest.raises(Fatal, match=r"yolo11x\.pt answers 404"):
        gantry_models("get", "yolo11x", "--from", release)

    assert list(home.iterdir()) == []


@pytest.mark.torch
def test_a_download_that_is_no_model_is_refused_before_it_is_exported(release, home):
    with pytest.raises(Fatal, match="is no weights file"):
        gantry_models("get", f"{release}/yolov8n.pt")

    assert not (home / "yolov8n").exists()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("asked", "said"),
    [("yolov7", "no model is called 'yolov7': known are yolov8n"), ("http://host/model.onnx", r"of a \.pt file")],
)
def test_what_is_no_name_and_no_address_of_weights_is_refused(weights, asked, said):
    with pytest.raises(Fatal, match=said):
        gantry_models("get", asked)


@pytest.mark.torch
def test_weights_in_the_models_folder_are_exported_by_name(home, weights):
    home.mkdir()
    shutil.copy(weights, home / "mine.pt")

    got = gantry_models("export", "mine", "--precision", "fp16")

    assert f"{home / 'mine-fp16'} is ready" in got.output.replace("\n", "")
    assert folder.read_card(home / "mine-fp16").precision == "fp16"


def test_exporting_what_is_not_there_says_how_to_get_it():
    with pytest.raises(Fatal, match="`gantry models get NAME` downloads"):
        gantry_models("export", "nothing.pt")


def test_exporting_a_folder_is_refused(tmp_path):
    with pytest.raises(Fatal, match="is a folder"):
        gantry_models("export", tmp_path)


@pytest.mark.parametrize("words", [("get", "yolov8n", "--from", "http://127.0.0.1:1"), ("export", "yolov8m.pt")])
def test_without_the_extra_one_line_says_what_to_install(words, home, request, monkeypatch):
    if words[0] == "export":
        home.mkdir()
        shutil.copy(request.getfixturevalue("weights"), home / "yolov8m.pt")
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(Fatal, match=r"^[^\n]*make setup EXTRAS=dev,torch$"):
        gantry_models(*words)


def test_an_empty_models_folder_says_how_to_fill_it(home):
    assert f"no models in {home}" in gantry_models("list").output.replace("\n", "")


def test_a_damaged_model_does_not_hide_the_others(home):
    (home / "broken").mkdir(parents=True)
    (home / "broken" / folder.CARD).write_text("{")
    (home / "other.pt").write_bytes(b"1" * 100_000)

    listed = gantry_models("list").output

    assert "unusable" in listed
    assert "other.pt" in listed


def test_models_that_come_with_gantry_are_listed_beside_ones_own(tmp_path, monkeypatch, weights, home):
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(folder, "SHIPPED", shipped)
    monkeypatch.setattr(folder, "models_folder", lambda: home)
    gantry_models("export", weights, "--out", shipped / "road")
    said = gantry_models("list").output

    assert "no models in" in said
    assert said.index("come with gantry:") < said.index("road")
    assert folder.locate(Path("road")) == shipped / "road"


def test_a_model_of_ones_own_goes_before_one_of_its_name_that_comes_with_gantry(tmp_path, monkeypatch, home):
    monkeypatch.setattr(folder, "SHIPPED", tmp_path / "shipped")
    for place in (tmp_path / "shipped" / "road", home / "road"):
        place.mkdir(parents=True)

    assert folder.locate(Path("road")) == home / "road"
