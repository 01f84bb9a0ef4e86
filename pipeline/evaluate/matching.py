"""Events to passages, one to one: which were found, and what became of the others."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from pipeline.core.model import Way
from pipeline.evaluate.passages import Passage

OTHER_CLASS = 0.1
"""What another class costs, in tolerances: of two vehicles side by side each gets the event of its own class."""


Pool = Callable[[str], str | None]
"""A class -> what it is scored as."""


ALONE = 1.0 + OTHER_CLASS + 1e-6
"""What a passage without an event costs, in tolerances: a little more than any pair."""


class Verdict(StrEnum):
    """What became of a passage or an event."""

    FOUND = "found"  # a passage and its event
    MISSED = "missed"  # a passage without an event
    DOUBLED = "doubled"  # an event beside a passage that has its event already
    WRONG_WAY = "wrong_way"  # an event beside a missed passage of the other direction
    EXTRA = "extra"  # an event without any passage: false
    ACCEPTED = "accepted"  # a passage that may be counted or not, and its event if there is one
    OUTSIDE = "outside"  # an event beyond the truth's span of time, of which the truth says nothing


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One passage, one event, or both."""

    verdict: Verdict
    passage: Passage | None = None  # found, missed, accepted: the passage; doubled, wrong_way: the one beside it
    event: Passage | None = None

    @property
    def t_ms(self) -> float:
        """When: the passage's time where it is the outcome's own, else the event's."""
        own = self.event if self.verdict in BESIDE else self.passage or self.event
        assert own is not None, "an outcome has a passage or an event"
        return own.t_ms

    @property
    def where(self) -> Passage:
        """The side that this outcome is about."""
        own = self.event if self.verdict in BESIDE else self.passage or self.event
        assert own is not None, "an outcome has a passage or an event"
        return own


BESIDE = {Verdict.DOUBLED, Verdict.WRONG_WAY, Verdict.EXTRA, Verdict.OUTSIDE}
"""Verdicts on events; the others are verdicts on passages."""


def match(
    truth: Sequence[Passage],
    events: Sequence[Passage],
    *,
    tolerance_ms: float,
    span_ms: tuple[float, float] | None = None,
    pool: Pool = str,
) -> tuple[Outcome, ...]:
    """Give every passage and every event its verdict.

    A pair is of one line and one direction and at most `tolerance_ms` apart. Of all ways to pair one to one the one
    is taken whose cost is least: a pair costs its time difference in tolerances, and `OTHER_CLASS` more if its
    classes differ (`pool` says what a class is scored as); a passage that stays alone costs `ALONE`. So a passage
    with an event near it is never left alone for nothing, but no chain of neighbours is shifted to hide that one was
    missed and another one counted twice. Passages that must be counted come first, then the optional ones take from
    what is left. Then, of what is left: an event beside a missed passage of the other direction is `wrong_way`
    (again one to one; the passage stays missed); an event beside a passage that was found or accepted is `doubled`;
    an event outside of `span_ms` is `outside`; the rest is `extra`.

    Returns:
        Outcomes ordered by time. Passages that are not optional appear exactly once as found or missed; optional
        ones as accepted; every event appears in exactly one outcome. The order of the arguments does not matter.

    Source:
        The cost is that of the GOSPA metric with p = 1, alpha = 2 and the tolerance as its cut-off: A. S. Rahmathullah,
        A. F. Garcia-Fernandez and L. Svensson, Generalized optimal sub-pattern assignment metric, FUSION 2017. The
        assignment is exact: Jonker and Volgenant's algorithm on a sparse graph, as in scipy.sparse.csgraph.
    """
    passages, left = sorted(truth, key=lambda p: p.order), sorted(events, key=lambda p: p.order)
    outcomes: list[Outcome] = []
    sure = [p for p in passages if not p.optional]
    found, missed, left = _paired(sure, left, tolerance_ms, pool, turned=False)
    outcomes += [Outcome(verdict=Verdict.FOUND, passage=p, event=e) for p, e in found]
    outcomes += [Outcome(verdict=Verdict.MISSED, passage=p) for p in missed]
    accepted, uncounted, left = _paired([p for p in passages if p.optional], left, tolerance_ms, pool, turned=False)
    outcomes += [Outcome(verdict=Verdict.ACCEPTED, passage=p, event=e) for p, e in accepted]
    outcomes += [Outcome(verdict=Verdict.ACCEPTED, passage=p) for p in uncounted]
    turned, _, left = _paired(missed, left, tolerance_ms, pool, turned=True)
    outcomes += [Outcome(verdict=Verdict.WRONG_WAY, passage=p, event=e) for p, e in turned]
    counted = _Near([p for p, _ in (*found, *accepted)])
    for event in left:
        beside = counted.nearest(event, tolerance_ms)
        if beside is not None:
            outcomes.append(Outcome(verdict=Verdict.DOUBLED, passage=beside, event=event))
        elif span_ms is not None and not span_ms[0] <= event.t_ms <= span_ms[1]:
            outcomes.append(Outcome(verdict=Verdict.OUTSIDE, event=event))
        else:
            outcomes.append(Outcome(verdict=Verdict.EXTRA, event=event))
    return tuple(sorted(outcomes, key=lambda o: (o.t_ms, o.where.order, o.verdict.value)))


