"""Zones: when does a vehicle come into an area of the road, when does it leave it, and for how long was it there.

As around a line (see `crossing`), a dead band lies on both sides of a zone's border: a vehicle has come in when
it stands deeper inside than the band's half-width, and has left when it stands as far outside. The time told is that
of its last step over the border before that, interpolated between two frames. Who is first seen inside is inside
from then on. In a zone so narrow that nobody could be deeper than the band, the band is narrower.

A vehicle that drives through a zone between two frames has come in and left.
"""

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

import msgspec
import numpy as np

from pipeline.core import kernels
from pipeline.core.anchors import Step
from pipeline.core.geometry import along, between, inside, level
from pipeline.core.kernels import Array, Flags
from pipeline.core.model import Point


class Outline(msgspec.Struct, frozen=True):
    """A zone made ready to measure by, in level coordinates."""

    corners: tuple[Point, ...]
    low: Point
    high: Point
    widest_band: float  # a quarter of its width where it is long and narrow
    aspect: float

    def holds(self, p: Point) -> bool:
        """Whether a level point lies inside."""
        low, high = self.low, self.high
        return low[0] <= p[0] <= high[0] and low[1] <= p[1] <= high[1] and inside(self.corners, p)

    def misses(self, a: Point, b: Point) -> bool:
        """Whether a step surely never comes near: both ends lie on one side of the upright box around the zone."""
        (ax, ay), (bx, by), (left, top), (right, bottom) = a, b, self.low, self.high
        return (
            (ax < left and bx < left)
            or (ax > right and bx > right)
            or (ay < top and by < top)
            or (ay > bottom and by > bottom)
        )

    def border(self, p: Point) -> float:
        """How far a level point is from the border, inside or outside."""
        best = float("inf")
        a = self.corners[-1]
        for b in self.corners:
            if a != b:
                x, y = between(a, b, min(1.0, max(0.0, along(a, b, p))))
                best = min(best, (p[0] - x) ** 2 + (p[1] - y) ** 2)
            a = b
        return float(best**0.5)

    def cuts(self, p: Point, q: Point) -> list[float]:
        """Where a step p -> q of level points goes over the border: shares of the way, rising."""
        dx, dy = q[0] - p[0], q[1] - p[1]
        found = []
        a = self.corners[-1]
        for b in self.corners:
            ex, ey = b[0] - a[0], b[1] - a[1]
            cross = dx * ey - dy * ex
            if cross:
                t = ((a[0] - p[0]) * ey - (a[1] - p[1]) * ex) / cross
                u = ((a[0] - p[0]) * dy - (a[1] - p[1]) * dx) / cross
                if 0 <= t <= 1 and 0 <= u < 1:
                    found.append(t)
            a = b
        return sorted(found)


