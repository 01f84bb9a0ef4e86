"""Reaching Kafka: settings for every client, errors in our words, and quiet, once-told outages."""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    IllegalStateError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownProducerId,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from pipeline.adapters.kafka.security import Security
from pipeline.errors import Fatal, GantryError, Poison, Retry, Revoked
from pipeline.wire.topics import Topics

log = logging.getLogger("gantry.kafka")

REQUEST_MS = 20_000
"""How long one request may take. Joining a group waits for its rebalance, so this is more than rebalance_ms."""

_NOT_ALLOWED = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
_SEQUENCE_LOST = (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)


_WORDS: tuple[tuple[tuple[type[BaseException], ...], type[GantryError], str], ...] = (
    (
        (CommitFailedError, IllegalStateError),
        Revoked,
        "the partition moved; its new owner repeats this work",
    ),
    (
        (MessageSizeTooLargeError, RecordListTooLargeError),
        Poison,
        "the broker takes no record of this size; compare its limits with ours: gantry topics apply --check",
    ),
    (_NOT_ALLOWED, Fatal, "the broker does not allow it ({what}); check user, password and access rules"),
    ((UnsupportedVersionError,), Fatal, "the broker is too old or too new for this client ({what})"),
    (_SEQUENCE_LOST, Retry, "the broker forgot this writer ({what}); whether the record is written is not known"),
    ((ssl.SSLCertVerificationError,), Fatal, "the broker's certificate is not trusted ({what}); check ca_file"),
    ((KafkaTimeoutError, OSError), Retry, "kafka does not answer ({what})"),
)
"""What each kind of error means to the caller; the first that fits counts."""


def translated(exc: BaseException, doing: str) -> GantryError:
    """An error of aiokafka (or of the network below it) as one of our four; `doing` begins its text."""
    if isinstance(exc, GantryError):
        return exc
    what = _short(exc)
    for kinds, ours, words in _WORDS:
        if isinstance(exc, kinds):
            return ours(f"{doing}: {words.format(what=what)}")
    if getattr(exc, "retriable", False):
        return Retry(f"{doing}: kafka does not answer ({what})")
    return Fatal(f"{doing}: {what}")


@contextmanager
def in_our_words(doing: str) -> Iterator[None]:
    """Turn what aiokafka raises into Retry, Revoked, Poison or Fatal."""
    try:
        yield
    except (KafkaError, OSError) as exc:
        raise translated(exc, doing) from exc


