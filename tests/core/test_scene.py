import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.flow_field import CELL
from pipeline.core.model import CameraState as State
from pipeline.core.model import (
    Clock,
    Closed,
    Crossing,
    Detections,
    Flow,
    Gap,
    GapReason,
    Line,
    LiveTracks,
    Opened,
    Scene,
    Size,
    Tick,
)
from pipeline.core.road import UNKNOWN
from pipeline.core.scene import Fate, Memory, ScenePolicy, finish, observe
from tests.core.road import POLICY, SCENE, SIZE, Log, Vehicle, run

CARS = [Vehicle(x=0.3 + 0.1 * n, y=0.2, vy=0.2, from_ms=1000 * n) for n in range(4)]
SOUTH_AT_MS = [1500, 2500, 3500, 4500]  # 0.3 shares at 0.2 a second


def crossings(outputs):
    return [o for o in outputs if isinstance(o, Crossing)]


def flows(outputs):
    return [o for o in outputs if isinstance(o, Flow)]


def road(fps=10, seconds=8):
    log = Log()
    log.open()
    log.drive(CARS, range(0, seconds * 1000, 1000 // fps))
    return log


@pytest.mark.parametrize("fps", [4, 5, 10, 25])
def test_every_vehicle_that_crosses_is_told_once_with_way_name_and_time(fps):
    outputs, _, _ = run(road(fps).records)

    found = crossings(outputs)
    assert [c.direction_name for c in found] == ["southbound"] * 4
    assert [c.captured_ms for c in found] == pytest.approx(SOUTH_AT_MS, abs=60)
    assert len({c.id for c in found}) == 4


def test_the_same_log_gives_the_same_outputs_bit_for_bit():
    first, _, _ = run(road().records)
    second, _, _ = run(road().records)

    assert msgspec.json.encode(first) == msgspec.json.encode(second)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_crashes_at_any_places_and_replays_from_any_older_record_lose_nothing_and_add_nothing(data):
    """The memory is stored now and then; a crash goes back to it and reads the log again from further back."""
    records = road(fps=5).records
    straight, _, _ = run(records)
    told, memory, at = {}, Memory(camera="c"), 0
    for _ in range(4):
        stop = data.draw(st.integers(at, len(records)))
        stored_at = data.draw(st.integers(at, stop))
        outputs, _, after = run(records[at:stored_at], memory)
        lost_work, _, _ = run(records[stored_at:stop], after)  # told, but its memory is lost
        for c in crossings(outputs) + crossings(lost_work):
            assert told.setdefault(c.id, c) == c, "a repeat says the same"
        memory = msgspec.json.decode(msgspec.json.encode(after), type=Memory)
        at = data.draw(st.integers(0, stored_at))  # the commit lags behind the memory
    outputs, _, _ = run(records[at:], memory)
    told.update({c.id: c for c in crossings(outputs)})

    assert told == {c.id: c for c in crossings(straight)}


def test_repeats_and_records_of_an_older_epoch_change_nothing():
    old, new = Log(epoch=6), road()
    old.open()
    old.drive(CARS, range(0, 500, 100))
    _, _, memory = run(new.records)

    outputs, fates, after = run([*new.records, *old.records], memory)

    assert outputs == []
    assert after is memory
    assert set(fates) == {Fate.REPEAT, Fate.STALE}


def test_an_epoch_is_no_break_tracks_survive_it():
    log = Log()
    log.open()
    log.drive(CARS, range(0, 1400, 100))
    again = Log(epoch=9)
    again.open(1400, epoch_before=7, partition_before=0)
    again.drive(CARS, range(1400, 8000, 100))

    outputs, _, _ = run([*log.records, *again.records])

    assert len(crossings(outputs)) == 4
    assert crossings(outputs)[0].track.startswith("7-")


def test_a_restarted_clock_ends_all_tracks():
    log = Log()
    log.open()
    log.drive(CARS, range(0, 1400, 100))
    again = Log(epoch=9)
    again.open(1400, restarts=True, epoch_before=7, partition_before=0)
    _, _, memory = run([*log.records, *again.records])

    assert memory.tracks == []


def reopened(size):
    """The memory when a camera was opened again, with pictures of this size, and one of a later second."""
    log = Log()
    log.open()
    log.drive(CARS, range(0, 4000, 100))
    again = Log(epoch=9)
    again.put(Opened(source_size=size, clock=Clock.FILE, epoch_before=7, partition_before=0), 4000)
    _, _, before = run(log.records)
    _, _, at_once = run(again.records, before)
    again.put(msgspec.structs.replace(SCENE, revision=2, drawn_on=size), 4000)
    again.drive([Vehicle(x=0.9, y=0.2, vy=0.2, from_ms=4000)], range(4000, 7000, 100))
    return before, at_once, run(again.records, before)[2]


def test_pictures_of_another_shape_have_other_places_nothing_of_the_old_ones_is_looked_up_in_them():
    before, at_once, after = reopened(Size(480, 360))

    assert before.road.flow["vehicle"].arrows()
    assert (at_once.road, at_once.tracks, at_once.trails) == (UNKNOWN, [], {})
    field = after.road.flow["vehicle"]
    assert (field.rows, field.columns) == (20, 27)
    assert [x for x, *_ in field.arrows() if abs(x - 0.9 * 4 / 3) > CELL] == []


def test_pictures_of_another_size_and_the_same_shape_go_on_with_what_is_known():
    before, at_once, after = reopened(Size(854, 480))

    assert (at_once.road, at_once.tracks) == (before.road, before.tracks)
    assert len(after.road.flow["vehicle"].arrows()) > len(before.road.flow["vehicle"].arrows())


def test_a_moved_camera_waits_for_the_end_of_its_old_epoch_and_loses_nothing():
    old, new = Log(), Log(epoch=9, partition=5)
    old.open()
    old.drive(CARS, range(0, 2000, 100))
    new.open(2000, epoch_before=7, partition_before=0)
    new.drive(CARS, range(2000, 8000, 100))
    closed = old.put(Closed(last_seq=old.seq - 1, reason="placement moved"), 1900)
    overtaken = [*old.records[:10], *new.records[:20], *old.records[10:-1], closed, *new.records[20:]]

    in_order, _, _ = run([*old.records, *new.records])
    outputs, fates, memory = run(overtaken)

    assert crossings(outputs) == crossings(in_order)
    assert fates.count(Fate.HELD) == 20
    assert memory.held == []


def test_a_moved_camera_does_not_wait_for_ever_for_an_end_that_never_comes():
    old, new = Log(), Log(epoch=9, partition=5)
    old.open()
    old.drive(CARS, range(0, 2000, 100))
    new.open(2000, epoch_before=7, partition_before=0)
    new.drive([], range(2000, 40_000, 100))

    _, fates, memory = run([*old.records, *new.records])

    assert memory.epoch == 9
    assert Fate.HELD in fates
    assert memory.held == []


def test_an_epoch_whose_beginning_is_lost_waits_for_its_keyframe():
    log = road()
    opened, scene = log.records[0], log.records[1]
    later = Log()
    later.seq = log.seq
    later.put(opened.body, 8000)
    later.put(scene.body, 8000)
    later.drive([], range(8000, 9000, 100))

    outputs, fates, memory = run([*log.records[2:], *later.records])

    assert fates[: len(log.records) - 2] == [Fate.HELD] * (len(log.records) - 2)
    assert memory.includes == later.records[-1].header.order
    assert [o for o in outputs if isinstance(o, LiveTracks)], "what was held was looked at"


def test_the_memory_of_another_log_is_not_compared_with_this_one():
    _, _, memory = run(road().records)
    made_anew = Log(epoch=0, log="log-2")
    made_anew.open()

    _, fates, after = run(made_anew.records, memory)

    assert fates == [Fate.CONTROL, Fate.CONTROL]
    assert after.epoch == 0


def test_coverage_tells_what_was_not_seen():
    log = Log()
    log.open()
    log.drive([], range(0, 10_000, 100))
    log.put(Gap(from_ms=10_000, to_ms=19_900, reason=GapReason.OVERFLOW, frames=99), 19_900)
    log.drive([], range(20_000, 40_000, 100))

    outputs, _, _ = run(log.records)

    assert flows(outputs)[0].coverage == pytest.approx(20 / 30, abs=0.01)


def test_records_missing_from_the_log_count_as_not_seen():
    log = Log()
    log.open()
    log.drive([], range(0, 36_000, 100))
    without = [r for r in log.records if not 10_000 <= r.header.captured_ms < 11_500]

    outputs, _, _ = run(without)

    assert flows(outputs)[0].coverage == pytest.approx(28.4 / 30, abs=0.01)


def test_ticks_close_windows_of_a_silent_camera_and_say_that_nothing_was_seen():
    log = Log()
    log.open()
    log.drive([], range(0, 15_000, 100))
    for at in range(15_000, 100_000, 1000):
        log.put(Tick(state=State.STALLED), at)

    outputs, _, _ = run(log.records)

    assert [(f.start_ms, f.coverage) for f in flows(outputs)] == [
        (0, pytest.approx(0.5, abs=0.01)),
        (30_000, 0),
        (60_000, 0),
    ]


def test_a_new_scene_takes_effect_at_its_place_in_the_log():
    moved = Scene(drawn_on=SIZE, revision=2, lines=[Line(name="far", start=(0.1, 0.3), end=(0.9, 0.3))])
    log = Log()
    log.open()
    log.drive(CARS, range(0, 3000, 100))
    log.put(moved, 3000)
    log.drive(CARS, range(3000, 8000, 100))

    found = crossings(run(log.records)[0])

    assert [(c.line, c.scene_revision) for c in found if c.captured_ms < 3000] == [("stop", 1)] * 2
    assert {(c.line, c.scene_revision) for c in found if c.captured_ms >= 3000} == {("far", 2)}


def test_a_repeated_scene_or_opened_changes_nothing_on_a_track_that_stands_on_the_line():
    log = Log()
    log.open()
    log.drive(CARS, range(0, 1600, 100))
    log.put(SCENE, 1600)
    log.put(Opened(source_size=SIZE, clock=Clock.FILE), 1600)
    log.drive(CARS, range(1600, 8000, 100))

    assert len(crossings(run(log.records)[0])) == 4


def test_zone_occupancy_is_who_stood_inside_over_the_time_seen():
    log = Log()
    log.open()
    log.drive([Vehicle(x=0.5, y=0.5, vy=0.0, to_ms=15_000)], range(0, 40_000, 100))

    zone = flows(run(log.records)[0])[0].zones[0]

    assert zone.max_vehicles == 1
    assert zone.occupied_share == pytest.approx(0.77, abs=0.01)  # 15 s, and 8 s until one that stood is given up


def test_a_file_that_ends_tells_its_last_window():
    _, _, memory = run(road().records)

    _, outputs = finish(memory, ScenePolicy())
    (flow,) = flows(outputs)

    assert sum(c.count for c in flow.lines[0].counts) == 4


def test_the_memory_stays_bounded_however_long_a_road_is_watched():
    log = Log()
    log.open()
    cars = [Vehicle(x=0.5, y=0.1, vy=0.3, from_ms=2000 * n) for n in range(150)]
    log.drive(cars, range(0, 300_000, 200))

    memory, most = Memory(camera="c"), 0
    for record in log.records:
        memory = observe(memory, record, POLICY).memory
        most = max(most, len(msgspec.json.encode(memory)))

    assert most < 10_000


def test_what_was_seen_only_within_anothers_box_has_crossed_nothing_when_it_comes_to_be_a_vehicle():
    """A second box on one vehicle drives over the line with it; later the vehicle's own box is lost to it."""
    log = Log()
    log.open()
    for at in range(0, 3000, 100):
        y = 0.2 + 0.2 * at / 1000
        whole, part = (0.45, y - 0.16, 0.55, y), (0.46, y - 0.12, 0.53, y - 0.03)
        boxes = [(*part, 0.9)] if at >= 2400 else [(*whole, 0.9), (*part, 0.5)]
        x1, y1, x2, y2, score = (list(c) for c in zip(*boxes, strict=True))
        log.put(Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=score, label=["car"] * len(x1)), at)

    assert len([e for e in run(log.records)[0] if isinstance(e, Crossing) and e.line == "stop"]) == 1
