import itertools
import json
import math
import re
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.core import geometry
from pipeline.core.anchors import step_of
from pipeline.core.crossing import advance, ruler
from pipeline.core.model import Line, Scene, Size, Way, Zone
from pipeline.errors import Fatal
from pipeline.simulate.camera import Pinhole, Shake
from pipeline.simulate.frames import LEAST_VISIBLE, MOT_CLASSES, Frame, frame_lines, frames, mot
from pipeline.simulate.journeys import Staged, positions
from pipeline.simulate.occupied import within
from pipeline.simulate.scenario import Approach
from pipeline.simulate.schema import PUBLISHED, published, schema
from pipeline.simulate.trace import to_right, united
from pipeline.simulate.truth import (
    START_MS,
    Incident,
    Movement,
    Occupied,
    Passage,
    Queue,
    Truth,
    encode_truth,
    truth,
)
from pipeline.simulate.truth_file import read_truth
from pipeline.simulate.view import boxes
from tests.simulate.small import CAMERA, GATE_M, NORTH, SOUTH, drives, journey, recording, scenario, stands

GOLDEN = Path(__file__).parent / "golden" / "truth-v1.json"
PERSON = (0.5, 0.5, 1.75)


def floats(low, high):
    return st.floats(low, high, allow_nan=False)


def passages(*journeys, **changes):
    return truth(recording(*journeys), scenario(**changes)).passages


# --- passages -----------------------------------------------------------------------------------


@given(floats(3, 40), floats(20, 39), floats(-3, 3))
def test_who_drives_away_passes_when_the_rear_is_over_the_line(ms, y, x):
    """From a high camera the lower edge of the box is the edge of the footprint that is nearest."""
    found = passages(drives(y, ms, x=x, size=(4.5, 1.8, 1.5)))
    t_ms = (GATE_M - (y - 2.25)) / ms * 1000
    assume(abs(t_ms - 10_000) > 1)

    if t_ms > 10_000:
        assert found == ()
    else:
        (passage,) = found
        assert passage.t_ms == pytest.approx(t_ms, abs=0.1)
        assert passage.direction is Way.TO_LEFT
        assert passage.speed_kmh == pytest.approx(ms * 3.6, abs=0.01)


@given(floats(3, 20), floats(45, 60))
def test_who_comes_near_passes_when_the_front_is_over_the_line(ms, y):
    (passage, *_) = passages(drives(y, -ms)) or [None]
    t_ms = (y - 2.25 - GATE_M) / ms * 1000
    assume(abs(t_ms - 10_000) > 1)

    if t_ms > 10_000:
        assert passage is None
    else:
        assert passage.t_ms == pytest.approx(t_ms, abs=0.1)
        assert passage.direction is Way.TO_RIGHT


def test_the_place_told_lies_on_the_line():
    (passage,) = passages(drives(30, 8, x=2.0))
    (line,) = truth(recording(), scenario()).scene.lines

    assert abs(geometry.distance(line.start, line.end, (passage.x, passage.y))) < 1e-4
    assert 0.5 < passage.x < 1


@settings(max_examples=40)
@given(floats(-2, 2), floats(1.5, 25), st.sampled_from(["north", "south", "aslant"]), floats(0, 0.1))
def test_the_counting_core_finds_the_same_passages_in_dense_pictures(x, ms, way, k1):
    """Its dead band is set to nothing: then only the geometry is left to differ."""
    camera = Pinhole(pose=CAMERA.pose, lens=msgspec.structs.replace(CAMERA.lens, k1=k1))
    place = scenario(camera=camera)
    user = {
        "north": drives(25, ms, x=x),
        "south": drives(60, -ms, x=x),
        "aslant": journey(x + np.arange(101) * ms * 0.03, 30 + np.arange(101) * ms * 0.09, NORTH - 0.32),
    }[way]
    told = truth(recording(user), place)
    (line,) = told.scene.lines
    t_ms = np.arange(0, 10_001, 50)
    at = boxes(camera, *positions(user, 100, t_ms)[:3], (user.length_m, user.width_m, user.height_m))
    feet = [((x1 + x2) / 2, y2) for x1, _, x2, y2 in at]
    memory, found = None, []
    for (before, after), early in zip(itertools.pairwise(feet), t_ms, strict=False):
        if math.isnan(before[0] + after[0]):
            continue
        step = step_of(before, int(early), after, int(early) + 50, band=1e-9, aspect=16 / 9)
        memory, crossed = advance(ruler(line.start, line.end, 16 / 9), memory, step)
        found += [crossed] if crossed else []

    assert [(c.way, pytest.approx(c.captured_ms, abs=3)) for c in found] == [
        (p.direction, p.t_ms) for p in told.passages
    ]


