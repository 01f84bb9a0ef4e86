import csv
import json
import resource
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pipeline.adapters.survey_files import EVENT_COLUMNS, SurveyFiles
from pipeline.core.model import (
    CameraId,
    Clock,
    Crossing,
    Flow,
    FlowCount,
    FlowSpeed,
    LineFlow,
    MovementFlow,
    Overcrowded,
    Speed,
    Way,
    ZoneFlow,
)
from pipeline.errors import Fatal

FILES = {"events.jsonl", "events.csv", "flow.csv"}


def crossing(at=0, **more):
    return Crossing(
        id=f"log/c/0-0-0/gate/{at}", camera=CameraId("c"), line="gate", direction=Way.TO_LEFT, label="car", score=0.5,
        captured_ms=at, x=0.5, y=0.25, track="0-0-0", clock=Clock.FILE, scene_revision=0, epoch=0, **more,
    )  # fmt: skip


def window(at=0, counts=(), revision=1):
    lines = [LineFlow(line="gate", counts=list(counts))]
    return Flow(
        place="c", kind="camera", start_ms=at, window_ms=30_000, coverage=0.5, lines=lines, zones=[], revision=revision
    )


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_the_same_event_is_in_both_files(tmp_path):
    with SurveyFiles(tmp_path, ZoneInfo("Europe/Amsterdam")) as files:
        files.event(crossing(1_777_615_200_000, direction_name='to "de brug", zuid'), "één.mp4", 1.25)

    (event,) = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    (row,) = rows(tmp_path / "events.csv")
    assert names(tmp_path) == FILES
    assert tuple(row) == EVENT_COLUMNS
    assert row == {column: str(event.get(column, "")) for column in EVENT_COLUMNS} | {"valid": "true"}
    assert event["local_time"] == "2026-05-01T08:00:00.000+02:00"
    assert (event["file"], event["t_seconds"], event["class"]) == ("één.mp4", 1.25, "car")


def test_a_crossing_that_comes_again_takes_the_place_of_the_one_before(tmp_path):
    with SurveyFiles(tmp_path, None) as files:
        for at in (0, 1000, 2000):
            files.event(crossing(at, direction_name='one "line"'), "a", at / 1000)
        files.event(crossing(1000, direction_name='one "line"', revision=1, valid=False), "a", 1.0)

    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert names(tmp_path) == FILES
    assert [(e["captured_ms"], e["valid"]) for e in events] == [(0, True), (1000, False), (2000, True)]
    assert [(r["captured_ms"], r["valid"]) for r in rows(tmp_path / "events.csv")] == [
        ("0", "true"), ("1000", "false"), ("2000", "true"),
    ]  # fmt: skip


def test_speeds_are_in_both_files_and_in_the_flow(tmp_path):
    speed = Speed(
        id="s", camera=CameraId("c"), trap="run", from_line="a", line="gate", direction=Way.TO_LEFT, label="car", score=0.9, captured_ms=5,
        seconds=2.0, metres=20.0, speed_kmh=36.0, speed_sd_kmh=0.5, track="0-0-0", clock=Clock.FILE, scene_revision=0, epoch=0,
    )  # fmt: skip
    fast = FlowSpeed(direction=Way.TO_LEFT, speeds=2, mean_kmh=50.5, median_kmh=50.0)
    counts = [FlowCount(direction=way, label="car", count=2) for way in (Way.TO_LEFT, Way.TO_RIGHT)]
    with SurveyFiles(tmp_path, None) as files:
        files.event(crossing(speed_kmh=51.25, speed_sd_kmh=1.5), "a", 0.0)
        files.event(speed, "a", 0.0)
        files.flow(
            Flow(
                place="c", kind="camera", start_ms=0, window_ms=30_000, coverage=1.0, zones=[],
                lines=[LineFlow(line="gate", counts=counts, speeds=[fast])],
            )
        )  # fmt: skip

    crossed, trapped = rows(tmp_path / "events.csv")
    assert (crossed["type"], crossed["speed_kmh"], crossed["trap"]) == ("crossing", "51.25", "")
    assert (trapped["type"], trapped["speed_kmh"], trapped["trap"], trapped["metres"]) == (
        "speed",
        "36.0",
        "run",
        "20.0",
    )
    told, other = rows(tmp_path / "flow.csv")
    assert (told["speeds"], told["mean_kmh"], told["median_kmh"]) == ("2", "50.5", "50.0")
    assert (other["speeds"], other["mean_kmh"]) == ("", "")


def test_where_nobody_said_when_it_began_there_is_no_local_time(tmp_path):
    with SurveyFiles(tmp_path, None) as files:
        files.event(crossing(), "a", 0.0)
        files.flow(window())

    assert rows(tmp_path / "events.csv")[0]["local_time"] == ""
    assert rows(tmp_path / "flow.csv")[0]["local_time"] == ""


