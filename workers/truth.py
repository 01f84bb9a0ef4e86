"""`gantry truth`: count by eye, to know how well a camera is counted."""

import asyncio
import signal
from contextlib import aclosing
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.adapters.truth_page import TruthFolder
from pipeline.adapters.video import Probe, probe
from pipeline.config import load_scene
from pipeline.core.model import Scene, Size
from pipeline.errors import Fatal
from pipeline.stages.count import check_shape
from workers.film import check_probe, film
from workers.ranges import Finite
from workers.saying import log_to_stderr

QUALITY = 80


@click.group()
def truth() -> None:
    """Count by eye, to know how well a camera is counted."""


@truth.command()
@click.argument("video")
@click.option("--scene", "scene_file", required=True, type=click.Path(path_type=Path), help="YAML with lines.")
@click.option("--camera", help="Whose scene, where the file holds several.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A new folder for the page.  [default: VIDEO's name-truth]"
)
@click.option(
    "--pictures",
    type=Finite("pictures a second", 0.5, 60),
    default=5.0,
    show_default=True,
    help="How many pictures of each second are kept to look at.",
)
@click.option(
    "--width",
    type=click.IntRange(min=64, max=3840),
    default=640,
    show_default=True,
    help="Of the pictures, in pixels; a smaller film is never blown up.",
)
@click.option("--quiet", is_flag=True, help="No progress bar and no last words.")
def new(
    video: str, scene_file: Path, camera: str | None, out: Path | None, pictures: float, width: int, quiet: bool
) -> None:
    """Make a page to mark on who passes the lines of a scene in VIDEO.

    The page opens in any browser and needs no network. It saves one JSON file a line.
    """
    log_to_stderr()
    if "://" in video:
        raise Fatal(f"{video.partition('://')[0]}://...: gantry truth reads files; record the camera first")
    scene = load_scene(scene_file, camera)
    if not scene.lines:
        raise Fatal(f"{scene_file}: the scene has no lines; passages are marked on lines, so draw one under `lines:`")
    folder = out or Path(f"{Path(video).stem}-truth")
    console = Console(quiet=quiet)
    try:
        asyncio.run(_make(video, scene, folder, pictures, width, console))
    except asyncio.CancelledError:
        raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    console.print(f"open {folder / 'index.html'} in a browser to mark passages", soft_wrap=True, highlight=False)


async def _make(video: str, scene: Scene, out: Path, pictures: float, width: int, console: Console) -> None:
    running = asyncio.current_task()
    if running is not None:  # so that an interrupted reading ends the decoder and takes the unfinished folder away
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    seen = await probe(video)
    check_probe(scene, seen, video)
    with TruthFolder(out, Path(video), scene.lines, pictures) as folder:
        await _read(video, scene, folder, seen, width, console)
        folder.finish(seen.fps)


async def _read(video: str, scene: Scene, folder: TruthFolder, seen: Probe, width: int, console: Console) -> None:
    """Hand every frame of the film to the folder."""
    checked: Size | None = None
    with _bar(console) as bar:
        task = bar.add_task(Path(video).name, total=seen.declared_frames)
        async with aclosing(film(video, width=width, quality=QUALITY)) as shots:
            async for shot in shots:
                if shot.source_size != checked:
                    check_shape(scene, shot.source_size, video)
                    checked = shot.source_size
                await asyncio.to_thread(folder.add, shot.jpeg, shot.t_ms, shot.size, shot.source_size)
                bar.advance(task)
        bar.update(task, total=bar.tasks[task].completed)  # files often declare more frames than they hold


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeRemainingColumn(),
        console=console,
    )