def test_a_sway_does_not_change_the_truth():
    shaken = Pinhole(pose=CAMERA.pose, lens=CAMERA.lens, shake=Shake(sway_px=15))
    traffic = recording(drives(30, 8), drives(60, -9, user=2))

    assert truth(traffic, scenario(camera=shaken)) == truth(traffic, scenario())


def test_who_stops_on_the_line_and_rolls_back_a_little_has_not_passed_it():
    """Its rear is 10 cm over the line at most; then it is back."""
    y = np.array([39.0, 40, 41, 42, *[42.35] * 20, *[42.2] * 60])

    assert passages(journey(0, y, NORTH)) == ()


def test_who_wobbles_on_the_line_and_drives_on_has_passed_it_once_when_it_did_for_good():
    wobble = [42.2, 42.3] * 20
    (passage,) = passages(journey(0, np.array([40.0, 41, *wobble, *np.arange(42.3, 60, 0.8)]), NORTH))

    assert passage.direction is Way.TO_LEFT
    assert passage.t_ms > 4000


def test_a_u_turn_over_the_line_is_two_passages():
    y = np.concatenate([np.arange(30, 50, 0.8), np.arange(50, 30, -0.8)])
    heading = np.where(np.arange(len(y)) < 25, NORTH, SOUTH)

    assert [p.direction for p in passages(journey(0, y, heading))] == [Way.TO_LEFT, Way.TO_RIGHT]


@pytest.mark.parametrize(
    ("user", "changes"),
    [
        (drives(30, 8, x=7.0), {"lines": {"gate": ((-8.0, 40.0), (6.0, 40.0))}}),
        (drives(30, 8, label="person", size=PERSON), {}),
        (drives(30, 8), {"classes": ("bus",)}),
        (drives(30, 0.5), {}),
        (drives(43, 8), {}),
        (drives(30, 8, from_ms=12_000), {}),
    ],
    ids=["beyond its end", "nobody counts people", "cars do not count", "too slow", "beyond it", "not yet there"],
)
def test_is_no_passage(user, changes):
    assert passages(user, **changes) == ()


def test_where_no_classes_are_named_none_but_the_named_pass():
    found = passages(drives(30, 8, label="person", size=PERSON), classes=("person",))

    assert [p.label for p in found] == ["person"]


def test_headway_is_front_to_front_and_gap_is_rear_to_front_each_way_for_itself():
    first, second = drives(30, 10, user=1), drives(10, 10, user=2, size=(10.0, 2.5, 3.5))
    third = drives(60, -5, user=3, x=-3)
    found = {p.user: p for p in passages(first, second, third)}

    assert found[1].headway_s is None
    assert found[1].gap_s is None
    assert found[2].headway_s == pytest.approx((20 + 2.25 - 5) / 10, abs=1e-4)
    assert found[2].gap_s == pytest.approx((20 - 2.25 - 5) / 10, abs=1e-4)
    assert found[3].headway_s is None


def test_gap_is_below_nothing_side_by_side_and_headway_never():
    found = passages(drives(30, 10, user=1, x=-2), drives(29, 10, user=2, x=2))

    assert found[1].headway_s == pytest.approx(0.1, abs=1e-4)
    assert found[1].gap_s == pytest.approx(0.1 - 0.45, abs=1e-4)


def test_what_nobody_saw_is_not_told_as_headway():
    """The first one's front was over the line before the recording began; only its rear passed."""
    found = passages(drives(38.5, 10, user=1), drives(20, 10, user=2))

    assert [p.user for p in found] == [1, 2]
    assert found[1].headway_s is None
    assert found[1].gap_s == pytest.approx((20 - 2.25 - (1.5 + 2.25)) / 10, abs=1e-3)


