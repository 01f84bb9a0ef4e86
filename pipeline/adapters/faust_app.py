"""Faust: carries folds as one member of a consumer group. Its words and its traps stop here.

What Faust gives us: agents on topics, tables that live in compacted changelog topics and are read back when a
partition comes to us, an assignor that gives one process the same partition of all topics of a fold.

What we do not leave to it, and why (read in the source of faust-streaming 0.15.3):

- **Acknowledging.** A stream acknowledges every event it *skips*, `noack` or not (`Stream._py_aiter`, the
  `finally`): what it was about to hand over when the flow was suspended for a stop or a rebalance is committed
  without having been processed. Its gap book-keeping commits too far as well. So our topics are declared with
  `acks=False`, Faust commits nothing at all, and `_Carrier` stores the offsets of what is really done.
- **Positions.** After a rebalance Faust seeks to the committed offsets, but when the first records may already
  be on their way, and it leaves a partition nobody committed where its fetcher happens to be, past records it
  has dropped. We seek earlier, when the tables are read back, to the log's start if need be; and `_Carrier` checks
  that no offset is left out before it commits the next.
- **Changelog writes.** `table[key] = value` only puts the record into a buffer; if the send fails, Faust logs a
  warning and commits on. `_Table` keeps the future of the send, and we wait for it before we go on.
- **Recovery.** Faust takes the last record of a key. A thawed old owner may have written that one, so `_Table`
  merges all records of a key that are still there. Faust tells the end of a recovery by an event that it clears in
  the same breath: when the last record comes before it began to wait, it waits for ever. `_Recovery` keeps it set.
- **The first records.** When its tables are read back, Faust lets the partitions go, and then empties the queues of
  all streams (`FlowControlEvent.resume`): what was put there between is gone. `_Consumer` lets ours go after that.
- **Stopping.** Crash-only: take nothing new, let the step in hand finish, commit, say goodbye, go. Faust's own
  stop comes last, with a time limit, and has nothing left that it could lose.

Privates we touch (0.15.3; the tests on a real broker hold us to them): `Consumer._new_consumer_thread`, `_read_offset`,
`AIOKafkaConsumerThread._ensure_consumer`, `App._consumer`, aiokafka's `_coordinator._group_instance_id`,
`Store._key_partition`, `TableManager._recovery`, `Recovery._set_recovery_started`.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import faust
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, KafkaTimeoutError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.exceptions import ProducerSendError
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread

from pipeline.adapters.kafka import Security
from pipeline.errors import Fatal, GantryError, Retry
from pipeline.ports import Fold, Message, Meter, Outgoing
from pipeline.wire.topics import MAX_RECORD_BYTES, Topics

log = logging.getLogger("gantry.aggregate")

TICK_S = 1.0  # commits, metrics and the watch
DRAIN_S = 5.0  # for the step in hand when we stop
GOODBYE_S = 3.0  # for leaving the group, and again for Faust's own stop
COMMIT_S = 5.0  # then we look around and try again
REQUEST_S = 40.0  # how long a write waits for a broker that is away before the process gives up
STANDSTILL_S = 120.0  # no recovery takes longer, and no record waits longer


class FaustRunner:
    """Runs folds (see `ports.FoldRunner`); one run per object.

    Args:
        servers: `host:port` of some brokers.
        topics: names; all topics of the folds exist already.
        group: the consumer group, without the prefix.
        meter: for `gantry_aggregate_*`.
        instance: a name that survives a restart, so that a quick restart moves no partition; unique.
        security, sasl_mechanism, username, password, ca_file, cert_file, key_file: as in `adapters.kafka.Kafka`.
        session_s: a member that says nothing for so long has died.
    """

    def __init__(
        self,
        *,
        servers: Sequence[str],
        topics: Topics,
        group: str,
        meter: Meter,
        instance: str | None = None,
        security: Security | None = None,
        session_s: float = 12.0,
    ) -> None:
        self._topics, self._meter = topics, meter
        self._conf: dict[str, Any] = {
            "id": topics.prefix + group,
            "broker": [f"kafka://{server}" for server in servers],
            "broker_credentials": _credentials(security or Security()),
            "broker_client_id": topics.prefix + group,
            "broker_session_timeout": session_s,
            "broker_heartbeat_interval": 1.0,
            "broker_rebalance_timeout": 15.0,
            "broker_request_timeout": REQUEST_S,
            "broker_commit_interval": TICK_S,
            "broker_max_poll_interval": 1000.0,
            "consumer_auto_offset_reset": "earliest",
            "consumer_group_instance_id": instance,
            "consumer_max_fetch_size": MAX_RECORD_BYTES,
            "producer_acks": -1,
            "producer_linger": 0,
            "producer_max_request_size": MAX_RECORD_BYTES,
            "producer_request_timeout": REQUEST_S,
            "processing_guarantee": "at_least_once",
            "store": "memory://",
            "stream_wait_empty": False,
            "stream_recovery_delay": 0.0,
            "table_standby_replicas": 0,
            "topic_allow_declare": False,
            "topic_disable_leader": True,
            "web_enabled": False,
            "canonical_url": "http://aggregate",  # the assignor insists that a member comes back with the url it had
            "autodiscover": False,
        }

    async def run(self, folds: Sequence[Fold], stop: asyncio.Event) -> None:
        """See `ports.FoldRunner.run`."""
        quieten()
        carrier = _Carrier(folds, self._topics, self._meter, self._conf)
        try:
            await carrier.run(stop)
        finally:
            await carrier.close()


class _Carrier:
    """One Faust app, from its start to its end."""

    def __init__(self, folds: Sequence[Fold], topics: Topics, meter: Meter, conf: dict[str, Any]) -> None:
        self._topics, self._meter = topics, meter
        self._closing = False
        self._busy = 0  # steps in hand
        self._idle = asyncio.Event()
        self._idle.set()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._done: dict[TP, int] = {}  # the offset after the last record that is done
        self._committed: dict[TP, int] = {}
        self._moved_at = time.monotonic()  # when a step was done, or nothing was to do
        self._starting: asyncio.Task[None] | None = None
        self._app = app = _App(loop=asyncio.get_running_loop(), **conf)
        app.inputs = frozenset(topics.name(fold.topic) for fold in folds)
        app.finalize()
        app.transport = _Transport(app.conf.broker_consumer, app)
        app.producer_transport = _Transport(app.conf.broker_producer, app)
        app.tables._recovery = _Recovery(app, app.tables, beacon=app.tables.beacon)  # noqa: SLF001 - it has no door for it
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_rebalance_complete.connect(self._on_restored)
        for fold in folds:
            self._carry(fold)

    def _carry(self, fold: Fold) -> None:
        app, topics = self._app, self._topics
        raw: dict[str, Any] = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
        }
        source = app.topic(topics.name(fold.topic), acks=False, allow_empty=True, **raw)
        partitions = topics.specs[fold.changelog].partitions
        changelog = app.topic(topics.name(fold.changelog), acks=False, allow_empty=True, partitions=partitions, **raw)
        table = _Table(
            app,
            fold=fold,
            name=fold.changelog,
            changelog_topic=changelog,
            key_type=bytes,
            value_type=bytes,
            beacon=app.tables.beacon,
        )
        app.tables.add(table)

        async def carry(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._one(fold, table, event)

        app.agent(source, name=f"by-{fold.changelog}", concurrency=1)(carry)

    async def run(self, stop: asyncio.Event) -> None:
        self._starting = asyncio.create_task(self._app.start())
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(self._failed.wait())]
        try:
            while not stop.is_set():
                await asyncio.wait(waiting, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                self._raise_what_broke()
                if not stop.is_set():
                    await self._commit_or_later()
                    self._measure()
        finally:
            for task in waiting:
                task.cancel()

    async def close(self) -> None:
        """Finish the step in hand, commit, leave the group, end. Never raises, never takes long."""
        self._closing = True
        app = self._app
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), DRAIN_S)
        consumer = app._consumer  # noqa: SLF001 - None when Faust never came so far
        if consumer is not None and not app.crashed:
            await self._commit_or_later(GOODBYE_S)
            with suppress(Exception):
                await asyncio.wait_for(consumer.leave(), GOODBYE_S)
        with suppress(Exception, asyncio.CancelledError):
            await asyncio.wait_for(app.stop(), GOODBYE_S)
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    # --- one record -----------------------------------------------------------------------------

    async def _one(self, fold: Fold, table: "_Table", event: Any) -> None:
        if self._closing or self._failure is not None:
            await asyncio.Event().wait()  # nothing new; the offset stays where it is
        self._busy += 1
        self._idle.clear()
        try:
            await self._step(fold, table, event)
        except Exception as exc:  # noqa: BLE001 - handed to `run`, which ends the process
            self._failure = exc
            self._failed.set()
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def _step(self, fold: Fold, table: "_Table", event: Any) -> None:
        raw = event.message
        if self._has_moved(raw) or not await self._is_next(raw):
            return
        message = Message(
            fold.topic,
            raw.partition,
            raw.offset,
            int((raw.timestamp or 0) * 1000),
            raw.key,
            raw.value,
            raw.headers or (),
        )
        step = fold.step(message, table.recall)
        if step.outputs:
            acks = [await self._send(output) for output in step.outputs]
            await asyncio.gather(*acks)
            self._meter.count("records_out", len(acks))
        if step.states:
            if self._has_moved(raw):
                return  # the new owner repeats it; our state must not follow its
            await table.keep(step.states)
        if not self._has_moved(raw):
            self._done[raw.tp] = raw.offset + 1
            self._moved_at = time.monotonic()

    async def _is_next(self, raw: Any) -> bool:
        """Whether this record is the one after the last that is done; False: it is done already.

        Raises:
            Retry: Faust left some out, and we will not commit past them.
        """
        tp, consumer = raw.tp, self._app.consumer
        expected: int | None = self._done.get(tp, consumer.began.get(tp))
        if expected is None or raw.offset < expected:
            return False
        if raw.offset > expected:
            earliest = (await consumer.earliest_offsets(tp))[TopicPartition(tp.topic, tp.partition)]
            if raw.offset > earliest:
                raise Retry(
                    f"Faust skipped {tp.topic} {tp.partition} at {expected} to {raw.offset - 1}: ends before anything is committed "
                    "past them, so that nothing is lost; the next process reads them"
                )
            _warn_of_expired(self._meter, tp, expected, raw.offset)
        return True

    async def _send(self, output: Outgoing) -> Any:
        headers = [(name, bytes(value)) for name, value in output.headers]
        return await self._app.producer.send(
            self._topics.name(output.topic), output.key, output.value, output.partition, None, headers
        )

    def _has_moved(self, raw: Any) -> bool:
        """Whether the record's partition was taken from us since it was read (it may be ours again by now).

        Not by `App.rebalancing`: that is still set while Faust hands over the first records after a rebalance.
        """
        return raw.tp not in self._app.consumer.began or raw.generation_id != self._app.consumer_generation_id

    # --- offsets --------------------------------------------------------------------------------

    async def _on_revoked(self, _app: Any, revoked: Iterable[TP], **_: Any) -> None:
        """Forget what we did there: what is not stored yet is the new owner's to repeat, and changes nothing."""
        for tp in revoked:
            self._done.pop(tp, None)
            self._committed.pop(tp, None)
            self._app.consumer.began.pop(tp, None)

    async def _on_restored(self, _app: Any, **_: Any) -> None:
        """The tables are read back and no record was handed out yet: go to where we stopped."""
        await self._app.consumer.seek_to_done()

    async def _commit_or_later(self, timeout_s: float = COMMIT_S) -> None:
        offsets = {tp: offset for tp, offset in self._done.items() if self._committed.get(tp) != offset}
        if not offsets or self._app.rebalancing:
            return
        try:
            await asyncio.wait_for(self._app.consumer.commit_done(offsets), timeout_s)
        except (CommitFailedError, IllegalStateError):
            return  # a rebalance came first: its new owners repeat what we could not store
        except (KafkaError, TimeoutError) as exc:
            log.warning("offsets could not be stored (%s); trying again", type(exc).__name__)
            return
        self._committed.update(offsets)

    # --- watching -------------------------------------------------------------------------------

    def _raise_what_broke(self) -> None:
        exc = self._failure or self._app.crash_reason
        if exc is None and self._starting is not None and self._starting.done() and not self._starting.cancelled():
            exc = self._starting.exception()
        if exc is None and self._app.crashed:
            raise Retry("Faust stopped without a reason: end this process, the next one goes on where it stopped")
        if exc is not None:
            raise _in_our_words(exc)

    def _measure(self) -> None:
        """Lag and recovery; a standstill ends the process: some of Faust's only end so."""
        app = self._app
        recovering = bool(app.rebalancing or not app.tables.actives_ready)
        self._meter.gauge("recovering", 1.0 if recovering else 0.0)
        lag = None if recovering else self._lag()
        self._meter.gauge("lag_records", lag)
        if lag == 0:
            self._moved_at = time.monotonic()
        if time.monotonic() - self._moved_at > STANDSTILL_S:
            what = (
                "reading back its tables"
                if recovering
                else f"with {lag} records to do"
                if lag is not None
                else "not knowing its lag"
            )
            raise Retry(
                f"aggregate stood still for {STANDSTILL_S:.0f} s, {what}: end this process, the next one goes on where it stopped"
            )

    def _lag(self) -> int | None:
        """Records of our partitions that are not done; None: unknown."""
        consumer, total = self._app.consumer, 0
        for tp in consumer.assignment():
            if tp.topic in self._app.inputs:
                end, done = consumer.highwater(tp), self._done.get(tp, consumer.began.get(tp))
                if end is None or done is None:
                    return None
                total += max(0, end - done)
        return total


