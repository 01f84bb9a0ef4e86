"""How a vehicle's box moves: prediction along the flow, how far a detection is from it, and Kalman's update.

State: lower middle x, lower y, width, height; then their speeds per second (8 numbers, level). Covariances: variance
of each, covariance of each with its speed, variance of each speed (3 x 4), each axis by itself.

Sources: R. E. Kalman, A New Approach to Linear Filtering (1960); continuous white-noise acceleration: Bar-Shalom, Li
and Kirubarajan, Estimation with Applications to Tracking and Navigation (2001), 6.2.2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.flow_field import FlowField
from pipeline.core.perspective import Perspective
from pipeline.core.road import Road

Array = NDArray[np.float64]


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


_STEP_S = 0.1
"""The flow is looked up anew after so many seconds of a long way."""

_FARTHEST, _NEAREST = 0.5, 2.5
"""A box becomes no more times smaller or larger between two sightings."""

_TURN_S = 1.0
"""A box gets wider and lower while its vehicle turns, for about so long."""

_MOVES = np.array([1.0, 1.0, 0.0, 0.0])
_GROWS = 1 - _MOVES
_PLACE_AND_SPEED = [0, 1, 4, 5]


def predict(
    mean: Array,
    cov: Array,
    dt: Array,
    kinds: Sequence[str],
    road: Road,
    policy: MotionPolicy,
) -> tuple[Array, Array]:
    """Where each vehicle is after its dt: means [r, 8] and covariances [r, 3, 4].

    Who drives along a known flow changes course and speed as it does; others drive straight on.

    Args:
        mean: [r, 8], cov: [r, 3, 4] when last seen.
        dt: [r] seconds since.
        kinds: of road users, r of them.
        road: what is known of it.
        policy: beliefs.
    """
    high = mean[:, 3:4]
    speed = np.hypot(mean[:, 4], mean[:, 5])
    wait = dt[:, None]
    nearer, unsure, rate = (each[:, None] for each in _nearer(mean, cov, dt, road.perspective, policy))
    moved = mean.copy()
    moved[:, :2] += mean[:, 4:6] * wait * nearer
    moved[:, 4:6] *= nearer**2
    share = np.full(len(mean), policy.wander_share)
    moving = speed > 0.5 * mean[:, 3]
    for kind, field in road.flow.items():
        mine = np.flatnonzero(moving & np.array([k == kind for k in kinds], dtype=bool))
        if len(mine):
            most = policy.gathers_heights * mean[mine, 3]
            carried, known = _carried(
                field, mean[mine[:, None], _PLACE_AND_SPEED].T, dt[mine], most, road.perspective, policy.flow_seen
            )
            mine, carried = mine[known], carried[:, known]
            moved[mine[:, None], _PLACE_AND_SPEED] = carried.T
            share[mine], unsure[mine] = policy.wander_flow, 0.0
            larger = road.perspective.larger(mean[mine, :2], carried[:2].T)
            nearer[mine, 0] = np.minimum(np.maximum(larger, _FARTHEST), _NEAREST)
    squared = nearer**2
    size = mean[:, 2:4]
    # Coming nearer lets a box grow as a whole; what one side grows by more ends with the turn it tells of.
    turns = (mean[:, 6:8] - rate * size) * np.exp(-wait / _TURN_S)
    moved[:, 2:4] *= nearer
    moved[:, 6:8] = squared * rate * size + turns
    push = ((policy.wander_heights * high) ** 2 + (share * speed)[:, None] ** 2) * _MOVES
    push += (policy.wander_size * high) ** 2 * _GROWS
    pp, pv, vv = cov[:, 0], cov[:, 1], cov[:, 2]
    grown = vv + push * wait / _SHARES  # [3, r, 4], from here on each row's integral over the time
    grown[:2] = pv * _TIMES + wait * grown[:2]
    grown[0] = pp + wait * grown[0]
    grown[:, :, :2] += _PARTS * unsure * (mean[:, 4:6] * wait * wait**_POWERS) ** 2
    return moved, (np.maximum(squared, 1.0) * grown).transpose(1, 0, 2)


# Of an error of the growth rate: the speed is off by twice as much of itself as the way is of the way.
_PARTS = np.array([1.0, 2.0, 4.0])[:, None, None]
_POWERS = np.array([1.0, 0.5, 0.0])[:, None, None]

_SHARES = np.array([3.0, 2.0, 1.0])[:, None, None]
_TIMES = np.array([2.0, 1.0])[:, None, None]


def _nearer(
    mean: Array, cov: Array, dt: Array, perspective: Perspective, policy: MotionPolicy
) -> tuple[Array, Array, Array]:
    """How many times larger each vehicle is seen after its dt, the variance of the rate at which it grows, and that rate: [r].

    Who drives straight on at a constant speed over level ground is seen with a size of 1 / distance. If that is g
    times the size it had, it moved g times as far in the picture as its speed there told, and has g * g times that
    speed: follows from x = X / Z with X and Z linear in time. Its box tells how fast it grows, and so does its speed
    where the perspective is known; each counts by how sure it is.
    """
    rate = (mean[:, 7] / mean[:, 3] + mean[:, 6] / mean[:, 2]) / 2
    unsure = (cov[:, 2, 3] / mean[:, 3] ** 2 + cov[:, 2, 2] / mean[:, 2] ** 2) / 4
    told, doubt = perspective.growth(mean[:, :2], mean[:, 4:6], cov[:, 2, :2])
    by_box, by_speed = 1 / (unsure + 1e-9), 1 / (doubt + 1e-9)
    sure = by_box + by_speed + 1 / policy.grows_share**2
    rate = (rate * by_box + told * by_speed) / sure
    nearer: Array = 1 / (1 - np.minimum(np.maximum(rate * dt, 1 - 1 / _FARTHEST), 1 - 1 / _NEAREST))
    return nearer, 1 / sure, rate


def _carried(
    field: FlowField, state: Array, dt: Array, most: Array, perspective: Perspective, seen: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Carry n vehicles along the flow: who is faster than it stays so; where it ends they drive straight on.

    Args:
        field: the flow of their kind.
        state: [4, n] x, y, vx, vy.
        dt: [n] seconds.
        most: [n] how much more speed each gathers or loses in a second, at most, than it would seem to at a constant one.
        perspective: of the view.
        seen: so many vehicles must have driven where they are.

    Returns:
        Their state then, [4, n], and whether the flow of each is known, [n].
    """
    parts = max(1, min(8, math.ceil(float(dt.max()) / _STEP_S)))
    step = dt / parts
    x, y, vx, vy = state
    # The flow where they are and that at the end of the first part are looked up at once: it costs little more than one.
    ahead = np.array((x + vx * step, y + vy * step, vx, vy))
    looked_up = field.along(*np.concatenate((state, ahead), axis=1))
    fx, fy, n = (each[: len(dt)] for each in looked_up)
    gx, gy, m = (each[len(dt) :] for each in looked_up)
    x, y = ahead[0], ahead[1]
    known = n >= seen
    before = perspective.size(state[:2].T)
    for part in range(parts):
        if part > 0:
            x, y = x + vx * step, y + vy * step
            gx, gy, m = field.along(x, y, vx, vy)
        now = perspective.size(np.array((x, y)).T)
        straight, before = np.minimum(np.maximum(now / before, 0.7), 1.4) ** 2, now
        # The turn and stretch from the one mode to the other, as a quotient of complex numbers.
        size = np.maximum(fx * fx + fy * fy, 1e-12)
        a, b = (gx * fx + gy * fy) / size, (gy * fx - gx * fy) / size
        stretch = np.maximum(np.hypot(a, b), 1e-12)
        goes_on = m > 0
        known_on = (n > 0) & goes_on
        room = most * step / np.maximum(np.hypot(vx, vy), 1e-9)
        within = np.minimum(np.maximum(stretch, np.maximum(straight - room, 0.5)), straight + room) / stretch
        within = np.where(known_on, within, 0.0)
        a, b = np.where(known_on, a * within, straight), b * within
        was_x, was_y, vx, vy = vx, vy, vx * a - vy * b, vx * b + vy * a
        x, y = x + (vx - was_x) * step / 2, y + (vy - was_y) * step / 2
        if part < parts - 1:
            fx, fy, n = np.where(goes_on, gx, fx), np.where(goes_on, gy, fy), np.where(goes_on, m, n)
    return np.array((x, y, vx, vy)), known


