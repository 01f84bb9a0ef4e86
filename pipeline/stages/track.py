"""track: each camera's detections become vehicles, events and flow, exactly once.

The core does the work; this stage carries it: outputs are acknowledged first, then the cameras' memories
(`track-state`), then the offset. A crash anywhere between repeats records whose outputs have the same ids, and
the memory ignores what it already includes, so nothing is lost and nothing is counted twice.

A memory is stored under camera and writer run: a frozen owner that thaws writes beside its successor's
snapshot and cannot overwrite it; whoever restores takes the one that includes most.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from pipeline.core.model import Boxes, CameraId, Crossing, DeadLetter, Flow, Frame, Record, Speed
from pipeline.core.scene import Fate, Memory, ScenePolicy, observe
from pipeline.errors import Poison, Retry, Revoked
from pipeline.ports import Batch, Clockwork, GroupReader, LogReader, Message, Meter, OnAssigned, OnRevoked, Writer
from pipeline.wire.codec import (
    VERSION,
    decode_record,
    decode_state,
    encode_event,
    encode_flow,
    encode_json,
    encode_tracks,
    header_text,
)

log = logging.getLogger("gantry.track")

Join = Callable[[OnAssigned, OnRevoked], AbstractAsyncContextManager[GroupReader]]


class TrackPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the core sees, and how often memories are stored."""

    scene: ScenePolicy = ScenePolicy()
    snapshot_ms: int = 1000  # since the last one, by this process's clock
    snapshot_records: int = 2000  # of a shard: a silent camera must not hold the commit
    fetch_records: int = 500


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's memory as `track-state` keeps it."""

    v: int = VERSION
    offset: int  # of the next record of the shard to read
    memory: Memory


class _Shard:
    """One owned partition of detections."""

    def __init__(self) -> None:
        self.memories: dict[CameraId, Memory] | None = None  # None: not restored yet
        self.dirty: set[CameraId] = set()
        self.records = 0  # since the last snapshot
        self.next: int | None = None
        self.stored_at = 0.0


