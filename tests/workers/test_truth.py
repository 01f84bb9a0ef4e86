"""`gantry truth new`, as a person types it: what it leaves behind, and what it says of bad input."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import simplejpeg

from workers import gantry

ROOT = Path(__file__).resolve().parents[2]
SIZE = (320, 180)
SECRET = "s3cret-Passw0rd"
SCENE = """\
drawn_on: 320x180
lines:
  gate: {from: [0.1, 0.5], to: [0.9, 0.5], to_right: south}
"""


def film(path, *, frames=75, size=SIZE, codec="mjpeg", turned=0):
    """A rectangle drives down the picture, over its middle (with its lower edge) after 1.5 s; 25 frames a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if turned:
            stream.set_display_rotation(turned)
        for n in range(frames):
            image = np.zeros((size[1], size[0], 3), np.uint8)
            image[max(0, n * 2 - 9) : n * 2 + 15, 100:140] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = n
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
        arguments = ["truth", "new", *map(str, words)]
        code = gantry._guarded(lambda: gantry.cli.main(arguments, prog_name="gantry", standalone_mode=False))
        out, err = capfd.readouterr()
        return code, out, err.splitlines()

    yield run
    logging.captureWarnings(capture=False)
    root.handlers[:], threading.excepthook = kept[0], kept[3]
    root.setLevel(kept[1])
    ours.setLevel(kept[2])


def survey(out):
    """What the page knows."""
    (text,) = re.findall(
        r'<script type="application/json" id="survey">(.*?)</script>', (out / "index.html").read_text(), re.DOTALL
    )
    return json.loads(text)


def test_a_page_with_strip_and_pictures_is_made_and_told(tmp_path, scene, said):
    code, out, err = said(film(tmp_path / "road.avi"), "--scene", scene, "--out", tmp_path / "out")

    assert (code, err) == (0, [])
    assert "75/75 frames" in out
    assert f"open {tmp_path / 'out/index.html'} in a browser" in out
    known = survey(tmp_path / "out")
    assert (known["video"], known["video_path"], known["frames"], known["fps"]) == ("road.avi", "../road.avi", 75, 25)
    assert known["steps_ms"] == [0] + [40] * 74
    assert known["pictures"] == list(range(0, 75, 5))
    strip = simplejpeg.decode_jpeg((tmp_path / "out/strips/gate-0000.jpg").read_bytes())
    bright = np.flatnonzero((strip[..., 0] > 128).any(axis=0))
    assert (bright.min() / 25, bright.max() / 25) == (pytest.approx(1.5, abs=0.1), pytest.approx(1.98, abs=0.1))


def test_pictures_and_width_are_as_wanted(tmp_path, scene, said):
    said(film(tmp_path / "road.avi"), "--scene", scene, "--out", tmp_path / "out", "--pictures", "1", "--width", "160")

    known = survey(tmp_path / "out")
    assert (known["pictures"], known["picture_size"], known["size"]) == ([0, 25, 50], [160, 90], [320, 180])


def test_a_film_that_only_its_frames_say_is_turned_is_held_against_its_scene(tmp_path, scene, said):
    video = film(tmp_path / "turned.mp4", frames=5, codec="mpeg4", turned=90)
    code, _, err = said(video, "--scene", scene, "--out", tmp_path / "out")
    assert (code, len(err)) == (1, 1)
    assert "its pictures are 180x320 but the scene was drawn on 320x180" in err[0]
    assert not (tmp_path / "out").exists()

    scene.write_text(SCENE.replace("320x180", "180x320"))
    assert said(video, "--scene", scene, "--out", tmp_path / "out")[0] == 0
    assert survey(tmp_path / "out")["size"] == [180, 320]


def test_without_out_the_folder_is_named_after_the_video_and_quiet_says_nothing(tmp_path, scene, said, monkeypatch):
    film(tmp_path / "road.avi", frames=3)
    monkeypatch.chdir(tmp_path)

    assert said("road.avi", "--scene", scene, "--quiet") == (0, "", [])
    assert (tmp_path / "road-truth/index.html").exists()


def test_marks_are_never_written_over(tmp_path, scene, said):
    video = film(tmp_path / "road.avi", frames=3)
    words = (video, "--scene", scene, "--out", tmp_path / "out")
    said(*words)
    page = (tmp_path / "out/index.html").read_bytes()
    code, _, err = said(*words)
    assert (code, len(err)) == (1, 1)
    assert "it holds a page already: open " in err[0]

    (tmp_path / "out/road.gate.json").write_text("{}")
    code, _, err = said(*words)
    assert (code, len(err)) == (1, 1)
    assert "it holds marks (road.gate.json), which gantry never writes over: name another folder" in err[0]
    assert (tmp_path / "out/index.html").read_bytes() == page


