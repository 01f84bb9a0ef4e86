"""The nouns every room shares. All are frozen; a wrong one cannot be made.

Units are in the names: `_ms` is milliseconds of capture time (UTC), positions are shares (0..1) of
picture width and height, x to the right, y DOWN.
"""

import itertools
from collections.abc import Sequence
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


class HealthState(StrEnum):
    """Whether a camera's pictures can be trusted, and if not, why."""

    OK = "ok"
    MOVED = "moved"  # moved, turned or zoomed: lines lie elsewhere on the road than they were drawn
    OBSTRUCTED = "obstructed"  # the lens is covered, in part or whole
    BLINDED = "blinded"  # glare, dirt, fog, or no light
    FROZEN = "frozen"  # the same picture again and again


_SAME_SHAPE = 0.02
"""Width / height of two pictures of one shape differ by no more than this share."""


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

    def same_shape(self, other: "Size") -> bool:
        """Whether places given in shares are the same ones on pictures of both sizes."""
        return abs(self.aspect / other.aspect - 1) <= _SAME_SHAPE


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


THUMB = Size(48, 27)
"""Cells of a health record's thumbnail: enough to see a shift by a cell (2 %), few enough to be kept for hours."""


class Health(msgspec.Struct, frozen=True, kw_only=True, tag="health", tag_field="kind"):
    """What the picture that follows was measured to be, about once a second; the core decides what it means.

    Levels are of grey, 0..255. Values are rounded when they are measured, so all who read them read the same.
    """

    brightness: float  # the mean
    contrast: float  # the standard deviation
    sharpness: float  # mean step between pixels two apart in a row
    difference: float | None  # mean change of a pixel since the picture measured before; None: there is none
    thumb: bytes  # means of THUMB cells, row by row, a byte each

    def __post_init__(self) -> None:
        """Refuse a thumbnail of another size."""
        if len(self.thumb) != THUMB.width * THUMB.height:
            raise ValueError(f"a thumbnail has {THUMB} cells, got {len(self.thumb)} bytes")


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed", tag_field="kind"):
    """The last record of an epoch."""

    last_seq: int  # seq of the record before this one; -1 if there is none
    reason: str


# --- the scene: what a camera's pictures are measured by ----------------------------------------


class Anchor(StrEnum):
    """Where on its box, on the middle from left to right, a road user is held against lines and zones."""

    BOTTOM = "bottom"  # where it stands on the road
    CENTRE = "centre"
    TOP = "top"


class Way(StrEnum):
    """The side of a line a vehicle went to, as you stand at `from` facing `to`."""

    TO_RIGHT = "to_right"
    TO_LEFT = "to_left"