def _warn_of_expired(meter: Meter, tp: TP, wanted: int, first: int) -> None:
    meter.count("expired", first - wanted)
    log.warning(
        "%s %d: %d records were deleted by retention before they were read", tp.topic, tp.partition, first - wanted
    )


class _App(faust.App):  # type: ignore[misc]
    """Without folders nobody reads."""

    inputs: frozenset[str] = frozenset()  # full names of the topics the folds read

    def _create_directories(self) -> None:
        """The memory store keeps none."""

    def on_rebalance_end(self) -> None:
        """The last step of a recovery: what is handed out now reaches its stream."""
        super().on_rebalance_end()
        self.consumer.let_go()


class _Latch(asyncio.Event):
    """Set once, it stays so until it is drawn back."""

    def clear(self) -> None:
        """Nothing: Faust clears before everybody has seen it."""

    def draw_back(self) -> None:
        """Begin anew."""
        super().clear()


class _Recovery(Recovery):  # type: ignore[misc]
    """A recovery whose end is noticed also by who begins to wait for it afterwards."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ended = _Latch()
        super().__init__(*args, **kwargs)

    @property
    def signal_recovery_end(self) -> asyncio.Event:
        """Set from the end of a recovery to the start of the next."""
        return self._ended

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self._ended.draw_back()
        self.app.consumer.hold()


class _Table(faust.Table):  # type: ignore[misc]
    """A table whose writes can be waited for, and whose recovery merges."""

    def __init__(self, app: Any, *, fold: Fold, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._fold = fold
        self._sent: list[Any] = []

    def recall(self, key: str) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = self.data.get(key.encode())
        return value

    async def keep(self, states: Mapping[str, bytes | None]) -> None:
        """Set keys in this order, return when the broker has their changelog records. Only inside an agent."""
        self._sent.clear()
        for key, value in states.items():
            if value is not None:
                self[key.encode()] = value
            elif key.encode() in self:
                del self[key.encode()]
        await asyncio.gather(*self._sent)

    def send_changelog(self, partition: int | None, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the future that Faust would forget, and the partition that its memory store forgets."""
        sent = super().send_changelog(partition, key, value, *args, **kwargs)
        self._sent.append(sent)
        self._belongs(key, None if value is None else partition)
        return sent

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Merge instead of letting the last record win."""
        values = self.data.data
        for event in batch:
            key, value = event.message.key, event.message.value
            if value is None:
                values.pop(key, None)
            elif (known := values.get(key)) is None or known == value:
                values[key] = value
            else:
                values[key] = self._fold.merge(key.decode(), known, value)
            self._belongs(key, None if value is None else event.message.partition)

    def _belongs(self, key: bytes, partition: int | None) -> None:
        """Where a key came from: by it Faust drops the keys of partitions that are no longer ours."""
        partitions = self.data._key_partition  # noqa: SLF001 - the memory store notes it only while it recovers
        if partition is None:
            partitions.pop(key, None)
        else:
            partitions[key] = partition


class _Daemon(WorkerThread):  # type: ignore[misc]
    """A thread that cannot keep the process from ending."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True

    def stop(self) -> None:
        """Wait a little, not for ever: Faust calls this on the event loop."""
        self.is_stopped.wait(1.0)


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread, with our commit and our goodbye."""

    Worker = _Daemon

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Silent: the reason reaches `run`, which says it once."""

    async def commit_done(self, offsets: dict[TP, int]) -> None:
        """Store offsets, of partitions that are still ours."""
        consumer = self._ensure_consumer()
        ours = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        if ours:
            await consumer.commit(ours)

    async def seek_to_done(self, topics: frozenset[str]) -> dict[TP, int]:
        """Go to the committed offset of each of our partitions, or to its log's start; where that is."""
        consumer = self._ensure_consumer()
        ours = [tp for tp in consumer.assignment() if tp.topic in topics]
        earliest, ends = await asyncio.gather(consumer.beginning_offsets(ours), consumer.end_offsets(ours))
        begins: dict[TP, int] = {}
        for tp in ours:
            stored = await consumer.committed(tp)
            if stored is not None and stored > ends[tp]:
                log.warning(
                    "%s %d ends at %d, %d was committed: it was made anew, reading all of it",
                    tp.topic,
                    tp.partition,
                    ends[tp],
                    stored,
                )
                stored = None
            begin = earliest[tp] if stored is None else max(stored, earliest[tp])
            consumer.seek(tp, begin)
            begins[TP(tp.topic, tp.partition)] = begin
        return begins

    async def leave(self) -> None:
        """Leave the group now; a static member that only stops would keep its partitions until its session ends."""
        consumer = self._ensure_consumer()
        consumer._coordinator._group_instance_id = None  # noqa: SLF001 - aiokafka says goodbye only for dynamic members
        await consumer.stop()


