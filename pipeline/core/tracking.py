"""Following vehicles from frame to frame in one camera.

Everything is measured in box heights and seconds of capture time, so it does not matter how many frames a second
come or whether they come evenly: uncertainty grows with the true time between sightings (see motion).

A detection continues a track if that is likelier than that somebody new came into sight; what is likely depends on
how many newcomers a picture of that moment has, how densely they lie in it, and how well the track's motion is known.
A track seen once may go anywhere, but most likely where others drove from there (see flow_field), or nowhere. Where
several second sightings are about equally likely, all of them are kept as branches until a third one decides.
So a cold camera with two pictures a second learns how vehicles drive, and a warm one knows it. How large a vehicle is
seen further along tells a second sighting from another vehicle, too (see perspective).

A box within that of a better known vehicle (a cab, a trailer, a rider) is followed, but it is no evidence of another.

Sources: likelihood ratio of a track's continuation: Y. Bar-Shalom and X.-R. Li, Multitarget-Multisensor Tracking
(1995), 6.3; deferred decisions: D. B. Reid, An Algorithm for Tracking Multiple Targets (1979); the assignment is scipy's.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

import msgspec
import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.core.boxes import Look, look
from pipeline.core.flow_field import Step
from pipeline.core.kernels import CELL, Array, Places, costs
from pipeline.core.model import Detections, Point
from pipeline.core.motion import Fit, MotionPolicy, by_kind, fit, noise_of, predict, update
from pipeline.core.perspective import Sighting
from pipeline.core.road import UNKNOWN, Road

_NEVER = 1e6  # a cost that no match is worth
_MOST_BRANCHES = 6

_STANDS = 0.3
"""Detections less sure than this, on average, show a vehicle only if it drives: signs and shadows never do."""

_SLOW = 0.3
"""Who drives less than so many box heights a second stands."""

_SURELY = 2.0
"""Two speeds are two if their difference, squared, is more than so many times its variance."""

_DRIVES = 1.5
"""So many box heights from where it was first seen, it drove."""


class TrackingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the tracker believes of detectors and vehicles. No knob is a number of frames."""

    motion: MotionPolicy = MotionPolicy()
    least_score: float = 0.1  # detections less sure than this are not looked at
    lost_ms: int = 2500  # a track unseen this long has ended
    lost_still_ms: int = 8000  # and one that stood still
    lost_young_ms: int = 3300  # and one that was seen once
    evidence: float = 0.8  # sum of scores a track needs before it is shown or counted
    gate: float = 18.0  # squared Mahalanobis distance, 4 degrees of freedom
    newcomers: float = 0.4  # vehicles that come into sight at once ...
    newcomers_s: float = 1.5  # ... and so many more for each second between two pictures
    detected: float = 0.5  # chance that a vehicle in sight is detected
    speed_heights: float = 10.0  # standard deviation of an unknown speed, in box heights per second
    still_heights: float = 0.5  # and of that of a vehicle that stands
    grows: float = 0.5  # and of how fast its box grows
    absent: float = (
        12.0  # who was seen once and not for a second since is so much less likely there (-2 log likelihood)
    )
    still_share: float = 0.08  # newborn tracks that stand
    flow_spread: float = 0.25  # vehicles differ from the flow by this share of its speed
    flow_doubt: float = 2.0  # so many vehicles seen make the flow as likely as anything else
    margin: float = 4.4  # a second sighting is sure if all others are this much less likely (-2 log likelihood)
    moving_heights: float = 1.5  # at this speed, in box heights a second, a vehicle surely moves the way it seems to
    back_heights: float = 0.75  # and is then not found again further back than this
    against_heights: float = 0.2  # who drove further than this against all others there is unlikely the same one
    overlap_same: float = (
        0.65  # two boxes that overlap more than this are one vehicle, if neither is of somebody on foot
    )
    part_share: float = 0.4  # a box that lies so far within a better known vehicle's is no evidence of another ...
    part_cost: float = 5.0  # ... and so much less likely (-2 log likelihood) to be the vehicle a track looks for
    apart_heights: float = 1.0  # but who goes its own way, so many box heights a second faster, is no part


class Branch(msgspec.Struct, frozen=True, array_like=True):
    """A second sighting that a track may have had; another vehicle may have had it instead."""

    of: str  # the track that began with that sighting
    seen_ms: int
    cost: float  # -2 log likelihood ratio so far
    mean: tuple[float, ...]
    cov: tuple[float, ...]
    label: str
    score: float


