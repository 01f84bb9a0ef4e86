"""How fast vehicles go, each speed with its standard deviation; unknown where it is not known well enough.

Two ways. On a calibrated road the recent places of the middle of a box's lower edge, in metres and capture time, are
fitted by a motion of nearly constant speed. Between two lines a known distance apart the time from one to the other
tells it, without any calibration.

A detector's box wobbles, and its mistake stays alike for a while: what is wrong in one picture is still wrong in the
next. So the fit is generalised least squares with that memory in its covariance; else many pictures a second would
seem to know a speed better than they do. Mistakes of the calibration and of capture times are added.

Sources: generalised least squares with a prior on the acceleration: C. R. Rao, Linear Statistical Inference and Its
Applications, 2nd ed., 4a; outliers are believed less by P. J. Huber's weights (1964). The memory of a box's edge is that
of YOLOv8n on real pictures, docs/noise.md.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from pipeline.core.anchors import anchor_of, footed
from pipeline.core.calibration import Array, Bools, GroundPlane, plane_of
from pipeline.core.geometry import distance, level
from pipeline.core.measuring import Trail
from pipeline.core.model import (
    Clock,
    Crossing,
    Detections,
    Event,
    Header,
    LiveTrack,
    Point,
    Scene,
    Speed,
    SpeedTrap,
)
from pipeline.core.tracking import Track

KMH = 3.6
"""km/h in one m/s."""

_LEAST = 3  # places that a fit needs: for place, speed, and a check


class SpeedPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is believed of boxes and vehicles, and how well a speed must be known to be told."""

    window_ms: int = 2_000  # places so old take part in a fit
    long_ms: int = 4_000  # and older ones, up to this, while there are fewer than `fewest`
    bin_ms: int = 125  # pictures within so long are one place: bounds the memory at any rate
    fewest: int = 4  # places that a fit should have; three are the least
    refresh_ms: int = 500  # the speeds of live tracks are made anew this often, all at once
    base_m: float = 3.0  # a speed needs this much way, or a second of time
    edge_heights: float = 0.03  # standard deviation of a box's lower edge, in box heights
    edge_least: float = 0.0025  # and at least this share of the picture's height
    habit: float = 0.2  # share of that variance that stays for a vehicle's whole life
    slow: float = 0.3  # share that is forgotten within about slow_s
    slow_s: float = 0.8
    quick: float = 0.38  # and within quick_s; the rest is new in every picture
    quick_s: float = 0.1
    hidden: float = 2.0  # the lower edge of a box behind another one is so much worse
    acceleration: float = 2.0  # standard deviation of a vehicle's acceleration, m/s2
    aslant: float = 0.08  # share of its speed that is doubtful of a vehicle that drives across the view: another corner
    # of it comes to be the lowest as it passes
    jitter_ms: float = 2.0  # standard deviation of a capture time
    arrival_jitter_ms: float = 25.0  # and of one that is only the time of arrival
    worst_share: float = 0.15  # a speed whose standard deviation is a greater share of it is not told
    worst_kmh: float = 2.0  # unless it is below this: of slow vehicles
    trap_longest_ms: int = 120_000  # a vehicle may take so long from line to line

    def jitter_s(self, clock: Clock) -> float:
        """The standard deviation of capture times of this clock, in seconds."""
        return (self.arrival_jitter_ms if clock is Clock.ARRIVAL else self.jitter_ms) / 1000


class Spot(msgspec.Struct, frozen=True, array_like=True):
    """Where a vehicle was: the mean of n sightings close in time, metres; and the covariance of one of them."""

    ms: float
    x: float
    y: float
    xx: float
    xy: float
    yy: float
    n: int


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """When a vehicle crossed a line that a speed trap uses."""

    ms: int
    sd_ms: float


