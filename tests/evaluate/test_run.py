import json

import pytest

from pipeline.core.model import Way
from pipeline.errors import Fatal
from pipeline.evaluate.run import Run, events_of, only_camera, placed, read_events, read_speeds, read_watched, speeds_of
from tests.evaluate.examples import seen, truth

ROW = {
    "type": "crossing",
    "id": "1",
    "camera": "a",
    "line": "near",
    "direction": "to_left",
    "class": "car",
    "captured_ms": 5,
}


def rows(*changes):
    return "".join(json.dumps({k: v for k, v in (ROW | change).items() if v is not ...}) + "\n" for change in changes)


def run(*events, **more):
    return Run(name="the run", events=events, **more)


def times(made):
    return [p.t_ms for p in made.passages]


def test_events_are_read():
    (event,) = read_events(rows({"track": "0-1-2", "x": 0.5, "score": 1, "speed_kmh": 43.2}), "e")

    assert (event.line, event.direction, event.label, event.captured_ms) == ("near", Way.TO_LEFT, "car", 5)
    assert (event.track, event.x, event.y, event.speed_kmh) == ("0-1-2", 0.5, None, 43.2)


def test_of_rows_with_one_id_the_last_one_holds_and_other_events_are_passed_over():
    text = rows({}, {"class": "truck"}, {"id": "2", "type": "stopped_vehicle", "line": ...}, {"id": ...}, {"id": ...})

    assert [e.label for e in read_events(text + "\n", "e")] == ["truck", "car", "car"]


def test_a_crossing_that_the_run_took_back_is_left_out():
    text = rows({"id": "1"}, {"id": "2"}, {"id": "2", "valid": False})

    assert [e.id for e in read_events(text, "e")] == ["1"]


def test_all_rows_that_are_no_events_are_told():
    with pytest.raises(Fatal) as caught:
        read_events(rows({"line": ...}, {}, {"direction": "up"}) + "nonsense\n7\n", "e")

    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["e", f"line {n}"] for n in (4, 1, 3, 5)
    ]


def test_rows_that_the_api_told_are_the_same():
    assert events_of([ROW], "api") == read_events(rows({}), "e")


SPEED = ROW | {"type": "speed", "trap": "t", "from_line": "far", "metres": 20.0, "speed_kmh": 72.5, "speed_sd_kmh": 1.5}


def test_speeds_of_traps_are_read_beside_crossings():
    text = rows({}, SPEED, SPEED | {"id": "2", "valid": False}, SPEED | {"speed_kmh": 73.0, "t_seconds": 0.005})

    (speed,) = read_speeds(text, "e")

    assert (speed.trap, speed.from_line, speed.line, speed.speed_kmh) == ("t", "far", "near", 73.0)
    assert len(read_events(text, "e")) == 1
    assert speeds_of([ROW, SPEED], "api") == read_speeds(rows(SPEED), "e")


@pytest.mark.parametrize("change", [{"trap": ...}, {"metres": 0}, {"speed_kmh": "fast"}, {"speed_sd_kmh": -1}])
def test_speeds_that_are_none_are_told_with_their_line(change):
    with pytest.raises(Fatal, match="e: line 2: "):
        read_speeds(rows({}, SPEED | change), "e")


def test_speeds_are_placed_as_crossings_are():
    (speed,) = read_speeds(rows(SPEED | {"captured_ms": 1_777_000, "t_seconds": 2.5, "file": "road.mp4"}), "e")
    of_run = run(seen(1777, file="road.mp4", t_seconds=2.5), clocked=(speed,))

    (by_file,) = placed(of_run, truth(video="road.mp4")).timed
    (by_clock,) = placed(of_run, truth(start_ms=1_774_000)).timed

    assert (by_file.passage.t_ms, by_clock.passage.t_ms) == (2500, 3000)
    assert (by_file.from_line, by_file.passage.line, by_file.passage.speed_sd_kmh) == ("far", "near", 1.5)


def test_watched_time_is_the_sum_of_what_the_windows_saw():
    text = "camera,start_ms,window_s,coverage,line\na,0,30.0,1.0,x\na,0,30.0,1.0,y\na,30000,30.0,0.25,x\n"

    assert read_watched(text, "flow.csv") == 37_500
    assert read_watched("camera,start_ms,window_s,coverage\n", "flow.csv") is None
    with pytest.raises(Fatal, match=r"flow\.csv: line 2: this is no flow"):
        read_watched("a,b\n1,2\n", "flow.csv")


def test_a_file_s_events_are_placed_by_the_time_since_its_first_picture():
    """Whatever the survey's clock says."""
    made = placed(run(seen(1_777_000, file="road.mp4", t_seconds=2.5)), truth(video="x/road.mp4"))

    assert times(made) == [2500]


def test_of_a_survey_of_several_files_the_truth_s_own_counts():
    events = [seen(1, file="/a/one.mp4", t_seconds=1.0), seen(61, file="/a/two.mp4", t_seconds=1.5)]

    assert times(placed(run(*events), truth(video="two.mp4"))) == [1500]


def test_a_simulation_s_events_are_placed_by_its_clock():
    """The first picture may be taken after t = 0, so t_seconds is not the time since then."""
    event = seen(1_767_225_602.5, file="sim+detections://street?seed=1", t_seconds=2.4)

    assert times(placed(run(event), truth(start_ms=1_767_225_600_000))) == [2500]


def test_a_simulation_counted_without_its_clock_is_placed_by_the_time_since_the_first_picture():
    event = seen(2.5, file="sim+detections://street?seed=1", t_seconds=2.5)

    assert times(placed(run(event), truth(start_ms=1_767_225_600_000))) == [2500]


def test_a_start_that_a_person_gives_comes_before_everything():
    event = seen(102, file="road.mp4", t_seconds=2.5)

    assert times(placed(run(event), truth(video="road.mp4"), start_ms=100_000)) == [2000]


@pytest.mark.parametrize("away_s", [-86_400, -70, 70, 31_536_000])
def test_events_of_another_clock_stay_outside_though_they_tell_their_time_in_the_file(away_s):
    event = seen(1_767_225_600 + away_s, file="sim+detections://street?seed=1", t_seconds=2.5)

    assert times(placed(run(event), truth(start_ms=1_767_225_600_000))) == [away_s * 1000]
    begin_ms = event.captured_ms - 2500
    assert times(placed(run(event), truth(start_ms=1_767_225_600_000), start_ms=begin_ms)) == [2500]


def test_capture_times_alone_and_a_truth_without_a_clock_are_refused():
    with pytest.raises(Fatal, match=r"the run tells capture times only, and the truth does not say .* --start"):
        placed(run(seen(1)), truth())


def test_a_run_without_events_is_placed():
    assert times(placed(run(), truth())) == []


def test_events_of_several_cameras_need_a_name():
    both = run(seen(1, camera="a"), seen(2, camera="b"))

    assert only_camera(both, "b").events == both.events[1:]
    with pytest.raises(Fatal, match=r"2 cameras \(a, b\)"):
        only_camera(both, None)
    with pytest.raises(Fatal, match="no events of camera c, but of a, b"):
        only_camera(both, "c")
