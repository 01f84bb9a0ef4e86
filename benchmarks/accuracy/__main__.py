"""The command."""

import os
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks.accuracy import table
from benchmarks.accuracy.clips import KIND
from benchmarks.accuracy.figures import pooled
from benchmarks.accuracy.shell import run
from benchmarks.accuracy.suite import (
    GUARDED,
    NOISE,
    NOISES,
    RATES,
    REPORTED,
    TUNING,
    Bench,
    Plan,
    Report,
    measure,
    strata,
)
from benchmarks.accuracy.table import OURS
from pipeline.errors import Fatal
from pipeline.simulate.scenarios import SCENARIOS

SMALL = Plan(
    scenarios=("motorway", "stopline"),
    seeds=GUARDED,
    tuning=TUNING[:1],
    noise=(NOISE,),
    rates=(5.0, 15.0),
    phases=2,
    seconds=40.0,
    tuning_seconds=10.0,
    clips=("suburban_road",),
)
"""What CI runs: everything once, little of it."""

FLOOR, CEILING = {"road": 85.0, "clip": 95.0}, {"road": 15.0, "clip": 5.0}
"""What gantry must find, and may count falsely, per 100 passages in the small part: a guard, not a goal. Raise them."""

WIDTH = 180  # of what is printed into a file


@click.command(context_settings={"show_default": True})
@click.option("--small", is_flag=True, help="A fixed small part, as CI runs it; clips only if GANTRY_TEST_DATA is set.")
@click.option("--scenario", "scenarios", multiple=True, help="Only these simulated places.")
@click.option("--seed", "seeds", type=int, multiple=True, default=REPORTED, help="Seeds that are reported.")
@click.option("--tuning-seed", "tuning", type=int, multiple=True, default=TUNING, help="Seeds that peers are tuned on.")
@click.option("--tune/--no-tune", default=True, help="Whether peers also run at the best of their grids.")
@click.option("--noise", multiple=True, default=NOISES, help="How bad the simulated detector is; each has its table.")
@click.option("--rate", "rates", type=float, multiple=True, default=RATES, help="Pictures a second.")
@click.option("--phases", type=int, help="At most so many sampling phases of each stream; none: all.")
@click.option("--tuning-phases", type=int, default=1, help="The same while peers are tuned.")
@click.option("--seconds", default=0.0, help="Only so much of each simulated road; 0: all.")
@click.option("--tuning-seconds", default=0.0, help="The same while peers are tuned.")
@click.option("--clips/--no-clips", "with_clips", default=True, help="Whether real footage is counted.")
@click.option("--roads/--no-roads", "with_roads", default=True, help="Whether simulated roads are counted.")
@click.option("--only", multiple=True, help="Only these contestants.")
@click.option("--tolerance", default=1.0, help="How far an event may be from its passage, in seconds.")
@click.option("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="Processes.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/accuracy"), help="Results are kept here."
)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the tables here, too.")
@click.option("--worst", default=0, help="Also show so many of gantry's worst runs.")
def main(
    *,
    small: bool,
    scenarios: tuple[str, ...],
    seeds: tuple[int, ...],
    tuning: tuple[int, ...],
    tune: bool,
    noise: tuple[str, ...],
    rates: tuple[float, ...],
    phases: int | None,
    tuning_phases: int,
    seconds: float,
    tuning_seconds: float,
    with_clips: bool,
    with_roads: bool,
    only: tuple[str, ...],
    tolerance: float,
    jobs: int,
    folder: Path,
    markdown: Path | None,
    worst: int,
) -> None:
    """Count the same detections with gantry and with its peers, and say who was right.

    What is done is kept in the folder: stop it when you like and go on later.
    """
    if small:
        plan = SMALL if os.environ.get("GANTRY_TEST_DATA") else msgspec.structs.replace(SMALL, clips=())
    else:
        plan = Plan(
            scenarios=(scenarios or tuple(SCENARIOS)) if with_roads else (),
            seeds=seeds,
            tuning=tuning if tune else (),
            noise=noise,
            rates=rates,
            phases=phases,
            seconds=seconds,
            tuning_phases=tuning_phases,
            tuning_seconds=tuning_seconds,
            contestants=only,
            tolerance_ms=tolerance * 1000,
            **({} if with_clips else {"clips": ()}),
        )
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    report = measure(Bench(folder, jobs, console), plan)
    (folder / "report.json").write_bytes(msgspec.json.encode(report))
    console.print(table.conditions(report), markup=False)
    for shown in table.tables(report):
        console.print(shown)
    for shown in table.movements(report):
        console.print(shown)
    if worst:
        console.print(table.worst(report, worst))
    if markdown is not None:
        markdown.write_text(table.markdown(report))
    if small:
        guard(report)


def guard(report: Report) -> None:
    """Refuse a gantry that has become much worse. Raises Fatal."""
    cells = [cell for group in report.groups for cell in group.cells if cell.contestant == OURS]
    for (rate, _, _), clusters in strata(cells).items():
        for kind, floor in FLOOR.items():
            of_kind = {c: t for c, t in clusters.items() if (c[0] == KIND) == (kind == KIND)}
            if not of_kind:
                continue
            total = pooled(each for phases in of_kind.values() for each in phases)
            found = 100 * total.found / total.truth
            false = 100 * (total.doubled + total.extra + total.wrong_way) / total.truth
            if found < floor or false > CEILING[kind]:
                raise Fatal(
                    f"at {rate:g} frames/s gantry found {found:.1f} and falsely counted {false:.1f} of 100 ({kind}s):"
                    f" at least {floor:g} and at most {CEILING[kind]:g} are wanted"
                )


if __name__ == "__main__":
    run(main)