class Motion(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of one track's motion; bounded."""

    spots: list[Spot] = []
    passed: dict[str, Passed] = {}
    made_ms: int | None = None  # when the speed was made
    kmh: float | None = None
    sd_kmh: float | None = None


Motions = dict[str, Motion]


class Glance(msgspec.Struct, frozen=True):
    """One frame, and what it is measured by."""

    header: Header
    scene: Scene | None
    aspect: float  # width / height of the picture
    policy: SpeedPolicy
    seen: Detections


class Estimate(msgspec.Struct, frozen=True):
    """A speed and its standard deviation."""

    kmh: float
    sd_kmh: float


def moved(
    motions: Mapping[str, Motion],
    tracks: Sequence[Track],
    glance: Glance,
) -> Motions:
    """Note where the living tracks are in one frame; what belongs to no living track is forgotten.

    Args:
        motions: what is remembered, by track id.
        tracks: the living tracks after the frame.
        glance: the frame, and what it is measured by.
    """
    header, scene, aspect, policy = glance.header, glance.scene, glance.aspect, glance.policy
    if scene is None or (scene.calibration is None and not scene.speed_traps):
        return {}
    kept = {t.id: motions.get(t.id, Motion()) for t in tracks}
    plane = plane_of(scene)
    now = [t for t in tracks if t.seen_ms == header.captured_ms]
    if plane is None or not now:
        return kept
    feet, sd, good = _feet(now, glance.seen, aspect, policy)
    with np.errstate(invalid="ignore", divide="ignore"):
        places, slope, inside = plane.measured(feet)
    good &= inside & np.isfinite(places).all(axis=1) & np.isfinite(slope).all(axis=(1, 2))
    slope = slope * (sd[:, None, None] * (0.7, 1.0))  # the middle of two edges is surer than one
    cov = slope @ slope.transpose(0, 2, 1)
    rows = np.column_stack([places, cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]]).tolist()
    ms = header.captured_ms
    for track, row, usable in zip(now, rows, good.tolist(), strict=True):
        motion = kept[track.id]
        spots = _added(motion.spots, ms, row, policy) if usable else _recent(motion.spots, ms, policy)
        kept[track.id] = msgspec.structs.replace(motion, spots=spots)
    due = [t.id for t in now if _due(kept[t.id], ms, policy)]
    told = estimates([kept[i] for i in due], [ms] * len(due), plane, policy.jitter_s(header.clock), policy)
    for name, estimate in zip(due, told, strict=True):
        kmh, sd_kmh = (None, None) if estimate is None else (estimate.kmh, estimate.sd_kmh)
        kept[name] = msgspec.structs.replace(kept[name], made_ms=ms, kmh=kmh, sd_kmh=sd_kmh)
    return kept


def clocked(
    motions: Mapping[str, Motion],
    events: Sequence[Event],
    before: Mapping[str, tuple[Track, Trail]],
    glance: Glance,
) -> tuple[Motions, list[Event]]:
    """Give crossings their speeds, and tell what speed traps measured.

    Args:
        motions: what is remembered, the frame included.
        events: of the frame, of every kind.
        before: the tracks that crossed lines, by id, each with its trail before the frame; others may be there, too.
        glance: the frame, and what it is measured by.

    Returns:
        (motions, the events: crossings with their speeds, the speeds of traps right after the crossing they end with).
    """
    scene, told = glance.scene, list[Event]()
    motions = dict(motions)
    if scene is None or (scene.calibration is None and not scene.speed_traps):
        return motions, list(events)
    plane = plane_of(scene)
    for event in events:
        if not isinstance(event, Crossing):
            told.append(event)
            continue
        track, trail = before[event.track]
        motion = motions.get(event.track, Motion())
        crossing = event if plane is None else _timed(event, track, trail, motion, plane, glance)
        told.append(crossing)
        traps = [trap for trap in scene.speed_traps if crossing.line in {trap.start, trap.end}]
        if traps:
            motion, speeds = _trapped(traps, crossing, track, trail, motion, glance)
            motions[crossing.track] = motion
            told += speeds
    return motions, told


def _timed(
    crossing: Crossing, track: Track, trail: Trail, motion: Motion, plane: GroundPlane, glance: Glance
) -> Crossing:
    """A crossing with its speed, where it lies on the plane and its speed is known well enough."""
    anchor = trail.anchor or anchor_of(track.label, glance.scene.anchors if glance.scene is not None else {})
    foot = footed((crossing.x, crossing.y), track.height, anchor)
    if not plane.inside_validity(np.array([foot]))[0]:
        return crossing
    policy = glance.policy
    (estimate,) = estimates([motion], [crossing.captured_ms], plane, policy.jitter_s(glance.header.clock), policy)
    if estimate is None:
        return crossing
    return msgspec.structs.replace(crossing, speed_kmh=estimate.kmh, speed_sd_kmh=estimate.sd_kmh)