class Track(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One vehicle that is being followed.

    mean: 8 numbers, cov: 12, see motion.
    """

    epoch: int
    seq: int
    index: int
    born_ms: int
    seen_ms: int
    kind: str  # vehicle, rider or walker
    start: Point  # where its foot was at birth, level
    mean: tuple[float, ...]
    cov: tuple[float, ...]
    evidence: dict[str, float]  # sum of scores by class
    sightings: int
    alone: float  # sum of scores of the sightings that were no part of a better known vehicle's box
    part: bool  # the last sighting was such a part
    own: bool  # and of the last two one was not
    told: tuple[float, float, int]  # x, y and capture time up to which the flow field knows its way
    speeds: list[tuple[float, float, float, float]] = []  # seen once: (cost, vx, vy, spread) it may have
    branches: list[Branch] = []  # seen once: where it may have been seen again
    drove: bool = False  # it was seen far from where it was born, though it may have come back since

    @property
    def id(self) -> str:
        """The track's birth: unique in its camera for ever."""
        return f"{self.epoch}-{self.seq}-{self.index}"

    @property
    def label(self) -> str:
        """The class with most evidence; alphabet decides a tie."""
        if len(self.evidence) == 1:
            (only,) = self.evidence
            return only
        return min(self.evidence, key=lambda name: (-self.evidence[name], name))

    @property
    def weight(self) -> float:
        """All evidence that there is a vehicle of its own; what a model is never sure of must have driven, too."""
        return self.alone if self.drove or self.score >= _STANDS else 0.0

    @property
    def score(self) -> float:
        """Mean score of its detections."""
        return sum(self.evidence.values()) / self.sightings

    @property
    def height(self) -> float:
        """Height of its box, in picture heights."""
        return self.mean[3]

    def foot(self, aspect: float) -> Point:
        """The middle of its lower edge, in shares."""
        return (self.mean[0] / aspect, self.mean[1])


def boxes_of(tracks: Sequence[Track], aspect: float) -> list[tuple[float, float, float, float]]:
    """x1, y1, x2, y2 of each in shares, cut at the picture's edge, to five digits."""
    x, y, wide, high = np.fromiter(chain.from_iterable(t.mean[:4] for t in tracks), np.float64).reshape(-1, 4).T
    edges = np.array(((x - wide / 2) / aspect, y - high, (x + wide / 2) / aspect, y))
    return list(zip(*np.minimum(np.maximum(edges, 0.0), 1.0).round(5).tolist(), strict=True))


def follow(
    tracks: Sequence[Track],
    seen: Detections,
    *,
    at: tuple[int, int, int],
    aspect: float,
    policy: TrackingPolicy,
    road: Road = UNKNOWN,
) -> tuple[list[Track], list[Track], Road]:
    """Continue tracks with what was seen in one frame.

    Args:
        tracks: the living tracks, any order.
        seen: the frame's detections (n may be 0).
        at: epoch, seq and captured_ms of the frame; captured_ms is later than every track's seen_ms.
        aspect: width / height of the picture.
        policy: beliefs.
        road: what is known of it.

    Returns:
        (living tracks after the frame, old ones first and then the new ones; tracks that ended; what is known of
        the road now).
        A living track that was not seen in this frame keeps its last sighting's mean and covariance.
    """
    _, _, now_ms = at
    living, ended = list[Track](), list[Track]()
    least_ms = min(policy.lost_ms, policy.lost_still_ms, policy.lost_young_ms)
    for track in tracks:
        unseen_ms = now_ms - track.seen_ms
        (living if unseen_ms <= least_ms or unseen_ms <= _patience_ms(track, policy) else ended).append(track)
    view = look(seen, aspect, least_score=policy.least_score, same=policy.overlap_same, part=policy.part_share)
    pairs: dict[int, _Pair] = {}
    gone: set[int] = set()
    doubted: dict[int, list[_Chance]] = {}
    rows = _rows(living, now_ms, road, policy)
    fits: _Fits | None = None
    if living and view.labels:
        fits = _fits(rows, living, view, road, policy)
        cost = fits.cost
        old = [i for i, t in enumerate(living) if t.sightings > 1]
        best = cost[rows.first]  # a track seen more than once has one row
        for i, d in _assigned(best, np.array(old, dtype=np.intp)):
            pairs[i] = _Pair(int(rows.first[i]), d)
        taken = {pair.seen for pair in pairs.values()}
        left = [d for d in range(len(view.labels)) if d not in taken]
        youth = _Youth(living, rows, cost, left)
        doubted = youth.decide(policy.margin)
        pairs, gone = pairs | youth.pairs, youth.gone
    part = view.part(
        {pair.seen: _known(living[i], now_ms) for i, pair in pairs.items()}, _apart(living, rows, pairs, view, policy)
    )
    taken = {pair.seen for pair in pairs.values()}
    born = {d: k for k, d in enumerate(d for d in range(len(view.labels)) if d not in taken)}
    sighted = _sighted(living, rows, pairs, fits, view, part, now_ms, policy)
    after: list[Track] = []
    steps: dict[str, list[Step]] = {}
    for i, track in enumerate(living):
        if i in sighted:
            after.append(_told(sighted[i], steps))
        elif i in doubted:
            after.append(_branched(track, rows, doubted[i], fits, view, born, at, policy))
        elif _out_of_sight(rows, i, track, aspect):
            ended.append(track)
        elif i not in gone:
            after.append(track)
    after += [_born(view, d, (*at[:2], k), now_ms, d in part, road, policy) for d, k in born.items()]
    return after, ended, road.learned(steps, _sizes(after, now_ms), aspect)


_EDGE = 0.01
"""So near to the picture's upper or lower edge a box is not seen whole."""


def _sizes(tracks: Sequence[Track], now_ms: int) -> list[Sighting]:
    """Boxes that tell how large things are seen: of who is new or went a little way, each whole and a vehicle's own."""
    return [
        (t.mean[0], t.mean[1], t.mean[3], t.label, t.score)
        for t in tracks
        if t.seen_ms == t.told[2] == now_ms and not t.part and t.mean[1] - t.mean[3] > _EDGE and t.mean[1] < 1 - _EDGE
    ]


class _Pair(msgspec.Struct, frozen=True):
    row: int
    seen: int  # the detection


def _patience_ms(track: Track, policy: TrackingPolicy) -> int:
    if track.sightings == 1:
        return policy.lost_young_ms
    vx, vy = track.mean[4:6]
    still = vx * vx + vy * vy < (_SLOW * track.mean[3]) ** 2
    return policy.lost_still_ms if still else policy.lost_ms


# --- what may have become of the tracks ------------------------------------------------------------


class _Rows(msgspec.Struct, frozen=True):
    """All that may have become of the living tracks by now; those of one track stand together."""

    owner: list[int]  # [r] its track
    kinds: list[str]  # [r] that track's
    first: Places  # [t] a track's first row
    branch: list[int]  # [r] which of its branches; -1: none
    means: Array  # [8, r] now
    covs: Array  # [12, r]
    start: Array  # [8, r] when last seen
    cost: Array  # [r] of what was assumed so far
    dt: Array  # [r] s since it was last seen


def _rows(
    tracks: Sequence[Track],
    now_ms: int,
    road: Road,
    policy: TrackingPolicy,
) -> _Rows:
    owner: list[int] = []
    first: list[int] = []
    branch: list[int] = []
    state: list[tuple[float, ...]] = []  # mean and covariance of each row, in turn
    cost: list[float] = []
    since: list[int] = []

    def add(i: int, b: int, mean: tuple[float, ...], cov: tuple[float, ...], k: float, seen_ms: int) -> None:
        owner.append(i)
        branch.append(b)
        state.extend((mean, cov))
        cost.append(k)
        since.append(now_ms - seen_ms)

    for i, t in enumerate(tracks):
        first.append(len(owner))
        if t.sightings > 1:
            add(i, -1, t.mean, t.cov, 0.0, t.seen_ms)
            continue
        for k, vx, vy, spread in t.speeds:
            mean, cov = (*t.mean[:4], vx, vy, 0.0, 0.0), (*t.cov[:8], spread**2, spread**2, *t.cov[10:])
            add(i, -1, mean, cov, k, t.seen_ms)
        for b, each in enumerate(t.branches):
            if now_ms - each.seen_ms <= policy.lost_young_ms:
                add(i, b, each.mean, each.cov, each.cost, each.seen_ms)
    rows = np.fromiter(chain.from_iterable(state), np.float64, 20 * len(owner)).reshape(-1, 20).T.copy()
    start, covs = rows[:8], rows[8:]
    dt = np.array(since) / 1000.0
    kinds = [tracks[i].kind for i in owner]
    means, covs = predict(start, covs, dt, kinds, road, policy.motion) if owner else (start, covs)
    return _Rows(owner, kinds, np.array(first, dtype=np.intp), branch, means, covs, start, np.array(cost), dt)


def _out_of_sight(rows: _Rows, i: int, track: Track, aspect: float) -> bool:
    """Whether a living track surely drove out of the picture: the whole box is expected beyond its edge."""
    if track.sightings == 1:
        return False
    x, y, wide, high = rows.means[:4, rows.first[i]].tolist()
    return bool(x + wide / 2 < 0 or x - wide / 2 > aspect or y < 0 or y - high > 1)


class _Fits(msgspec.Struct, frozen=True):
    """How well m detections fit r rows."""

    cost: Array  # [r, m] -2 log of how much likelier it is that the detection continues the row than that it is new
    rows: _Rows
    view: Look
    road: Road
    policy: MotionPolicy

    def of(self, row: Places, seen: Places) -> Fit:
        """Of some pairs."""
        means, covs = self.rows.means.take(row, axis=1), self.rows.covs.take(row, axis=1)
        boxes, cut = self.view.boxes.take(seen, axis=1), self.view.cut.take(seen, axis=1)
        return fit(means, covs, boxes, cut, self.road.perspective, self.policy)


def _fits(
    rows: _Rows,
    tracks: Sequence[Track],
    view: Look,
    road: Road,
    policy: TrackingPolicy,
) -> _Fits:
    newcomers = policy.newcomers + policy.newcomers_s * np.minimum(rows.dt, 2.0)
    assumed = rows.cost - 2 * math.log(policy.detected / (1 - policy.detected)) + 4 * math.log(2 * math.pi)
    young = [tracks[i].sightings == 1 for i in rows.owner]
    if True in young:
        assumed += np.minimum(rows.dt - rows.dt.min(), 2.0) * policy.absent * np.array(young)
    more = np.zeros(len(view.labels))
    if view.within:
        more[list(view.part({}))] = policy.part_cost
    cost = np.full((len(rows.owner), len(view.labels)), _NEVER)
    noise, jitter_s, plane = noise_of(policy.motion), policy.motion.jitter_ms / 1000, road.perspective.plane
    drives, theirs = (policy.moving_heights, policy.back_heights, policy.against_heights), by_kind(view.kinds)
    for kind, mine in by_kind(rows.kinds).items():
        if kind in theirs:
            costs(
                rows.means, rows.covs, rows.start, assumed, newcomers, mine, view.boxes, view.cut, more, theirs[kind],
                road.field(kind), plane, noise, jitter_s, policy.gate, drives, cost,
            )  # fmt: skip
    return _Fits(cost, rows, view, road, policy.motion)


def _assigned(cost: Array, rows: Places) -> list[tuple[int, int]]:
    """The likeliest one-to-one pairs of the given rows; a pair that is not worth it is left out."""
    if not len(rows):
        return []
    part = np.minimum(cost[rows], 0.0)
    r, c = linear_sum_assignment(part)
    worth = part[r, c] < 0
    return list(zip(rows[r[worth]].tolist(), c[worth].tolist(), strict=True))


# --- tracks that were seen once --------------------------------------------------------------------


class _Chance(msgspec.Struct, frozen=True, order=True):
    """A detection may continue a track that was seen once; ordered from likely to unlikely."""

    cost: float
    row: int
    seen: int  # the detection
    track: int


class _Youth:
    """Second and third sightings of tracks that were seen once.

    Args:
        left: detections that no older track took.
    """

    def __init__(self, tracks: Sequence[Track], rows: _Rows, cost: Array, left: Sequence[int]) -> None:
        self._tracks, self._rows = tracks, rows
        young = [r for r, i in enumerate(rows.owner) if tracks[i].sightings == 1]
        self._chances: list[_Chance] = []
        if young and left:
            part = cost[np.ix_(young, left)]
            a, b = np.nonzero(part < 0)
            self._chances = sorted(
                _Chance(value, young[r], left[d], rows.owner[young[r]])
                for value, r, d in zip(part[a, b].tolist(), a.tolist(), b.tolist(), strict=True)
            )
        self.pairs: dict[int, _Pair] = {}
        self.gone: set[int] = set()  # tracks that were another's second sighting
        self._taken: set[int] = set()

    def decide(self, margin: float) -> dict[int, list[_Chance]]:
        """Take what is sure, likeliest first. Gives the likeliest second sightings of each track that is in doubt."""
        if not self._chances:
            return {}
        place = {track.id: i for i, track in enumerate(self._tracks)}
        doubted: set[int] = set()
        for chance in self._chances:
            if not self._open(chance):
                continue
            i, branch = chance.track, self._rows.branch[chance.row]
            if branch >= 0:
                other = place.get(self._tracks[i].branches[branch].of)
                if other is None or not self._spare(other):
                    continue  # that sighting is another's: one that no track goes on from was taken before
                self.gone.add(other)
            elif self._rivalled(chance, margin):
                doubted.add(i)
                continue
            self.pairs[i] = _Pair(chance.row, chance.seen)
            self._taken.add(chance.seen)
        out: dict[int, list[_Chance]] = {i: [] for i in doubted if i not in self.pairs and i not in self.gone}
        for chance in self._chances:
            some = out.get(chance.track)
            if some is not None and self._rows.branch[chance.row] < 0 and chance.seen not in self._taken:
                some.append(chance)
        return {i: some[:_MOST_BRANCHES] for i, some in out.items()}

    def _open(self, chance: _Chance) -> bool:
        i = chance.track
        return i not in self.pairs and i not in self.gone and chance.seen not in self._taken

    def _spare(self, i: int) -> bool:
        """Whether a track is only what may have been another's second sighting."""
        return self._tracks[i].sightings == 1 and i not in self.pairs and i not in self.gone

    def _rivalled(self, mine: _Chance, margin: float) -> bool:
        """Whether another track is about as likely to have had this sighting, or this track another one."""
        for other in self._chances:
            if other.cost >= mine.cost + margin:
                return False
            if (other.track == mine.track) != (other.seen == mine.seen) and self._open(other):
                return True
        return False


def _branched(
    track: Track,
    rows: _Rows,
    doubted: Sequence[_Chance],
    fits: _Fits | None,
    view: Look,
    born: Mapping[int, int],
    at: tuple[int, int, int],
    policy: TrackingPolicy,
) -> Track:
    """Keep what a track in doubt may have been seen as."""
    epoch, seq, now_ms = at
    kept = [b for b in track.branches if now_ms - b.seen_ms <= policy.lost_young_ms]
    if doubted and fits is not None:
        r, d = np.array([chance.row for chance in doubted]), np.array([chance.seen for chance in doubted])
        means, covs = update(rows.covs.take(r, axis=1), fits.of(r, d), view.scores[d], policy.motion)
        for chance, mean, cov in zip(doubted, means.T.tolist(), covs.T.tolist(), strict=True):
            seen, of = chance.seen, f"{epoch}-{seq}-{born[chance.seen]}"
            score = float(view.scores[seen])
            kept.append(Branch(of, now_ms, chance.cost, tuple(mean), tuple(cov), view.labels[seen], score))
    return msgspec.structs.replace(track, branches=kept)


_FORGOTTEN_S = 0.5
"""Who was unseen for so long is known e times less well than somebody who was seen all along."""


def _known(track: Track, now_ms: int) -> float:
    return track.alone * math.exp((track.seen_ms - now_ms) / 1000 / _FORGOTTEN_S)


def _apart(
    tracks: Sequence[Track], rows: _Rows, pairs: Mapping[int, _Pair], view: Look, policy: TrackingPolicy
) -> set[tuple[int, int]]:
    """Boxes of which one lies within the other and that are two vehicles: their tracks are expected to go different ways."""
    out: set[tuple[int, int]] = set()
    of = {pair.seen: rows.first[i] for i, pair in pairs.items() if tracks[i].sightings > 1} if view.within else {}
    for i, j in view.within:
        if i in of and j in of:
            both = [of[i], of[j]]
            (ax, bx), (ay, by) = rows.means[4:6, both].tolist()
            away, doubt = (ax - bx) ** 2 + (ay - by) ** 2, float(rows.covs[8:10, both].sum())
            if away > (policy.apart_heights * float(rows.means[3, both].min())) ** 2 + _SURELY * doubt:
                out.add((i, j))
    return out


# --- tracks after the frame ------------------------------------------------------------------------


def _sighted(
    tracks: Sequence[Track],
    rows: _Rows,
    pairs: Mapping[int, _Pair],
    fits: _Fits | None,
    view: Look,
    part: Collection[int],
    now_ms: int,
    policy: TrackingPolicy,
) -> dict[int, Track]:
    if not pairs or fits is None:
        return {}
    r = np.array([pair.row for pair in pairs.values()])
    d = np.array([pair.seen for pair in pairs.values()])
    mean, cov = update(rows.covs.take(r, axis=1), fits.of(r, d), view.scores[d], policy.motion)
    out: dict[int, Track] = {}
    scores = view.scores.tolist()
    for (i, pair), m, c in zip(pairs.items(), mean.T.tolist(), cov.T.tolist(), strict=True):
        t, label, score = tracks[i], view.labels[pair.seen], scores[pair.seen]
        evidence, sightings, alone = dict(t.evidence), t.sightings + 1, t.alone
        b = rows.branch[pair.row]
        if b >= 0:
            between = t.branches[b]
            evidence[between.label] = evidence.get(between.label, 0.0) + between.score
            sightings, alone = sightings + 1, alone + between.score
        evidence[label] = evidence.get(label, 0.0) + score
        is_part = pair.seen in part
        out[i] = Track(
            epoch=t.epoch,
            seq=t.seq,
            index=t.index,
            born_ms=t.born_ms,
            seen_ms=now_ms,
            kind=t.kind,
            start=t.start,
            mean=tuple(m),
            cov=tuple(c),
            evidence=evidence,
            sightings=sightings,
            alone=alone if is_part else alone + score,
            part=is_part,
            own=not (is_part and (t.part or now_ms - t.seen_ms > 1000 * _FORGOTTEN_S)),
            told=t.told,
            drove=t.drove or _away(m, t.start),
        )
    return out


def _away(mean: Sequence[float], start: Point) -> bool:
    x, y, _, high = mean[:4]
    return (x - start[0]) ** 2 + (y - start[1]) ** 2 >= (_DRIVES * high) ** 2


_PAUSE_MS = 2000
"""Who hardly moved for so long stood, and tells nothing of the flow."""


def _told(track: Track, steps: dict[str, list[Step]]) -> Track:
    """Tell the flow field where a track went since it was last told."""
    (x0, y0, then), mean = track.told, track.mean
    x1, y1, least = mean[0], mean[1], max(mean[3], CELL)
    if (x1 - x0) ** 2 + (y1 - y0) ** 2 >= least * least:
        steps.setdefault(track.kind, []).append((x0, y0, x1, y1, (track.seen_ms - then) / 1000))
    elif track.seen_ms - then <= _PAUSE_MS:
        return track
    return msgspec.structs.replace(track, told=(x1, y1, track.seen_ms))


def _born(
    view: Look,
    d: int,
    birth: tuple[int, int, int],
    now_ms: int,
    part: bool,
    road: Road,
    policy: TrackingPolicy,
) -> Track:
    x, y, wide, high = view.boxes[:, d].tolist()
    left, top, right, bottom = view.cut[:, d].tolist()
    noise, unknown = (policy.motion.noise_heights * high) ** 2, (0.5 * high) ** 2
    across = (0.3 * wide) ** 2 if left or right else noise
    slow = (policy.grows * high) ** 2
    score, field = float(view.scores[d]), road.flow.get(view.kinds[d])
    return Track(
        epoch=birth[0],
        seq=birth[1],
        index=birth[2],
        born_ms=now_ms,
        seen_ms=now_ms,
        kind=view.kinds[d],
        start=(x, y),
        mean=(x, y, wide, high, 0.0, 0.0, 0.0, 0.0),
        cov=(
            across,
            unknown if bottom else noise,
            max(across, noise),
            unknown if top or bottom else noise,
            *(0.0,) * 4,
            *((policy.speed_heights * high) ** 2,) * 2,
            slow,
            slow,
        ),
        evidence={view.labels[d]: score},
        sightings=1,
        alone=0.0 if part else score,
        part=part,
        own=not part,
        told=(x, y, now_ms),
        speeds=_speeds(field.at(x, y) if field else [], high, policy),
    )


def _speeds(
    modes: Sequence[tuple[float, float, float]], high: float, policy: TrackingPolicy
) -> list[tuple[float, float, float, float]]:
    """The speeds a newborn track may have: none, any, and those of others at its place."""
    total = sum(n for n, _, _ in modes)
    moving, known = 1 - policy.still_share, total / (total + policy.flow_doubt)
    out = [
        (-2 * math.log(policy.still_share), 0.0, 0.0, policy.still_heights * high),
        (-2 * math.log(moving * (1 - known) + 0.02), 0.0, 0.0, policy.speed_heights * high),
    ]
    for n, vx, vy in modes:
        spread = max(policy.flow_spread * math.hypot(vx, vy), policy.still_heights * high)
        out.append((-2 * math.log(moving * known * n / total), vx, vy, spread))
    return out
