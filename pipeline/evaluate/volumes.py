"""Volumes by windows, and GEH, the traffic engineers' measure of how far a counted volume is from the true one."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from pipeline.core.model import Way
from pipeline.evaluate.intervals import Estimate, share
from pipeline.evaluate.matching import Outcome, Verdict

HOUR_MS = 3_600_000.0
GOOD = 5.0
"""Below this two hourly volumes fit well; 85 of 100 should (Highways Agency, DMRB volume 12, section 2)."""

Window = tuple[float, float]


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """Vehicles one way over one line in one window [from_ms, to_ms)."""

    line: str
    direction: Way
    from_ms: float
    to_ms: float
    truth: int
    counted: int
    geh: float  # of the volumes scaled to an hour


class Volumes(msgspec.Struct, frozen=True, kw_only=True):
    """All windows, how many of them fit well, and the whole time as one window."""

    windows: tuple[Volume, ...]
    whole: tuple[Volume, ...]  # one for each line and direction
    geh_below_5: Estimate  # share of the windows in which either side has a vehicle


def geh(modelled: float, counted: float) -> float:
    """sqrt(2 (m - c)^2 / (m + c)) of two hourly volumes; 0 where both are 0. Which one is which does not matter.

    GEH has a dimension: volumes of other lengths of time are scaled to an hour first. Scaled up from a short window
    it is larger than that of a whole hour with the same share of errors would be.

    Raises:
        ValueError: a volume is negative.

    Source:
        Geoffrey E. Havers, London, 1970s; Highways Agency, Design Manual for Roads and Bridges, volume 12, section 2;
        Wisconsin DOT, Microsimulation guidelines.
    """
    if modelled < 0 or counted < 0:
        raise ValueError(f"a volume cannot be negative, got {modelled} and {counted}")
    return math.sqrt(2 * (modelled - counted) ** 2 / (modelled + counted)) if modelled + counted else 0.0


def windows_of(duration_ms: float, window_ms: float) -> tuple[Window, ...]:
    """The windows of a stretch of time; a rest shorter than half a window belongs to the one before it."""
    number = max(1, math.floor(duration_ms / window_ms + 0.5))
    starts = [n * window_ms for n in range(number)]
    return tuple(zip(starts, [*starts[1:], duration_ms], strict=True))


def volumes(
    outcomes: Iterable[Outcome], ways: Sequence[tuple[str, Way]], *, duration_ms: float, window_ms: float
) -> Volumes:
    """Count both sides by windows.

    Args:
        outcomes: what is accepted or outside takes no part.
        ways: the lines and directions to look at.
        duration_ms: of the whole.
        window_ms: how long a window is.

    Each side is counted by its own time, as flow is: an event that is told a little late may fall into the next
    window. Times before the first or after the last window fall into those.
    """
    spans = windows_of(duration_ms, window_ms)
    truth: Counter[tuple[str, Way, int]] = Counter()
    counted: Counter[tuple[str, Way, int]] = Counter()
    for o in outcomes:
        if o.verdict in {Verdict.ACCEPTED, Verdict.OUTSIDE}:
            continue
        if o.passage is not None and o.verdict in {Verdict.FOUND, Verdict.MISSED}:
            truth[o.passage.line, o.passage.direction, _index(o.passage.t_ms, spans, window_ms)] += 1
        if o.event is not None:
            counted[o.event.line, o.event.direction, _index(o.event.t_ms, spans, window_ms)] += 1
    every = [
        _volume(line, way, span, truth[line, way, n], counted[line, way, n])
        for line, way in ways
        for n, span in enumerate(spans)
    ]
    whole = [
        _volume(
            line,
            way,
            (0.0, duration_ms),
            sum(truth[line, way, n] for n in range(len(spans))),
            sum(counted[line, way, n] for n in range(len(spans))),
        )
        for line, way in ways
    ]
    busy = [v for v in every if v.truth or v.counted]
    return Volumes(
        windows=tuple(every), whole=tuple(whole), geh_below_5=share(sum(v.geh < GOOD for v in busy), len(busy))
    )


def _index(t_ms: float, spans: Sequence[Window], window_ms: float) -> int:
    return min(max(0, math.floor(t_ms / window_ms)), len(spans) - 1)


def _volume(line: str, way: Way, span: Window, truth: int, counted: int) -> Volume:
    hours = (span[1] - span[0]) / HOUR_MS
    return Volume(
        line=line,
        direction=way,
        from_ms=span[0],
        to_ms=span[1],
        truth=truth,
        counted=counted,
        geh=geh(truth / hours, counted / hours),
    )
