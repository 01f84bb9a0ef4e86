"""`gantry simulate`: traffic with exact truth."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.adapters.painter import Looks, Painter
from pipeline.adapters.painter.film import write_film
from pipeline.adapters.recordings import own
from pipeline.adapters.sumo import record as run_sumo
from pipeline.adapters.sumo import require
from pipeline.config import load_scene, scene_yaml
from pipeline.errors import Fatal
from pipeline.simulate import journeys
from pipeline.simulate.address import of_film
from pipeline.simulate.frames import frame_lines
from pipeline.simulate.journeys import Recording, recorded, shipped, write
from pipeline.simulate.pixels.light import DAYLIGHTS, WEATHERS, Daylight, Weather
from pipeline.simulate.scenario import Scenario, scene_of
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.truth import encode_truth, mot, truth
from workers.ranges import Finite
from workers.whole import write_whole

SHIPPED_SEEDS = range(8)
SHIPPED_MINUTES = 5.0
SHIPPED_BYTES = 4 * 1024 * 1024
"""All recordings that come with gantry together."""

FILM = ("film.mp4", "truth.json", "frames.jsonl", "scene.yaml")
"""What a painted film's folder holds."""

_seed = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), help="Which traffic; the same seed, the same traffic."
)


@click.group()
def simulate() -> None:
    """Simulated traffic of which everything is known.

    SUMO does the traffic (make setup EXTRAS=dev,simulate), a simulated camera looks at it. Recordings of each
    scenario come with gantry, and need no SUMO.
    """


@simulate.command("list")
def list_() -> None:
    """Show the scenarios, and the seeds whose recordings come with gantry."""
    there = shipped()
    table = Table()
    for head in ("scenario", "seeds", "picture", "what it is"):
        table.add_column(head)
    for name, place in SCENARIOS.items():
        seeds = journeys.ranges(there.get(name, ())) or "none"
        table.add_row(name, seeds, f"{place.size.width}x{place.size.height}", place.title)
    Console().print(table)


@simulate.command("record")
@click.argument("name", metavar="SCENARIO", required=False)
@_seed
@click.option("--minutes", type=Finite("minutes", 0.01, 24 * 60), help="How long.  [default: 5]")
@click.option("--out", type=click.Path(path_type=Path), help="The file.  [default: SCENARIO-SEED.traj]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--shipped", "remake", is_flag=True, help="Make the recordings that come with gantry anew, in place.")
def record_(
    name: str | None, seed: int | None, minutes: float | None, out: Path | None, force: bool, remake: bool
) -> None:
    """Record a scenario's traffic with SUMO."""
    place = scenario(name) if name else None
    if remake:
        if seed is not None or minutes is not None or out is not None:
            raise click.UsageError("--shipped has its own seeds, length and files; give it a SCENARIO at most")
        _remake([place] if place else list(SCENARIOS.values()))
        return
    if place is None or seed is None:
        raise click.UsageError("say which: gantry simulate record SCENARIO --seed N (gantry simulate list shows them)")
    file = out or Path(f"{place.name}-{seed}.traj")
    _writable(file, force=force)
    require()
    recording = _recorded(place, seed, minutes or SHIPPED_MINUTES)
    size = _kept(file, write(recording))
    click.echo(
        f"{file}: {len(recording.journeys)} road users, {len(recording.staged)} incidents, "
        f"{recording.duration_ms / 1000:g} s, {size} bytes"
    )


@simulate.command("scene")
@click.argument("name", metavar="SCENARIO")
def scene_(name: str) -> None:
    """Print the lines and zones of a scenario, as `gantry scenes apply --camera ID FILE` reads them."""
    click.echo(scene_yaml(scene_of(scenario(name))), nl=False)


@simulate.command("film")
@click.argument("name", metavar="SCENARIO")
@_seed
@click.option("--from", "file", type=click.Path(path_type=Path), help="A recording of your own, instead of --seed.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder: film.mp4, truth.json, frames.jsonl."
)
@click.option("--fps", type=Finite("pictures a second", 1, 60), default=10.0, show_default=True)
@click.option("--seconds", type=Finite("seconds", 0, 24 * 3600, low_open=True), help="How long.  [default: all of it]")
@click.option("--light", type=click.Choice(DAYLIGHTS), default="day", show_default=True)
@click.option("--weather", type=click.Choice(WEATHERS), default="clear", show_default=True)
@click.option("--force", is_flag=True, help="Write over files that are there.")
def film_(
    name: str, seed: int | None, file: Path | None, out: Path, fps: float, seconds: float | None,
    light: Daylight, weather: Weather, force: bool,
) -> None:  # fmt: skip
    """Paint what a scenario's camera sees, as a film, with its truth beside it."""
    place = scenario(name)
    recording = _shorter(_which(name, place, seed, file), seconds)
    for there in (out / part for part in FILM):
        _kept_unless(there, force=force)
    value = truth(recording, place)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise Fatal(f"{out} cannot be made: {exc.strerror or exc}") from exc
    painter = Painter(recording, place, Looks(light, weather, seed=recording.seed))
    with _bar(f"{place.name} {recording.seed}", recording.duration_ms * fps / 1000) as progress:
        count = write_film(
            out / "film.mp4",
            painter.pictures(fps),
            size=place.size,
            fps=fps,
            comment=of_film(place.name, recording.seed, fps=fps, light=light, weather=weather),
            progress=progress,
        )
    _kept(out / "truth.json", encode_truth(value), folder=True)
    _kept(out / "frames.jsonl", frame_lines(recording, place, fps), folder=True)
    _kept(out / "scene.yaml", scene_yaml(scene_of(place)).encode(), folder=True)
    click.echo(
        f"{out / 'film.mp4'}: {count} pictures of {place.size}, {recording.duration_ms / 1000:g} s, "
        f"{len(value.passages)} passages; truth.json, frames.jsonl and scene.yaml beside it"
    )


