"""An in-memory Kafka: the same methods, the same promises and the same kinds of failure as the adapter.

    broker = Broker()
    async with broker.writer() as writer:
        offset = await (await writer.send("frames", 3, key=b"cam", value=b"..."))
    broker.records("frames", 3)      # what lies in the log
    broker.committed("detect")       # what a group has committed: {partition: offset} of its topic

Switches:
    away            True: nobody answers. Sends wait in the buffer and go out in order when it is False again;
                    a full buffer, commit, ends and read_all raise Retry; fetch and follow see nothing.
    forgets_offsets True: records are written, but acknowledged with the offset -1.
    fail_next(error) the next send is not written; its awaitable raises the error.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pipeline.errors import Fatal, GantryError, Poison, Retry, Revoked
from pipeline.ports import Batch, Message, OnAssigned, OnRevoked
from pipeline.wire.topics import Topics

RECORD_OVERHEAD = 87  # what a record costs besides key, value and headers


@dataclass
class _Group:
    topic: str
    committed: dict[int, int] = field(default_factory=dict)
    members: list["GroupReader"] = field(default_factory=list)  # in the order they joined
    lost: dict[str, frozenset[int]] = field(default_factory=dict)  # static members that died: what they still hold
    moving: asyncio.Lock = field(default_factory=asyncio.Lock)


class Broker:
    """Every topic of one installation, in lists.

    Args:
        topics: names and sizes; small ones by default are not needed, lists cost nothing.
        buffer_bytes: how much a writer holds while the broker is away.
        patience_s: how long a send waits for room.
    """

    def __init__(
        self, topics: Topics | None = None, *, buffer_bytes: int = 32 * 1024 * 1024, patience_s: float = 0.2
    ) -> None:
        self.topics = topics or Topics()
        self.buffer_bytes = buffer_bytes
        self.patience_s = patience_s
        self.forgets_offsets = False
        self.log = "fakelog"
        self._logs: dict[tuple[str, int], list[Message]] = defaultdict(list)
        self._starts: dict[tuple[str, int], int] = defaultdict(int)
        self._groups: dict[str, _Group] = {}
        self._writers: list[Writer] = []
        self._failures: list[GantryError] = []
        self._away = False
        self._news: list[asyncio.Event] = []

    # --- what tests look at and turn ---------------------------------------------------------------

    @property
    def away(self) -> bool:
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        if not away:
            for writer in self._writers:
                writer._deliver()
        self._tell()

    def fail_next(self, error: GantryError) -> None:
        self._failures.append(error)

    def records(self, topic: str, partition: int | None = None) -> list[Message]:
        """What lies in a partition, or in all of them, one after the other."""
        wanted = range(self.topics.specs[topic].partitions) if partition is None else [partition]
        return [m for p in wanted for m in self._logs[topic, p] if m.offset >= self._starts[topic, p]]

    def committed(self, group: str) -> dict[int, int]:
        return dict(self._groups[group].committed) if group in self._groups else {}

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Retention: records before this offset are gone."""
        self._starts[topic, partition] = max(before, self._starts[topic, partition])

    async def session_ends(self, group: str) -> None:
        """The sessions of static members that did not come back end: the others take over."""
        found = self._groups[group]
        found.lost.clear()
        await self._rebalance(found)

    async def rebalance(self, group: str) -> None:
        """Take every partition away from everybody and hand them out again."""
        await self._rebalance(self._groups[group])

    # --- what the adapter has, too -----------------------------------------------------------------

    @asynccontextmanager
    async def writer(
        self, *, buffer_bytes: int | None = None, patience_s: float | None = None
    ) -> AsyncIterator["Writer"]:
        if self.away:
            raise Retry("the fake broker is away")
        writer = Writer(self, buffer_bytes or self.buffer_bytes, self.patience_s if patience_s is None else patience_s)
        self._writers.append(writer)
        try:
            yield writer
        finally:
            self._writers.remove(writer)
            writer._close()

    @asynccontextmanager
    async def logs(self) -> AsyncIterator["LogReader"]:
        yield LogReader(self)

    @asynccontextmanager
    async def group(
        self,
        topic: str,
        group: str,
        *,
        instance: str | None,
        on_assigned: OnAssigned,
        on_revoked: OnRevoked,
        reset: str = "earliest",
        session_ms: int = 12_000,
        heartbeat_ms: int = 1_000,
        rebalance_ms: int = 15_000,
    ) -> AsyncIterator["GroupReader"]:
        if self.away:
            raise Retry("the fake broker is away")
        if topic not in self.topics.specs:
            raise Fatal(f"there is no topic {topic!r} in this installation")
        prefix = self.topics.prefix
        name = group.removeprefix(prefix)
        found = self._groups.setdefault(name, _Group(topic))
        reader = GroupReader(self, found, instance, on_assigned, on_revoked, reset)
        try:
            await self._join(found, reader)
            yield reader
        finally:
            await reader._gone()

    async def wait_until_reachable(self, say: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
        said = False
        while self.away and not (stop is not None and stop.is_set()):
            if not said:
                say("the fake broker is away; waiting for it")
                said = True
            await asyncio.sleep(0.01)

    async def topics_differ(self) -> list[str]:
        return []

    async def topics_misplace(self) -> list[str]:
        return []

    async def topics_create(self) -> list[str]:
        return []

    async def log_id(self) -> str:
        return self.log

    # --- inside ------------------------------------------------------------------------------------

    def _append(self, message: Message) -> int:
        log = self._logs[message.topic, message.partition]
        log.append(message)
        self._tell()
        return message.offset

    def _end(self, topic: str, partition: int) -> int:
        return len(self._logs[topic, partition])

    def _read(self, topic: str, partition: int, place: int) -> list[Message]:
        return self._logs[topic, partition][max(place, self._starts[topic, partition]) :]

    def _tell(self) -> None:
        for event in self._news:
            event.set()

    async def _wait_for_news(self, seconds: float) -> None:
        event = asyncio.Event()
        self._news.append(event)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation that comes with the news
                    await event.wait()
        finally:
            self._news.remove(event)

    async def _join(self, group: _Group, reader: "GroupReader") -> None:
        held = group.lost.pop(reader.instance, None) if reader.instance is not None else None
        group.members.append(reader)
        if held is not None:  # a static member is back in time: nobody else notices
            await reader._assign(held)
        else:
            await self._rebalance(group)

    async def _rebalance(self, group: _Group) -> None:
        async with group.moving:
            await asyncio.gather(*(member._revoke() for member in group.members))
            members = sorted(group.members, key=lambda m: m.instance or "")
            # Dead static members keep their share until their session ends.
            seats: list[GroupReader | None] = [*members, *(None for _ in group.lost)]
            shares: list[set[int]] = [set() for _ in seats]
            for partition in range(self.topics.specs[group.topic].partitions):
                if seats:
                    shares[partition % len(seats)].add(partition)
            for name, share in zip(group.lost, shares[len(members) :], strict=True):
                group.lost[name] = frozenset(share)
            await asyncio.gather(
                *(m._assign(frozenset(s)) for m, s in zip(members, shares, strict=False) if m in group.members)
            )


class Writer:
    """`ports.Writer` in memory."""

    def __init__(self, broker: Broker, buffer_bytes: int, patience_s: float) -> None:
        self._broker = broker
        self._buffer_bytes = buffer_bytes
        self._patience_s = patience_s
        self._waiting: list[tuple[Message, asyncio.Future[int], int]] = []
        self._turn = asyncio.Lock()
        self._failed: GantryError | None = None
        self._closed = False

    async def send(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> "asyncio.Future[int]":
        spec = self._broker.topics.specs.get(topic)
        if spec is None:
            raise Fatal(f"there is no topic {topic!r} in this installation")
        if key is None and value is None:
            raise Poison(f"topic {topic}: a record needs a key or a value")
        size = RECORD_OVERHEAD + len(key or b"") + len(value or b"") + sum(len(k) + len(v) for k, v in headers)
        if size > spec.max_record_bytes:
            raise Poison(f"topic {topic}: the record has {size} bytes, at most {spec.max_record_bytes} are allowed")
        if not 0 <= partition < spec.partitions:
            raise Fatal(f"topic {topic} has {spec.partitions} partitions, there is no partition {partition}")
        deadline = time.monotonic() + self._patience_s
        async with self._turn:
            while self._waiting and sum(s for _, _, s in self._waiting) + size > self._buffer_bytes:
                if time.monotonic() > deadline:
                    raise Retry(f"topic {topic}: no room for another record; the fake broker is away")
                await self._broker._wait_for_news(0.01)
            if self._closed:
                raise Retry("the writer is closed")
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            when = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
            message = Message(topic, partition, -1, when, key, value, tuple((k, bytes(v)) for k, v in headers))
            self._waiting.append((message, future, size))
        if not self._broker.away:
            asyncio.get_running_loop().call_soon(self._deliver)  # an acknowledgement never comes within the call
        return future

    async def flush(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while self._waiting:
            if self._broker.away and time.monotonic() > deadline:
                raise Retry("the fake broker acknowledged nothing; records wait for it")
            await asyncio.sleep(0.001)
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _deliver(self) -> None:
        if self._broker.away or self._closed:
            return
        waiting, self._waiting = self._waiting, []
        for message, future, _ in waiting:
            if self._broker._failures:
                self._refuse(future, self._broker._failures.pop(0))
                continue
            end = self._broker._end(message.topic, message.partition)
            placed = Message(
                message.topic,
                message.partition,
                end,
                message.timestamp_ms,
                message.key,
                message.value,
                message.headers,
            )
            offset = self._broker._append(placed)
            if not future.done():
                future.set_result(-1 if self._broker.forgets_offsets else offset)

    def _close(self) -> None:
        self._deliver()
        self._closed = True
        for _, future, _ in self._waiting:
            self._refuse(future, Retry("the writer was closed; whether the record is written is not known"))
        self._waiting.clear()

    def _refuse(self, future: "asyncio.Future[int]", error: GantryError) -> None:
        self._failed = self._failed or error
        if not future.done():
            future.set_exception(error)
            future.exception()


class GroupReader:
    """`ports.GroupReader` in memory."""

    def __init__(
        self,
        broker: Broker,
        group: _Group,
        instance: str | None,
        on_assigned: OnAssigned,
        on_revoked: OnRevoked,
        reset: str,
    ) -> None:
        self.instance = instance
        self._broker = broker
        self._group = group
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._reset = reset
        self._owned: frozenset[int] = frozenset()
        self._generation = 0
        self._places: dict[int, int] = {}
        self._paused: set[int] = set()
        self._settled = False
        self._failure: Exception | None = None
        self._left = False

    def owned(self) -> frozenset[int]:
        return self._owned

    def generation(self) -> int:
        return self._generation

    async def fetch(self, max_records: int, timeout_ms: int) -> list[Batch]:
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            if self._failure is not None:
                raise self._failure
            if self._left:
                raise Revoked("this member left its group")
            if got := self._take(max_records):
                return got
            if (left := deadline - time.monotonic()) <= 0:
                await asyncio.sleep(0)
                return []
            await self._broker._wait_for_news(left)

    async def commit(self, offsets: dict[int, int]) -> None:
        await asyncio.sleep(0)
        if gone := sorted(set(offsets) - self._owned):
            raise Revoked(f"partitions {gone} moved; the new owner repeats them")
        if self._broker.away:
            raise Retry("commit: the fake broker is away")
        self._group.committed.update(offsets)

    def pause(self, partitions: Sequence[int]) -> None:
        self._paused |= set(partitions) & self._owned

    def resume(self, partitions: Sequence[int]) -> None:
        self._paused -= set(partitions)
        self._broker._tell()

    async def positions(self) -> dict[int, tuple[int, int]]:
        if self._broker.away:
            return {}
        return {p: (self._places[p], self._broker._end(self._group.topic, p)) for p in sorted(self._owned)}

    async def leave(self) -> None:
        if self._left:
            return
        self._left = True
        self._owned = frozenset()
        self._group.members.remove(self)
        self._broker._tell()
        await self._broker._rebalance(self._group)

    async def _gone(self) -> None:
        """The context ended without leave: a static member is missed only when its session ends."""
        if self._left:
            return
        if self.instance is None:
            await self.leave()
            return
        self._left = True
        self._group.members.remove(self)
        self._group.lost[self.instance] = self._owned
        self._owned = frozenset()
        self._broker._tell()

    def _take(self, max_records: int) -> list[Batch]:
        if self._broker.away or not self._settled:
            return []
        out: list[Batch] = []
        for partition in sorted(self._owned - self._paused):
            found = self._broker._read(self._group.topic, partition, self._places[partition])[:max_records]
            if found:
                self._places[partition] = found[-1].offset + 1
                max_records -= len(found)
                out.append(Batch(self._group.topic, partition, found))
            if max_records == 0:
                break
        return out

    async def _revoke(self) -> None:
        self._settled = False
        try:
            if self._owned and self._failure is None:
                await self._on_revoked(self._owned)
        except Exception as exc:  # noqa: BLE001 - fetch raises it
            self._failure = exc
        self._owned = frozenset()
        self._paused.clear()

    async def _assign(self, partitions: frozenset[int]) -> None:
        self._owned = partitions
        self._generation += 1
        for p in partitions:
            end = self._broker._end(self._group.topic, p)
            fresh = self._broker._starts[self._group.topic, p] if self._reset == "earliest" else end
            self._places[p] = self._group.committed.get(p, fresh)
        try:
            await self._on_assigned(partitions)
        except Exception as exc:  # noqa: BLE001 - fetch raises it
            self._failure = exc
        self._settled = True
        self._broker._tell()


class LogReader:
    """`ports.LogReader` in memory."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def read_all(self, topic: str, partition: int) -> list[Message]:
        self._check(topic)
        await asyncio.sleep(0)
        if self._broker.away:
            raise Retry(f"reading {topic}: the fake broker is away")
        if partition >= self._broker.topics.specs[topic].partitions:
            raise Fatal(f"topic {topic} has no partition {partition}")
        return self._broker._read(topic, partition, 0)

    async def follow(
        self, topic: str, starts: dict[int, int] | None = None, *, partitions: Collection[int] | None = None
    ) -> AsyncGenerator[Message | None, None]:
        self._check(topic)
        broker = self._broker
        there = broker.topics.specs[topic].partitions
        for p in partitions or ():
            if p >= there:
                raise Fatal(f"topic {topic} has {there} partitions, there is no partition {p}")
        places = {p: (starts or {}).get(p, 0) for p in (range(there) if partitions is None else partitions)}
        told = False
        while True:
            for p, place in list(places.items()):
                for message in [] if broker.away else broker._read(topic, p, place):
                    places[p] = message.offset + 1
                    told = False
                    yield message
            behind = any(broker._read(topic, p, place) for p, place in places.items())
            if not broker.away and not told and not behind:
                told = True
                yield None
                continue  # something may have come while our caller was busy
            if broker.away or not behind:
                await broker._wait_for_news(1.0)

    async def ends(self, topic: str) -> dict[int, int]:
        self._check(topic)
        if self._broker.away:
            raise Retry(f"asking for the end of {topic}: the fake broker is away")
        return {p: self._broker._end(topic, p) for p in range(self._broker.topics.specs[topic].partitions)}

    def _check(self, topic: str) -> None:
        if topic not in self._broker.topics.specs:
            raise Fatal(f"there is no topic {topic!r} in this installation")
