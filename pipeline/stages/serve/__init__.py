"""serve: everyone is told, now and later.

Two paths read the same log and never wait for each other. The live path fills a board with a ring of recent
messages that any number of readers walk at their own pace. The history path writes rows and the offsets after
them as one transaction, so that a kill repeats work and changes nothing. A store that fails is said and tried
again; the live path goes on.

A reader sees each event once although processes that were killed repeat what they wrote: ids are deterministic,
and before the first message is told (or told again from the log) the records before it are read for their ids.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from pipeline.core.feed import CameraDetail, CameraStatus, Vector, read_token
from pipeline.core.model import DeadLetter, Event, Flow, Group
from pipeline.errors import GantryError, Poison, Retry
from pipeline.ports import Changes, Clockwork, History, LogReader, Message, Meter, Told, Writer
from pipeline.stages.serve.board import Board
from pipeline.stages.serve.pictures import LivePictures
from pipeline.stages.serve.policy import KEPT, REGISTRY, TRACKS, ServePolicy, entry_of
from pipeline.stages.serve.reader import Reader, close
from pipeline.stages.serve.truth import TrueCounts
from pipeline.wire.codec import encode_json, header_text

log = logging.getLogger("gantry.serve")

DAY_MS = 86_400_000
PRUNE_EVERY_MS = DAY_MS // 24

T = TypeVar("T")


class LiveFeed:
    """What is known now, and what happens: the `Feed` port. `serve` fills it.

    Args:
        logs: to tell a reader what it missed long ago.
        log_id: of the installation's topics; tokens of others are foreign.
    """

    def __init__(self, *, logs: LogReader, log_id: str, meter: Meter, clock: Clockwork, policy: ServePolicy) -> None:
        self.board = Board(log_id=log_id, meter=meter, clock=clock, policy=policy)
        self._logs, self._meter, self._policy = logs, meter, policy
        self._resuming = asyncio.Semaphore(policy.resumes)
        self._listeners = 0

    def caught_up(self) -> tuple[bool, bool]:
        """Whether the live feed, and whether the history, have once reached the end of the log."""
        return self.board.caught_up, self.board.history_caught_up

    def cameras(self) -> list[CameraStatus]:
        """All cameras, by id."""
        return self.board.cameras()

    def camera(self, camera: str) -> CameraDetail | None:
        """One camera; None: not in the registry."""
        return self.board.camera(camera)

    def groups(self) -> list[Group]:
        """All groups, by id."""
        return self.board.groups()

    def group(self, group: str) -> Group | None:
        """One group; None: not in the registry."""
        return self.board.group(group)

    def listen(
        self, *, cameras: frozenset[str] | None, kinds: frozenset[str], token: str | None
    ) -> AsyncIterator[Told]:
        """Messages for one reader, for ever: a snapshot first, or what it missed since its token.

        Raises (at once):
            Poison: the token is no token.
            Retry: as many readers as this process takes are there already.
        """
        place = read_token(token) if token is not None else None
        if self._listeners >= self._policy.clients:
            raise Retry(f"{self._policy.clients} live readers are connected, more are not taken: come again later")
        reader = Reader(
            board=self.board,
            logs=self._logs,
            resuming=self._resuming,
            meter=self._meter,
            policy=self._policy,
            cameras=cameras,
            kinds=kinds,
        )
        return self._counted(reader, place)

    async def _counted(self, reader: Reader, place: tuple[str, Vector] | None) -> AsyncGenerator[Told, None]:
        self._listeners += 1
        self._meter.gauge("listeners", self._listeners)
        try:
            async with contextlib.aclosing(reader.messages(place)) as messages:
                async for told in messages:
                    yield told
        finally:
            self._listeners -= 1
            self._meter.gauge("listeners", self._listeners)


async def serve(
    *,
    feed: LiveFeed,
    logs: LogReader,
    history: History,
    dead: Writer | None,
    log_id: str,
    meter: Meter,
    clock: Clockwork,
    policy: ServePolicy,
    stop: asyncio.Event,
) -> None:
    """Fill the live feed and the history until `stop` is set; every reader's messages end with it.

    Args:
        feed: what the API shows and tells.
        dead: where records go that cannot be used; None: they are counted only.

    Raises:
        Fatal: a topic is missing, or the history is damaged.
    """
    work = _Serve(feed.board, logs, history, dead, log_id, meter=meter, clock=clock, policy=policy)
    try:
        feed.board.remember(await history.registry(), await history.seen(), await history.latest_flows())
    except Retry as exc:
        log.warning("the live feed begins without what the history knows: %s", exc)
    jobs: list[Coroutine[Any, Any, Any]] = [
        *(work.tell(topic) for topic in KEPT),
        *(work.tell_registry(topic) for topic in REGISTRY),
        work.tell_tracks(),
        work.keep(),
        work.keep_house(),
        stop.wait(),
    ]
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            try:
                task.result()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from group
    finally:
        feed.board.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Serve:
    def __init__(
        self,
        board: Board,
        logs: LogReader,
        history: History,
        dead: Writer | None,
        log_id: str,
        *,
        meter: Meter,
        clock: Clockwork,
        policy: ServePolicy,
    ) -> None:
        self.board, self.logs, self.history, self.dead, self.log_id = board, logs, history, dead, log_id
        self.meter, self.clock, self.policy = meter, clock, policy

    # --- the live path

    async def tell(self, topic: str) -> None:
        """Fill the board with a kept topic."""
        ends = await self.patiently(f"the end of {topic}", lambda: self.logs.ends(topic))
        async for message in self.following(topic, self.board.begin(topic, ends)):
            if message is None:
                self.board.reached_end(topic, ends)
            else:
                self.board.take(message)

    async def tell_tracks(self) -> None:
        """Fill the board with live tracks, from now on."""
        ends = await self.patiently(f"the end of {TRACKS}", lambda: self.logs.ends(TRACKS))
        async for message in self.following(TRACKS, ends):
            if message is not None:
                try:
                    self.board.take_tracks(message)
                except Poison as exc:
                    await self.bury(message, exc)

    async def tell_registry(self, topic: str) -> None:
        """Fill the board with a topic of the registry."""
        complete = False
        async for message in self.following(topic, None):
            if message is None:
                complete = True
                self.board.registry_complete(topic)
                continue
            try:
                self.board.take_registered(message)
            except Poison as exc:  # what already lay there at our start was buried when it came
                await self.bury(message, exc, letter=complete)

    # --- the history path

    async def keep(self) -> None:
        """Write events and flow, and the place after them, for ever."""
        queue: asyncio.Queue[tuple[str, Message | None]] = asyncio.Queue(2 * self.policy.batch)
        stored = await self.patiently("the history", lambda: self.history.offsets(self.log_id))
        async with asyncio.TaskGroup() as tasks:
            for topic in KEPT:
                tasks.create_task(self.read(topic, stored.get(topic, {}), queue))
            tasks.create_task(self.store(queue))

    async def read(
        self, topic: str, stored: dict[int, int], queue: "asyncio.Queue[tuple[str, Message | None]]"
    ) -> None:
        """Read a kept topic on from what is stored; a full queue holds us up, so memory is bounded."""
        ends = await self.patiently(f"the end of {topic}", lambda: self.logs.ends(topic))
        expected = {p: stored.get(p, 0) for p in ends}
        for p, end in ends.items():
            if expected[p] > end:
                log.warning("%s/%d ends at %d, but %d is stored: it was cut, read anew", topic, p, end, expected[p])
                expected[p] = 0
        async for message in self.following(topic, dict(expected)):
            if message is not None:
                before = expected[message.partition]
                if message.offset > before > 0:
                    missed = message.offset - before
                    log.warning("%s/%d: %d records expired before they were stored", topic, message.partition, missed)
                    self.meter.count("history_missed", missed, topic=topic)
                expected[message.partition] = message.offset + 1
            await queue.put((topic, message))

    async def store(self, queue: "asyncio.Queue[tuple[str, Message | None]]") -> None:
        """Write what was read, batch by batch."""
        awaited = set(KEPT)
        while True:
            got = [await queue.get()]
            if queue.qsize() + 1 < self.policy.batch:
                await self.clock.sleep(self.policy.flush_ms / 1000)
            while len(got) < self.policy.batch and not queue.empty():
                got.append(queue.get_nowait())
            if messages := [message for _, message in got if message is not None]:
                await self.store_batch(messages)
            awaited -= {topic for topic, message in got if message is None}
            if not awaited and not self.board.history_caught_up:
                self.board.history_caught_up = True
                log.info("the history has caught up")

    async def store_batch(self, messages: Sequence[Message]) -> None:
        """Rows and the offsets after them, in one transaction."""
        events: list[Event] = []
        flows: list[Flow] = []
        offsets: dict[str, dict[int, int]] = {}
        for message in messages:
            offsets.setdefault(message.topic, {})[message.partition] = message.offset + 1
            try:
                value = entry_of(message).value
            except Poison as exc:
                await self.bury(message, exc)
                continue
            if isinstance(value, Flow):
                flows.append(value)
            else:
                events.append(value)
        changes = Changes(log=self.log_id, at_ms=self.clock.now_ms(), events=events, flows=flows, offsets=offsets)
        begun = self.clock.monotonic()
        await self.patiently("the history", lambda: self.history.write(changes))
        self.meter.seconds("store", self.clock.monotonic() - begun)
        self.meter.count("stored", len(events), table="events")
        self.meter.count("stored", len(flows), table="flow")

    async def bury(self, message: Message, why: Poison, *, letter: bool = True) -> None:
        """A record that cannot be used: count it, put it aside, go on."""
        self.meter.count("dead_letters", topic=message.topic)
        where = f"{message.topic}/{message.partition} at {message.offset}"
        log.warning("%s cannot be used: %s", where, why)
        if self.dead is None or not letter:
            return
        value = encode_json(
            DeadLetter(
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                reason=str(why)[:1000],
                process="serve",
                headers=header_text(message.headers),
            )
        )
        try:
            await self.patiently("dead-letters", partial(_send, self.dead, message.key, value))
        except GantryError as exc:  # a letter that cannot be written must not stop what can be read
            log.error("no dead letter for %s: %s", where, exc)

    # --- beside them

    async def keep_house(self) -> None:
        """Keep the registry and what was seen for the next start; delete what is old."""
        kept, pruned_ms = -1, None
        while True:
            registry = self.board.registry()
            if registry is not None and registry[1] != kept:
                await self.patiently("the history", partial(self.history.keep_registry, registry[0]))
                kept = registry[1]
            await self.patiently("the history", partial(self.history.keep_seen, self.board.seen_since()))
            now, days = self.clock.now_ms(), self.policy.retention_days
            if days is not None and (pruned_ms is None or now - pruned_ms >= PRUNE_EVERY_MS):
                gone = await self.patiently("the history", partial(self.history.prune, now - days * DAY_MS))
                self.meter.count("pruned", gone)
                pruned_ms = now
            self.meter.count("housekeeping")
            await self.clock.sleep(self.policy.housekeeping_s)

    async def patiently(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it works; say so while it does not, and when it does again."""
        pause = self.policy.retry_s
        failed = False
        while True:
            try:
                result = await call()
            except Retry as exc:
                failed = True
                self.meter.gauge("failing", 1, what=what)
                log.warning("%s; trying again in %g s", exc, pause)
                await self.clock.sleep(pause)
                pause = min(pause * 2, self.policy.longest_retry_s)
                continue
            if failed:
                self.meter.gauge("failing", 0, what=what)
                log.info("%s works again", what)
            return result

    async def following(self, topic: str, starts: dict[int, int] | None) -> AsyncGenerator[Message | None, None]:
        """The log's records, for ever; the connection is closed with us."""
        messages = self.logs.follow(topic, starts)
        try:
            async for message in messages:
                yield message
        finally:
            await close(messages)


async def _send(writer: Writer, key: bytes | None, value: bytes) -> None:
    await (await writer.send("dead-letters", 0, key=key, value=value))


__all__ = ["LiveFeed", "LivePictures", "ServePolicy", "TrueCounts", "serve"]
