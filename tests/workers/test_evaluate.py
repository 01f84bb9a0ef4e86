"""`gantry evaluate`, as a person types it."""

import asyncio
import json
import logging
import re
import sys
import threading

import pytest
import simplejpeg

from pipeline.evaluate.matching import Verdict
from pipeline.simulate.journeys import Recording, recorded, write
from tests.workers.test_count import film
from workers import gantry
from workers.stills import stills

SECRET = "s3cret-Passw0rd"
LINE = [[0.1, 0.5], [0.9, 0.5]]
SCENE = "drawn_on: 320x180\nlines:\n  gate: {from: [0.1, 0.5], to: [0.9, 0.5]}\n"


@pytest.fixture
def said(capfd, monkeypatch, tmp_path):
    """Runs the command through its last door: (exit code, stdout, the lines of stderr)."""
    monkeypatch.delenv("GANTRY_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    root, ours = logging.getLogger(), logging.getLogger("gantry")
    kept = (list(root.handlers), root.level, ours.level, threading.excepthook)

    def run(*words):
        capfd.readouterr()
        arguments = ["evaluate", *map(str, words)]
        code = gantry._guarded(lambda: gantry.cli.main(arguments, prog_name="gantry", standalone_mode=False))
        out, err = capfd.readouterr()
        return code, out, err.splitlines()

    yield run
    logging.captureWarnings(capture=False)
    root.handlers[:], threading.excepthook = kept[0], kept[3]
    root.setLevel(kept[1])
    ours.setLevel(kept[2])


def by_eye(path, *crossings, video="road.avi", seconds=3.0, **more):
    document = {"video": video, "fps": 25, "frames": round(seconds * 25), "size": [320, 180], "line": LINE}
    rows = [{"t_seconds": t, "direction": way, "class": label} for t, way, label in crossings]
    path.write_text(json.dumps(document | {"crossings": rows} | more))


def simulated(path, *passages, **more):
    document = {
        "version": 1, "scenario": "street", "seed": 3, "size": [320, 180], "start_ms": 1_767_225_600_000,
        "duration_ms": 60_000, "movements": [], "queues": [], "occupied": [], "incidents": [],
        "scene": {"kind": "scene", "drawn_on": [320, 180], "lines": [{"name": "gate", "from": LINE[0], "to": LINE[1]}]},
        "passages": [
            {"line": "gate", "user": n, "class": "car", "direction": "to_right", "t_ms": t * 1000, "x": 0.5, "y": 0.5,
             "speed_kmh": 50.0}
            for n, t in enumerate(passages)
        ],
    }  # fmt: skip
    path.write_text(json.dumps(document | more))


def counted(folder, *events, file="road.avi", watched_s=3.0, origin_ms=0, **more):
    """What `gantry count --out` leaves."""
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "type": "crossing", "id": str(n), "camera": "road", "line": "gate", "direction": way, "class": label,
            "captured_ms": origin_ms + round(t * 1000), "t_seconds": t, "x": 0.5, "y": 0.5, "track": f"0-{n}-0", "file": file,
        } | more
        for n, (t, way, label) in enumerate(events)
    ]  # fmt: skip
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "flow.csv").write_text(f"camera,start_ms,window_s,coverage\nroad,0,30.0,{watched_s / 30}\n")
    return folder


@pytest.fixture
def good(tmp_path):
    """A run that found the one car of a film, and the truth."""
    by_eye(tmp_path / "truth.json", (1.5, "+", "car"))
    return counted(tmp_path / "out", (1.52, "to_right", "truck"))


def test_a_run_is_scored_against_a_count_by_eye(good, said):
    code, out, err = said("out", "--truth", "truth.json")

    assert (code, err) == (0, [])
    assert "1 of 1 passage was found; nothing more, nothing less." in out
    assert re.search(r"gate .* to_right .* 1 .* 1 .* 1 .* 0 .* 0 .* 0 .* 0", out)
    assert "+20" in out


