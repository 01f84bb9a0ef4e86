"""The slit-scan: which pixels it takes, when it draws what, and what lies in the page's folder."""

import json
import re

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.truth_page import TruthFolder
from pipeline.adapters.truth_page.slit_scan import LEAST_ROWS, MOST_ROWS, Run, SlitScan, places, rows_of, runs
from pipeline.core.model import Line, Size
from pipeline.errors import Fatal

ACROSS = Line(name="across", start=(0.1, 0.5), end=(0.9, 0.5))
shares = st.tuples(st.floats(0, 1), st.floats(0, 1))


def survey(out):
    """What the page knows."""
    (text,) = re.findall(
        r'<script type="application/json" id="survey">(.*?)</script>', (out / "index.html").read_text(), re.DOTALL
    )
    return json.loads(text)


# --- which pixels -------------------------------------------------------------------------------


@given(shares, shares, st.integers(2, 2000), st.integers(2, 2000))
def test_every_pixel_that_is_taken_lies_in_the_picture(start, end, width, height):
    if start == end:
        return
    line = Line(name="any", start=start, end=end)
    rows = rows_of(line, width, height)
    ys, xs = places(line, width, height, rows)

    assert LEAST_ROWS <= rows <= MOST_ROWS
    assert ys.shape == xs.shape
    assert ys.shape[1] == rows
    assert 0 <= xs.min() <= xs.max() < width
    assert 0 <= ys.min() <= ys.max() < height


def test_rows_go_from_the_lines_beginning_to_its_end():
    line = Line(name="falls", start=(0.25, 0.1), end=(0.75, 0.9))
    ys, xs = places(line, 400, 200, 100)

    assert (xs[:, 0].mean(), ys[:, 0].mean()) == (pytest.approx(100, abs=4), pytest.approx(20, abs=4))
    assert (xs[:, -1].mean(), ys[:, -1].mean()) == (pytest.approx(300, abs=4), pytest.approx(180, abs=4))


def test_the_band_lies_on_both_sides_of_the_line():
    ys, _ = places(ACROSS, 400, 200, 100)

    assert set(ys.ravel()) == {98, 99, 100, 101, 102}


def test_a_column_is_what_lies_on_the_line_in_that_frame(tmp_path):
    scan = SlitScan(ACROSS, tmp_path)
    for n in range(40):
        picture = np.zeros((90, 160, 3), np.uint8)
        if 10 <= n < 20:
            picture[40:50, 30:60] = (250, 20, 20)  # in the first third of the line
        scan.add(picture)
    scan.finish()

    (name,) = scan.tiles
    tile = simplejpeg.decode_jpeg((tmp_path / name).read_bytes())
    assert tile.shape == (128, 40, 3)
    seen = tile[:, :, 0] > 128
    assert set(np.flatnonzero(seen.any(axis=0))) == set(range(10, 20))
    rows = np.flatnonzero(seen.any(axis=1))
    assert (rows.min(), rows.max()) == (pytest.approx(30 - 16, abs=2), pytest.approx(60 - 16, abs=2))


# --- when ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 500), min_size=1, max_size=80), st.integers(2, 30))
def test_runs_are_all_frames_once_and_every_frame_lies_where_its_run_draws_it(steps, tile):
    times = np.cumsum(steps).tolist()
    cut = runs(times, tile)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0

    assert [n for run in cut for n in range(run.first, run.first + run.count)] == list(range(len(times)))
    for run in cut:
        assert run.first // tile == (run.first + run.count - 1) // tile, "a run lies in one tile"
        drawn = np.linspace(times[run.first], times[run.first + run.count - 1], run.count)
        assert np.abs(drawn - times[run.first : run.first + run.count]).max(initial=0) < step


def test_a_hole_and_a_tiles_end_cut_a_run():
    assert runs([0, 40, 80, 5000, 5040, 5080, 5120], tile=5) == [Run(0, 3), Run(3, 2), Run(5, 2)]
    assert runs([0, 33, 67, 100, 133, 167]) == [Run(0, 6)], "rounded times are even"
    assert runs([]) == []


# --- the folder ---------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "road.mp4"
    path.write_bytes(b"film")
    return path


def jpeg(shade=0):
    return simplejpeg.encode_jpeg(np.full((90, 160, 3), shade, np.uint8))


