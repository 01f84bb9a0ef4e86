"""`gantry count`, as a person types it: what it leaves behind, what it says of bad input, how it is interrupted."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
import simplejpeg

from pipeline.adapters.video.file import Probe
from pipeline.adapters.yolo import export
from pipeline.adapters.yolo.torch import is_installed
from pipeline.core.model import Detections, Scene, Size
from pipeline.errors import Fatal
from pipeline.simulate.journeys import Recording, recorded, write
from pipeline.simulate.scenarios import SCENARIOS
from tests.fakes.weights import tiny_weights
from workers import count, gantry
from workers.film import check_probe

ROOT = Path(__file__).resolve().parents[2]
SIZE = (320, 180)
SECRET = "s3cret-Passw0rd"
SCENE = """\
drawn_on: 320x180
lines:
  gate: {from: [0.1, 0.5], to: [0.9, 0.5], to_right: south}
"""
FILES = {"events.jsonl", "events.csv", "flow.csv", "driven.png"}


class Seer:
    """`ports.Model` that sees every white rectangle as a car."""

    name = "seer@000000000000"
    labels = frozenset({"car"})

    def __init__(self):
        self.seen = 0

    async def detect(self, jpegs):
        self.seen += len(jpegs)
        return [self._look(simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")) for jpeg in jpegs]

    def _look(self, picture):
        height, width = picture.shape[:2]
        _, _, stats, _ = cv2.connectedComponentsWithStats((picture[..., 0] > 128).astype(np.uint8))
        boxes = [
            (x / width, y / height, (x + w) / width, (y + h) / height) for x, y, w, h, area in stats[1:] if area > 50
        ]
        x1, y1, x2, y2 = (list(c) for c in zip(*boxes, strict=True)) if boxes else ([], [], [], [])
        return Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=[0.9] * len(boxes), label=["car"] * len(boxes))

    def close(self):
        pass


def film(path, *, frames=75, first=0, size=SIZE, comment=""):
    """A rectangle drives down the picture, over its middle (with its lower edge) after 1.5 s; 25 frames a second."""
    with av.open(str(path), "w") as out:
        out.metadata["comment"] = comment
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
        for n in range(first, first + frames):
            image = np.zeros((size[1], size[0], 3), np.uint8)
            image[max(0, n * 2 - 9) : n * 2 + 15, 100:140] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = n - first
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.yaml"
    path.write_text(SCENE)
    return path


@pytest.fixture
def said(capfd, monkeypatch):
    """Runs the command through its last door: (exit code, stdout, the lines of stderr)."""
    monkeypatch.delenv("GANTRY_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    root, ours = logging.getLogger(), logging.getLogger("gantry")
    kept = (list(root.handlers), root.level, ours.level, threading.excepthook)

    def run(*words):
        capfd.readouterr()
        arguments = ["count", *map(str, words)]
        code = gantry._guarded(lambda: gantry.cli.main(arguments, prog_name="gantry", standalone_mode=False))
        out, err = capfd.readouterr()
        return code, out, err.splitlines()

    yield run
    logging.captureWarnings(capture=False)
    root.handlers[:], threading.excepthook = kept[0], kept[3]
    root.setLevel(kept[1])
    ours.setLevel(kept[2])


@pytest.fixture
def seer(monkeypatch):
    """The rectangles' model in the place of a network."""
    model = Seer()
    monkeypatch.setattr(count, "load_model", lambda *_, **__: model)
    return model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A real network, untrained, as an OpenVINO folder."""
    if not is_installed():
        pytest.skip("the extra torch is not installed: make setup EXTRAS=dev,torch")
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(folder / "settings"))
        return export(tiny_weights(folder / "tiny.pt"), folder / "tiny")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- what it leaves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "shows"),
    [
        ("sim://motorway?seed=3&fps=10&light=day&weather=fog", "sim://motorway?seed=3&fps=10&light=day&weather=fog"),
        ("sim://[", None),
        ("a holiday by the sea", None),
        ("", None),
    ],
)
def test_events_of_a_painted_film_say_which_traffic_it_shows(tmp_path, scene, said, seer, comment, shows):
    painted = film(tmp_path / "road.avi", comment=comment)
    code, _, err = said(painted, "--scene", scene, "--model", "m", "--out", tmp_path / "out")

    assert (code, err) == (0, [])
    (event,) = [json.loads(line) for line in (tmp_path / "out/events.jsonl").read_text().splitlines()]
    assert event.get("shows") == shows


def test_events_and_flow_are_written_and_told(tmp_path, scene, said, seer):
    code, out, err = said(film(tmp_path / "road.avi"), "--scene", scene, "--model", "m", "--out", tmp_path / "out")

    assert (code, err) == (0, [])
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    (event,) = [json.loads(line) for line in (tmp_path / "out/events.jsonl").read_text().splitlines()]
    assert {k: event[k] for k in ("type", "camera", "line", "direction", "direction_name", "class")} == {
        "type": "crossing", "camera": "road", "line": "gate", "direction": "to_right", "direction_name": "south", "class": "car",
    }  # fmt: skip
    assert event["t_seconds"] == pytest.approx(1.5, abs=0.1)
    assert event["captured_ms"] == pytest.approx(event["t_seconds"] * 1000, abs=1)
    (row,) = rows(tmp_path / "out/events.csv")
    assert {k: row[k] for k in ("type", "class", "captured_ms", "t_seconds", "id")} == {
        k: str(event[k]) for k in ("type", "class", "captured_ms", "t_seconds", "id")
    }
    assert (row["file"], row["local_time"]) == (str(tmp_path / "road.avi"), "")
    (flow,) = rows(tmp_path / "out/flow.csv")
    assert (flow["line"], flow["direction"], flow["class"], flow["count"], flow["window_s"]) == (
        *("gate", "to_right", "car", "1", "30.0"),
    )
    assert float(flow["coverage"]) == pytest.approx(3 / 30, abs=0.01)
    assert "75/75 frames" in out
    assert "south (to_right)" in out


def test_start_and_time_zone_are_in_what_is_written(tmp_path, scene, said, seer):
    code, _, _ = said(
        film(tmp_path / "road.avi"), "--scene", scene, "--model", "m", "--out", tmp_path / "out", "--camera", "a2-km-81",
        "--start", "2026-05-01T08:00:00", "--time-zone", "Europe/Amsterdam", "--interval", "1s",
    )  # fmt: skip

    assert code == 0
    (event,) = rows(tmp_path / "out/events.csv")
    assert event["camera"] == "a2-km-81"
    assert event["local_time"].startswith("2026-05-01T08:00:01.")
    assert event["local_time"].endswith("+02:00")
    assert int(event["captured_ms"]) == 1_777_615_200_000 + round(float(event["t_seconds"]) * 1000)
    flow = rows(tmp_path / "out/flow.csv")
    assert [(r["local_time"], r["count"]) for r in flow] == [
        (f"2026-05-01T08:00:0{n}.000+02:00", str(int(n == 1))) for n in range(3)
    ]


def test_a_start_with_its_own_offset_is_that_moment(tmp_path, scene, said, seer):
    said(
        film(tmp_path / "road.avi"), "--scene", scene, "--model", "m", "--out", tmp_path / "out",
        "--start", "2026-05-01T06:00:00Z", "--time-zone", "Europe/Amsterdam",
    )  # fmt: skip

    (event,) = rows(tmp_path / "out/events.csv")
    assert event["local_time"].startswith("2026-05-01T08:00:01.")


def test_two_files_are_one_survey(tmp_path, scene, said, seer):
    """The rectangle enters in the first file and crosses in the second."""
    one, two = film(tmp_path / "one.avi", frames=25), film(tmp_path / "two.avi", frames=50, first=25)
    code, out, err = said(one, two, "--scene", scene, "--model", "m", "--out", tmp_path / "out")

    assert (code, err) == (0, [])
    (event,) = rows(tmp_path / "out/events.csv")
    assert (event["file"], event["camera"]) == (str(two), "one")
    assert float(event["t_seconds"]) == pytest.approx(0.5, abs=0.1)
    assert int(event["captured_ms"]) == pytest.approx(1500, abs=100)
    assert "25/25 frames" in out
    assert "50/50 frames" in out


def test_fps_thins(tmp_path, scene, said, seer):
    code, out, _ = said(
        film(tmp_path / "road.avi"), "--scene", scene, "--model", "m", "--out", tmp_path / "out", "--fps", "5"
    )

    assert code == 0
    assert seer.seen == 15
    assert "15/15 frames" in out
    assert len(rows(tmp_path / "out/events.csv")) == 1


def test_quiet_says_nothing_and_without_out_nothing_is_written(tmp_path, scene, said, seer):
    before = set(tmp_path.iterdir())

    assert said(film(tmp_path / "road.avi"), "--scene", scene, "--model", "m", "--quiet") == (0, "", [])
    assert set(tmp_path.iterdir()) - before == {tmp_path / "road.avi"}


def test_a_survey_replaces_the_files_of_the_one_before(tmp_path, scene, said, seer):
    words = ("--scene", scene, "--model", "m", "--out", tmp_path / "out")
    said(film(tmp_path / "road.avi"), *words)
    said(film(tmp_path / "empty.avi", first=1000), *words)

    assert rows(tmp_path / "out/events.csv") == []
    assert (tmp_path / "out/events.jsonl").read_text() == ""
    assert [r["count"] for r in rows(tmp_path / "out/flow.csv")] == ["0"]


def test_a_simulated_camera_needs_neither_scene_nor_model(tmp_path, said, monkeypatch):
    """Its place brings lines of its own, and it is counted as the core counts its sightings."""
    monkeypatch.setattr(count, "load_model", lambda *_, **__: pytest.fail("no model is asked for"))
    source = "sim+detections://junction?seed=1&fps=5"
    code, out, err = said(source, "--out", tmp_path / "out")
    told = rows(tmp_path / "out/events.csv")
    found = [row for row in told if row["type"] == "crossing"]

    assert (code, err) == (0, [])
    assert "1500/1500 frames" in out
    assert {(row["camera"], row["file"]) for row in told} == {("junction", source)}
    assert {row["type"] for row in told} == {"crossing", "entered", "left", "movement", "unfinished"}
    assert ["Movements" in out, "Zones" in out] == [True, True]
    made = [row for row in told if row["type"] == "movement"]
    assert sum(int(row["count"]) for row in rows(tmp_path / "out/movements.csv")) == len(made) > 10
    assert {row["zone"] for row in rows(tmp_path / "out/zones.csv")} == set(SCENARIOS["junction"].zones)
    assert {row["line"] for row in found} <= set(SCENARIOS["junction"].lines)
    assert Counter(row["id"] for row in found).most_common(1)[0][1] == 1
    assert len(found) > 50
    flow = rows(tmp_path / "out/flow.csv")
    windows = sorted({int(row["start_ms"]) for row in flow})
    assert {float(row["coverage"]) for row in flow if int(row["start_ms"]) in windows[1:-1]} == {1.0}


def test_the_output_says_which_traffic_a_recording_of_ones_own_holds(tmp_path, said):
    """Or its figures could be held against the truth of other traffic."""
    whole = recorded("motorway", 1)
    mine = Recording("motorway", 41, whole.step_ms, 60_000, whole.journeys)
    (tmp_path / "m.traj").write_bytes(write(mine))
    source = f"sim+detections://motorway?fps=5&recording={tmp_path}/m.traj"
    code, _, err = said(source, "--out", tmp_path / "out")
    found = rows(tmp_path / "out/events.csv")

    assert (code, err) == (0, [])
    assert {row["file"] for row in found} == {f"{source}&traffic=41"}


@pytest.mark.parametrize("source", ["simulate://junction", "simulated://junction"])
def test_a_simulated_camera_that_is_misspelt_gets_the_right_scheme_before_anything_else(said, source):
    code, _, err = said(source)

    assert code != 0
    assert ["did you mean sim://" in line for line in err] == [True]


def test_a_simulated_camera_may_be_counted_by_a_scene_of_ones_own(tmp_path, said):
    size = SCENARIOS["junction"].size
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"drawn_on: {size}\nlines: {{mine: {{from: [0, 0.6], to: [1, 0.6]}}}}\n")
    code, out, _ = said("sim+detections://junction?seed=1&fps=2&noise=none", "--scene", mine)

    assert code == 0
    assert "mine" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["road.avi", "--model", "m"], "road.avi: a video needs --scene: a YAML file with its lines and zones"),
        (["road.avi", "--scene", "scene.yaml"], "road.avi: pictures need --model: an OpenVINO folder, weights,"),
        (
            ["sim+detections://junction", "sim+detections://street"],
            "junction and street are not one place: count them one by one, or give a --scene for all",
        ),
    ],
)
def test_what_a_survey_needs_beside_its_sources_is_told(bad, scene, said, monkeypatch, words, told):
    monkeypatch.chdir(bad)
    code, _, err = said(*words)

    assert code == 1
    assert [line.startswith(told) for line in err] == [True]


# --- bad input: one clear line, an exit code, nothing left ---------------------------------------


@pytest.fixture
def bad(tmp_path):
    """Files that are not what they seem."""
    (tmp_path / "text.mp4").write_text("I am no video\n" * 100)
    (tmp_path / "text.pt").write_text("I am no weights\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    film(tmp_path / "road.avi", frames=3)
    film(tmp_path / "square.avi", frames=3, size=(180, 180))
    (tmp_path / "wrong.yaml").write_text(
        "drawn_on: 320\nlines:\n  gate: {from: [0.1, 1.5], to: [0.9, 0.5]}\n  gate 2: {from: [0, 0]}\nlanes: 3\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.mp4"], "missing.mp4: no such file: check the path"),
        (["road.avi", "missing.mp4"], "missing.mp4: no such file: check the path"),
        (["folder"], "folder: it is a directory, not a video: name the file in it"),
        (["text.mp4"], "text.mp4: it is not a video, or its beginning is damaged"),
        (["empty.mp4"], "empty.mp4: it is not a video, or its beginning is damaged"),
        (["square.avi"], "square.avi: its pictures are 180x180 but the scene was drawn on 320x180, another shape"),
        (["road.avi", "square.avi"], "square.avi: its pictures are 180x180 but the scene was drawn on 320x180"),
        (["road.avi", "--scene", "missing.yaml"], "missing.yaml: there is no such file"),
        (["road.avi", "--scene", "folder"], "folder: "),
        (["road.avi", "--model", "missing"], "there is no model at missing: give a folder made by"),
        (["road.avi", "--model", "text.pt"], "text.pt is no weights file (it does not begin like one); gantry needs"),
        (["road.avi", "--model", "folder"], "folder is no OpenVINO model folder"),
        (["road.avi", "--start", "at noon"], "--start 'at noon' is no time; write one like 2026-05-01T08:00:00"),
        (["road.avi", "--start", "0001-01-01T00:00:00"], "--start '0001-01-01T00:00:00'"),
        (["road.avi", "--start", "9999-12-31T23:59:59"], "--start '9999-12-31T23:59:59'"),
        (["road.avi", "--time-zone", "Mars/North"], "--time-zone 'Mars/North' is no known time zone"),
        (["road.avi", "--time-zone", "../../etc/passwd"], "--time-zone '../../etc/passwd' is no known time zone"),
        (["road.avi", "--camera", "a b"], "--camera 'a b': letters, digits"),
        ([f"rtsp://admin:{SECRET}@10.0.0.1/1"], "rtsp://...: gantry count reads files; a live camera needs gantry up"),
        (["sim+detections://junctoin"], "sim+detections://junctoin: names 'junctoin', which is no scenario (did you"),
        (["road.avi", "sim+detections://junction?fps=no"], "sim+detections://junction?fps=no: needs a number from 1 to 60"),
        (["sim+detections://junction?seed=99"], "sim+detections://junction?seed=99: has no recording with seed 99: "),
        (["simu://junction"], "simu://...: did you mean sim://...? gantry simulate list says what may follow"),
        (["sim://junction?light=noon"], "sim://junction?light=noon: needs one of day, dusk, night for light, got 'noon'"),
        ([f"sim+detections://junction:{SECRET}@x?seed=7"], "sim+detections://***: holds a user or a password, and a"),
        (["road.avi", "--out", "text.mp4"], "--out text.mp4: cannot write there: File exists"),
        (["road.avi", "--out", "text.mp4/out"], "--out text.mp4/out: cannot write there: Not a directory"),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_line(bad, scene, said, monkeypatch, words, told):
    monkeypatch.chdir(bad)
    monkeypatch.setenv("GANTRY_MODELS", str(bad / "models"))
    before = {p: p.stat().st_size for p in bad.rglob("*")}
    defaults = {"--scene": "scene.yaml", "--model": "folder", "--out": "out"}
    if "--out" in words:  # only found out when there is something to write
        monkeypatch.setattr(count, "load_model", lambda *_, **__: Seer())
    code, out, err = said(*words, *(w for name, v in defaults.items() if name not in words for w in (name, v)))

    assert code != 0
    assert len(err) == 1, err
    assert err[0].startswith(told)
    assert "Traceback" not in out
    assert SECRET not in out + err[0]
    assert {p: p.stat().st_size for p in bad.rglob("*")} == before, "nothing is left behind"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--fps", "0"], "Invalid value for '--fps': 0.0 is not in the range 0<x<=240."),
        (["--fps", "many"], "Invalid value for '--fps': 'many' is not a valid float range."),
        (["--interval", "soon"], "Invalid value for '--interval': 'soon' is no length of time; write 30s, 15m or 1h"),
        (["--backend", "abacus"], "Invalid value for '--backend': 'abacus' is not one of"),
    ],
)
def test_a_wrong_option_is_told_with_its_name(bad, scene, said, words, told):
    code, out, err = said(bad / "road.avi", "--scene", scene, "--model", "m", "--out", bad / "out", *words)

    assert (code, out) == (2, "")
    assert err[-1].startswith(f"Error: {told}")
    assert not (bad / "out").exists()


def test_all_mistakes_of_a_scene_are_told_at_once(bad, said):
    code, out, err = said(bad / "road.avi", "--scene", bad / "wrong.yaml", "--model", "m", "--out", bad / "out")

    assert (code, out) == (1, "")
    places = [line.removeprefix(f"{bad}/").partition(": ")[0] for line in err]
    assert sorted(places) == ["wrong.yaml:1", "wrong.yaml:3", "wrong.yaml:4", "wrong.yaml:4", "wrong.yaml:5"]
    assert not (bad / "out").exists()


@pytest.mark.footage
def test_the_film_that_aborts_opencv_harms_nobody_and_is_counted_by_a_scene_of_its_shape(
    footage, tmp_path, scene, said, seer
):
    path = footage / "broken/raw_48x48_crashes_opencv.avi"
    words = ("--scene", scene, "--model", "m", "--out", tmp_path / "out")
    code, _, err = said(path, *words)
    assert code == 1
    assert len(err) == 1
    assert err[0].startswith(f"{path}: its pictures are 48x48 but the scene was drawn on 320x180, another shape")
    assert not (tmp_path / "out").exists()

    scene.write_text(SCENE.replace("320x180", "48x48"))
    code, out, err = said(path, *words)
    assert (code, err, seer.seen) == (0, [], 51)
    assert "51/51 frames" in out


@pytest.mark.footage
def test_a_truncated_film_is_counted_as_far_as_it_goes_and_what_is_missing_is_told(
    footage, tmp_path, scene, said, seer
):
    path = footage / "broken/truncated_declares317_decodes302.mp4"
    code, out, err = said(path, "--scene", scene, "--model", "m", "--out", tmp_path / "out")

    assert code == 0
    assert seer.seen == 302
    assert len(err) == 1
    assert f"{path} declares 317 frames, 302 could be decoded" in err[0]
    assert "302/302 frames" in out
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES


# --- interrupted --------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize(
    ("number", "to_all", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGINT, False, 130), (signal.SIGTERM, False, 143)],
)
def test_an_interrupted_survey_ends_soon_without_children_or_half_files(
    tmp_path, scene, tiny_folder, number, to_all, code
):
    """Ctrl-C in a terminal reaches the decoder too; `kill` only the command."""
    out = tmp_path / "out"
    words = (film(tmp_path / "road.avi", frames=6000), "--scene", scene, "--model", tiny_folder, "--out", out)
    # whoever runs the tests in the background has them ignore Ctrl-C, and a child inherits that
    terminal = ["env", "--default-signal=INT"]
    command = [*terminal, sys.executable, "-m", "workers.gantry", "count", *map(str, words)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            family = _in_the_middle(process, out)
            (os.killpg if to_all else os.kill)(process.pid, number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == code
    assert err.strip() == ""  # click ends the line of ^C
    assert list(out.iterdir()) == []
    assert psutil.wait_procs(family, timeout=10)[1] == []


def _in_the_middle(process, out):
    """Wait until pictures are analysed; the processes that it started."""
    me = psutil.Process(process.pid)
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        family = me.children(recursive=True)
        if (out / ".events.jsonl.part").exists() and family:
            time.sleep(1)
            return family
        time.sleep(0.1)
    raise AssertionError("it never began")


@pytest.mark.parametrize("drawn_on", [Size(100, 900), Size(360, 360)])
def test_a_scene_of_another_shape_is_told_the_films_own_size(drawn_on):
    film = Probe(Size(640, 352), 25.0, None, None)

    with pytest.raises(Fatal, match=f"its pictures are 640x352 but the scene was drawn on {drawn_on}"):
        check_probe(Scene(drawn_on=drawn_on), film, "road.mp4")


def test_a_film_that_is_turned_when_it_is_shown_may_have_a_scene_of_that_shape():
    check_probe(Scene(drawn_on=Size(352, 640)), Probe(Size(640, 352), 25.0, None, None), "road.mp4")