# --- movements, incidents -----------------------------------------------------------------------


def test_a_movement_tells_where_from_where_to_and_when_in_the_picture():
    lower_edge = float(CAMERA.ground(np.array([[0.5, 1.0]]))[0, 1])
    user = drives(60, -10, ways=("north", "south"), size=(4.0, 1.8, 0.01))
    (movement,) = truth(recording(user), scenario()).movements

    assert (movement.origin, movement.destination) == ("north", "south")
    assert movement.from_ms == 0
    assert movement.to_ms == pytest.approx((60 + 2 - lower_edge) / 10 * 1000, abs=2)


def test_who_is_never_in_the_picture_has_no_movement():
    assert truth(recording(stands(80, 30)), scenario()).movements == ()


def test_an_incident_names_who_was_in_the_picture_and_ends_with_the_recording():
    seen, unseen = stands(0, 30), stands(80, 30, user=2)
    ways = (Staged("u_turn", 1000, 99_000, (1, 2), 0.0, 30.0), Staged("u_turn", 11_000, 12_000, (1,), 0.0, 30.0))
    told = truth(recording(seen, unseen, staged=ways), scenario())
    (incident,) = told.incidents

    assert (incident.users, incident.from_ms, incident.to_ms) == ((1,), 1000, told.duration_ms)
    assert told.duration_ms < 11_000


def test_an_incident_is_told_where_the_picture_shows_it():
    there, behind = Staged("u_turn", 1000, 2000, (1,), 0.0, 30.0), Staged("wrong_way", 1, 2, (1,), 0.0, -30.0)
    told = truth(recording(stands(0, 30), staged=(there, behind)), scenario()).incidents

    assert (told[0].x, told[0].y) == pytest.approx(CAMERA.share_of((0, 30), what=""), abs=1e-5)
    assert (told[0].kind, told[0].from_ms, told[0].to_ms, told[0].users) == ("u_turn", 1000, 2000, (1,))
    assert (told[1].x, told[1].y) == (None, None)


# --- occupancy ----------------------------------------------------------------------------------


def occupied(*journeys, duration_ms=10_000, **changes):
    told = truth(recording(*journeys, duration_ms=duration_ms), scenario(**changes)).occupied
    return {(o.place, o.from_ms, o.to_ms): o.share for o in told}


@given(floats(4, 30), floats(2, 18))
def test_a_line_is_occupied_as_long_as_the_footprint_is_over_it(ms, length):
    found = occupied(drives(20, ms, seconds=20, size=(length, 2.0, 3.0)), duration_ms=20_000)

    assert found == {("gate", 0, 20_000): pytest.approx(length / ms / 20, abs=2e-6)}


def test_two_side_by_side_occupy_a_line_once_and_one_after_the_other_twice():
    beside = occupied(drives(30, 10, x=-2), drives(30, 10, x=2, user=2))
    after = occupied(drives(30, 10, x=-2), drives(20, 10, x=2, user=2))

    assert beside == {("gate", 0, 10_000): pytest.approx(0.045, abs=1e-5)}
    assert after == {("gate", 0, 10_000): pytest.approx(0.09, abs=1e-5)}


def test_beyond_its_ends_a_line_is_not_occupied():
    assert occupied(drives(30, 10, x=9.5)) == {("gate", 0, 10_000): 0.0}
    assert occupied(drives(30, 10, x=8.5))[("gate", 0, 10_000)] > 0


def test_time_is_cut_into_half_minutes_and_a_standing_vehicle_fills_them():
    found = occupied(stands(0, 40, seconds=40, from_ms=15_000), duration_ms=70_000)

    assert found == {
        ("gate", 0, 30_000): 0.5,
        ("gate", 30_000, 60_000): pytest.approx(25 / 30, abs=1e-5),
        ("gate", 60_000, 70_000): 0.0,
    }