def fill(folder, times):
    for t in times:
        folder.add(jpeg(), t, Size(160, 90), Size(1280, 720))


def test_a_page_knows_every_frames_true_time(tmp_path, video):
    times = [0, 33, 67, 100, 1900, 1933]
    with TruthFolder(tmp_path / "out", video, [ACROSS], 5) as folder:
        fill(folder, times)
        folder.finish(None)

    known = survey(tmp_path / "out")
    assert np.cumsum(known["steps_ms"]).tolist() == times
    assert known["runs"] == [[0, 4], [4, 2]]
    assert known["pictures"][:2] == [0, 4], "five a second, and one after the hole"
    assert known["fps"] == pytest.approx(1000 * 5 / 1933, abs=0.001)
    assert (known["size"], known["picture_size"], known["frames"]) == ([1280, 720], [160, 90], 6)
    assert len(list((tmp_path / "out/pictures").iterdir())) == len(known["pictures"])


def test_another_film_or_another_line_has_marks_of_its_own(tmp_path, video):
    keys = set()
    for n, (line, times) in enumerate(
        [(ACROSS, [0, 40]), (ACROSS, [0, 40, 80]), (Line(name="across", start=(0.1, 0.6), end=(0.9, 0.5)), [0, 40]), (ACROSS, [0, 40])]
    ):  # fmt: skip
        with TruthFolder(tmp_path / f"out{n}", video, [line], 5) as folder:
            fill(folder, times)
            folder.finish(None)
        keys.add(survey(tmp_path / f"out{n}")["lines"][0]["key"])

    assert len(keys) == 3, "the first and the last are the same film and line"


def test_a_single_frame_is_a_page_too(tmp_path, video):
    with TruthFolder(tmp_path / "out", video, [ACROSS], 5) as folder:
        fill(folder, [0])
        folder.finish(30.0)

    assert (survey(tmp_path / "out")["fps"], survey(tmp_path / "out")["runs"]) == (30.0, [[0, 1]])


def test_a_long_film_is_cut_into_tiles(tmp_path, video):
    with TruthFolder(tmp_path / "out", video, [ACROSS], 0.5) as folder:
        fill(folder, range(0, 1030 * 40, 40))
        folder.finish(None)

    (line,) = survey(tmp_path / "out")["lines"]
    sizes = [simplejpeg.decode_jpeg_header((tmp_path / "out/strips" / name).read_bytes())[:2] for name in line["tiles"]]
    assert sizes == [(128, 512), (128, 512), (128, 6)]
    assert survey(tmp_path / "out")["runs"] == [[0, 512], [512, 512], [1024, 6]]


def test_no_name_can_end_the_data_of_a_page(tmp_path):
    video = tmp_path / "</script><script>alert(1)<!--.mp4".replace("/", "_")
    video.write_bytes(b"film")
    line = Line(name="across", start=(0.1, 0.5), end=(0.9, 0.5), to_right="</script><script>alert(1)</script>")
    with TruthFolder(tmp_path / "out", video, [line], 5) as folder:
        fill(folder, [0, 40])
        folder.finish(None)

    assert "<script>alert" not in (tmp_path / "out/index.html").read_text()
    assert survey(tmp_path / "out")["lines"][0]["to_right"] == line.to_right


@pytest.mark.parametrize("there_before", [True, False])
def test_what_is_not_finished_is_taken_away(tmp_path, video, there_before):
    out = tmp_path / "out"
    if there_before:
        out.mkdir()
    with TruthFolder(out, video, [ACROSS], 5) as folder:
        fill(folder, [0, 40])

    assert out.exists() == there_before
    assert not there_before or list(out.iterdir()) == []


def test_what_a_killed_run_left_is_no_hindrance(tmp_path, video):
    (tmp_path / "out/pictures").mkdir(parents=True)
    (tmp_path / "out/pictures/000099.jpg").touch()
    with TruthFolder(tmp_path / "out", video, [ACROSS], 5) as folder:
        fill(folder, [0, 40])
        folder.finish(None)

    assert [p.name for p in (tmp_path / "out/pictures").iterdir()] == ["000000.jpg"]


def test_a_film_without_a_picture_is_no_page(tmp_path, video):
    with pytest.raises(Fatal, match="not one picture"), TruthFolder(tmp_path / "out", video, [ACROSS], 5) as folder:
        folder.finish(None)

    assert not (tmp_path / "out").exists()
