"""One live reader's walk: a snapshot, or what it missed; then what happens.

A reader holds nothing but places (in the board's ring, or in the log), so a slow one costs no memory: when the
ring has left it behind, it begins anew with a fresh snapshot.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

import msgspec

from pipeline.core.feed import Recent, Vector, write_token
from pipeline.errors import Poison, Retry
from pipeline.ports import LogReader, Message, Meter, Told
from pipeline.stages.serve.board import Board
from pipeline.stages.serve.policy import KEPT, REGISTRY, TRACKS, Entry, ServePolicy, entry_of


class Expired(Exception):  # noqa: N818 - caught in this file
    """The log does not reach back to a reader's token."""


class Reader:
    """One reader.

    Args:
        cameras: whose messages it wants; None: all, also those of groups.
        kinds: event, flow, tracks. Snapshots, resets and heartbeats always come.
    """

    def __init__(
        self,
        *,
        board: Board,
        logs: LogReader,
        resuming: asyncio.Semaphore,
        meter: Meter,
        policy: ServePolicy,
        cameras: frozenset[str] | None,
        kinds: frozenset[str],
    ) -> None:
        self._board, self._logs, self._resuming = board, logs, resuming
        self._meter, self._policy = meter, policy
        self._cameras, self._kinds = cameras, kinds
        self._position = self._tracks_position = self._version = 0
        self._told_at = _now()

    async def messages(self, place: tuple[str, Vector] | None) -> AsyncGenerator[Told, None]:
        """Messages for ever, from a place of a token, until the board is over."""
        async with contextlib.aclosing(self._messages(place)) as messages:
            async for told in messages:
                yield told
                self._told_at = _now()

    async def _messages(self, place: tuple[str, Vector] | None) -> AsyncGenerator[Told, None]:
        board = self._board
        async for told in self._until(lambda: board.caught_up):
            yield told
        if board.over.done():
            return
        if place is None:
            yield self._snapshot()
        else:
            async with contextlib.aclosing(self._resume(*place)) as missed:
                async for told in missed:
                    yield told
        while not board.over.done():
            changed = board.changed
            for told in self._news():
                yield told
            if changed is board.changed:  # nothing came while we told
                await self._wait(changed)
            if _now() >= self._next_beat():
                yield self._heartbeat()

    # --- news

    def _news(self) -> Iterator[Told]:
        """What the board has beyond our place."""
        board = self._board
        if self._version != board.version:  # what the last snapshot said of cameras is not true any more
            yield self._snapshot(move=False)
        yield from self._ring_to(lambda: board.ring.end)
        while self._tracks_position < board.tracks.end and not board.over.done():
            self._tracks_position = max(self._tracks_position, board.tracks.first)  # old frames are left out
            tracks = board.tracks[self._tracks_position]
            self._tracks_position += 1
            if self._wants(TRACKS, tracks.camera):
                yield tracks.told

    def _ring_to(self, end: Callable[[], int], told: Callable[[Entry], Told | None] | None = None) -> Iterator[Told]:
        """Entries of the ring up to a position; a reset where the ring has left us behind."""
        ring = self._board.ring
        while self._position < end() and not self._board.over.done():
            if self._position < ring.first:
                yield from self._reset("slow", "messages came faster than they were read")
                return
            entry = ring[self._position]
            self._position += 1
            mine = told(entry) if told else entry.told
            if mine is not None and self._wants(mine.kind, entry.camera):
                yield mine

    def _wants(self, kind: str, camera: str | None) -> bool:
        return kind in self._kinds and (self._cameras is None or camera in self._cameras)

    def _snapshot(self, *, move: bool = True) -> Told:
        """Everything, and the place after it. Without `move` our place stays: nothing between is left out."""
        board = self._board
        self._version = board.version
        if move:
            self._position, self._tracks_position = board.ring.end, board.tracks.end
        token = board.token() if self._position == board.ring.end else None
        return Told(kind="snapshot", data=board.snapshot(self._cameras), token=token)

    def _reset(self, reason: str, text: str) -> Iterator[Told]:
        self._meter.count("resets", reason=reason)
        yield Told(kind="reset", data=text, token=None)
        yield self._snapshot()

    # --- patience

    async def _wait(self, event: asyncio.Event) -> None:
        """Until something happens or the heartbeat is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._next_beat() - _now())):
                await event.wait()

    def _next_beat(self) -> float:
        return self._told_at + self._policy.heartbeat_s

    def _heartbeat(self) -> Told:
        """Nothing to tell; but a reader whose filter lets nothing through moves on with the log."""
        at_end = self._position == self._board.ring.end
        return Told(kind="heartbeat", data=None, token=self._board.token() if at_end else None)

    async def _until(self, done: Callable[[], bool]) -> AsyncGenerator[Told, None]:
        """Heartbeats until something on the board is true, or it is over."""
        while not done() and not self._board.over.done():
            await self._wait(self._board.changed)
            if _now() >= self._next_beat():
                yield Told(kind="heartbeat", data=None, token=None)

    async def _while(self, task: "asyncio.Future[Any]") -> AsyncGenerator[Told, None]:
        """Heartbeats while a task runs, until the board is over."""
        over = self._board.over
        while not task.done() and not over.done():
            patience = max(0.0, self._next_beat() - _now())
            await asyncio.wait({task, over}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if _now() >= self._next_beat():
                yield Told(kind="heartbeat", data=None, token=None)

    # --- coming back

    async def _resume(self, log_id: str, place: Vector) -> AsyncGenerator[Told, None]:
        """What was missed since a place; a reset where nobody knows any more what that was."""
        board = self._board
        at = {p: offset for p, offset in place.items() if p[0] in KEPT}
        registry = {p: offset for p, offset in place.items() if p[0] in REGISTRY}
        if log_id != board.log_id or at.keys() != board.next.keys() or await self._is_beyond(at):
            for told in self._reset("foreign", "the token belongs to another log"):
                yield told
            return
        async for told in self._until(lambda: all(board.next[p] >= offset for p, offset in at.items())):
            yield told  # another replica was a little ahead of us
        walk = Walk(board, self._logs, self._policy, at, registry)
        source = "log" if walk.topic() else "ring"
        try:
            while walk.topic() and not board.over.done():
                async with contextlib.aclosing(self._from_log(walk)) as missed:
                    async for told in missed:
                        yield told
        except Expired:
            for told in self._reset("expired", "the log does not reach back to the token"):
                yield told
            return
        # No await since the walk was seen to have met the ring: from here on the ring has all.
        self._meter.count("resumes", source=source)
        self._position, end = board.ring.first, board.ring.end
        self._tracks_position, self._version = board.tracks.end, board.version
        stale = registry != board.at_registry
        for told in self._ring_to(lambda: end, walk.take_from_ring):
            yield told
        if stale:
            yield self._snapshot(move=False)

    async def _is_beyond(self, at: Vector) -> bool:
        """Whether a place lies behind the end of the log: then it is of another one, or this one was cut."""
        for topic in {topic for (topic, p), offset in at.items() if offset > self._board.next[topic, p]}:
            try:
                ends = await self._logs.ends(topic)
            except Retry:
                continue  # nobody can tell now; waiting for the log will
            if any(offset > ends.get(p, 0) for (t, p), offset in at.items() if t == topic):
                return True
        return False

    async def _from_log(self, walk: "Walk") -> AsyncGenerator[Told, None]:
        """Tell again from the log until the walk meets the ring. Raises Expired."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(walk.close)
            permit = asyncio.ensure_future(self._resuming.acquire())
            stack.push_async_callback(_give_back, permit, self._resuming)
            async for told in self._while(permit):
                yield told
            while (topic := walk.topic()) and not self._board.over.done():
                coming = asyncio.ensure_future(walk.message(topic))
                try:
                    async for told in self._while(coming):
                        yield told
                    entry = walk.take(topic, coming.result()) if coming.done() else None
                finally:
                    await _end(coming)
                if entry is not None and self._wants(entry.told.kind, entry.camera):
                    yield entry.told