class Fit(NamedTuple):
    """How well p boxes fit p vehicles that are expected somewhere."""

    off: Array  # [p, 4] how far the box is from where it is expected: x, y, width, height
    blur: Array  # [p, 4] variance of that by the box's noise, were its score 1
    high: Array  # [p] the greater height of the two
    expected: Array  # [p, 8] the vehicle, with the size it has where the box is

    def of(self, which: NDArray[np.intp]) -> "Fit":
        """Some of the pairs."""
        return Fit(self.off[which], self.blur[which], self.high[which], self.expected[which])


def near(means: Array, covs: Array, boxes: Array, gate: float, policy: MotionPolicy) -> NDArray[np.bool_]:
    """Which boxes may be within a gate of which vehicles: [r, m]. Those that may not surely are not.

    A box is off by something between what its two edges across are off by, and so by no less than its lower middle less
    the sizes of both. Every noise is thought as large as it can be, so that what is to be known of a vehicle and what of
    a box are two numbers, and of a pair nothing but one comparison along each axis. A vehicle is as large here as where it
    is expected; one that may be seen elsewhere, and larger, has a wide reach anyway.

    Args:
        means: [r, 8], covs: [r, 3, 4] expected.
        boxes: [m, 4].
        gate: squared Mahalanobis distance.
        policy: beliefs.
    """
    reach = 1.001 * math.sqrt(gate)  # a little more than the gate: sums are rounded
    most = reach * policy.noise_heights * _CUT_DOUBT
    mean, box = means.T, boxes.T
    spread = np.sqrt((mean[4:6] * (policy.jitter_ms / 1000)) ** 2 + covs[:, 0, :2].T)
    own = reach * spread + np.abs(most * mean[3] + _REACH * mean[2:4])
    theirs = most * box[3] + _REACH * box[2:]
    apart = np.abs(mean[:2, :, None] - box[:2, None]) > own[:, :, None] + theirs[:, None]
    may_be: NDArray[np.bool_] = ~(apart[0] | apart[1])
    return may_be


