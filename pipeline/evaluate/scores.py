"""The figures of one set of passages and events: how many, what share, how far off."""

from collections.abc import Iterable, Sequence

import msgspec

from pipeline.evaluate.intervals import Estimate, count_error, f1, median, percentile_85, percentile_95, rate, share
from pipeline.evaluate.matching import Outcome, Verdict


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """truth = found + missed; counted = found + doubled + wrong_way + extra."""

    truth: int
    counted: int
    found: int
    missed: int
    doubled: int
    wrong_way: int
    extra: int
    recall: Estimate  # found / truth
    precision: Estimate  # found / counted
    f1: Estimate
    count_error: Estimate  # (counted - truth) / truth
    false_per_100: Estimate  # doubled, wrong way and extra events for every 100 passages
    time_bias_ms: Estimate  # median of event - passage; positive: told as later than it was
    time_error_ms: Estimate  # median of |event - passage|
    time_error_p95_ms: Estimate
    speed_bias_kmh: Estimate
    speed_error_kmh: Estimate  # of those where both sides know a speed
    speed_error_p85_kmh: Estimate
    speed_error_p95_kmh: Estimate
    speed_within_1sd: Estimate  # share of speeds that are off by no more than the run said; 68 % is honest
    speed_within_2sd: Estimate  # by no more than twice that; 95 % is honest


def score(outcomes: Iterable[Outcome]) -> Score:
    """The figures of these outcomes; what is accepted or outside takes no part."""
    of: dict[Verdict, list[Outcome]] = {verdict: [] for verdict in Verdict}
    for outcome in outcomes:
        of[outcome.verdict].append(outcome)
    found, missed = len(of[Verdict.FOUND]), len(of[Verdict.MISSED])
    doubled, wrong_way, extra = (len(of[v]) for v in (Verdict.DOUBLED, Verdict.WRONG_WAY, Verdict.EXTRA))
    false, truth = doubled + wrong_way + extra, found + missed
    times = times_off(of[Verdict.FOUND])
    speeds = speeds_off(of[Verdict.FOUND])
    sure = speeds_in_sd(of[Verdict.FOUND])
    return Score(
        truth=truth,
        counted=found + false,
        found=found,
        missed=missed,
        doubled=doubled,
        wrong_way=wrong_way,
        extra=extra,
        recall=share(found, truth),
        precision=share(found, found + false),
        f1=f1(found, missed, false),
        count_error=count_error(missed, false, truth),
        false_per_100=rate(false, truth / 100),
        time_bias_ms=median(times),
        time_error_ms=median([abs(t) for t in times]),
        time_error_p95_ms=percentile_95([abs(t) for t in times]),
        speed_bias_kmh=median(speeds),
        speed_error_kmh=median([abs(v) for v in speeds]),
        speed_error_p85_kmh=percentile_85([abs(v) for v in speeds]),
        speed_error_p95_kmh=percentile_95([abs(v) for v in speeds]),
        speed_within_1sd=share(sum(off <= 1 for off in sure), len(sure)),
        speed_within_2sd=share(sum(off <= 2 for off in sure), len(sure)),  # noqa: PLR2004 - as it is called
    )


def times_off(found: Sequence[Outcome]) -> list[float]:
    """What event - passage is in milliseconds, of those that have both."""
    return [o.event.t_ms - o.passage.t_ms for o in found if o.event is not None and o.passage is not None]


def speeds_off(found: Sequence[Outcome]) -> list[float]:
    """What event - passage is in km/h, of those where both know a speed."""
    return [
        o.event.speed_kmh - o.passage.speed_kmh
        for o in found
        if o.event is not None and o.passage is not None
        if o.event.speed_kmh is not None and o.passage.speed_kmh is not None
    ]


def speeds_in_sd(found: Sequence[Outcome]) -> list[float]:
    """How far speeds are off, in standard deviations that the run stated, of those that state one above 0."""
    return [
        abs(o.event.speed_kmh - o.passage.speed_kmh) / o.event.speed_sd_kmh
        for o in found
        if o.event is not None and o.passage is not None
        if o.event.speed_kmh is not None and o.passage.speed_kmh is not None and o.event.speed_sd_kmh
    ]
