import math

import numpy as np
import pytest

from pipeline.simulate.ground import band, dashes, disc, turned, zebra
from pipeline.simulate.scenarios import SCENARIOS


def area(points):
    x, y = np.array(points).T
    return abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


def meets(block, eye, point):
    """Whether the straight way from the camera to a point of the road goes through a block."""
    low = np.array([block.x1_m, block.y1_m, 0.0])
    high = np.array([block.x2_m, block.y2_m, block.height_m])
    step = point - eye
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (low - eye) / step, (high - eye) / step
    enters, leaves = np.nanmax(np.minimum(one, two)), np.nanmin(np.maximum(one, two))
    return enters <= leaves and leaves > 0 and enters < 1 - 1e-9


@pytest.mark.parametrize("place", SCENARIOS.values(), ids=SCENARIOS)
def test_nothing_that_stands_hides_a_road(place):
    """The truth knows of road users only: what hides one must be another."""
    eye, camera = place.camera.place, place.camera
    for patch in place.ground.patches:
        if patch.surface not in {"asphalt", "paint", "cycle", "worn"}:
            continue
        points = np.array([(*point, 0.0) for point in patch.points])
        share, depth = camera.project(points)
        inside = (depth > 0) & np.all((share >= 0) & (share <= 1), axis=1)
        for point in points[inside]:
            assert not [block for block in place.ground.blocks if meets(block, eye, point)], point


@pytest.mark.parametrize("place", SCENARIOS.values(), ids=SCENARIOS)
def test_every_counting_line_lies_on_painted_road(place):
    roads = [patch.points for patch in place.ground.patches if patch.surface == "asphalt"]
    for name, (start, end) in place.lines.items():
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        assert any(within(road, middle) for road in roads), name


def within(polygon, point):
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y1 > point[1]) != (y2 > point[1]) and point[0] < x1 + (point[1] - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside


def test_dashes_cover_their_share_of_the_way_also_round_a_bend():
    painted = sum(area(each.points) for each in dashes([(0, 0), (60, 0), (60, 60)], width_m=0.2, dash_m=3, gap_m=9))

    assert painted == pytest.approx(120 / 12 * 3 * 0.2, rel=0.05)


def test_an_unbroken_marking_covers_all_of_it():
    assert sum(area(each.points) for each in dashes([(0, 0), (50, 0)], width_m=0.2, dash_m=1, gap_m=0)) >= 10


def test_a_band_is_as_wide_as_it_is_told():
    (piece,) = band("asphalt", [(0, 0), (0, 10)], 4)

    assert {abs(x) for x, _ in piece.points} == {2}


def test_half_of_a_zebra_is_painted():
    painted = sum(area(each.points) for each in zebra((3, 4), along_rad=0.7, length_m=10, depth_m=4, stripe_m=0.5))

    assert painted == pytest.approx(10 * 4 / 2, rel=0.06)


def test_a_quarter_turn_goes_counter_clockwise():
    assert turned([disc("grass", 1, middle=(5, 0), corners=4)], 1)[0].points[0] == pytest.approx((0, 6))


def test_a_disc_is_round():
    assert area(disc("kerb", 3).points) == pytest.approx(math.pi * 9, rel=0.01)
