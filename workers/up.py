"""`gantry up FILE`: every process on this machine under one supervisor, given a Kafka."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from pipeline.adapters.kafka import Kafka
from pipeline.adapters.secrets import redact
from pipeline.config import Installation, Settings, load
from pipeline.core.registry import Change
from pipeline.errors import Fatal, Retry
from pipeline.wire.topics import steady_partition
from workers.classes import check_model
from workers.connection import connect
from workers.gantry import PROCESSES
from workers.registry import overridden, read, write_cameras, write_groups, write_scenes, write_topics
from workers.supervisor import Program, Supervisor, own_command

FIRST_METRICS_PORT = 9101
LOOK_EVERY_S = 0.5
INTERRUPTED = 130

Write = Callable[[Kafka, Installation], Awaitable[list[Change]]]
MakeTopics = Callable[[Kafka, Callable[[str], None]], Awaitable[None]]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kafka", metavar="SERVERS", help="host:port of some brokers, with commas between them.")
@click.pass_context
def up(ctx: click.Context, file: Path, kafka: str | None) -> None:
    """Run every process on this machine, given a Kafka.

    Checks FILE, waits for Kafka, makes the topics, registers cameras, groups and scenes, and runs capture, detect,
    track, aggregate, serve and dashboard until Ctrl-C. What ends is started again.
    """
    installation = load(file)
    check_model(installation)
    where = overridden(installation.settings.kafka, kafka, None)
    supervisor = Supervisor(programs(file, installation.settings, kafka), say_line)
    ctx.exit(asyncio.run(run_all(supervisor, installation, connect(where, "gantry-up"))))


def programs(file: Path, settings: Settings, kafka: str | None) -> list[Program]:
    """What runs, in the order data flows: each with its own metrics port, from `metrics.port` (or 9101) up."""
    first = settings.metrics.port or FIRST_METRICS_PORT
    source = str(Path(__file__).resolve().parent.parent)  # also where gantry is not installed
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH")) if part)
    # A name that survives a restart, so that a process that is started again finds its partitions as it left them; one
    # for each machine and file, because two living processes of one name would take each other's.
    home = f"{socket.gethostname()}-{steady_partition(str(file.resolve()), 10**6)}"
    shared = {"PYTHONPATH": path} | ({"GANTRY_KAFKA_SERVERS": kafka} if kafka is not None else {})
    return [
        Program(
            name=name,
            command=own_command(name, "--config", str(file)),
            environment={
                **shared,
                "GANTRY_METRICS_PORT": str(first + index),
                "GANTRY_INSTANCE": f"{home}-{name}",
            },
        )
        for index, name in enumerate(PROCESSES)
    ]


async def run_all(
    supervisor: Supervisor,
    installation: Installation,
    kafka: Kafka,
    *,
    topics: MakeTopics | None = None,
    ready: Callable[[], None] = lambda: None,
    ending: Callable[[], Awaitable[None]] | None = None,
    seconds: float | None = None,
) -> int:
    """Prepare what the processes need, run them until a signal or for so long, and stop them; the exit code.

    Args:
        supervisor: of the processes.
        installation: what is registered.
        kafka: where.
        topics: makes the topics; None: asks Kafka to make them, and refuses what differs.
        ready: called when all processes are up.
        ending: done while they still run, before they are stopped.
        seconds: how long to run from when all are up; None: until a signal.

    Raises:
        Fatal: the topics differ, or a process can never work.
    """
    stop, asked_to = asyncio.Event(), _signalled(supervisor)
    if not await _prepared(supervisor, installation, kafka, asked_to, topics or _topics):
        return INTERRUPTED

    async def announced() -> None:
        await _announce(supervisor, installation.settings)
        ready()
        if seconds is not None:
            await asyncio.sleep(seconds)
            asked_to.set()

    async def ended() -> None:
        await asked_to.wait()
        try:
            if ending is not None:
                await ending()
        finally:
            stop.set()

    beside = [asyncio.create_task(announced()), asyncio.create_task(ended())]
    try:
        await supervisor.run(stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    supervisor.say("gantry", "all processes have stopped")
    return 0


def _signalled(supervisor: Supervisor) -> asyncio.Event:
    """What the first SIGTERM or SIGINT sets; a second one ends everything at once."""
    asked_to = asyncio.Event()

    def asked(number: signal.Signals) -> None:
        if asked_to.is_set():
            supervisor.say("gantry", f"{number.name} again: kills all processes")
            supervisor.kill()
            os._exit(128 + number)
        supervisor.say("gantry", f"{number.name}: stops all processes")
        asked_to.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    return asked_to


async def _prepared(
    supervisor: Supervisor, installation: Installation, kafka: Kafka, asked_to: asyncio.Event, topics: MakeTopics
) -> bool:
    """Prepare everything, unless we are asked to stop first. Raises Fatal."""
    preparing = asyncio.create_task(
        _prepare(installation, kafka, lambda text: supervisor.say("gantry", text), asked_to, topics)
    )
    asking = asyncio.create_task(asked_to.wait())
    await asyncio.wait([preparing, asking], return_when=asyncio.FIRST_COMPLETED)
    asking.cancel()
    if not preparing.done():
        preparing.cancel()
        with suppress(asyncio.CancelledError):
            await preparing
    if preparing.cancelled() or asked_to.is_set():
        return False
    preparing.result()
    return True


async def _prepare(
    installation: Installation, kafka: Kafka, say: Callable[[str], None], stop: asyncio.Event, topics: MakeTopics
) -> None:
    """Everything the processes need to find: topics, cameras, groups, scenes."""
    await kafka.wait_until_reachable(say, stop)
    if not stop.is_set():
        await _patiently(lambda: topics(kafka, say), say)
    for write in (write_cameras, write_groups, write_scenes):
        if not stop.is_set():
            await _patiently(partial(_register, write, kafka, installation, say), say)
    if not stop.is_set():
        await _patiently(lambda: _tell_registered(kafka, installation, say), say)


async def _topics(kafka: Kafka, say: Callable[[str], None]) -> None:
    made, differences = await write_topics(kafka)
    for line in made:
        say(line)
    if differences:
        raise Fatal("\n".join(differences))


async def _register(write: Write, kafka: Kafka, installation: Installation, say: Callable[[str], None]) -> None:
    for change in await write(kafka, installation):
        if change.topic != "placement":
            say(f"{change.topic[:-1]} {change.key}: {change.verb}")


async def _tell_registered(kafka: Kafka, installation: Installation, say: Callable[[str], None]) -> None:
    registered = (await read(kafka)).cameras
    if others := sorted(registered.keys() - {camera.id for camera in installation.cameras}):
        say(f"registered, but not in the file: {', '.join(others)}; they run too (gantry cameras remove ID)")
    if not registered:
        say("no camera is registered yet; add some to the file and apply it: gantry cameras apply FILE")


async def _patiently(work: Callable[[], Awaitable[None]], say: Callable[[str], None]) -> None:
    """Try again, more and more slowly, while Kafka does not answer."""
    pause = 1.0
    while True:
        try:
            return await work()
        except Retry as exc:
            say(f"{exc}; tries again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 30.0)


async def _announce(supervisor: Supervisor, settings: Settings) -> None:
    """Say where the page and the API are, once every process is at work and these two answer, all at the same time."""
    host, first = _reachable(settings.metrics.host), settings.metrics.port or FIRST_METRICS_PORT
    api, page = [(_reachable(each.host), each.port) for each in (settings.serve, settings.dashboard)]
    began = time.monotonic()
    while True:
        there = [await _at_work(host, first + index) for index in range(len(PROCESSES))]
        there += [await _answers(*each) for each in (api, page)]
        if all(there) and len(supervisor.running()) == len(PROCESSES):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    took = time.monotonic() - began
    supervisor.say(
        "gantry", f"all processes are up after {took:.0f} s; the API is at {_url(*api)}, the page at {_url(*page)}"
    )


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _at_work(host: str, port: int) -> bool:
    """Whether a process says so beside its metrics: that page is up before a model is loaded or Kafka has answered."""
    return (await _asked(host, port, b"GET /ready HTTP/1.0\r\n\r\n")).split(b" ")[1:2] == [b"200"]


async def _answers(host: str, port: int) -> bool:
    return bool(await _asked(host, port, b"HEAD / HTTP/1.0\r\n\r\n"))


async def _asked(host: str, port: int, request: bytes) -> bytes:
    """The first line of the answer; nothing where nobody answers."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""


def _reachable(host: str) -> str:
    """Where something that listens on `host` can be reached from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is compared, not bound


def say_line(line: str) -> None:
    """A line of the common log, on stdout, without secrets."""
    sys.stdout.write(redact(line) + "\n")
    sys.stdout.flush()
