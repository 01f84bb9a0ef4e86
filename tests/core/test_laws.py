"""Laws that hold for everything the core tells of a road, whatever drives on it."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import (
    Crossing,
    Crowding,
    Declared,
    Detections,
    Entered,
    Lane,
    Left,
    Line,
    Movement,
    Occurrence,
    Overcrowded,
    Scene,
    Size,
    Unfinished,
    Way,
    Zone,
)
from pipeline.core.scene import Memory, finish
from pipeline.stages.track import Snapshot
from pipeline.wire.codec import decode_state, encode_json
from tests.core.road import POLICY, SIZE, Log, Vehicle, look, run

MEASURED = Scene(
    drawn_on=SIZE,
    revision=1,
    lines=[
        Line(
            name="in",
            start=(0.05, 0.3),
            end=(0.95, 0.31),
            lanes=[Lane(name="a", start=0.0, end=0.5), Lane(name="b", start=0.5, end=1.0)],
        ),
        Line(name="out", start=(0.05, 0.8), end=(0.95, 0.78)),
        Line(name="feet", start=(0.05, 0.6), end=(0.95, 0.6), classes=["person"]),
    ],
    zones=[
        Zone(
            name="box",
            points=[(0.1, 0.45), (0.9, 0.42), (0.9, 0.7), (0.1, 0.72)],
            overcrowded=Crowding(vehicles=3, for_s=0.4),
        ),
        Zone(name="bay", points=[(0.0, 0.33), (0.35, 0.35), (0.3, 0.55)]),
    ],
    movements=[
        Declared(name="through", origin="in/to_right", destination="out/to_right"),
        Declared(name="parks", origin="in/to_right", destination="bay", legal=False),
    ],
)

one = st.builds(
    Vehicle,
    x=st.sampled_from([0.12, 0.22, 0.33, 0.47, 0.61, 0.74, 0.86]),
    y=st.floats(0.1, 0.9),
    vy=st.sampled_from([-0.31, -0.12, 0.0, 0.09, 0.23, 0.37]),
    from_ms=st.integers(0, 3000),
    to_ms=st.integers(1500, 7000),
    label=st.sampled_from(["car", "truck", "person", "bicycle"]),
)
vehicles = st.lists(one, max_size=8)
apart = st.lists(
    st.builds(msgspec.structs.replace, one, x=st.sampled_from([0.12, 0.37, 0.62, 0.87])),
    max_size=4,
    unique_by=lambda v: v.x,
)
"""Each out of the others' reach: of two in one place the last bit of a number says which is which, and one near a place
where others drove begins with the speed of that place's cell; a mirror changes the last bits and where cells begin."""


def log(traffic, *, scene=MEASURED, seen=look, gap=None):
    """7 s at 5 pictures a second; nothing is known of the pictures in the gap."""
    made = Log(scene=scene)
    made.open()
    for at in range(0, 7000, 200):
        if gap and gap[0] <= at < gap[1]:
            made.seq += 1
        else:
            made.put(seen(traffic, at), at)
    return made.records


def events(records):
    outputs, _, memory = run(records)
    return [o for o in [*outputs, *finish(memory, POLICY)[1]] if isinstance(o, Occurrence)]


def test_this_road_has_every_kind_of_event():
    """Else the laws would say little."""
    traffic = [
        Vehicle(x=0.5, y=0.2, vy=0.25),
        Vehicle(x=0.2, y=0.2, vy=0.04),
        Vehicle(x=0.86, y=0.25, vy=0.2, to_ms=2000),
        *(Vehicle(x=0.4 + 0.1 * n, y=0.6, vy=0.0, to_ms=3000) for n in range(1, 5)),
    ]

    assert {type(e) for e in events(log(traffic))} == {Crossing, Entered, Left, Overcrowded, Movement, Unfinished}


@settings(max_examples=25, deadline=None)
@given(vehicles, st.integers(2, 30), st.sampled_from([None, (2000, 2600), (2000, 5000)]))
def test_stopping_anywhere_and_going_on_from_the_stored_memory_changes_nothing(traffic, at, gap):
    records = log(traffic, gap=gap)
    straight, _, end = run(records)

    first, _, memory = run(records[:at])
    stored = encode_json(Snapshot(offset=at, memory=memory))
    second, _, after = run(records[at:], decode_state(stored, Snapshot, "a memory").memory)

    assert msgspec.json.encode([*first, *second]) == msgspec.json.encode(straight)
    assert msgspec.json.encode(after) == msgspec.json.encode(end)
    assert finish(after, POLICY) == finish(end, POLICY)


