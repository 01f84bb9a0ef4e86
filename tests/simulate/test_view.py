import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose, Shake
from pipeline.simulate.view import boxes, inside, view
from tests.simulate.small import CAMERA, NORTH, recording, stands

CAR, LORRY, PERSON = (4.5, 1.8, 1.5), (12.0, 2.5, 4.0), (0.5, 0.5, 1.75)


def seen(*journeys, camera=CAMERA, t_ms=1000.0):
    return view(recording(*journeys), camera, t_ms)


def corners(journey):
    """The eight corners of a standing user's cuboid, one by one."""
    x, y, heading = journey.x_m[0], journey.y_m[0], journey.heading_rad[0]
    return np.array(
        [
            (
                x + math.cos(heading) * along - math.sin(heading) * aside,
                y + math.sin(heading) * along + math.cos(heading) * aside,
                up,
            )
            for along in (-journey.length_m / 2, journey.length_m / 2)
            for aside in (-journey.width_m / 2, journey.width_m / 2)
            for up in (0, journey.height_m)
        ]
    )


def floats(low, high):
    return st.floats(low, high, allow_nan=False)


@st.composite
def users(draw, near=15.0, far=80.0):
    size = draw(st.sampled_from([CAR, LORRY, PERSON]))
    y = draw(floats(near, far))
    return stands(draw(floats(-0.4, 0.4)) * y, y, heading=draw(floats(-4, 4)), size=size)


def renamed(*journeys):
    return [
        stands(j.x_m[0], j.y_m[0], heading=j.heading_rad[0], size=(j.length_m, j.width_m, j.height_m), user=n)
        for n, j in enumerate(journeys)
    ]


@given(users())
def test_a_box_is_as_large_as_the_drawn_corners(user):
    drawn, _ = CAMERA.project(corners(user))
    x1, y1 = drawn.min(axis=0)
    x2, y2 = drawn.max(axis=0)

    w = seen(user)
    assume(len(w) == 1)

    assert (w.x1[0], w.y1[0], w.x2[0], w.y2[0]) == pytest.approx((x1, y1, x2, y2))


def covered(hulls, points):
    """Which points lie in a convex hull of drawn corners."""
    return np.all(points @ hulls.equations[:, :2].T + hulls.equations[:, 2] <= 0, axis=1)


@settings(max_examples=60)
@given(users(near=15, far=35), users(near=45, far=60), st.sampled_from([0.0, -0.12]))
def test_visible_is_the_share_of_the_silhouette_that_a_nearer_one_and_the_edge_leave(near, far, k1):
    """Against hulls of the drawn corners, filled point by point: another way to the same figure."""
    camera = Pinhole(pose=CAMERA.pose, lens=Lens(size=CAMERA.lens.size, focal_px=900, k1=k1))
    near, far = renamed(near, far)
    hulls = [ConvexHull(camera.project(corners(j))[0]) for j in (near, far)]
    w = seen(near, far, camera=camera)
    assume(len(w) == 2)

    for n, hull in enumerate(hulls):
        low, high = hull.points.min(axis=0), hull.points.max(axis=0)
        grid = np.linspace(0, 1, 80)
        points = low + (high - low) * np.array([(x, y) for x in grid for y in grid])
        mine = covered(hull, points)
        free = mine & np.all((points >= 0) & (points <= 1), axis=1)
        if n == 1:
            free &= ~covered(hulls[0], points)
        assert w.visible[n] == pytest.approx(free.sum() / mine.sum(), abs=0.06)


@given(st.lists(users(), min_size=2, max_size=6), st.randoms())
def test_nobody_is_seen_otherwise_because_of_the_order_of_journeys(crowd, random):
    crowd = renamed(*crowd)
    shuffled = random.sample(crowd, len(crowd))
    first, second = seen(*crowd), seen(*shuffled)
    by_id = {shuffled[index].id: n for n, index in enumerate(second.index)}
    order = [by_id[crowd[index].id] for index in first.index]

    for name in ("x1", "y1", "x2", "y2", "visible", "inside", "depth_m", "speed_ms"):
        assert np.array_equal(getattr(first, name), getattr(second, name)[order])


@given(st.lists(users(near=2, far=300), max_size=6))
def test_shares_are_shares_and_only_users_in_the_picture_are_there(crowd):
    w = seen(*renamed(*crowd))

    assert ((w.inside > 0) & (w.inside <= 1)).all()
    assert ((w.visible >= 0) & (w.visible <= 1)).all()
    assert (w.depth_m > 0).all()
    assert ((w.x2 > 0) & (w.x1 < 1) & (w.y2 > 0) & (w.y1 < 1)).all()


def test_one_alone_is_wholly_visible_and_told_with_its_label_place_and_speed():
    w = seen(stands(0, 30, label="bus", size=LORRY))

    assert w.label == ("bus",)
    assert list(w.index) == [0]
    assert w.visible[0] == 1.0
    assert w.inside[0] == 1.0
    assert w.speed_ms[0] == 0.0
    assert w.depth_m[0] == pytest.approx(CAMERA.turned(np.array([0.0, 30, 2]))[2])