@pytest.fixture
def bad(tmp_path):
    """Files that are not what they seem."""
    (tmp_path / "text.mp4").write_text("I am no video\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("Dear")
    film(tmp_path / "road.avi", frames=3)
    film(tmp_path / "square.avi", frames=3, size=(180, 180))
    (tmp_path / "nothing.yaml").write_text("drawn_on: 320x180\nzones:\n  box: {points: [[0, 0], [1, 0], [1, 1]]}\n")
    (tmp_path / "wrong.yaml").write_text("drawn_on: 320x180\nlines:\n  gate: {from: [0.1, 1.5], to: [0.9, 0.5]}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.mp4"], "missing.mp4: no such file: check the path"),
        (["folder"], "folder: it is a directory, not a video: name the file in it"),
        (["text.mp4"], "text.mp4: it is not a video, or its beginning is damaged"),
        (["empty.mp4"], "empty.mp4: it is not a video, or its beginning is damaged"),
        (["square.avi"], "square.avi: its pictures are 180x180 but the scene was drawn on 320x180, another shape"),
        (["road.avi", "--scene", "missing.yaml"], "missing.yaml: there is no such file"),
        (["road.avi", "--scene", "wrong.yaml"], "wrong.yaml:3: "),
        (["road.avi", "--scene", "nothing.yaml"], "nothing.yaml: the scene has no lines; passages are marked on lines"),
        (["road.avi", "--out", "full"], "--out full: it is not empty (it holds letter.txt): name another folder"),
        (["road.avi", "--out", "text.mp4"], "--out text.mp4: cannot write there: Not a directory"),
        (["road.avi", "--out", "text.mp4/out"], "--out text.mp4/out: cannot write there: Not a directory"),
        (["road.avi", "--out", "/proc/out"], "--out /proc/out: cannot write there: No such file or directory"),
        ([f"rtsp://admin:{SECRET}@10.0.0.1/1"], "rtsp://...: gantry truth reads files; record the camera first"),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_line(bad, scene, said, monkeypatch, words, told):
    monkeypatch.chdir(bad)
    before = {p: p.stat().st_size for p in bad.rglob("*")}
    defaults = {"--scene": "scene.yaml", "--out": "out"}
    code, out, err = said(*words, *(w for name, v in defaults.items() if name not in words for w in (name, v)))

    assert code == 1
    assert len(err) == 1, err
    assert err[0].startswith(told)
    assert SECRET not in out + err[0]
    assert {p: p.stat().st_size for p in bad.rglob("*")} == before, "nothing is left behind"


@pytest.mark.parametrize(("words", "told"), [(["--pictures", "0"], "'--pictures'"), (["--width", "9"], "'--width'")])
def test_a_wrong_option_is_told_with_its_name(bad, scene, said, words, told):
    code, _, err = said(bad / "road.avi", "--scene", scene, "--out", bad / "out", *words)

    assert code == 2
    assert told in err[-1]


@pytest.mark.footage
def test_the_film_that_aborts_opencv_becomes_a_page(footage, tmp_path, scene, said):
    scene.write_text(SCENE.replace("320x180", "48x48"))
    path = footage / "broken/raw_48x48_crashes_opencv.avi"
    code, out, err = said(path, "--scene", scene, "--out", tmp_path / "out")

    assert (code, err) == (0, [])
    assert "51/51 frames" in out
    assert survey(tmp_path / "out")["frames"] == 51


@pytest.mark.footage
def test_a_truncated_film_is_shown_as_far_as_it_goes_and_what_is_missing_is_told(footage, tmp_path, scene, said):
    path = footage / "broken/truncated_declares317_decodes302.mp4"
    code, _, err = said(path, "--scene", scene, "--out", tmp_path / "out", "--width", "160")

    assert code == 0
    assert len(err) == 1
    assert f"{path} declares 317 frames, 302 could be decoded" in err[0]
    assert survey(tmp_path / "out")["frames"] == 302


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_reading_leaves_no_half_page_and_no_decoder(tmp_path, scene, number, code):
    out = tmp_path / "out"
    words = (film(tmp_path / "road.avi", frames=3000), "--scene", scene, "--out", out)
    # whoever runs the tests in the background has them ignore Ctrl-C, and a child inherits that
    command = ["env", "--default-signal=INT", sys.executable, "-m", "workers.gantry", "truth", "new", *map(str, words)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            for _ in range(600):
                assert process.poll() is None, process.communicate()
                family = psutil.Process(process.pid).children(recursive=True)
                if (out / "pictures/000003.jpg").exists() and family:
                    break
                time.sleep(0.02)
            else:
                raise AssertionError("it never began")
            os.kill(process.pid, number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == code
    assert err.strip() == ""
    assert not out.exists()
    assert psutil.wait_procs(family, timeout=10)[1] == []