def mirrored(traffic, at):
    seen = look(traffic, at)
    return Detections(
        x1=[1 - x for x in seen.x2], y1=seen.y1, x2=[1 - x for x in seen.x1], y2=seen.y2, score=seen.score, label=seen.label
    )  # fmt: skip


OTHER = {Way.TO_RIGHT: Way.TO_LEFT, Way.TO_LEFT: Way.TO_RIGHT}


def turned(place):
    return place and place.replace("/to_right", "/?").replace("/to_left", "/to_right").replace("/?", "/to_left")


MIRRORED = msgspec.structs.replace(
    MEASURED,
    lines=[
        msgspec.structs.replace(line, start=(1 - line.start[0], line.start[1]), end=(1 - line.end[0], line.end[1]))
        for line in MEASURED.lines
    ],
    zones=[msgspec.structs.replace(zone, points=[(1 - x, y) for x, y in zone.points]) for zone in MEASURED.zones],
    movements=[
        msgspec.structs.replace(m, origin=turned(m.origin), destination=turned(m.destination))
        for m in MEASURED.movements
    ],
)


def words(event, *, mirror=False):
    """What an event says but for its numbers."""
    way, place = getattr(event, "direction", None), turned if mirror else (lambda p: p)
    return (
        event.id, OTHER.get(way) if mirror else way, getattr(event, "lane", None), getattr(event, "legal", None),
        place(getattr(event, "origin", None)), place(getattr(event, "destination", None)), getattr(event, "ended", None),
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(apart)
def test_a_mirrored_picture_turns_directions_and_nothing_else(traffic):
    straight, mirror = events(log(traffic)), events(log(traffic, scene=MIRRORED, seen=mirrored))

    assert [words(e, mirror=True) for e in mirror] == [words(e) for e in straight]
    assert [e.captured_ms for e in mirror] == pytest.approx([e.captured_ms for e in straight], abs=1)


@settings(max_examples=20, deadline=None)
@given(vehicles, st.sampled_from([Size(1920, 1080), Size(320, 180)]))
def test_a_picture_of_another_size_tells_the_same(traffic, size):
    scaled = [
        msgspec.structs.replace(
            r,
            header=msgspec.structs.replace(r.header, size=size, source_size=size),
            body=msgspec.structs.replace(r.body, source_size=size) if hasattr(r.body, "source_size") else r.body,
        )
        for r in log(traffic, scene=msgspec.structs.replace(MEASURED, drawn_on=size))
    ]

    assert events(scaled) == events(log(traffic))


PICTURES = 84
runs = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 45)), min_size=1, max_size=12).map(
    lambda parts: [kept for keep, drop in parts for kept in [True] * keep + [False] * drop]
)
rests = st.one_of(
    st.lists(st.booleans(), min_size=PICTURES, max_size=PICTURES),
    st.builds(lambda n, first: [(first + i) % n == 0 for i in range(PICTURES)], st.integers(1, 30), st.integers(0, 29)),
    runs.map(lambda kept: [*kept, *[True] * PICTURES][:PICTURES]),
)
"""Which pictures are left when others are dropped: by chance, all but every n-th, or whole stretches."""


def true_way(vehicle, line, until_ms):
    """Which way a vehicle crosses a line that it drives across by until_ms, if it does."""
    if line.classes is not None and vehicle.label not in line.classes:
        return None
    (ax, ay), (bx, by) = line.start, line.end
    border = ay + (vehicle.x - ax) / (bx - ax) * (by - ay)
    drove_ms = min(vehicle.to_ms, until_ms) - vehicle.from_ms
    before, after = vehicle.y, vehicle.y + vehicle.vy * max(0, drove_ms) / 1000
    if before < border <= after:
        return Way.TO_RIGHT
    return Way.TO_LEFT if after < border <= before else None