def test_flow_has_a_row_for_each_count_in_order_of_time_and_one_where_nothing_crossed(tmp_path):
    counts = [
        FlowCount(direction=Way.TO_LEFT, label="car", count=3),
        FlowCount(direction=Way.TO_RIGHT, label="bus", count=1),
    ]
    with SurveyFiles(tmp_path, None) as files:
        files.flow(window(30_000))
        files.flow(window(0, counts))

    assert [(r["start_ms"], r["line"], r["direction"], r["class"], r["count"]) for r in rows(tmp_path / "flow.csv")] == [
        ("0", "gate", "to_left", "car", "3"), ("0", "gate", "to_right", "bus", "1"), ("30000", "gate", "", "", "0"),
    ]  # fmt: skip


def overcrowded(revision, **more):
    return Overcrowded(
        id="log/c/box/overcrowded/0-9", camera=CameraId("c"), captured_ms=5, clock=Clock.FILE, scene_revision=0, epoch=0,
        zone="box", limit=3, vehicles=3 + revision, revision=revision, **more,
    )  # fmt: skip


def test_of_an_event_that_is_told_again_the_last_revision_stands_where_it_was_told_first(tmp_path):
    with SurveyFiles(tmp_path, None) as files:
        files.event(overcrowded(0), "a", 0.0)
        files.event(crossing(), "a", 0.0)
        files.event(overcrowded(1), "a", 0.0)
        files.event(overcrowded(2, end_ms=900), "a", 0.0)

    assert [(r["type"], r["vehicles"], r["end_ms"]) for r in rows(tmp_path / "events.csv")] == [
        ("overcrowded", "5", "900"), ("crossing", "", ""),
    ]  # fmt: skip


def test_zones_and_movements_have_files_of_their_own_where_there_are_any(tmp_path):
    zone = ZoneFlow(zone="box", mean_vehicles=1.5, max_vehicles=2, occupied_share=1.0, entered=4, left=0)
    went = MovementFlow(origin="gate", destination="box", legal=False, label="car", count=3)
    with SurveyFiles(tmp_path, None) as files:
        files.flow(msgspec.structs.replace(window(), zones=[zone], movements=[went]))

    (stays,), (moved,) = rows(tmp_path / "zones.csv"), rows(tmp_path / "movements.csv")
    assert (stays["zone"], stays["entered"], stays["left"], stays["mean_dwell_ms"]) == ("box", "4", "0", "")
    assert (moved["from"], moved["to"], moved["name"], moved["legal"], moved["count"]) == (
        "gate",
        "box",
        "",
        "False",
        "3",
    )
    assert names(tmp_path) == FILES | {"zones.csv", "movements.csv"}


def test_a_later_revision_of_a_window_takes_the_place_of_the_earlier_one(tmp_path):
    with SurveyFiles(tmp_path, None) as files:
        files.flow(window())
        files.flow(window(counts=[FlowCount(direction=Way.TO_LEFT, label="car", count=1)], revision=2))

    assert [(r["count"], r["revision"]) for r in rows(tmp_path / "flow.csv")] == [("1", "2")]


def test_files_have_their_names_only_when_the_survey_is_complete(tmp_path):
    with SurveyFiles(tmp_path / "new" / "out", None) as files:
        files.event(crossing(), "a", 0.0)
        assert not FILES & names(tmp_path / "new/out")

    assert names(tmp_path / "new/out") == FILES


def broken_survey(out):
    with SurveyFiles(out, None) as files:
        files.event(crossing(7), "a", 0.0)
        raise KeyboardInterrupt


def test_a_survey_that_ends_early_leaves_nothing_and_keeps_the_one_before(tmp_path):
    with SurveyFiles(tmp_path, None) as files:
        files.event(crossing(), "a", 0.0)

    with pytest.raises(KeyboardInterrupt):
        broken_survey(tmp_path)

    assert names(tmp_path) == FILES
    assert [r["captured_ms"] for r in rows(tmp_path / "events.csv")] == ["0"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    for out, why in (("file", "File exists"), ("file/out", "Not a directory")):
        with pytest.raises(Fatal, match=f"^--out .*{out}: cannot write there: {why}$"):
            SurveyFiles(tmp_path / out, None)


def test_a_folder_where_only_some_files_can_be_made_is_left_as_it_was(tmp_path):
    (tmp_path / ".flow.csv.part").mkdir()

    with pytest.raises(Fatal, match="cannot write there: Is a directory"):
        SurveyFiles(tmp_path, None)

    assert names(tmp_path) == {".flow.csv.part"}


def write_many(out, events):
    with SurveyFiles(out, None) as files:
        for at in range(events):
            files.event(crossing(at), "a", 0.0)


@pytest.mark.parametrize("events", [10, 1000], ids=["found out at the end", "found out on the way"])
def test_a_full_disk_is_told_and_nothing_is_left(tmp_path, events):
    """A limit on the size of files stands for the disk's end."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, kept[1]))
    try:
        with pytest.raises(Fatal, match=f"^--out {tmp_path}: cannot write there: File too large$"):
            write_many(tmp_path, events)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)

    assert names(tmp_path) == set()
