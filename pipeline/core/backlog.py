"""The backlog: pictures of all cameras that wait for the broker, in bounded memory.

One bound for the process. When it is reached the oldest picture of all is dropped, whosever it is, and a `Lost`
stands in its place and grows: what overflows is never silence. A picture that begins an epoch may be dropped
too; its beginning stays.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

import msgspec

P = TypeVar("P")  # a picture
B = TypeVar("B")  # what must be known of the start of an epoch


class Waiting(msgspec.Struct, Generic[P, B], frozen=True, kw_only=True):
    """A picture that waits."""

    picture: P
    captured_ms: int
    size: int  # bytes it holds in memory
    begins: B | None = None  # it is the first of an epoch
    droppable: bool = True  # False: a source that can wait, so it never loses a picture


class Lost(msgspec.Struct, Generic[B], frozen=True, kw_only=True):
    """Pictures that waited until memory was full."""

    from_ms: int
    to_ms: int
    frames: int
    begins: B | None = None  # the first of them began an epoch


class Backlog(Generic[P, B]):
    """First in, first out for each camera; never more than `limit` bytes over all of them.

    Args:
        limit: bytes. One picture larger than that is dropped like any other, unless it is alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.pictures = 0  # that wait
        self._queues: dict[str, deque[tuple[int, Waiting[P, B] | Lost[B]]]] = {}  # each with its ticket
        self._oldest: OrderedDict[int, str] = OrderedDict()  # ticket of a droppable picture -> its camera
        self._ticket = 0

    def put(self, camera: str, waiting: Waiting[P, B]) -> list[str]:
        """Let a picture wait. Returns the cameras that lost a picture for it, once for each picture."""
        self._ticket += 1
        self._queues.setdefault(camera, deque()).append((self._ticket, waiting))
        self.bytes += waiting.size
        self.pictures += 1
        if waiting.droppable:
            self._oldest[self._ticket] = camera
        dropped = []
        while self.bytes > self.limit and len(self._oldest) > 1:
            _, victim = self._oldest.popitem(last=False)
            self._drop(victim)
            dropped.append(victim)
        return dropped

    def waiting(self, camera: str) -> int:
        """How many entries of a camera wait."""
        return len(self._queues.get(camera, ()))

    def take(self, camera: str) -> Waiting[P, B] | Lost[B] | None:
        """The oldest entry of a camera, None if nothing waits."""
        queue = self._queues.get(camera)
        if not queue:
            return None
        ticket, entry = queue.popleft()
        if isinstance(entry, Waiting):
            self.bytes -= entry.size
            self.pictures -= 1
            self._oldest.pop(ticket, None)
        return entry

    def clear(self, camera: str) -> int:
        """Forget a camera. Returns how many of its pictures were still waiting or lost."""
        pictures = 0
        while (entry := self.take(camera)) is not None:
            pictures += entry.frames if isinstance(entry, Lost) else 1
        self._queues.pop(camera, None)
        return pictures

    def _drop(self, camera: str) -> None:
        """Turn the oldest droppable picture of a camera into (a part of) a Lost in the same place."""
        queue = self._queues[camera]
        at = next(i for i, (_, e) in enumerate(queue) if isinstance(e, Waiting) and e.droppable)
        ticket, entry = queue[at]
        assert isinstance(entry, Waiting)
        self.bytes -= entry.size
        self.pictures -= 1
        before = queue[at - 1][1] if at else None
        if isinstance(before, Lost) and entry.begins is None:
            grown = Lost(
                from_ms=min(before.from_ms, entry.captured_ms),
                to_ms=max(before.to_ms, entry.captured_ms),
                frames=before.frames + 1,
                begins=before.begins,
            )
            queue[at - 1] = (ticket, grown)
            del queue[at]
        else:
            lost = Lost(from_ms=entry.captured_ms, to_ms=entry.captured_ms, frames=1, begins=entry.begins)
            queue[at] = (ticket, lost)
