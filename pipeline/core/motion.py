"""How a vehicle's box moves: prediction along the flow, how far a detection is from it, and Kalman's update.

State: lower middle x, lower y, width, height; then their speeds per second (8 numbers, level). Covariances: variance
of each, covariance of each with its speed, variance of each speed (3 x 4), each axis by itself. Vehicles stand side by
side, [8, r] and [12, r]. The formulas are in `kernels`.

Sources: R. E. Kalman, A New Approach to Linear Filtering (1960); continuous white-noise acceleration: Bar-Shalom, Li
and Kirubarajan, Estimation with Applications to Tracking and Navigation (2001), 6.2.2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core import kernels
from pipeline.core.kernels import Array, Places
from pipeline.core.perspective import Perspective
from pipeline.core.road import Road


class MotionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is believed of boxes and of how vehicles drive; in box heights and seconds of capture time."""

    noise_heights: float = 0.08  # standard deviation of a box edge
    jitter_ms: float = 25.0  # and of a capture time: cameras repeat pictures and stamp them unevenly
    wander_heights: float = 0.7  # how much a speed changes within a second (a random walk: any frame rate alike)
    wander_share: float = 0.45  # and this share of the speed itself
    wander_flow: float = 0.25  # the same where the flow is known
    wander_size: float = 0.44  # how much the growth of a box changes within a second, in its heights a second
    gathers_heights: float = 3.0  # nobody gathers or loses more speed in a second, in box heights a second
    flow_seen: float = 2.0  # the flow is known where at least so many vehicles drove
    grows_share: float = 1.0  # boxes grow by this share of their size within a second (standard deviation)
    same_size: float = 0.13  # a box that differs more than this from what its vehicle measures shows a part of it
    odd_doubt: float = 4.5  # the size of such a box is doubted so many times more
    least_score: float = 0.1  # how much a box of no score is believed


def predict(
    mean: Array,
    cov: Array,
    dt: Array,
    kinds: Sequence[str],
    road: Road,
    policy: MotionPolicy,
) -> tuple[Array, Array]:
    """Where each vehicle is after its dt: means [8, r] and covariances [12, r].

    Who drives along a known flow changes course and speed as it does; others drive straight on.

    Args:
        mean: [8, r], cov: [12, r] when last seen.
        dt: [r] seconds since.
        kinds: of road users, r of them.
        road: what is known of it.
        policy: beliefs.
    """
    then, cov_then = np.empty_like(mean), np.empty_like(cov)
    wander = (policy.wander_heights, policy.wander_share, policy.wander_flow, policy.wander_size)
    flow = (policy.gathers_heights, policy.flow_seen, policy.grows_share)
    plane, doubt = road.perspective.plane, road.perspective.doubt
    for kind, mine in by_kind(kinds).items():
        kernels.predict(mean, cov, dt, mine, road.field(kind), plane, doubt, wander, flow, then, cov_then)
    return then, cov_then


def by_kind(kinds: Sequence[str]) -> dict[str, Places]:
    """The places of each kind."""
    each = {*kinds}
    if len(each) == 1:
        return {kinds[0]: np.arange(len(kinds))}
    return {kind: np.array([i for i, k in enumerate(kinds) if k == kind]) for kind in sorted(each)}


class Fit(NamedTuple):
    """How well p boxes fit p vehicles that are expected somewhere."""

    off: Array  # [4, p] how far the box is from where it is expected: x, y, width, height
    blur: Array  # [4, p] variance of that by the box's noise, were its score 1
    expected: Array  # [8, p] the vehicle, with the size it has where the box is


def fit(
    means: Array,
    covs: Array,
    boxes: Array,
    cut: NDArray[np.bool_],
    perspective: Perspective,
    policy: MotionPolicy,
) -> Fit:
    """How well p boxes fit p vehicles.

    A box that is smaller than its vehicle is known to be shows a part of it. Then the edge that is not hidden tells
    where the vehicle is; if neither is known to be hidden, the one that is nearer to where it was expected. So a car
    that others drive past in front of stays where it is, though the lower edge of its box jumps.

    Args:
        means: [8, p], covs: [12, p] expected.
        boxes: [4, p], cut: [4, p] as in Look.
        perspective: of the view.
        policy: beliefs.
    """
    answer = Fit(np.empty_like(boxes), np.empty_like(boxes), np.empty_like(means))
    kernels.fit(means, covs, boxes, cut, perspective.plane, noise_of(policy), *answer)
    return answer


def noise_of(policy: MotionPolicy) -> tuple[float, float, float]:
    """What is believed of boxes, as the kernels want it."""
    return policy.noise_heights, policy.same_size, policy.odd_doubt


def update(cov: Array, seen: Fit, scores: Array, policy: MotionPolicy) -> tuple[Array, Array]:
    """Kalman's update of k predicted vehicles by a detection each, every axis by itself; an unsure box is believed less.

    Args:
        cov: [12, k] predicted.
        seen: how the k detections fit.
        scores: [k] of the detections.
        policy: beliefs.

    Returns:
        means [8, k] and covariances [12, k].
    """
    mean_then, cov_then = np.empty_like(seen.expected), np.empty_like(cov)
    kernels.update(cov, *seen, scores, policy.least_score, policy.jitter_ms / 1000, mean_then, cov_then)
    return mean_then, cov_then
