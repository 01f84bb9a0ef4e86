"""For how much of each half minute lines and zones are occupied."""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from pipeline.core.model import Point, Scene, Share
from pipeline.simulate.camera import Array
from pipeline.simulate.scenario import Metres, Scenario
from pipeline.simulate.trace import Bools, Span, Trace, foot, united

WINDOW_MS = 30_000


class Occupied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of a stretch of time in which at least one counted user was at a place.

    At a line: its footprint on the road touches the line on the road, as over an induction loop without width. In a
    zone: the foot of its box, in the still picture, lies inside.
    """

    place: Annotated[str, Meta(description="A line or a zone.")]
    from_ms: Annotated[int, Meta(ge=0)]
    to_ms: Annotated[int, Meta(gt=0)]
    share: Share


def occupied(traces: tuple[Trace, ...], scenario: Scenario, scene: Scene, duration_ms: int) -> tuple[Occupied, ...]:
    """All stretches of WINDOW_MS (the last one may be shorter), by time, then place: lines before zones."""
    places: dict[str, list[Span]] = {}
    for line in scene.lines:
        counted = [t for t in traces if line.classes is None or t.journey.label in line.classes]
        places[line.name] = united(span for t in counted for span in _over_line(t, scenario.lines[line.name]))
    for zone in scene.zones:
        counted = [t for t in traces if zone.classes is None or t.journey.label in zone.classes]
        places[zone.name] = united(span for t in counted for span in _in_zone(t, zone.points))
    out = []
    for start in range(0, duration_ms, WINDOW_MS):
        end = min(start + WINDOW_MS, duration_ms)
        for place, spans in places.items():
            ms = sum(max(0.0, min(late, end) - max(early, start)) for early, late in spans)
            share = round(min(1.0, ms / (end - start)), 6)
            out.append(Occupied(place=place, from_ms=start, to_ms=end, share=share))
    return tuple(out)


def _over_line(trace: Trace, ends: tuple[Metres, Metres]) -> list[Span]:
    """When the user's footprint touches a line on the road."""

    def touches(x: Array, y: Array, heading: Array) -> Bools:
        cos, sin = np.cos(heading), np.sin(heading)
        (ax, ay), (bx, by) = ((cos * (px - x) + sin * (py - y), cos * (py - y) - sin * (px - x)) for px, py in ends)
        enters, leaves = np.zeros(len(x)), np.ones(len(x))  # the part of the line within both slabs
        half = ((ax, bx, trace.journey.length_m / 2), (ay, by, trace.journey.width_m / 2))
        for start, end, reach in half:
            step = np.where(np.abs(end - start) < 1e-12, 1e-12, end - start)  # noqa: PLR2004 - along the side
            one, two = (-reach - start) / step, (reach - start) / step
            enters = np.maximum(enters, np.minimum(one, two))
            leaves = np.minimum(leaves, np.maximum(one, two))
        return np.asarray(enters <= leaves)

    now = touches(trace.x_m, trace.y_m, trace.heading_rad)
    return trace.spans(lambda t_ms: touches(*trace.footprint(t_ms)), now)


def _in_zone(trace: Trace, polygon: list[Point]) -> list[Span]:
    """When the foot of the user's box is in a zone of the picture."""
    return trace.spans(lambda t_ms: within(polygon, trace.foot(t_ms)), within(polygon, foot(trace.box)))


def within(polygon: list[Point], points: Array) -> Bools:
    """`pipeline.core.geometry.inside` for points [n, 2] at once; False for nan."""
    x, y = points.T
    found = np.zeros(len(points), dtype=bool)
    for (x1, y1), (x2, y2) in zip([polygon[-1], *polygon[:-1]], polygon, strict=True):
        spans = (y1 > y) != (y2 > y)
        if spans.any():
            found[spans] ^= x[spans] < (x2 - x1) * (y[spans] - y1) / (y2 - y1) + x1
    return found
