"""Cameras, groups and scenes as people write them, each with the rules it must obey by itself."""

import itertools
import math
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec
from msgspec import Meta

from pipeline.config.checks import SIZE_PATTERN
from pipeline.config.reading import did_you_mean, shown
from pipeline.config.settings import Positive, Settings, Text
from pipeline.core.calibration import CalibrationError, fitted
from pipeline.core.credentials import holds_credentials
from pipeline.core.geometry import turn
from pipeline.core.model import (
    Calibration,
    GroundPoint,
    KnownPose,
    Line,
    Name,
    Point,
    Scene,
    Share,
    Size,
    SpeedTrap,
    StraightRoad,
    Zone,
)
from pipeline.simulate import address

SCHEMES = ("rtsp", "rtsps", "file", *address.SCHEMES)
"""What stands before `://` in a source; anything without it is a path."""


def source_mistake(source: str) -> str:
    """What is wrong with a camera's source; it never repeats a secret."""
    if holds_credentials(source):
        return (
            "holds a user name or password; put them into the environment or a file and write"
            " ${env:CAM_USER}:${env:CAM_PASSWORD} in their place (or ${file:/run/secrets/cam})"
        )
    scheme, separator, rest = source.partition("://")
    if not separator or scheme.startswith("${"):
        return ""
    if scheme.lower() not in SCHEMES:
        return f"begins with an unknown {shown(scheme)}{did_you_mean(scheme, SCHEMES)}"
    if not rest:
        return f"names nothing after {scheme}://"
    return "; ".join(address.mistakes(source)) if address.is_simulated(source) else ""


def time_mistake(text: str) -> str:
    """What is wrong with a point in time."""
    try:
        datetime.fromisoformat(text)
        whole = "T" in text or " " in text
    except ValueError:
        whole = False
    return "" if whole else f"must be a date and time like 2026-05-01T08:00:00, got {shown(text)}"


def time_zone_mistake(text: str) -> str:
    """What is wrong with a time zone."""
    if text in _time_zones():
        return ""
    near = did_you_mean(text, sorted(_time_zones()))
    return f"is no known time zone: {shown(text)}{near if 'did you mean' in near else ' (like Europe/Amsterdam)'}"


def members_mistake(members: list[str]) -> str:
    """What is wrong with the members of a group, whoever they are."""
    twice = sorted({member for member in members if members.count(member) > 1})
    return f"names {', '.join(twice)} more than once" if twice else ""


Corner = tuple[Share, Share]
End = Annotated[Corner, Meta(description="[x, y] in shares (0..1) of the picture's width and height, y down")]
Direction = Annotated[Text | None, Meta(description="a name for this direction, e.g. northbound")]
Classes = Annotated[
    list[Text] | None, Meta(description="classes that count, e.g. [car, truck]; none: every road user the model knows")
]


class PositionEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the camera stands, WGS 84 degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class CameraEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera."""

    source: Annotated[
        Text,
        Meta(
            description="rtsp://${env:CAM_USER}:${env:CAM_PASSWORD}@host/path, or the path of a video (relative ones"
            " from this file's folder), or sim://SCENARIO?seed=7&fps=10&light=day&weather=rain for simulated traffic (sim+detections://... without pictures);"
            " credentials only by reference",
            extra={"check": source_mistake},
        ),
    ]
    fps: Annotated[
        Positive | None, Meta(description="pictures a second to analyse; none: every one. 10 to 15 follows cars well")
    ] = None
    width: Annotated[
        int, Meta(ge=64, le=8192, description="pictures are scaled down to this width; 640 is what the models see")
    ] = 640
    loop: Annotated[bool, Meta(description="files: begin again at the end")] = False
    pace: Annotated[
        Literal["live", "fast"], Meta(description="files: live is their own speed, fast as fast as possible")
    ] = "live"
    transport: Annotated[
        Literal["tcp", "udp"], Meta(description="rtsp: tcp loses nothing; udp where the camera knows no other")
    ] = "tcp"
    start: Annotated[
        str | None,
        Meta(
            description="files: when the first picture was taken, like 2026-05-01T08:00:00",
            extra={"check": time_mistake},
        ),
    ] = None
    time_zone: Annotated[
        str,
        Meta(
            description="like Europe/Amsterdam; of a `start` without an offset, and of days in reports",
            extra={"check": time_zone_mistake},
        ),
    ] = "UTC"
    position: PositionEntry | None = None


class GroupEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cameras that are summed up together."""

    members: Annotated[list[Name], Meta(min_length=1, description="camera ids", extra={"check": members_mistake})]
    name: Annotated[str, Meta(description="for people; the id is for machines")] = ""
    kind: Literal["site", "corridor", "city"] = "site"


