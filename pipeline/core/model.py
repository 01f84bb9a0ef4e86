"""The nouns every room shares. All are frozen; a wrong one cannot be made.

Units are in the names: `_ms` is milliseconds of capture time (UTC), positions are shares (0..1) of
picture width and height, x to the right, y DOWN.
"""

from enum import StrEnum
from typing import Annotated, NewType

import msgspec
from msgspec import Meta

CameraId = NewType("CameraId", str)
GroupId = NewType("GroupId", str)

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""A name that is safe as a Kafka key, a URL part, a metric label and a file name."""

Name = Annotated[str, Meta(pattern=ID_PATTERN)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Point = tuple[float, float]


class Clock(StrEnum):
    """Where captured_ms comes from, best first."""

    RTCP = "rtcp"  # the sender's own wall clock, by RTCP sender reports
    FILE = "file"  # the start the user gave a file, plus its timestamps
    PTS = "pts"  # the arrival of the first frame, plus the stream's timestamps
    ARRIVAL = "arrival"  # when each frame reached us


class GapReason(StrEnum):
    """Why pictures of a stretch of time were never analysed."""

    LOST = "lost"  # the source lost them, or a picture could not be read
    SHED = "shed"  # too old to be worth analysing
    EXPIRED = "expired"  # the log's retention took them
    OVERFLOW = "overflow"  # they waited for the broker until memory was full


class CameraState(StrEnum):
    """What capture says of a camera that sends no pictures right now."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    BACKOFF = "backoff"
    ENDED = "ended"


