"""`gantry cameras|scenes|groups|topics`: what is registered, and how it gets there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.adapters.kafka import Kafka
from pipeline.adapters.secrets import redact
from pipeline.config import Installation, KafkaSettings, Mistakes, Settings, load, load_scene
from pipeline.config.environment import override
from pipeline.core.model import CameraId, Placement, Scene
from pipeline.core.registry import Change, Registry, Widths, plan_cameras, plan_groups, plan_removal, plan_scenes
from pipeline.errors import Fatal, Retry
from pipeline.stages.registry import apply, check_widths, read_registry
from workers.connection import connect

T = TypeVar("T")

WIDE = 200  # columns where no terminal says how wide it is: a file, a pipe
UNKNOWN = "-"
RIGHT = {"fps", "frames", "shard", "capture shard", "revision"}

_FILE = click.argument("file", type=click.Path(path_type=Path))


def _kafka_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Every command here takes the same options; the command gets `where`."""

    @click.option("--kafka", metavar="SERVERS", help="host:port of some brokers, with commas between them.")
    @click.option(
        "--config", type=click.Path(path_type=Path), help="An installation file (YAML) that says where Kafka is."
    )
    @click.option("--prefix", help="Put before every topic; 'traffic.' by default.")
    @click.option("--wait", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS", help="How long to wait for Kafka.")  # fmt: skip
    @wraps(command)
    def with_options(kafka: str | None, config: Path | None, prefix: str | None, wait: float, **rest: Any) -> Any:
        return command(where=Where(kafka=kafka, config=config, prefix=prefix, wait=wait), **rest)

    return with_options


class Where:
    """Which Kafka a command means: the options win over the environment, and that over the file."""

    def __init__(self, *, kafka: str | None, config: Path | None, prefix: str | None, wait: float = 30.0) -> None:
        self.kafka, self.config, self.prefix, self.wait = kafka, config, prefix, wait

    def settings(self, otherwise: Installation | None = None) -> KafkaSettings:
        """Kafka's settings; `otherwise` is a file that was read already. Raises Mistakes."""
        installation = load(self.config) if self.config is not None or otherwise is None else otherwise
        return overridden(installation.settings.kafka, self.kafka, self.prefix)

    def run(self, work: Callable[[Kafka], Awaitable[T]], otherwise: Installation | None = None) -> T:
        """Connect, work, and say what went wrong in one line. Raises ClickException."""
        return asyncio.run(self._run(work, self.settings(otherwise)))

    async def _run(self, work: Callable[[Kafka], Awaitable[T]], settings: KafkaSettings) -> T:
        kafka = connect(settings, "gantry-apply")
        try:
            async with asyncio.timeout(self.wait):
                await kafka.wait_until_reachable(lambda text: click.echo(redact(text), err=True), None)
        except TimeoutError as exc:
            raise Fatal(
                f"no Kafka at {', '.join(settings.servers)} after {self.wait:g} s: start it, or name another with --kafka"
            ) from exc
        try:
            return await work(kafka)
        except Retry as exc:
            raise Fatal(f"{exc}; run the command again") from exc


def overridden(settings: KafkaSettings, servers: str | None, prefix: str | None) -> KafkaSettings:
    """Kafka's settings with what the command line says. Raises Fatal."""
    given = {"GANTRY_KAFKA_SERVERS": servers, "GANTRY_KAFKA_PREFIX": prefix}
    options = {name: text for name, text in given.items() if text is not None}
    said, mistakes = override(Settings(kafka=settings), options)
    if mistakes:
        option = {"GANTRY_KAFKA_SERVERS": "--kafka", "GANTRY_KAFKA_PREFIX": "--prefix"}
        raise Fatal("; ".join(f"{option[m.path.partition('[')[0]]}: {m.text}" for m in mistakes))
    return said.kafka


# --- cameras ------------------------------------------------------------------------------------


@click.group()
def cameras() -> None:
    """Register cameras: apply, list, remove."""


@cameras.command("apply")
@_FILE
@_kafka_options
def apply_cameras(where: Where, file: Path) -> None:
    """Add and change the cameras of FILE; others stay as they are."""
    installation = load(file)
    changes = where.run(lambda kafka: write_cameras(kafka, installation), installation)
    _say_changes(changes, "camera", len(installation.cameras))
    rest = {"scenes": installation.scenes, "groups": installation.groups}
    for name in (name for name, things in rest.items() if things):
        click.echo(f"{file} holds {name} too: gantry {name} apply {file}")


@cameras.command("list")
@_kafka_options
def list_cameras(where: Where) -> None:
    """Show the registered cameras."""
    registry = where.run(read)
    rows = []
    for id_, camera in sorted(registry.cameras.items()):
        placement, scene = registry.placements.get(id_), registry.scenes.get(id_)
        rows.append(
            (
                id_,
                redact(camera.source),
                f"{camera.fps:g}" if camera.fps is not None else "all",
                camera.time_zone,
                placement.partition if placement else UNKNOWN,
                camera.shard,
                camera.capture_shard,
                camera.revision,
                f"{len(scene.lines)} lines, {len(scene.zones)} zones" if scene else UNKNOWN,
            )
        )
    columns = ("camera", "source", "fps", "time zone", "frames", "shard", "capture shard", "revision", "scene")
    _show(columns, rows, "no cameras are registered: gantry cameras apply FILE")


@cameras.command("remove")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@_kafka_options
def remove_cameras(where: Where, ids: tuple[str, ...]) -> None:
    """Remove cameras with their scenes and placements, and take them out of their groups."""
    wanted = [CameraId(id_) for id_ in ids]
    changes = where.run(lambda kafka: write(kafka, lambda registry: plan_removal(wanted, registry)))
    for change in changes:
        thing = {"cameras": "camera", "scenes": "scene of", "placement": "placement of", "groups": "group"}[
            change.topic
        ]
        click.echo(f"{thing} {change.key}: {change.verb}")


# --- scenes -------------------------------------------------------------------------------------


@click.group()
def scenes() -> None:
    """Register lines and zones of cameras: apply, list."""


@scenes.command("apply")
@_FILE
@click.option("--camera", metavar="ID", help="Only this camera's scene; needed where FILE is a single scene.")
@_kafka_options
def apply_scenes(where: Where, file: Path, camera: str | None) -> None:
    """Add and change the scenes of FILE; others stay as they are."""
    if camera is not None:
        scene = load_scene(file, camera)
        count = 1
        changes = where.run(lambda kafka: write_scene(kafka, CameraId(camera), scene))
    else:
        installation = load(file)
        count = len(installation.scenes)
        changes = where.run(lambda kafka: write_scenes(kafka, installation), installation)
    _say_changes(changes, "scene", count)


@scenes.command("list")
@_kafka_options
def list_scenes(where: Where) -> None:
    """Show the registered scenes."""
    registry = where.run(read)
    rows = [
        (
            camera,
            scene.drawn_on,
            ", ".join(line.name for line in scene.lines) or UNKNOWN,
            ", ".join(zone.name for zone in scene.zones) or UNKNOWN,
            scene.revision,
        )
        for camera, scene in sorted(registry.scenes.items())
    ]
    columns = ("camera", "drawn on", "lines", "zones", "revision")
    _show(columns, rows, "no scenes are registered: gantry scenes apply FILE")


# --- groups -------------------------------------------------------------------------------------


@click.group()
def groups() -> None:
    """Register groups of cameras: apply, list."""


@groups.command("apply")
@_FILE
@_kafka_options
def apply_groups(where: Where, file: Path) -> None:
    """Add and change the groups of FILE; others stay as they are."""
    installation = load(file)
    changes = where.run(lambda kafka: write_groups(kafka, installation), installation)
    _say_changes(changes, "group", len(installation.groups))


@groups.command("list")
@_kafka_options
def list_groups(where: Where) -> None:
    """Show the registered groups."""
    registry = where.run(read)
    rows = [
        (id_, group.kind, group.name or UNKNOWN, ", ".join(group.members), group.revision)
        for id_, group in sorted(registry.groups.items())
    ]
    columns = ("group", "kind", "name", "cameras", "revision")
    _show(columns, rows, "no groups are registered: gantry groups apply FILE")


# --- topics -------------------------------------------------------------------------------------


@click.group()
def topics() -> None:
    """Create the topics, or check them: apply."""


@topics.command("apply")
@click.option("--check", is_flag=True, help="Create nothing; only say what differs.")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@_kafka_options
@click.pass_context
def apply_topics(ctx: click.Context, where: Where, file: Path | None, check: bool) -> None:
    """Create the topics that are missing and say what differs from what they should be.

    FILE, an installation file, says how wide they are. Exits 1 where something differs.
    """
    made, differences = where.run(lambda kafka: write_topics(kafka, check=check), load(file) if file else None)
    for line in made:
        click.echo(line)
    for line in differences:
        click.echo(line)
    if differences:
        ctx.exit(1)
    click.echo("all topics are as they should be")


# --- the work, for `gantry up` too --------------------------------------------------------------


async def read(kafka: Kafka) -> Registry:
    """What is registered now."""
    async with kafka.logs() as logs:
        return await read_registry(logs)


async def write(kafka: Kafka, plan: Callable[[Registry], list[Change]]) -> list[Change]:
    """Plan on what is registered now, write, and return what changed."""
    async with kafka.logs() as logs, kafka.writer() as writer:
        return await apply(plan, logs, writer)


async def write_cameras(kafka: Kafka, installation: Installation) -> list[Change]:
    """Register the file's cameras."""
    sizes = kafka.topics.sizes
    widths = Widths(frames=sizes.frames, shards=sizes.shards, capture_shards=sizes.capture_shards)
    async with kafka.logs() as logs:
        await check_widths(logs, widths)
    return await write(kafka, lambda registry: plan_cameras(installation.cameras, registry, widths))


async def write_groups(kafka: Kafka, installation: Installation) -> list[Change]:
    """Register the file's groups. Raises Mistakes where one names a camera that is nowhere."""

    def plan(registry: Registry) -> list[Change]:
        _refuse_strangers(installation, registry, "groups")
        return plan_groups(installation.groups, registry)

    return await write(kafka, plan)


async def write_scenes(kafka: Kafka, installation: Installation) -> list[Change]:
    """Register the file's scenes. Raises Mistakes where one is of a camera that is nowhere."""

    def plan(registry: Registry) -> list[Change]:
        _refuse_strangers(installation, registry, "scenes")
        return plan_scenes(installation.scenes, registry)

    return await write(kafka, plan)


async def write_scene(kafka: Kafka, camera: CameraId, scene: Scene) -> list[Change]:
    """Register one camera's scene."""

    def plan(registry: Registry) -> list[Change]:
        if camera not in registry.cameras:
            raise Fatal(f"there is no camera {camera}; registered are: {', '.join(sorted(registry.cameras)) or 'none'}")
        return plan_scenes({camera: scene}, registry)

    return await write(kafka, plan)


async def write_topics(kafka: Kafka, *, check: bool = False) -> tuple[list[str], list[str]]:
    """What was made, and what still differs; one plain sentence each."""
    made = [] if check else await kafka.topics_create()
    return made, await kafka.topics_differ()


def _refuse_strangers(installation: Installation, registry: Registry, section: str) -> None:
    if strangers := [m for m in installation.strangers(registry.cameras) if m.path.startswith(f"{section}.")]:
        raise Mistakes(strangers)


# --- what people read ---------------------------------------------------------------------------


def _say_changes(changes: Sequence[Change], thing: str, wanted: int) -> None:
    named = {"camera": "cameras", "scene": "scenes", "group": "groups"}[thing]
    ours = [change for change in changes if change.topic == named]
    for change in ours:
        revision = change.value.revision if change.value is not None else None
        placed = next((c.value for c in changes if c.topic == "placement" and c.key == change.key), None)
        place = f", frames partition {placed.partition}" if isinstance(placed, Placement) else ""
        click.echo(f"{thing} {change.key}: {change.verb}, revision {revision}{place}")
    unchanged = wanted - len(ours)
    if not wanted:
        click.echo(f"the file holds no {named}")
    elif unchanged:
        click.echo(f"{unchanged} {thing if unchanged == 1 else named} unchanged")


def _show(columns: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    if not rows:
        click.echo(nothing)
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in RIGHT else "left")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
