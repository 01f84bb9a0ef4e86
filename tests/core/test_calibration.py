import math

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.core.calibration import CalibrationError, fitted, plane_of
from pipeline.core.model import Calibration, GroundPoint, KnownPose, Scene, Size, StraightRoad
from pipeline.simulate.camera import Lens, Pinhole, Pose
from pipeline.simulate.scenario import calibration_of
from pipeline.simulate.scenarios import SCENARIOS

SIZE = Size(1280, 720)
CORNERS = [(-4.0, 18.0), (4.0, 18.0), (-4.0, 70.0), (4.0, 70.0), (0.0, 30.0), (2.0, 45.0), (-3.0, 55.0)]


@st.composite
def cameras(draw):
    """Cameras that look along the second axis."""
    tilt, height = draw(st.floats(6, 25)), draw(st.floats(5, 15))
    pose = Pose(
        x_m=draw(st.floats(-8, 8)), y_m=0.0, z_m=height, heading_rad=math.radians(90 + draw(st.floats(-12, 12))),
        tilt_rad=math.radians(tilt), roll_rad=math.radians(draw(st.floats(-5, 5))),
    )  # fmt: skip
    return Pinhole(pose=pose, lens=Lens(size=SIZE, focal_px=draw(st.floats(800, 2000))))


def drawn(camera, metres):
    shares, _ = camera.project(np.column_stack([np.array(metres), np.zeros(len(metres))]))
    return shares


def points(shares, metres, **more):
    pairs = zip(np.asarray(shares).tolist(), np.asarray(metres).tolist(), strict=True)
    return Calibration(points=[GroundPoint(at=tuple(s), metres=tuple(m)) for s, m in pairs], **more)


def seen(camera):
    """The corners that are in the picture; at least six."""
    shares = drawn(camera, CORNERS)
    inside = ((shares > 0) & (shares < 1)).all(axis=1)
    assume(inside.sum() >= 6)
    return shares[inside], np.array(CORNERS)[inside]


MOTORWAY = SCENARIOS["motorway"].camera


@settings(deadline=None, max_examples=40)
@given(cameras())
def test_points_of_any_camera_give_its_own_plane(camera):
    shares, metres = seen(camera)

    plane = fitted(points(shares, metres), SIZE)

    probe = shares.mean(axis=0) + (shares - shares.mean(axis=0)) * 0.7
    assert plane.to_ground(probe) == pytest.approx(camera.ground(probe), abs=1e-4)
    assert plane.to_picture(metres) == pytest.approx(shares, abs=1e-7)
    assert max(r.px for r in plane.residuals) < 1e-3
    assert plane.inside_validity(shares).all()


@settings(deadline=None, max_examples=25)
@given(cameras(), st.sampled_from([0.25, 0.5, 3.0]))
def test_the_size_of_the_picture_changes_nothing(camera, scale):
    shares, metres = seen(camera)
    large = fitted(points(shares, metres), SIZE)
    small = fitted(points(shares, metres, picture_sd_px=2.0 * scale), Size(round(1280 * scale), round(720 * scale)))

    assert small.to_ground(shares) == pytest.approx(large.to_ground(shares), abs=1e-6)
    assert small.length_doubt(shares[:1], shares[2:3]) == pytest.approx(large.length_doubt(shares[:1], shares[2:3]))


@settings(deadline=None, max_examples=25)
@given(cameras())
def test_a_mirrored_picture_gives_a_plane_of_the_same_lengths(camera):
    shares, metres = seen(camera)
    plane = fitted(points(shares, metres), SIZE)
    mirrored = fitted(points(shares * (-1, 1) + (1, 0), metres), SIZE)

    other = shares * (-1, 1) + (1, 0)
    assert mirrored.to_ground(other) == pytest.approx(plane.to_ground(shares), abs=1e-5)
    assert np.linalg.det(mirrored.matrix) * np.linalg.det(plane.matrix) < 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_pose_of_a_simulated_camera_gives_its_plane_also_through_a_bent_lens(name):
    place = SCENARIOS[name]
    plane = fitted(calibration_of(place.camera), place.size)
    probe = np.array([(0.5, 0.6), (0.05, 0.95), (0.9, 0.7), (0.3, 0.45)])

    assert plane.to_ground(probe) == pytest.approx(place.camera.ground(probe) - place.camera.place[:2], abs=1e-9)
    assert plane.to_picture(plane.to_ground(probe)) == pytest.approx(probe, abs=1e-12)
    e = 1e-6
    right, below = np.array([e / place.size.aspect, 0]), np.array([0, e])
    across = plane.to_ground(probe + right) - plane.to_ground(probe - right)
    down = plane.to_ground(probe + below) - plane.to_ground(probe - below)
    assert plane.jacobian(probe) == pytest.approx(np.stack([across, down], axis=2) / (2 * e), rel=1e-5, abs=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.floats(8, 20), st.floats(-8, 8), st.floats(900, 1600), st.booleans())