class Size(msgspec.Struct, frozen=True, array_like=True):
    """Width and height of a picture in pixels."""

    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse a picture without area."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a picture needs a width and a height of at least 1 px, got {self}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read `640x352`. Raises ValueError on anything else."""
        width, x, height = text.partition("x")
        if not (x and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
            raise ValueError(f"a size is written WIDTHxHEIGHT, like 1280x720, got {text!r}")
        return cls(int(width), int(height))

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a record is: its place in the one ordered log of its camera.

    (camera, epoch, seq) is the record's identity; records of one camera are ordered by (epoch, seq).
    """

    log: str  # the id made when the topics were made
    camera: CameraId
    shard: int  # the camera's partition of `detections`, for life
    epoch: int
    seq: int  # from 0 within an epoch; control records take one too
    captured_ms: int
    clock: Clock
    size: Size | None = None  # of the picture as sent; None for control records
    source_size: Size | None = None  # of the picture as the camera made it
    traceparent: str | None = None

    @property
    def order(self) -> tuple[int, int]:
        """Where the record stands in its camera's log."""
        return (self.epoch, self.seq)


# --- bodies: what one record of a camera's log says ---------------------------------------------


class Frame(msgspec.Struct, frozen=True, tag="frame", tag_field="kind"):
    """A picture that waits to be analysed (topic `frames` only)."""

    jpeg: bytes


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Boxes of one frame, in columns of equal length n; n may be 0.

    x1 < x2 and y1 < y2 are shares of the picture, rounded to 1e-5, so that the file and the broker path
    give the core the same bits. Rows are sorted by falling score.
    """

    x1: list[float]
    y1: list[float]
    x2: list[float]
    y2: list[float]
    score: list[float]
    label: list[str]
    model: str = ""  # name and digest of what saw them

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        lengths = {len(c) for c in (self.x1, self.y1, self.x2, self.y2, self.score, self.label)}
        if len(lengths) != 1:
            raise ValueError(f"the columns of one frame need equal lengths, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.score)


class Detections(Columns, frozen=True, kw_only=True, tag="detections", tag_field="kind"):
    """What the model saw in one frame."""


class Boxes(Columns, frozen=True, kw_only=True, tag="boxes", tag_field="kind"):
    """A frame without pixels: what a model would see in it (topic `frames` only, of simulated cameras)."""

    def __post_init__(self) -> None:
        """Refuse boxes that no model would give: nobody looks at them before they count."""
        super().__post_init__()
        for x1, y1, x2, y2 in zip(self.x1, self.y1, self.x2, self.y2, strict=True):
            if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
                raise ValueError(f"a box needs 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, got {(x1, y1, x2, y2)}")

    def detections(self) -> Detections:
        """The same boxes, as what the model saw."""
        return Detections(**msgspec.structs.asdict(self))


class Opened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="opened", tag_field="kind"):
    """An epoch begins (or is repeated as a keyframe, which has no effect where it is known)."""

    source_size: Size
    clock: Clock
    fps: float | None = None  # the wanted rate; None: every frame
    restarts: bool = False  # True: the clock went back or a file looped, so tracks end; False: continues
    epoch_before: int | None = None
    partition_before: int | None = None  # where the epoch before it was written
    partition: int = 0  # the frames partition this epoch is written to
    first_ms: int = 0  # captured_ms at which the epoch began; file times count from here


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick", tag_field="kind"):
    """Time passes for a camera that is down or quiet."""

    state: CameraState


class Gap(msgspec.Struct, frozen=True, kw_only=True, tag="gap", tag_field="kind"):
    """Pictures captured in [from_ms, to_ms] were not, and will not be, analysed."""

    from_ms: int
    to_ms: int
    reason: GapReason
    frames: int | None = None  # None: nobody knows how many

    def __post_init__(self) -> None:
        """Refuse a gap that ends before it begins."""
        if self.to_ms < self.from_ms:
            raise ValueError(f"a gap ends at or after its start, got {self}")


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed", tag_field="kind"):
    """The last record of an epoch."""

    last_seq: int  # seq of the record before this one; -1 if there is none
    reason: str


# --- the scene: what a camera's pictures are measured by ----------------------------------------


class Line(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"start": "from", "end": "to"},
):
    """A counting line. Directions are told as you stand at `from` and face `to`."""

    name: Name
    start: tuple[Share, Share]
    end: tuple[Share, Share]
    to_right: str | None = None  # nickname of the direction, e.g. "northbound"
    to_left: str | None = None
    classes: list[str] | None = None  # None: every class the model knows as a road user

    def __post_init__(self) -> None:
        """Refuse a line without length."""
        if self.start == self.end:
            raise ValueError(f"line {self.name!r} needs two different points, got {self.start} twice")


class Zone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An area of the road: a simple polygon, its corners in order."""

    name: Name
    points: Annotated[list[tuple[Share, Share]], Meta(min_length=3)]
    classes: list[str] | None = None


class GroundPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the road that was found in the picture and measured outside."""

    at: tuple[Share, Share]  # in the picture
    metres: tuple[float, float]  # on the road, in any right-angled axes


class StraightRoad(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A straight lane of known width with marks at known places along it; the camera does not lean (roll 0)."""

    left: Annotated[list[tuple[Share, Share]], Meta(min_length=2)]  # points of its left edge
    right: Annotated[list[tuple[Share, Share]], Meta(min_length=2)]
    width_m: Annotated[float, Meta(gt=0)]
    marks: Annotated[list[tuple[Share, Share]], Meta(min_length=2)]  # in the lane or on its edges, any order
    along_m: Annotated[list[float], Meta(min_length=2)]  # how far along the road each mark is
    focal_px: Annotated[float, Meta(gt=0)] | None = None  # at the drawn size; None: found out from the points


class KnownPose(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the camera hangs and looks, each with its standard deviation. Degrees as people measure them."""

    height_m: Annotated[float, Meta(gt=0)]
    tilt_deg: Annotated[float, Meta(ge=0, le=90)]  # below the horizon
    focal_px: Annotated[float, Meta(gt=0)]  # at the drawn size
    pan_deg: float = 0.0  # to the right of the metres' second axis
    roll_deg: Annotated[float, Meta(ge=-45, le=45)] = 0.0  # clockwise, seen from behind the camera
    k1: float = 0.0  # Brown's radial distortion, of the plane at distance 1
    k2: float = 0.0
    height_sd_m: Annotated[float, Meta(ge=0)] = 0.1
    tilt_sd_deg: Annotated[float, Meta(ge=0)] = 0.2
    roll_sd_deg: Annotated[float, Meta(ge=0)] = 0.2
    focal_sd: Annotated[float, Meta(ge=0)] = 0.01  # as a share of the focal length


class Calibration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people measured so that places in the picture are places on the road; exactly one of the three forms.

    It is kept as measured: `pipeline.core.calibration` makes the plane of it, always the same one.
    """

    points: list[GroundPoint] | None = None
    road: StraightRoad | None = None
    pose: KnownPose | None = None
    picture_sd_px: Annotated[float, Meta(gt=0)] = 2.0  # how well points were found in the picture, at the drawn size
    ground_sd_m: Annotated[float, Meta(ge=0)] = 0.05  # and on the road
    valid: Annotated[list[tuple[Share, Share]], Meta(min_length=3)] | None = None  # None: around what was measured

    def __post_init__(self) -> None:
        """Refuse none or several forms."""
        if sum(form is not None for form in (self.points, self.road, self.pose)) != 1:
            raise ValueError("a calibration needs exactly one of points, road and pose")


class SpeedTrap(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """Two lines a known distance apart: the time between them tells the speed, either way."""

    name: Name
    start: Name
    end: Name
    metres: Annotated[float, Meta(gt=0)]  # along the road
    sd_m: Annotated[float, Meta(ge=0)] = 0.2

    def __post_init__(self) -> None:
        """Refuse a trap of one line."""
        if self.start == self.end:
            raise ValueError(f"speed trap {self.name!r} needs two different lines, got {self.start!r} twice")


class Scene(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag="scene",
    tag_field="kind",
):
    """The whole scene of a camera; as a control record it takes effect at its place in the log."""

    drawn_on: Size
    revision: int = 0
    lines: list[Line] = []
    zones: list[Zone] = []
    calibration: Calibration | None = None
    speed_traps: list[SpeedTrap] = []

    def __post_init__(self) -> None:
        """Refuse two lines or zones of one name, and speed traps between lines that are not there."""
        names = [line.name for line in self.lines] + [zone.name for zone in self.zones]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"lines and zones of a scene need different names, got twice: {', '.join(twice)}")
        known = {line.name for line in self.lines}
        if lost := sorted({end for trap in self.speed_traps for end in (trap.start, trap.end)} - known):
            raise ValueError(f"speed traps name lines that the scene does not have: {', '.join(lost)}")


Control = Opened | Scene | Tick | Gap | Closed
"""Bodies that detect forwards in their place."""

Shown = Frame | Boxes
"""What a camera shows at one moment."""

Body = Shown | Detections | Control


class Record(msgspec.Struct, frozen=True):
    """One record of a camera's log."""

    header: Header
    body: Body


# --- what the core says -------------------------------------------------------------------------


class Way(StrEnum):
    """The side of a line a vehicle went to, as you stand at `from` facing `to`."""

    TO_RIGHT = "to_right"
    TO_LEFT = "to_left"


class Crossing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="crossing", tag_field="type"):
    """One vehicle crossed one line.

    captured_ms is when the middle of the box's lower edge crossed, between two frames; x, y is where.
    """

    id: str  # deterministic: a replay gives the same one
    camera: CameraId
    line: str
    direction: Way
    direction_name: str | None = None
    label: str = msgspec.field(name="class")
    score: float  # mean score of the track so far
    captured_ms: int
    x: float
    y: float
    track: str  # epoch-seq-index of the track's birth
    clock: Clock
    scene_revision: int
    epoch: int
    revision: int = 0
    speed_kmh: float | None = None  # at the crossing, on the calibrated road; None: not known well enough
    speed_sd_kmh: float | None = None  # its standard deviation


class Speed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="speed", tag_field="type"):
    """One vehicle took so long between two lines a known distance apart.

    line, direction and captured_ms are those of the second crossing; the speed is the mean over the distance.
    """

    id: str  # deterministic: a replay gives the same one
    camera: CameraId
    trap: str
    from_line: str
    line: str
    direction: Way
    direction_name: str | None = None
    label: str = msgspec.field(name="class")
    captured_ms: int
    seconds: float
    metres: float
    speed_kmh: float
    speed_sd_kmh: float
    track: str
    clock: Clock
    scene_revision: int
    epoch: int
    revision: int = 0


