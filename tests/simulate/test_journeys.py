"""Laws of journeys: the curve, the file, what is shipped."""

import dataclasses
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import Fatal, Poison
from pipeline.simulate import journeys
from pipeline.simulate.journeys import (
    QUANTUM_M,
    QUANTUM_RAD,
    Journey,
    Recording,
    Staged,
    at,
    positions,
    read,
    recorded,
    shipped,
    write,
)

STEP_MS = 200


def journey(x, y=None, heading=None, *, number=0, from_ms=0, size=(4.5, 1.8, 1.5)):
    x = np.asarray(x, float)
    y = np.zeros_like(x) if y is None else y
    heading = np.zeros_like(x) if heading is None else heading
    length, width, height = size
    return Journey(number, "car", length, width, height, "west", "east", from_ms, x, y, heading)


def recording(*ways, staged=()):
    return Recording("here", 3, STEP_MS, 60_000, ways, staged)


@st.composite
def ways(draw, number=0):
    knots = draw(st.integers(2, 12))
    place = st.floats(-5000, 5000)
    x, y = (draw(arrays(float, knots, elements=place)) for _ in "xy")
    heading = draw(arrays(float, knots, elements=st.floats(-10, 10)))
    size = draw(st.tuples(*[st.floats(0.1, 20)] * 3))
    return journey(x, y, heading, number=number, from_ms=draw(st.integers(0, 50_000)), size=size)


@st.composite
def recordings(draw):
    many = [draw(ways(number)) for number in range(draw(st.integers(0, 4)))]
    staged = tuple(
        Staged("wrong_way", 5, 9, (one.id,), draw(st.floats(-900, 900)), draw(st.floats(-900, 900))) for one in many[:1]
    )
    return recording(*many, staged=staged)


@given(recordings())
def test_a_file_holds_a_recording_to_its_quantum(kept):
    again = read(write(kept))

    assert (again.scenario, again.seed, again.step_ms, again.duration_ms) == ("here", 3, STEP_MS, 60_000)
    for one, other in zip(kept.journeys, again.journeys, strict=True):
        assert (one.id, one.label, one.origin, one.destination, one.from_ms) == (
            other.id, other.label, other.origin, other.destination, other.from_ms,
        )  # fmt: skip
        for name in ("x_m", "y_m", "length_m", "width_m", "height_m"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), abs=QUANTUM_M * 0.501)
        assert other.heading_rad == pytest.approx(one.heading_rad, abs=QUANTUM_RAD * 0.501)
    for one, other in zip(kept.staged, again.staged, strict=True):
        assert dataclasses.replace(other, x_m=one.x_m, y_m=one.y_m) == one
        assert (other.x_m, other.y_m) == pytest.approx((one.x_m, one.y_m), abs=QUANTUM_M * 0.501)


@given(recordings())
def test_what_was_read_is_written_as_the_same_bytes(kept):
    data = write(kept)

    assert write(read(data)) == data


@given(ways(), st.floats(0, 1))
def test_a_user_never_jumps(way, share):
    """Within a millisecond, over a knot or not, it goes no farther than its speed says."""
    t = way.from_ms + share * (way.to_ms(STEP_MS) - way.from_ms - 1)
    x, y, _, speed = positions(way, STEP_MS, t + np.linspace(0, 1, 41))

    assert np.hypot(x[-1] - x[0], y[-1] - y[0]) <= speed.max() * 0.001 * 1.02 + 1e-6


@given(ways(), st.floats(-0.2, 1.2))
def test_the_moment_and_the_way_of_one_user_are_the_same_curve(way, share):
    t = way.from_ms + share * (way.to_ms(STEP_MS) - way.from_ms)
    moment = at(recording(way), t)
    x, y, heading, speed = positions(way, STEP_MS, np.array([t]))

    if len(moment.index):
        assert moment.index.tolist() == [0]
        assert (moment.x_m, moment.y_m, moment.speed_ms) == (pytest.approx(x), pytest.approx(y), pytest.approx(speed))
        assert np.cos(moment.heading_rad - heading) == pytest.approx(1)
        assert abs(moment.heading_rad[0]) <= np.pi
    else:
        assert np.isnan(x)
        assert share < 0 or share > 1


@given(ways())
def test_the_curve_goes_through_every_knot(way):
    times = way.from_ms + STEP_MS * np.arange(len(way.x_m))
    x, y, heading, _ = positions(way, STEP_MS, times)

    assert x == pytest.approx(way.x_m, abs=1e-6)
    assert y == pytest.approx(way.y_m, abs=1e-6)
    assert np.cos(heading - way.heading_rad) == pytest.approx(1)


