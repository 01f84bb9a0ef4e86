"""What the stages need from the outside world. Adapters fulfil these; fakes in tests fulfil them too.

A stage is handed ports and a frozen policy; it never imports an adapter.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from pipeline.core.feed import CameraDetail, CameraStatus, Seen, Snapshot
from pipeline.core.model import (
    Camera,
    CameraId,
    Clock,
    Detections,
    Event,
    Flow,
    Group,
    Header,
    Health,
    Shown,
    Size,
    Way,
)
from pipeline.core.registry import Registry


class Message(msgspec.Struct, frozen=True):
    """One record as it lies in a log."""

    topic: str  # without the prefix
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Writer(Protocol):
    """Appends to logs: idempotent, acknowledged by every in-sync replica, in the order of the calls."""

    async def send(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> "Awaitable[int]":
        """Hand a record over; the order of calls is the order in the log.

        Returns at once when there is room in the client's buffer, else waits. The returned awaitable ends
        with the record's offset once the broker acknowledged it (it may be -1 where the broker knew the
        record already: callers that need the offset ask again).

        Raises:
            Poison: the record is larger than the topic allows; nothing was sent.
            Retry: no broker answers (here, or from the awaitable).
            Fatal: the broker will never take it (authorisation, no such topic or partition).
        """
        ...

    async def flush(self) -> None:
        """Return when everything handed over is acknowledged. Raises Retry or Fatal."""
        ...


class Batch(msgspec.Struct, frozen=True):
    """Records of one partition, in order."""

    topic: str
    partition: int
    messages: Sequence[Message]


class GroupReader(Protocol):
    """A member of a consumer group: reads the partitions the group gives it, commits by hand."""

    def owned(self) -> frozenset[int]:
        """The partitions that are ours now."""
        ...

    def generation(self) -> int:
        """Rises with every assignment; work begun under an older one must not be committed."""
        ...

    async def fetch(self, max_records: int, timeout_ms: int) -> list[Batch]:
        """The next records, at most `max_records`; empty after `timeout_ms` without any. Raises Retry, Fatal."""
        ...

    async def commit(self, offsets: dict[int, int]) -> None:
        """Store, per partition, the offset of the next record to read. Raises Revoked, Retry."""
        ...

    def pause(self, partitions: Sequence[int]) -> None:
        """Fetch nothing from these until resumed."""
        ...

    def resume(self, partitions: Sequence[int]) -> None:
        """Fetch from these again."""
        ...

    async def positions(self) -> dict[int, tuple[int, int]]:
        """(next offset to read, end of the log) of each owned partition; one we cannot learn is missing."""
        ...

    async def leave(self) -> None:
        """Say goodbye to the group at once, so that others take over without waiting for a timeout."""
        ...


OnRevoked = Callable[[frozenset[int]], Awaitable[None]]
OnAssigned = Callable[[frozenset[int]], Awaitable[None]]


class LogReader(Protocol):
    """Reads whole partitions without a group."""

    async def read_all(self, topic: str, partition: int) -> list[Message]:
        """Everything from the log's start to its end as it is now (compacted topics: registry, snapshots)."""
        ...

    def follow(
        self, topic: str, starts: dict[int, int] | None = None, *, partitions: Collection[int] | None = None
    ) -> AsyncIterator[Message | None]:
        """Every record of some partitions (None: all) of a topic for ever, from `starts` (or each log's start).

        Yields None whenever the end of all of them that was known at that time is reached (at first: caught up).
        A start that retention has passed is moved to the log's start. Waits and goes on while no broker answers.
        """
        ...

    async def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last record of each partition. Raises Retry."""
        ...


class Outgoing(msgspec.Struct, frozen=True):
    """A record to be written."""

    topic: str  # without the prefix
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Step(msgspec.Struct, frozen=True):
    """What one record does: records to write, then new values of the fold's table, in this order."""

    outputs: Sequence[Outgoing] = ()
    states: Mapping[str, bytes | None] = msgspec.field(default_factory=dict)  # None: the key goes


Recall = Callable[[str], bytes | None]
"""The table's value of a key; None: there is none."""