def test_a_zone_is_occupied_while_the_foot_of_the_box_is_in_it():
    zone = {"box": ((-4.0, 30.0), (4.0, 30.0), (4.0, 50.0), (-4.0, 50.0))}
    found = occupied(drives(10, 10), zones=zone)

    assert found[("box", 0, 10_000)] == pytest.approx(0.2, abs=1e-3)
    assert occupied(drives(10, 10, label="person"), zones=zone)[("box", 0, 10_000)] == 0.0


point = st.tuples(floats(-0.2, 1.2), floats(-0.2, 1.2))


@given(st.lists(point, min_size=3, max_size=7), st.lists(point, min_size=1, max_size=9))
def test_many_points_at_once_are_in_a_zone_as_the_core_says_of_each(polygon, points):
    assert within(polygon, np.array(points)).tolist() == [geometry.inside(polygon, p) for p in points]


@given(point, point, st.lists(point, min_size=1, max_size=9))
def test_many_points_at_once_are_on_a_side_as_the_core_says_of_each(a, b, points):
    ends = [geometry.level(p, 1.5) for p in (a, b)]
    each = [geometry.turn(*ends, geometry.level(p, 1.5)) >= 0 for p in points]

    assert to_right(a, b, np.array(points), 1.5).tolist() == each


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)).map(lambda s: (s[0], s[0] + s[1]))))
def test_united_spans_hold_the_same_moments_and_never_touch(spans):
    out = united(spans)
    moments = np.arange(0, 110, 0.5)

    assert all(early[1] < late[0] for early, late in itertools.pairwise(out))
    for t in moments:
        assert any(a <= t <= b for a, b in spans) == any(a <= t <= b for a, b in out)


# --- queues -------------------------------------------------------------------------------------

NORTHWARD = Approach(name="south", stop=(0.0, 60.0), heading_rad=NORTH, width_m=7.0, length_m=50.0)


def queues(*journeys, approach=NORTHWARD):
    told = truth(recording(*journeys), scenario(approaches=(approach,))).queues
    assert [q.t_ms for q in told] == list(range(0, 10_001, 1000))
    return [(q.vehicles, q.metres) for q in told]


def standing(*ys, **more):
    return [stands(0, y, user=n + 10, **more) for n, y in enumerate(ys)]


def test_a_queue_reaches_from_the_stop_line_to_the_rear_of_the_last_one():
    assert set(queues(*standing(57, 50, 43))) == {(3, 60 - 43 + 2.25)}


def test_an_empty_approach_has_a_queue_of_nothing():
    assert set(queues()) == {(0, 0.0)}


def test_a_queue_ends_where_the_road_is_clear_for_long():
    assert set(queues(*standing(57, 50, 22))) == {(2, 12.25)}
    assert set(queues(*standing(30))) == {(0, 0.0)}


def test_vehicles_farther_back_than_the_approach_do_not_queue():
    short = msgspec.structs.replace(NORTHWARD, length_m=10.0)

    assert set(queues(*standing(57, 49), approach=short)) == {(1, 5.25)}


def test_vehicles_elsewhere_in_the_other_direction_or_not_counted_do_not_queue():
    beside, coming = stands(5, 57), stands(0, 57, heading=SOUTH, user=2)
    crossing, person = stands(0, 57, heading=0.0, user=3), stands(0, 57, label="person", user=4)
    past, far = stands(0, 63, user=5), stands(0, 5, user=6)

    assert set(queues(beside, coming, crossing, person, past, far)) == {(0, 0.0)}


def test_a_vehicle_is_queued_below_5_kmh_and_until_it_is_faster_than_10():
    speeds = np.concatenate([np.full(20, 8), np.full(20, 3), np.full(20, 8), np.full(40, 12)]) / 3.6
    way = 40 + np.concatenate([[0], np.cumsum(speeds * 0.1)])
    found = [vehicles for vehicles, _ in queues(*standing(57, 50), journey(0, way, NORTH))]

    assert found == [2, 2, 2, 3, 3, 3, 2, 2, 2, 2, 2]


