"""Following vehicles from frame to frame in one camera.

Each track is a Kalman filter of constant velocity over the middle of the box's lower edge and the box's size,
in level coordinates (picture heights, see geometry). Everything is measured in box heights and seconds of
capture time, so it does not matter how many frames a second come or whether they come evenly:
uncertainty grows with the true time between sightings, and so does the reach within which a vehicle is
looked for. Sure detections are matched first; unsure ones may only continue a track they overlap.

Sources: R. E. Kalman, A New Approach to Linear Filtering (1960), four independent axes with a
continuous white-noise acceleration (Bar-Shalom, Li and Kirubarajan, 2001, 6.2.2); the two passes follow Zhang et al., ByteTrack (ECCV 2022); the assignment is scipy's
(Jonker-Volgenant), the cost the negative log likelihood of the innovation (Bar-Shalom and Fortmann, 1988).
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.core.model import Detections, Point

Array = NDArray[np.float64]

_NEVER = 1e6  # a cost that no match is worth


class TrackingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the tracker believes of detectors and vehicles. No knob is a number of frames."""

    sure_score: float = 0.35  # detections this sure may begin a track
    least_score: float = 0.1  # detections less sure than this are not looked at
    lost_ms: int = 1500  # a track unseen this long has ended
    evidence: float = 0.8  # sum of scores a track needs before it is shown or counted
    gate: float = 13.28  # squared Mahalanobis distance, 99 % of a chi-square with 4 degrees of freedom
    newcomer: float = (
        1.0  # a worse match than this (in -2 log likelihood) is likelier a vehicle that just came into sight
    )
    noise_heights: float = 0.06  # standard deviation of a box edge, in box heights
    jitter_ms: float = 25.0  # standard deviation of a capture time: cameras repeat pictures and stamp them unevenly
    speed_heights: float = 8.0  # standard deviation of an unknown speed, in box heights per second
    wander_heights: float = 6.0  # and of how much it changes within a second (a random walk: any frame rate alike)
    moving_heights: float = 1.5  # at this speed, in box heights a second, a vehicle surely moves the way it seems to
    back_heights: float = 0.5  # and is then not found again further back than this
    overlap_same: float = 0.65  # two boxes of one kind that overlap more than this are one vehicle
    overlap_unsure: float = 0.3  # an unsure detection must overlap the predicted box at least this much


