"""How long the queue on each approach is, second by second."""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from pipeline.simulate.camera import Array
from pipeline.simulate.journeys import positions
from pipeline.simulate.scenario import Approach
from pipeline.simulate.trace import Bools, Trace

BEGINS_KMH = 5.0
ENDS_KMH = 10.0
CLEARANCE_M = 20.0
ASIDE_RAD = np.pi / 4
"""Whose heading differs more from the approach's is crossing or turning in, not waiting."""

_EVERY_MS = 1000
_SPEED_MS = 100  # speeds are looked at so often


class Queue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The queue on one approach at one moment.

    A vehicle is queued from when it is slower than 5 km/h until it is faster than 10 km/h. The queue reaches from
    the stop line to the rear of the last queued vehicle, as long as no clear stretch of more than 20 m lies between
    vehicles, whether they are still queued or have moved on; so a queue that dissolves from its head is still there.
    Vehicles belong to the approach while their middle is on it.

    Source: the queue condition of PTV Vissim's queue counters (begin 5 km/h, end 10 km/h, clearance 20 m).
    """

    approach: str
    t_ms: Annotated[int, Meta(ge=0)]
    vehicles: Annotated[int, Meta(ge=0, description="Queued ones.")]
    metres: Annotated[float, Meta(ge=0, description="From the stop line to the rear of the last queued one.")]


def queues(
    traces: tuple[Trace, ...], approaches: tuple[Approach, ...], classes: tuple[str, ...], duration_ms: int
) -> tuple[Queue, ...]:
    """The queues of all approaches at every full second of the recording, by time, then in the approaches' order.

    Args:
        traces: everyone's.
        approaches: where queues are measured.
        classes: who may be queued.
        duration_ms: of the recording.
    """
    t_ms = np.arange(0, duration_ms + 1, _EVERY_MS, dtype=float)
    standing: dict[str, list[list[_Standing]]] = {a.name: [[] for _ in t_ms] for a in approaches}
    for trace in traces:
        if trace.journey.label not in classes:
            continue
        here = np.flatnonzero((t_ms >= trace.t_ms[0]) & (t_ms <= trace.t_ms[-1]))
        x, y, heading, _ = positions(trace.journey, trace.step_ms, t_ms[here])
        slow = _queued(trace, t_ms[here])
        for approach in approaches:
            back, on = _back(approach, x, y, heading)
            half = trace.journey.length_m / 2
            for each in np.flatnonzero(on):
                standing[approach.name][here[each]].append(
                    _Standing(float(back[each]) - half, float(back[each]) + half, bool(slow[each]))
                )
    return tuple(
        _queue(approach.name, int(t), standing[approach.name][n]) for n, t in enumerate(t_ms) for approach in approaches
    )


class _Standing(msgspec.Struct, frozen=True, order=True):
    """A vehicle on an approach: metres from the stop line back."""

    front: float
    rear: float
    queued: bool


def _queue(approach: str, t_ms: int, standing: list[_Standing]) -> Queue:
    vehicles, metres, reached = 0, 0.0, 0.0
    for each in sorted(standing):
        if each.front - reached > CLEARANCE_M:
            break
        reached = max(reached, each.rear)
        if each.queued:
            vehicles, metres = vehicles + 1, max(metres, each.rear)
    return Queue(approach=approach, t_ms=t_ms, vehicles=vehicles, metres=round(metres, 3))


def _back(approach: Approach, x: Array, y: Array, heading: Array) -> tuple[Array, Bools]:
    """How far the middles of footprints are from the stop line back, and which are on the approach."""
    cos, sin = np.cos(approach.heading_rad), np.sin(approach.heading_rad)
    x, y = x - approach.stop[0], y - approach.stop[1]
    back, aside = -(cos * x + sin * y), cos * y - sin * x
    turned = np.abs((heading - approach.heading_rad + np.pi) % (2 * np.pi) - np.pi)
    on = (back >= 0) & (back <= approach.length_m) & (np.abs(aside) <= approach.width_m / 2) & (turned <= ASIDE_RAD)
    return back, np.asarray(on)


def _queued(trace: Trace, t_ms: Array) -> NDArray[np.bool_]:
    """Whether the vehicle is queued at times: it was slower than one speed and not faster than the other since."""
    fine = np.arange(trace.t_ms[0], trace.t_ms[-1] + _SPEED_MS, _SPEED_MS)
    fine = np.union1d(np.minimum(fine, trace.t_ms[-1]), t_ms)
    kmh = positions(trace.journey, trace.step_ms, fine)[3] * 3.6
    told = np.where(kmh < BEGINS_KMH, 1, np.where(kmh > ENDS_KMH, 0, -1))  # -1: as before
    last = np.maximum.accumulate(np.where(told >= 0, np.arange(len(fine)), 0))
    return np.asarray(told[last][np.searchsorted(fine, t_ms)] == 1)
