"""`gantry count`: vehicles in video files and of simulated cameras, without any broker."""

import asyncio
import re
import signal
from collections import Counter
from contextlib import ExitStack, aclosing, closing
from datetime import datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.adapters.recordings import showing
from pipeline.adapters.simulated import SimulatedSource
from pipeline.adapters.survey_files import SurveyFiles
from pipeline.adapters.video import Probe, VideoSource, probe
from pipeline.adapters.yolo import Yolo, load_model
from pipeline.config import load_scene
from pipeline.core.model import ID_PATTERN, Camera, CameraId, Crossing, Scene, Way
from pipeline.core.scene import ScenePolicy
from pipeline.core.windows import WindowPolicy
from pipeline.errors import Fatal
from pipeline.ports import Model
from pipeline.simulate.address import PAINTED, has_pixels, in_comment, is_simulated, read, told
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import scenario
from pipeline.stages.count import Counted, CountPolicy
from pipeline.stages.count import Progress as Place
from pipeline.stages.count import count as survey
from workers.cameras import Cameras
from workers.classes import check_classes
from workers.film import check_probe
from workers.process import WallClock
from workers.ranges import Finite
from workers.saying import log_to_stderr

YEARS = range(1970, 2200)
"""When a video may have been taken."""


class Seconds(click.ParamType):
    """A length of time: 30, 30s, 15m or 1h."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The length in whole seconds."""
        if isinstance(value, int):
            return value
        number, unit = (value[:-1], value[-1]) if value[-1:] in "smh" else (value, "s")
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            self.fail(f"{value!r} is no length of time; write 30s, 15m or 1h", param, ctx)
        return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


@click.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option(
    "--scene",
    "scene_file",
    type=click.Path(path_type=Path),
    help="YAML with lines and zones; needed for videos.  [default: the scenario's own]",
)
@click.option(
    "--model",
    help="An OpenVINO folder, Ultralytics weights (.pt), or a name in the models folder; needed for videos.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write events.jsonl, events.csv and flow.csv there.")
@click.option(
    "--fps",
    type=Finite("pictures a second", 0, 240, low_open=True),
    help="Analyse so many pictures a second.  [default: all]",
)
@click.option("--start", help="When the first picture was taken, like 2026-05-01T08:00:00.")
@click.option("--time-zone", default="UTC", show_default=True, help="Of --start, like Europe/Amsterdam.")
@click.option("--camera", help="Name of the camera in the output.  [default: the first file's name]")
@click.option("--interval", type=Seconds(), default="30s", show_default=True, help="Length of the windows in flow.csv.")
@click.option("--backend", type=click.Choice(["auto", "openvino", "torch"]), default="auto", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32"]),
    default="auto",
    show_default=True,
    help="f32: the same boxes on every machine.",
)
@click.option("--quiet", is_flag=True, help="No progress bar and no table.")
def count(
    videos: tuple[str, ...],
    scene_file: Path | None,
    model: str | None,
    out: Path | None,
    fps: float | None,
    start: str | None,
    time_zone: str,
    camera: str | None,
    interval: int,
    backend: str,
    precision: str,
    quiet: bool,
) -> None:
    """Count vehicles in VIDEO files, or of simulated cameras (sim://SCENARIO?seed=7&fps=10; sim+detections://...).

    Several files are one survey: parts of one recording, in order. Without --start, capture times count from
    the first picture.
    """
    log_to_stderr()
    _no_streams(videos)
    pixels = [video for video in videos if has_pixels(video)]
    videos = tuple(map(_told, videos))
    if pixels and model is None:
        raise Fatal(f"{pixels[0]}: pictures need --model: an OpenVINO folder, weights, or the name of a model")
    scene = _scene(scene_file, camera, videos)
    zone = _zone(time_zone)
    cameras = _cameras(videos, camera, fps, _start(start, zone), time_zone)
    rich = Console(quiet=quiet)
    probes = asyncio.run(_probed(cameras, scene))  # before the model, which may take a minute to be made
    with ExitStack() as stack:
        seeing: Yolo | None = None
        if pixels and model is not None:
            chosen = None if precision == "auto" else precision
            seeing = stack.enter_context(closing(load_model(Path(model), backend=backend, precision=chosen)))
            check_classes({"": scene}, seeing.labels, seeing.name)
        policy = CountPolicy(scene=ScenePolicy(windows=WindowPolicy(window_ms=interval * 1000)))
        try:
            counted = asyncio.run(_run(cameras, probes, scene, seeing, policy, out, zone if start else None, rich))
        except asyncio.CancelledError:
            raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    rich.print(_table(counted, scene))
    if out is not None:
        rich.print(f"events.jsonl, events.csv and flow.csv are in {out}")