class Lane(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """A lane on a line: from one share of the way along the line to another (0 at its `from`, 1 at its `to`)."""

    name: Name
    start: Share
    end: Share


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
    lanes: list[Lane] = []  # in order along the line

    def __post_init__(self) -> None:
        """Refuse a line without length, and lanes that do not lie side by side."""
        if self.start == self.end:
            raise ValueError(f"line {self.name!r} needs two different points, got {self.start} twice")
        if wrong := lanes_mistakes([(lane.name, lane.start, lane.end) for lane in self.lanes]):
            raise ValueError(f"line {self.name!r}: {'; '.join(wrong)}")


def lanes_mistakes(lanes: Sequence[tuple[str, float, float]]) -> list[str]:
    """What is wrong with lanes (name, from, to) on one line, each by itself and with the one before it."""
    names = [name for name, _, _ in lanes]
    wrong = [f"lane {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    wrong += [
        f"lane {name} ends at {end:g}, not beyond its start at {start:g}" for name, start, end in lanes if end <= start
    ]
    for (one, _, before), (other, begin, _) in itertools.pairwise(lanes):
        if begin < before:
            wrong.append(
                f"lane {other} begins at {begin:g}, before lane {one} ends at {before:g}: write lanes in their order along the line"
            )
    return wrong


class Crowding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a zone is overcrowded: that many vehicles or more, for so long; over when it is down to `until` as long."""

    vehicles: Annotated[int, Meta(ge=1)]
    for_s: Annotated[float, Meta(ge=0, le=86_400)]
    until: Annotated[int, Meta(ge=0)] | None = None  # None: a quarter fewer, at least one

    def __post_init__(self) -> None:
        """Refuse an end that is no end."""
        if self.until is not None and self.until >= self.vehicles:
            raise ValueError(f"until ({self.until}) must be less than vehicles ({self.vehicles})")

    @property
    def over(self) -> int:
        """With so many vehicles or fewer it is over."""
        return self.vehicles - max(1, self.vehicles // 4) if self.until is None else self.until


class Zone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An area of the road: a simple polygon, its corners in order."""

    name: Name
    points: Annotated[list[tuple[Share, Share]], Meta(min_length=3)]
    classes: list[str] | None = None
    overcrowded: Crowding | None = None


class Declared(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"origin": "from", "destination": "to"},
):
    """A movement that the scene names: from one place to another.

    A place is the name of a line or a zone; `north/to_left` is a line crossed that way only.
    """

    name: Name
    origin: str
    destination: str
    legal: bool = True


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
    anchors: dict[str, Anchor] = {}  # by class; what is not here has its usual one, see `anchors.py`
    movements: list[Declared] = []  # the table; whatever else is seen is told as illegal
    movement_places: list[str] = []  # without a table: any way from one of these places to another is told
    calibration: Calibration | None = None
    speed_traps: list[SpeedTrap] = []

    def __post_init__(self) -> None:
        """Refuse two lines or zones of one name, movements that nobody can make, and speed traps without their lines."""
        names = [line.name for line in self.lines] + [zone.name for zone in self.zones]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"lines and zones of a scene need different names, got twice: {', '.join(twice)}")
        table = [(each.name, each.origin, each.destination) for each in self.movements]
        if wrong := movements_mistakes(
            table, self.movement_places, lines=[line.name for line in self.lines], zones=[z.name for z in self.zones]
        ):
            raise ValueError("; ".join(wrong))
        known = {line.name for line in self.lines}
        if lost := sorted({end for trap in self.speed_traps for end in (trap.start, trap.end)} - known):
            raise ValueError(f"speed traps name lines that the scene does not have: {', '.join(lost)}")


def movements_mistakes(
    table: Sequence[tuple[str, str, str]], places: Sequence[str], *, lines: Sequence[str], zones: Sequence[str]
) -> list[str]:
    """What is wrong with a table of movements (name, from, to), or with places given instead of one."""
    known = {*lines, *zones, *(f"{line}/{way.value}" for line in lines for way in Way)}
    there = (
        f"places are {', '.join([*lines, *zones])}, and a line crossed one way, like {lines[0]}/to_right"
        if lines
        else f"places are {', '.join(zones) or 'none yet'}"
    )
    wrong = []
    if table and places:
        wrong.append("movements and movement_places do not go together: the table names its places itself")
    for name, origin, destination in table:
        for key, place in (("from", origin), ("to", destination)):
            if place not in known:
                wrong.append(f"movement {name}: there is no place {place!r} to go {key} ({there})")
    wrong += [f"movement_places: there is no place {place!r} ({there})" for place in places if place not in known]
    if len(set(places)) != len(places):
        wrong.append("movement_places names a place twice")
    for kind, values in (("name", [n for n, _, _ in table]), ("from and to", [f"{a} to {b}" for _, a, b in table])):
        wrong += [
            f"movements: two have the same {kind}: {each}"
            for each in sorted({v for v in values if values.count(v) > 1})
        ]
    return wrong


Control = Opened | Scene | Tick | Gap | Health | Closed
"""Bodies that detect forwards in their place."""

Shown = Frame | Boxes
"""What a camera shows at one moment."""

Body = Shown | Detections | Control


class Record(msgspec.Struct, frozen=True):
    """One record of a camera's log."""

    header: Header
    body: Body


# --- what the core says -------------------------------------------------------------------------


EVENT_VERSION = 1
"""Of the bodies of events; the codec's version moves with it."""