class Track(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One vehicle that is being followed.

    mean: lower middle x, lower middle y, width, height; then their speeds per second (8 numbers, level).
    cov: variance of each, covariance of each with its speed, variance of each speed (12 numbers).
    """

    epoch: int
    seq: int
    index: int
    born_ms: int
    seen_ms: int
    mean: tuple[float, ...]
    cov: tuple[float, ...]
    evidence: dict[str, float]  # sum of scores by class
    sightings: int

    @property
    def id(self) -> str:
        """The track's birth: unique in its camera for ever."""
        return f"{self.epoch}-{self.seq}-{self.index}"

    @property
    def label(self) -> str:
        """The class with most evidence; alphabet decides a tie."""
        return min(self.evidence, key=lambda name: (-self.evidence[name], name))

    @property
    def weight(self) -> float:
        """All evidence that there is a vehicle at all."""
        return sum(self.evidence.values())

    @property
    def score(self) -> float:
        """Mean score of its detections."""
        return self.weight / self.sightings

    @property
    def height(self) -> float:
        """Height of its box, in picture heights."""
        return self.mean[3]

    def foot(self, aspect: float) -> Point:
        """The middle of its lower edge, in shares."""
        return (self.mean[0] / aspect, self.mean[1])

    def box(self, aspect: float) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in shares, cut at the picture's edge."""
        x, y, w, h = self.mean[:4]
        cut = [min(1.0, max(0.0, v)) for v in ((x - w / 2) / aspect, y - h, (x + w / 2) / aspect, y)]
        return (cut[0], cut[1], cut[2], cut[3])


def follow(
    tracks: Sequence[Track], seen: Detections, *, at: tuple[int, int, int], aspect: float, policy: TrackingPolicy
) -> tuple[list[Track], list[Track]]:
    """Continue tracks with what was seen in one frame.

    Args:
        tracks: the living tracks, any order.
        seen: the frame's detections (n may be 0).
        at: epoch, seq and captured_ms of the frame; captured_ms is later than every track's seen_ms.
        aspect: width / height of the picture.
        policy: beliefs.

    Returns:
        (living tracks after the frame, old ones first and then the new ones; tracks that ended).
        A living track that was not seen in this frame keeps its last sighting's mean and covariance.
    """
    epoch, seq, now_ms = at
    living = [t for t in tracks if now_ms - t.seen_ms <= policy.lost_ms]
    ended = [t for t in tracks if now_ms - t.seen_ms > policy.lost_ms]
    boxes, scores, labels = _columns(seen, aspect, policy)
    means, covs = _predict(living, now_ms, policy)

    sure = np.flatnonzero(scores >= policy.sure_score)
    unsure = np.flatnonzero(scores < policy.sure_score)
    pairs = _match(living, means, covs, boxes, labels, np.arange(len(living)), sure, policy, least_overlap=None)
    free = np.array([i for i in range(len(living)) if i not in pairs], dtype=np.intp)
    pairs |= _match(living, means, covs, boxes, labels, free, unsure, policy, least_overlap=policy.overlap_unsure)

    after = [
        _sighted(t, means[i], covs[i], boxes[pairs[i]], labels[pairs[i]], float(scores[pairs[i]]), now_ms, policy)
        if i in pairs
        else t
        for i, t in enumerate(living)
    ]
    taken = set(pairs.values())
    index = 0
    for d in sure:
        if int(d) not in taken:
            after.append(_born(boxes[d], labels[d], float(scores[d]), (epoch, seq, index), now_ms, policy))
            index += 1
    return after, ended


_KINDS = {"person": "walker", "bicycle": "rider", "motorcycle": "rider"}


def _kind(label: str) -> str:
    """Classes that a model confuses with each other are one kind; a match never leaves its kind."""
    return _KINDS.get(label, "vehicle")


def _columns(seen: Detections, aspect: float, policy: TrackingPolicy) -> tuple[Array, Array, list[str]]:
    """Detections as (n, 4) level lower-middle boxes, scores and labels, each vehicle once.

    A model that suppresses overlaps per class may box one pick-up as a car and as a truck: the surer one stays.
    """
    x1, y1, x2, y2 = (np.array(c, dtype=np.float64) for c in (seen.x1, seen.y1, seen.x2, seen.y2))
    x1, x2 = x1 * aspect, x2 * aspect
    score = np.array(seen.score, dtype=np.float64)
    order = [
        int(i)
        for i in np.argsort(-score, kind="stable")
        if score[i] >= policy.least_score and x2[i] > x1[i] and y2[i] > y1[i]
    ]
    boxes = np.stack([(x1 + x2) / 2, y2, x2 - x1, y2 - y1], axis=1) if len(score) else np.zeros((0, 4))
    overlap = _overlap(boxes, boxes)
    kept: list[int] = []
    for i in order:
        if all(_kind(seen.label[i]) != _kind(seen.label[k]) or overlap[i, k] <= policy.overlap_same for k in kept):
            kept.append(i)
    return boxes[kept], score[kept], [seen.label[i] for i in kept]


def _overlap(a: Array, b: Array) -> Array:
    """Intersection over union of lower-middle boxes: (n, 4) and (m, 4) -> (n, m)."""
    ax1, ax2, ay1, ay2 = a[:, 0] - a[:, 2] / 2, a[:, 0] + a[:, 2] / 2, a[:, 1] - a[:, 3], a[:, 1]
    bx1, bx2, by1, by2 = b[:, 0] - b[:, 2] / 2, b[:, 0] + b[:, 2] / 2, b[:, 1] - b[:, 3], b[:, 1]
    w = np.clip(np.minimum(ax2[:, None], bx2) - np.maximum(ax1[:, None], bx1), 0, None)
    h = np.clip(np.minimum(ay2[:, None], by2) - np.maximum(ay1[:, None], by1), 0, None)
    both = w * h
    union = (a[:, 2] * a[:, 3])[:, None] + b[:, 2] * b[:, 3] - both
    shared: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return shared


def _predict(tracks: Sequence[Track], now_ms: int, policy: TrackingPolicy) -> tuple[Array, Array]:
    """Where each track is now: means (t, 8) and covariances (t, 3, 4)."""
    if not tracks:
        return np.zeros((0, 8)), np.zeros((0, 3, 4))
    mean = np.array([t.mean for t in tracks])
    cov = np.array([t.cov for t in tracks]).reshape(-1, 3, 4)
    dt = np.array([now_ms - t.seen_ms for t in tracks])[:, None] / 1000.0
    push = (policy.wander_heights * mean[:, 3:4]) ** 2 * np.array(
        [1.0, 1.0, 0.1, 0.1]
    )  # boxes grow more calmly than they move
    pp, pv, vv = cov[:, 0], cov[:, 1], cov[:, 2]
    moved = mean.copy()
    moved[:, :4] += mean[:, 4:] * dt
    moved[:, 2:4] = np.maximum(moved[:, 2:4], 0.3 * mean[:, 2:4])  # a shrinking box never vanishes or turns inside out
    grown = np.stack(
        [pp + 2 * dt * pv + dt**2 * vv + push * dt**3 / 3, pv + dt * vv + push * dt**2 / 2, vv + push * dt], axis=1
    )
    return moved, grown


def _match(
    tracks: Sequence[Track],
    means: Array,
    covs: Array,
    boxes: Array,
    labels: Sequence[str],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    policy: TrackingPolicy,
    *,
    least_overlap: float | None,
) -> dict[int, int]:
    """The likeliest one-to-one pairs {track index: detection index} among the given rows and columns."""
    if not len(rows) or not len(cols):
        return {}
    off = boxes[cols][None, :, :] - means[rows][:, None, :4]
    noise = (policy.noise_heights * np.maximum(boxes[cols][None, :, 3:4], means[rows][:, None, 3:4])) ** 2
    noise = noise + (means[rows][:, None, 4:] * policy.jitter_ms / 1000) ** 2
    spread = covs[rows][:, None, 0, :] + noise
    far = (off**2 / spread).sum(axis=2)
    cost = far + np.log(spread / np.maximum(boxes[cols][None, :, 3:4], 1e-6) ** 2).sum(axis=2)
    allowed = (
        (far <= policy.gate) & (cost <= policy.newcomer) & ~_backwards([tracks[r] for r in rows], boxes[cols], policy)
    )
    allowed &= np.array([[_kind(tracks[r].label) == _kind(labels[c]) for c in cols] for r in rows])
    if least_overlap is not None:
        allowed &= _overlap(means[rows][:, :4], boxes[cols]) >= least_overlap
    cost = np.where(allowed, cost, _NEVER)
    chosen = linear_sum_assignment(cost)
    return {int(rows[r]): int(cols[c]) for r, c in zip(*chosen, strict=True) if allowed[r, c]}


def _backwards(tracks: Sequence[Track], boxes: Array, policy: TrackingPolicy) -> NDArray[np.bool_]:
    """Whether a match would throw a moving vehicle back the way it came: (t, d). However long it was hidden, it did not."""
    mean = np.array([t.mean for t in tracks])
    speed = np.hypot(mean[:, 4], mean[:, 5])
    ahead = mean[:, 4:6] / np.maximum(speed, 1e-9)[:, None]
    step = ((boxes[None, :, :2] - mean[:, None, :2]) * ahead[:, None, :]).sum(axis=2)
    moving = speed >= policy.moving_heights * mean[:, 3]
    thrown: NDArray[np.bool_] = moving[:, None] & (step < -policy.back_heights * mean[:, 3:4])
    return thrown


def _sighted(
    track: Track, mean: Array, cov: Array, box: Array, label: str, score: float, now_ms: int, policy: TrackingPolicy
) -> Track:
    """Kalman's update, each axis by itself; an unsure box is believed less."""
    noise = (policy.noise_heights * max(float(box[3]), float(mean[3])) / max(score, policy.least_score) ** 0.5) ** 2
    noise = noise + (mean[4:] * policy.jitter_ms / 1000) ** 2
    pp, pv, vv = cov
    total = pp + noise
    gain, speed_gain = pp / total, pv / total
    off = box - mean[:4]
    new_mean = np.concatenate([mean[:4] + gain * off, mean[4:] + speed_gain * off])
    new_cov = np.concatenate([(1 - gain) * pp, (1 - gain) * pv, vv - speed_gain * pv])
    return msgspec.structs.replace(
        track,
        seen_ms=now_ms,
        mean=tuple(new_mean.tolist()),
        cov=tuple(new_cov.tolist()),
        evidence={**track.evidence, label: track.evidence.get(label, 0.0) + score},
        sightings=track.sightings + 1,
    )


def _born(
    box: Array, label: str, score: float, birth: tuple[int, int, int], now_ms: int, policy: TrackingPolicy
) -> Track:
    height = float(box[3])
    noise, speed = (policy.noise_heights * height) ** 2, (policy.speed_heights * height) ** 2
    slow = (0.25 * policy.speed_heights * height) ** 2
    return Track(
        epoch=birth[0],
        seq=birth[1],
        index=birth[2],
        born_ms=now_ms,
        seen_ms=now_ms,
        mean=(*box.tolist(), 0.0, 0.0, 0.0, 0.0),
        cov=(noise,) * 4 + (0.0,) * 4 + (speed, speed, slow, slow),
        evidence={label: score},
        sightings=1,
    )