Pairs = list[tuple[Passage, Passage]]
OTHER_WAY = {Way.TO_LEFT: Way.TO_RIGHT, Way.TO_RIGHT: Way.TO_LEFT}


def _paired(
    passages: Sequence[Passage], events: Sequence[Passage], tolerance_ms: float, pool: Pool, *, turned: bool
) -> tuple[Pairs, list[Passage], list[Passage]]:
    """The best pairs, and what is left of both sides, in order. `turned`: events of the other direction."""
    ours: dict[tuple[str, Way], list[int]] = defaultdict(list)
    theirs: dict[tuple[str, Way], list[int]] = defaultdict(list)
    for i, p in enumerate(passages):
        ours[p.line, p.direction].append(i)
    for j, e in enumerate(events):
        theirs[e.line, OTHER_WAY[e.direction] if turned else e.direction].append(j)
    pairs: list[tuple[int, int]] = []
    for key in sorted(ours.keys() & theirs.keys()):
        rows, columns = ours[key], theirs[key]
        best = _best([passages[i] for i in rows], [events[j] for j in columns], tolerance_ms, pool)
        pairs += [(rows[i], columns[j]) for i, j in best]
    taken, given = {i for i, _ in pairs}, {j for _, j in pairs}
    return (
        [(passages[i], events[j]) for i, j in sorted(pairs)],
        [p for i, p in enumerate(passages) if i not in taken],
        [e for j, e in enumerate(events) if j not in given],
    )


def _best(
    passages: Sequence[Passage], events: Sequence[Passage], tolerance_ms: float, pool: Pool
) -> list[tuple[int, int]]:
    """Index pairs of the best matching of one line and direction; both sides ordered by time."""
    times = np.array([e.t_ms for e in events])
    rows, columns, costs = [], [], []
    pools = [pool(e.label) for e in events]
    for i, p in enumerate(passages):
        own = pool(p.label)
        first = int(np.searchsorted(times, p.t_ms - tolerance_ms, side="left"))
        last = int(np.searchsorted(times, p.t_ms + tolerance_ms, side="right"))
        for j in range(first, last):
            rows.append(i)
            columns.append(j)
            off = abs(times[j] - p.t_ms) / tolerance_ms if tolerance_ms else 0.0
            costs.append(1.0 + off + (OTHER_CLASS if pools[j] != own else 0.0))
    if not rows:
        return []
    n, m = len(passages), len(events)
    graph = coo_array(
        ([*costs, *[1.0 + ALONE] * n], ([*rows, *range(n)], [*columns, *range(m, m + n)])), shape=(n, m + n)
    )
    taken, given = min_weight_full_bipartite_matching(graph.tocsr())
    return [(int(i), int(j)) for i, j in zip(taken, given, strict=True) if j < m]


class _Near:
    """Passages by line and direction, to find the one nearest in time."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._of: dict[tuple[str, Way], list[Passage]] = defaultdict(list)
        for passage in sorted(passages, key=lambda p: p.order):
            self._of[passage.line, passage.direction].append(passage)
        self._times = {key: np.array([p.t_ms for p in near]) for key, near in self._of.items()}

    def nearest(self, event: Passage, tolerance_ms: float) -> Passage | None:
        """The nearest passage within the tolerance, the earlier of two; None if there is none."""
        key = (event.line, event.direction)
        if key not in self._of:
            return None
        index = int(np.argmin(np.abs(self._times[key] - event.t_ms)))
        return self._of[key][index] if abs(self._times[key][index] - event.t_ms) <= tolerance_ms else None