Event = Crossing | Speed
"""Every kind of traffic event; a tagged union as more kinds come."""


class FlowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Vehicles of one class, one way over one line."""

    direction: Way
    label: str = msgspec.field(name="class")
    count: int


class FlowSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """How fast vehicles went one way over one line: of those whose speed is known. None: of none, or not kept."""

    direction: Way
    speeds: int  # so many are known
    mean_kmh: float | None
    median_kmh: float | None  # only in the shortest windows: medians cannot be summed up


class LineFlow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What crossed one line in a window. A class that is not listed had 0 - as far as `coverage` saw."""

    line: str
    counts: list[FlowCount]
    speeds: list[FlowSpeed] = []  # of calibrated cameras: each direction in which something was counted


class ZoneFlow(msgspec.Struct, frozen=True, kw_only=True):
    """Who was in a zone in a window, over the time seen; None where nothing was seen."""

    zone: str
    mean_vehicles: float | None
    max_vehicles: int | None
    occupied_share: float | None  # share of the seen time with at least one vehicle inside


class Flow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One window of one place (a camera, or a group of cameras).

    The window is [start_ms, start_ms + window_ms) of capture time, aligned to UTC. coverage is the share of
    it that was seen: 0 means nothing is known, and then a count of 0 says nothing. A later record with a
    greater revision replaces this one.
    """

    place: str  # camera id or group id
    kind: str  # "camera" or "group"
    start_ms: int
    window_ms: int
    coverage: float
    lines: list[LineFlow]
    zones: list[ZoneFlow]
    revision: int = 0
    members: int | None = None  # groups: cameras that reported
    members_expected: int | None = None  # groups: cameras that should have
    scene_revision: int | None = None


class LiveTrack(msgspec.Struct, frozen=True, array_like=True):
    """Where one vehicle is now."""

    track: str
    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    speed_kmh: float | None = None
    speed_sd_kmh: float | None = None


class LiveTracks(msgspec.Struct, frozen=True, kw_only=True):
    """All vehicles in one frame, for overlays."""

    camera: CameraId
    epoch: int
    seq: int
    captured_ms: int
    tracks: list[LiveTrack]


Output = Crossing | Speed | Flow | LiveTracks
"""What track says of one record."""


# --- the registry: what `apply` writes ----------------------------------------------------------


class Camera(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A camera as the registry keeps it. `source` never holds a password: only where to find it."""

    id: CameraId
    source: str  # a URL or a path; ${env:NAME} and ${file:/path} stand for secrets
    shard: int  # its partition of `detections`, for life
    capture_shard: int  # its partition of `capture-shards`
    revision: int
    fps: float | None = None
    width: int = 640  # the picture is scaled once to this width, never up
    loop: bool = False  # files: begin again at the end
    pace: str = "live"  # files: "live" = their own speed, "fast" = as fast as possible
    transport: str = "tcp"  # rtsp: "tcp" or "udp"
    start: str | None = None  # files: when the first frame was captured, ISO 8601
    time_zone: str = "UTC"
    latitude: float | None = None
    longitude: float | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Cameras that are summed up together."""

    id: GroupId
    members: list[CameraId]
    revision: int
    name: str = ""
    kind: str = "site"  # site, corridor or city


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The frames partition of a camera."""

    camera: CameraId
    partition: int
    revision: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record is that could not be used, and why. Never the picture itself."""

    topic: str
    partition: int
    offset: int
    reason: str
    process: str
    headers: dict[str, str] = {}
