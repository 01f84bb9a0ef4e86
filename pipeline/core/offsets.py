"""Which offset of a partition may be committed: everything before it is finished and acknowledged."""

from collections import deque


class Offsets:
    """The unfinished offsets of one partition.

    Records are begun in the order of the log and finished in any order. Offsets may be missing in a log
    (compaction, transaction markers): only what was begun is waited for.
    """

    def __init__(self) -> None:
        self._begun: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None

    def begin(self, offset: int) -> None:
        """Note that a record is being worked on. Raises ValueError if it is not later than all before it."""
        if self._begun and offset <= self._begun[-1]:
            raise ValueError(f"offset {offset} was begun after offset {self._begun[-1]}")
        if self._next is not None and offset < self._next:
            raise ValueError(f"offset {offset} was begun though everything before {self._next} is finished")
        self._begun.append(offset)

    def finish(self, offset: int) -> None:
        """Note that all a record led to is acknowledged."""
        self._done.add(offset)
        while self._begun and self._begun[0] in self._done:
            first = self._begun.popleft()
            self._done.discard(first)
            self._next = first + 1

    @property
    def committable(self) -> int | None:
        """The offset to commit: the next one to read after a restart. None while nothing is finished."""
        return self._next

    @property
    def unfinished(self) -> int:
        """How many records are begun and not yet past the commit point."""
        return len(self._begun)
