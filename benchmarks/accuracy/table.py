"""What is printed: one table for each group, by rate and method, and gantry's worst runs."""

import platform
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.table import Table

from benchmarks.accuracy.clips import CLIPS
from benchmarks.accuracy.figures import Figures, Tally, figures, pooled
from benchmarks.accuracy.suite import DEFAULTS, HINDSIGHT, TUNED, Group, Report, strata
from pipeline.evaluate.intervals import Estimate

HEAD = ("frames/s", "method", "found, %", "false or doubled, per 100", "count off, %", "wrong way, per 100")
OURS = "gantry"


def conditions(report: Report) -> str:
    """What was measured, in a few lines."""
    plan, told = report.plan, []
    if plan.scenarios:
        told.append(
            f"Simulated roads: {', '.join(plan.scenarios)}; seeds {_list(plan.seeds)}; {_seconds(plan.seconds)} each;"
            f" {_phases(plan.phases)}."
        )
    grids = sorted(set(report.grids.values()) - {1})
    if plan.tuning and plan.scenarios and grids:
        told.append(
            f"Peers `{TUNED}`: for each rate the best of {_list(grids)} settings on"
            f" seeds {_list(plan.tuning)} ({_seconds(plan.tuning_seconds)}, {_phases(plan.tuning_phases)}); gantry has one setting for all."
        )
    if plan.clips:
        named = [name for name in plan.clips if name in CLIPS]
        told.append(
            f"Real clips: {', '.join(named)}; {_phases(plan.phases)} of the nearest whole step of their rates. gantry's own"
            " tests hold it to two of them (suburban_road, highway_nl)."
            + (
                f" `{HINDSIGHT}`: the peer's best setting on the very clips it is scored on."
                if plan.tuning and grids
                else ""
            )
        )
    told.append(
        f"An event counts as found within {plan.tolerance_ms / 1000:g} s of its passage. In brackets: 95 % by a bootstrap"
        " over seeds within each place, or over clips, and never less than chance makes of so many passages (Wilson's"
        " interval, or the exact Poisson one), each taken once whatever the phases."
    )
    peers = sorted({version for key, version in report.versions.items() if key != OURS})
    told.append("; ".join([*peers, f"Python {platform.python_version()}."]))
    return "\n".join(told)


def tables(report: Report) -> Iterator[Table]:
    """One for each group."""
    for group in report.groups:
        made = Table(title=f"{group.title}: {_passages(group)} passages", title_justify="left")
        for column in HEAD:
            made.add_column(column, justify="left" if column == "method" else "right")
        for rate, rows in groupby(_rows(report, group), key=lambda row: row[0]):
            for number, (_, *row) in enumerate(rows):
                made.add_row("" if number else rate, *row)
            made.add_section()
        yield made


def movements(report: Report) -> Iterator[Table]:
    """Of each group in which gantry told movements: how far they are off, by rate and place."""
    for group in report.groups:
        ours = [
            c for c in group.cells if c.contestant == OURS and c.how == DEFAULTS and pooled(c.phases).movements_told
        ]
        if not ours:
            continue
        made = Table(title=f"gantry's movements from line to line, {group.title}", title_justify="left")
        for column in ("frames/s", "place", "true", "told", "off, %"):
            made.add_column(column, justify="left" if column == "place" else "right")
        for (rate, place), cells in groupby(
            sorted(ours, key=lambda c: (c.rate, c.cluster[0])), key=lambda c: (c.rate, c.cluster[0])
        ):
            total = pooled(phase for cell in cells for phase in cell.phases)
            made.add_row(f"{rate:g}", place, str(total.movements), str(total.movements_told), movements_off(total))
        yield made


def markdown(report: Report) -> str:
    """The same, for a page."""
    out = [conditions(report).replace("\n", "\n\n"), ""]
    for group in report.groups:
        out += [heading(group.title), "", f"{_passages(group)} passages.", "", line(HEAD), line(["---"] * len(HEAD))]
        out += [line(row) for row in _rows(report, group)]
        out.append("")
    return "\n".join(out)


def heading(title: str) -> str:
    """Of a group, on a page."""
    return f"### {title[0].upper()}{title[1:]}"


def worst(report: Report, many: int) -> Table:
    """The runs of gantry with the most errors for their passages, and the best peer there."""
    made = Table(title="gantry's worst runs, most errors per 100 first", title_justify="left")
    for column in (
        "run",
        "frames/s",
        "passages",
        "missed",
        "doubled",
        "extra",
        "wrong way",
        "worst phase",
        "best peer",
    ):
        made.add_column(column, justify="left" if column in {"run", "best peer"} else "right")
    cells = [cell for group in report.groups for cell in group.cells]
    ours = [cell for cell in cells if cell.contestant == OURS]
    ours.sort(key=lambda cell: pooled(cell.phases).errors / max(1, pooled(cell.phases).truth), reverse=True)
    for cell in ours[:many]:
        total, phases = pooled(cell.phases), cell.phases
        rivals = [
            (pooled(other.phases).errors, f"{report.titles[other.contestant]}, {other.how}")
            for other in cells
            if other.cluster == cell.cluster and other.rate == cell.rate and other.contestant != OURS
        ]
        errors, name = min(rivals, default=(0, "none"))
        made.add_row(
            cell.cluster[1],
            f"{cell.fps:.1f}",
            str(total.truth),
            *(str(n) for n in (total.missed, total.doubled, total.extra, total.wrong_way)),
            str(max(range(len(phases)), key=lambda place: phases[place].errors)),
            f"{name}: {errors} errors to {total.errors}",
        )
    return made


def _rows(report: Report, group: Group) -> Iterator[tuple[str, ...]]:
    found = strata(group.cells)
    for rate in report.plan.rates:
        fps = sorted({round(cell.fps, 1) for cell in group.cells if cell.rate == rate})
        told = f"{fps[0]:g}" if len(fps) == 1 else f"{fps[0]:g} to {fps[-1]:g}"
        for key, title in report.titles.items():
            for how in (DEFAULTS, TUNED, HINDSIGHT):
                if (rate, key, how) in found:
                    yield (told, title if key == OURS else f"{title}, {how}", *cells(figures(found[rate, key, how])))


def _passages(group: Group) -> int:
    """How many there are, each taken once whatever the rates, phases and methods."""
    of = {cell.cluster: max((phase.truth for phase in cell.phases), default=0) for cell in group.cells}
    return sum(of.values())


def movements_off(total: Tally) -> str:
    """By how many of 100 the movements told are off."""
    return f"{100 * total.movements_off / total.movements:.1f}" if total.movements else "-"


def cells(of: Figures) -> tuple[str, str, str, str]:
    """Figures as they stand in a row."""
    return (_shown(of.recall), _shown(of.false), _shown(of.count_error), _shown(of.wrong_way))


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1f}"
    return f"{estimate.value:.1f} ({estimate.low:.1f} to {estimate.high:.1f})"


def line(row: Sequence[str]) -> str:
    """A row of a table on a page."""
    return f"| {' | '.join(row)} |"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds else "all of their time"


def _phases(phases: int | None) -> str:
    if phases is None:
        return "all sampling phases"
    return "1 sampling phase" if phases == 1 else f"{phases} sampling phases"