def _trapped(
    traps: Sequence[SpeedTrap], crossing: Crossing, track: Track, trail: Trail, motion: Motion, glance: Glance
) -> tuple[Motion, list[Speed]]:
    """What the traps tell that have this crossing's line at an end."""
    policy = glance.policy
    sd_ms = _crossing_sd_ms(crossing.line, track, trail, glance)
    passed, speeds = dict(motion.passed), list[Speed]()
    for trap in traps:
        other = trap.end if crossing.line == trap.start else trap.start
        if other in passed and (speed := _between(trap, other, passed[other], crossing, sd_ms, policy)) is not None:
            speeds.append(speed)
    for trap in traps:  # who turns round must pass the other line again
        passed.pop(trap.end if crossing.line == trap.start else trap.start, None)
    passed[crossing.line] = Passed(crossing.captured_ms, sd_ms)
    return msgspec.structs.replace(motion, passed=passed), speeds


def shown(track: LiveTrack, motion: Motion | None) -> LiveTrack:
    """A live track with its speed."""
    if motion is None or motion.kmh is None:
        return track
    return msgspec.structs.replace(track, speed_kmh=motion.kmh, speed_sd_kmh=motion.sd_kmh)


def estimates(
    motions: Sequence[Motion], at_ms: Sequence[float], plane: GroundPlane, jitter_s: float, policy: SpeedPolicy
) -> list[Estimate | None]:
    """The speeds of several vehicles, each at a time of its own; None where one is not known well enough.

    Args:
        motions: where they were; those in the last `window_ms` before `at_ms` and all after it take part.
        at_ms: capture times.
        plane: of the road.
        jitter_s: standard deviation of capture times.
        policy: beliefs, and how well a speed must be known.
    """
    found: list[Estimate | None] = [None] * len(motions)
    rows = [n for n, motion in enumerate(motions) if len(motion.spots) >= _LEAST]
    if not rows:
        return found
    most = max(len(motions[n].spots) for n in rows)
    data = np.zeros((len(rows), most, 7))
    for r, n in enumerate(rows):
        data[r, : len(motions[n].spots)] = [msgspec.structs.astuple(spot) for spot in motions[n].spots]
    there = data[:, :, 6] > 0
    t = np.where(there, (data[:, :, 0] - np.array([at_ms[n] for n in rows])[:, None]) / 1000, 0.0)
    speed, sd, ends = _fit(t, data, there, jitter_s, policy)
    with np.errstate(invalid="ignore", divide="ignore"):
        way = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
        share = np.where(way > 1e-3, plane.way_doubt(ends[:, 0], ends[:, 1]), 0.0)  # noqa: PLR2004 - a vehicle that stands
    sd = np.hypot(sd, speed * share)
    span = np.ptp(np.where(there, t, t[:, :1]), axis=1)
    enough = (way >= policy.base_m) | (span >= 1.0)
    enough &= sd * KMH <= np.maximum(policy.worst_share * speed * KMH, policy.worst_kmh)
    for r, n in enumerate(rows):
        if enough[r]:
            found[n] = Estimate(round(float(speed[r]) * KMH, 2), round(float(sd[r]) * KMH, 2))
    return found