async def _probed(cameras: list[Camera], scene: Scene) -> list[Probe]:
    """What the files say of themselves. Raises Fatal, so that the last file's fault does not show after hours."""
    probes = []
    for camera in cameras:
        seen = _simulation(camera.source) if is_simulated(camera.source) else await probe(camera.source)
        check_probe(scene, seen, camera.source)
        probes.append(seen)
    return probes


def _no_streams(videos: tuple[str, ...]) -> None:
    """Refuse what is neither a file nor a simulated camera; the message holds nothing but the scheme. Raises Fatal."""
    for video in videos:
        scheme, separator, _ = video.partition("://")
        if not separator or is_simulated(video):
            continue
        if scheme.lower().startswith("sim"):
            raise Fatal(f"{scheme}://...: did you mean {PAINTED}://...? gantry simulate list says what may follow")
        raise Fatal(f"{scheme}://...: gantry count reads files; a live camera needs gantry up")


def _told(video: str) -> str:
    """The video's name in the output: a simulated camera of somebody's own recording says which traffic that is.

    Whoever compares the output with a truth must know; the file may have become another one by then. Raises Fatal.
    """
    own = is_simulated(video) and read(video).recording is not None
    return told(video, showing(video).recording.seed) if own else video


def _simulation(source: str) -> Probe:
    """What a simulated camera will show. Raises Fatal."""
    show = showing(source)
    fps, seconds = show.address.fps, show.recording.duration_ms / 1000
    return Probe(size=show.place.size, fps=fps, declared_frames=round(seconds * fps), duration_s=seconds)


def _scene(file: Path | None, camera: str | None, videos: tuple[str, ...]) -> Scene:
    """What to count: the file's scene, or the one that a simulated place brings with it. Raises Fatal."""
    if file is not None:
        return load_scene(file, camera)
    if films := [video for video in videos if not is_simulated(video)]:
        raise Fatal(f"{films[0]}: a video needs --scene: a YAML file with its lines and zones")
    places = sorted({read(video).scenario for video in videos})
    if len(places) > 1:
        raise Fatal(f"{' and '.join(places)} are not one place: count them one by one, or give a --scene for all")
    return scene_of(scenario(places[0]))


async def _run(
    cameras: list[Camera],
    probes: list[Probe],
    scene: Scene,
    model: Model | None,
    policy: CountPolicy,
    out: Path | None,
    zone: ZoneInfo | None,
    console: Console,
) -> list[Counted]:
    """The whole survey; the crossings, in the order they became known."""
    running = asyncio.current_task()
    if running is not None:  # so that an interrupted survey ends the decoder and takes its unfinished files away
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    found: list[Counted] = []
    source = Cameras(filmed=VideoSource(resolve=str), simulated=SimulatedSource(WallClock()))
    with ExitStack() as stack:
        bar = stack.enter_context(_bar(console))
        tasks = [_task(bar, c, p, sole=len(cameras) == 1) for c, p in zip(cameras, probes, strict=True)]
        bars = dict(zip([c.source for c in cameras], tasks, strict=True))
        files = stack.enter_context(SurveyFiles(out, zone)) if out is not None else None
        shows = {camera.source: in_comment(seen.comment) for camera, seen in zip(cameras, probes, strict=True)}
        async with aclosing(survey(cameras, scene, source=source, model=model, policy=policy)) as said:
            async for thing in said:
                if isinstance(thing, Counted):
                    found.append(thing)
                    if files is not None:
                        files.event(thing.event, thing.file, thing.t_seconds, shows=shows[thing.file])
                elif isinstance(thing, Place):
                    _advance(bar, bars[thing.file], thing, sum(isinstance(c.event, Crossing) for c in found))
                elif files is not None:
                    files.flow(thing)
        for task in tasks:  # files often declare more frames than they hold
            bar.update(task, total=bar.tasks[task].completed)
    return found


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames  {task.fields[crossings]} crossings"),
        TimeRemainingColumn(),
        console=console,
    )


