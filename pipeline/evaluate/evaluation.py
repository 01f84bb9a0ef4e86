"""A run against a truth: every figure there is, as one value with stable keys."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from pipeline.core.model import Way
from pipeline.errors import Fatal
from pipeline.evaluate.classes import Pools
from pipeline.evaluate.hota import Followed
from pipeline.evaluate.intervals import CONFIDENCE
from pipeline.evaluate.matching import Outcome, Verdict, match
from pipeline.evaluate.movements import Movement, movements
from pipeline.evaluate.passages import Passage, Passages, Truth
from pipeline.evaluate.scores import Score, score
from pipeline.evaluate.traps import Traps, traps
from pipeline.evaluate.volumes import Volumes, volumes

NO_CLASS = "(none)"


class OfLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line, both directions."""

    line: str
    score: Score


class OfWay(msgspec.Struct, frozen=True, kw_only=True):
    """One direction over one line."""

    line: str
    direction: Way
    score: Score


class OfClass(msgspec.Struct, frozen=True, kw_only=True):
    """One class, or a pool of them.

    counted = right_class + the passages of another class that were found as this one + doubled + wrong_way + extra.
    """

    label: str = msgspec.field(name="class")
    truth: int
    counted: int
    found: int  # of truth, as whatever class
    right_class: int  # of truth, as this one
    missed: int
    doubled: int  # these three are events of this class
    wrong_way: int
    extra: int


class Confused(msgspec.Struct, frozen=True, kw_only=True):
    """So many passages of one class were told as another one."""

    truth: str
    event: str
    passages: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything; `docs/accuracy.md` explains each figure."""

    version: int  # of these keys: 1
    run: str
    truth: str
    scenario: str | None
    seed: int | None
    tolerance_ms: float
    window_ms: float
    duration_ms: float
    confidence: float  # of every range: 0.95
    total: Score
    lines: tuple[OfLine, ...]
    directions: tuple[OfWay, ...]
    classes: tuple[OfClass, ...]
    confusion: tuple[Confused, ...]
    movements: tuple[Movement, ...]
    volumes: Volumes
    accepted: int  # events on passages that may be counted or not; in no other figure
    outside: int  # events beyond the truth's span; in no other figure
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    followed: Followed | None = None  # how well tracks keep to their users; None: no boxes were given
    traps: Traps | None = None  # speeds between two lines; None: there are none that can be scored


def evaluate(
    run: Passages,
    truth: Truth,
    *,
    pools: Pools,
    tolerance_ms: float = 1000.0,
    window_ms: float = 60_000.0,
    notes: Sequence[str] = (),
    followed: Followed | None = None,
) -> Evaluation:
    """Score a run that is on the truth's clock and belongs to it (see `run.placed` and `belonging.differences`).

    Args:
        run, truth: the two sides.
        pools: which classes are scored, and which as one; others are left out on both sides.
        tolerance_ms: how far in time an event may be from its passage.
        window_ms: of the volumes.
        notes: what a reader should know.
        followed: how well tracks follow, measured elsewhere.

    Raises:
        Fatal: a length of time is wrong, or nobody says how long the truth is.
    """
    if not (0 < tolerance_ms < math.inf and 0 < window_ms < math.inf):
        raise Fatal(
            f"tolerance and window must be longer than 0 and have an end, got {tolerance_ms} ms and {window_ms} ms"
        )
    if truth.duration_ms is None:
        raise Fatal(f"{truth.name} does not say how long was watched")
    outcomes = match(
        pools.scored(truth.passages),
        pools.scored(run.passages),
        tolerance_ms=tolerance_ms,
        span_ms=(0.0, truth.duration_ms),
        pool=pools.pool,
    )
    of_traps, more = traps(run, truth, tolerance_ms=tolerance_ms, pool=pools.pool)
    ways = _ways(truth, outcomes)
    taking_part = [o for o in outcomes if o.verdict not in {Verdict.ACCEPTED, Verdict.OUTSIDE}]
    return Evaluation(
        version=1,
        run=run.name,
        truth=truth.name,
        scenario=truth.scenario,
        seed=truth.seed,
        tolerance_ms=tolerance_ms,
        window_ms=window_ms,
        duration_ms=truth.duration_ms,
        confidence=CONFIDENCE,
        total=score(taking_part),
        lines=tuple(
            OfLine(line=line, score=score(o for o in taking_part if o.where.line == line))
            for line in dict.fromkeys(line for line, _ in ways)
        ),
        directions=tuple(
            OfWay(
                line=line,
                direction=way,
                score=score(o for o in taking_part if (o.where.line, o.where.direction) == (line, way)),
            )
            for line, way in ways
        ),
        classes=_classes(taking_part, pools),
        confusion=_confusion(taking_part, pools),
        movements=movements(
            taking_part,
            None if run.went is None else [(a, b) for a, b, label in run.went if pools.pool(label) is not None],
        ),
        volumes=volumes(taking_part, ways, duration_ms=truth.duration_ms, window_ms=window_ms),
        accepted=sum(o.verdict is Verdict.ACCEPTED and o.event is not None for o in outcomes),
        outside=sum(o.verdict is Verdict.OUTSIDE for o in outcomes),
        outcomes=outcomes,
        notes=(*notes, *more),
        followed=followed,
        traps=of_traps,
    )


def _ways(truth: Truth, outcomes: Sequence[Outcome]) -> list[tuple[str, Way]]:
    """Lines in the truth's order, with the directions in which anything went; a quiet line shows its right one."""
    busy = {(o.where.line, o.where.direction) for o in outcomes}
    lines = list(dict.fromkeys([*truth.lines, *sorted({line for line, _ in busy})]))
    return [(line, way) for line in lines for way in [w for w in Way if (line, w) in busy] or [Way.TO_RIGHT]]


def _classes(outcomes: Sequence[Outcome], pools: Pools) -> tuple[OfClass, ...]:
    truth: Counter[tuple[str, Verdict]] = Counter()
    events: Counter[tuple[str, Verdict]] = Counter()
    right: Counter[str] = Counter()
    for o in outcomes:
        if o.verdict in {Verdict.FOUND, Verdict.MISSED}:
            truth[_pool(o.passage, pools), o.verdict] += 1
        if o.event is not None:
            events[_pool(o.event, pools), o.verdict] += 1
        if o.verdict is Verdict.FOUND and _pool(o.passage, pools) == _pool(o.event, pools):
            right[_pool(o.event, pools)] += 1
    return tuple(
        OfClass(
            label=label,
            truth=truth[label, Verdict.FOUND] + truth[label, Verdict.MISSED],
            counted=sum(events[label, verdict] for verdict in Verdict),
            found=truth[label, Verdict.FOUND],
            right_class=right[label],
            missed=truth[label, Verdict.MISSED],
            doubled=events[label, Verdict.DOUBLED],
            wrong_way=events[label, Verdict.WRONG_WAY],
            extra=events[label, Verdict.EXTRA],
        )
        for label in sorted({label for label, _ in (*truth, *events)})
    )


def _confusion(outcomes: Sequence[Outcome], pools: Pools) -> tuple[Confused, ...]:
    pairs = Counter((_pool(o.passage, pools), _pool(o.event, pools)) for o in outcomes if o.verdict is Verdict.FOUND)
    return tuple(
        Confused(truth=ours, event=theirs, passages=n) for (ours, theirs), n in sorted(pairs.items()) if ours != theirs
    )


def _pool(passage: Passage | None, pools: Pools) -> str:
    return (pools.pool(passage.label) if passage is not None else None) or NO_CLASS