def _fit(t: Array, data: Array, there: Bools, jitter_s: float, policy: SpeedPolicy) -> tuple[Array, Array, Array]:
    """Speeds [k] at t = 0, their standard deviations without the calibration's, and the first and last place [k, 2, 2].

    Each vehicle is fitted along the two axes of its places' mean error, where errors do not belong together: away from
    the camera, where a picture tells little, and across.

    Args:
        t: [k, n] seconds.
        data: [k, n, 7] spots.
        there: [k, n] which of them are there.
        jitter_s, policy: as in `estimates`.
    """
    k, n = t.shape
    known = there / there.sum(axis=1, keepdims=True)
    xx, xy, yy = (known[:, None] @ data[:, :, 3:6])[:, 0].T
    turn = np.arctan2(2 * xy, xx - yy) / 2
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)  # [k, 2, 2], rows
    middle = (known[:, None] @ data[:, :, 1:3])[:, 0]
    along = axes @ (data[:, :, 1:3] - middle[:, None]).transpose(0, 2, 1) * there[:, None]  # [k, 2, n]
    a, b = axes[:, :, :1], axes[:, :, 1:]
    variance = a**2 * data[:, None, :, 3] + 2 * a * b * data[:, None, :, 4] + b**2 * data[:, None, :, 5]
    sd = np.sqrt(np.maximum(variance, 1e-8)) * there[:, None] + ~there[:, None]
    off_t = (t - (known * t).sum(axis=1, keepdims=True)) * there
    rough = (along * off_t[:, None]).sum(axis=2) / np.maximum((off_t**2).sum(axis=1), 1e-9)[:, None]  # [k, 2]
    apart = np.abs(t[:, :, None] - t[:, None, :])
    alike = policy.habit + policy.slow * np.exp(-apart / policy.slow_s) + policy.quick * np.exp(-apart / policy.quick_s)
    alike = (alike * (there[:, :, None] & there[:, None, :]))[:, None]
    fresh = max(0.0, 1 - policy.habit - policy.slow - policy.quick)
    own_jitter = (rough[:, :, None] * jitter_s) ** 2
    many = np.maximum(data[:, None, :, 6], 1)
    diagonal = np.arange(n)
    terms = (np.stack([np.ones_like(t), t, t**2 / 2], axis=2) * there[:, :, None])[:, None]
    prior = np.diag([0.0, 0.0, 1 / policy.acceleration**2])
    worse = np.ones_like(sd)
    for _ in range(2):
        spread = sd * worse
        cov = spread[..., :, None] * spread[..., None, :] * alike
        cov[..., diagonal, diagonal] += np.where(there[:, None], (fresh * spread**2 + own_jitter) / many, 1e6)
        believed = np.linalg.inv(cov)
        half = terms.transpose(0, 1, 3, 2) @ believed
        post = np.linalg.inv(half @ terms + prior)
        made = (post @ (half @ along[..., None]))[..., 0]  # [k, 2, 3]: place, speed, acceleration
        rest = np.where(there[:, None], along - (terms @ made[..., None])[..., 0], 0.0)
        worse = np.maximum(1.0, np.abs(rest) / (2 * sd))
    chi2 = (rest[..., None, :] @ believed @ rest[..., None])[..., 0, 0]
    scale = (_TRUST + chi2) / (_TRUST + there.sum(axis=1) - 2)[:, None]  # how bad boxes are here, as far as so few tell
    velocity, doubt = made[..., 1], np.maximum(post[..., 1, 1] * scale, 0.0)
    speed = np.maximum(np.hypot(velocity[:, 0], velocity[:, 1]), 1e-6)
    lean = (velocity / speed[:, None]) ** 2
    sideways = (lean[:, ::-1] * doubt).sum(axis=1)  # what wobbles across the way makes every speed seem greater
    speed = np.maximum(speed - sideways / (2 * speed), 0.5 * speed)
    ends = []
    for at in (np.where(there, t, np.inf).min(axis=1), np.where(there, t, -np.inf).max(axis=1)):
        place = (made * np.stack([np.ones(k), at, at**2 / 2], axis=1)[:, None]).sum(axis=2)
        ends.append(middle + (place[:, None] @ axes)[:, 0])
    aslant = (policy.aslant * speed) ** 2 * lean[:, 1]  # the second axis lies across the view
    return speed, np.sqrt((lean * doubt).sum(axis=1) + aslant), np.stack(ends, axis=1)


_TRUST = 8.0
"""The beliefs on boxes weigh as much as so many places that were seen."""


