"""`gantry count`: vehicles in video files and of simulated cameras, without any broker."""

import asyncio
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline.adapters.painter.flow_arrows import flow_arrows
from pipeline.adapters.recordings import showing
from pipeline.adapters.simulated import SimulatedSource
from pipeline.adapters.survey_files import SurveyFiles
from pipeline.adapters.video import Probe, VideoSource, probe
from pipeline.adapters.yolo import Yolo, load_model
from pipeline.config import load_scene
from pipeline.core.model import (
    ID_PATTERN,
    Camera,
    CameraId,
    Crossing,
    Ending,
    Entered,
    HealthChange,
    HealthState,
    Left,
    Movement,
    Overcrowded,
    Scene,
    Unfinished,
    Way,
)
from pipeline.core.scene import ScenePolicy
from pipeline.core.warm_up import warm_up
from pipeline.core.windows import WindowPolicy
from pipeline.errors import Fatal
from pipeline.ports import Model
from pipeline.simulate.address import PAINTED, has_pixels, in_comment, is_simulated, read, told
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import scenario
from pipeline.stages.count import Counted, CountPolicy, Driven
from pipeline.stages.count import Progress as Place
from pipeline.stages.count import count as survey
from workers.cameras import Cameras
from workers.classes import check_classes
from workers.film import check_probe
from workers.process import WallClock
from workers.ranges import Finite
from workers.saying import COMPILING, log_to_stderr
from workers.whole import write_there

YEARS = range(1970, 2200)
"""When a video may have been taken."""


DRIVEN = "driven.png"
"""Which way vehicles drove at each place, over the last picture."""


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
        warm_up(lambda: None if quiet else click.echo(COMPILING, err=True))
        policy = CountPolicy(scene=ScenePolicy(windows=WindowPolicy(window_ms=interval * 1000)))
        try:
            counted, changes = asyncio.run(
                _run(cameras, probes, scene, seeing, policy, out, zone if start else None, rich)
            )
        except asyncio.CancelledError:
            raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    for table in _tables(counted, scene):
        rich.print(table)
    for line in _health(counted, changes, zone if start else None):
        rich.print(line)
    if out is not None:
        also = [name for name in ("zones.csv", "movements.csv", DRIVEN) if (out / name).exists()]
        rich.print(f"{', '.join(['events.jsonl', 'events.csv', *also])} and flow.csv are in {out}")


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
) -> tuple[list[Counted], list[HealthChange]]:
    """The whole survey: its events, in the order they became known, and how well the camera was."""
    running = asyncio.current_task()
    if running is not None:  # so that an interrupted survey ends the decoder and takes its unfinished files away
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    found: dict[str, Counted] = {}
    changes: list[HealthChange] = []
    driven: Driven | None = None
    crossings = 0
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
                    crossings += isinstance(thing.event, Crossing) and thing.event.id not in found
                    found[thing.event.id] = thing
                    if files is not None:
                        files.event(thing.event, thing.file, thing.t_seconds, shows=shows[thing.file])
                elif isinstance(thing, Place):
                    _advance(bar, bars[thing.file], thing, crossings)
                elif isinstance(thing, HealthChange):
                    changes.append(thing)
                elif isinstance(thing, Driven):
                    driven = thing
                elif files is not None:
                    files.flow(thing)
        for task in tasks:  # files often declare more frames than they hold
            bar.update(task, total=bar.tasks[task].completed)
    _draw(driven, out)
    return list(found.values()), changes


def _draw(driven: Driven | None, out: Path | None) -> None:
    """Write the picture of which way vehicles drove, where any did."""
    if out is not None and driven is not None and driven.flow:
        write_there(out / DRIVEN, flow_arrows(driven.picture, driven.size, driven.flow))


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


def _tables(counted: list[Counted], scene: Scene) -> Iterator[Table]:
    """What was counted: over lines, between places, in zones."""
    yield _crossings(counted, scene)
    if scene.movements or scene.movement_places:
        yield _movements(counted, scene)
        if unfinished := [c.event for c in counted if isinstance(c.event, Unfinished)]:
            yield _unfinished(unfinished)
    if scene.zones:
        yield _stays(counted, scene)


def _crossings(counted: list[Counted], scene: Scene) -> Table:
    """Line and direction down, classes across; below a line with lanes, each of them. And the median of known speeds."""
    found = [c.event for c in counted if isinstance(c.event, Crossing) and c.event.valid]
    tally = Counter((e.line, e.direction, e.label) for e in found)
    by_lane = Counter((e.line, e.lane, e.direction, e.label) for e in found)
    measured = scene.calibration is not None
    labels = sorted({label for _, _, label in tally})
    table = Table(title="Crossings", title_justify="left")
    table.add_column("line")
    table.add_column("direction")
    for label in labels:
        table.add_column(label, justify="right")
    table.add_column("all", justify="right", style="bold")
    if measured:
        table.add_column("km/h", justify="right")
    for line in scene.lines:
        for way, nickname in ((Way.TO_RIGHT, line.to_right), (Way.TO_LEFT, line.to_left)):
            row = [tally[line.name, way, label] for label in labels]
            shown = f"{nickname} ({way.value})" if nickname else way.value
            crossed = [e for e in found if (e.line, e.direction) == (line.name, way)]
            fast = [_kmh(crossed)] if measured else []
            table.add_row(line.name, shown, *map(str, row), str(sum(row)), *fast)
            for lane in line.lanes if any(row) else []:
                of_lane = [by_lane[line.name, lane.name, way, label] for label in labels]
                fast = [_kmh([e for e in crossed if e.lane == lane.name])] if measured else []
                table.add_row("", f"  lane {lane.name}", *map(str, of_lane), str(sum(of_lane)), *fast)
    return table