class _Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer; its own commits have nothing to commit (`acks=False`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.began: dict[TP, int] = {}  # the first offset we read of each input partition, since it was assigned
        self._holding = False  # a recovery is under way
        self._held: set[TP] = set()  # input partitions to resume when it is over
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def commit_done(self, offsets: dict[TP, int]) -> None:
        """Store offsets of what is done."""
        await self._thread.call_thread(self._thread.commit_done, offsets)

    async def leave(self) -> None:
        """Leave the group at once."""
        await self._thread.call_thread(self._thread.leave)

    async def seek_to_done(self) -> None:
        """Begin where we stopped."""
        begins = await self._thread.call_thread(self._thread.seek_to_done, self.app.inputs)
        self.began.update(begins)
        self._read_offset.update({tp: begin or None for tp, begin in begins.items()})

    async def perform_seek(self) -> None:
        """Nothing: `seek_to_done` came before. Faust seeks when the first records may be handed out already."""

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Hand out nothing of them."""
        tps = set(tps)
        self._held -= tps
        super().pause_partitions(tps)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Hand them out; the inputs only when a recovery that is under way is over."""
        tps = set(tps)
        if self._holding:
            self._held |= (held := {tp for tp in tps if tp.topic in self.app.inputs})
            tps -= held
        super().resume_partitions(tps)

    def hold(self) -> None:
        """Hand out no inputs, whoever asks, until `let_go`."""
        self._holding = True

    def let_go(self) -> None:
        """Hand out the inputs that had to wait."""
        self._holding, held, self._held = False, self._held, set()
        super().resume_partitions(held & self.assignment())


class _Producer(driver.Producer):  # type: ignore[misc]
    """Faust's producer, idempotent: no retry may repeat or reorder what is in the log."""

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer
    Producer = _Producer


class _OneLine(logging.Handler):
    """What Faust, mode and aiokafka have to say: one line, for those who ask for it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it at DEBUG, without its traceback."""
        with suppress(Exception):
            log.debug("%s: %s", record.name, record.getMessage().splitlines()[0])


def quieten() -> None:
    """Keep the banners and tracebacks of the libraries from users; `run` says once what broke."""
    for name in ("faust", "mode", "aiokafka", __name__):  # Faust names the loggers of its services by their module
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _OneLine) for handler in logger.handlers):
            logger.addHandler(_OneLine())
        logger.propagate = False
        logger.setLevel(logging.WARNING)


def _in_our_words(exc: BaseException) -> GantryError:
    """What the caller must do about it. Every error but a Fatal is worth another process."""
    if isinstance(exc, GantryError):
        return exc
    cause = exc.__cause__ if isinstance(exc, ProducerSendError) and exc.__cause__ is not None else exc
    text = f"{type(cause).__name__}: {cause}".splitlines()[0].rstrip(": ")
    known = isinstance(cause, KafkaError) and not (cause.retriable or isinstance(cause, KafkaTimeoutError))
    made: GantryError = (
        Fatal(f"kafka refuses: {text}")
        if known
        else Retry(f"aggregate cannot go on ({text}); the next process goes on where it stopped")
    )
    made.__cause__ = exc
    return made


def _credentials(security: Security) -> Any:
    """Faust's words for how we speak to the broker; None for plaintext."""
    trust = security.trust()
    if security.sasl is not None:
        mechanism, username, password = security.sasl
        return faust.SASLCredentials(username=username, password=password, mechanism=mechanism, ssl_context=trust)
    return faust.SSLCredentials(trust) if trust is not None else None