def _feet(tracks: Sequence[Track], seen: Detections, aspect: float, policy: SpeedPolicy) -> tuple[Array, Array, Bools]:
    """Where the tracks stand in this frame, how well that is known, and whether it is of use.

    The place is that of the detection itself, the one nearest to the track: a filter's own lags behind. A box that the
    picture cuts has its middle or its lower edge elsewhere, and is of no use.

    Returns:
        (feet [n, 2] in shares, standard deviation [n] in picture heights, use [n]).
    """
    mean = np.array([t.mean[:4] for t in tracks])
    boxes = np.array([seen.x1, seen.y1, seen.x2, seen.y2], dtype=np.float64).T.reshape(-1, 4)
    middles = np.column_stack(
        [
            (boxes[:, 0] + boxes[:, 2]) / 2 * aspect,
            boxes[:, 3],
            (boxes[:, 2] - boxes[:, 0]) * aspect,
            boxes[:, 3] - boxes[:, 1],
        ]
    )
    own = mean
    if len(middles):
        off = (((middles[None] - mean[:, None]) / mean[:, None, 3:4]) ** 2).sum(axis=2)
        nearest = off.argmin(axis=1)
        own = np.where((off.min(axis=1) < _NEAR**2)[:, None], middles[nearest], mean)
    x, y, w, h = own.T
    half = w / 2
    good = (x - half > _EDGE) & (x + half < aspect - _EDGE) & (y < 1 - _EDGE)
    sd = np.hypot(policy.edge_heights * h, policy.edge_least)
    if len(middles):
        ox, oy, ow, oh = middles.T
        across = np.minimum(x[:, None] + half[:, None], ox + ow / 2) - np.maximum(
            x[:, None] - half[:, None], ox - ow / 2
        )
        covered = (across > 0.3 * w[:, None]) & (oy > (y + 0.15 * h)[:, None]) & (oy - oh < y[:, None])
        sd = sd * np.where(covered.any(axis=1), policy.hidden, 1.0)
    return np.column_stack([x / aspect, y]), sd, good


_EDGE = 0.006  # nearer to the picture's edge than this, in picture heights, a box is taken to be cut by it
_NEAR = 0.5  # a detection so near to its track, in box heights, is its sighting


def _added(spots: list[Spot], ms: int, row: Sequence[float], policy: SpeedPolicy) -> list[Spot]:
    kept = _recent(spots, ms, policy)
    if kept and kept[-1].ms // policy.bin_ms == ms // policy.bin_ms:
        last = kept[-1]
        n = last.n + 1
        old = (last.ms, last.x, last.y, last.xx, last.xy, last.yy)
        at, x, y, xx, xy, yy = (a + (b - a) / n for a, b in zip(old, (ms, *row), strict=True))
        return [*kept[:-1], Spot(at, x, y, xx, xy, yy, n)]
    x, y, xx, xy, yy = row
    return [*kept, Spot(float(ms), x, y, xx, xy, yy, 1)]


def _recent(spots: list[Spot], ms: int, policy: SpeedPolicy) -> list[Spot]:
    """Those young enough; older ones while they are few."""
    first = 0
    while first < len(spots) and (
        ms - spots[first].ms > policy.long_ms
        or (ms - spots[first].ms > policy.window_ms and len(spots) - first >= policy.fewest)
    ):
        first += 1
    return spots[first:] if first else spots


def _due(motion: Motion, ms: int, policy: SpeedPolicy) -> bool:
    """Whether the time has come to make the speed anew: the same moments for all, so that they are fitted together."""
    if len(motion.spots) < _LEAST:
        return False
    last = motion.spots[0].ms if motion.made_ms is None else motion.made_ms
    return ms // policy.refresh_ms != last // policy.refresh_ms


def _crossing_sd_ms(name: str, track: Track, trail: Trail, glance: Glance) -> float:
    """How well the time of a crossing is known: the doubt of the place over the pace across the line, and the clock.

    The place is the filter's. It lags behind a vehicle that comes near, whose pace in the picture grows: a line 28 m before a
    camera over a motorway was told 25 to 31 ms late at 5, 10 and 25 pictures a second, where a box wobbles by 8 ms. So a box
    that is farther from its track than boxes wobble is believed as a doubt of that size.
    """
    policy, aspect = glance.policy, glance.aspect
    line = next(line for line in (glance.scene.lines if glance.scene is not None else []) if line.name == name)
    a, b = level(line.start, aspect), level(line.end, aspect)
    spent_s = max(1, track.seen_ms - trail.foot_ms) / 1000
    now = distance(a, b, level(track.foot(aspect), aspect))
    pace = abs(now - distance(a, b, level(trail.foot, aspect))) / spent_s
    (x, y), *_ = _feet([track], glance.seen, aspect, policy)[0].tolist()
    lag = abs(distance(a, b, level((x, y), aspect)) - now)
    place = max(float(np.hypot(policy.edge_heights * track.height, policy.edge_least)), lag)
    between_s = _INTERPOLATED * spent_s  # between two pictures the way is not quite even
    jitter_s = policy.jitter_s(glance.header.clock)
    return 1000 * float(np.sqrt((place / max(pace, 1e-4)) ** 2 + jitter_s**2 + between_s**2))