class Connection:
    """How to reach one Kafka, checked once. It opens the clients; who opened one closes it.

    Raises:
        Fatal: a server is no host:port, or a certificate's file cannot be read.
    """

    def __init__(self, *, servers: Sequence[str], client_id: str, security: Security) -> None:
        if not servers:
            raise Fatal("kafka: no servers are named; give at least one host:port")
        self.servers = list(servers)
        try:
            self._hosts = [(host, port) for host, port, _ in collect_hosts(self.servers, randomize=False)]
        except ValueError as exc:
            raise Fatal(f"kafka: a server is written host:port, got {', '.join(self.servers)}") from exc
        self.settings: dict[str, Any] = {
            "client_id": client_id,
            "request_timeout_ms": REQUEST_MS,
            "security_protocol": security.protocol.upper(),
        }
        if sasl := security.sasl:
            words = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
            self.settings |= dict(zip(words, sasl, strict=True))
        if trust := security.trust():
            self.settings["ssl_context"] = trust
        quiet()

    def __str__(self) -> str:
        return ", ".join(self.servers)

    def producer(self, **options: Any) -> AIOKafkaProducer:
        """A producer that is not started."""
        producer = AIOKafkaProducer(bootstrap_servers=self.servers, **self.settings, **options)
        producer.client.cluster.add_listener(_outage.over)
        return producer

    def consumer(self, **options: Any) -> AIOKafkaConsumer:
        """A consumer that is not started; it commits nothing by itself."""
        settings: dict[str, Any] = {
            "enable_auto_commit": False,
            "fetch_max_wait_ms": 100,
            # A record of the greatest size must fit; a worker holds at most this much of each partition.
            "max_partition_fetch_bytes": 4 * 1024 * 1024,
            "fetch_max_bytes": 16 * 1024 * 1024,
            "metadata_max_age_ms": 30_000,  # so soon after an outage we can say that it is over
        }
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, **self.settings, **settings | options)
        consumer._client.cluster.add_listener(_outage.over)  # noqa: SLF001 - the consumer shows its client nowhere
        return consumer

    async def start(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        """Start a client within REQUEST_MS.

        Raises:
            Retry: no broker answers.
            Fatal: the broker refuses us.
        """
        try:
            # A producer that reaches a broker which does not answer would wait for its number for ever.
            async with asyncio.timeout(REQUEST_MS / 1000):
                await client.start()
        except (KafkaError, OSError) as exc:
            await abandon(client)
            raise await self.why_not(exc) from exc
        except BaseException:
            await abandon(client)
            raise

    async def why_not(self, exc: BaseException | None = None) -> GantryError:
        """Why no broker can be used right now (aiokafka itself only says that it failed)."""
        said = exc
        for host, port in self._hosts:
            try:
                options = {key: value for key, value in self.settings.items() if key != "request_timeout_ms"}
                conn = await create_conn(host, port, request_timeout_ms=5_000, **options)
            except (KafkaError, OSError) as why:
                error = translated(why, f"kafka at {host}:{port}")
                if isinstance(error, Fatal):
                    return error
                said = why
            else:
                conn.close()
                return Retry(f"kafka at {host}:{port}: it takes connections but is not ready yet")
        return Retry(f"kafka at {self}: no broker answers ({_short(said)})")

    async def wait_until_reachable(self, say: Callable[[str], None], stop: asyncio.Event | None) -> None:
        """See `Kafka.wait_until_reachable`."""
        pause, began, said = 0.2, time.monotonic(), None
        while not (stop is not None and stop.is_set()):
            client = AIOKafkaClient(bootstrap_servers=self.servers, **self.settings)
            try:
                await client.bootstrap()
            except (KafkaError, OSError) as exc:
                error = await self.why_not(exc)
                if isinstance(error, Fatal):
                    raise error from exc
            else:
                if said is not None:
                    say(f"kafka at {self} answers after {time.monotonic() - began:.0f} s")
                return
            finally:
                await client.close()
            if said is None or time.monotonic() - said > _SAY_AGAIN_S:
                said = time.monotonic()
                say(f"{error}; waiting for it")
            await _sleep(random.uniform(pause / 2, pause), stop)  # noqa: S311 - spreads retries, guards nothing
            pause = min(pause * 2, 5.0)


async def partitions(client: AIOKafkaClient, topics: Topics, topic: str, patience_s: float) -> set[int]:
    """The partitions of a topic, as the broker knows them.

    aiokafka calls a missing topic and a missing broker by one name; here they are told apart.

    Raises:
        Retry: no broker answers for patience_s.
        Fatal: the topic does not exist, or we may not see it.
    """
    try:
        name = topics.name(topic)
    except KeyError:
        raise Fatal(f"there is no topic {topic!r} in this installation") from None
    deadline, absent = time.monotonic() + patience_s, 0
    while (found := client.cluster.partitions_for_topic(name)) is None:
        # The first look adds the name to what this client asks for, so only a later answer counts. A topic made
        # a moment ago takes a moment to be known.
        client.add_topic(name)
        answered = await client.force_metadata_update()
        absent = absent + 1 if answered else 0
        if name in client.cluster.unauthorized_topics:
            raise Fatal(f"the broker does not allow us topic {name}; check its access rules")
        if absent > _LOOKS_FOR_A_TOPIC:
            raise Fatal(f"topic {name} does not exist; run: gantry topics apply")
        if time.monotonic() > deadline:
            raise Retry(f"topic {name}: kafka does not answer")
        await asyncio.sleep(0.1)
    return set(found)


async def abandon(client: AIOKafkaProducer | AIOKafkaConsumer, within_s: float = 5.0) -> None:
    """Stop a client for good, whatever state it is in, and never raise. A producer: see `drop`, too.

    A stop waits for brokers that are away, and aiokafka's own cancelled tasks can break it half-way; then its
    connections are closed all the same.
    """
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait({stopping}, timeout=within_s)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    await _disconnect(client)
    if not stopping.done():
        await asyncio.wait({stopping}, timeout=1.0)
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=1.0)


async def drop(producer: AIOKafkaProducer) -> None:
    """Stop a producer that holds records nobody acknowledged: its own stop() would wait for them for ever."""
    producer._closed = True  # noqa: SLF001 - it is closed here, piece by piece
    sender = producer._sender.sender_task  # noqa: SLF001 - shown nowhere
    if sender is not None:
        sender.cancel()
        await asyncio.wait({sender}, timeout=1.0)
    await _disconnect(producer)  # a request that waits for its answer ends with its connection
    if sender is not None:
        await asyncio.wait({sender}, timeout=1.0)


async def _disconnect(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 - shown nowhere
    with suppress(Exception):
        await inner.close()


async def _sleep(seconds: float, stop: asyncio.Event | None) -> None:
    if stop is None:
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _short(exc: BaseException | None) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return str(exc) or type(exc).__name__


# --- aiokafka's own log ---------------------------------------------------------------------------

_SAY_AGAIN_S = 30.0
_LOOKS_FOR_A_TOPIC = 30  # with pauses of 0.1 s


class _Outage(logging.Handler):
    """Says once that Kafka is away and once that it is back, instead of aiokafka's line for every attempt."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._since: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Judge one line of aiokafka."""
        if record.exc_info is not None and record.exc_info[1] is not None:
            exc = record.exc_info[1]
            log.error("kafka client: %s (%s: %s)", record.getMessage(), type(exc).__name__, exc)
        elif str(record.msg).startswith("Unable to update metadata from"):  # no broker we know of answered
            if self._since is None:
                self._since = time.monotonic()
                log.warning("kafka does not answer; work waits for it")
        else:
            log.debug("kafka client: %s", record.getMessage())

    def over(self, _cluster: object) -> None:
        """A broker answered."""
        if self._since is not None:
            log.warning("kafka answers again after %.0f s", time.monotonic() - self._since)
            self._since = None


_outage = _Outage()


def quiet() -> None:
    """Take aiokafka's own log in hand: it prints a line per attempt, and tracebacks, while a broker is away."""
    theirs = logging.getLogger("aiokafka")
    if _outage not in theirs.handlers:
        theirs.addHandler(_outage)
    theirs.propagate = False
