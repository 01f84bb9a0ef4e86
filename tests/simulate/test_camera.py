import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.core.model import Size
from pipeline.errors import Fatal
from pipeline.simulate.camera import Lens, Pinhole, Pose, Shake

NORTH = Pose(x_m=0, y_m=0, z_m=8, heading_rad=math.pi / 2, tilt_rad=0.3)
LENS = Lens(size=Size(1280, 720), focal_px=1000)
STILL = Pinhole(pose=NORTH, lens=LENS)


def floats(low, high):
    return st.floats(low, high, allow_nan=False)


poses = st.builds(
    Pose,
    x_m=floats(-500, 500),
    y_m=floats(-500, 500),
    z_m=floats(3, 30),
    heading_rad=floats(-4, 4),
    tilt_rad=floats(0.05, 1.2),
    roll_rad=floats(-0.3, 0.3),
)
straight = st.builds(Lens, size=st.just(Size(1280, 720)), focal_px=floats(600, 3000))
bent = st.builds(
    Lens, size=st.just(Size(1280, 720)), focal_px=floats(1000, 3000), k1=floats(-0.15, 0.3), k2=floats(-0.05, 0.05)
)
cameras = st.builds(Pinhole, pose=poses, lens=straight | bent)
shares = st.lists(st.tuples(floats(0, 1), floats(0, 1)), min_size=1, max_size=20).map(np.array)


@given(cameras, shares)
def test_a_point_of_the_road_is_drawn_where_it_was_found(camera, places):
    road = camera.ground(places)
    found = np.isfinite(road).all(axis=1) & (np.hypot(*(road - camera.place[:2]).T) < 1e4)
    assume(found.any())

    drawn, depth = camera.project(np.column_stack([road, np.zeros(len(road))]))

    assert np.abs(drawn[found] - places[found]).max() < 1e-9
    assert (depth[found] > 0).all()


@given(cameras, shares, floats(0, 1e6), floats(0, 20))
def test_the_shaken_picture_finds_the_road_as_well_as_the_still_one(camera, places, t_ms, sway_px):
    shaken = Pinhole(pose=camera.pose, lens=camera.lens, shake=Shake(sway_px=sway_px))
    road = shaken.ground(places, t_ms)
    found = np.isfinite(road).all(axis=1) & (np.hypot(*(road - camera.place[:2]).T) < 1e4)
    assume(found.any())

    drawn, _ = shaken.project(np.column_stack([road, np.zeros(len(road))]), t_ms)

    assert np.abs(drawn[found] - places[found]).max() < 1e-9


@given(st.builds(Pinhole, pose=poses, lens=straight), st.tuples(floats(-200, 200), floats(-200, 200)))
def test_the_homography_agrees_with_project_where_nothing_is_bent(camera, offset):
    x, y = camera.pose.x_m + offset[0], camera.pose.y_m + offset[1]
    (drawn,), (depth,) = camera.project(np.array([[x, y, 0.0]]))
    u, v, w = camera.homography() @ (x, y, 1.0)

    assert w == pytest.approx(depth, abs=1e-9)
    if depth > 1e-3:
        assert (u / w, v / w) == pytest.approx(tuple(drawn), rel=1e-9, abs=1e-6)


@given(cameras, floats(-50, 50), floats(-50, 50), floats(0, 100))
def test_what_is_behind_the_camera_is_drawn_nowhere(camera, across, down, behind):
    right, below, ahead = np.array(camera.turned(camera.place + np.eye(3))).T  # its axes in the world
    point = camera.place + across * right + down * below - behind * ahead
    drawn, depth = camera.project(point[None])

    assert depth[0] <= 1e-9
    assert np.isnan(drawn).all()


@given(st.builds(Pinhole, pose=poses, lens=straight), floats(2, 300), floats(1.01, 5), floats(-0.5, 0.5))
def test_what_is_farther_is_drawn_smaller(camera, near, times, across):
    axes = camera.turned(camera.place + np.eye(3)).T

    def drawn_size(depth):
        ends = camera.place + depth * axes[2] + np.array([[across * depth], [across * depth + 1]]) * axes[0]
        drawn, _ = camera.project(ends)
        return math.hypot(*(drawn[1] - drawn[0]))

    assert drawn_size(near * times) == pytest.approx(drawn_size(near) / times, rel=1e-6)


@given(cameras, shares)
def test_there_is_no_road_above_the_horizon(camera, places):
    up = camera.rays(places)[:, 2]

    assert np.isnan(camera.ground(places)[up >= 0]).all()


@given(bent, shares)
def test_a_bent_point_is_found_again(lens, places):
    plane = (places - 0.5) * 0.9

    again = lens.straighten(lens.bend(plane))
    reached = np.hypot(*plane.T) < lens.reach * 0.99

    assert np.abs(again[reached] - plane[reached]).max(initial=0) < 1e-9


def test_looking_north_east_is_to_the_right_and_high_is_up():
    (middle, east, high), _ = STILL.project(np.array([[0, 30, 0], [3, 30, 0], [0, 30, 3]]))

    assert east[0] > middle[0]
    assert east[1] == pytest.approx(middle[1])
    assert high[1] < middle[1]
    assert high[0] == pytest.approx(middle[0])


def test_the_optical_axis_meets_the_road_where_height_and_tilt_say():
    (road,) = STILL.ground(np.array([[0.5, 0.5]]))

    assert road == pytest.approx([0, 8 / math.tan(0.3)])