_INTERPOLATED = 0.03


def _between(
    trap: SpeedTrap, other: str, before: Passed, crossing: Crossing, sd_ms: float, policy: SpeedPolicy
) -> Speed | None:
    """The speed from one line to the other; None where it is not known well enough."""
    ms = crossing.captured_ms - before.ms
    if not 0 < ms <= policy.trap_longest_ms:
        return None
    kmh = trap.metres / ms * 1000 * KMH
    share = float(np.sqrt((trap.sd_m / trap.metres) ** 2 + (sd_ms**2 + before.sd_ms**2) / ms**2))
    if kmh * share > max(policy.worst_share * kmh, policy.worst_kmh):
        return None
    return Speed(
        id=f"{crossing.id}/{trap.name}",
        camera=crossing.camera,
        trap=trap.name,
        from_line=other,
        line=crossing.line,
        direction=crossing.direction,
        direction_name=crossing.direction_name,
        captured_ms=crossing.captured_ms,
        seconds=round(ms / 1000, 3),
        metres=trap.metres,
        speed_kmh=round(kmh, 2),
        speed_sd_kmh=round(kmh * share, 2),
        track=crossing.track,
        label=crossing.label,
        score=crossing.score,
        class_share=crossing.class_share,
        valid=crossing.valid,
        clock=crossing.clock,
        scene_revision=crossing.scene_revision,
        epoch=crossing.epoch,
        model=crossing.model,
    )


def same_measure(before: Scene | None, after: Scene) -> bool:
    """Whether places in metres and lines of traps mean the same in two scenes."""
    return before is not None and (before.calibration, before.speed_traps, before.drawn_on) == (
        after.calibration,
        after.speed_traps,
        after.drawn_on,
    )


def mean_and_median(speeds: Iterable[float]) -> tuple[float | None, float | None]:
    """Of speeds in km/h; None of none."""
    known = sorted(speeds)
    if not known:
        return None, None
    half = len(known) // 2
    median = known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2
    return round(sum(known) / len(known), 2), round(median, 2)


def expected(
    plane: GroundPlane, at: Point, toward: Point, *, kmh: float, fps: float, policy: SpeedPolicy
) -> tuple[Estimate, float] | None:
    """How well the speed of a car would be known that passes a place: by the very fit that measures it.

    Args:
        plane: of the road.
        at: where it passes, in shares.
        toward: where it drives to, in shares.
        kmh: how fast.
        fps: pictures a second.
        policy: beliefs. Its limits do not count here: what would not be told is told, too.

    Returns:
        (the speed with its standard deviation, the part of that which is the calibration's, in km/h); None where it is
        not on the plane.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        here, there = plane.to_ground(np.array([at, toward]))
        way = (there - here) / max(float(np.hypot(*(there - here))), 1e-9)
        step_s = max(1 / fps, policy.bin_ms / 1000)
        half_s = policy.window_ms / 2000
        t = np.arange(-half_s, half_s + step_s / 2, step_s)
        road = here + t[:, None] * way * kmh / KMH
        shares = plane.to_picture(road)
        slope = plane.jacobian(shares)
    seen = np.isfinite(slope).all(axis=(1, 2)) & plane.inside_validity(shares)
    if seen.sum() < _LEAST or not np.isfinite(way).all():
        return None
    height = _CAR_M / np.maximum(np.sqrt(np.linalg.eigvalsh(slope.transpose(0, 2, 1) @ slope)[:, 0]), 1e-9)
    slope = slope * (np.hypot(policy.edge_heights * height, policy.edge_least)[:, None, None] * (0.7, 1.0))
    cov = slope @ slope.transpose(0, 2, 1)
    many = max(1, round(step_s * fps))
    spots = [
        Spot(float(ms), x, y, xx, xy, yy, many)
        for ms, x, y, xx, xy, yy in np.column_stack([t * 1000, road, cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]])[
            seen
        ].tolist()
    ]
    frank = msgspec.structs.replace(policy, worst_share=1e9, base_m=0.0)
    estimate = estimates([Motion(spots)], [0.0], plane, policy.jitter_s(Clock.PTS), frank)[0]
    if estimate is None:
        return None
    ends = shares[seen][[0, -1]]
    return estimate, kmh * float(plane.length_doubt(ends[:1], ends[1:])[0])


_CAR_M = 1.5  # the height of a car
