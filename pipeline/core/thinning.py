"""Thinning: which pictures to keep so that a camera sends the wanted number a second.

By capture time, never by counting pictures: sources stutter, lose pictures and change their rate.
"""

import msgspec

EARLY_MS = 8.0
EARLY_SHARE = 0.25
"""A picture may come so much, and this share of a period at most, before it is due: jitter and rounding must not
cost pictures. It is less than half a period of a source at 60 a second, so the picture that is due is the one kept."""


class Thinning(msgspec.Struct, frozen=True):
    """What is remembered between pictures."""

    due_ms: float | None = None  # when the next picture is wanted; None: the first one is


def thin(thinning: Thinning, captured_ms: float, fps: float | None) -> tuple[Thinning, bool]:
    """Decide on one picture.

    Args:
        thinning: the memory; `Thinning()` before the first picture.
        captured_ms: when the picture was captured; later than the one before it.
        fps: pictures wanted a second; None: all of them.

    Returns:
        The new memory, and whether the picture is kept. Dues lie on a grid of one period, so the kept pictures are
        as even as the source allows, and their number over a span is within 1 of span * fps + 1 as long as the
        source sends at least one picture a period. After a silence the grid begins anew: nothing is caught up.

    Raises:
        ValueError: if fps is not above 0.
    """
    if fps is None:
        return thinning, True
    if fps <= 0:
        raise ValueError(f"the wanted pictures a second must be above 0, got {fps}")
    period_ms = 1000 / fps
    due_ms = captured_ms if thinning.due_ms is None else thinning.due_ms
    if captured_ms < due_ms - min(EARLY_MS, EARLY_SHARE * period_ms):
        return thinning, False
    # A late picture moves the grid by no more than what it is late beyond one period.
    return Thinning(max(due_ms + period_ms, captured_ms)), True


def shifted(thinning: Thinning, by_ms: float) -> Thinning:
    """The same memory on a clock that shows `by_ms` more."""
    return thinning if thinning.due_ms is None else Thinning(thinning.due_ms + by_ms)
