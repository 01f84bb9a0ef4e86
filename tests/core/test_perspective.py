"""How large things are seen: learned from boxes, or known from a calibration."""

import numpy as np
import pytest

from pipeline.core import kernels
from pipeline.core.calibration import fitted
from pipeline.core.model import Calibration, KnownPose, Size
from pipeline.core.perspective import HEIGHT_M, Perspective

HORIZON, RISES = 0.1, 0.12
"""Of a level camera: at y a metre is (y - HORIZON) * RISES picture heights high."""


def seen(n=120, *, horizon=HORIZON, leans=0.0, spread=0.2, labels=("car", "truck", "bus", "motorcycle")):
    """What stands on a road: boxes of all classes, none exactly as high as its class."""
    rng = np.random.default_rng(3)
    for k in range(n):
        x, y, label = rng.uniform(0.1, 1.7), rng.uniform(horizon + 0.1, 1.0), labels[k % len(labels)]
        size = (y - horizon) * RISES + leans * (x - 0.9)
        yield x, y, size * HEIGHT_M[label] * np.exp(rng.normal(0, spread)), label, 0.7


def larger(perspective, at, then):
    return kernels.larger(perspective.plane, *at, *then)


def growth(perspective, at, speed, unsure=(0.0, 0.0)):
    return kernels.growth(perspective.plane, perspective.doubt, at, speed, unsure)


def test_who_comes_nearer_is_seen_larger_as_the_horizon_says():
    learned = Perspective().learned(seen())

    assert larger(learned, (0.9, 0.3), (0.8, 0.6)) == pytest.approx(0.5 / 0.2, rel=0.15)
    assert larger(learned, (0.9, 0.6), (0.8, 0.4)) == pytest.approx(0.3 / 0.5, rel=0.1)


def test_a_camera_that_hangs_askew_shows_one_side_larger():
    learned = Perspective().learned(seen(400, leans=0.02))
    level = Perspective().learned(seen(400))

    assert larger(learned, (0.3, 0.6), (1.5, 0.6)) > 1.2
    assert larger(level, (0.3, 0.6), (1.5, 0.6)) == pytest.approx(1.0, abs=0.1)


def test_growth_is_the_change_of_size_and_is_surer_the_more_was_seen():
    at, speed = (0.9, 0.5), (0.0, 0.2)
    few, many = Perspective().learned(seen(12)), Perspective().learned(seen(300))

    rate, variance = growth(many, at, speed)
    assert rate == pytest.approx(0.2 / (0.5 - HORIZON), rel=0.15)
    assert variance < growth(few, at, speed)[1]
    assert growth(many, at, speed, (0.01, 0.01))[1] > variance, "a speed in doubt is a growth in doubt"
    assert growth(many, at, (0.0, 0.0))[0] == 0.0, "who stands does not grow"


def test_before_anything_was_seen_nothing_grows_and_nothing_is_sure():
    rate, variance = growth(Perspective(), (0.9, 0.5), (0.0, 0.3))

    assert larger(Perspective(), (0.9, 0.2), (0.9, 0.9)) == 1.0
    assert rate == 0.0
    assert variance > 1.0


def test_above_the_horizon_nothing_is_without_bounds():
    learned = Perspective().learned(seen())

    assert 1 / 3 <= larger(learned, (0.9, 0.9), (0.9, 0.0)) <= 1
    assert np.isfinite(growth(learned, (0.9, -0.2), (0.0, 1.0))).all()


def test_what_was_seen_long_ago_fades():
    turned = Perspective().learned(seen(400)).learned(seen(2000, horizon=-0.4))

    assert larger(turned, (0.9, 0.3), (0.9, 0.6)) == pytest.approx(1.0 / 0.7, rel=0.1)


def test_a_calibrated_camera_knows_without_having_seen():
    size = Size(1280, 720)
    pose = KnownPose(height_m=8.0, tilt_deg=14.0, focal_px=1000.0, pan_deg=0.0)
    plane = fitted(Calibration(pose=pose), size)
    a, b = (0.5, 0.4), (0.4, 0.8)
    heights = []
    for at in (a, b):  # metres per picture height, across, are the other way round
        across = plane.jacobian(np.array([at]))[0, :, 0]
        heights.append(1 / np.hypot(*across))

    known = Perspective.measured(plane.matrix[2].tolist())

    level = [(x * size.aspect, y) for x, y in (a, b)]
    assert larger(known, *level) == pytest.approx(heights[1] / heights[0], rel=1e-3)