def test_a_queue_that_dissolves_from_its_head_is_there_until_its_last_vehicle_moves():
    leaving = journey(0, 57 + np.minimum(np.arange(101) * 0.6, 20), NORTH, user=1)
    found = queues(leaving, *standing(50, 43))

    assert found[0][0] == 2
    assert all(each == (2, 19.25) for each in found)


def test_lanes_side_by_side_are_one_queue_as_long_as_the_longer_one():
    lanes = [stands(-1.75, 57, user=1), stands(-1.75, 50, user=2), stands(1.75, 57, user=3)]

    assert set(queues(*lanes)) == {(3, 12.25)}


# --- pictures -----------------------------------------------------------------------------------


def test_pictures_hold_everyone_in_sight_by_identity_at_their_times():
    traffic = recording(stands(0, 30, user=7), drives(35, 5, user=9, from_ms=500, label="bus"), duration_ms=1000)
    shown = list(frames(traffic, scenario(), 4))

    assert [p.t_ms for p in shown] == [0, 250, 500, 750]
    assert [[b.user for b in p.boxes] for p in shown] == [[7], [7], [7, 9], [7, 9]]
    bus = shown[3].boxes[1]
    assert bus.label == "bus"
    assert bus.speed_kmh == pytest.approx(18)
    assert 0 < bus.x1 < bus.x2 < 1
    assert 0 < bus.visible < 1
    assert bus.inside == 1


@pytest.mark.parametrize("fps", [0, -1, math.nan])
def test_pictures_need_a_rate(fps):
    with pytest.raises(ValueError, match="fps must be above 0"):
        list(frames(recording(), scenario(), fps))


def test_mot_files_count_from_1_and_hold_the_same_boxes_in_pixels():
    traffic = recording(stands(0, 30, user=0, label="truck"), drives(35, 5, user=9), duration_ms=1000)
    shown = list(frames(traffic, scenario(), 5))
    files = mot(traffic, scenario(), 5)
    rows = [line.split(",") for line in files.gt.splitlines()]

    assert all(
        re.fullmatch(r"\d+,\d+(,-?\d+\.\d\d){2}(,\d+\.\d\d){2},[01],\d+,[01]\.\d{3}", line)
        for line in files.gt.splitlines()
    )
    assert [(int(r[0]), int(r[1])) for r in rows] == [(p.number + 1, b.user + 1) for p in shown for b in p.boxes]
    for row, box in zip(rows, [b for p in shown for b in p.boxes], strict=True):
        left, top, width, height = map(float, row[2:6])
        assert left == pytest.approx(box.x1 * 1280 + 1, abs=0.01)
        assert top == pytest.approx(box.y1 * 720 + 1, abs=0.01)
        assert width == pytest.approx((box.x2 - box.x1) * 1280, abs=0.01)
        assert height == pytest.approx((box.y2 - box.y1) * 720, abs=0.01)
        assert int(row[7]) == MOT_CLASSES[box.label] == 3
    assert "frameRate=5\nseqLength=5\nimWidth=1280\nimHeight=720\n" in files.seqinfo


def test_mot_files_ask_to_ignore_who_is_hidden_or_not_counted():
    hidden = stands(0, 38, user=2, size=(1.0, 1.0, 1.2))
    traffic = recording(
        stands(0, 30, user=1, label="bus", size=(12.0, 2.5, 4.0)), hidden, stands(4, 30, user=3, label="person", size=PERSON),
        duration_ms=200,
    )  # fmt: skip
    rows = [line.split(",") for line in mot(traffic, scenario(), 5).gt.splitlines()]
    flags = {int(row[1]) - 1: (row[6], float(row[8])) for row in rows}

    assert flags[1] == ("1", 1.0)
    assert flags[2][0] == "0"
    assert flags[2][1] < LEAST_VISIBLE
    assert flags[3] == ("0", 1.0)


# --- lines of one's own ---------------------------------------------------------------------------


def drawn(*lines, size=CAMERA.lens.size, **more):
    """A scene with lines on the road, each (name, from, to) in metres."""
    at = [(name, *(CAMERA.share_of(end, what=name) for end in ends)) for name, *ends in lines]
    return Scene(drawn_on=size, revision=1, lines=[Line(name=n, start=a, end=b) for n, a, b in at], **more)


