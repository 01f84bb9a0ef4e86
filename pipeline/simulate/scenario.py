"""A place to simulate: its roads and demand for SUMO, its camera, and what is measured there, in metres.

Everything is drawn on the road, in metres; `scene_of` projects it into the camera's picture, where gantry measures.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from pipeline.core.model import Calibration, KnownPose, Line, Scene, Size, Zone
from pipeline.simulate.camera import Pinhole
from pipeline.simulate.ground import Ground, Metres
from pipeline.simulate.journeys import IncidentKind

__all__ = ["SMOOTH", "Approach", "Ground", "Metres", "Scenario", "StagedPlan", "Traffic", "repeated", "scene_of"]

SMOOTH = ("--lanechange.duration", "3")
"""Words for sumo: changes of lane take their time."""

PERIOD_S = 300.0
"""Incidents are planned for so long, and come again in every further stretch of this length."""


class Approach(msgspec.Struct, frozen=True, kw_only=True):
    """Where vehicles queue: from the stop line against the direction of travel."""

    name: str
    stop: Metres  # the middle of the stop line
    heading_rad: float  # the direction of travel
    width_m: float  # of all its lanes
    length_m: float  # how far back the queue is measured


class StagedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An incident to be made: what, when, and how the traffic simulator is told."""

    kind: IncidentKind
    at_s: float  # since the start of the recording
    lasts_s: float
    details: Mapping[str, str | float] = {}  # what each kind takes: pipeline/adapters/sumo/staging.py
    repeats: bool = True  # False: only in the first period


def repeated(plans: Sequence[StagedPlan], duration_s: float) -> Iterator[StagedPlan]:
    """The plans of the first period, and again in every further one that begins within a recording.

    Who takes part by a name of its own is called by it and the number of the period later on: "double", "double_1".

    Args:
        plans: of the first period.
        duration_s: of the recording.
    """
    for nth in range(max(1, math.ceil(duration_s / PERIOD_S))):
        for plan in plans:
            if nth == 0:
                yield plan
            elif plan.repeats:
                yield msgspec.structs.replace(
                    plan, at_s=plan.at_s + nth * PERIOD_S, details=_details_later(plan.details, nth)
                )


def _details_later(details: Mapping[str, str | float], nth: int) -> Mapping[str, str | float]:
    if "users" not in details:
        return details
    names = str(details["users"]).split()
    return {**details, "users": " ".join(name if name == "*" else f"{name}_{nth}" for name in names)}


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What SUMO needs; plain text of its own formats, all ours."""

    nodes: str  # plain XML for netconvert
    edges: str
    connections: str = ""
    signals: str = ""  # additional file with tlLogic, if the default programme does not do
    options: tuple[str, ...] = ()  # further words for netconvert
    words: tuple[str, ...] = SMOOTH  # further words for sumo
    area_m: tuple[float, float, float, float] | None = None  # x, y, x, y: nobody outside of it is recorded
    arms: Mapping[str, str]  # edge id -> name of the arm it belongs to
    demand: Callable[[int, float], str]
    """Seed and the second when the recording ends -> routes file (vTypes, flows, trips, persons) with traffic until then.
    Seconds count from the begin of the warm-up.
    """
    staged: Callable[[int], tuple[StagedPlan, ...]] = lambda _seed: ()  # of the first PERIOD_S
    warm_up_s: float = 120.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One place."""

    name: str
    title: str  # for people, one line
    traffic: Traffic
    camera: Pinhole
    lines: Mapping[str, tuple[Metres, Metres]]  # from, to; directions are told as you stand at from and face to
    zones: Mapping[str, tuple[Metres, ...]] = {}
    approaches: tuple[Approach, ...] = ()
    movements: tuple[tuple[str, str], ...] = ()  # the legal ones: (from arm, to arm)
    classes: tuple[str, ...] = ("car", "truck", "bus", "motorcycle")  # what its lines count
    ground: Ground = Ground()  # what its pictures show beside the road users

    @property
    def size(self) -> Size:
        """Of the camera's picture."""
        return self.camera.lens.size


def scene_of(scenario: Scenario) -> Scene:
    """The scenario's lines and zones as its camera sees them.

    Raises:
        Fatal: one of them is not in the picture; the camera's pose does not fit the place.
    """
    camera = scenario.camera
    return Scene(
        drawn_on=scenario.size,
        revision=1,
        lines=[
            Line(
                name=name,
                start=camera.share_of(start, what=f"line {name} of {scenario.name}"),
                end=camera.share_of(end, what=f"line {name} of {scenario.name}"),
                classes=list(scenario.classes),
            )
            for name, (start, end) in scenario.lines.items()
        ],
        zones=[
            Zone(
                name=name,
                points=[camera.share_of(point, what=f"zone {name} of {scenario.name}") for point in points],
                classes=list(scenario.classes),
            )
            for name, points in scenario.zones.items()
        ],
        calibration=calibration_of(camera),
    )


def calibration_of(camera: Pinhole) -> Calibration:
    """The pose of a simulated camera, known exactly; metres are x east and y north of the road below it."""
    pose, lens = camera.pose, camera.lens
    return Calibration(
        pose=KnownPose(
            height_m=pose.z_m,
            tilt_deg=math.degrees(pose.tilt_rad),
            focal_px=lens.focal_px,
            pan_deg=90 - math.degrees(pose.heading_rad),
            roll_deg=math.degrees(pose.roll_rad),
            k1=lens.k1,
            k2=lens.k2,
            height_sd_m=0.0,
            tilt_sd_deg=0.0,
            roll_sd_deg=0.0,
            focal_sd=0.0,
        )
    )
