"""Lines: does a vehicle's path cross a counting line, which way, in which lane, when and where.

A box wobbles, so a change of side alone is no crossing. Around each line lies a dead band whose half-width
grows with the vehicle's box. A vehicle is on a side from its first sighting; it has crossed when it
stands beyond the band on the other side and its path spans at least two half-widths across the line. The time
and place told are those of the last change of side before that, interpolated between two frames.

The time is as uncertain as the place: half a half-width (a box is off by more than the whole one in one of twenty
sightings) over the speed across the line.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np

from pipeline.core import kernels
from pipeline.core.anchors import RIDER, WALKER, Step, kind_of
from pipeline.core.geometry import between, level
from pipeline.core.kernels import Array, Flags
from pipeline.core.model import Lane, Point, Way

_RIGHT, _LEFT = Way.TO_RIGHT, Way.TO_LEFT


class CrossingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sure a crossing must be, of a line or of a zone's border."""

    band_heights: float = 0.25  # half-width of the dead band, in box heights: boxes wobble by a share of their size
    band_heights_rider: float = 0.2  # as high as a car and half as long: its lower edge is better known
    band_heights_walker: float = 0.15  # the box is higher than a car's, and its lower edge swings by a step only
    band_least: float = 0.004  # and at least this share of picture height: a distant box wobbles by pixels

    def band(self, label: str, height: float) -> float:
        """The half-width for a box of this class and height, in picture heights."""
        kind = kind_of(label)
        heights = (
            self.band_heights_walker
            if kind == WALKER
            else self.band_heights_rider
            if kind == RIDER
            else self.band_heights
        )
        return max(self.band_least, heights * height)


class LineMemory(msgspec.Struct, frozen=True, array_like=True):
    """What one track remembers of one line."""

    side: Way  # where it stands, as far as counting goes
    peak: (
        float  # the furthest it was from the line on that side, in picture heights; further than FAR is as good as FAR
    )
    times: int = 0  # crossings counted so far
    changed_ms: int | None = None  # the last change of side not yet counted
    changed_at: Point | None = None  # in shares
    on_segment: bool = False  # that change was between the line's two ends
    changed_sd_ms: float | None = None


class Crossed(msgspec.Struct, frozen=True):
    """One crossing, in words of the picture."""

    way: Way
    captured_ms: int
    at: Point  # in shares
    nth: int  # the track's first crossing of this line is 1
    along: float  # where on the line: 0 at its `from`, 1 at its `to`
    sd_ms: float | None


_ENDS = 0.25
"""A line reaches so many half-widths of the dead band beyond its ends."""

FAR = 1.0
"""In picture heights: no dead band is half as wide, so nobody needs to know more."""


class Ruler(msgspec.Struct, frozen=True):
    """A line made ready to measure by, in level coordinates."""

    ax: float
    ay: float
    nx: float  # the unit normal, to the right
    ny: float
    aspect: float
    length: float

    def distance(self, p: Point) -> float:
        """Signed distance of a level point from the endless line; positive on the right."""
        return self.nx * (p[0] - self.ax) + self.ny * (p[1] - self.ay)

    def along(self, p: Point) -> float:
        """Where the foot of the perpendicular from a level point falls: 0 at `from`, 1 at `to`."""
        return (self.ny * (p[0] - self.ax) - self.nx * (p[1] - self.ay)) / self.length


@lru_cache(maxsize=1024)
def ruler(start: Point, end: Point, aspect: float) -> Ruler:
    """Make a line ready to measure by. Raises ValueError: it has no length."""
    (ax, ay), (bx, by) = level(start, aspect), level(end, aspect)
    length = float(((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5)
    if length == 0:
        raise ValueError(f"a line needs two different points, got {start} twice")
    return Ruler(ax, ay, -(by - ay) / length, (bx - ax) / length, aspect, length)


class Rulers:
    """All lines of a scene, ready to be held against many steps at once."""

    def __init__(self, each: Sequence[Ruler]) -> None:
        self._lines = np.array([(r.ax, r.ay, r.nx, r.ny) for r in each]).reshape(-1, 4).T.copy()

    def sides(self, places: Array) -> tuple[Flags, Flags, Array]:
        """What the signed distances, see `Ruler.distance`, of n steps from m endless lines tell.

        Args:
            places: [2n, 2] level; n begins and then the n ends.

        Returns:
            [n, m] whether the step ends on the right, whether it began on the other side, how far from the line it ends.
            Further than FAR is as good as FAR.
        """
        shape = (len(places) // 2, self._lines.shape[1])
        right, passes, reach = np.empty(shape, np.bool_), np.empty(shape, np.bool_), np.empty(shape)
        kernels.sides(places, self._lines, FAR, right, passes, reach)
        return right, passes, reach


def advance(measure: Ruler, memory: LineMemory | None, step: Step) -> tuple[LineMemory, Crossed | None]:
    """Follow one step of a vehicle past one line.

    Args:
        measure: the counting line.
        memory: what earlier steps left; None at the track's first step.
        step: what the vehicle did.

    Returns:
        The new memory, and the crossing if this step completed one. A point ON the line belongs to its
        right side. A U-turn counts both ways. A vehicle that stops on the line and drives on counts once.
    """
    was, now, band = measure.distance(step.start), measure.distance(step.end), step.band
    here = _side(now)
    if memory is None:
        memory = LineMemory(_side(was), min(FAR, abs(was)))
    if _side(was) is not here:
        share = was / (was - now)
        place = between(step.before, step.after, share)
        ms = step.after_ms - step.before_ms
        reach = _ENDS * band / measure.length
        memory = LineMemory(
            memory.side,
            memory.peak,
            memory.times,
            step.before_ms + round(ms * share),
            place,
            -reach <= measure.along(between(step.start, step.end, share)) <= 1.0 + reach,
            round(band / 2 / abs(was - now) * ms, 1),
        )
    if here is memory.side:
        pending = memory.changed_ms is not None
        if pending and abs(now) > band:  # back for good: the change of side was a wobble
            return LineMemory(here, max(memory.peak, min(FAR, abs(now))), memory.times), None
        if memory.peak < FAR and abs(now) > memory.peak:
            m = memory
            memory = LineMemory(
                m.side, min(FAR, abs(now)), m.times, m.changed_ms, m.changed_at, m.on_segment, m.changed_sd_ms
            )
        return memory, None
    if abs(now) <= band or memory.peak + abs(now) < 2 * band or memory.changed_ms is None or memory.changed_at is None:
        return memory, None
    after_it = LineMemory(here, min(FAR, abs(now)), memory.times + 1 if memory.on_segment else memory.times)
    if not memory.on_segment:
        return after_it, None
    along = measure.along(level(memory.changed_at, measure.aspect))
    return after_it, Crossed(here, memory.changed_ms, memory.changed_at, after_it.times, along, memory.changed_sd_ms)


def lane_of(lanes: Sequence[Lane], along: float) -> str | None:
    """The lane at a share of the way along a line; beside all of them, the nearest, so that lanes sum up to the line.

    A border between two lanes belongs to the second. None: the line has no lanes.
    """
    if not lanes:
        return None
    return min(enumerate(lanes), key=lambda each: (_beside(each[1], along), -each[0]))[1].name


def _beside(lane: Lane, along: float) -> float:
    return max(lane.start - along, along - lane.end, 0.0)


def _side(signed: float) -> Way:
    return _RIGHT if signed >= 0 else _LEFT