class Walk:
    """Reads the kept topics again from a place until it meets the ring.

    It begins some records before the place, for the ids of what the reader already has, and leaves out repeats.
    """

    def __init__(self, board: Board, logs: LogReader, policy: ServePolicy, at: Vector, registry: Vector) -> None:
        self._board, self._logs, self._policy = board, logs, policy
        self._at, self._registry = at, registry
        self._wanted, self._floor = dict(at), dict(board.floor)
        self._seen = Recent(policy.ids)
        self._followed: dict[str, AsyncIterator[Message | None]] = {}

    def topic(self) -> str | None:
        """A topic of which the ring does not have all that is still missing; None: the ring is met."""
        floor = self._board.floor
        return next((topic for (topic, p), offset in self._at.items() if offset < floor[topic, p]), None)

    async def message(self, topic: str) -> Message | None:
        """The topic's next record, or None at its end."""
        if topic not in self._followed:
            back = self._policy.lookback
            starts = {p: max(0, offset - back) for (t, p), offset in self._at.items() if t == topic}
            self._followed[topic] = self._logs.follow(topic, starts)
        return await anext(self._followed[topic])

    def take(self, topic: str, message: Message | None) -> Entry | None:
        """Go on over a record; what the reader missed, if it did. Raises Expired."""
        if message is None:
            if any(offset < self._floor[p] for p, offset in self._at.items() if p[0] == topic):
                raise Expired
            return None
        place = (topic, message.partition)
        missed = message.offset >= self._wanted[place]
        if missed:
            if message.offset != self._at[place]:
                raise Expired
            self._at[place] += 1
        try:
            entry = entry_of(message, self._token())
        except Poison:
            return None
        return entry if self._seen.is_new(entry.key, entry.revision) and missed else None

    def take_from_ring(self, entry: Entry) -> Told | None:
        """The same for an entry of the ring."""
        place = (entry.topic, entry.partition)
        if entry.offset < self._at[place]:
            return None
        self._at[place] = entry.offset + 1
        if not self._seen.is_new(entry.key, entry.revision):
            return None
        return msgspec.structs.replace(entry.told, token=self._token())

    def _token(self) -> str:
        return write_token(self._board.log_id, self._at | self._registry)

    async def close(self) -> None:
        """Close the iterators; the ring may run ahead meanwhile, then they are opened anew."""
        while self._followed:
            await close(self._followed.popitem()[1])


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _end(task: "asyncio.Future[Any]") -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})


async def _give_back(permit: "asyncio.Future[Any]", semaphore: asyncio.Semaphore) -> None:
    await _end(permit)
    if not permit.cancelled():
        semaphore.release()


async def close(messages: AsyncIterator[Any]) -> None:
    """Close an iterator of the log, and its connection."""
    if isinstance(messages, AsyncGenerator):
        await messages.aclose()