class _Track:
    def __init__(
        self, *, writer: Writer, logs: LogReader, meter: Meter, clock: Clockwork, policy: TrackPolicy, run: str
    ) -> None:
        self.writer, self.logs, self.meter, self.clock, self.policy, self.run = writer, logs, meter, clock, policy, run
        self.shards: dict[int, _Shard] = {}
        self.acks: list[Awaitable[int]] = []
        self.turn = asyncio.Lock()  # a batch, a snapshot or a hand-over: one at a time
        self.reader: GroupReader | None = None

    # -- the group ------------------------------------------------------------------------------

    async def assigned(self, partitions: frozenset[int]) -> None:
        for partition in partitions:
            self.shards[partition] = _Shard()
        log.info("owns %d shards: %s", len(partitions), sorted(partitions))

    async def revoked(self, partitions: frozenset[int]) -> None:
        async with self.turn:
            try:
                for partition in partitions & self.shards.keys():
                    await self.store(partition)
            except Retry as exc:
                log.warning("could not store before handing over; the new owner repeats a little: %s", exc)
            for partition in partitions:
                self.shards.pop(partition, None)

    # -- memories -------------------------------------------------------------------------------

    async def restore(self, partition: int) -> dict[CameraId, Memory]:
        """The memory of each camera of a shard that includes most; the others are struck out.

        Raises:
            Fatal: one is of a version this code does not know; a newer gantry wrote it.
        """
        best: dict[CameraId, Snapshot] = {}
        keys: dict[bytes, CameraId] = {}
        latest = {m.key: m for m in await self.logs.read_all("track-state", partition) if m.key is not None}
        for key, message in latest.items():
            if message.value is None:
                continue
            place = f"track-state partition {partition}, offset {message.offset}"
            try:
                snapshot = decode_state(
                    message.value, Snapshot, f"the memory of {key.decode(errors='replace')} ({place})"
                )
            except Poison as exc:  # a memory that cannot be read is one we do not have: say so, go on without
                log.error("%s: its camera begins anew", exc)
                continue
            camera = snapshot.memory.camera
            keys[key] = camera
            if camera not in best or snapshot.memory.includes > best[camera].memory.includes:
                best[camera] = snapshot
        for camera, snapshot in best.items():
            mine = self._key(camera)
            if mine not in keys:
                await (await self.writer.send("track-state", partition, key=mine, value=encode_json(snapshot)))
        for key, camera in keys.items():
            if key != self._key(camera):
                self.acks.append(await self.writer.send("track-state", partition, key=key, value=None))
        if best:
            log.info("shard %d: restored the memory of %d cameras", partition, len(best))
        self.meter.count("restored", len(best))
        return {camera: snapshot.memory for camera, snapshot in best.items()}

    def _key(self, camera: CameraId) -> bytes:
        return f"{camera}@{self.run}".encode()

    async def store(self, partition: int) -> None:
        """Outputs acknowledged, then memories, then the offset."""
        shard = self.shards[partition]
        acks, self.acks = self.acks, []
        await asyncio.gather(*acks)
        if shard.next is None or shard.memories is None:
            return
        stored = [
            await self.writer.send(
                "track-state",
                partition,
                key=self._key(camera),
                value=encode_json(Snapshot(offset=shard.next, memory=shard.memories[camera])),
            )
            for camera in sorted(shard.dirty)
        ]
        await asyncio.gather(*stored)
        self.meter.count("snapshots", len(stored))
        shard.dirty.clear()
        shard.records, shard.stored_at = 0, self.clock.monotonic()
        if self.reader is None:
            return
        try:
            await self.reader.commit({partition: shard.next})
        except Revoked:
            log.info("shard %d moved before its commit; its new owner repeats a little", partition)
        except Retry as exc:
            log.warning("could not commit shard %d, will try again: %s", partition, exc)

    # -- records --------------------------------------------------------------------------------

    async def take(self, batch: Batch, shard: _Shard) -> None:
        async with self.turn:
            if self.shards.get(batch.partition) is not shard:
                return  # it moved while this batch waited: whoever owns it now reads it again
            if shard.memories is None:
                shard.memories = await self.restore(batch.partition)
                shard.stored_at = self.clock.monotonic()
            for message in batch.messages:
                await self._one(message, shard, shard.memories)
            if self._due(shard):
                await self.store(batch.partition)

    def _due(self, shard: _Shard) -> bool:
        if shard.records == 0:
            return False
        waited_ms = (self.clock.monotonic() - shard.stored_at) * 1000
        return shard.records >= self.policy.snapshot_records or waited_ms >= self.policy.snapshot_ms

    async def _one(self, message: Message, shard: _Shard, memories: dict[CameraId, Memory]) -> None:
        shard.next = message.offset + 1
        shard.records += 1
        try:
            record = _read(message)
        except Poison as exc:
            await self._bury(message, str(exc))
            return
        header = record.header
        memory = memories.get(header.camera) or Memory(camera=header.camera)
        observed = observe(memory, record, self.policy.scene)
        self.meter.count("records", kind=observed.fate.value)
        if observed.memory is not memory:
            memories[header.camera] = observed.memory
            shard.dirty.add(header.camera)
        for output in observed.outputs:
            match output:
                case Crossing() | Speed():
                    out, topic = encode_event(output), "events"
                    self.meter.count("events", type=str(type(output).__struct_config__.tag))
                case Flow():
                    out, topic = encode_flow(output), "flow"
                case _:
                    out, topic = encode_tracks(output), "tracks"
            ack = await self.writer.send(topic, message.partition, key=out.key, value=out.value, headers=out.headers)
            self.acks.append(ack)
        if observed.fate is Fate.ANALYSED:
            self.meter.seconds("age", max(0, self.clock.now_ms() - header.captured_ms) / 1000)
            await asyncio.sleep(0)  # heartbeats live in this loop too

    async def _bury(self, message: Message, reason: str) -> None:
        dead = DeadLetter(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=reason,
            process="track",
            headers=header_text(message.headers),
        )
        self.meter.count("records", kind="dead_letter")
        self.meter.count("dead_letters")
        log.warning(
            "dead letter: %s partition %d offset %d: %s", message.topic, message.partition, message.offset, reason
        )
        self.acks.append(await self.writer.send("dead-letters", 0, key=message.key, value=encode_json(dead)))

    async def upkeep(self, reader: GroupReader) -> None:
        """Shards gone quiet are stored too; lag is told."""
        while True:
            await self.clock.sleep(self.policy.snapshot_ms / 1000)
            for partition, shard in list(self.shards.items()):
                async with self.turn:
                    if self.shards.get(partition) is shard and self._due(shard):
                        await self.store(partition)
            try:
                places = await reader.positions()
            except Retry:
                continue
            behind = [end - position for position, end in places.values()]
            self.meter.gauge("lag_frames", sum(behind) if behind else None)

    async def intake(self, reader: GroupReader, stop: asyncio.Event) -> None:
        wait_s = 0.2
        while not stop.is_set():
            try:
                batches = await reader.fetch(self.policy.fetch_records, 200)
                wait_s = 0.2
            except Retry as exc:
                log.warning("cannot fetch, trying again: %s", exc)
                await self.clock.sleep(wait_s)
                wait_s = min(5.0, wait_s * 2)
                continue
            mine = [(batch, self.shards.get(batch.partition)) for batch in batches]
            for batch, shard in mine:
                if shard is not None:
                    await self.take(batch, shard)


async def track(
    *,
    join: Join,
    writer: Writer,
    logs: LogReader,
    meter: Meter,
    clock: Clockwork,
    policy: TrackPolicy,
    run: str,
    stop: asyncio.Event,
) -> None:
    """Follow every camera of the owned shards until `stop` is set.

    Args:
        join: joins the consumer group on `detections`.
        writer: where events, flow, tracks, memories and dead letters go.
        logs: reads memories back.
        meter, clock: the outside world.
        policy: beliefs and limits.
        run: an id of this very run of this process, never used again.
        stop: set it to end.

    Raises:
        Fatal: the broker refuses for good, or a newer gantry wrote a memory; nothing unfinished was committed.
        Retry: an output could not be stored in the client's time; a restart repeats it.
    """
    self = _Track(writer=writer, logs=logs, meter=meter, clock=clock, policy=policy, run=run)
    async with join(self.assigned, self.revoked) as reader:
        self.reader = reader
        tasks = [asyncio.ensure_future(work) for work in (self.intake(reader, stop), self.upkeep(reader))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            async with self.turn:
                for partition in list(self.shards):
                    await self.store(partition)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await reader.leave()


def _read(message: Message) -> Record:
    """A record of `detections`. Raises Poison, also for one that does not belong there."""
    record = decode_record(message.headers, message.value)
    if isinstance(record.body, Frame | Boxes):
        raise Poison("a frame that nobody analysed does not belong on detections")
    if record.header.shard != message.partition:
        raise Poison(f"its shard is {record.header.shard}, but it lies in partition {message.partition}")
    if message.key != record.header.camera.encode():
        raise Poison(f"its key {message.key!r} is not its camera {record.header.camera!r}")
    return record
