import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.core.anchors import step_of
from pipeline.core.crossing import CrossingPolicy, advance, lane_of, ruler
from pipeline.core.model import Lane, Line, Way

LINE = Line(name="a", start=(0.2, 0.5), end=(0.8, 0.5))  # facing right: below (greater y) is the right hand
BAND = 0.01  # the dead band's half-width, in picture heights


def step(memory, before, after, begin_ms, end_ms, *, line=LINE, aspect=16 / 9):
    measure = ruler(line.start, line.end, aspect)
    return advance(measure, memory, step_of(before, begin_ms, after, end_ms, band=BAND, aspect=aspect))


def walk(path, *, line=LINE, every_ms=100):
    """The crossings of a path of foot points, one sighting every `every_ms`."""
    memory, found = None, []
    for n, (before, after) in enumerate(itertools.pairwise(path)):
        memory, crossed = step(memory, before, after, n * every_ms, (n + 1) * every_ms, line=line)
        found += [crossed] if crossed else []
    return found


def down(*ys):
    return [(0.5, y) for y in ys]


def test_a_vehicle_that_drives_over_the_line_counts_once_with_its_way():
    (crossed,) = walk(down(0.4, 0.45, 0.55, 0.6))

    assert crossed.way is Way.TO_RIGHT
    assert crossed.nth == 1


def test_the_time_and_place_lie_between_the_two_frames():
    (crossed,) = walk([(0.4, 0.44), (0.5, 0.54)])

    assert crossed.captured_ms == 60
    assert crossed.at == pytest.approx((0.46, 0.5))


def test_a_vehicle_that_stops_on_the_line_and_creeps_on_counts_once():
    creeping = [0.495 + 0.0005 * n for n in range(60)]

    assert len(walk(down(0.4, *creeping, 0.6))) == 1


def test_a_box_that_wobbles_on_the_line_never_counts():
    assert walk(down(*[0.5 + 0.008 * (-1) ** n for n in range(50)])) == []


def test_a_u_turn_counts_both_ways():
    ways = [c.way for c in walk(down(0.4, 0.6, 0.4))]

    assert ways == [Way.TO_RIGHT, Way.TO_LEFT]


def test_passing_beyond_the_end_of_the_line_does_not_count():
    assert walk([(0.9, 0.4), (0.9, 0.6)]) == []


def test_passing_beyond_the_end_and_coming_back_over_the_line_counts_one_way():
    ways = [c.way for c in walk([(0.9, 0.4), (0.9, 0.6), (0.5, 0.6), (0.5, 0.4)])]

    assert ways == [Way.TO_LEFT]


def test_a_vehicle_first_seen_inside_the_band_counts_when_it_has_moved_two_half_widths():
    assert len(walk(down(0.499, 0.515))) == 0
    assert len(walk(down(0.499, 0.515, 0.53))) == 1


@given(st.lists(st.floats(0.3, 0.7), min_size=2, max_size=60))
def test_the_net_count_is_never_more_than_one_off_from_where_the_path_began_and_ended(ys):
    """However a path wobbles, what it counted to the right and to the left differ by where it ended."""
    ways = [c.way for c in walk(down(*ys))]

    net = ways.count(Way.TO_RIGHT) - ways.count(Way.TO_LEFT)
    assert net in {-1, 0, 1}
    assert all(a is not b for a, b in itertools.pairwise(ways)), "a way can only repeat after its opposite"
    clear = [y for y in (ys[0], ys[-1]) if abs(y - 0.5) > 0.02]
    if len(clear) == 2:
        assert net == (ys[-1] >= 0.5) - (ys[0] >= 0.5)


@given(st.lists(st.integers(1, 400), min_size=3, max_size=30))
def test_the_crossing_time_does_not_depend_on_how_often_a_steady_vehicle_is_seen(gaps):
    """One height unit in 10 s, sighted at any uneven moments: it is on the line at 5 s."""
    times = [0]
    for gap in gaps:
        times.append(times[-1] + gap * 50)
    assume(times[-1] != 5_100)  # just there, the last bit of a float decides
    memory, found = None, []
    for before, after in itertools.pairwise(times):
        memory, crossed = step(memory, (0.5, before / 10_000), (0.5, after / 10_000), before, after, aspect=1.0)
        found += [crossed] if crossed else []

    assert len(found) == (times[-1] > 5_100)  # the line and half the dead band are behind it
    assert all(abs(c.captured_ms - 5_000) <= 1 for c in found)


def test_a_walker_is_held_to_a_narrower_band_than_a_car_of_the_same_height():
    policy = CrossingPolicy()

    assert policy.band("person", 0.2) < policy.band("bicycle", 0.2) < policy.band("car", 0.2)
    assert policy.band("person", 0.001) == policy.band_least


def test_the_time_is_surer_the_faster_a_vehicle_crosses():
    (slow,) = walk(down(0.44, 0.46, 0.48, 0.5, 0.52, 0.54))
    (fast,) = walk(down(0.3, 0.4, 0.6, 0.7))

    assert slow.sd_ms == pytest.approx(25.0)  # half a band, 0.005, at 0.2 a second
    assert fast.sd_ms == pytest.approx(2.5)


LANES = [Lane(name="slow", start=0.1, end=0.4), Lane(name="fast", start=0.5, end=0.9)]


@pytest.mark.parametrize(
    ("along", "lane"), [(0.0, "slow"), (0.4, "slow"), (0.44, "slow"), (0.46, "fast"), (0.5, "fast"), (1.0, "fast")]
)
def test_who_crosses_beside_all_lanes_is_in_the_nearest(along, lane):
    assert lane_of(LANES, along) == lane


def test_a_border_between_two_lanes_belongs_to_the_second_and_a_line_without_lanes_has_none():
    side_by_side = [Lane(name="a", start=0.0, end=0.5), Lane(name="b", start=0.5, end=1.0)]

    assert lane_of(side_by_side, 0.5) == "b"
    assert lane_of([], 0.5) is None


def test_the_place_along_the_line_is_told_for_the_lane():
    (crossed,) = walk([(0.35, 0.4), (0.35, 0.6)])

    assert crossed.along == pytest.approx(0.25)
