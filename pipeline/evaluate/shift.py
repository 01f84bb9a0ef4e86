"""Whether a run's clock is off: one constant, taken from all times, would find many more."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from pipeline.evaluate.matching import Pool, Verdict, match
from pipeline.evaluate.passages import Passage

REACH_MS = 60_000.0
"""Shifts are looked for so far to both sides."""

FINE_MS = 500.0
"""A clock that is off by a constant leaves its differences so close to each other, or within the tolerance."""

FEW, MANY = 0.5, 0.6
"""Shares of the smaller side: fewer found make one look, so many must be found with the shift."""

LEAST = 3
"""So many more must be found: fewer fall into place by chance."""

TRIED = 5


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Events are so much later than their passages; without it so many are found."""

    late_ms: float
    found: int


def shift(
    truth: Iterable[Passage], events: Sequence[Passage], *, found: int, tolerance_ms: float, pool: Pool = str
) -> Shift | None:
    """Find the constant by which all events are late (negative: early).

    Args:
        truth, events: the two sides, on one clock.
        found: how many passages have their event as it is.
        tolerance_ms, pool: as they were matched.

    Returns:
        None where enough were found, or no shift within `REACH_MS` finds at least twice as many, `LEAST` more and
        `MANY` of the smaller side.
    """
    sure = [p for p in truth if not p.optional]
    smaller = min(len(sure), len(events))
    if not smaller or found >= FEW * smaller:
        return None
    best: Shift | None = None
    for late_ms in _candidates(sure, events, min(tolerance_ms, FINE_MS)):
        moved = [msgspec.structs.replace(e, t_ms=e.t_ms - late_ms) for e in events]
        outcomes = match(sure, moved, tolerance_ms=tolerance_ms, pool=pool)
        now = sum(o.verdict is Verdict.FOUND for o in outcomes)
        if best is None or now > best.found:
            best = Shift(late_ms=late_ms, found=now)
    enough = best is not None and best.found >= max(2 * found, found + LEAST, MANY * smaller)
    return best if enough else None


def _candidates(truth: Sequence[Passage], events: Sequence[Passage], width_ms: float) -> list[float]:
    """The differences that most pairs of one line and direction share, the most common first."""
    parts = []
    for key in sorted({(e.line, e.direction) for e in events}):
        ours = np.sort([p.t_ms for p in truth if (p.line, p.direction) == key])
        for t in (e.t_ms for e in events if (e.line, e.direction) == key):
            first, last = np.searchsorted(ours, [t - REACH_MS, t + REACH_MS])
            parts.append(t - ours[first:last])
    late = np.sort(np.concatenate(parts))
    if not len(late):
        return []
    ends = np.searchsorted(late, late + width_ms, side="right")
    pairs = ends - np.arange(len(late))
    chosen: list[float] = []
    for n in np.lexsort((np.abs(late), -pairs)):
        middle = float(np.median(late[n : ends[n]]))
        if all(abs(middle - other) > width_ms for other in chosen):
            chosen.append(middle)
        if len(chosen) == TRIED:
            break
    return chosen
