"""One road user's way through the still picture, and the moments at which something about it changes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.geometry import level
from pipeline.core.model import Point
from pipeline.simulate.camera import Array, Pinhole
from pipeline.simulate.journeys import Journey, Recording, positions
from pipeline.simulate.view import boxes

Bools = NDArray[np.bool_]
Span = tuple[float, float]
"""From and to, in ms."""

GRID_MS = 40.0
"""What begins and ends within so short a time may be overlooked: 1.2 m of way at 108 km/h."""

EXACT_MS = 0.01
"""Moments are solved to this."""

_SIXTEENTHS = np.arange(1, 17) / 16


@dataclass(frozen=True, eq=False)
class Trace:
    """Where one user is at the times it is there, between 0 and the recording's end."""

    camera: Pinhole
    journey: Journey
    step_ms: int
    t_ms: Array  # [n], at most GRID_MS apart, rising
    x_m: Array  # the middle of the footprint
    y_m: Array
    heading_rad: Array
    speed_ms: Array
    box: Array  # [n, 4] x1, y1, x2, y2 whole, in shares of the still picture; nan behind the camera

    def boxes(self, t_ms: Array) -> Array:
        """The whole boxes [m, 4] at other times."""
        x, y, heading, _ = positions(self.journey, self.step_ms, t_ms)
        return boxes(self.camera, x, y, heading, _size(self.journey))

    def foot(self, t_ms: Array) -> Array:
        """The foot points [m, 2] at other times."""
        return foot(self.boxes(t_ms))

    def footprint(self, t_ms: Array) -> tuple[Array, Array, Array]:
        """Middle and heading of the footprint at other times: x_m, y_m, heading_rad."""
        return positions(self.journey, self.step_ms, t_ms)[:3]

    def speed_kmh(self, t_ms: float) -> float:
        """How fast the user goes at a time."""
        return float(positions(self.journey, self.step_ms, np.array([t_ms]))[3][0]) * 3.6

    def way_m(self, from_ms: float, to_ms: float) -> float:
        """How much way the user made between two times, there and back added up."""
        t_ms = np.linspace(from_ms, to_ms, int((to_ms - from_ms) / GRID_MS) + 2)
        x, y, _ = self.footprint(t_ms)
        return float(np.hypot(np.diff(x), np.diff(y)).sum())

    def changes(
        self, holds: Callable[[Array], Bools], now: Bools, known: Bools | None = None
    ) -> Iterator[tuple[float, bool]]:
        """When a statement about the user becomes true or false.

        Args:
            holds: whether it is true, [m], at times [m].
            now: the same at t_ms, [n].
            known: [n] where nothing can be said if False; no change is told next to it.

        Yields:
            (t_ms, what it became), rising; the time is solved to EXACT_MS, by sections instead of halves: a few larger
            questions cost less than many small ones.
        """
        at = np.flatnonzero(now[1:] != now[:-1])
        if known is not None:
            at = at[known[at] & known[at + 1]]
        early, late, becomes = self.t_ms[at], self.t_ms[at + 1], now[at + 1]
        while len(at) and np.max(late - early) > EXACT_MS:
            tried = early[:, None] + (late - early)[:, None] * _SIXTEENTHS  # [k, 16]; the last one is known to be so
            reached = holds(tried.reshape(-1)).reshape(tried.shape) == becomes[:, None]
            reached[:, -1] = True
            first = reached.argmax(axis=1)
            row = np.arange(len(at))
            early, late = np.where(first > 0, tried[row, first - 1], early), tried[row, first]
        yield from zip(late.tolist(), becomes.tolist(), strict=True)

    def spans(self, holds: Callable[[Array], Bools], now: Bools) -> list[Span]:
        """From when to when a statement is true, as in `changes`; what is true at first began then."""
        times = [t for t, _ in self.changes(holds, now)]
        edges = [*([float(self.t_ms[0])] if now[0] else []), *times, *([float(self.t_ms[-1])] if now[-1] else [])]
        return list(zip(edges[::2], edges[1::2], strict=True))


def traces(recording: Recording, camera: Pinhole) -> tuple[Trace, ...]:
    """Everyone's trace, in the order of the journeys; users who are there for no time between 0 and the end have none."""
    found = []
    for journey in recording.journeys:
        start = max(0.0, float(journey.from_ms))
        end = min(float(recording.duration_ms), float(journey.to_ms(recording.step_ms)))
        if end <= start:
            continue
        t_ms = np.linspace(start, end, int(np.ceil((end - start) / GRID_MS)) + 1)
        x, y, heading, speed = positions(journey, recording.step_ms, t_ms)
        box = boxes(camera, x, y, heading, _size(journey))
        found.append(Trace(camera, journey, recording.step_ms, t_ms, x, y, heading, speed, box))
    return tuple(found)


def foot(box: Array) -> Array:
    """The foot points [n, 2] of boxes [n, 4]: the middle of the lower edge, by which users are counted."""
    return np.column_stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]])


def to_right(start: Point, end: Point, points: Array, aspect: float) -> Bools:
    """Which points [n, 2] of a picture are on the right as you stand at start and face end.

    Shares are levelled by the aspect, as in `pipeline.core.geometry`; a point ON the line belongs to its right side.
    """
    (ax, ay), (bx, by) = level(start, aspect), level(end, aspect)
    return np.asarray((bx - ax) * (points[:, 1] - ay) - (by - ay) * (points[:, 0] * aspect - ax) >= 0)


def united(spans: Iterable[Span]) -> list[Span]:
    """Overlapping stretches of time as one, rising."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def _size(journey: Journey) -> tuple[float, float, float]:
    return journey.length_m, journey.width_m, journey.height_m
