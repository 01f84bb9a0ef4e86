"""The figures as people read them: tables of text, the same in a terminal and on the page."""

import msgspec

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.intervals import Estimate
from pipeline.evaluate.scores import Score
from pipeline.evaluate.traps import TrapScore
from pipeline.evaluate.volumes import GOOD, HOUR_MS, Volume

UNKNOWN = "-"
ALL = "all"


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One table. Cells may hold two lines: a figure, and the range that it lies in."""

    title: str
    note: str = ""
    columns: tuple[str, ...]
    words: int  # so many columns from the left are words, the others are figures
    rows: tuple[tuple[str, ...], ...]
    last_is_sum: bool = False


def headline(evaluation: Evaluation) -> str:
    """The whole result in one sentence."""
    total = evaluation.total
    wrong = [
        f"{number} {what}"
        for number, what in (
            (total.missed, "missed"),
            (total.doubled, "counted twice"),
            (total.wrong_way, "counted the wrong way"),
            (total.extra, "counted out of nothing"),
        )
        if number
    ]
    passages = "passage was" if total.truth == 1 else "passages were"
    return f"{total.found} of {total.truth} {passages} found; {', '.join(wrong) if wrong else 'nothing more, nothing less'}."


def sheets(evaluation: Evaluation) -> tuple[Sheet, ...]:
    """All tables that have something to say."""
    every = (
        counts(evaluation),
        shares(evaluation),
        times(evaluation),
        speeds(evaluation),
        sureness(evaluation),
        trap_speeds(evaluation),
        trap_sureness(evaluation),
        classes(evaluation),
        confusion(evaluation),
        movements(evaluation),
        volumes(evaluation),
        following(evaluation),
    )
    return tuple(sheet for sheet in every if sheet.rows)


def counts(evaluation: Evaluation) -> Sheet:
    """What became of passages and events."""
    return Sheet(
        title="Counts",
        note="truth = found + missed; counted = found + twice + wrong way + extra",
        columns=("line", "direction", "truth", "counted", "found", "missed", "twice", "wrong way", "extra"),
        words=2,
        rows=tuple(
            (line, way, *map(str, (s.truth, s.counted, s.found, s.missed, s.doubled, s.wrong_way, s.extra)))
            for line, way, s in _scored(evaluation)
        ),
        last_is_sum=True,
    )


def shares(evaluation: Evaluation) -> Sheet:
    """Recall and its kin."""
    return Sheet(
        title="Shares",
        note=f"with ranges of {evaluation.confidence:.0%} confidence",
        columns=("line", "direction", "recall", "precision", "F1", "count error"),
        words=2,
        rows=tuple(
            (line, way, percent(s.recall), percent(s.precision), percent(s.f1), percent(s.count_error, signed=True))
            for line, way, s in _scored(evaluation)
        ),
        last_is_sum=True,
    )


def times(evaluation: Evaluation) -> Sheet:
    """How far off in time."""
    return Sheet(
        title="Time of crossing",
        note="event minus passage, of those that were found",
        columns=("line", "direction", "found", "bias, ms", "median error, ms", "95 % within, ms"),
        words=2,
        rows=tuple(
            (
                line,
                way,
                str(s.found),
                number(s.time_bias_ms, signed=True),
                number(s.time_error_ms),
                number(s.time_error_p95_ms),
            )
            for line, way, s in _scored(evaluation)
            if s.found
        ),
        last_is_sum=True,
    )


_HOW_FAR_OFF = ("known", "bias, km/h", "median error, km/h", "85 % within, km/h", "95 % within, km/h")


def _how_far_off(s: Score | TrapScore) -> tuple[str, ...]:
    """Of speeds that are known: bias, median and percentiles."""
    return (
        number(s.speed_bias_kmh, digits=1, signed=True),
        number(s.speed_error_kmh, digits=1),
        number(s.speed_error_p85_kmh, digits=1),
        number(s.speed_error_p95_kmh, digits=1),
    )


def speeds(evaluation: Evaluation) -> Sheet:
    """How far off in speed, where both sides know one."""
    return Sheet(
        title="Speed",
        note="event minus passage, where both know a speed",
        columns=("line", "direction", *_HOW_FAR_OFF),
        words=2,
        rows=tuple(
            (
                line,
                way,
                str(s.speed_error_kmh.of),
                *_how_far_off(s),
            )
            for line, way, s in _scored(evaluation)
            if s.speed_error_kmh.of
        ),
        last_is_sum=True,
    )


def sureness(evaluation: Evaluation) -> Sheet:
    """Whether speeds are as sure as they say."""
    return Sheet(
        title="Stated uncertainty of speeds",
        note="share of speeds that are off by no more than one and two standard deviations that the run stated; 68 % and 95 % are honest",
        columns=("line", "direction", "stated", "within 1", "within 2"),
        words=2,
        rows=tuple(
            (line, way, str(s.speed_within_1sd.of), percent(s.speed_within_1sd), percent(s.speed_within_2sd))
            for line, way, s in _scored(evaluation)
            if s.speed_within_1sd.of
        ),
        last_is_sum=True,
    )


def trap_speeds(evaluation: Evaluation) -> Sheet:
    """How far off the speeds between two lines are."""
    return Sheet(
        title="Speed between two lines",
        note="told minus true, of the mean speed from line to line",
        columns=("trap", "from", "to", *_HOW_FAR_OFF),
        words=3,
        rows=tuple(
            (
                *names,
                str(s.found),
                *_how_far_off(s),
            )
            for names, s in _trapped(evaluation)
            if s.found
        ),
        last_is_sum=True,
    )


def trap_sureness(evaluation: Evaluation) -> Sheet:
    """How many went from line to line and were told, and whether the speeds are as sure as they say."""
    return Sheet(
        title="Stated uncertainty of speeds between two lines",
        note="truth: who went from line to line; told: speeds of the run; found: of both; within one and two standard deviations that the run stated: 68 % and 95 % are honest",
        columns=("trap", "from", "to", "truth", "told", "found", "within 1", "within 2"),
        words=3,
        rows=tuple(
            (
                *names,
                *map(str, (s.truth, s.told, s.found)),
                percent(s.speed_within_1sd),
                percent(s.speed_within_2sd),
            )
            for names, s in _trapped(evaluation)
        ),
        last_is_sum=True,
    )


def _trapped(evaluation: Evaluation) -> list[tuple[tuple[str, str, str], TrapScore]]:
    """Every trap, each way; then all of it where there is more than one row."""
    if evaluation.traps is None:
        return []
    rows = [((t.trap, t.from_line, t.line), t.score) for t in evaluation.traps.each]
    return rows if len(rows) == 1 else [*rows, ((ALL, ALL, ALL), evaluation.traps.total)]


def classes(evaluation: Evaluation) -> Sheet:
    """By class."""
    return Sheet(
        title="Classes",
        note="found: as whatever class; right class: as this one; twice, wrong way and extra are events of this class",
        columns=("class", "truth", "counted", "found", "right class", "missed", "twice", "wrong way", "extra"),
        words=1,
        rows=tuple(
            (
                c.label,
                *map(str, (c.truth, c.counted, c.found, c.right_class, c.missed, c.doubled, c.wrong_way, c.extra)),
            )
            for c in evaluation.classes
        )
        if len(evaluation.classes) > 1 or evaluation.confusion
        else (),
    )


def confusion(evaluation: Evaluation) -> Sheet:
    """Which class was told as which."""
    return Sheet(
        title="Told as another class",
        columns=("it was", "it was told as", "passages"),
        words=2,
        rows=tuple((c.truth, c.event, str(c.passages)) for c in evaluation.confusion),
    )


def movements(evaluation: Evaluation) -> Sheet:
    """From line to line."""
    return Sheet(
        title="Movements",
        note="from the first line that was crossed to the last; told: by movement events; right: one track kept to one user all the way",
        columns=("from", "to", "truth", "counted", "told", "right", "recall"),
        words=2,
        rows=tuple(
            (
                m.origin,
                m.destination,
                str(m.truth),
                str(m.counted),
                "" if m.told is None else str(m.told),
                str(m.right),
                percent(m.recall),
            )
            for m in evaluation.movements
        ),
    )


def volumes(evaluation: Evaluation) -> Sheet:
    """Hourly volumes and their GEH."""
    good = evaluation.volumes.geh_below_5
    below = ""
    if len(evaluation.volumes.windows) > len(evaluation.volumes.whole) and good.of:
        below = f"; GEH is below {GOOD:g} in {percent(good, joint=' (')}) of {good.of} windows of {_length(evaluation.window_ms)}"
    hour = abs(evaluation.duration_ms - HOUR_MS) < 1
    scaled = "" if hour else f", scaled up from {_length(evaluation.duration_ms)}"
    return Sheet(
        title="Volumes",
        note=f"vehicles an hour{scaled}{below}",
        columns=("line", "direction", "truth, 1/h", "counted, 1/h", "GEH"),
        words=2,
        rows=tuple(volume_row(v)[:2] + volume_row(v)[3:] for v in evaluation.volumes.whole),
    )


def windows(evaluation: Evaluation) -> Sheet:
    """Every window by itself; long."""
    return Sheet(
        title=f"Windows of {evaluation.window_ms / 1000:g} s",
        note="volumes are scaled to an hour",
        columns=("line", "direction", "from, s", "truth, 1/h", "counted, 1/h", "GEH"),
        words=2,
        rows=tuple(volume_row(v) for v in evaluation.volumes.windows)
        if len(evaluation.volumes.windows) > len(evaluation.volumes.whole)
        else (),
    )


def volume_row(volume: Volume) -> tuple[str, ...]:
    """One window as text."""
    hours = (volume.to_ms - volume.from_ms) / HOUR_MS
    return (
        volume.line,
        volume.direction.value,
        f"{volume.from_ms / 1000:g}",
        f"{volume.truth / hours:.0f}",
        f"{volume.counted / hours:.0f}",
        f"{volume.geh:.2f}",
    )


def following(evaluation: Evaluation) -> Sheet:
    """How well tracks keep to their users."""
    f = evaluation.followed
    if f is None:
        return Sheet(title="Following", columns=(), words=0, rows=())
    rows = [
        ("HOTA", _share(f.hota.hota)),
        ("DetA (seeing)", _share(f.hota.deta)),
        ("AssA (keeping identities)", _share(f.hota.assa)),
        ("LocA (overlap)", _share(f.hota.loca)),
    ]
    if f.identities is not None:
        i = f.identities
        rows += [
            ("IDF1", _share(i.idf1)),
            ("MOTA", _share(i.mota)),
            ("identity switches", str(i.switches)),
        ]
    return Sheet(
        title="Following",
        note=f"{f.tracks} tracks on {f.users} users in {f.pictures} pictures",
        columns=("figure", "value"),
        words=1,
        rows=tuple(rows),
    )


def percent(estimate: Estimate, *, signed: bool = False, joint: str = "\n") -> str:
    """`98.2 %`, and its range; signed for errors."""
    if estimate.value is None:
        return UNKNOWN
    sign = "+" if signed else ""
    value = f"{_rounded(100 * estimate.value, f'{sign}.1f')} %"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value}{joint}{_short(100 * estimate.low, sign)} to {_short(100 * estimate.high, sign)}"


def number(estimate: Estimate, *, digits: int = 0, signed: bool = False) -> str:
    """A figure in its own unit, and its range."""
    if estimate.value is None:
        return UNKNOWN
    form = f"{'+' if signed else ''}.{digits}f"
    if estimate.low is None or estimate.high is None:
        return _rounded(estimate.value, form)
    return f"{_rounded(estimate.value, form)}\n{_rounded(estimate.low, form)} to {_rounded(estimate.high, form)}"


def _rounded(figure: float, form: str) -> str:
    """The figure as text; what rounds to 0 has no sign."""
    text = f"{figure:{form}}"
    return text if text.strip("+-0.") else text.lstrip("+-")


def _short(figure: float, sign: str) -> str:
    """One digit after the point, but no `.0`."""
    return _rounded(figure, f"{sign}.1f").removesuffix(".0")


def _scored(evaluation: Evaluation) -> list[tuple[str, str, Score]]:
    """Directions, then lines that have two, then all of it where there is more than one row."""
    rows = [(d.line, d.direction.value, d.score) for d in evaluation.directions]
    names = [d.line for d in evaluation.directions]
    rows += [
        (line.line, ALL, line.score)
        for line in evaluation.lines
        if names.count(line.line) > 1 and len(evaluation.lines) > 1
    ]
    return rows if len(rows) == 1 else [*rows, (ALL, ALL, evaluation.total)]


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _length(ms: float) -> str:
    return f"{ms / 60000:.0f} minutes" if ms >= 120_000 and ms % 60000 == 0 else f"{ms / 1000:.0f} s"  # noqa: PLR2004
