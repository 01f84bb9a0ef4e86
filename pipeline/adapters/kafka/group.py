"""A member of a consumer group: reads the partitions the group gives it, commits by hand."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

from pipeline.adapters.kafka.connection import Connection, abandon, in_our_words, partitions
from pipeline.errors import Fatal, Revoked
from pipeline.ports import Batch, Message, OnAssigned, OnRevoked
from pipeline.wire.topics import Topics

log = logging.getLogger("gantry.kafka")

COMMIT_S = 10.0
ASK_S = 3.0
NEVER_MS = 2**31 - 1
"""aiokafka throws a member out of its group that reads nothing for long, and an idle one never comes back; that
we make progress is watched elsewhere."""
THEFTS, THEFT_WINDOW_S = 4, 60.0


class KafkaGroupReader:
    """A `ports.GroupReader`. Pauses end with the assignment they were made under."""

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        topic: str,
        group: str,
        *,
        instance: str | None,
        on_assigned: OnAssigned,
        on_revoked: OnRevoked,
        reset: str,
        session_ms: int,
        heartbeat_ms: int,
        rebalance_ms: int,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._topic = topic
        self._group = group
        self._instance = instance
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._consumer = connection.consumer(
            group_id=group,
            group_instance_id=instance,
            auto_offset_reset=reset,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=heartbeat_ms,
            rebalance_timeout_ms=rebalance_ms,
            max_poll_interval_ms=NEVER_MS,
        )
        self._owned: frozenset[int] = frozenset()
        self._generation = 0
        self._rebalances = 0
        self._settled = asyncio.Event()  # partitions are ours and on_assigned is through; or something failed
        self._fetching: asyncio.Task[tuple[int, dict[TopicPartition, list[Any]]]] | None = None
        self._failure: BaseException | None = None
        self._thefts: list[float] = []
        self._closed = False

    async def start(self) -> None:
        """Connect and ask to join. Raises Retry, Fatal."""
        await self._connection.start(self._consumer)
        try:
            await partitions(self._consumer._client, self._topics, self._topic, 20)  # noqa: SLF001 - shown nowhere
            # Only now: start() with a topic would wait for the group for ever while its coordinator is away.
            self._consumer.subscribe([self._topics.name(self._topic)], listener=_Listener(self))
        except BaseException:
            await self.close()
            raise

    def owned(self) -> frozenset[int]:
        """See `ports.GroupReader`. They stay ours until on_revoked is through."""
        return self._owned

    def generation(self) -> int:
        """See `ports.GroupReader`."""
        return self._generation

    async def fetch(self, max_records: int, timeout_ms: int) -> list[Batch]:
        """See `ports.GroupReader`. Never hands out records of an assignment that is over.

        Raises:
            Retry: try again.
            Fatal: the broker refuses us, or another process uses our member name.
            Exception: what on_assigned or on_revoked raised.
        """
        self._check()
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        if self._fetching is None:
            if not await self._settles(deadline):
                return []
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            self._fetching = asyncio.create_task(self._get(max_records, int(left * 1000)))
        # While the group rebalances aiokafka waits without a limit, and a cancelled wait makes it believe for
        # ever that we are reading; so the task is kept and asked again.
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait({self._fetching}, timeout=left + 0.05)
        if not self._fetching.done() or not await self._settles(deadline):
            return []
        task, self._fetching = self._fetching, None
        with in_our_words(f"reading {self._topic}"):
            try:
                rebalances, got = task.result()
            except ConsumerStoppedError as exc:
                raise Revoked("this member left its group") from exc
        if rebalances != self._rebalances:  # drained under an assignment that is over: read again by the next owner
            return []
        return [
            Batch(self._topic, tp.partition, [_message(self._topic, record) for record in records])
            for tp, records in got.items()
        ]

    async def commit(self, offsets: dict[int, int]) -> None:
        """See `ports.GroupReader`.

        Raises:
            Revoked: a partition is not ours any more, or the group moved on without us.
            Retry: no broker answers within 10 s.
        """
        if not offsets:
            return
        gone = sorted(set(offsets) - self._owned)
        coordinator = self._consumer._coordinator  # noqa: SLF001 - shown nowhere
        # Without a generation the broker would take the commit for that of an administrator.
        if gone or self._closed or coordinator.generation < 1:
            raise Revoked(
                f"group {self._group}: partitions {gone or sorted(offsets)} moved; the new owner repeats them"
            )
        name = self._topics.name(self._topic)
        with in_our_words(f"group {self._group}: commit"):
            # aiokafka tries for ever while the broker is away.
            await asyncio.wait_for(
                self._consumer.commit({TopicPartition(name, p): offset for p, offset in offsets.items()}), COMMIT_S
            )

    def pause(self, partitions: Sequence[int]) -> None:
        """See `ports.GroupReader`; those that are not ours are left out."""
        self._consumer.pause(*self._mine(partitions))

    def resume(self, partitions: Sequence[int]) -> None:
        """See `ports.GroupReader`; those that are not ours are left out."""
        self._consumer.resume(*self._mine(partitions))

    async def positions(self) -> dict[int, tuple[int, int]]:
        """See `ports.GroupReader`. Empty while no broker answers."""
        mine = self._mine(self._owned)
        if not mine:
            return {}
        with suppress(KafkaError, TimeoutError, OSError):
            ends = await asyncio.wait_for(self._consumer.end_offsets(mine), ASK_S)
            places = await asyncio.gather(*(self._position(tp) for tp in mine))
            return {
                tp.partition: (place, ends[tp])
                for tp, place in zip(mine, places, strict=True)
                if place is not None and tp in ends
            }
        return {}

    async def leave(self) -> None:
        """See `ports.GroupReader`. on_revoked is not called: commit before leaving."""
        if self._consumer._coordinator is not None:  # noqa: SLF001 - see below
            # A static member does not say goodbye, so its partitions would lie unread until its session ends;
            # a member without this name does, and the broker takes the goodbye by member id.
            self._consumer._coordinator._group_instance_id = None  # noqa: SLF001 - there is no public way
        await self.close()

    async def close(self) -> None:
        """Stop reading; a static member keeps its place in the group until its session ends."""
        if self._closed:
            return
        self._closed = True
        self._owned = frozenset()
        await abandon(self._consumer)
        if self._fetching is not None:  # ends with the consumer
            await asyncio.wait({self._fetching}, timeout=1.0)
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
            if not self._fetching.cancelled():
                self._fetching.exception()
        self._settled.set()

    async def revoked(self) -> None:
        """Called by aiokafka before the group is joined again."""
        self._rebalances += 1
        self._settled.clear()
        self._count_thefts()
        gone = self._owned
        try:
            if gone and self._failure is None:
                await self._on_revoked(gone)
        except Exception as exc:  # noqa: BLE001 - it is raised again where our caller sees it
            self._fail(exc)
        finally:
            self._owned = frozenset()

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Called by aiokafka when the group has given us partitions."""
        rebalances = self._rebalances
        self._owned = partitions
        self._generation += 1
        log.info("group %s: partitions %s are ours", self._group, sorted(partitions) or "none")
        try:
            await self._on_assigned(partitions)
        except Exception as exc:  # noqa: BLE001 - it is raised again where our caller sees it
            self._fail(exc)
        if rebalances == self._rebalances:
            self._settled.set()

    def _fail(self, exc: BaseException) -> None:
        self._failure = self._failure or exc
        self._settled.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise Revoked("this member left its group")

    async def _settles(self, deadline: float) -> bool:
        """Whether partitions are ours before the deadline."""
        if not self._settled.is_set():
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), left)
            if not self._settled.is_set():
                # The group's own trouble (no access, a member name in use) waits here until somebody looks.
                with in_our_words(f"group {self._group}"):
                    self._consumer._coordinator.check_errors()  # noqa: SLF001 - getmany would wait instead
                return False
        self._check()
        return True

    async def _get(self, max_records: int, timeout_ms: int) -> tuple[int, dict[TopicPartition, list[Any]]]:
        got = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        return self._rebalances, got  # no await between: the number belongs to these records

    async def _position(self, tp: TopicPartition) -> int | None:
        with suppress(TimeoutError, IllegalStateError):
            return int(await asyncio.wait_for(self._consumer.position(tp), ASK_S))
        return None

    def _mine(self, partitions: Sequence[int] | frozenset[int]) -> list[TopicPartition]:
        name = self._topics.name(self._topic)
        held = self._consumer.assignment()
        return [tp for p in sorted(partitions) if p in self._owned and (tp := TopicPartition(name, p)) in held]

    def _count_thefts(self) -> None:
        """Two processes with one member name throw each other out once a heartbeat, and neither is told."""
        if self._instance is None or not self._owned or self._consumer._coordinator.generation > 0:  # noqa: SLF001
            return  # a common rebalance keeps its generation until here
        now = time.monotonic()
        self._thefts = [t for t in self._thefts if now - t < THEFT_WINDOW_S] + [now]
        if len(self._thefts) >= THEFTS:
            self._fail(
                Fatal(
                    f"group {self._group}: another process uses the member name {self._instance!r}; "
                    "give each process its own, or stop the other one"
                )
            )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands aiokafka's calls on."""

    def __init__(self, reader: KafkaGroupReader) -> None:
        self._reader = reader

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:  # noqa: ARG002 - always all of them
        await self._reader.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._reader.assigned(frozenset(tp.partition for tp in assigned))


def _message(topic: str, record: Any) -> Message:
    return Message(topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


__all__ = ["KafkaGroupReader"]
