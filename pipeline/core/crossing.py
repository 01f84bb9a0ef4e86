"""Lines: does a vehicle's path cross a counting line, which way, when and where.

A box wobbles, so a change of side alone is no crossing. Around each line lies a dead band whose half-width
grows with the vehicle's box. A vehicle is on a side from its first sighting; it has crossed when it
stands beyond the band on the other side and its path spans at least two half-widths across the line. The time
and place told are those of the last change of side before that, interpolated between two frames.
"""

import msgspec

from pipeline.core.geometry import along, between, distance, level
from pipeline.core.model import Line, Point, Way


class CrossingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sure a crossing must be."""

    band_heights: float = 0.12  # half-width of the dead band, in box heights: boxes wobble by a share of their size
    band_least: float = 0.004  # and at least this share of picture height: a distant box wobbles by pixels


class LineMemory(msgspec.Struct, frozen=True, array_like=True):
    """What one track remembers of one line."""

    side: Way  # where it stands, as far as counting goes
    peak: float  # the furthest it was from the line on that side, in picture heights
    times: int = 0  # crossings counted so far
    changed_ms: int | None = None  # the last change of side not yet counted
    changed_at: Point | None = None  # in shares
    on_segment: bool = False  # that change was between the line's two ends


class Crossed(msgspec.Struct, frozen=True):
    """One crossing, in words of the picture."""

    way: Way
    captured_ms: int
    at: Point  # in shares
    nth: int  # the track's first crossing of this line is 1


def step(
    line: Line,
    memory: LineMemory | None,
    *,
    before: Point,
    before_ms: int,
    after: Point,
    after_ms: int,
    height: float,
    aspect: float,
    policy: CrossingPolicy,
) -> tuple[LineMemory, Crossed | None]:
    """Follow one step of a vehicle past one line.

    Args:
        line: the counting line.
        memory: what earlier steps left; None at the track's first step.
        before, after: the middle of the lower edge of the box at two successive sightings, in shares.
        before_ms, after_ms: their capture times, before_ms < after_ms.
        height: the box's height as a share of picture height.
        aspect: width / height of the picture.
        policy: the dead band.

    Returns:
        The new memory, and the crossing if this step completed one. A point ON the line belongs to its
        right side. A U-turn counts both ways. A vehicle that stops on the line and drives on counts once.
    """
    a, b = level(line.start, aspect), level(line.end, aspect)
    was = distance(a, b, level(before, aspect))
    now = distance(a, b, level(after, aspect))
    if memory is None:
        memory = LineMemory(_side(was), abs(was))
    if _side(was) is not _side(now):
        share = was / (was - now)
        place = between(before, after, share)
        memory = msgspec.structs.replace(
            memory,
            changed_ms=before_ms + round((after_ms - before_ms) * share),
            changed_at=place,
            on_segment=0.0 <= along(a, b, level(place, aspect)) <= 1.0,
        )
    band = max(policy.band_least, policy.band_heights * height)
    if _side(now) is memory.side:
        memory = msgspec.structs.replace(memory, peak=max(memory.peak, abs(now)))
        if abs(now) > band:  # back for good: the change of side was a wobble
            memory = msgspec.structs.replace(memory, changed_ms=None, changed_at=None, on_segment=False)
        return memory, None
    if abs(now) <= band or memory.peak + abs(now) < 2 * band or memory.changed_ms is None or memory.changed_at is None:
        return memory, None
    times = memory.times + 1 if memory.on_segment else memory.times
    crossed = Crossed(_side(now), memory.changed_ms, memory.changed_at, times) if memory.on_segment else None
    return LineMemory(_side(now), abs(now), times), crossed


def _side(signed: float) -> Way:
    return Way.TO_RIGHT if signed >= 0 else Way.TO_LEFT
