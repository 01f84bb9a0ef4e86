"""detect: frames become detections. It remembers nothing, so any number of it may come and go.

What a simulated camera shows is boxes already: they pass by the model, in their place among the others.

Fetching, inference and producing overlap; results leave each partition in the order of its log. An input offset
is committed only after the broker acknowledged all that was made from it and from every offset before it. What
a lost partition left unfinished is dropped: its new owner repeats it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import msgspec

from pipeline.core.model import Boxes, DeadLetter, Detections, Frame, Gap, GapReason, Header, Record
from pipeline.core.offsets import Offsets
from pipeline.errors import Poison, Retry, Revoked
from pipeline.ports import (
    BadPicture,
    Batch,
    Clockwork,
    GroupReader,
    Message,
    Meter,
    Model,
    OnAssigned,
    OnRevoked,
    Writer,
)
from pipeline.wire.codec import decode_record, encode_json, encode_record, header_text

log = logging.getLogger("gantry.detect")


class DetectPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much work is under way at once, and how often progress is stored."""

    batch: int = 8  # pictures handed to the model at once
    batches: int = 2  # model calls under way: one is inferred while the next is decoded
    waiting: int = 64  # pictures fetched and not yet acknowledged; bounds memory
    commit_ms: int = 1000
    drain_ms: int = 2000  # on losing a partition, how long its unfinished work may still be finished
    shards: int = 12  # partitions of detections


Join = Callable[[OnAssigned, OnRevoked], AbstractAsyncContextManager[GroupReader]]


class _Slot:
    """One input record and, in time, what it becomes."""

    __slots__ = ("dead", "message", "ready", "record")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.record: Record | None = None  # what goes to detections
        self.dead: DeadLetter | None = None  # what goes to dead-letters
        self.ready = False


class _Lane:
    """One owned partition: its slots in log order, and its commit point."""

    def __init__(self) -> None:
        self.slots: deque[_Slot] = deque()
        self.offsets = Offsets()
        self.committed: int | None = None
        self.idle = asyncio.Event()
        self.idle.set()


