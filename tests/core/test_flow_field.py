"""Where others drive: learned from steps, most seen first, kept apart by direction."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import kernels
from pipeline.core.flow_field import MODES, FlowField
from pipeline.core.kernels import CELL
from pipeline.core.perspective import Perspective

ASPECT = 16 / 9
speeds = st.floats(0.02, 3.0)
angles = st.floats(0, 2 * math.pi)


def driven(field, x, y, vx, vy, times=1, dt=0.2):
    return field.learned([(x, y, x + vx * dt, y + vy * dt, dt)] * times)


@given(speeds, angles)
def test_a_place_knows_the_velocity_that_was_driven_there(speed, angle):
    vx, vy = speed * math.cos(angle), speed * math.sin(angle)
    x, y = 18.5 * CELL, 10.5 * CELL  # along the border of two cells the last bit of a number says in which one it was
    field = driven(FlowField.empty(ASPECT), x, y, vx, vy, times=5)

    n, mx, my = field.at(x + vx * 0.1, y + vy * 0.1)[0]

    assert n >= 3
    assert (mx, my) == (pytest.approx(vx, abs=0.02 * speed), pytest.approx(vy, abs=0.02 * speed))


def test_both_ways_of_one_road_are_two_modes_and_the_busier_one_is_first():
    field = driven(driven(FlowField.empty(ASPECT), 0.8, 0.5, 0.1, 0.0, times=3), 0.82, 0.5, -0.1, 0.0, times=9)

    modes = field.at(0.81, 0.5)

    assert [round(vx, 2) for _, vx, _ in modes] == [-0.1, 0.1]


def test_a_place_nobody_was_at_asks_its_neighbours_and_far_from_all_knows_nothing():
    field = driven(FlowField.empty(ASPECT), 0.8, 0.5, 0.0, 0.02, times=4)

    assert field.at(0.8 + 2 * CELL, 0.5)
    assert field.at(0.1, 0.1) == []


def test_along_gives_the_mode_that_goes_the_same_way_and_none_for_who_goes_across():
    field = driven(driven(FlowField.empty(ASPECT), 0.8, 0.5, 0.1, 0.0, times=5), 0.8, 0.5, 0.0, 0.3, times=5)

    vx, vy, n = kernels.along(field.table, 0.805, 0.505, 0.2, 0.01)

    assert (vx, vy) == (pytest.approx(0.1, abs=1e-4), pytest.approx(0.0, abs=1e-4))
    assert n > 0
    assert kernels.along(field.table, 0.805, 0.505, -0.2, 0.0)[2] == 0


def test_what_is_not_driven_any_more_is_forgotten_for_what_is():
    field = FlowField.empty(ASPECT)
    for turn in range(2 * MODES):
        angle = turn * math.pi / MODES
        field = driven(field, 0.81, 0.51, 0.02 * math.cos(angle), 0.02 * math.sin(angle), times=30)

    assert len(field.at(0.81, 0.51)) == MODES
    assert len(field.modes) <= 8 * MODES * 4


def test_learning_leaves_the_field_it_began_with_alone():
    field = driven(FlowField.empty(ASPECT), 0.8, 0.5, 0.1, 0.0)
    before = field.modes

    driven(field, 0.8, 0.5, 0.1, 0.0)

    assert field.modes == before


def test_of_a_long_step_towards_the_camera_it_learns_that_it_was_slower_at_its_begin():
    near = Perspective((1e6, 0.0, 0.0, 1e6, 0.0, 1e6, 0.5e6, 0.0, 1e6))  # the horizon is at y = 0
    field = FlowField.empty(16 / 9).learned([(0.9, 0.2, 0.9, 0.8, 1.0)], near)

    (_, _, far), (_, _, close) = field.at(0.9, 0.22)[0], field.at(0.9, 0.78)[0]
    # Who is seen with a size of 1 / distance, at a constant speed: 0.6 heights in a second is y * y * 3.75 at y.
    assert far == pytest.approx(0.22**2 * 3.75, rel=0.2)
    assert close == pytest.approx(0.78**2 * 3.75, rel=0.2)
