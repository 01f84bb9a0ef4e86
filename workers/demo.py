"""`gantry demo`: everything, live, on this machine, with nothing but the package."""

import asyncio
import errno
import shutil
import socket
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from pipeline.adapters.embedded_broker import EmbeddedBroker
from pipeline.adapters.kafka import Kafka
from pipeline.adapters.serve_client import true_counts
from pipeline.adapters.yolo import folder
from pipeline.config import Installation, installation_yaml, load, load_scene
from pipeline.errors import Fatal, GantryError
from pipeline.ports import TrueCount
from pipeline.simulate.address import is_simulated, read
from pipeline.simulate.journeys import recorded
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import scenario
from pipeline.simulate.truth import encode_truth, truth
from pipeline.wire.topics import Topics
from workers.classes import check_model
from workers.connection import connect
from workers.ranges import Finite
from workers.supervisor import Supervisor
from workers.up import INTERRUPTED, programs, run_all, say_line

MODEL = "gantry-s"
PLACES = ("junction", "motorway")
FPS = 10
API, PAGE, METRICS = 8080, 8081, 9101
"""Ports that are taken where they are free."""

_METRICS_PORTS = 6
_TRIES = 200
_BEHIND_S = 10.0  # 3 s are the rule, see the truth's own wait
_ASK_S = 5.0


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything listens."""

    api: int
    page: int
    metrics: int  # the first of several


@click.command(context_settings={"show_default": True})
@click.option("--source", help="A video file, an rtsp:// or a sim:// address, instead of the two simulated places.")
@click.option("--scene", type=click.Path(path_type=Path), help="What to count of --source: lines and zones.")
@click.option("--model", default=MODEL, help="A model's name or folder, or weights.")
@click.option("--fps", type=Finite("pictures a second", 1, 60), default=FPS, help="Of the simulated cameras.")
@click.option(
    "--seconds", type=Finite("seconds", 0, 7 * 24 * 3600, low_open=True), help="Ends by itself.  [default: Ctrl-C]"
)
@click.option("--browser/--no-browser", default=True, help="Open the page.")
@click.option("--log", "talkative", is_flag=True, help="Show what every process says.")
@click.pass_context
def demo(
    ctx: click.Context,
    source: str | None,
    scene: Path | None,
    model: str,
    fps: float,
    seconds: float | None,
    browser: bool,
    talkative: bool,
) -> None:
    """Watch vehicles being counted, live, beside the true number, with nothing but the package.

    Two simulated places are painted, looked at by gantry's own model, followed, counted, and shown on a page; all
    processes run for real, on a broker in memory. Ctrl-C ends it and leaves nothing behind.
    """
    if scene is not None and source is None:
        raise Fatal(f"--scene {scene}: says what to count of --source, which is missing")
    model = str(folder.locate(Path(model)))
    cameras = _own(source, scene) if source is not None else _places(fps)
    ports = _ports(lambda text: click.echo(text, err=True))
    with _scratch() as scratch:
        topics = Topics()
        with EmbeddedBroker({topics.name(spec.name): spec.partitions for spec in topics.specs.values()}) as broker:
            file = _installation(scratch, cameras, ports, broker.servers, model)
            installation = load(file)
            check_model(installation)
            code = asyncio.run(_run(file, installation, ports, seconds=seconds, browser=browser, talkative=talkative))
    ctx.exit(0 if code == INTERRUPTED else code)


async def _run(
    file: Path, installation: Installation, ports: Ports, *, seconds: float | None, browser: bool, talkative: bool
) -> int:
    """Run the house; the exit code."""
    page = f"http://127.0.0.1:{ports.page}"

    def said(line: str) -> None:
        name, _, text = line.partition(" | ")
        if talkative or name.strip() == "gantry" or " WARNING " in text or " ERROR " in text:
            say_line(line)

    supervisor = Supervisor(programs(file, installation.settings, None), said)

    def ready() -> None:
        supervisor.say("gantry", f"watch it at {page}; Ctrl-C ends it")
        if browser:
            webbrowser.open(page)

    async def ending() -> None:
        if installation.settings.serve.truth:
            _tell(await _counts(ports.api), time.time() * 1000)

    return await run_all(
        supervisor,
        installation,
        connect(installation.settings.kafka, "gantry-demo"),
        topics=_topics,
        ready=ready,
        ending=ending,
        seconds=seconds,
    )


async def _topics(kafka: Kafka, _say: Callable[[str], None]) -> None:
    """The embedded broker made the topics; what it cannot be asked is not asked."""
    await kafka.topics_create()


async def _counts(port: int) -> list[TrueCount]:
    """True and counted until now; nothing where serve does not answer any more."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(true_counts, f"http://127.0.0.1:{port}"), _ASK_S)
    except (GantryError, TimeoutError):
        return []


