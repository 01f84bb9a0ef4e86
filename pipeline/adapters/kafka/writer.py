"""Appending to logs: idempotent, acknowledged, in the order of the calls, with bounded memory."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata

from pipeline.adapters.kafka.connection import Connection, abandon, drop, partitions, translated
from pipeline.errors import Fatal, GantryError, Poison, Retry
from pipeline.wire.topics import MAX_RECORD_BYTES, Topics

BATCH_BYTES = 256 * 1024
"""Records of one partition travel together up to this size (a larger record travels alone). It is less than any
topic's limit, which the broker holds against the whole batch."""

UNKNOWN_OFFSET = -1


class KafkaWriter:
    """A `ports.Writer`.

    While the broker is away records wait in the buffer, however long, and go out in order when it is back; none
    is lost or doubled as long as this process lives. Waiting longer than patience_s for room raises Retry, and
    then that record was not taken.

    If the broker forgets us (it lost its data), what was on its way raises Retry from the awaitables - whether
    it is written is then not known - and the next `send` begins anew.
    """

    def __init__(self, connection: Connection, topics: Topics, *, buffer_bytes: int, patience_s: float) -> None:
        self._connection = connection
        self._topics = topics
        self._buffer_bytes = buffer_bytes
        self._patience_s = patience_s
        self._producer: AIOKafkaProducer | None = None
        self._broken = False  # one batch failed: every later sequence number of its partition would fail too
        self._renewing = asyncio.Lock()
        # aiokafka wakes all who wait for room in a batch at once, and a newcomer may overtake them.
        self._turn: dict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: dict[asyncio.Future[int], int] = {}  # not acknowledged yet -> bytes
        self._waiting_bytes = 0
        self._acknowledged = asyncio.Event()  # set and cleared at each answer
        self._failed: GantryError | None = None

    async def start(self) -> None:
        """Connect. Raises Retry, Fatal."""
        producer = self._connection.producer(
            enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES, max_request_size=2 * MAX_RECORD_BYTES
        )
        # aiokafka drops a batch that waited for a leader longer than a request may take, even if idempotent:
        # after an outage of a minute that loses records. Ours never expire.
        producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 - there is no setting for it
        await self._connection.start(producer)
        self._producer, self._broken = producer, False

    async def close(self, within_s: float = 5.0) -> None:
        """Send what is left, for at most within_s; what is not acknowledged then raises Retry at its awaitable."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._all_answered()
        if not self._waiting:
            await abandon(producer)
            return
        await drop(producer)
        for answer in list(self._waiting):
            self._settle(answer, Retry("the writer was closed; whether the record is written is not known"))

    async def send(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[int]:
        """See `ports.Writer.send`. The awaitable ends when the broker acknowledges, however long it is away."""
        size = self._fits(topic, key, value, headers)
        try:
            async with asyncio.timeout(self._patience_s), self._turn[topic, partition]:
                while True:
                    await self._room(size)
                    if (
                        taken := await self._hand_over(topic, partition, key, value, headers, timestamp_ms)
                    ) is not None:
                        return self._watch(taken, topic, size)
        except TimeoutError as exc:
            raise Retry(
                f"topic {topic}: no room for another record after {self._patience_s:.0f} s; kafka is away"
            ) from exc

    async def flush(self) -> None:
        """See `ports.Writer.flush`.

        Raises the first failure since the last flush, also one that an awaitable already told; Retry if nothing
        at all is acknowledged for patience_s (the records keep waiting).
        """
        while self._waiting:
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._next_answer()
            except TimeoutError as exc:
                raise Retry(f"kafka acknowledged nothing for {self._patience_s:.0f} s; records wait for it") from exc
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _fits(self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
        if topic not in self._topics.specs:
            raise Fatal(f"there is no topic {topic!r} in this installation")
        if key is None and value is None:
            raise Poison(f"topic {topic}: a record needs a key or a value")
        size = int(DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers)))
        limit = self._topics.specs[topic].max_record_bytes
        if size > limit:
            raise Poison(f"topic {topic}: the record has {size} bytes, at most {limit} are allowed")
        return size

    async def _room(self, size: int) -> None:
        while self._waiting and self._waiting_bytes + size > self._buffer_bytes:
            await self._next_answer()

    async def _all_answered(self) -> None:
        while self._waiting:
            await self._next_answer()

    async def _next_answer(self) -> None:
        self._acknowledged.clear()
        await self._acknowledged.wait()

    async def _hand_over(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int | None,
    ) -> "asyncio.Future[RecordMetadata] | None":
        """The future of a record the client took; None: ask again."""
        producer = await self._ready()
        known = producer.client.cluster.partitions_for_topic(self._topics.name(topic))
        if known is None:
            known = await partitions(producer.client, self._topics, topic, self._patience_s)
        if partition not in known:
            raise Fatal(f"topic {topic} has {len(known)} partitions, there is no partition {partition}")
        try:
            taken: asyncio.Future[RecordMetadata] = await producer.send(
                self._topics.name(topic), value, key, partition, timestamp_ms, list(headers)
            )
        except UnknownTopicOrPartitionError:  # it vanished just now, as it does while a broker comes back
            return None
        except KafkaError as exc:
            error = translated(exc, f"topic {topic}")
            if isinstance(error, Retry):  # full for a whole request time, or the client's own task died
                self._broken = self._broken or producer._sender.sender_task.done()  # noqa: SLF001 - shown nowhere
                await asyncio.sleep(0.1)
                return None
            raise error from exc
        return taken

    async def _ready(self) -> AIOKafkaProducer:
        if self._broken:
            async with self._renewing:
                if self._broken and self._producer is not None:
                    old = self._producer
                    # Every record of the old one must have its answer before a new one may overtake it.
                    while self._waiting and not old._sender.sender_task.done():  # noqa: SLF001 - shown nowhere
                        await self._next_answer()
                    await abandon(old, 1.0)
                    await self.start()
        if self._producer is None:
            raise Retry("the writer is closed")
        return self._producer

    def _watch(self, taken: "asyncio.Future[RecordMetadata]", topic: str, size: int) -> asyncio.Future[int]:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = size
        self._waiting_bytes += size

        def done(taken: "asyncio.Future[RecordMetadata]") -> None:
            if (exc := taken.exception()) is None:
                self._settle(answer, _offset(taken.result()))
            else:
                error = translated(exc, f"topic {topic}")
                error.__cause__ = exc
                self._broken = True
                self._settle(answer, error)

        taken.add_done_callback(done)
        return answer

    def _settle(self, answer: asyncio.Future[int], outcome: int | GantryError) -> None:
        self._waiting_bytes -= self._waiting.pop(answer)
        if isinstance(outcome, GantryError):
            self._failed = self._failed or outcome
        if not answer.done():  # else nobody waits for it any more
            if isinstance(outcome, GantryError):
                answer.set_exception(outcome)
                answer.exception()  # flush tells it too, so nobody needs to look here
            else:
                answer.set_result(outcome)
        self._acknowledged.set()


def _offset(record: RecordMetadata) -> int:
    # For a repeat that the broker knows but whose place it forgot, aiokafka counts on from -1.
    return UNKNOWN_OFFSET if record.log_start_offset == -1 else int(record.offset)