def test_what_was_driven_between_two_passages_is_told():
    """The front is over each line: a car that comes near at 8 m/s and drives on."""
    scene = drawn(("far", (-8.0, 50.0), (8.0, 50.0)), ("near", (-8.0, 25.0), (8.0, 25.0)))

    first, last = truth(recording(drives(60, -8)), scenario(), measured=scene).passages

    assert (first.line, last.line) == ("far", "near")
    assert last.way_m - first.way_m == pytest.approx(25.0, abs=0.01)
    assert first.way_m == pytest.approx(8 * first.t_ms / 1000, abs=0.01)


def test_lines_of_one_s_own_are_measured_as_the_scenario_s():
    of_place = truth(recording(drives(30, 8), stands(0, 50, user=2)), scenario())
    own = msgspec.structs.replace(of_place.scene, revision=7)

    assert (
        truth(recording(drives(30, 8), stands(0, 50, user=2)), scenario(), measured=own).passages == of_place.passages
    )


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (
            drawn(("gate", (-8.0, 40.0), (8.0, 40.0)), size=Size(640, 480)),
            "drawn on 640x480, the pictures of small are",
        ),
        (drawn(("gate", (-8.0, 40.0), (8.0, 40.0)), anchors={"car": "bottom"}), "the scene has anchors"),
        (
            Scene(drawn_on=Size(1280, 720), revision=1, lines=[Line(name="sky", start=(0.2, 0.0), end=(0.8, 0.9))]),
            "line sky: it reaches above the horizon",
        ),
    ],
    ids=["shape", "anchors", "sky"],
)
def test_a_scene_that_cannot_be_measured_is_refused(scene, message):
    with pytest.raises(Fatal, match=message):
        truth(recording(), scenario(), measured=scene)


# --- the file -----------------------------------------------------------------------------------

EXAMPLE = Truth(
    scenario="junction",
    seed=1,
    size=Size(1280, 720),
    scene=Scene(
        drawn_on=Size(1280, 720),
        revision=1,
        lines=[Line(name="north", start=(0.25, 0.5), end=(0.75, 0.5), classes=["car", "bus"])],
        zones=[Zone(name="box", points=[(0.25, 0.25), (0.75, 0.25), (0.5, 0.75)], classes=["car"])],
    ),
    start_ms=START_MS,
    duration_ms=60_000,
    passages=(
        Passage(line="north", user=3, label="car", direction=Way.TO_LEFT, t_ms=1234.56, x=0.5, y=0.5, speed_kmh=48.25),
        Passage(
            line="north", user=4, label="bus", direction=Way.TO_LEFT, t_ms=3000.0, x=0.5, y=0.5, speed_kmh=36.0,
            headway_s=1.75, gap_s=1.5,
        ),
    ),
    movements=(Movement(user=3, label="car", origin="south", destination="north", from_ms=0, to_ms=9000),),
    queues=(Queue(approach="north", t_ms=1000, vehicles=2, metres=11.5),),
    occupied=(Occupied(place="north", from_ms=0, to_ms=30_000, share=0.125),),
    incidents=(
        Incident(kind="u_turn", from_ms=5000, to_ms=9000, users=(3, 4), x=0.5, y=0.25),
        Incident(kind="wrong_way", from_ms=5000, to_ms=9000, users=(), x=None, y=None),
    ),
)  # fmt: skip


def test_the_file_is_what_it_was_in_version_1():
    """If this fails the format has changed: make it a new version, and read the old one still."""
    kept = GOLDEN.read_bytes()

    assert encode_truth(EXAMPLE) == kept
    assert read_truth(kept) == EXAMPLE


def test_what_was_measured_is_read_again_as_it_was_and_as_the_schema_wants_it():
    traffic = recording(drives(30, 8), stands(0, 50, user=2), staged=(Staged("u_turn", 1, 2, (1,), 0.0, 30.0),))
    told = truth(traffic, scenario(zones={"z": ((-1, 30), (1, 30), (0, 40))}, approaches=(NORTHWARD,)))
    data = encode_truth(told)

    assert read_truth(data) == told
    jsonschema.Draft202012Validator(schema()).validate(json.loads(data))