def _tell(counts: list[TrueCount], ended_ms: float) -> None:
    """How far the counts are from the truth, and what of the time they speak of."""
    if not counts:
        click.echo("serve told no counts: it was stopped before anything was known")
        return
    table = Table(title="True and counted", title_justify="left")
    behind = []
    for head in ("camera", "line", "direction", "true", "counted", "off"):
        table.add_column(head, justify="left" if head in {"camera", "line", "direction"} else "right")
    for camera in dict.fromkeys(count.camera for count in counts):
        of = [count for count in counts if count.camera == camera]
        for count in of:
            table.add_row(camera, count.line, count.direction.value, *_figures(count.true, count.counted))
        table.add_row(camera, "all", "", *_figures(sum(c.true for c in of), sum(c.counted for c in of)), style="bold")
        table.add_section()
        behind_s = (ended_ms - max(count.until_ms for count in of)) / 1000
        if behind_s > _BEHIND_S:
            behind.append(
                f"{camera}: both speak of what was filmed up to {behind_s:.0f} s before the end; this machine looks more "
                "slowly than time passes (a lower --fps helps)"
            )
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    for line in behind:
        click.echo(line)


def _figures(true: int, counted: int) -> tuple[str, str, str]:
    share = f" ({100 * (counted - true) / true:+.1f} %)" if true else ""
    return str(true), str(counted), f"{counted - true:+d}{share}"


def _places(fps: float) -> dict[str, dict[str, Any]]:
    """The simulated cameras: their sources, by the names of their places."""
    return {name: {"source": f"sim://{name}?seed=1&fps={fps:g}", "loop": True} for name in PLACES}


def _own(source: str, scene: Path | None) -> dict[str, dict[str, Any]]:
    """A camera of the user's own. Raises Fatal: there is no such file, or nobody says what to count."""
    if is_simulated(source):
        return {read(source).scenario: {"source": source, "loop": True}}
    if "://" not in source:
        file = Path(source).absolute()
        if not file.is_file():
            raise Fatal(f"--source {source}: there is no such file: check the path (as seen from {Path.cwd()})")
        source = str(file)
    if scene is None:
        raise Fatal(f"--source {source}: needs --scene: a YAML file with the lines and zones to count")
    return {"camera": {"source": source, "loop": "://" not in source, "scene": load_scene(scene, None)}}


def _installation(
    scratch: Path, cameras: dict[str, dict[str, Any]], ports: Ports, servers: list[str], model: str
) -> Path:
    """The file that the processes read, with truth beside it."""
    entries, scenes, truths = {}, {}, {}
    for name, told in cameras.items():
        entries[name] = {key: value for key, value in told.items() if key != "scene"}
        if "scene" in told:
            scenes[name] = told["scene"]
            continue
        address = read(told["source"])
        place = scenario(address.scenario)
        scenes[name] = scene_of(place)
        if address.recording is None:
            truths[name] = str(scratch / f"{name}.json")
            Path(truths[name]).write_bytes(encode_truth(truth(recorded(place.name, address.seed), place)))
    file = scratch / "gantry.yaml"
    file.write_text(
        installation_yaml(
            {
                "kafka": {"servers": servers},
                "detect": {"model": model},
                "serve": {"port": ports.api, "database": str(scratch / "history.db"), "truth": truths},
                "dashboard": {"port": ports.page},
                "metrics": {"port": ports.metrics},
                "cameras": entries,
            },
            scenes,
        )
    )
    return file


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of this demo's own, gone with it. Raises Fatal: it cannot be made."""
    try:
        made = Path(tempfile.mkdtemp(prefix="gantry-demo-"))
    except OSError as exc:
        raise Fatal(
            f"a folder for the demo cannot be made in {tempfile.gettempdir() if exc.errno != errno.ENOENT else 'any place'}"
            f" ({exc.strerror}): name one that can be written with TMPDIR"
        ) from exc
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _ports(say: Callable[[str], None]) -> Ports:
    """The usual ports, or the next free ones, which is said."""
    taken: set[int] = set()

    def port(what: str, first: int, many: int = 1) -> int:
        for start in range(first, first + _TRIES * many, many):
            wanted = range(start, start + many)
            if all(each not in taken and _is_free(each) for each in wanted):
                taken.update(wanted)
                if start != first:
                    say(f"port {first} is taken; {what} takes {start}")
                return start
        raise Fatal(f"no free port for {what} from {first} on: end what listens there")

    return Ports(
        api=port("the API", API), page=port("the page", PAGE), metrics=port("the metrics", METRICS, _METRICS_PORTS)
    )


def _is_free(port: int) -> bool:
    with socket.socket() as trial, suppress(OSError):
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(("127.0.0.1", port))
        return True
    return False