class _Detect:
    def __init__(self, *, writer: Writer, model: Model, meter: Meter, clock: Clockwork, policy: DetectPolicy) -> None:
        self.writer, self.model, self.meter, self.clock, self.policy = writer, model, meter, clock, policy
        self.lanes: dict[int, _Lane] = {}
        self.frames: asyncio.Queue[tuple[_Lane, _Slot, Header, bytes]] = asyncio.Queue()
        self.something = asyncio.Event()  # some slot became ready
        self.room = asyncio.Event()
        self.room.set()
        self.waiting = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reader: GroupReader | None = None

    # -- the group ------------------------------------------------------------------------------

    async def assigned(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self.lanes[partition] = _Lane()
        log.info("owns %d partitions of frames: %s", len(partitions), sorted(partitions))

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Finish what can be finished soon, store it, drop the rest."""
        lanes = {p: self.lanes[p] for p in partitions if p in self.lanes}
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(lane.idle.wait() for lane in lanes.values())), self.policy.drain_ms / 1000
            )
        await self.commit(lanes)
        for partition, lane in lanes.items():
            self.meter.count("dropped_on_revoke", len(lane.slots))
            self._free(len(lane.slots))
            lane.slots.clear()
            del self.lanes[partition]

    async def commit(self, lanes: dict[int, _Lane]) -> None:
        offsets = {
            p: point
            for p, lane in lanes.items()
            if (point := lane.offsets.committable) is not None and point != lane.committed
        }
        if not offsets or self.reader is None:
            return
        try:
            await self.reader.commit(offsets)
        except Revoked:
            log.info("a commit came after the partitions had moved; their new owner repeats a little")
            return
        except Retry as exc:
            log.warning("could not commit, will try again: %s", exc)
            return
        for partition, point in offsets.items():
            lanes[partition].committed = point

    # -- intake ---------------------------------------------------------------------------------

    async def intake(self, reader: GroupReader, stop: asyncio.Event) -> None:
        wait_s = 0.2
        while not stop.is_set():
            await self.room.wait()
            try:
                batches = await reader.fetch(max(1, self.policy.waiting - self.waiting), 200)
                wait_s = 0.2
            except Retry as exc:
                log.warning("cannot fetch, trying again: %s", exc)
                await self.clock.sleep(wait_s)
                wait_s = min(5.0, wait_s * 2)
                continue
            for batch in batches:
                self._take(batch)

    def _take(self, batch: Batch) -> None:
        lane = self.lanes.get(batch.partition)
        if lane is None:  # revoked while the fetch was under way
            return
        for message in batch.messages:
            slot = _Slot(message)
            lane.offsets.begin(message.offset)
            lane.slots.append(slot)
            lane.idle.clear()
            self._occupy()
            try:
                record = _read(message, self.policy.shards)
            except Poison as exc:
                self._bury(slot, str(exc))
                self._ready(slot)
                continue
            match record.body:
                case Frame():
                    self.frames.put_nowait((lane, slot, record.header, record.body.jpeg))
                case Boxes():  # of a simulated camera: there is nothing to see, but it keeps its place
                    self._answered(slot, record.header, record.body.detections())
                case _:
                    slot.record = record
                    self.meter.count("records", kind="control")
                    self._ready(slot)

    def _bury(self, slot: _Slot, reason: str) -> None:
        m = slot.message
        slot.dead = DeadLetter(
            topic=m.topic,
            partition=m.partition,
            offset=m.offset,
            reason=reason,
            process="detect",
            headers=header_text(m.headers),
        )
        self.meter.count("records", kind="dead_letter")
        self.meter.count("dead_letters")
        log.warning("dead letter: %s partition %d offset %d: %s", m.topic, m.partition, m.offset, reason)

    def _ready(self, slot: _Slot) -> None:
        slot.ready = True
        self.something.set()

    def _occupy(self) -> None:
        self.waiting += 1
        if self.waiting >= self.policy.waiting:
            self.room.clear()

    def _free(self, slots: int) -> None:
        self.waiting -= slots
        if self.waiting < self.policy.waiting:
            self.room.set()

    # -- inference ------------------------------------------------------------------------------

    async def infer(self) -> None:
        while True:
            work = [await self.frames.get()]
            while len(work) < self.policy.batch and not self.frames.empty():
                work.append(self.frames.get_nowait())
            work = [w for w in work if w[1] in w[0].slots]  # not of a partition lost meanwhile
            if not work:
                continue
            began = self.clock.monotonic()
            answers = await self.model.detect([jpeg for _, _, _, jpeg in work])
            self.meter.seconds("inference", self.clock.monotonic() - began)
            self.meter.count("batches")
            for (_, slot, header, _), answer in zip(work, answers, strict=True):
                self._answered(slot, header, answer)

    def _answered(self, slot: _Slot, header: Header, answer: Detections | BadPicture) -> None:
        if isinstance(answer, BadPicture):
            self._bury(slot, answer.reason)
            at = header.captured_ms  # the core must know that this moment was not seen
            body: Detections | Gap = Gap(from_ms=at, to_ms=at, reason=GapReason.LOST, frames=1)
        else:
            body = answer
            self.meter.count("records", kind="analysed")
        slot.record = Record(header, body)
        self._ready(slot)

    # -- output ---------------------------------------------------------------------------------

    async def emit(self) -> None:
        while True:
            await self.something.wait()
            self.something.clear()
            for partition in list(self.lanes):
                lane = self.lanes.get(partition)
                while lane is not None and lane.slots and lane.slots[0].ready:
                    await self._send(lane, lane.slots.popleft())

    async def _send(self, lane: _Lane, slot: _Slot) -> None:
        acks: list[Awaitable[int]] = []
        if slot.record is not None:
            out = encode_record(slot.record)
            try:
                acks.append(
                    await self.writer.send(
                        "detections", slot.record.header.shard, key=out.key, value=out.value, headers=out.headers
                    )
                )
            except Poison as exc:
                self._bury(slot, str(exc))
        if slot.dead is not None:
            acks.append(await self.writer.send("dead-letters", 0, key=slot.message.key, value=encode_json(slot.dead)))
        task = asyncio.gather(*acks)
        task.add_done_callback(partial(self._acknowledged, lane, slot))

    def _acknowledged(self, lane: _Lane, slot: _Slot, done: "asyncio.Future[list[int]]") -> None:
        if done.cancelled():
            return
        if (exc := done.exception()) is not None:
            if not self.failed.done():
                self.failed.set_exception(exc)
            return
        lane.offsets.finish(slot.message.offset)
        self._free(1)
        if lane.offsets.unfinished == 0:
            lane.idle.set()
        if slot.record is not None and isinstance(slot.record.body, Detections):
            header = slot.record.header
            self.meter.seconds("age", max(0, self.clock.now_ms() - header.captured_ms) / 1000)

    # -- upkeep ---------------------------------------------------------------------------------

    async def upkeep(self, reader: GroupReader) -> None:
        while True:
            await self.clock.sleep(self.policy.commit_ms / 1000)
            await self.commit(dict(self.lanes))
            self.meter.gauge("waiting", self.waiting)
            with contextlib.suppress(Retry):
                places = await reader.positions()
                behind = [
                    end - lane.offsets.committable
                    for p, (_, end) in places.items()
                    if (lane := self.lanes.get(p)) is not None and lane.offsets.committable is not None
                ]
                self.meter.gauge("lag_frames", sum(behind) if behind else None)


async def detect(
    *,
    join: Join,
    writer: Writer,
    model: Model,
    meter: Meter,
    clock: Clockwork,
    policy: DetectPolicy,
    stop: asyncio.Event,
) -> None:
    """Turn frames into detections until `stop` is set.

    Args:
        join: joins the consumer group on `frames`.
        writer: where detections and dead letters go.
        model: sees objects.
        meter, clock: the outside world.
        policy: limits.
        stop: set it to end; unfinished work is drained for `drain_ms`, then left for the next owner.

    Raises:
        Fatal: the model or the broker's refusal is beyond repair; nothing unfinished was committed.
        Retry: an output could not be stored in the client's time; a restart repeats it.
    """
    self = _Detect(writer=writer, model=model, meter=meter, clock=clock, policy=policy)
    async with join(self.assigned, self.revoked) as reader:
        self.reader = reader
        tasks: Sequence[asyncio.Future[None]] = [
            asyncio.ensure_future(work)
            for work in (
                self.intake(reader, stop),
                self.emit(),
                self.upkeep(reader),
                *(self.infer() for _ in range(policy.batches)),
            )
        ]
        try:
            done, _ = await asyncio.wait([*tasks, self.failed], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what went wrong; intake ends quietly when told to stop
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    asyncio.gather(*(lane.idle.wait() for lane in self.lanes.values())), policy.drain_ms / 1000
                )
            await self.commit(dict(self.lanes))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self.failed.cancel():
                self.failed.exception()  # seen: it was raised above, or another error was first
        await reader.leave()


def _read(message: Message, shards: int) -> Record:
    """A record of `frames`. Raises Poison, also for one that does not belong there."""
    record = decode_record(message.headers, message.value)
    header = record.header
    if isinstance(record.body, Detections):
        raise Poison("a record of detections does not belong on frames")
    if not 0 <= header.shard < shards:
        raise Poison(f"its shard {header.shard} is no partition of detections (there are {shards})")
    if message.key != header.camera.encode():
        raise Poison(f"its key {message.key!r} is not its camera {header.camera!r}")
    return record