def test_the_published_schema_is_up_to_date_and_a_schema():
    for kind, file in PUBLISHED.items():
        jsonschema.Draft202012Validator.check_schema(schema(kind))

        assert file.read_text(encoding="utf-8") == published(kind), "run: python -m pipeline.simulate.schema"
    assert {file.name for file in PUBLISHED.values()} == {"truth.schema.json", "frames.schema.json"}


def test_a_line_of_the_frames_file_is_as_its_schema_wants_it_and_as_the_picture_was():
    traffic, place = recording(drives(30, 8), stands(0, 50, user=2), stands(0, 56, user=3)), scenario()
    lines = [json.loads(line) for line in frame_lines(traffic, place, 5)]
    pictures = list(frames(traffic, place, 5))
    for line in lines[::10]:
        jsonschema.Draft202012Validator(schema(Frame)).validate(line)

    assert [line["t_ms"] for line in lines] == [picture.t_ms for picture in pictures]
    for line, picture in zip(lines, pictures, strict=True):
        assert [user["user"] for user in line["users"]] == [box.user for box in picture.boxes]
        for user, box in zip(line["users"], picture.boxes, strict=True):
            assert user["x1"] == pytest.approx(box.x1, abs=1e-6)
            assert user["y2"] == pytest.approx(box.y2, abs=1e-6)
            assert user["speed_kmh"] == pytest.approx(box.speed_kmh, abs=1e-3)
            assert (user["class"], user["occluded"]) == (box.label, pytest.approx(box.occluded, abs=1e-6))
            assert 0 <= user["visible"] + user["occluded"] <= 1 + 2e-6
    assert any(user["user"] == 3 and user["occluded"] > 0.1 for line in lines for user in line["users"])


def test_an_incident_of_a_kind_that_nobody_knows_is_refused():
    incidents = json.loads(GOLDEN.read_bytes())["incidents"]
    incidents[1]["kind"] = "earthquake"
    (told,) = mistakes(spoilt(incidents=incidents))

    assert told.startswith("t.json: incidents[1].kind: Invalid enum value 'earthquake'")
    assert sorted(schema()["$defs"]["Incident"]["properties"]["kind"]["enum"]) == [
        "near_collision", "pedestrian_on_road", "spill_back", "stopped_vehicle", "u_turn", "wrong_way",
    ]  # fmt: skip


def test_the_same_recording_gives_the_same_bytes():
    traffic = [drives(30, 8), drives(60, -7, user=2), stands(0, 40, user=3)]

    assert encode_truth(truth(recording(*traffic), scenario())) == encode_truth(truth(recording(*traffic), scenario()))


def spoilt(**changes):
    return json.dumps(json.loads(GOLDEN.read_bytes()) | changes).encode()


def mistakes(data):
    with pytest.raises(Fatal) as failed:
        read_truth(data, name="t.json")
    return str(failed.value).splitlines()


_KEPT = json.loads(GOLDEN.read_bytes())
MOVES, QUEUE, OCCUPIED, TURNS = (_KEPT[key][0] for key in ("movements", "queues", "occupied", "incidents"))
TWICE = [_KEPT["passages"][0], _KEPT["passages"][0], _KEPT["passages"][1]]


def test_what_contradicts_itself_is_told_beside_mistakes_of_form():
    passages = [
        TWICE[0] | {"line": "gate"},
        TWICE[2] | {"t_ms": 99_000.5},
        TWICE[2] | {"t_ms": "soon"},
        TWICE[0],
        TWICE[0],
    ]
    told = mistakes(spoilt(passages=passages, seed="one", queues=[QUEUE, QUEUE], incidents=[TURNS | {"users": [99]}]))

    assert [": ".join(line.split(": ")[:2]) for line in told] == [
        "t.json: seed",
        "t.json: passages[2].t_ms",
        "t.json: passages[0].line",
        "t.json: passages[1].t_ms",
        "t.json: passages[4]",
        "t.json: queues[1]",
    ], "who nobody is, is not known while a passage cannot be read"


