"""Kafka, by aiokafka. Nothing of aiokafka, neither a type nor an error nor a log line, passes this door."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from pipeline.adapters.kafka.admin import create_topics, differences, read_log_id, write_log_id, wrong_widths
from pipeline.adapters.kafka.connection import Connection
from pipeline.adapters.kafka.group import KafkaGroupReader
from pipeline.adapters.kafka.logs import KafkaLogReader
from pipeline.adapters.kafka.security import Security
from pipeline.adapters.kafka.writer import KafkaWriter
from pipeline.ports import OnAssigned, OnRevoked
from pipeline.wire.topics import Topics

__all__ = ["Kafka", "KafkaGroupReader", "KafkaLogReader", "KafkaWriter", "Security"]


class Kafka:
    """One installation's topics on one Kafka.

    Args:
        servers: "host:port" of one or more brokers.
        topics: names and sizes; callers say topic names without the prefix.
        client_id: how the broker's own log names us.
        security: passwords and certificates; none: plaintext.

    Raises:
        Fatal: a server is no host:port, or a certificate's file cannot be read.
    """

    def __init__(
        self, *, servers: Sequence[str], topics: Topics, client_id: str, security: Security | None = None
    ) -> None:
        self.topics = topics
        self.connection = Connection(servers=servers, client_id=client_id, security=security or Security())

    @asynccontextmanager
    async def writer(
        self, *, buffer_bytes: int = 32 * 1024 * 1024, patience_s: float = 30.0
    ) -> AsyncIterator[KafkaWriter]:
        """Open a writer; leaving the context sends what is left, for at most 5 s.

        Args:
            buffer_bytes: how much may wait for the broker; `send` waits beyond that.
            patience_s: how long `send` waits for room and `flush` without any progress, before they raise Retry.

        Raises:
            Retry: no broker answers.
            Fatal: the broker refuses us.
        """
        writer = KafkaWriter(self.connection, self.topics, buffer_bytes=buffer_bytes, patience_s=patience_s)
        await writer.start()
        try:
            yield writer
        finally:
            await writer.close()

    @asynccontextmanager
    async def logs(self) -> AsyncIterator[KafkaLogReader]:
        """Open a reader without a group. It connects when it is asked something."""
        reader = KafkaLogReader(self.connection, self.topics)
        try:
            yield reader
        finally:
            await reader.close()

    @asynccontextmanager
    async def group(
        self,
        topic: str,
        group: str,
        *,
        instance: str | None,
        on_assigned: OnAssigned,
        on_revoked: OnRevoked,
        reset: Literal["earliest", "latest"] = "earliest",
        session_ms: int = 12_000,
        heartbeat_ms: int = 1_000,
        rebalance_ms: int = 15_000,
    ) -> AsyncIterator[KafkaGroupReader]:
        """Join a consumer group; partitions come with `on_assigned`, while `fetch` waits.

        Args:
            topic: without the prefix.
            group: its full name; the prefix is put before it where it is missing.
            instance: a name that stays the same over restarts makes a static member: if it is back within
                session_ms nobody else notices. Two living processes must not share it.
            on_assigned: called with all partitions of the new assignment before any record of it is handed out.
            on_revoked: called with the partitions that go, while they can still be committed. It has
                rebalance_ms in all.
            reset: where to begin a partition nobody committed, or whose offset retention has passed.

        Leaving the context stops reading. A static member that did not `leave()` keeps its partitions until
        its session ends.

        Raises:
            Retry: no broker answers.
            Fatal: the topic is missing, or the broker refuses us.
        """
        reader = KafkaGroupReader(
            self.connection,
            self.topics,
            topic,
            group if group.startswith(self.topics.prefix) else self.topics.prefix + group,
            instance=instance,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
            reset=reset,
            session_ms=session_ms,
            heartbeat_ms=heartbeat_ms,
            rebalance_ms=rebalance_ms,
        )
        await reader.start()
        try:
            yield reader
        finally:
            await reader.close()

    async def wait_until_reachable(self, say: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
        """Return when a broker answers, or when `stop` is set. `say` gets one line at first and every 30 s.

        Raises:
            Fatal: the broker answers, but will never have us (password, certificate, protocol).
        """
        await self.connection.wait_until_reachable(say, stop)

    async def topics_differ(self) -> list[str]:
        """What is not as it should be, one plain sentence a difference; empty if all is well. Raises Retry, Fatal."""
        return await differences(self.connection, self.topics)

    async def topics_misplace(self) -> list[str]:
        """Which topics have another number of partitions than ours: records would go, and be sought, where they are not.

        Topics that do not exist are left to whoever needs them. Asks less than `topics_differ`, and of any broker.

        Raises:
            Retry, Fatal.
        """
        return await wrong_widths(self.connection, self.topics)

    async def topics_create(self) -> list[str]:
        """Create the topics that are missing and write the log id if there is none.

        Returns:
            What it made, one line each. What exists is left as it is: `topics_differ` tells about that.

        Raises:
            Retry, Fatal.
        """
        made = await create_topics(self.connection, self.topics)
        async with self.writer() as writer, self.logs() as logs:
            return made + await write_log_id(writer, logs)

    async def log_id(self) -> str:
        """The id that `topics_create` wrote. Raises Retry; Fatal when there is none."""
        async with self.logs() as logs:
            return await read_log_id(logs)
