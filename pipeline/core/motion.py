"""How a vehicle's box moves: prediction along the flow, how far a detection is from it, and Kalman's update.

State: lower middle x, lower y, width, height; then their speeds per second (8 numbers, level). Covariances: variance
of each, covariance of each with its speed, variance of each speed (3 x 4), each axis by itself. Vehicles stand side by
side, [8, r] and [12, r]: a picture has few of them, and numpy is quickest where the long axis is the last one and both
sides of an operation have the same shape.

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
    x, y, _, high, vx, vy, _, _ = mean
    speed = np.hypot(vx, vy)
    nearer, unsure, rate = _nearer(mean, cov, dt, road.perspective, policy)
    ahead = dt * nearer
    squared = nearer * nearer
    moved = np.array((x + vx * ahead, y + vy * ahead, *mean[2:4], vx * squared, vy * squared, *mean[6:]))
    share = np.empty(len(dt))
    share.fill(policy.wander_share)
    moving = speed > 0.5 * high
    for kind, field in road.flow.items():
        same = kinds.count(kind)
        if not same:
            continue
        mine = (moving if same == len(kinds) else moving & np.array([k == kind for k in kinds])).nonzero()[0]
        if len(mine):
            state = np.array((x, y, vx, vy)).take(mine, axis=1)
            most = policy.gathers_heights * high.take(mine)
            carried, known = _carried(field, state, dt.take(mine), most, road.perspective, policy.flow_seen)
            state, mine = state.take(known, axis=1), mine.take(known)
            moved[_PLACE_AND_SPEED, mine] = carried
            share[mine], unsure[mine] = policy.wander_flow, 0.0
            larger = road.perspective.larger(state[:2], carried[:2])
            nearer[mine] = np.minimum(np.maximum(larger, _FARTHEST), _NEAREST)
            squared = nearer * nearer
    sizes = mean[2:4]
    grows = rate * sizes
    moved[2:4] *= nearer
    # Coming nearer lets a box grow as a whole; what one side grows by more ends with the turn it tells of.
    moved[6:] = squared * grows + (mean[6:] - grows) * np.exp(dt / -_TURN_S)
    wait = np.empty((4, len(dt)))  # of the same shape as what it is multiplied with: numpy is slow at stretching
    wait[:] = dt
    push = np.empty((4, len(dt)))  # how much a speed's variance grows in a second
    push[:2] = (policy.wander_heights * high) ** 2 + (share * speed) ** 2
    push[2:] = (policy.wander_size * high) ** 2
    push *= wait
    pp, pv, vv = cov[:4], cov[4:8], cov[8:]
    grown = np.empty((3, 4, len(dt)))
    # From the speed on, each row's integral over the time.
    np.add(pp, wait * (2 * pv + wait * (vv + push / 3)), out=grown[0])
    np.add(pv, wait * (vv + push / 2), out=grown[1])
    np.add(vv, push, out=grown[2])
    # Of an error of the growth rate: the speed is off by twice as much of itself as the way is of the way.
    wait = wait[:2]
    off = mean[4:6] * wait
    off *= off
    off *= unsure
    grown[2, :2] += 4 * off
    off *= wait
    grown[1, :2] += 2 * off
    off *= wait
    grown[0, :2] += off
    grown *= np.maximum(squared, 1.0)
    return moved, grown.reshape(12, -1)


_PLACE_AND_SPEED = np.array([[0], [1], [4], [5]])


def _nearer(
    mean: Array, cov: Array, dt: Array, perspective: Perspective, policy: MotionPolicy
) -> tuple[Array, Array, Array]:
    """How many times larger each vehicle is seen after its dt, the variance of the rate at which it grows, and that rate: [r].

    Who drives straight on at a constant speed over level ground is seen with a size of 1 / distance. If that is g
    times the size it had, it moved g times as far in the picture as its speed there told, and has g * g times that
    speed: follows from x = X / Z with X and Z linear in time. Its box tells how fast it grows, and so does its speed
    where the perspective is known; each counts by how sure it is.
    """
    sizes = mean[2:4]
    wider, higher = mean[6:] / sizes
    unsure_wider, unsure_higher = cov[10:] / (sizes * sizes)
    told, doubt = perspective.growth(mean[:2], mean[4:6], cov[8:10])
    by_box, by_speed = 1 / ((unsure_wider + unsure_higher) / 4 + 1e-9), 1 / (doubt + 1e-9)
    sure = by_box + by_speed + 1 / policy.grows_share**2
    rate = ((wider + higher) / 2 * by_box + told * by_speed) / sure
    nearer: Array = 1 / (1 - np.minimum(np.maximum(rate * dt, 1 - 1 / _FARTHEST), 1 - 1 / _NEAREST))
    return nearer, 1 / sure, rate


def _carried(
    field: FlowField, state: Array, dt: Array, most: Array, perspective: Perspective, seen: float
) -> tuple[Array, NDArray[np.intp]]:
    """Carry n vehicles along the flow: who is faster than it stays so; where it ends they drive straight on.

    Args:
        field: the flow of their kind.
        state: [4, n] x, y, vx, vy.
        dt: [n] seconds.
        most: [n] how much more speed each gathers or loses in a second, at most, than it would seem to at a constant one.
        perspective: of the view.
        seen: so many vehicles must have driven where they are.

    Returns:
        The state then of those whose flow is known, [4, k], and which these are, [k].
    """
    parts = max(1, min(8, math.ceil(float(dt.max()) / _STEP_S)))
    step = dt / parts
    x, y, vx, vy = state
    # The flow where they are and that at the end of the first part are looked up at once: it costs little more than one.
    both = np.empty((4, 2, len(dt)))
    both[:, 0] = state
    both[:, 1] = x + vx * step, y + vy * step, vx, vy
    modes = np.array(field.along(both.reshape(4, -1))).reshape(3, 2, -1)
    known = (modes[2, 0] >= seen).nonzero()[0]
    step, most, both = step.take(known), most.take(known), both.take(known, axis=2)
    (fx, gx), (fy, gy), (n, m) = modes.take(known, axis=2)
    before, now = perspective.size(both[:2].reshape(2, -1)).reshape(2, -1)
    x, y, vx, vy = both[:, 1]
    for part in range(parts):
        if part > 0:
            x, y = x + vx * step, y + vy * step
            ahead = np.array((x, y, vx, vy))
            gx, gy, m = field.along(ahead)
            now = perspective.size(ahead[:2])
        straight, before = np.minimum(np.maximum(now / before, 0.7), 1.4) ** 2, now
        # The turn and stretch from the one mode to the other, as a quotient of complex numbers.
        size = np.maximum(fx * fx + fy * fy, 1e-12)
        a, b = (gx * fx + gy * fy) / size, (gy * fx - gx * fy) / size
        stretch = np.maximum(np.hypot(a, b), 1e-12)
        known_on = np.minimum(n, m) > 0
        room = most * step / np.maximum(np.hypot(vx, vy), 1e-9)
        within = np.minimum(np.maximum(stretch, np.maximum(straight - room, 0.5)), straight + room) / stretch * known_on
        a, b = np.where(known_on, a * within, straight), b * within
        was_x, was_y, vx, vy = vx, vy, vx * a - vy * b, vx * b + vy * a
        x, y = x + (vx - was_x) * step / 2, y + (vy - was_y) * step / 2
        if part < parts - 1:
            goes_on = m > 0
            fx, fy, n = np.where(goes_on, gx, fx), np.where(goes_on, gy, fy), np.where(goes_on, m, n)
    return np.array((x, y, vx, vy)), known


class Fit(NamedTuple):
    """How well p boxes fit p vehicles that are expected somewhere."""

    off: Array  # [4, p] how far the box is from where it is expected: x, y, width, height
    blur: Array  # [4, p] variance of that by the box's noise, were its score 1
    high: Array  # [p] the greater height of the two
    expected: Array  # [8, p] the vehicle, with the size it has where the box is

    def of(self, which: NDArray[np.intp]) -> "Fit":
        """Some of the pairs."""
        off, blur, expected = (each.take(which, axis=1) for each in (self.off, self.blur, self.expected))
        return Fit(off, blur, self.high.take(which), expected)


def near(means: Array, covs: Array, boxes: Array, gate: float, policy: MotionPolicy) -> NDArray[np.bool_]:
    """Which boxes may be within a gate of which vehicles: [r, m]. Those that may not surely are not.

    A box is off by something between what its two edges across are off by, and so by no less than its lower middle less
    the sizes of both. Every noise is thought as large as it can be, so that what is to be known of a vehicle and what of
    a box are two numbers, and of a pair nothing but two comparisons along each axis. A vehicle is as large here as where
    it is expected; one that may be seen elsewhere, and larger, has a wide reach anyway.

    Args:
        means: [8, r], covs: [12, r] expected.
        boxes: [4, m].
        gate: squared Mahalanobis distance.
        policy: beliefs.
    """
    reach = 1.001 * math.sqrt(gate)  # a little more than the gate: sums are rounded
    most = reach * policy.noise_heights * _CUT_DOUBT
    spread = np.sqrt((means[4:6] * (policy.jitter_ms / 1000)) ** 2 + covs[:2])
    own = reach * spread + np.abs(most * means[3] + _REACH * means[2:4])
    theirs = most * boxes[3] + _REACH * boxes[2:]
    low, high = (means[:2] - own)[:, :, None], (means[:2] + own)[:, :, None]
    close = (low <= (boxes[:2] + theirs)[:, None]) & (high >= (boxes[:2] - theirs)[:, None])
    may_be: NDArray[np.bool_] = close[0] & close[1]
    return may_be


_REACH = np.array([[0.5], [1.0]])
"""How far from its lower middle an edge of a box lies, in widths and in heights: left or right, and top."""

_CUT_DOUBT = 4.0
"""A box both of whose edges across are not its own is so many times noisier."""

_PARTLY = np.array([1.0, 1.5])
"""And one of which something is not."""


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
    means = _sized(means, covs, boxes, cut, perspective, policy)
    # Both axes at once. The near edge is the left or the top one, the far one the right or the lower one.
    known, near_cut, far_cut = means[2:4], cut[:2], cut[2:]
    anchor, change = boxes - means[:4], boxes[2:] - known
    anchor = anchor[:2]
    short = change < 0
    odd = np.abs(change) > policy.same_size * known + 2 * np.sqrt(covs[2:4])
    hidden = near_cut | far_cut
    partly = odd | hidden
    edges = _REACH * change
    near_off, far_off = anchor - edges, anchor.copy()
    far_off[0] += edges[0]
    use_near = ((near_cut == far_cut) & (np.abs(near_off) < np.abs(far_off))) | (far_cut > near_cut)
    np.copyto(far_off, near_off, where=use_near)
    off, doubt = np.empty((4, len(means[0]))), np.empty((4, len(means[0])))
    off[:2] = np.where(partly & short, far_off, anchor)
    off[2:] = np.where(hidden & short, 0.0, change)
    doubt[:2] = np.where(near_cut & far_cut, _CUT_DOUBT, _PARTLY.take(partly.view(np.int8)))
    doubt[2:] = np.where(hidden, 4.0, np.where(odd, policy.odd_doubt, 1.0))
    high = np.maximum(boxes[3], means[3])
    doubt *= policy.noise_heights * high
    doubt *= doubt
    return Fit(off, doubt, high, means)


def _sized(
    means: Array, covs: Array, boxes: Array, cut: NDArray[np.bool_], perspective: Perspective, policy: MotionPolicy
) -> Array:
    """Expected vehicles [8, p] with the size they have where each is if the box is its own."""
    at, doubt = means[:2], covs[:2]
    drawn = doubt / (doubt + (policy.noise_heights * boxes[3]) ** 2)
    drawn *= ~cut[3]  # where the lower edge is hidden the box does not tell where the vehicle stands
    out = means.copy()
    out[2:4] *= perspective.larger(at, at + drawn * (boxes[:2] - at))
    return out


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
    off, mean = seen.off, seen.expected
    noise = seen.blur / np.maximum(scores, policy.least_score)
    noise += (mean[4:] * (policy.jitter_ms / 1000)) ** 2
    pp, pv, vv = cov[:4], cov[4:8], cov[8:]
    total = pp + noise
    gain, speed_gain = pp / total, pv / total
    new_mean, new_cov = mean.copy(), np.empty_like(cov)
    new_mean[:4] += gain * off
    new_mean[4:] += speed_gain * off
    rest = 1 - gain
    np.multiply(rest, pp, out=new_cov[:4])
    np.multiply(rest, pv, out=new_cov[4:8])
    np.subtract(vv, speed_gain * pv, out=new_cov[8:])
    return new_mean, new_cov