@simulate.command("truth")
@click.argument("name", metavar="SCENARIO")
@_seed
@click.option("--from", "file", type=click.Path(path_type=Path), help="A recording of your own, instead of --seed.")
@click.option(
    "--scene",
    "scene_file",
    type=click.Path(path_type=Path),
    help="YAML with lines and zones of your own.  [default: the scenario's]",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder; it gets truth.json.")
@click.option("--mot", "boxes", is_flag=True, help="Also every frame's boxes, as MOTChallenge keeps them.")
@click.option(
    "--fps",
    type=Finite("pictures a second", 0, 240, low_open=True),
    default=10.0,
    show_default=True,
    help="Of --mot and --frames.",
)
@click.option("--frames", "lines", is_flag=True, help="Also frames.jsonl: every frame's boxes, identities and speeds.")
def truth_(
    name: str, seed: int | None, file: Path | None, scene_file: Path | None, out: Path,
    boxes: bool, fps: float, lines: bool,
) -> None:  # fmt: skip
    """Write what a perfect eye behind a scenario's camera would measure."""
    place = scenario(name)
    recording = _which(name, place, seed, file)
    value = truth(recording, place, measured=None if scene_file is None else load_scene(scene_file))
    _kept(out / "truth.json", encode_truth(value), folder=True)
    click.echo(
        f"{out / 'truth.json'}: {len(value.passages)} passages, {len(value.movements)} movements, "
        f"{len(value.incidents)} incidents"
    )
    if lines:
        size = _kept(out / "frames.jsonl", frame_lines(recording, place, fps), folder=True)
        click.echo(f"{out / 'frames.jsonl'}: {fps:g} frames a second, {size} bytes")
    if boxes:
        files = mot(recording, place, fps)
        folder = out / "mot" / f"{recording.scenario}-{recording.seed}"
        _kept(folder / "gt" / "gt.txt", files.gt.encode(), folder=True)
        _kept(folder / "seqinfo.ini", files.seqinfo.encode(), folder=True)
        click.echo(f"{folder}: gt/gt.txt and seqinfo.ini, {fps:g} frames a second")


def _which(name: str, place: Scenario, seed: int | None, file: Path | None) -> Recording:
    """The recording that is asked for."""
    if seed is not None and file is not None:
        raise click.UsageError("say which traffic: --seed N or --from FILE, not both")
    if seed is None and file is None:
        raise click.UsageError("say which traffic: --seed N (gantry simulate list shows them) or --from FILE")
    return recorded(name, seed) if seed is not None else _own(file or Path(), place)


def _shorter(recording: Recording, seconds: float | None) -> Recording:
    """Its beginning."""
    if seconds is None or seconds * 1000 >= recording.duration_ms:
        return recording
    return dataclasses.replace(recording, duration_ms=max(1, round(seconds * 1000)))


def _recorded(place: Scenario, seed: int, minutes: float) -> Recording:
    with _bar(f"{place.name} {seed}", place.traffic.warm_up_s + minutes * 60) as progress:
        return run_sumo(
            place,
            seed,
            duration_s=minutes * 60,
            progress=lambda done_s: progress(done_s + place.traffic.warm_up_s),
        )


def _remake(places: list[Scenario]) -> None:
    require()
    folder = Path(journeys.__file__).parent / "recordings"
    for place in places:
        sizes = []
        for seed in SHIPPED_SEEDS:
            recording = _recorded(place, seed, SHIPPED_MINUTES)
            sizes.append(_kept(folder / f"{place.name}-{seed}.traj", write(recording), folder=True))
        click.echo(f"{place.name}: seeds {journeys.ranges(tuple(SHIPPED_SEEDS))}, {sum(sizes)} bytes")
    total = sum(file.stat().st_size for file in folder.glob("*.traj"))
    click.echo(f"all recordings: {total} bytes")
    if total > SHIPPED_BYTES:
        raise Fatal(
            f"the recordings have {total} bytes, more than the {SHIPPED_BYTES} that gantry ships; crop an area_m"
        )


def _own(file: Path, place: Scenario) -> Recording:
    recording = own(file)
    if recording.scenario != place.name:
        raise Fatal(f"{file} is a recording of {recording.scenario!r}, not of {place.name!r}")
    return recording


def _writable(file: Path, *, force: bool) -> None:
    """Say so before minutes of work, not after them."""
    if not file.parent.is_dir():
        raise Fatal(f"{file}: its folder {file.parent} does not exist")
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise Fatal(f"{file} cannot be written")
    _kept_unless(file, force=force)


def _kept_unless(file: Path, *, force: bool) -> None:
    """Leave a file that is there alone, unless told otherwise. Raises Fatal."""
    if file.exists() and not force:
        raise Fatal(f"{file} is there already; give another --out, or --force to write over it")


def _kept(file: Path, data: bytes | Iterable[bytes], *, folder: bool = False) -> int:
    """Write a file whole or not at all; its size."""
    try:
        if folder:
            file.parent.mkdir(parents=True, exist_ok=True)
        return write_whole(file, data)
    except OSError as exc:
        raise Fatal(f"{file} cannot be written: {exc.strerror or exc}") from exc


@contextmanager
def _bar(what: str, total_s: float) -> Iterator[Callable[[float], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total_s)
        yield lambda done_s: bar.update(task, completed=done_s)
