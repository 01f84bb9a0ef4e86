"""Pictures of a film at the moments that somebody wants to look at."""

from collections.abc import Sequence
from contextlib import aclosing

from workers.film import Shot, film

FAR_MS = 1000.0
"""A picture so far from the wanted moment does not show it."""


async def stills(video: str, times_ms: Sequence[float]) -> list[Shot | None]:
    """The picture nearest to each time; None where the film has none near it.

    Args:
        video: the film.
        times_ms: since its first picture, in any order.

    Raises:
        Fatal: the film cannot be read.
    """
    found: list[Shot | None] = [None] * len(times_ms)
    waiting = sorted(range(len(times_ms)), key=lambda n: times_ms[n], reverse=True)  # the next one is last
    last: Shot | None = None
    async with aclosing(film(video)) as shots:
        async for shot in shots:
            while waiting and shot.t_ms >= times_ms[waiting[-1]]:
                wanted = waiting.pop()
                found[wanted] = _nearer(last, shot, times_ms[wanted])
            last = shot
            if not waiting:
                break
    for wanted in waiting:
        found[wanted] = _nearer(last, None, times_ms[wanted])
    return found


def _nearer(before: Shot | None, after: Shot | None, t_ms: float) -> Shot | None:
    there = [shot for shot in (before, after) if shot is not None and abs(shot.t_ms - t_ms) <= FAR_MS]
    return min(there, key=lambda shot: abs(shot.t_ms - t_ms), default=None)