def _task(bar: Progress, camera: Camera, seen: Probe, *, sole: bool) -> TaskID:
    total = seen.declared_frames
    if total and camera.fps and seen.fps and camera.fps < seen.fps:
        total = round(total * camera.fps / seen.fps)
    return bar.add_task(Path(camera.source).name, total=total, start=sole, crossings=0)


def _advance(bar: Progress, task: TaskID, place: Place, crossings: int) -> None:
    bar.start_task(task)
    bar.update(task, completed=place.frames, crossings=crossings)


def _table(counted: list[Counted], scene: Scene) -> Table:
    """Line and direction down, classes across; and the median of the speeds that are known."""
    crossed = [c.event for c in counted if isinstance(c.event, Crossing)]
    tally = Counter((c.line, c.direction, c.label) for c in crossed)
    fast: dict[tuple[str, Way], list[float]] = {}
    for c in crossed:
        if c.speed_kmh is not None:
            fast.setdefault((c.line, c.direction), []).append(c.speed_kmh)
    labels = sorted({label for _, _, label in tally})
    table = Table(title="Crossings", title_justify="left")
    table.add_column("line")
    table.add_column("direction")
    for label in labels:
        table.add_column(label, justify="right")
    table.add_column("all", justify="right", style="bold")
    if scene.calibration is not None:
        table.add_column("km/h", justify="right")
    for line in scene.lines:
        for way, nickname in ((Way.TO_RIGHT, line.to_right), (Way.TO_LEFT, line.to_left)):
            row = [tally[line.name, way, label] for label in labels]
            shown = f"{nickname} ({way.value})" if nickname else way.value
            cells = [line.name, shown, *map(str, row), str(sum(row))]
            if scene.calibration is not None:
                known = fast.get((line.name, way))
                cells.append(f"{median(known):.0f}" if known else "-")
            table.add_row(*cells)
    return table


def _cameras(
    videos: tuple[str, ...], camera: str | None, fps: float | None, start: str, time_zone: str
) -> list[Camera]:
    name = camera or (read(videos[0]).scenario if is_simulated(videos[0]) else _safe(Path(videos[0]).stem))

    if not re.fullmatch(ID_PATTERN, name):
        raise Fatal(f"--camera {name!r}: letters, digits, '.', '_' and '-' only, 63 at most")
    return [
        Camera(
            id=CameraId(name), source=video, shard=0, capture_shard=0, revision=0, fps=fps, pace="fast", start=start,
            time_zone=time_zone,
        )
        for video in videos
    ]  # fmt: skip


def _safe(stem: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem).strip("._-")
    return kept[:63] or "camera"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise Fatal(f"--time-zone {name!r} is no known time zone; write one like Europe/Amsterdam") from exc


def _start(text: str | None, zone: ZoneInfo) -> str:
    if text is None:
        return "1970-01-01T00:00:00+00:00"
    try:
        when = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Fatal(f"--start {text!r} is no time; write one like 2026-05-01T08:00:00") from exc
    if when.year not in YEARS:
        raise Fatal(f"--start {text!r} lies too far away; the year is from {YEARS[0]} to {YEARS[-1]}")
    return (when if when.tzinfo else when.replace(tzinfo=zone)).isoformat()
