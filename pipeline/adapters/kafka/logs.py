"""Reading whole partitions without a group."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.adapters.kafka.connection import Connection, abandon, in_our_words, partitions
from pipeline.errors import Fatal, Retry
from pipeline.ports import Message
from pipeline.wire.topics import Topics

log = logging.getLogger("gantry.kafka")

STUCK_S = 20.0
"""How long read_all goes without a record before it gives up."""
POLL_MS = 1000


class KafkaLogReader:
    """A `ports.LogReader`."""

    def __init__(self, connection: Connection, topics: Topics) -> None:
        self._connection = connection
        self._topics = topics
        self._asker: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection. Iterators of `follow` have their own, closed with them."""
        if self._asker is not None:
            asker, self._asker = self._asker, None
            await abandon(asker)

    async def read_all(self, topic: str, partition: int) -> list[Message]:
        """See `ports.LogReader`. Raises Retry; Fatal where there is no such topic or partition."""
        with in_our_words(f"reading {topic}"):
            async with self._open(topic) as (consumer, tps):
                tp = next((tp for tp in tps if tp.partition == partition), None)
                if tp is None:
                    raise Fatal(f"topic {topic} has {len(tps)} partitions, there is no partition {partition}")
                begin = (await consumer.beginning_offsets([tp]))[tp]
                end = (await consumer.end_offsets([tp]))[tp]
                if begin >= end:
                    return []
                consumer.assign([tp])
                consumer.seek(tp, begin)
                out: list[Message] = []
                heard = time.monotonic()
                while await consumer.position(tp) < end:
                    got = await consumer.getmany(timeout_ms=POLL_MS)
                    if got:
                        heard = time.monotonic()
                    elif time.monotonic() - heard > STUCK_S:
                        raise Retry(f"reading {topic}: kafka stopped answering")
                    out += [_message(topic, record) for records in got.values() for record in records]
                return [message for message in out if message.offset < end]

    async def follow(
        self, topic: str, starts: dict[int, int] | None = None, *, partitions: Collection[int] | None = None
    ) -> AsyncGenerator[Message | None, None]:
        """See `ports.LogReader`. Raises Fatal where there is no such topic or partition; close the iterator when done."""
        pause, places = 0.2, dict(starts or {})
        while True:
            try:
                with in_our_words(f"following {topic}"):
                    async with self._open(topic) as (consumer, there):
                        tps = _some(topic, there, partitions)
                        ends = await self._seek(consumer, tps, places)
                        pause = 0.2
                        async with aclosing(self._records(consumer, topic, ends)) as records:
                            async for message in records:
                                if message is not None:
                                    places[message.partition] = message.offset + 1
                                yield message
            except Retry as exc:
                # Mostly the first connection: once it stands, the client itself goes on after an outage.
                log.warning("%s; trying again", exc)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads retries, guards nothing
                pause = min(pause * 2, 5.0)

    async def ends(self, topic: str) -> dict[int, int]:
        """See `ports.LogReader`. Raises Retry; Fatal where there is no such topic."""
        with in_our_words(f"asking for the end of {topic}"):
            async with self._asking:
                if self._asker is None:
                    asker = self._connection.consumer()
                    await self._connection.start(asker)
                    self._asker = asker
            tps = await self._partitions(self._asker, topic, 5)
            got = await asyncio.wait_for(self._asker.end_offsets(tps), 5)
            return {tp.partition: end for tp, end in got.items()}

    async def _records(
        self, consumer: AIOKafkaConsumer, topic: str, ends: dict[TopicPartition, int]
    ) -> AsyncGenerator[Message | None, None]:
        """Records for ever, None at each end."""
        told = False
        while True:
            if not told and await self._at_end(consumer, ends):
                told = True
                yield None
            got = await consumer.getmany(timeout_ms=POLL_MS)
            for tp, records in got.items():
                told = False
                for record in records:
                    yield _message(topic, record)
                ends[tp] = max(ends[tp], consumer.highwater(tp) or 0)

    async def _at_end(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
        for tp, end in ends.items():
            if await consumer.position(tp) < end:
                return False
        return True

    async def _seek(
        self, consumer: AIOKafkaConsumer, tps: list[TopicPartition], starts: dict[int, int]
    ) -> dict[TopicPartition, int]:
        begins = await consumer.beginning_offsets(tps)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, max(begins[tp], starts.get(tp.partition, 0)))
        return ends

    @asynccontextmanager
    async def _open(self, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        consumer = self._connection.consumer(auto_offset_reset="earliest")
        await self._connection.start(consumer)
        try:
            yield consumer, await self._partitions(consumer, topic, 20)
        finally:
            await abandon(consumer)

    async def _partitions(self, consumer: AIOKafkaConsumer, topic: str, patience_s: float) -> list[TopicPartition]:
        found = await partitions(consumer._client, self._topics, topic, patience_s)  # noqa: SLF001 - shown nowhere
        return [TopicPartition(self._topics.name(topic), p) for p in sorted(found)]


def _some(topic: str, there: list[TopicPartition], wanted: Collection[int] | None) -> list[TopicPartition]:
    if wanted is None:
        return there
    if missing := set(wanted) - {tp.partition for tp in there}:
        raise Fatal(f"topic {topic} has {len(there)} partitions, there is no partition {min(missing)}")
    return [tp for tp in there if tp.partition in wanted]


def _message(topic: str, record: Any) -> Message:
    return Message(topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)
