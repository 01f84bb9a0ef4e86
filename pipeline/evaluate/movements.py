"""Turning movements: from which line to which did a road user go, by the lines that it crossed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.evaluate.intervals import Estimate, share
from pipeline.evaluate.matching import Outcome, Verdict
from pipeline.evaluate.passages import Passage

Way = tuple[str, str]
"""The first line and the last one."""


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One movement: how many there were, and how many were told."""

    origin: str  # the first line that was crossed
    destination: str  # the last one
    truth: int
    counted: int
    told: int | None  # movements that the run told itself, as events of their own; None: it tells none
    right: int  # of truth: one track crossed both lines, and both crossings are this user's
    recall: Estimate  # right / truth


def movements(outcomes: Iterable[Outcome], told: Sequence[Way] | None = None) -> tuple[Movement, ...]:
    """Compare movements by line pairs.

    A movement is a user (or a track) that crossed two lines, or one line both ways: from the first to the last. Those
    that nobody names take no part. It is `right` if one track's first and last crossing were matched with one
    user's first and last passage.

    Args:
        outcomes: passages and events, matched.
        told: the movements that the run told itself; None: it tells none.

    Returns:
        Movements of either side, ordered by name; empty where the truth names nobody.
    """
    users: dict[str, list[Passage]] = defaultdict(list)
    tracks: dict[str, list[Passage]] = defaultdict(list)
    partner: dict[tuple[float, str, str, str, str], Passage] = {}
    for o in outcomes:
        if o.passage is not None and o.passage.user and o.verdict in {Verdict.FOUND, Verdict.MISSED}:
            users[o.passage.user].append(o.passage)
        if o.event is not None and o.event.user and o.verdict not in {Verdict.ACCEPTED, Verdict.OUTSIDE}:
            tracks[o.event.user].append(o.event)
        if o.verdict is Verdict.FOUND and o.passage is not None and o.event is not None:
            partner[o.passage.order] = o.event
    if not users:
        return ()
    truth, counted = _ends(users), _ends(tracks)
    of_truth = Counter(_way(ends) for ends in truth.values())
    of_run = Counter(_way(ends) for ends in counted.values())
    events = Counter(told or ())
    right = Counter(_way(ends) for ends in truth.values() if _is_right(ends, partner, counted))
    return tuple(
        Movement(
            origin=way[0],
            destination=way[1],
            truth=of_truth[way],
            counted=of_run[way],
            told=None if told is None else events[way],
            right=right[way],
            recall=share(right[way], of_truth[way]),
        )
        for way in sorted(of_truth.keys() | of_run.keys() | events.keys())
    )


Ends = tuple[Passage, Passage]


def _ends(of: Mapping[str, Sequence[Passage]]) -> dict[str, Ends]:
    """The first and the last crossing of those who went anywhere; twice the same one is no movement."""
    ordered = {who: sorted(passages, key=lambda p: p.order) for who, passages in of.items()}
    ends = {who: (passages[0], passages[-1]) for who, passages in ordered.items()}
    return {who: (a, b) for who, (a, b) in ends.items() if (a.line, a.direction) != (b.line, b.direction)}


def _way(ends: Ends) -> Way:
    return ends[0].line, ends[1].line


def _is_right(
    ends: Ends, partner: Mapping[tuple[float, str, str, str, str], Passage], tracks: Mapping[str, Ends]
) -> bool:
    first, last = partner.get(ends[0].order), partner.get(ends[1].order)
    return first is not None and first.user is not None and tracks.get(first.user) == (first, last)