@lru_cache(maxsize=1024)
def outline(points: tuple[Point, ...], aspect: float) -> Outline:
    """Make a zone ready to measure by."""
    corners = tuple(level(p, aspect) for p in points)
    xs, ys = [c[0] for c in corners], [c[1] for c in corners]
    area, around = 0.0, 0.0
    a = corners[-1]
    for b in corners:
        area += (a[0] * b[1] - b[0] * a[1]) / 2
        around += float(((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5)
        a = b
    widest = abs(area) / around / 2 if around else 0.0
    return Outline(corners, (min(xs), min(ys)), (max(xs), max(ys)), widest, aspect)


class Outlines:
    """All zones of a scene, ready to be held against many steps at once."""

    def __init__(self, each: Sequence[Outline]) -> None:
        self._corners = np.array([(*o.low, *o.high) for o in each]).reshape(-1, 4).T.copy()

    def near(self, places: Array) -> Flags:
        """Which steps may come near which zones, not `Outline.misses`: [n, zones].

        Args:
            places: [2n, 2] level; n begins and then the n ends.
        """
        close = np.empty((len(places) // 2, self._corners.shape[1]), np.bool_)
        kernels.near(places, self._corners, close)
        return close


class Presence(msgspec.Struct, frozen=True, array_like=True):
    """What one track remembers of one zone."""

    inside: bool  # as far as counting goes
    times: int = 0  # stays begun so far
    since_ms: int = 0  # of the stay that goes on
    since_sd_ms: float | None = None
    appeared: bool = False  # it was first seen inside
    changed_ms: int | None = None  # the last step over the border not yet counted
    changed_at: Point | None = None  # in shares
    changed_sd_ms: float | None = None

    @property
    def settled(self) -> bool:
        """Whether the track is outside for good: a step that misses the zone changes nothing."""
        return not self.inside and self.changed_ms is None


class Turn(Enum):
    """What a vehicle did to a zone."""

    ENTERED = "entered"
    LEFT = "left"


class Change(msgspec.Struct, frozen=True):
    """A vehicle came in or left."""

    turn: Turn
    captured_ms: int
    at: Point  # in shares
    sd_ms: float | None
    stay: Presence  # the stay that begins or ends


def advance(zone: Outline, memory: Presence | None, step: Step, *, first: bool) -> tuple[Presence | None, list[Change]]:
    """Follow one step of a vehicle past, into, through or out of one zone.

    Args:
        zone: the zone.
        memory: what earlier steps left; None: it never was near.
        step: what the vehicle did.
        first: this is the track's first step, so that nobody knows how it came to its beginning.

    Returns:
        The new memory, and what it did, in order.
    """
    p, q = step.start, step.end
    if (memory is None or memory.settled) and zone.misses(p, q):
        return memory, []
    was, now = zone.holds(p), zone.holds(q)
    changes: list[Change] = []
    state = memory or _NEVER
    if first and was:
        state = Presence(inside=True, times=1, since_ms=step.before_ms, appeared=True)
        changes.append(Change(Turn.ENTERED, step.before_ms, step.before, None, state))
    band = min(step.band, zone.widest_band)
    if was != now:
        state = _over_border(state, step, (zone.cuts(p, q) or [1.0])[-1], band)
    elif not (was or state.inside):
        through = _through(zone, state, step, band)
        if through is not None:
            return through[0], [*changes, *through[1]]
    if now == state.inside:
        if state.changed_ms is not None and zone.border(q) > band:  # back for good: it was a wobble
            state = msgspec.structs.replace(state, changed_ms=None, changed_at=None, changed_sd_ms=None)
    elif zone.border(q) > band:
        if state.changed_ms is None:  # it went over while it was of a class the zone does not look at
            state = _over_border(state, step, 1.0, band)
        state, change = _settle(state)
        changes.append(change)
    return (None if memory is None and state == _NEVER else state), changes


def _through(zone: Outline, state: Presence, step: Step, band: float) -> tuple[Presence, list[Change]] | None:
    """Into a zone, deep enough, and out of it again in one step."""
    cuts = zone.cuts(step.start, step.end)
    if len(cuts) < 2 or zone.border(between(step.start, step.end, (cuts[0] + cuts[1]) / 2)) <= band:  # noqa: PLR2004 - in and out
        return None
    state, entered = _settle(_over_border(state, step, cuts[0], band))
    state, left = _settle(_over_border(state, step, cuts[-1], band))
    return state, [entered, left]


_NEVER = Presence(inside=False)


def _over_border(state: Presence, step: Step, share: float, band: float) -> Presence:
    """It is over the border, this share of the step on its way."""
    moved = float(((step.end[0] - step.start[0]) ** 2 + (step.end[1] - step.start[1]) ** 2) ** 0.5)
    ms = step.after_ms - step.before_ms
    return msgspec.structs.replace(
        state,
        changed_ms=step.before_ms + round(ms * share),
        changed_at=between(step.before, step.after, share),
        changed_sd_ms=round(band / 2 / moved * ms, 1) if moved else None,
    )


def _settle(state: Presence) -> tuple[Presence, Change]:
    """The step over the border counts: a stay begins or ends."""
    assert state.changed_ms is not None
    assert state.changed_at is not None
    at = (state.changed_ms, state.changed_at, state.changed_sd_ms)
    if state.inside:
        return Presence(inside=False, times=state.times), Change(Turn.LEFT, *at, state)
    stay = Presence(inside=True, times=state.times + 1, since_ms=state.changed_ms, since_sd_ms=state.changed_sd_ms)
    return stay, Change(Turn.ENTERED, *at, stay)
