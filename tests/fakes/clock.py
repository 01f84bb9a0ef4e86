"""A clock that stands still until a test pushes it."""

import asyncio
import heapq
import itertools

ROUNDS = 30
"""Turns of the event loop in which everything that can happen now happens."""


async def settle() -> None:
    """Let every task run until it waits for something that a test must do."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


class PushedClock:
    """`ports.Clockwork`; its sleepers wake when `push` passes their hour, in order."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._began_ms = now_ms
        self._now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def now_ms(self) -> int:
        return self._began_ms + round(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._number), future))
        await future

    async def push(self, seconds: float) -> None:
        """Time passes."""
        until = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until + 1e-9:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = until
        await settle()
