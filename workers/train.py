"""`gantry train`: a model of one's own, from simulated pictures."""

import os
import re
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.adapters.yolo.training import card, course, require
from pipeline.adapters.yolo.training.trainer import Settings
from pipeline.core.model import ID_PATTERN
from pipeline.errors import Fatal
from pipeline.simulate.lessons import CLASSES
from pipeline.simulate.scenarios import scenario
from workers.ranges import Finite

_USUAL = course.Recipe()


@click.command(context_settings={"show_default": True})
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder: pictures, checkpoints, the model."
)
@click.option("--name", default=_USUAL.name, help="The model's name.")
@click.option("--place", "places", multiple=True, help="Only these scenarios; repeat it.  [default: all]")
@click.option("--pictures", type=click.IntRange(20, 1_000_000), default=_USUAL.pictures, help="To learn from.")
@click.option(
    "--epochs", type=click.IntRange(1, 10_000), default=_USUAL.settings.epochs, help="How often each is seen."
)
@click.option(
    "--rare",
    type=click.IntRange(0, 1_000_000),
    default=_USUAL.rare,
    help="Pictures of a second course, of what is seldom; 0: none.",
)
@click.option(
    "--rare-epochs", type=click.IntRange(1, 1000), default=_USUAL.rare_epochs, help="How often these are seen."
)
@click.option("--batch", type=click.IntRange(1, 1024), default=_USUAL.settings.batch, help="Pictures a step.")
@click.option("--rate", type=Finite("rate", 0, 1, low_open=True), default=_USUAL.settings.rate, help="Of learning.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of the network's beginning.")
@click.option(
    "--examined", type=click.IntRange(1, 250), default=_USUAL.examined, help="Pictures of each place and look."
)
@click.option("--device", default="cpu", help="cpu, or as torch calls it: 0, cuda:0.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes and threads.  [default: one for each core]")
def train(
    *,
    out: Path,
    name: str,
    places: tuple[str, ...],
    pictures: int,
    epochs: int,
    rare: int,
    rare_epochs: int,
    batch: int,
    rate: float,
    seed: int,
    examined: int,
    device: str,
    jobs: int | None,
) -> None:
    """Train a detection model from nothing, on simulated traffic in every light and weather.

    Interrupt it when you like: the same command goes on where it was.
    """
    require()
    if not re.match(ID_PATTERN, name):
        raise Fatal(f"--name {name!r}: take letters, digits, '.', '_' and '-'")
    settings = Settings(epochs=epochs, batch=batch, rate=rate, seed=seed, device=device)
    recipe = course.Recipe(
        name=name,
        places=tuple(scenario(place).name for place in dict.fromkeys(places)) or _USUAL.places,
        pictures=pictures,
        rare=rare,
        rare_epochs=rare_epochs,
        examined=examined,
        settings=settings,
    )
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[more]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(progress: course.Progress) -> None:
            if progress.what not in tasks:
                tasks[progress.what] = bar.add_task(progress.what, total=progress.total, more="")
                if not console.is_terminal:
                    click.echo(f"{progress.what}: {progress.total} to do, {progress.done} done", err=True)
            bar.update(tasks[progress.what], completed=progress.done, more=progress.more)

        model = course.teach(recipe, out, jobs=jobs or len(os.sched_getaffinity(0)), tell=tell)
    _show(card.read(model))
    click.echo(f"{model}: use it as --model {model}")


def _show(told: card.Told) -> None:
    table = Table(title="Average precision at an overlap of 0.5, on traffic that was not taught", title_justify="left")
    for head in ("look", "pictures", "mean", *CLASSES):
        table.add_column(head, justify="left" if head == "look" else "right")
    for worth in told.worth:
        figures = (worth.map50, *(worth.by_class[label] for label in CLASSES))
        table.add_row(worth.look, str(worth.pictures), *("-" if f is None else f"{f:.3f}" for f in figures))
    Console().print(table)
