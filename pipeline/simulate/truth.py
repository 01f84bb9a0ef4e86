"""The exact truth of a recording as one camera must measure it, and the file it is kept in.

All times are ms since the start of the recording; `start_ms` is what the clock of the camera says then. Positions in
pictures are shares of the still picture: a camera that sways sees the same lines elsewhere, but the truth stays.
"""

import math
from collections.abc import Set as AbstractSet
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from pipeline.core.model import Scene, Size
from pipeline.errors import Fatal
from pipeline.simulate.frames import Picture, TrueBox, frames, mot
from pipeline.simulate.journeys import IncidentKind, Recording
from pipeline.simulate.occupied import WINDOW_MS, Occupied, occupied
from pipeline.simulate.passages import Passage, passages
from pipeline.simulate.queues import Queue, queues
from pipeline.simulate.scenario import Scenario, scene_of
from pipeline.simulate.trace import Trace, traces
from pipeline.simulate.view import inside

__all__ = [
    "START_MS",
    "Incident",
    "Movement",
    "Occupied",
    "Passage",
    "Picture",
    "Queue",
    "TrueBox",
    "Truth",
    "encode_truth",
    "frames",
    "mot",
    "truth",
]

VERSION = 1
"""Of the file's format."""

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: the captured_ms of t = 0 where nobody says otherwise. Windows of flow begin there, too."""


class Movement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a road user came from and went to, and when any part of its whole box was in the still picture."""

    user: Annotated[int, Meta(ge=0)]
    label: str = msgspec.field(name="class")
    origin: str
    destination: str
    from_ms: Annotated[int, Meta(ge=0)]
    to_ms: Annotated[int, Meta(ge=0)]


class Incident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that was made to happen."""

    kind: IncidentKind
    from_ms: int
    to_ms: int
    users: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(description="Those that were in the picture.")]
    x: (
        Annotated[float, Meta(description="Where, as a share of the picture's width; null: not before the camera.")]
        | None
    )
    y: Annotated[float, Meta(description="As a share of its height. x and y outside 0..1: not in the picture.")] | None


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened in a recording, for one camera."""

    version: Literal[1] = 1
    scenario: str
    seed: int
    size: Annotated[Size, Meta(description="Width and height of the picture in pixels.")]
    scene: Annotated[Scene, Meta(description="The lines and zones that all is measured by.")]
    start_ms: Annotated[int, Meta(description="The camera's clock at t = 0, in ms of UTC.")]
    duration_ms: Annotated[int, Meta(gt=0)]
    passages: tuple[Passage, ...]  # by time
    movements: tuple[Movement, ...]  # in the order of journeys
    queues: tuple[Queue, ...]  # every second of every approach
    occupied: tuple[Occupied, ...]  # every half minute of every line and zone
    incidents: tuple[Incident, ...]


def truth(
    recording: Recording, scenario: Scenario, *, start_ms: int = START_MS, measured: Scene | None = None
) -> Truth:
    """What a perfect eye behind the scenario's camera would measure, held still.

    Args:
        recording: who went where.
        scenario: the place; its camera looks.
        start_ms: the camera's clock at the recording's start. A multiple of 30 000, so that windows of flow and the
            stretches of `occupied` are the same.
        measured: lines, zones and all of one's own; None: the scenario's.

    Raises:
        ValueError: start_ms is no such multiple.
        Fatal: a line or zone of the scenario is not in its picture; `measured` was drawn on pictures of another shape,
            holds vehicles against its lines elsewhere than at the foot, or has a line that is not on the road.
    """
    if start_ms % WINDOW_MS:
        raise ValueError(f"start_ms must be a multiple of {WINDOW_MS}, got {start_ms}")
    scene = scene_of(scenario)
    if measured is not None:
        scene, scenario = measured, _drawn(measured, scenario)
    seen = traces(recording, scenario.camera)
    movements = tuple(movement for trace in seen if (movement := _movement(trace)) is not None)
    return Truth(
        scenario=recording.scenario,
        seed=recording.seed,
        size=scenario.size,
        scene=scene,
        start_ms=start_ms,
        duration_ms=recording.duration_ms,
        passages=passages(seen, scenario, scene),
        movements=movements,
        queues=queues(seen, scenario.approaches, scenario.classes, recording.duration_ms),
        occupied=occupied(seen, scenario, scene, recording.duration_ms),
        incidents=_incidents(recording, scenario, {movement.user for movement in movements}),
    )


def encode_truth(value: Truth) -> bytes:
    """The truth as its file holds it: JSON on one line."""
    return msgspec.json.encode(value) + b"\n"


def _drawn(scene: Scene, scenario: Scenario) -> Scenario:
    """The scenario with the lines of a scene, on its road. Raises Fatal."""
    if not scene.drawn_on.same_shape(scenario.size):
        raise Fatal(
            f"the scene was drawn on {scene.drawn_on}, the pictures of {scenario.name} are {scenario.size}, another shape"
        )
    if scene.anchors:
        raise Fatal("the scene has anchors, but truth is of the foot of boxes, the middle of their lower edge")
    lines = {}
    for line in scene.lines:
        ends = scenario.camera.ground(np.array([line.start, line.end]))
        if not np.isfinite(ends).all():
            raise Fatal(f"line {line.name}: it reaches above the horizon of {scenario.name}; draw it on the road")
        start, end = ((float(x), float(y)) for x, y in ends)
        lines[line.name] = (start, end)
    return msgspec.structs.replace(scenario, lines=lines)


def _movement(trace: Trace) -> Movement | None:
    spans = trace.spans(lambda t_ms: inside(trace.boxes(t_ms)) > 0, inside(trace.box) > 0)
    if not spans:
        return None
    journey = trace.journey
    return Movement(
        user=journey.id,
        label=journey.label,
        origin=journey.origin,
        destination=journey.destination,
        from_ms=round(spans[0][0]),
        to_ms=round(spans[-1][1]),
    )


def _incidents(recording: Recording, scenario: Scenario, seen: AbstractSet[int]) -> tuple[Incident, ...]:
    """What begins while it is recorded; a recording may be the beginning of a longer one."""
    began = [staged for staged in recording.staged if staged.from_ms <= recording.duration_ms]
    places = np.array([(staged.x_m, staged.y_m, 0.0) for staged in began]).reshape(-1, 3)
    shares, _ = scenario.camera.project(places)
    return tuple(
        Incident(
            kind=staged.kind,
            from_ms=staged.from_ms,
            to_ms=min(staged.to_ms, recording.duration_ms),
            users=tuple(user for user in staged.users if user in seen),
            x=round(float(x), 6) if math.isfinite(x) else None,
            y=round(float(y), 6) if math.isfinite(y) else None,
        )
        for staged, (x, y) in zip(began, shares, strict=True)
    )