def test_speed_is_the_slope_of_the_curve():
    t = np.arange(0, 20.2, 0.2)
    way = journey(3 * t + 0.5 * t**2)  # 1 m/s2
    times = np.array([1234.0, 5000.0, 12_345.6])

    _, _, _, speed = positions(way, STEP_MS, times)

    assert speed == pytest.approx(3 + times / 1000)


def test_who_stands_has_no_speed_and_stays():
    way = journey([7.0] * 10, np.full(10, 2.0), np.full(10, 1.5))

    x, y, heading, speed = positions(way, STEP_MS, np.linspace(0, 1800, 77))

    assert np.all(x == 7)
    assert np.all(y == 2)
    assert np.all(speed == 0)
    assert heading == pytest.approx(1.5)


def test_a_heading_turns_the_short_way_round():
    way = journey([0, 1, 2, 3], heading=np.array([3.0, 3.1, -3.1, -3.0]))

    _, _, heading, _ = positions(way, STEP_MS, np.linspace(200, 400, 21))

    assert np.all(np.abs(heading) > 3.0)


def test_only_who_is_there_is_in_a_moment_in_the_order_of_journeys():
    kept = recording(
        journey([0, 1, 2], number=4, from_ms=1000),
        journey([5, 6], number=2, from_ms=1400, size=(12, 2.5, 3)),
        journey([9, 9, 9, 9, 9, 9, 9], number=9),
    )

    assert at(kept, 999).index.tolist() == [2]
    assert at(kept, 1200).index.tolist() == [0, 2]
    assert at(kept, 1400).index.tolist() == [0, 1]
    assert at(kept, 1500).length_m.tolist() == [12]
    assert at(kept, 1601).index.tolist() == []
    assert at(recording(), 5).index.tolist() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [1.0]}, "2 or more"),
        ({"x": [1.0, np.nan]}, "no number"),
        ({"x": [1.0, 2e6]}, "beyond"),
        ({"x": [1.0, 2.0], "y": np.zeros(3)}, "one value per knot"),
        ({"x": [1.0, 2.0], "size": (0, 1, 1)}, "length_m must be above 0"),
    ],
)
def test_a_way_that_nobody_could_go_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        journey(**change)


def test_a_recording_refuses_two_users_of_one_name_and_incidents_of_nobody():
    way = journey([0, 1])
    with pytest.raises(ValueError, match="same"):
        recording(way, way)
    with pytest.raises(ValueError, match=r"\[7\]"):
        recording(way, staged=(Staged("u_turn", 0, 1, (7,), 0, 0),))
    with pytest.raises(ValueError, match="above 0"):
        Recording("here", 0, 0, 1, ())


def test_a_way_cannot_be_changed_from_outside():
    x = np.arange(5.0)
    way = journey(x)
    x[:] = 99

    assert way.x_m.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        way.x_m[0] = 1


GOOD = write(recording(journey(np.arange(50.0))))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_damaged_file_is_poison_or_what_it_was(place, change):
    damaged = bytearray(GOOD)
    damaged[place] ^= change
    try:
        again = read(bytes(damaged))
    except Poison:
        return
    assert write(again) == GOOD  # a bit of zlib's header that means nothing


@given(st.integers(0, len(GOOD) - 1))
def test_a_file_cut_short_is_poison(length):
    with pytest.raises(Poison):
        read(GOOD[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin"),
        (b"RIFF....", "does not begin"),
        (GOOD + b"more", "followed by"),
        (GOOD.replace(b"journeys\n\x01", b"journeys\n\x09"), "version 9"),
        (b"gantry-journeys\n\x01" + zlib.compress(b"\xc0"), "damaged"),
        (b"gantry-journeys\n\x01" + zlib.compress(b"0" * 2_000_001), "too large"),
    ],
)
def test_bytes_that_are_no_recording_are_poison(data, message, monkeypatch):
    monkeypatch.setattr(journeys, "_AT_MOST", 2_000_000)
    with pytest.raises(Poison, match=message):
        read(data)


def test_every_shipped_recording_is_whole_and_all_are_small():
    folder = Path(journeys.__file__).parent / "recordings"

    assert shipped()
    for name, seeds in shipped().items():
        assert seeds == tuple(range(8)), name
        for seed in seeds:
            kept = recorded(name, seed)
            assert (kept.scenario, kept.seed, kept.duration_ms) == (name, seed, 300_000)
            assert len(at(kept, 0).index) > 0, "a recording begins with traffic on the road"
            assert len(at(kept, 299_800).index) > 0
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 4 * 1024 * 1024


@pytest.mark.parametrize(("name", "seed"), [("motorway", 4711), ("nowhere", 0)])
def test_what_is_not_shipped_is_said_with_what_is_and_how_it_is_made(name, seed):
    with pytest.raises(Fatal, match=rf"motorway seeds 0-7.*gantry simulate record {name} --seed {seed}"):
        recorded(name, seed)