def _kmh(crossed: list[Crossing]) -> str:
    known = [e.speed_kmh for e in crossed if e.speed_kmh is not None]
    return f"{median(known):.0f}" if known else "-"


def _movements(counted: list[Counted], scene: Scene) -> Table:
    """Origins down, destinations across: how many went from here to there. With a mark, what is not legal."""
    found = [c.event for c in counted if isinstance(c.event, Movement)]
    tally = Counter((e.origin, e.destination) for e in found)
    against = {(e.origin, e.destination) for e in found if e.legal is False}
    declared = [(m.origin, m.destination) for m in scene.movements]
    origins = list(dict.fromkeys([*(a for a, _ in declared), *scene.movement_places, *(a for a, _ in tally)]))
    destinations = list(dict.fromkeys([*(b for _, b in declared), *scene.movement_places, *(b for _, b in tally)]))
    table = Table(
        title="Movements" + (" (! not legal)" if against else ""),
        title_justify="left",
    )
    table.add_column("from \\ to", overflow="fold")
    for destination in destinations:
        table.add_column(destination, justify="right", overflow="fold")
    table.add_column("all", justify="right", style="bold")
    for origin in origins:
        row = [tally[origin, destination] for destination in destinations]
        marked = [
            f"{n}{' !' if (origin, destination) in against else ''}"
            for n, destination in zip(row, destinations, strict=True)
        ]
        table.add_row(origin, *marked, str(sum(row)))
    sums = [sum(tally[origin, destination] for origin in origins) for destination in destinations]
    table.add_row("all", *map(str, sums), str(sum(sums)), style="bold")
    return table


def _unfinished(events: list[Unfinished]) -> Table:
    """Who was seen at one end only, and where the others most likely went."""
    table = Table(title="Unfinished movements", title_justify="left")
    for column in ("from", "to", "likeliest"):
        table.add_column(column)
    table.add_column("vehicles", justify="right")
    table.add_column("mean probability", justify="right")
    groups: dict[tuple[str, str, str], list[float]] = {}
    for e in events:
        key = (e.origin or "?", e.destination or "?", e.likeliest or "not known")
        groups.setdefault(key, []).append(e.probability or 0.0)
    for (origin, destination, likeliest), sure in sorted(groups.items()):
        mean = f"{sum(sure) / len(sure):.0%}" if any(sure) else ""
        table.add_row(origin, destination, likeliest, str(len(sure)), mean)
    return table


def _stays(counted: list[Counted], scene: Scene) -> Table:
    """Who came into each zone and how long those stayed that were seen to leave."""
    table = Table(title="Zones", title_justify="left")
    for column in ("zone", "entered", "left", "lost inside", "mean dwell, s", "longest, s", "overcrowded"):
        table.add_column(column, justify="left" if column == "zone" else "right", overflow="fold")
    for zone in scene.zones:
        of = [c.event for c in counted if getattr(c.event, "zone", None) == zone.name]
        left = [e for e in of if isinstance(e, Left)]
        dwells = [e.dwell_ms / 1000 for e in left if e.ended is Ending.CROSSED]
        crowds = {e.id for e in of if isinstance(e, Overcrowded)}
        table.add_row(
            zone.name,
            str(sum(isinstance(e, Entered) for e in of)),
            str(len(dwells)),
            str(sum(e.ended is Ending.LOST for e in left)),
            f"{sum(dwells) / len(dwells):.1f}" if dwells else "",
            f"{max(dwells):.1f}" if dwells else "",
            "" if zone.overcrowded is None else str(len(crowds)),
        )
    return table


def _health(counted: list[Counted], changes: list[HealthChange], zone: ZoneInfo | None) -> list[str]:
    """What must be known of the camera beside the table: when its picture could not be trusted, and why."""
    said = []
    for change in changes:
        if change.after not in {None, HealthState.OK}:
            said.append(
                f"from {_clock(change.since_ms, zone)} the camera is {change.after}: what crosses is not counted"
            )
        elif change.before not in {None, HealthState.OK}:
            said.append(f"from {_clock(change.since_ms, zone)} it is ok again")
    if left_out := sum(isinstance(c.event, Crossing) and not c.event.valid for c in counted):
        said.append(f"{left_out} crossings are not in the table, for the camera was not well")
    return said


def _clock(ms: int, zone: ZoneInfo | None) -> str:
    """A capture time; where nobody said when the survey began, the time since its first picture."""
    at = datetime.fromtimestamp(ms / 1000, zone or UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}" if zone else f"{at:%H:%M:%S}"


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
