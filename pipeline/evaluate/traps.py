"""Speeds between two lines: those that traps told, against those of the users that truly went from one to the other."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from pipeline.core.model import SpeedTrap
from pipeline.core.speed import KMH
from pipeline.evaluate.intervals import Estimate, median, percentile_85, percentile_95, share
from pipeline.evaluate.matching import Outcome, Verdict, match
from pipeline.evaluate.passages import Passage, Passages, Timed, Truth
from pipeline.evaluate.scores import speeds_in_sd, speeds_off


class TrapScore(msgspec.Struct, frozen=True, kw_only=True):
    """How many speeds were told, and how far off they are; the speed is the mean from line to line."""

    truth: int  # users that truly went from line to line
    told: int  # speeds that the run told
    found: int  # of both: told of somebody who truly arrived then
    speed_bias_kmh: Estimate
    speed_error_kmh: Estimate
    speed_error_p85_kmh: Estimate
    speed_error_p95_kmh: Estimate
    speed_within_1sd: Estimate  # share of speeds that are off by no more than the run said; 68 % is honest
    speed_within_2sd: Estimate  # by no more than twice that; 95 % is honest


class OfTrap(msgspec.Struct, frozen=True, kw_only=True):
    """One trap, one way."""

    trap: str
    from_line: str
    line: str
    score: TrapScore


class Traps(msgspec.Struct, frozen=True, kw_only=True):
    """All traps that could be scored."""

    total: TrapScore
    each: tuple[OfTrap, ...]


class Ends(msgspec.Struct, frozen=True):
    """The lines of a trap, and the metres between them that its scene tells."""

    lines: frozenset[str]
    metres: float


Pool = Callable[[str], str | None]


def traps(run: Passages, truth: Truth, *, tolerance_ms: float, pool: Pool) -> tuple[Traps | None, list[str]]:
    """Score what traps told.

    A true speed is what one user has driven between its passages of the two lines over the time between them, where
    nothing but these two lines counts: who turns round must pass the other line again. It is paired with a told speed
    of the same trap and the same two lines in the same order as passages are paired with events, by the time and the
    direction at the second line. So a track that went over to another vehicle between the lines tells a wrong speed
    of the one it ended on.

    Args:
        run: what was told, on the truth's clock. Traps that told nothing are known by the scene of either side only.
        truth: its passages name their users.
        tolerance_ms: how far in time a told speed may be from the true arrival.
        pool: what a class is scored as; None: not at all.

    Returns:
        (the scores, None where there is nothing to score; what a reader should know).
    """
    told = sorted(run.timed, key=lambda t: (t.passage.order, t.passage.speed_kmh or 0.0))
    known, notes = _known(told, (*truth.speed_traps, *run.speed_traps), truth)
    if not known:
        return None, notes
    span = (0.0, float("inf") if truth.duration_ms is None else truth.duration_ms)
    ours = {name: _driven(truth, ends, pool) for name, ends in known.items()}
    if any(way_m is None for runs in ours.values() for _, _, way_m in runs):
        notes.append(
            f"{truth.name} does not tell how far users drove: speeds of traps are held against the metres of the trap,"
            " so that wrong metres are not seen; make the truth anew"
        )
    outcomes: dict[tuple[str, str, str], tuple[Outcome, ...]] = {}
    for name, ends in known.items():
        for start in sorted(ends.lines):
            (end,) = ends.lines - {start}
            true = [
                _with_speed(first, last, way_m or ends.metres)
                for first, last, way_m in ours[name]
                if first.line == start
            ]
            said = [t.passage for t in told if (t.trap, t.from_line, t.passage.line) == (name, start, end)]
            said = [p for p in said if pool(p.label) is not None]
            if true or said:
                outcomes[name, start, end] = match(true, said, tolerance_ms=tolerance_ms, span_ms=span, pool=pool)
    each = tuple(
        OfTrap(trap=name, from_line=start, line=end, score=_score(found))
        for (name, start, end), found in sorted(outcomes.items())
    )
    return (Traps(total=_score([o for found in outcomes.values() for o in found]), each=each) if each else None), notes


def _known(told: Sequence[Timed], scenes: Iterable[SpeedTrap], truth: Truth) -> tuple[Mapping[str, Ends], list[str]]:
    """The traps that can be scored, by name, and why others cannot."""
    there = {trap.name: Ends(frozenset({trap.start, trap.end}), trap.metres) for trap in scenes}
    there |= {t.trap: Ends(frozenset({t.from_line, t.passage.line}), t.metres) for t in told}
    if there and truth.passages and not any(p.user for p in truth.passages):
        return {}, [f"speeds of traps are not scored: {truth.name} does not tell which passages are of one user"]
    known: dict[str, Ends] = {}
    notes = []
    for name, ends in sorted(there.items()):
        if len(ends.lines) == 1:
            notes.append(f"speeds of trap {name} are not scored: they are from line {min(ends.lines)} to itself")
        elif lost := sorted(ends.lines - truth.lines.keys()):
            has = ", ".join(truth.lines) or "none"
            notes.append(
                f"speeds of trap {name} are not scored: {truth.name} has no line {' and no line '.join(lost)} (it has: {has})"
            )
        else:
            known[name] = ends
    return known, notes


Run = tuple[Passage, Passage, float | None]
"""Two passages of one user, one after the other, and the metres between them; None: the truth does not tell."""


def _driven(truth: Truth, ends: Ends, pool: Pool) -> list[Run]:
    """Who went from one of the lines to the other one."""
    users: dict[str, list[Passage]] = defaultdict(list)
    for p in truth.passages:
        if p.user and p.line in ends.lines and pool(p.label) is not None:
            users[p.user].append(p)
    found: list[Run] = []
    for passages in users.values():
        for first, last in itertools.pairwise(sorted(passages, key=lambda p: p.order)):
            if first.line != last.line and last.t_ms > first.t_ms:
                told = first.way_m is not None and last.way_m is not None
                found.append((first, last, last.way_m - first.way_m if told else None))  # type: ignore[operator]
    return found


def _with_speed(first: Passage, last: Passage, way_m: float) -> Passage:
    kmh = way_m / (last.t_ms - first.t_ms) * 1000 * KMH
    return msgspec.structs.replace(last, speed_kmh=kmh, optional=first.optional or last.optional)


def _score(outcomes: Sequence[Outcome]) -> TrapScore:
    taking_part = [o for o in outcomes if o.verdict not in {Verdict.ACCEPTED, Verdict.OUTSIDE}]
    found = [o for o in taking_part if o.verdict is Verdict.FOUND]
    off, sure = speeds_off(found), speeds_in_sd(found)
    sizes = [abs(v) for v in off]
    return TrapScore(
        truth=sum(o.verdict in {Verdict.FOUND, Verdict.MISSED} for o in taking_part),
        told=sum(o.event is not None for o in taking_part),
        found=len(found),
        speed_bias_kmh=median(off),
        speed_error_kmh=median(sizes),
        speed_error_p85_kmh=percentile_85(sizes),
        speed_error_p95_kmh=percentile_95(sizes),
        speed_within_1sd=share(sum(v <= 1 for v in sure), len(sure)),
        speed_within_2sd=share(sum(v <= 2 for v in sure), len(sure)),  # noqa: PLR2004 - as it is called
    )