class Occurrence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every event carries.

    Of two events of one id the one with the greater revision holds. A name that ends in `_sd_ms` is a standard
    deviation in ms; None: not known.
    """

    id: str  # deterministic: a replay gives the same one
    camera: CameraId
    captured_ms: int
    clock: Clock
    scene_revision: int
    epoch: int
    revision: int = 0
    model: str = ""  # name and digest of what saw it
    v: int = msgspec.field(default_factory=lambda: EVENT_VERSION)  # by a factory, so that it is always written

    @property
    def subject(self) -> str:
        """The place it is about."""
        raise NotImplementedError


class OfTrack(Occurrence, frozen=True, kw_only=True, omit_defaults=True):
    """What every event of one road user carries."""

    track: str  # epoch-seq-index of the track's birth
    label: str = msgspec.field(name="class")
    score: float  # mean score of the track so far
    class_share: float | None = None  # of the track's evidence, how much speaks for this class
    valid: bool = True  # False: the camera's health was not ok, so no window counts it


class Crossing(OfTrack, frozen=True, kw_only=True, omit_defaults=True, tag="crossing", tag_field="type"):
    """One vehicle crossed one line.

    captured_ms is when its anchor (the middle of the box's lower edge, where the scene says nothing else) crossed,
    between two frames; x, y is where.
    """

    line: str
    lane: str | None = None  # None: the line names no lanes
    direction: Way
    direction_name: str | None = None
    x: float
    y: float
    captured_sd_ms: float | None = None
    speed_kmh: float | None = None  # at the crossing, on the calibrated road; None: not known well enough
    speed_sd_kmh: float | None = None  # its standard deviation

    @property
    def subject(self) -> str:
        """The line."""
        return self.line


class Speed(OfTrack, frozen=True, kw_only=True, omit_defaults=True, tag="speed", tag_field="type"):
    """One vehicle took so long between two lines a known distance apart.

    line, direction and captured_ms are those of the second crossing; the speed is the mean over the distance.
    """

    trap: str
    from_line: str
    line: str
    direction: Way
    direction_name: str | None = None
    seconds: float
    metres: float
    speed_kmh: float
    speed_sd_kmh: float

    @property
    def subject(self) -> str:
        """The speed trap."""
        return self.trap


class Beginning(StrEnum):
    """How a stay in a zone began."""

    CROSSED = "crossed"  # over the zone's border
    APPEARED = "appeared"  # first seen inside: it may have been there before


class Ending(StrEnum):
    """How what a track did came to its end."""

    CROSSED = "crossed"  # over the zone's border
    LOST = "lost"  # the tracker lost sight of it and gave it up; it may have stayed longer
    CUT = "cut"  # sight ended for all: the log began anew or ended, or the scene was drawn anew


class Entered(OfTrack, frozen=True, kw_only=True, omit_defaults=True, tag="entered", tag_field="type"):
    """One vehicle came into one zone, at captured_ms, at x, y."""

    zone: str
    began: Beginning
    x: float
    y: float
    captured_sd_ms: float | None = None

    @property
    def subject(self) -> str:
        """The zone."""
        return self.zone


class Left(OfTrack, frozen=True, kw_only=True, omit_defaults=True, tag="left", tag_field="type"):
    """One vehicle left one zone at captured_ms, at x, y; one that was lost inside was last seen then and there."""

    zone: str
    began: Beginning
    ended: Ending
    entered_ms: int
    dwell_ms: int  # as far as it was seen; it was longer where it did not begin and end by crossing
    dwell_sd_ms: float | None = None
    x: float
    y: float

    @property
    def subject(self) -> str:
        """The zone."""
        return self.zone


class CrowdEnd(StrEnum):
    """How an overcrowding came to its end."""

    CLEARED = "cleared"
    UNSEEN = "unseen"  # while nobody saw: it lasted at least until end_ms


class Overcrowded(Occurrence, frozen=True, kw_only=True, omit_defaults=True, tag="overcrowded", tag_field="type"):
    """A zone holds too many. Told when it begins to be so, again with a greater revision at each new peak and at its end.

    captured_ms is when it began.
    """

    zone: str
    limit: int
    vehicles: int  # at its peak so far
    end_ms: int | None = None  # None: it goes on
    ended: CrowdEnd | None = None

    @property
    def subject(self) -> str:
        """The zone."""
        return self.zone


class Movement(
    OfTrack,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag="movement",
    tag_field="type",
    rename={"origin": "from", "destination": "to", "label": "class"},
):
    """One vehicle went from one place to another; captured_ms is when it reached that one."""

    origin: str
    destination: str
    name: str | None = None  # in the scene's table
    legal: bool | None = None  # False: declared so, or not in the table; None: there is no table
    from_ms: int  # when it left the origin
    to_ms: int
    travel_ms: int
    travel_sd_ms: float | None = None

    @property
    def subject(self) -> str:
        """Both places."""
        return f"{self.origin}>{self.destination}"


class Unfinished(
    OfTrack,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag="unfinished",
    tag_field="type",
    rename={"origin": "from", "destination": "to", "label": "class"},
):
    """One vehicle was seen at one end of a movement only; captured_ms is when it was last seen, x, y where.

    `likeliest` is the place that is missing, by the movements this camera saw to their end, `learned` of them from
    that origin (or to that destination); None: none were.
    """

    origin: str | None = None
    destination: str | None = None
    at_ms: int  # when it was at the place that is known
    ended: Ending
    likeliest: str | None = None
    probability: float | None = None
    learned: int
    x: float
    y: float

    @property
    def subject(self) -> str:
        """The place that is known."""
        return f"{self.origin or ''}>{self.destination or ''}"


class HealthEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a health change was decided by: values of the last picture. None: it could not be told."""

    brightness: float
    contrast: float
    sharpness: float
    difference: float | None = None
    sharpness_share: float | None = None  # of the reference's, at the same contrast
    edges_share: float | None = None  # of the reference's edges, how much is left
    covered_share: float | None = None  # of the parts of the picture that have edges, how many lost them
    agreement: float | None = None  # with the reference, in place; 1: the same edges, 0: by chance
    shift_x: float | None = None  # to where the view went, in shares of the picture; x right, y down
    shift_y: float | None = None
    turn_degrees: float | None = None  # clockwise
    zoom: float | None = None  # above 1: things became larger


class HealthChange(Occurrence, frozen=True, kw_only=True, omit_defaults=True, tag="health", tag_field="type"):
    """A camera's health is another one: captured_ms is when the evidence was enough.

    Counts are not valid from `since_ms` on until it is ok again.
    """

    before: HealthState | None  # None: not known
    after: HealthState | None
    since_ms: int  # when the evidence began
    view: int  # which of the views known of this camera; rises when a new one is taken on
    evidence: HealthEvidence | None = None  # None: pictures are not measured any more

    @property
    def subject(self) -> str:
        """The camera's health."""
        return "health"


Event = Crossing | Speed | Entered | Left | Overcrowded | Movement | Unfinished | HealthChange
"""Every kind of traffic event."""


class FlowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Vehicles of one class, one way over one line."""

    direction: Way
    label: str = msgspec.field(name="class")
    count: int


class LaneFlow(msgspec.Struct, frozen=True, kw_only=True):
    """What crossed one lane of a line in a window. The lanes of a line sum up to the line."""

    lane: str
    counts: list[FlowCount]


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
    lanes: list[LaneFlow] = []
    speeds: list[FlowSpeed] = []  # of calibrated cameras: each direction in which something was counted


class MovementFlow(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"origin": "from", "destination": "to", "label": "class"},
):
    """Vehicles of one class that finished one movement in a window, by when they reached its end."""

    origin: str
    destination: str
    name: str | None = None
    legal: bool | None = None
    label: str
    count: int


class ZoneFlow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who was in a zone in a window, over the time seen; None where nothing was seen.

    Dwell is of those that were seen to leave in the window.
    """

    zone: str
    mean_vehicles: float | None
    max_vehicles: int | None
    occupied_share: float | None  # share of the seen time with at least one vehicle inside
    entered: int | None = None  # over the border or first seen inside
    left: int | None = None  # over the border; who was lost inside is not among them
    mean_dwell_ms: float | None = None
    max_dwell_ms: int | None = None


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
    movements: list[MovementFlow] = []
    health: HealthState | None = None  # why some of it counts as not seen; None: nothing was wrong, or is known


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


Output = Event | Flow | LiveTracks
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