def test_the_json_and_the_page_are_written(good, said, tmp_path):
    code, out, err = said("out", "--truth", "truth.json", "--json", "f/a.json", "--report", "f/a.html", "--quiet")

    assert (code, out, err) == (0, "", [])
    figures = json.loads((tmp_path / "f/a.json").read_text())
    assert (figures["version"], figures["total"]["found"], figures["run"]) == (1, 1, "out")
    assert figures["classes"][0]["class"] == "bus+car+truck"
    assert (tmp_path / "f/a.html").read_text().startswith("<!doctype html>")
    assert {p.name for p in (tmp_path / "f").iterdir()} == {"a.json", "a.html"}


def test_figures_on_stdout_stand_alone(good, said):
    code, out, _ = said("out", "--truth", "truth.json", "--json", "-")

    assert code == 0
    assert json.loads(out)["total"]["truth"] == 1


def test_a_bad_day_is_told_with_pictures_of_the_film(good, said, tmp_path):
    film(tmp_path / "road.avi")
    by_eye(tmp_path / "truth.json", (0.4, "+", "car"), (1.5, "+", "car"), optional_crossings=[
        {"t_seconds": 2.9, "direction": "+", "class": "car"}
    ])  # fmt: skip
    counted(good, (1.5, "to_right", "car"), (1.6, "to_right", "car"), (2.9, "to_right", "car"), (0.5, "to_left", "car"))
    code, out, err = said("out/events.jsonl", "--truth", "truth.json", "--report", "a.html", "--video", "road.avi")

    assert (code, err) == (0, [])
    assert "1 of 2 passages were found; 1 missed, 1 counted twice, 1 counted the wrong way." in out
    page = (tmp_path / "a.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert "1 on passages that may be counted or not" in page


def test_most_pictures_are_kept_to(good, said, tmp_path):
    film(tmp_path / "road.avi")
    by_eye(tmp_path / "truth.json", *[(n / 5, "-", "car") for n in range(10)])
    said("out", "--truth", "truth.json", "--report", "a.html", "--video", "road.avi", "--pictures", "4")
    page = (tmp_path / "a.html").read_text()

    assert page.count("data:image/jpeg;base64,") == 4
    assert "The first 4 of 11; --pictures shows more." in page


def test_a_picture_is_the_one_nearest_to_its_moment(tmp_path):
    """The rectangle's lower edge is 2 pixels further down in each picture, 25 of them a second."""
    film(tmp_path / "road.avi")
    shots = asyncio.run(stills(str(tmp_path / "road.avi"), [1010.0, 0.0, 500.0, 2990.0, 9000.0]))

    assert [s and s.t_ms for s in shots] == [1000, 0, 480, 2960, None]
    picture = simplejpeg.decode_jpeg(shots[0].jpeg, colorspace="GRAY")[:, 120, 0]
    assert max(n for n, value in enumerate(picture) if value > 128) == pytest.approx(25 * 2 + 14, abs=1)


def test_a_simulated_run_is_scored_by_its_clock_and_its_speeds(tmp_path, said):
    simulated(tmp_path / "truth.json", 10, 20)
    counted(
        tmp_path / "out", (9.93, "to_right", "car"), (19.93, "to_right", "car"), watched_s=60,
        origin_ms=1_767_225_600_070, file="sim+detections://street?seed=3", speed_kmh=51.0,
    )  # fmt: skip
    code, out, err = said("out", "--truth", "truth.json", "--json", "a.json")

    assert (code, err) == (0, [])
    total = json.loads((tmp_path / "a.json").read_text())["total"]
    assert (total["found"], total["time_error_ms"]["value"], total["speed_bias_kmh"]["value"]) == (2, 0.0, 1.0)
    assert "Speed" in out


TRAPPED = """\
drawn_on: 1280x720
lines:
  near: {from: [0.0, 0.66], to: [0.48, 0.66]}
  far: {from: [0.29, 0.375], to: [0.487, 0.375]}
speed_traps:
  bridge: {from: far, to: near, metres: 40, sd: 0.2}
"""


def test_a_trap_over_a_simulated_motorway_is_scored_against_the_true_way_and_time(tmp_path, said):
    """Where detections are perfect: what is left is that the way between two pictures is taken as even."""
    whole = recorded("motorway", 1)
    (tmp_path / "m.traj").write_bytes(write(Recording("motorway", 41, whole.step_ms, 30_000, whole.journeys)))
    (tmp_path / "scene.yaml").write_text(TRAPPED)
    source = f"sim+detections://motorway?fps=5&noise=none&recording={tmp_path}/m.traj"
    for words in (
        ["count", source, "--scene", "scene.yaml", "--out", "out", "--quiet"],
        ["simulate", "truth", "motorway", "--from", "m.traj", "--scene", "scene.yaml", "--out", "truth"],
    ):
        assert gantry._guarded(lambda words=words: gantry.cli.main(words, standalone_mode=False)) == 0
    words = ("out", "--truth", "truth/truth.json", "--scene", "scene.yaml", "--json", "a.json", "--report", "a.html")
    code, out, err = said(*words)

    assert (code, err) == (0, [])
    (trap,) = json.loads((tmp_path / "a.json").read_text())["traps"]["each"]
    assert (trap["trap"], trap["from_line"], trap["line"]) == ("bridge", "far", "near")
    assert trap["score"]["found"] > 10
    assert trap["score"]["speed_error_kmh"]["value"] < 2
    assert "Speed between two lines" in out
    assert "<h2>Stated uncertainty of speeds between two lines</h2>" in (tmp_path / "a.html").read_text()


def test_a_trap_over_a_line_that_the_truth_does_not_have_is_noted(tmp_path, said):
    simulated(tmp_path / "truth.json", 10)
    counted(tmp_path / "out", (10, "to_right", "car"), watched_s=60, file="sim+detections://street?seed=3")
    speed = json.loads((tmp_path / "out/events.jsonl").read_text()) | {
        "type": "speed", "id": "s", "trap": "bridge", "from_line": "far", "metres": 20, "seconds": 1, "speed_kmh": 72,
    }  # fmt: skip
    with (tmp_path / "out/events.jsonl").open("a") as events:
        events.write(json.dumps(speed) + "\n")
    code, out, err = said("out", "--truth", "truth.json")

    assert (code, err) == (0, [])
    assert "note: speeds of trap bridge are not scored: truth.json has no line far (it has: gate)" in out
    assert "Speed between two lines" not in out
    speed.pop("trap")
    (tmp_path / "out/events.jsonl").write_text(json.dumps(speed) + "\n")
    code, out, err = said("out", "--truth", "truth.json")
    assert (code, out) == (1, "")
    assert err[0].startswith("out/events.jsonl: line 1: ")


def test_lines_counted_by_eye_one_by_one_are_one_truth(tmp_path, said):
    by_eye(tmp_path / "gate.json", (1.5, "+", "car"), name="gate")
    by_eye(tmp_path / "far.json", (1.0, "+", "car"), name="far", line=[[0.1, 0.2], [0.9, 0.2]])
    counted(tmp_path / "out", (1.5, "to_right", "car"))

    code, out, _ = said("out", "--truth", "gate.json", "--truth", "far.json")
    assert (code, out.splitlines()[0]) == (0, "1 of 2 passages were found; 1 missed.")
    code, out, _ = said("out", "--truth", "gate.json", "--truth", "far.json", "--line", "gate")
    assert (code, out.splitlines()[0]) == (0, "1 of 1 passage was found; nothing more, nothing less.")


def test_lines_that_nobody_counted_by_eye_are_left_out_and_noted(tmp_path, said):
    by_eye(tmp_path / "gate.json", (1.5, "+", "car"), name="gate")
    counted(tmp_path / "out", (1.5, "to_right", "car"))
    with (tmp_path / "out/events.jsonl").open("a") as events:
        events.write(
            (tmp_path / "out/events.jsonl").read_text().replace("gate", "far").replace('"id": "0"', '"id": "9"')
        )

    code, out, _ = said("out", "--truth", "gate.json")
    assert (code, out.splitlines()[0]) == (0, "1 of 1 passage was found; nothing more, nothing less.")
    assert "events of far are left out: no count by eye of them was given" in out


def test_tracks_are_scored_against_true_boxes(good, said, tmp_path):
    (tmp_path / "gt.txt").write_text("1,1,10,10,20,20,1,3,1\n2,1,12,10,20,20,1,3,1\n")
    (tmp_path / "res.txt").write_text("1,7,10,10,20,20,0.9,-1,-1,-1\n2,7,12,10,20,20,0.9,-1,-1,-1\n")
    code, out, err = said("out", "--truth", "truth.json", "--tracks", "res.txt", "--json", "a.json")

    assert (code, err) == (0, [])
    followed = json.loads((tmp_path / "a.json").read_text())["followed"]
    assert (followed["hota"]["hota"], followed["identities"]["idf1"]) == (1.0, 1.0)
    assert "HOTA" in out


def test_a_perfect_tracker_scores_1_by_the_boxes_that_a_simulation_writes(tmp_path, said):
    """Rows flagged 0 are to be ignored, and so are the tracks on them."""
    simulated(tmp_path / "truth.json", 10)
    counted(tmp_path / "out", (10, "to_right", "car"), watched_s=60, file="sim+detections://street?seed=3")
    boxes = tmp_path / "mot" / "street-3" / "gt" / "gt.txt"
    boxes.parent.mkdir(parents=True)
    boxes.write_text("1,1,10,10,20,20,1,3,1\n1,2,50,10,20,20,0,3,0.05\n2,1,12,10,20,20,1,3,1\n2,2,52,10,20,20,1,3,1\n")
    code, _, err = said("out", "--truth", "truth.json", "--tracks", boxes, "--json", "a.json")

    assert (code, err) == (0, [])
    followed = json.loads((tmp_path / "a.json").read_text())["followed"]
    assert (followed["hota"]["hota"], followed["identities"]["mota"]) == (1.0, 1.0)


def test_a_run_without_an_event_is_scored_and_noted(good, said):
    counted(good)
    code, out, _ = said("out", "--truth", "truth.json")

    assert (code, out.splitlines()[0]) == (0, "0 of 1 passage was found; 1 missed.")
    assert "out holds no event: nothing ties it to truth.json" in out


def test_a_clock_that_is_off_by_a_constant_is_told(tmp_path, said):
    times = (1.0, 3.5, 8.0, 9.5, 15.0)
    by_eye(tmp_path / "truth.json", *[(t, "+", "car") for t in times], seconds=30)
    counted(tmp_path / "out", *[(t + 12.3, "to_right", "car") for t in times], watched_s=30)
    code, out, _ = said("out", "--truth", "truth.json")

    assert code == 0
    assert "all events seem to be 12.3 s too late" in out
    assert "5 of 5 passages would be found" in " ".join(out.split())


def test_an_event_of_a_class_that_nobody_knows_is_noted(good, said):
    counted(good, (1.5, "to_right", "kar"))

    assert "kar (did you mean car?)" in said("out", "--truth", "truth.json")[1]


def test_without_motmetrics_hota_is_told_all_the_same(good, said, tmp_path, monkeypatch):
    (tmp_path / "gt.txt").write_text("1,1,10,10,20,20,1,3,1\n")
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    monkeypatch.delitem(sys.modules, "pipeline.adapters.motmetrics", raising=False)
    code, out, err = said("out", "--truth", "truth.json", "--tracks", "gt.txt")

    assert (code, err) == (0, [])
    assert "make setup EXTRAS=dev,evaluate" in out
    assert re.search(r"HOTA +[01]", out)
    assert not re.search(r"IDF1 +[01]", out)


def test_a_line_that_was_drawn_from_its_other_end_is_guessed(tmp_path, said):
    times = (0.5, 1.5, 2.5)
    by_eye(tmp_path / "truth.json", *[(t, "+", "car") for t in times])
    counted(tmp_path / "out", *[(t, "to_left", "car") for t in times])

    assert "is the line drawn from its other end" in said("out", "--truth", "truth.json")[1]


# --- what does not fit is told in clear lines -----------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere: there is no such file"),
        (["empty"], "empty: there is no events.jsonl in this folder"),
        (["out", "--truth", "nothing.json"], "nothing.json: there is no such file"),
        (["out", "--truth", "empty"], "empty: it is a folder; name the file in it"),
        (["truth.json"], "truth.json: line 1: Expected str, got array - at $.line"),
        (["out", "--truth", "out/events.jsonl"], "out/events.jsonl: is no truth"),
        (["out", "--truth", "other.json"], "video: out counted road.avi, other.json was counted in other.avi"),
        (["out", "--truth", "sim.json"], "time: out watched 3.0 s, sim.json 0.5 s"),
        (["out", "--camera", "b"], "out holds no events of camera b, but of road"),
        (["out", "--line", "gaet"], "--line gaet: neither out nor truth.json has it; there are: gate, line"),
        (["out", "--classes", "car,car"], "--classes car,car: 'car' stands twice"),
        (["out", "--scene", "turned.yaml"], "line gate: in turned.yaml it runs the other way round"),
        (["out", "--report", "a.html", "--video", "square.avi"], "size: square.avi is of 180x180 pictures, truth.json of 320x180"),
        (["out", "--report", "a.html", "--video", "no.avi"], "no.avi: no such file"),
        (["out", "--report", "truth.json/a.html"], "truth.json/a.html: cannot write there"),
        (["out", "--tracks", "res.txt"], "--tracks needs the true boxes: there is no gt.txt and no gt/gt.txt"),
        (["out", "--tracks", "none.txt"], "none.txt: there is no such file"),
        (["out", "--classes", "kar"], "--classes kar: nobody knows the class 'kar' (did you mean car?)"),
        (["out", "--report", "a.html", "--video", "short.avi"], "time: short.avi is 0.1 s long, truth.json 3.0 s"),
        (["out/flow.csv"], "out/flow.csv: this is no events.jsonl"),
        (["http://user:" + SECRET + "@127.0.0.1:9", "--camera", "a"], "truth.json does not say when it began"),
        (["ftp://user:" + SECRET + "@127.0.0.1:9", "--camera", "a", "--start", "0"], "ftp://***@127.0.0.1:9: an address"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(good, said, tmp_path, words, told):
    (tmp_path / "empty").mkdir()
    by_eye(tmp_path / "other.json", (1.5, "+", "car"), video="other.avi")
    simulated(tmp_path / "sim.json", duration_ms=500)
    (tmp_path / "turned.yaml").write_text(
        SCENE.replace("from: [0.1, 0.5], to: [0.9, 0.5]", "from: [0.9, 0.5], to: [0.1, 0.5]")
    )
    film(tmp_path / "square.avi", frames=3, size=(180, 180))
    film(tmp_path / "short.avi", frames=3)
    (tmp_path / "res.txt").write_text("1,7,10,10,20,20,0.9,-1,-1,-1\n")
    before = {p: p.stat().st_size for p in tmp_path.rglob("*")}
    code, out, err = said(*words, *([] if "--truth" in words else ["--truth", "truth.json"]))

    assert (code, out) == (1, "")
    assert err[0].startswith(told), err
    assert SECRET not in "".join(err)
    assert {p: p.stat().st_size for p in tmp_path.rglob("*")} == before, "nothing is left behind"


def test_a_painted_film_is_taken_with_its_own_truth_and_refused_with_another(said, tmp_path):
    shows = "sim://street?seed=3&fps=25&light=day&weather=clear"
    film(tmp_path / "road.avi", comment=shows)
    counted(tmp_path / "out", (1.5, "to_right", "car"), shows=shows)
    simulated(tmp_path / "right.json", 1.5, duration_ms=3000)
    simulated(tmp_path / "wrong.json", 1.5, duration_ms=3000, seed=5)
    with_video = ("--report", "a.html", "--video", "road.avi")

    for words in ((), with_video):
        code, out, err = said("out", "--truth", "right.json", *words)
        assert (code, err) == (0, [])
        assert "1 of 1 passage was found" in out
        code, out, err = said("out", "--truth", "wrong.json", *words)
        assert (code, out) == (1, "")
        assert err[0] == "seed: out is of seed 3, wrong.json of seed 5"
    film(tmp_path / "road.avi")
    code, _, err = said("out", "--truth", "right.json", *with_video)
    assert code == 1
    assert err[0].startswith("video: road.avi does not say that it was painted")


def test_a_run_of_another_day_is_refused_until_it_is_said_when_the_truth_began(said, tmp_path):
    counted(tmp_path / "out", (1.5, "to_right", "car"), origin_ms=1_777_615_200_000)
    simulated(tmp_path / "sim.json", 1.5, duration_ms=3000)
    code, out, err = said("out", "--truth", "sim.json")

    assert (code, out) == (1, "")
    assert err[0].startswith("clock: 1 of 1 events of out lie outside of the 3.0 s of sim.json")
    code, out, err = said("out", "--truth", "sim.json", "--start", "2026-05-01T06:00:00+00:00")
    assert (code, err) == (0, [])
    assert "1 of 1 passage was found" in out


def test_a_mismatch_is_scored_anyway_where_a_person_says_so_and_is_noted(good, said, tmp_path):
    by_eye(tmp_path / "other.json", (1.5, "+", "car"), video="other.avi", seconds=30)
    code, _, err = said("out", "--truth", "other.json")

    assert code == 1
    assert [line.partition(":")[0] for line in err[:-1]] == ["video", "time"]
    assert err[-1].endswith("--anyway scores them all the same")
    code, out, _ = said("out", "--truth", "other.json", "--anyway")
    assert code == 0
    assert out.count("note:") == 2


def test_all_mistakes_of_all_truth_files_are_told_at_once(good, said, tmp_path):
    by_eye(tmp_path / "bad.json", (1, "up", "car"))
    simulated(tmp_path / "sim.json", 1, duration_ms=500)
    words = [word for name in ("bad.json", "none.json", "truth.json", "sim.json") for word in ("--truth", name)]
    code, out, err = said("out", *words)

    assert (code, out) == (1, "")
    assert [line.partition(": ")[0] for line in err] == ["bad.json", "none.json", "sim.json"]
    assert err[0].startswith("bad.json: crossings[0].direction")
    assert err[2].startswith("sim.json: passages[0].t_ms: 1000 is after the end")


def test_all_mistakes_of_a_truth_are_told_at_once(good, said, tmp_path):
    by_eye(tmp_path / "bad.json", (99, "+", "car"), (1, "up", "car"), fps=-1)
    simulated(tmp_path / "sim.json", 1, seed="three", passages=[{"line": "gate"}])

    for name, places in (("bad.json", ["fps", "crossings[1].direction"]), ("sim.json", ["seed", "passages[0].user"])):
        code, out, err = said("out", "--truth", name)
        assert (code, out) == (1, "")
        assert all(any(line.startswith(f"{name}: {place}") for line in err) for place in places), err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing option '--truth'"),
        (["--truth", "truth.json", "--video", "a.avi"], "--video is for the report"),
        (["--truth", "truth.json", "--boxes", "gt.txt"], "--boxes is for --tracks"),
        (["--truth", "truth.json", "--tolerance", "0"], "Invalid value for '--tolerance'"),
        (["--truth", "truth.json", "--tolerance", "nan"], "'nan' is no number of seconds"),
        (["--truth", "truth.json", "--tolerance", "inf"], "Invalid value for '--tolerance'"),
        (["--truth", "truth.json", "--tolerance", "-1"], "Invalid value for '--tolerance'"),
        (["--truth", "truth.json", "--window", "nan"], "'nan' is no number of seconds"),
        (["--truth", "truth.json", "--start", "noon"], "Invalid value for '--start': 'noon' is no time"),
        (["--truth", "truth.json", "--start", "2026-05-01T08:00:00"], "Invalid value for '--start'"),
    ],
)
def test_a_wrong_option_is_told_with_its_name(good, said, words, told):
    code, out, err = said("out", *words)

    assert (code, out) == (2, "")
    assert told in err[-1]


def test_a_running_gantry_needs_a_camera(good, said):
    code, _, err = said("http://127.0.0.1:9", "--truth", "truth.json")

    assert code == 2
    assert "say whose events by --camera" in err[-1]


@pytest.mark.parametrize("start", ["2026-05-01T08:00:00+02:00", "2026-05-01T06:00:00Z", "1777615200000"])
def test_a_start_is_a_moment(tmp_path, said, start):
    by_eye(tmp_path / "truth.json", (1.5, "+", "car"))
    counted(tmp_path / "out", (1.5, "to_right", "car"), origin_ms=1_777_615_200_000, t_seconds=None, file=None)

    code, out, _ = said("out", "--truth", "truth.json", "--start", start)
    assert (code, out.splitlines()[0]) == (0, "1 of 1 passage was found; nothing more, nothing less.")


def test_every_verdict_has_a_word_that_people_know():
    from pipeline.evaluate.timeline import NAMES  # noqa: PLC0415 - one test's need

    assert NAMES.keys() == set(Verdict)