def test_a_person_behind_a_lorry_is_hidden_and_the_lorry_is_not():
    w = seen(stands(0, 30, size=LORRY), stands(0, 38, size=PERSON, label="person", user=2))

    assert list(w.visible) == [1.0, 0.0]


def test_who_hides_whom_is_not_told_by_the_middles_of_long_vehicles():
    """A lorry stands aslant, its middle at 30 m: one car is before its far end, one behind its near end."""
    lorry = stands(0, 30, size=(18.0, 2.5, 4.0), heading=NORTH + 0.6)
    before, behind = seen(lorry, stands(-5.2, 31.5, user=2)), seen(lorry, stands(5.2, 28.5, user=2))

    assert before.visible[1] == 1.0
    assert before.visible[0] < 1.0
    assert behind.visible[0] == 1.0
    assert behind.visible[1] < 1.0


def test_of_a_person_at_the_edge_as_much_is_visible_as_is_inside():
    x, y = CAMERA.ground(np.array([[1.0, 0.6]]))[0]
    w = seen(stands(x, y, size=PERSON, label="person"))

    assert w.x2[0] > 1
    assert 0.2 < w.inside[0] < 0.8
    assert w.visible[0] == pytest.approx(w.inside[0], abs=0.05)


def test_who_is_out_of_the_picture_behind_the_camera_or_not_there_yet_is_not_in_the_view():
    w = seen(
        stands(60, 30), stands(0, -30, user=2), stands(0, 30, from_ms=5000, user=3), stands(0, 30, user=4), t_ms=1000.0
    )

    assert list(w.index) == [3]


def test_an_empty_road_is_an_empty_view():
    w = view(recording(), CAMERA, 0.0)

    assert len(w) == 0
    assert w.visible.shape == w.x1.shape == (0,)


def test_a_lorry_that_reaches_behind_the_camera_is_cut_where_it_does_and_not_turned_inside_out():
    low = Pinhole(
        pose=Pose(x_m=0, y_m=0, z_m=6, heading_rad=NORTH, tilt_rad=0.5), lens=Lens(size=Size(1280, 720), focal_px=700)
    )
    lorry = stands(0, 5.0, size=(16.0, 2.5, 4.0))
    w = seen(lorry, camera=low)
    front, _ = low.project(np.array([(-1.25, 13, 0), (1.25, 13, 0), (-1.25, 13, 4), (1.25, 13, 4)]))

    assert len(w) == 1
    assert w.x1[0] <= front[:, 0].min()
    assert w.x2[0] >= front[:, 0].max()
    assert w.y1[0] == pytest.approx(front[:, 1].min())
    assert 1 < w.y2[0] < 20
    assert 0 < w.visible[0] < 0.5


@given(floats(-3, 12), floats(-4, 4))
def test_every_part_of_a_user_before_the_camera_is_in_its_box_even_when_others_are_behind(y, heading):
    low = Pinhole(
        pose=Pose(x_m=0, y_m=0, z_m=6, heading_rad=NORTH, tilt_rad=0.5), lens=Lens(size=Size(1280, 720), focal_px=700)
    )
    lorry = stands(0, y, heading=heading, size=(16.0, 2.5, 4.0))
    (box,) = boxes(low, lorry.x_m[:1], lorry.y_m[:1], lorry.heading_rad[:1], (16.0, 2.5, 4.0))
    eight = corners(lorry)
    share = np.linspace(0, 1, 20)[:, None]
    edges = np.concatenate([a + share * (b - a) for a in eight for b in eight])
    drawn, depth = low.project(edges)
    ahead = drawn[depth >= 1.0]

    if len(ahead) == 0:
        assert np.isnan(box).all()
    else:
        assert (ahead >= box[:2] - 1e-9).all()
        assert (ahead <= box[2:] + 1e-9).all()


def test_a_sway_moves_the_boxes_and_hides_nobody_else():
    shaken = Pinhole(pose=CAMERA.pose, lens=CAMERA.lens, shake=Shake(sway_px=60, seed=3))
    crowd = (stands(0, 30, size=LORRY), stands(2.6, 45, user=2))
    still, moved = seen(*crowd), seen(*crowd, camera=shaken, t_ms=1000.0)
    across, down = shaken.shake.at(1000.0)
    assert max(abs(across), abs(down)) > 10

    assert moved.x1 - still.x1 == pytest.approx(across / 1280)
    assert moved.y2 - still.y2 == pytest.approx(down / 720)
    assert 0.2 < still.visible[1] < 0.8
    assert moved.visible == pytest.approx(still.visible)


def test_the_same_moment_is_seen_the_same_each_time():
    crowd = [stands(3 * (n % 3) - 3, 20 + 4 * n, user=n) for n in range(12)]

    assert np.array_equal(seen(*crowd).visible, seen(*crowd).visible)


@given(st.lists(st.tuples(floats(-1, 2), floats(-1, 2), floats(0.01, 1), floats(0.01, 1)), min_size=1))
def test_the_share_inside_is_the_area_that_the_picture_cuts_out(rectangles):
    box = np.array([(x, y, x + w, y + h) for x, y, w, h in rectangles])
    cut = np.clip(box, 0, 1)
    area = (cut[:, 2] - cut[:, 0]) * (cut[:, 3] - cut[:, 1])

    assert inside(box) == pytest.approx(area / ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])), abs=1e-9)