def test_queues_of_a_place_that_is_not_gantrys_may_have_any_approach():
    assert read_truth(spoilt(scenario="my_bridge", queues=[QUEUE | {"approach": "up"}])).queues[0].approach == "up"


def test_all_mistakes_of_a_file_are_told_at_once():
    passages = json.loads(GOLDEN.read_bytes())["passages"]
    passages[0]["speed_kmh"] = -1
    passages[1] |= {"direction": "up", "colour": "red"}
    del passages[1]["t_ms"]
    told = mistakes(spoilt(passages=passages, size=[1280, 0], duration_ms="long"))

    assert [": ".join(line.split(": ")[:2]) for line in told] == [
        "t.json: size",
        "t.json: duration_ms",
        "t.json: passages[0].speed_kmh",
        "t.json: passages[1].direction",
        "t.json: passages[1].colour",
        "t.json: passages[1].t_ms",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scene": {"kind": "scene", "drawn_on": [9, 9]}}, r"passages\[0\].line: the scene has no line 'north' \(it has: none\)"),
        ({"duration_ms": 2000}, r"passages\[1\].t_ms: 3000 is after the end, duration_ms 2000"),
        ({"occupied": [{"place": "south", "from_ms": 0, "to_ms": 1, "share": 0}]}, r"occupied\[0\].place: .*'south'.*north, box"),
        ({"occupied": [{"place": "box", "from_ms": 5, "to_ms": 5, "share": 0}]}, r"occupied\[0\].to_ms: must be after from_ms 5"),
        ({"movements": [{"user": 1, "class": "car", "origin": "a", "destination": "b", "from_ms": 5, "to_ms": 4}]}, r"movements\[0\].to_ms"),
        ({"incidents": [{"kind": "u_turn", "users": [], "from_ms": 5, "to_ms": 4, "x": 0, "y": 0}]}, r"incidents\[0\].to_ms"),
        ({"passages": TWICE}, r"passages\[1\]: stands twice: passages\[0\] is the same"),
        ({"passages": [TWICE[0] | {"user": -1}], "incidents": []}, r"passages\[0\].user: Expected int >= 0"),
        ({"movements": [MOVES, MOVES]}, r"movements\[1\]: stands twice"),
        ({"queues": [QUEUE | {"approach": "up"}]}, r"queues\[0\].approach: the scenario has no approach 'up' \(it has: north, east\)"),
        ({"queues": [QUEUE, QUEUE]}, r"queues\[1\]: stands twice: queues\[0\]"),
        ({"queues": [QUEUE | {"t_ms": 60_001}]}, r"queues\[0\].t_ms: 60001 is after the end"),
        ({"occupied": [OCCUPIED, OCCUPIED]}, r"occupied\[1\]: stands twice"),
        ({"incidents": [TURNS | {"users": [3, 99]}]}, r"incidents\[0\].users\[1\]: user 99 has neither a movement nor a passage"),
        ({"incidents": [TURNS | {"users": [-3]}]}, r"incidents\[0\].users\[0\]: Expected int >= 0"),
        ({"version": 2}, "t.json: is truth of version 2, read here: 1"),
        ({"version": "one"}, "version: "),
        ({"scene": 7}, "t.json: scene: Expected object, got int"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_told(changes, message):
    assert re.search(message, mistakes(spoilt(**changes))[0])


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[" * 100_000, b'{"a": ' * 100_000, b'"\xff"', b'{"a": "\xff"}', b"[]", b"7"]
)
def test_what_is_no_truth_at_all_is_told_in_one_line(data):
    assert len(mistakes(data)) == 1


def test_an_empty_object_lacks_everything_but_the_version():
    assert {line.split(": ")[1] for line in mistakes(b"{}")} == set(Truth.__struct_fields__) - {"version"}


def test_a_start_between_two_windows_is_refused():
    with pytest.raises(ValueError, match="multiple of 30000"):
        truth(recording(), scenario(), start_ms=1000)


def test_a_line_outside_the_picture_is_named():
    with pytest.raises(Fatal, match="line far of small"):
        truth(recording(), scenario(lines={"far": ((-500, 40), (500, 40))}))