def test_a_point_is_drawn_where_the_focal_length_says():
    flat = Pinhole(
        pose=Pose(x_m=0, y_m=0, z_m=5, heading_rad=0, tilt_rad=0), lens=Lens(size=Size(1000, 500), focal_px=800)
    )
    drawn, depth = flat.project(np.array([[40.0, -10.0, 0.0]]))

    assert depth[0] == pytest.approx(40)
    assert drawn[0] == pytest.approx([0.5 + 800 * 10 / 40 / 1000, 0.5 + 800 * 5 / 40 / 500])


def test_a_camera_rolled_clockwise_sees_the_horizon_rise_to_the_right():
    rolled = Pinhole(pose=Pose(x_m=0, y_m=0, z_m=8, heading_rad=math.pi / 2, tilt_rad=0.3, roll_rad=0.1), lens=LENS)
    (left, right), _ = rolled.project(np.array([[-10, 60, 8], [10, 60, 8]]))

    assert right[1] < left[1]


def test_a_barrel_draws_the_edge_nearer_to_the_middle_and_a_cushion_farther():
    plane = np.array([[0.5, 0.2]])
    barrel, cushion = (Lens(size=LENS.size, focal_px=1000, k1=k1).bend(plane) for k1 in (-0.2, 0.2))

    assert np.hypot(*barrel[0]) < np.hypot(*plane[0]) < np.hypot(*cushion[0])


def test_what_the_lens_cannot_reach_is_not_folded_back_into_the_picture():
    camera = Pinhole(pose=NORTH, lens=Lens(size=Size(1280, 720), focal_px=1000, k1=-0.15))
    aside = camera.turned(camera.place + np.eye(3)).T[0]
    point = np.array([camera.place[0] + 20 * aside[0], camera.place[1] + 20 * aside[1] + 5, camera.place[2]])
    drawn, depth = camera.project(point[None])

    assert depth[0] > 0
    assert np.isnan(drawn).all()
    assert camera.picture(camera.turned(point[None]))[0, 0] > 1


@given(floats(0.1, 30), floats(0.1, 3), st.integers(0, 9), floats(0, 1e6))
def test_a_sway_is_bounded_smooth_and_repeats_itself(sway_px, sway_hz, seed, t_ms):
    shake = Shake(sway_px=sway_px, sway_hz=sway_hz, seed=seed)
    (x, y), (later_x, later_y) = shake.at(t_ms), shake.at(t_ms + 1)

    assert shake.at(t_ms) == (x, y)
    assert abs(x) <= sway_px
    assert abs(y) <= sway_px
    fastest = 2 * math.pi * sway_hz * sway_px * (0.5 + 0.3 * 1.618 + 0.2 * 2.718) / 1000  # px per ms
    assert max(abs(later_x - x), abs(later_y - y)) <= fastest * 1.001 + 1e-6


def test_a_sway_moves_all_the_picture_alike_and_another_seed_moves_it_elsewhere():
    road = np.array([[0.0, 30, 0], [3, 60, 0]])
    still, _ = STILL.project(road)
    moves = [
        Pinhole(pose=NORTH, lens=LENS, shake=Shake(sway_px=5, seed=seed)).project(road, 1234.0)[0] - still
        for seed in (1, 2)
    ]

    assert moves[0][0] == pytest.approx(moves[0][1])
    assert np.abs(moves[0] * (1280, 720)).max() > 0.05
    assert not np.allclose(moves[0], moves[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z_m": 0.0}, "hangs above the road: z_m must be above 0, got 0"),
        ({"z_m": -3.0}, "got -3"),
        ({"tilt_rad": 2.0}, "between straight up -1.571 and down 1.571, got 2"),
        ({"x_m": math.nan}, "finite numbers"),
        ({"tilt_rad": -0.5}, "sees only sky: its axis points -28.6 degrees below the horizon.*raise tilt_rad"),
        ({"tilt_rad": -0.345}, "sees only road farther than 1000 m"),
    ],
    ids=["on the road", "below it", "over its head", "nowhere", "at the sky", "at the horizon"],
)
def test_a_camera_that_sees_no_road_says_why(change, message):
    with pytest.raises(ValueError, match=message):
        Pinhole(pose=Pose(**{"x_m": 0, "y_m": 0, "z_m": 8, "heading_rad": 0, "tilt_rad": 0.3} | change), lens=LENS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"focal_px": 0.0}, "focal_px above 0"),
        ({"focal_px": math.nan}, "focal_px above 0"),
        ({"k1": math.inf}, "finite k1"),
        ({"focal_px": 600.0, "k1": -0.4}, "fold the picture back before its corner of 1280x720 at focal_px=600"),
    ],
)
def test_a_lens_without_a_clear_picture_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Lens(**{"size": Size(1280, 720), "focal_px": 1000} | change)


@pytest.mark.parametrize("shake", [{"sway_px": -1}, {"sway_px": math.inf}, {"sway_hz": 0.0}])
def test_a_sway_that_is_none_is_refused(shake):
    with pytest.raises(ValueError, match=next(iter(shake))):
        Shake(**shake)


def test_a_point_of_the_road_is_told_in_shares_of_the_still_picture():
    shaken = Pinhole(pose=NORTH, lens=LENS, shake=Shake(sway_px=20))
    still, _ = STILL.project(np.array([[1.0, 30, 0]]))

    assert shaken.share_of((1, 30), what="a line") == pytest.approx(tuple(still[0]))


@pytest.mark.parametrize(
    ("point", "message"),
    [((0, -5), "gate: the point .0 m, -5 m. is not in front of the camera"), ((60, 30), "gate.*outside the picture")],
)
def test_a_point_that_is_not_in_the_picture_is_named(point, message):
    with pytest.raises(Fatal, match=message):
        STILL.share_of(point, what="gate")