@settings(max_examples=50, deadline=None)
@given(apart, rests, st.sampled_from([66, 80, 100]))
def test_dropping_pictures_of_separated_traffic_never_makes_a_double(traffic, kept, period_ms):
    """Nobody is seen just once: who is gone when the next picture comes may be taken for one who came with it."""
    times = [n * period_ms for n in range(PICTURES)]
    left = [at for at, keep in zip(times, kept, strict=True) if keep]
    traffic = [v for v in traffic if sum(bool(look([v], at).x1) for at in left) != 1]
    made = Log(scene=MEASURED)
    made.open()
    for at in times:
        if at in left:
            made.put(look(traffic, at), at)
        else:
            made.seq += 1

    told = Counter()
    for crossing in (e for e in events(made.records) if isinstance(e, Crossing)):
        nearest = min(traffic, key=lambda v: abs(v.x - crossing.x))
        told[crossing.line, nearest.x, crossing.direction] += 1

    true = Counter((line.name, v.x, true_way(v, line, times[-1])) for line in MEASURED.lines for v in traffic)
    assert told <= true


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9)), min_size=35, max_size=35),
    st.sampled_from([(0.5, 0.305), (0.5, 0.434), (0.5, 0.71)]),
    st.sampled_from(["car", "person", "bicycle"]),
)
def test_a_box_that_wobbles_on_a_line_or_a_border_is_at_most_first_seen_inside(wobble, foot, label):
    height = 0.1
    band = POLICY.crossing.band(label, height)

    def seen(_, at):
        dx, dy = wobble[at // 200]
        x, y = foot[0] + dx * band / 4, foot[1] + dy * band / 2
        return Detections(x1=[x - 0.03], y1=[y - height], x2=[x + 0.03], y2=[y], score=[0.9], label=[label])

    told = events(log([], seen=seen))

    assert {type(e) for e in told} <= {Entered, Left}
    assert sum(isinstance(e, Entered) for e in told) <= 1
    assert all(e.began == "appeared" for e in told)
    assert all(e.ended == "cut" for e in told if isinstance(e, Left))


def test_memory_of_a_measured_road_stays_bounded():
    traffic = [Vehicle(x=0.2 + 0.1 * (n % 7), y=0.1, vy=0.3, from_ms=1500 * n) for n in range(150)]
    made, memory, sizes = Log(scene=MEASURED), Memory(camera="c"), []
    made.open()
    made.drive(traffic, range(0, 225_000, 200))
    for part in range(0, len(made.records), 100):
        _, _, memory = run(made.records[part : part + 100], memory)
        sizes.append(len(encode_json(memory)))

    assert max(sizes[len(sizes) // 2 :]) < 1.5 * max(sizes[: len(sizes) // 2])


def test_an_hour_of_empty_pictures_leaves_nothing_of_the_traffic_before_it():
    traffic = [Vehicle(x=0.12 + 0.11 * (n % 7), y=0.1, vy=0.3, from_ms=400 * n, to_ms=9000) for n in range(20)]
    made, hour_ms = Log(scene=MEASURED), 3_600_000
    made.open()
    made.drive(traffic, range(0, 9000, 200))
    _, _, busy = run(made.records)
    memory, sizes = busy, []
    for begin in range(9000, hour_ms, 600_000):
        made.records.clear()
        made.drive([], range(begin, begin + 600_000, 500))
        _, _, memory = run(made.records, memory)
        sizes.append(len(encode_json(memory)))

    assert busy.tracks
    assert busy.trails
    kept = [memory.tracks, memory.trails, memory.motions, memory.crowds, memory.held, memory.doubted]
    assert not any(kept)
    assert memory.road == busy.road  # what was learned of the road is kept
    assert len(set(sizes)) <= 2  # the digits of a time may become one more
    assert sizes[-1] < len(encode_json(busy))


def test_a_new_scene_ends_stays_in_zones_that_are_no_more_and_keeps_those_that_stayed():
    moved = msgspec.structs.replace(MEASURED, revision=2, zones=[MEASURED.zones[0]], movements=[])
    made = Log(scene=MEASURED)
    made.open()
    traffic = [Vehicle(x=0.25, y=0.47, vy=0.0)]
    made.drive(traffic, range(0, 2000, 200))
    made.put(moved, 2000)
    made.drive(traffic, range(2000, 3000, 200))

    told = [e for e in events(made.records) if isinstance(e, Left)]

    assert [(e.zone, e.ended, e.captured_ms) for e in told] == [("bay", "cut", 1800), ("box", "cut", 2800)]


def test_who_is_lost_inside_a_zone_was_there_as_long_as_it_was_seen():
    told = events(log([Vehicle(x=0.5, y=0.4, vy=0.1, to_ms=2000)]))

    (left,) = [e for e in told if isinstance(e, Left)]
    (entered,) = [e for e in told if isinstance(e, Entered)]
    assert (left.ended, left.captured_ms) == ("lost", 2000)
    assert left.dwell_ms == 2000 - entered.captured_ms