_REACH = np.array([[0.5], [1.0]])
"""How far from its lower middle an edge of a box lies, in widths and in heights."""

_EDGES = np.array([[-0.5, -1.0], [0.5, 0.0]])[:, :, None]
"""Where the near edge (left, top) and the far one (right, bottom) lie from the lower middle, in widths and heights."""

_CUT_DOUBT = 4.0
"""A box both of whose edges across are not its own is so many times noisier."""


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
        means: [p, 8], covs: [p, 3, 4] expected.
        boxes: [p, 4], cut: [p, 4] as in Look.
        perspective: of the view.
        policy: beliefs.
    """
    means = _sized(means, covs, boxes, cut, perspective, policy)
    # Both axes at once and the pairs last in memory: numpy is slow where the last axis is short.
    box, expected, (near_cut, far_cut) = boxes.T, means.T, cut.T.reshape(2, 2, -1)
    place, size, known = box[:2], box[2:], expected[2:4]
    anchor = place - expected[:2]
    near_off, far_off = (place + _EDGES * size) - (expected[:2] + _EDGES * known)
    change = size - known
    odd = np.abs(change) > policy.same_size * known + 2 * np.sqrt(covs[:, 0, 2:].T)
    short = change < 0
    hidden = near_cut | far_cut
    partly = odd | hidden
    use_near = np.where(near_cut == far_cut, np.abs(near_off) < np.abs(far_off), far_cut)
    off, doubt = np.empty((4, len(boxes))), np.empty((4, len(boxes)))
    off[:2] = np.where(partly & short, np.where(use_near, near_off, far_off), anchor)
    off[2:] = np.where(hidden & short, 0.0, change)
    doubt[:2] = np.where(near_cut & far_cut, _CUT_DOUBT, np.where(partly, 1.5, 1.0))
    doubt[2:] = np.where(hidden, 4.0, np.where(odd, policy.odd_doubt, 1.0))
    high = np.maximum(box[3], expected[3])
    return Fit(off.T, ((policy.noise_heights * high * doubt) ** 2).T, high, means)


def _sized(
    means: Array, covs: Array, boxes: Array, cut: NDArray[np.bool_], perspective: Perspective, policy: MotionPolicy
) -> Array:
    """Expected vehicles [p, 8] with the size they have where each is if the box is its own."""
    at, doubt = means[:, :2], covs[:, 0, :2]
    drawn = doubt / (doubt + (policy.noise_heights * boxes[:, 3:]) ** 2)
    drawn[cut[:, 3]] = 0.0  # where the lower edge is hidden the box does not tell where the vehicle stands
    out = means.copy()
    out[:, 2:4] *= perspective.larger(at, at + drawn * (boxes[:, :2] - at))[:, None]
    return out


def update(cov: Array, seen: Fit, scores: Array, policy: MotionPolicy) -> tuple[Array, Array]:
    """Kalman's update of k predicted vehicles by a detection each, every axis by itself; an unsure box is believed less.

    Args:
        cov: [k, 3, 4] predicted.
        seen: how the k detections fit.
        scores: [k] of the detections.
        policy: beliefs.
    """
    off, mean = seen.off, seen.expected
    noise = seen.blur / np.maximum(scores, policy.least_score)[:, None]
    noise += (mean[:, 4:] * policy.jitter_ms / 1000) ** 2
    pp, pv, vv = cov[:, 0], cov[:, 1], cov[:, 2]
    total = pp + noise
    gain, speed_gain = pp / total, pv / total
    new_mean, new_cov = np.empty_like(mean), np.empty_like(cov)
    new_mean[:, :4] = mean[:, :4] + gain * off
    new_mean[:, 4:] = mean[:, 4:] + speed_gain * off
    rest = 1 - gain
    new_cov[:, 0], new_cov[:, 1], new_cov[:, 2] = rest * pp, rest * pv, vv - speed_gain * pv
    return new_mean, new_cov
