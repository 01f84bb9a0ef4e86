import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.anchors import step_of
from pipeline.core.zones import Turn, advance, outline

SQUARE = ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7))
BAND = 0.02


def walk(path, *, points=SQUARE, every_ms=100, band=BAND, aspect=1.0):
    """(turn, ms) of a path of anchors, and what is remembered at its end."""
    zone, memory, found = outline(points, aspect), None, []
    for n, (before, after) in enumerate(itertools.pairwise(path)):
        step = step_of(before, n * every_ms, after, (n + 1) * every_ms, band=band, aspect=aspect)
        memory, changes = advance(zone, memory, step, first=n == 0)
        found += changes
    return found, memory


def told(path, **more):
    return [(c.turn, c.captured_ms) for c in walk(path, **more)[0]]


def across(*xs):
    return [(x, 0.5) for x in xs]


def test_who_drives_in_and_out_is_told_with_times_between_two_frames():
    assert told(across(0.1, 0.2, 0.4, 0.6, 0.8)) == [(Turn.ENTERED, 150), (Turn.LEFT, 350)]


def test_who_is_first_seen_inside_has_appeared_there():
    (entered, left), _ = walk(across(0.5, 0.6, 0.8))

    assert (entered.turn, entered.captured_ms, entered.stay.appeared) == (Turn.ENTERED, 0, True)
    assert (left.turn, left.captured_ms, left.stay.since_ms) == (Turn.LEFT, 150, 0)


def test_who_drives_through_between_two_frames_has_come_in_and_left():
    assert told(across(0.2, 0.8)) == [(Turn.ENTERED, 17), (Turn.LEFT, 83)]


def test_a_step_that_only_grazes_a_corner_is_nothing():
    assert told([(0.69, 0.2), (0.8, 0.315)]) == []


def test_a_second_stay_is_another_one():
    changes, _ = walk(across(0.1, 0.5, 0.9, 0.5, 0.9))

    assert [c.stay.times for c in changes] == [1, 1, 2, 2]


def test_in_a_zone_narrower_than_the_band_one_can_still_be():
    strip = ((0.5, 0.0), (0.52, 0.0), (0.52, 1.0), (0.5, 1.0))

    assert [turn for turn, _ in told(across(0.4, 0.51, 0.6), points=strip)] == [Turn.ENTERED, Turn.LEFT]


def test_nothing_is_remembered_of_a_zone_that_one_never_comes_near():
    assert walk(across(0.05, 0.1, 0.15)) == ([], None)


@given(st.lists(st.floats(-0.95 * BAND, 0.95 * BAND), min_size=3, max_size=40), st.sampled_from([0.4, 0.2]))
def test_a_wobble_on_the_border_adds_nothing(offs, begin):
    """It comes to the border from inside or outside, and however it wobbles there it stays what it was."""
    still = [turn for turn, _ in told(across(begin, *(0.3 + off for off in offs)))]

    assert still == ([Turn.ENTERED] if begin == 0.4 else [])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30), st.floats(0.5, 2.5))
def test_turns_alternate_in_time_and_end_where_the_path_ends(path, aspect):
    changes, memory = walk(path, aspect=aspect)

    turns = [c.turn for c in changes]
    assert turns == [Turn.ENTERED, Turn.LEFT] * (len(turns) // 2) + [Turn.ENTERED] * (len(turns) % 2)
    assert [c.captured_ms for c in changes] == sorted(c.captured_ms for c in changes)
    zone = outline(SQUARE, aspect)
    end = (path[-1][0] * aspect, path[-1][1])
    if zone.border(end) > BAND:
        assert bool(memory and memory.inside) == zone.holds(end) == bool(len(turns) % 2)


@given(st.floats(0.32, 0.68), st.floats(0.32, 0.68))
def test_the_distance_to_the_border_is_that_to_the_nearest_side(x, y):
    assert outline(SQUARE, 1.0).border((x, y)) == pytest.approx(min(x - 0.3, 0.7 - x, y - 0.3, 0.7 - y))