def test_a_lane_with_marks_tells_the_plane_of_an_upright_camera(tilt, pan, focal, known):
    pose = Pose(x_m=1.0, y_m=0.0, z_m=8.0, heading_rad=math.radians(90 - pan), tilt_rad=math.radians(tilt))
    camera = Pinhole(pose=pose, lens=Lens(size=SIZE, focal_px=focal))
    left, right = [(0.0, 22.0), (0.0, 60.0)], [(3.5, 22.0), (3.5, 60.0)]
    marks = [(0.0, 24.0), (0.0, 36.0), (0.0, 48.0)]
    parts = [drawn(camera, part).tolist() for part in (left, right, marks)]
    assume(all(0 <= v <= 1 for part in parts for point in part for v in point))
    road = StraightRoad(
        left=parts[0], right=parts[1], width_m=3.5, marks=parts[2], along_m=[0.0, 12.0, 24.0],
        focal_px=focal if known else None,
    )  # fmt: skip

    plane = fitted(Calibration(road=road), SIZE)

    ground = plane.to_ground(drawn(camera, [(0.5, 25.0), (3.0, 50.0)]))
    assert ground == pytest.approx(np.array([(0.5, 1.0), (3.0, 26.0)]), abs=0.02)


def test_the_stated_doubt_covers_as_often_as_it_says():
    """Places of clicks that wobble by picture_sd_px, against the truth; and lengths as well."""
    chance = np.random.default_rng(11)
    metres = np.array([(-12, 20), (12, 22), (-12, 80), (12, 84), (0, 40), (6, 60), (-6, 30)], dtype=float)
    exact = drawn(MOTORWAY, np.column_stack([metres[:, 1], -metres[:, 0]]))
    probe = np.array([(0.5, 0.6), (0.45, 0.4)])
    truth = MOTORWAY.ground(probe) @ np.array([[0, 1], [-1, 0]])
    length = np.hypot(*(truth[1] - truth[0]))
    off, lengths = [], []
    for _ in range(300):
        clicked = np.clip(exact + chance.normal(0, 2, exact.shape) / (1280, 720), 0, 1)
        measured = metres + chance.normal(0, 0.05, metres.shape)
        plane = fitted(points(clicked, measured), SIZE)
        ground = plane.to_ground(probe)
        off.append([g @ np.linalg.inv(d) @ g for g, d in zip(ground - truth, plane.doubt(probe), strict=True)])
        told = np.hypot(*(ground[1] - ground[0]))
        lengths.append((told / length - 1) / plane.length_doubt(probe[:1], probe[1:])[0])

    assert np.mean(np.array(off) < 2.28) == pytest.approx(0.68, abs=0.09)  # chi-square of two degrees of freedom
    assert np.mean(np.array(off) < 5.99) == pytest.approx(0.95, abs=0.04)
    assert np.mean(np.abs(lengths) < 1) == pytest.approx(0.68, abs=0.09)


SQUARE = [(0.2, 0.8), (0.8, 0.8), (0.35, 0.4), (0.65, 0.4)]
FIELD = [(0.0, 0.0), (8.0, 0.0), (0.0, 40.0), (8.0, 40.0)]


