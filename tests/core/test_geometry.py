import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.geometry import along, between, distance, inside, turn

coordinate = st.integers(-1000, 1000).map(lambda n: n / 1000)
point = st.tuples(coordinate, coordinate)


def test_with_y_down_a_point_below_a_line_to_the_right_is_on_its_right_hand():
    assert turn((0, 0), (1, 0), (0.5, 1)) > 0
    assert distance((0, 0), (1, 0), (0.5, 0.25)) == 0.25


@given(point, point, point)
def test_turning_the_line_around_turns_the_side(a, b, p):
    assert turn(a, b, p) == pytest.approx(-turn(b, a, p), abs=1e-12)


@given(point, point, st.floats(0, 1))
def test_a_point_between_two_others_lies_as_far_along_as_it_was_put(a, b, share):
    if a != b:
        assert abs(along(a, b, between(a, b, share)) - share) < 1e-6


@given(st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_two_zones_that_share_an_edge_never_both_own_a_point(p):
    left = [(0, 0), (0.5, 0), (0.5, 1), (0, 1)]
    right = [(0.5, 0), (1, 0), (1, 1), (0.5, 1)]

    assert not (inside(left, p) and inside(right, p))


def test_a_dent_in_a_polygon_is_outside():
    dented = [(0, 0), (1, 0), (1, 1), (0.5, 0.2), (0, 1)]

    assert inside(dented, (0.1, 0.5))
    assert not inside(dented, (0.5, 0.8))
