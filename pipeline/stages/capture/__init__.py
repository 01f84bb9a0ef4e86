"""capture: cameras become frames.

Every capture worker reads the whole registry; the consumer group of `capture-shards` (a topic without records)
says which shards, and so which cameras, are its own. One `CameraRun` per camera does the work.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar, cast

import msgspec

from pipeline.core.backlog import Backlog
from pipeline.core.model import Camera, Placement, Scene
from pipeline.errors import GantryError, Poison, Retry
from pipeline.ports import Clockwork, GroupReader, LogReader, Message, Meter, OnAssigned, OnRevoked, Source, Writer
from pipeline.stages.capture.camera import CameraRun, CapturePolicy, Pen, end
from pipeline.stages.capture.epochs import Epochs
from pipeline.wire.codec import decode_json

__all__ = ["CapturePolicy", "Join", "capture"]

log = logging.getLogger("gantry.capture")

Join = Callable[[OnAssigned, OnRevoked], AbstractAsyncContextManager[GroupReader]]
Entry = TypeVar("Entry", Camera, Scene, Placement)

WATCH_S = 1.0
FETCH_MS = 1000
JOIN_AGAIN_S = 2.0
UNSEEN = ("revision", "latitude", "longitude")  # fields whose change is no reason to connect again


async def capture(
    *,
    source: Source,
    writer: Writer,
    logs: LogReader,
    join: Join,
    log_id: str,
    policy: CapturePolicy,
    meter: Meter,
    clock: Clockwork,
    stop: asyncio.Event,
) -> None:
    """Run the cameras of the shards that the group gives us, until `stop`.

    Args:
        source: opens cameras.
        writer: writes `frames` and `epochs`.
        logs: reads the registry (`cameras`, `scenes`, `placement`) and `epochs`.
        join: joins the group of `capture-shards`.
        log_id: the id made when the topics were made; part of every record.
        policy: patience and bounds.
        meter: counters `frames`, `bytes`, `dropped`, `reconnects`, `epochs`, `scenes_refused`; gauges `state`,
            `cameras`, `backlog_bytes`, `backlog_pictures`; histogram `age` (capture to acknowledgement).
        clock: the world's time.
        stop: set by whoever wants us to end; what waits is then written for at most `policy.stop_s`.

    Raises:
        Fatal: the broker will never take our records, or the group refuses us.
    """
    process = _Capture(source, writer, logs, log_id, policy, meter, clock)
    try:
        async with asyncio.TaskGroup() as tasks:
            process.tasks = tasks
            following = process.follow()
            await process.run(join, stop)
            await end(following)
    except BaseExceptionGroup as group:
        raise _first(group) from group


class _Slot(msgspec.Struct):
    """A camera that runs here."""

    run: CameraRun
    task: "asyncio.Task[None]"
    camera: Camera  # its newest entry; the run has the one it began with


class _Capture:
    def __init__(
        self,
        source: Source,
        writer: Writer,
        logs: LogReader,
        log_id: str,
        policy: CapturePolicy,
        meter: Meter,
        clock: Clockwork,
    ) -> None:
        self.source, self.logs, self.policy, self.meter, self.clock = source, logs, policy, meter, clock
        self.epochs = Epochs(writer, clock, again_s=policy.send_again_s)
        self.pen = Pen(writer, self.epochs, Backlog(policy.backlog_bytes), meter, clock, policy, log_id)
        self.tasks: asyncio.TaskGroup
        self.cameras: dict[str, Camera] = {}
        self.scenes: dict[str, Scene] = {}
        self.placement: dict[str, Placement] = {}
        self.owned: frozenset[int] = frozenset()
        self.slots: dict[str, _Slot] = {}
        self.read = {topic: asyncio.Event() for topic in ("cameras", "scenes", "placement", "epochs")}
        self.unplaced: set[str] = set()
        self.ended: dict[str, int] = {}  # files that were read to their end: the revision of their camera
        self.stopped = False

    # -- the registry ---------------------------------------------------------------------------

    def follow(self) -> "set[asyncio.Task[None]]":
        """Read the registry for ever."""
        return {
            self.tasks.create_task(self._follow("cameras", self._keep(self.cameras, Camera))),
            self.tasks.create_task(self._follow("scenes", self._keep(self.scenes, Scene))),
            self.tasks.create_task(self._follow("placement", self._keep(self.placement, Placement))),
            self.tasks.create_task(self._follow("epochs", self.epochs.note)),
        }

    async def _follow(self, topic: str, take: Callable[[Message], Awaitable[None]]) -> None:
        # The port promises an iterator; every reader we know is a generator that wants to be closed.
        messages = cast("AsyncGenerator[Message | None, None]", self.logs.follow(topic))
        async with aclosing(messages):
            async for message in messages:
                if message is None:
                    self.read[topic].set()
                else:
                    await take(message)
                if self._knows_all():
                    self._settle()

    def _keep(self, kept: dict[str, Entry], kind: type[Entry]) -> Callable[[Message], Awaitable[None]]:
        async def take(message: Message) -> None:
            if message.key is None:
                return
            name = message.key.decode("utf-8", "replace")
            if message.value is None:
                kept.pop(name, None)
                return
            try:
                kept[name] = decode_json(message.value, kind, f"the entry of {name} in {message.topic}")
            except Poison as exc:
                log.error("%s (offset %d): what was known before stays", exc, message.offset)

        return take

    def _knows_all(self) -> bool:
        return all(event.is_set() for event in self.read.values())

    # -- the group ------------------------------------------------------------------------------

    async def run(self, join: Join, stop: asyncio.Event) -> None:
        """From joining to leaving."""
        if not await _until(stop, *(event.wait() for event in self.read.values())):
            return
        while not stop.is_set():
            try:
                async with join(self.assigned, self.revoked) as reader:
                    member = self.tasks.create_task(self._stay(reader))
                    watch = self.tasks.create_task(self._watch())
                    await stop.wait()
                    await end({member, watch})
                    await self._let_go()
                    await reader.leave()
            except Retry as exc:
                log.warning("%s; joining again", exc)
                await _until(stop, self.clock.sleep(JOIN_AGAIN_S))

    async def assigned(self, shards: frozenset[int]) -> None:
        """The group gave us these shards: all that are ours now. Cameras of shards that stay keep running."""
        self.owned = shards
        log.info("owns %d capture shards", len(shards))
        self._settle()

    async def revoked(self, shards: frozenset[int]) -> None:
        """The group is about to share anew. Nothing stops yet: most cameras will stay where they are."""

    async def _stay(self, reader: GroupReader) -> None:
        """There is nothing to read in this topic; asking keeps us informed."""
        while True:
            try:
                await reader.fetch(1, FETCH_MS)
            except Retry:
                await self.clock.sleep(JOIN_AGAIN_S)

    async def _let_go(self) -> None:
        self.stopped = True
        running = {slot.task for slot in self.slots.values() if not slot.task.done()}
        for slot in self.slots.values():
            slot.run.stop("stopped")
        if running:
            await asyncio.wait(running)

    # -- the cameras ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Make what runs here what should run here."""
        if self.stopped or not self._knows_all():
            return
        for name, slot in self.slots.items():
            if slot.run.stopping:
                continue
            if not self._is_ours(name):
                slot.run.stop("handed over" if name in self.cameras else "removed")
            elif _differs(slot.run.camera, self.cameras[name]):
                slot.run.stop("changed")
            else:
                self._update(slot, name)
        for name in filter(self._is_ours, self.cameras):
            before = self.slots.get(name)
            if self.ended.get(name) != self.cameras[name].revision and (before is None or before.run.stopping):
                self._start(self.cameras[name], after=before)
        self.meter.gauge("cameras", len(self.slots))

    def _is_ours(self, name: str) -> bool:
        return name in self.cameras and self.cameras[name].capture_shard in self.owned

    def _update(self, slot: _Slot, name: str) -> None:
        slot.camera = self.cameras[name]
        if name in self.placement:
            slot.run.place(self.placement[name].partition)
        slot.run.draw(self.scenes.get(name))

    def _start(self, camera: Camera, *, after: _Slot | None) -> None:
        """Run a camera, once the run before it is through."""
        if camera.id not in self.placement:
            if camera.id not in self.unplaced:
                self.unplaced.add(camera.id)
                log.warning("camera %s has no placement yet: run gantry cameras apply", camera.id)
            return
        self.unplaced.discard(camera.id)
        run = CameraRun(
            camera,
            self.placement[camera.id].partition,
            self.scenes.get(camera.id),
            source=self.source,
            pen=self.pen,
        )
        task = self.tasks.create_task(self._carry(run, after.task if after else None))
        self.slots[camera.id] = _Slot(run, task, camera)

    async def _carry(self, run: CameraRun, after: "asyncio.Task[None] | None") -> None:
        if after is not None:
            await asyncio.wait({after})
        await run.run()
        slot = self.slots.get(run.camera.id)
        if slot is not None and slot.run is run:
            del self.slots[run.camera.id]
            self.meter.gauge("cameras", len(self.slots))
            if run.over:
                self.ended[run.camera.id] = slot.camera.revision

    async def _watch(self) -> None:
        """Say once that the broker is away, and once that it is back."""
        away = False
        while True:
            now = self.clock.monotonic()
            since = [at for slot in self.slots.values() if (at := slot.run.waits_since()) is not None]
            silent = bool(since) and now - min(since) >= self.policy.silence_s
            if silent and not away:
                log.warning(
                    "kafka acknowledges nothing: pictures wait, up to %d MiB of them",
                    self.policy.backlog_bytes // 1024**2,
                )
            elif away and not silent:
                log.info("kafka acknowledges again")
            away = silent
            self.meter.gauge("backlog_bytes", self.pen.backlog.bytes)
            self.meter.gauge("backlog_pictures", self.pen.backlog.pictures)
            await self.clock.sleep(WATCH_S)


def _differs(running: Camera, wanted: Camera) -> bool:
    """Whether a changed entry needs a new connection."""
    return any(getattr(running, f) != getattr(wanted, f) for f in wanted.__struct_fields__ if f not in UNSEEN)


async def _until(stop: asyncio.Event, *waits: Awaitable[Any]) -> bool:
    """Wait for all of these or for stop; returns whether the first."""
    stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    every: asyncio.Future[Any] = asyncio.gather(*waits)
    try:
        await asyncio.wait({stopping, every}, return_when=asyncio.FIRST_COMPLETED)
        return every.done()
    finally:
        stopping.cancel()
        every.cancel()
        await asyncio.gather(stopping, every, return_exceptions=True)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that made the others: one of ours, if there is one."""
    leaves: list[BaseException] = []
    queue: list[BaseException] = [group]
    while queue:
        each = queue.pop(0)
        if isinstance(each, BaseExceptionGroup):
            queue.extend(each.exceptions)
        else:
            leaves.append(each)
    return next((leaf for leaf in leaves if isinstance(leaf, GantryError)), leaves[0])