@pytest.mark.parametrize(
    ("shares", "metres", "why"),
    [
        (SQUARE[:3], FIELD[:3], "needs at least 4 points, got 3"),
        ([*SQUARE[:3], SQUARE[0]], FIELD, "points 1 and 4 are the same in the picture"),
        (SQUARE, [*FIELD[:3], FIELD[1]], "points 2 and 4 are the same on the road"),
        ([(0.2, 0.8), (0.5, 0.8), (0.8, 0.8), (0.5, 0.4)], FIELD, "points 1, 2, 3 lie on one line in the picture"),
        (SQUARE, [(0, 0), (4, 0), (8, 0), (4, 9)], "points 1, 2, 3 lie on one line on the road"),
        (SQUARE, [FIELD[0], FIELD[1], FIELD[3], FIELD[2]], "would be behind it; are two points swapped"),
    ],
    ids=["few", "twice", "twice on the road", "line", "line on the road", "swapped"],
)
def test_points_that_determine_no_plane_are_refused_with_the_reason(shares, metres, why):
    with pytest.raises(CalibrationError, match=why):
        fitted(points(shares, metres), SIZE)


ROAD = {"left": [(0.4, 0.9), (0.48, 0.4)], "right": [(0.6, 0.9), (0.52, 0.4)], "width_m": 3.5}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"left": [(0.4, 0.9), (0.4, 0.4)], "right": [(0.6, 0.9), (0.6, 0.4)]}, "run side by side"),
        ({"left": ROAD["right"], "right": ROAD["left"]}, "is the left edge left of the right one"),
        ({"along_m": [3.0, 3.0]}, "two must be apart"),
        ({"along_m": [0.0, 9.0, 18.0]}, "2 marks need as many metres along the road, got 3"),
        ({"left": [(0.4, 0.9), (0.4, 0.9)]}, "needs two different points"),
        ({"left": [(0.48, 0.9), (0.4, 0.4)], "right": [(0.52, 0.9), (0.6, 0.4)]}, "meet below"),
    ],
    ids=["parallel", "swapped", "one place", "count", "one point", "upside down"],
)
def test_a_lane_that_no_camera_sees_is_refused_with_the_reason(changed, why):
    road = ROAD | {"marks": [(0.4, 0.9), (0.46, 0.55)], "along_m": [0.0, 12.0]} | changed

    with pytest.raises(CalibrationError, match=why):
        fitted(Calibration(road=StraightRoad(**road)), SIZE)


def test_a_pose_that_sees_no_road_is_refused():
    with pytest.raises(CalibrationError, match="sees no road within 120 m"):
        fitted(Calibration(pose=KnownPose(height_m=8, tilt_deg=0, focal_px=90000)), SIZE)


def test_a_polygon_that_reaches_the_sky_is_refused_by_its_corner():
    pose = KnownPose(height_m=8, tilt_deg=10, focal_px=1000)

    with pytest.raises(CalibrationError, match="corner 3"):
        fitted(Calibration(pose=pose, valid=[(0, 1), (1, 1), (0.5, 0.0)]), SIZE)


def test_what_is_above_the_horizon_is_nowhere_and_never_inside():
    plane = fitted(calibration_of(MOTORWAY), SIZE)
    sky = np.array([(0.5, 0.05), (0.2, 0.0)])

    assert np.isnan(plane.to_ground(sky)).all()
    assert not plane.inside_validity(sky).any()


def test_the_plane_of_a_scene_is_the_same_bits_whoever_asks_and_none_where_it_cannot_be():
    calibration = points(SQUARE, FIELD)
    scene = Scene(drawn_on=SIZE, calibration=calibration)
    again = msgspec.json.decode(msgspec.json.encode(scene), type=Scene)

    assert plane_of(scene).matrix.tobytes() == fitted(again.calibration, SIZE).matrix.tobytes()
    assert plane_of(Scene(drawn_on=SIZE)) is None
    assert plane_of(Scene(drawn_on=SIZE, calibration=points(SQUARE[:3], FIELD[:3]))) is None


def test_worse_clicks_and_fewer_points_make_lengths_less_sure():
    exact = drawn(MOTORWAY, [(20, 12), (20, -12), (80, 12), (80, -12), (50, 0), (35, 8)])
    metres = [(-12, 20), (12, 20), (-12, 80), (12, 80), (0, 50), (-8, 35)]
    a, b = np.array([(0.5, 0.6)]), np.array([(0.5, 0.4)])

    fine, coarse = (fitted(points(exact, metres, picture_sd_px=sd), SIZE).length_doubt(a, b)[0] for sd in (1, 4))
    few = fitted(points(exact[:4], metres[:4], picture_sd_px=1), SIZE).length_doubt(a, b)[0]

    assert coarse > 2 * fine
    assert few > fine
