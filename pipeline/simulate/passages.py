"""Who passed which line when, how fast, and how long after the one before."""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from pipeline.core.geometry import along, level
from pipeline.core.model import Line, Point, Scene, Share, Way
from pipeline.simulate.camera import Array
from pipeline.simulate.scenario import Metres, Scenario
from pipeline.simulate.trace import Bools, Trace, foot, to_right

BACK_M = 0.5
"""Who passes a line and is back after less way than this has not passed it: it stopped on the line."""


class Passage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One road user passed one line, the foot of its box in the still picture.

    The foot is the middle of the lower edge of the whole box. Headway and gap are those at the line on the road, to
    the user before that passed the same way (in whichever lane): null for the first one, and where one of the two
    stood beyond the line when it was first seen. The gap is below 0 where two passed side by side.
    """

    line: str
    user: Annotated[int, Meta(ge=0)]
    label: str = msgspec.field(name="class")
    direction: Way
    t_ms: Annotated[float, Meta(ge=0, description="Since the start, solved between frames.")]
    x: Annotated[Share, Meta(description="Where, as a share of the picture's width.")]
    y: Annotated[Share, Meta(description="Where, as a share of the picture's height, downwards.")]
    speed_kmh: Annotated[float, Meta(ge=0)]
    headway_s: Annotated[float, Meta(ge=0, description="Front to front.")] | None = None
    gap_s: Annotated[float, Meta(description="The rear of the one before to this one's front.")] | None = None
    way_m: (
        Annotated[
            float,
            Meta(
                ge=0, description="What it has driven since it was first there; between two passages: the difference."
            ),
        ]
        | UnsetType
    ) = UNSET  # not in files of before


def passages(traces: tuple[Trace, ...], scenario: Scenario, scene: Scene) -> tuple[Passage, ...]:
    """All passages, by time, then line and user.

    Args:
        traces: everyone's.
        scenario: for the lines on the road.
        scene: the same lines in the picture, and which classes they count.
    """
    found: list[Passage] = []
    for line in scene.lines:
        counted = [trace for trace in traces if line.classes is None or trace.journey.label in line.classes]
        over = [each for trace in counted for each in _over(trace, line, scenario.lines[line.name], scene)]
        for way in Way:
            found += _followed([each for each in over if each.passage.direction is way])
    return tuple(sorted(found, key=lambda p: (p.t_ms, p.line, p.user)))


class _Over(msgspec.Struct, frozen=True):
    """A passage, and when the user's front and rear were over the line on the road."""

    passage: Passage
    front_ms: float | None
    rear_ms: float | None


def _over(trace: Trace, line: Line, ends: tuple[Metres, Metres], scene: Scene) -> list[_Over]:
    """One user's passages of one line."""
    aspect = scene.drawn_on.aspect

    def right(t_ms: Array) -> Bools:
        return to_right(line.start, line.end, trace.foot(t_ms), aspect)

    feet = foot(trace.box)
    kept: list[tuple[float, bool]] = []
    for t_ms, side in trace.changes(right, to_right(line.start, line.end, feet, aspect), known=np.isfinite(feet[:, 1])):
        if kept and trace.way_m(kept[-1][0], t_ms) < BACK_M:
            kept.pop()  # this one takes the last one back
        else:
            kept.append((t_ms, side))
    found = []
    for t_ms, side in kept:
        at: Point = tuple(trace.foot(np.array([t_ms]))[0].tolist())
        on_segment = 0.0 <= along(level(line.start, aspect), level(line.end, aspect), level(at, aspect)) <= 1.0
        if not on_segment:  # a line's ends are in the picture, so all of it is
            continue
        passage = Passage(
            line=line.name,
            user=trace.journey.id,
            label=trace.journey.label,
            direction=Way.TO_RIGHT if side else Way.TO_LEFT,
            t_ms=round(t_ms, 2),
            x=round(at[0], 6),
            y=round(at[1], 6),
            speed_kmh=round(trace.speed_kmh(t_ms), 3),
            way_m=round(trace.way_m(float(trace.t_ms[0]), t_ms), 3),
        )
        half = trace.journey.length_m / 2
        found.append(_Over(passage, *(_on_road(trace, ends, ahead, side, t_ms) for ahead in (half, -half))))
    return found


def _on_road(trace: Trace, ends: tuple[Metres, Metres], ahead_m: float, side: bool, near_ms: float) -> float | None:
    """When the point ahead_m before the middle of the user came to that side of the line on the road.

    The time nearest to near_ms; None where it never did while it was there.
    """
    (ax, ay), (bx, by) = ends

    def right(x: Array, y: Array, heading: Array) -> Bools:
        x, y = x + ahead_m * np.cos(heading), y + ahead_m * np.sin(heading)
        return np.asarray((bx - ax) * (y - ay) - (by - ay) * (x - ax) <= 0)  # y grows up here

    changes = trace.changes(lambda t_ms: right(*trace.footprint(t_ms)), right(trace.x_m, trace.y_m, trace.heading_rad))
    times = [t_ms for t_ms, became in changes if became == side]
    return min(times, key=lambda t_ms: abs(t_ms - near_ms), default=None)


def _followed(over: list[_Over]) -> list[Passage]:
    """The passages of one line, one way, with headway and gap to the one before: in the order of fronts at the line."""
    out = []
    before: _Over | None = None
    for each in sorted(over, key=lambda o: (o.passage.t_ms if o.front_ms is None else o.front_ms, o.passage.user)):
        headway = gap = None
        if before is not None and each.front_ms is not None:
            headway = None if before.front_ms is None else _seconds(each.front_ms - before.front_ms)
            gap = None if before.rear_ms is None else _seconds(each.front_ms - before.rear_ms)
        out.append(msgspec.structs.replace(each.passage, headway_s=headway, gap_s=gap))
        before = each
    return out


def _seconds(ms: float) -> float:
    return round(ms / 1000, 5)
