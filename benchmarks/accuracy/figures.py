"""Runs against truth: sums of verdicts, figures of the sums, and how sure those are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.contestant import Event
from pipeline.evaluate.intervals import CONFIDENCE, RESAMPLES, UNKNOWN, Estimate, rate, share
from pipeline.evaluate.matching import Verdict, match
from pipeline.evaluate.passages import Passage

ANYTHING = "vehicle"
"""Classes are not what is scored here."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over runs; they may be added."""

    found: int = 0
    missed: int = 0
    doubled: int = 0
    wrong_way: int = 0
    extra: int = 0
    off: int = 0  # |counted - truth|, of each line and direction of each run
    movements: int = 0  # true ones, wholly seen
    movements_off: int = 0  # |told - truth|, of each pair of lines of each run
    movements_told: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**{f: getattr(self, f) + getattr(other, f) for f in self.__struct_fields__})

    @property
    def truth(self) -> int:
        """Passages that must be counted."""
        return self.found + self.missed

    @property
    def errors(self) -> int:
        """Everything that went wrong."""
        return self.missed + self.doubled + self.wrong_way + self.extra


def tally(truth: Sequence[Passage], events: Sequence[Event], *, duration_ms: float, tolerance_ms: float) -> Tally:
    """Match one run; see `pipeline.evaluate.matching.match`."""
    went, movements_off = _movements(truth, events)
    told = [e for e in events if e.origin]
    events = [e for e in events if not e.origin]
    outcomes = match(
        [msgspec.structs.replace(p, label=ANYTHING) for p in truth],
        [Passage(line=e.line, direction=e.direction, t_ms=e.t_ms, label=ANYTHING) for e in events],
        tolerance_ms=tolerance_ms,
        span_ms=(0.0, duration_ms),
    )
    of = Counter(o.verdict for o in outcomes)
    off: dict[tuple[str, str], int] = defaultdict(int)
    for o in outcomes:
        if o.verdict is Verdict.MISSED:
            off[o.where.line, o.where.direction] -= 1
        elif o.verdict in {Verdict.DOUBLED, Verdict.WRONG_WAY, Verdict.EXTRA}:
            off[o.where.line, o.where.direction] += 1
    return Tally(
        found=of[Verdict.FOUND],
        missed=of[Verdict.MISSED],
        doubled=of[Verdict.DOUBLED],
        wrong_way=of[Verdict.WRONG_WAY],
        extra=of[Verdict.EXTRA],
        off=sum(map(abs, off.values())),
        movements=went,
        movements_off=movements_off,
        movements_told=len(told),
    )


def _movements(truth: Sequence[Passage], events: Sequence[Event]) -> tuple[int, int]:
    """How many went from line to line, and by how many the movements told are off, summed over pairs of lines.

    A user's movement is from its first passage to its last; one with an end so near the edge of what was watched that
    it may be counted or not may be told or not.
    """
    users: dict[str, list[Passage]] = defaultdict(list)
    for p in sorted(truth, key=lambda p: p.order):
        if p.user is not None:
            users[p.user].append(p)
    sure, perhaps = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for passages in users.values():
        if len(passages) > 1:
            perhaps[passages[0].line, passages[-1].line] += 1
            sure[passages[0].line, passages[-1].line] += not (passages[0].optional or passages[-1].optional)
    told = Counter((e.origin, e.line) for e in events if e.origin)
    off = sum(max(sure[pair] - told[pair], told[pair] - perhaps[pair], 0) for pair in perhaps.keys() | told.keys())
    return sum(sure.values()), off


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a table shows, in per cent or per 100 passages, each with its range."""

    recall: Estimate
    false: Estimate  # doubled and extra
    count_error: Estimate  # |counted - truth|, of each line and direction of each run
    wrong_way: Estimate


Cluster = tuple[str, str]
"""(stratum, cluster): a scenario and one of its seeds; the clips and one of them."""


def figures(runs: Mapping[Cluster, Sequence[Tally]]) -> Figures:
    """Pooled figures.

    The range comes from a bootstrap over clusters within their strata: phases of one seed see the same traffic, so
    they are one draw and not many. A bootstrap cannot see what never happened, and of few clusters it says too little:
    so a range is at least as wide as chance makes it where the passages, each taken once however many phases saw it,
    have nothing to do with each other. That is Wilson's interval for shares of passages (found, count off) and the
    exact Poisson one for events beside passages (false, wrong way). Where no stratum has two clusters there is no range.

    Args:
        runs: the phases of each cluster.

    Source:
        A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), 3.8; for the least widths
        see `pipeline.evaluate.intervals.share` and `rate`.
    """
    rows = np.array([_row(pooled(phases)) for phases in runs.values()], dtype=np.float64)
    passages = sum(max((t.truth for t in phases), default=0) for phases in runs.values())
    strata: dict[str, list[int]] = defaultdict(list)
    for place, (stratum, _) in enumerate(runs):
        strata[stratum].append(place)
    sums = None
    if any(len(places) > 1 for places in strata.values()):
        draw = np.random.default_rng(1986)
        sums = sum(
            (rows[np.array(places)[draw.integers(0, len(places), (RESAMPLES, len(places)))]].sum(axis=1) for places in strata.values()),
            start=np.zeros((RESAMPLES, rows.shape[1])),
        )  # fmt: skip
    total = rows.sum(axis=0)
    found, false, off, wrong_way = (_percent(total, sums, column, passages) for column in range(1, rows.shape[1]))
    return Figures(
        recall=_at_least(found, _share),
        false=_at_least(false, rate),
        count_error=_at_least(off, _share),
        wrong_way=_at_least(wrong_way, rate),
    )


def _row(t: Tally) -> tuple[int, ...]:
    return (t.truth, t.found, t.doubled + t.extra, t.off, t.wrong_way)


def _percent(total: NDArray[np.float64], sums: NDArray[np.float64] | None, column: int, passages: int) -> Estimate:
    if not total[0]:
        return UNKNOWN
    low = high = None
    if sums is not None:
        shares = 100 * sums[:, column] / np.maximum(sums[:, 0], 1)
        low, high = (float(v) for v in np.percentile(shares, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]))
    return Estimate(value=float(100 * total[column] / total[0]), low=low, high=high, of=passages)


def _at_least(estimate: Estimate, independent: Callable[[int, int], Estimate]) -> Estimate:
    """The estimate with its range, if it has one, widened to that of so many passages of one phase."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    least = independent(round(estimate.value * estimate.of / 100), estimate.of)
    if least.low is None or least.high is None:
        return estimate
    low, high = min(estimate.low, 100 * least.low), max(estimate.high, 100 * least.high)
    return msgspec.structs.replace(estimate, low=low, high=high)


def _share(part: int, of: int) -> Estimate:
    """Wilson's of a share; a count can be off by more than there is, which is no share."""
    return share(part, of) if part <= of else rate(part, of)


def pooled(tallies: Iterable[Tally]) -> Tally:
    """Their sum."""
    return sum(tallies, Tally())