class Fold(Protocol):
    """Folds the records of one topic, partition by partition, into a table that survives."""

    @property
    def topic(self) -> str:
        """What it reads."""
        ...

    @property
    def changelog(self) -> str:
        """The compacted topic that keeps its table; it has as many partitions as `topic`."""
        ...

    def step(self, message: Message, recall: Recall) -> Step:
        """What this record does. Must be repeatable: a record may come again after its state was kept.

        Raises:
            Fatal: nothing can go on; what cannot be used but may be passed over becomes a dead letter instead.
        """
        ...

    def merge(self, key: str, older: bytes, newer: bytes) -> bytes:
        """One value out of two that two writers kept for one key."""
        ...


class FoldRunner(Protocol):
    """Carries folds as one member of a consumer group."""

    async def run(self, folds: Sequence[Fold], stop: asyncio.Event) -> None:
        """Until `stop`: hand every record to its fold, in order per partition.

        A step's outputs are acknowledged before its states are written, those before the record's offset is
        committed. A kill at any moment loses nothing; it may only repeat.

        Raises:
            Retry: the runner came to a standstill; end this process, another one will go on where it stopped.
            Fatal: the broker will never take it.
        """
        ...


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A camera's picture: decoded, thinned, scaled once and encoded once.

    A simulated camera has no pixels and shows what a model would see. Its picture has a size all the same.
    """

    body: Shown
    captured_ms: int
    clock: Clock
    size: Size
    source_size: Size
    restarts: bool = False  # the first picture after the clock went back or the file looped
    fresh: bool = False  # the first picture after size or timestamps changed: a new epoch, tracks continue
    health: Health | None = None  # what it was measured to be; None: this one was not, or has no pixels


class Source(Protocol):
    """Opens cameras."""

    def pictures(self, camera: Camera) -> AsyncIterator[Picture]:
        """Pictures of one connection, until the stream ends (the iterator ends) or breaks (raises).

        Closing the iterator closes the connection.

        Raises:
            Retry: unreachable, refused, stalled or broken: connecting again may help.
            Fatal: the source can never work (no such file, not a video, an unknown scheme, a missing secret).
        """
        ...


class Model(Protocol):
    """Sees objects in pictures. It remembers nothing."""

    @property
    def name(self) -> str:
        """Name and digest, for the record."""
        ...

    async def detect(self, jpegs: Sequence[bytes]) -> "list[Detections | BadPicture]":
        """One answer for each picture, in their order.

        A picture that cannot be decoded is answered by a BadPicture; the others are answered all the same.

        Raises:
            Fatal: the accelerator or the model is broken.
        """
        ...

    def close(self) -> None:
        """Free the device."""
        ...


class BadPicture(msgspec.Struct, frozen=True):
    """Why one picture could not be analysed."""

    reason: str


class Meter(Protocol):
    """Counts and times; the stage's own metrics page."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: str, value: float | None, **labels: str) -> None:
        """Set a gauge; None removes it: unknown is not zero."""
        ...

    def seconds(self, name: str, value: float, **labels: str) -> None:
        """Note a duration or an age in a histogram."""
        ...


class Clockwork(Protocol):
    """The world's time, handed to stages so that tests can push it."""

    def now_ms(self) -> int:
        """UTC, milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


# --- what serve keeps and tells -----------------------------------------------------------------


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Rows for the history and the place in the log after them: stored together or not at all."""

    log: str  # the log the offsets belong to
    at_ms: int  # now; rows are kept for so long after they were stored
    events: Sequence[Event] = ()
    flows: Sequence[Flow] = ()
    offsets: dict[str, dict[int, int]] = {}  # topic -> partition -> the next offset to read


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events, by capture time in [from_ms, to_ms), in which order. None: any."""

    cameras: Sequence[str] | None = None
    types: Sequence[str] | None = None  # crossing, speed, entered, left, overcrowded, movement, unfinished, health
    line: str | None = None
    direction: Way | None = None
    label: str | None = None
    zone: str | None = None
    origin: str | None = None  # of a movement
    destination: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    newest_first: bool = True
    after: str | None = None  # `next` of the page before
    limit: int = 100


class FlowQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which windows, by their start in [from_ms, to_ms), in which order. None: any.

    Where cameras or groups are named, only windows of the named ones.
    """

    cameras: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    window_ms: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    newest_first: bool = True
    after: str | None = None
    limit: int = 100


class CountQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which valid crossings to count, by capture time in [from_ms, to_ms). None: any."""

    cameras: Sequence[str] | None = None
    from_ms: int | None = None
    to_ms: int | None = None


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many of one class crossed one line of one camera one way."""

    camera: str
    line: str
    direction: Way
    label: str = msgspec.field(name="class")
    count: int


class TrueCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many truly crossed one line of one camera one way until a moment, and how many were counted."""

    camera: CameraId
    line: str
    direction: Way
    true: int
    counted: int
    until_ms: int  # capture time


class Truths(Protocol):
    """What is true of cameras that are simulated."""

    async def counts(self) -> list[TrueCount]:
        """By camera, line and direction; empty where nothing is known. Raises Retry."""
        ...


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events, and where to go on; None: there are no more now."""

    items: list[Event]
    next: str | None


class FlowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some windows, and where to go on; None: there are no more now."""

    items: list[Flow]
    next: str | None


class History(Protocol):
    """Keeps events and flow. Every method may raise Retry (busy, full, slow) or Fatal (broken)."""

    async def write(self, changes: Changes) -> None:
        """Store rows and offsets in one transaction. Of equal ids the greater revision stays."""
        ...

    async def offsets(self, log: str) -> dict[str, dict[int, int]]:
        """Where to read on, as last written for this log; empty for a log never seen."""
        ...

    async def keep_registry(self, registry: Registry) -> None:
        """Replace the cameras, groups and scenes."""
        ...

    async def registry(self) -> Registry:
        """The cameras, groups and scenes as last kept."""
        ...

    async def keep_seen(self, seen: dict[str, Seen]) -> None:
        """Remember when these cameras were seen."""
        ...

    async def seen(self) -> dict[str, Seen]:
        """When each camera was seen, as last kept."""
        ...

    async def latest_flows(self) -> list[Flow]:
        """The latest window of each place and length."""
        ...

    async def events(self, query: EventQuery) -> EventPage:
        """One page of events. Raises Poison: `after` is not from a page of this order."""
        ...

    async def counts(self, query: CountQuery) -> list[Count]:
        """The valid crossings that are kept, counted; by camera, line, direction and class. What has none is missing."""
        ...

    async def flows(self, query: FlowQuery) -> FlowPage:
        """One page of windows. Raises Poison: `after` is not from a page of this order."""
        ...

    async def knows(self, place: str) -> bool:
        """Whether there is any row of this camera or group, registered or not."""
        ...

    async def prune(self, before_ms: int) -> int:
        """Delete rows stored before; how many they were."""
        ...


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One message to a live reader.

    kind: event, flow and tracks (data: their JSON), snapshot, reset (data: the reason; a snapshot follows) or
    heartbeat (nothing happened for a while). A reader that comes back with the token misses nothing.
    """

    kind: str
    data: bytes | Snapshot | str | None
    token: str | None


class Feed(Protocol):
    """What is known now, and what happens from now on."""

    def caught_up(self) -> tuple[bool, bool]:
        """Whether the live feed, and whether the history, have once reached the end of the log."""
        ...

    def cameras(self) -> list[CameraStatus]:
        """All cameras, by id."""
        ...

    def camera(self, camera: str) -> CameraDetail | None:
        """One camera; None: not in the registry."""
        ...

    def groups(self) -> list[Group]:
        """All groups, by id."""
        ...

    def group(self, group: str) -> Group | None:
        """One group; None: not in the registry."""
        ...

    def listen(
        self, *, cameras: frozenset[str] | None, kinds: frozenset[str], token: str | None
    ) -> AsyncIterator[Told]:
        """Messages for one reader, for ever: a snapshot first, or what it missed since its token.

        Raises (at once):
            Poison: the token is no token.
            Retry: as many readers as this process takes are there already.
        """
        ...


class Still(msgspec.Struct, frozen=True):
    """One picture of a camera as it lies in the log."""

    header: Header
    jpeg: bytes


class NoPicture(msgspec.Struct, frozen=True):
    """Why there is no picture to show."""

    reason: str


class Pictures(Protocol):
    """What cameras show, for people who look."""

    async def picture(self, camera: str, exactly: tuple[int, int] | None = None) -> Still | NoPicture:
        """The newest picture of a camera, or the very one of this (epoch, seq) while it is kept.

        Waits a little where the camera was not looked at until now.

        Raises:
            Fatal: the log can never be read.
        """
        ...