class LineEntry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}
):
    """A counting line. Directions are told as you stand at `from` and face `to`."""

    start: End
    end: End
    to_right: Direction = None
    to_left: Direction = None
    classes: Classes = None

    def __post_init__(self) -> None:
        """Refuse a line without length."""
        if self.start == self.end:
            raise ValueError(f"a line needs two different points, got {list(self.start)} twice")


class ZoneEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An area of the road."""

    points: Annotated[
        list[Corner], Meta(min_length=3, description="the corners in order, [x, y] in shares (0..1), y down")
    ]
    classes: Classes = None

    def __post_init__(self) -> None:
        """Refuse an outline that crosses itself or encloses nothing."""
        if crossed := crossing_sides(self.points):
            first, second = crossed
            raise ValueError(
                f"the outline crosses itself: the side from corner {first + 1} meets the side from corner {second + 1}"
                " (write the corners in order, once around)"
            )


class GroundPointEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point of the road that can be found in the picture."""

    at: End
    metres: Annotated[
        tuple[float, float], Meta(description="[x, y] where it is on the road, in metres, in any right-angled axes")
    ]


class MarkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mark on a straight road, like the beginning of a dash."""

    at: End
    along: Annotated[float, Meta(description="how far along the road it is, in metres from any beginning")]


class StraightRoadEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A straight lane of known width and marks along it."""

    left: Annotated[list[Corner], Meta(min_length=2, description="points on the lane's left edge, [x, y] in shares")]
    right: Annotated[list[Corner], Meta(min_length=2, description="points on its right edge")]
    width: Annotated[float, Meta(gt=0, le=100, description="from edge to edge, in metres")]
    marks: Annotated[list[MarkEntry], Meta(min_length=2, description="marks a known distance apart along the road")]
    focal_px: Annotated[
        Positive | None, Meta(description="focal length in pixels of drawn_on; none: found out, which is less sure")
    ] = None


class PoseEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the camera hangs, and how well each value is known (its standard deviation)."""

    height: Annotated[float, Meta(gt=0, le=1000, description="of the lens above the road, in metres")]
    tilt: Annotated[float, Meta(ge=0, le=90, description="degrees that it looks below the horizon")]
    focal_px: Annotated[Positive | None, Meta(description="focal length in pixels of drawn_on; or field_of_view")] = (
        None
    )
    field_of_view: Annotated[float, Meta(gt=0, lt=180, description="horizontal, in degrees; or focal_px")] | None = None
    pan: Annotated[float, Meta(ge=-360, le=360, description="degrees to the right of the metres' second axis")] = 0.0
    roll: Annotated[float, Meta(ge=-45, le=45, description="degrees that it leans clockwise, seen from behind")] = 0.0
    k1: Annotated[float, Meta(ge=-2, le=2, description="radial distortion (Brown)")] = 0.0
    k2: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    height_sd: Annotated[float, Meta(ge=0, description="metres")] = 0.1
    tilt_sd: Annotated[float, Meta(ge=0, description="degrees")] = 0.2
    roll_sd: Annotated[float, Meta(ge=0, description="degrees")] = 0.2
    focal_sd: Annotated[float, Meta(ge=0, description="a share of the focal length")] = 0.01

    def __post_init__(self) -> None:
        """Refuse no focal length, or two."""
        if (self.focal_px is None) == (self.field_of_view is None):
            raise ValueError("needs focal_px or field_of_view, one of the two")

    def pose(self, width_px: int) -> KnownPose:
        """The same in the core's words."""
        if self.field_of_view is not None:
            focal = width_px / 2 / math.tan(math.radians(self.field_of_view) / 2)
        else:
            focal = float(self.focal_px or 0)
        return KnownPose(
            height_m=self.height, tilt_deg=self.tilt, focal_px=focal, pan_deg=self.pan, roll_deg=self.roll, k1=self.k1, k2=self.k2,
            height_sd_m=self.height_sd, tilt_sd_deg=self.tilt_sd, roll_sd_deg=self.roll_sd, focal_sd=self.focal_sd,
        )  # fmt: skip


class CalibrationEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes metres of the picture: points, a straight road, or the camera's pose; one of the three."""

    points: (
        Annotated[list[GroundPointEntry], Meta(min_length=4, description="points measured on the road, four at least")]
        | None
    ) = None
    road: StraightRoadEntry | None = None
    pose: PoseEntry | None = None
    picture_sd_px: Annotated[
        Positive, Meta(description="how well points were found in the picture: standard deviation, pixels of drawn_on")
    ] = 2.0
    ground_sd: Annotated[float, Meta(ge=0, description="and on the road, in metres")] = 0.05
    valid: (
        Annotated[
            list[Corner],
            Meta(min_length=3, description="where speeds are measured: a polygon; none: around what was measured"),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Refuse none or several forms, and a polygon that crosses itself."""
        wrong = []
        forms = [name for name in ("points", "road", "pose") if getattr(self, name) is not None]
        if len(forms) != 1:
            wrong.append(f"needs one of points, road and pose, got {' and '.join(forms) or 'none'}")
        if self.valid is not None and crossing_sides(self.valid):
            wrong.append("the outline of valid crosses itself (write the corners in order, once around)")
        if wrong:
            raise ValueError("; ".join(wrong))

    def calibration(self, drawn_on: Size) -> Calibration:
        """The same in the core's words."""
        return Calibration(
            points=None if self.points is None else [GroundPoint(at=p.at, metres=p.metres) for p in self.points],
            road=None
            if self.road is None
            else StraightRoad(
                left=self.road.left,
                right=self.road.right,
                width_m=self.road.width,
                marks=[mark.at for mark in self.road.marks],
                along_m=[mark.along for mark in self.road.marks],
                focal_px=self.road.focal_px,
            ),
            pose=None if self.pose is None else self.pose.pose(drawn_on.width),
            picture_sd_px=self.picture_sd_px,
            ground_sd_m=self.ground_sd,
            valid=self.valid,
        )


class SpeedTrapEntry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}
):
    """Two lines a known distance apart along the road; speeds are told both ways."""

    start: Annotated[Name, Meta(description="a line of this scene")]
    end: Annotated[Name, Meta(description="another one")]
    metres: Annotated[float, Meta(gt=0, le=100_000, description="from line to line, along the road")]
    sd: Annotated[float, Meta(ge=0, description="how well that is known: standard deviation, metres")] = 0.2


class SceneEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a camera's pictures are measured by."""

    drawn_on: Annotated[
        str,
        Meta(
            pattern=SIZE_PATTERN,
            description="size of the picture the scene was drawn on, like 1280x720; other sizes of it fit too",
        ),
    ]
    lines: dict[Name, LineEntry] = {}
    zones: dict[Name, ZoneEntry] = {}
    calibration: Annotated[
        CalibrationEntry | None, Meta(description="for speeds; gantry calibrate shows its worth")
    ] = None
    speed_traps: Annotated[dict[Name, SpeedTrapEntry], Meta(description="by name; need no calibration")] = {}

    def __post_init__(self) -> None:
        """Refuse two places of one name, speed traps without their lines, and what makes no plane of the road."""
        wrong = []
        if twice := sorted(self.lines.keys() & self.zones.keys()):
            wrong.append(f"places of a scene need different names; a line and a zone are both {', '.join(twice)}")
        for name, trap in self.speed_traps.items():
            lost = [f"{end}{did_you_mean(end, self.lines)}" for end in (trap.start, trap.end) if end not in self.lines]
            if lost:
                wrong.append(f"speed trap {name} needs lines of this scene; there is no {' and no '.join(lost)}")
            if trap.start == trap.end:
                wrong.append(f"speed trap {name} needs two different lines, got {trap.start} twice")
        if self.calibration is not None:
            size = Size.parse(self.drawn_on)
            try:
                fitted(self.calibration.calibration(size), size)
            except CalibrationError as exc:
                wrong.append(f"calibration: {exc}")
        if wrong:
            raise ValueError("; ".join(wrong))

    def scene(self) -> Scene:
        """The same in the core's words, not yet registered (revision 0)."""
        return Scene(
            drawn_on=Size.parse(self.drawn_on),
            lines=[
                Line(name=n, start=e.start, end=e.end, to_right=e.to_right, to_left=e.to_left, classes=e.classes)
                for n, e in self.lines.items()
            ],
            zones=[Zone(name=n, points=e.points, classes=e.classes) for n, e in self.zones.items()],
            calibration=None if self.calibration is None else self.calibration.calibration(Size.parse(self.drawn_on)),
            speed_traps=[
                SpeedTrap(name=n, start=e.start, end=e.end, metres=e.metres, sd_m=e.sd)
                for n, e in self.speed_traps.items()
            ],
        )


class InstallationFile(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gantry installation: settings of the processes, cameras, groups of cameras, and scenes."""

    cameras: Annotated[dict[Name, CameraEntry], Meta(description="by id")] = msgspec.field(default_factory=dict)
    groups: Annotated[dict[Name, GroupEntry], Meta(description="by id")] = msgspec.field(default_factory=dict)
    scenes: Annotated[dict[Name, SceneEntry], Meta(description="by camera id")] = msgspec.field(default_factory=dict)


def crossing_sides(points: list[Point]) -> tuple[int, int] | None:
    """The first two sides of a polygon that meet where they should not, each by the index of its first corner.

    Sides that follow each other share their corner and nothing more: a side that folds back on the one before
    it, and a corner that is there twice, count as meeting. So an outline that encloses no area is never simple.
    """
    sides = [(points[i], points[(i + 1) % len(points)]) for i in range(len(points))]
    for i, j in itertools.combinations(range(len(sides)), 2):
        (a, b), (c, d) = sides[i], sides[j]
        if j == i + 1:
            meet = _folds_back(a, b, d)
        elif i == 0 and j == len(sides) - 1:
            meet = _folds_back(c, d, b)
        else:
            meet = _meet(a, b, c, d)
        if meet or a == b or c == d:
            return (i, j)
    return None


def _folds_back(before: Point, corner: Point, after: Point) -> bool:
    back = (before[0] - corner[0], before[1] - corner[1])
    on = (after[0] - corner[0], after[1] - corner[1])
    return turn(before, corner, after) == 0 and back[0] * on[0] + back[1] * on[1] > 0


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two closed segments share a point (Cormen et al., Introduction to Algorithms, 3rd ed., 33.1)."""
    ta, tb, tc, td = turn(c, d, a), turn(c, d, b), turn(a, b, c), turn(a, b, d)
    if 0 not in (ta, tb, tc, td):
        return (ta > 0) != (tb > 0) and (tc > 0) != (td > 0)
    touching = ((ta, c, d, a), (tb, c, d, b), (tc, a, b, c), (td, a, b, d))
    return any(side == 0 and _within_box(start, end, p) for side, start, end, p in touching)


def _within_box(start: Point, end: Point, p: Point) -> bool:
    return all(min(start[i], end[i]) <= p[i] <= max(start[i], end[i]) for i in (0, 1))


@lru_cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
