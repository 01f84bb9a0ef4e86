"""One example of everything that travels, for golden bytes. Never change one: add the next version beside it."""

from pipeline.adapters.kafka.admin import _LogId
from pipeline.core.crossing import LineMemory
from pipeline.core.model import (
    Boxes,
    Calibration,
    Camera,
    CameraState,
    Clock,
    Closed,
    Crossing,
    DeadLetter,
    Detections,
    Flow,
    FlowCount,
    FlowSpeed,
    Frame,
    Gap,
    GapReason,
    GroundPoint,
    Group,
    Header,
    Line,
    LineFlow,
    LiveTrack,
    LiveTracks,
    Opened,
    Placement,
    Record,
    Scene,
    Size,
    Speed,
    SpeedTrap,
    Tick,
    Way,
    Zone,
    ZoneFlow,
)
from pipeline.core.rollup import Member
from pipeline.core.scene import Memory, Trail
from pipeline.core.tracking import Track
from pipeline.core.windows import Window, Windows, ZoneSum
from pipeline.stages.capture.epochs import EpochValue
from pipeline.stages.track import Snapshot

HEADER = Header(
    log="0f3a", camera="north-1", shard=3, epoch=41, seq=7, captured_ms=1767225600123, clock=Clock.RTCP, size=Size(640, 352),
    source_size=Size(1280, 704), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)  # fmt: skip
CONTROL = Header(log="0f3a", camera="north-1", shard=3, epoch=41, seq=7, captured_ms=1767225600123, clock=Clock.PTS)

SCENE = Scene(
    drawn_on=Size(1280, 704),
    revision=2,
    lines=[Line(name="stop", start=(0.1, 0.5), end=(0.9, 0.5), to_right="southbound", classes=["car", "bus"])],
    zones=[Zone(name="box", points=[(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)])],
)

MEASURED = Scene(
    drawn_on=Size(1280, 704),
    revision=3,
    lines=[Line(name="a", start=(0.1, 0.5), end=(0.9, 0.5)), Line(name="b", start=(0.1, 0.7), end=(0.9, 0.7))],
    calibration=Calibration(
        points=[
            GroundPoint(at=(0.2, 0.8), metres=(0.0, 0.0)), GroundPoint(at=(0.8, 0.8), metres=(8.0, 0.0)),
            GroundPoint(at=(0.35, 0.4), metres=(0.0, 40.0)), GroundPoint(at=(0.65, 0.4), metres=(8.0, 40.0)),
        ],
        ground_sd_m=0.1,
    ),
    speed_traps=[SpeedTrap(name="run", start="a", end="b", metres=21.5, sd_m=0.1)],
)  # fmt: skip

RECORDS = {
    "frame": Record(HEADER, Frame(b"\xff\xd8 not really a picture \xff\xd9")),
    "boxes": Record(
        HEADER,
        Boxes(
            x1=[0.1, 0.5], y1=[0.2, 0.25], x2=[0.15, 0.61234], y2=[0.3, 0.5], score=[0.91, 0.35], label=["car", "truck"],
            model="sim:yolov8n@f59b3d833e2f",
        ),
    ),
    "detections": Record(
        HEADER,
        Detections(
            x1=[0.1, 0.5], y1=[0.2, 0.25], x2=[0.15, 0.61234], y2=[0.3, 0.5], score=[0.91, 0.35], label=["car", "truck"],
            model="yolov8n@f59b3d833e2f",
        ),
    ),
    "detections-empty": Record(HEADER, Detections(x1=[], y1=[], x2=[], y2=[], score=[], label=[])),
    "opened": Record(
        CONTROL,
        Opened(
            source_size=Size(1280, 704), clock=Clock.PTS, fps=10.0, restarts=True, epoch_before=40, partition_before=2, partition=5,
            first_ms=1767225600000,
        ),
    ),
    "scene": Record(CONTROL, SCENE),
    "scene-measured": Record(CONTROL, MEASURED),
    "tick": Record(CONTROL, Tick(state=CameraState.BACKOFF)),
    "gap": Record(CONTROL, Gap(from_ms=1, to_ms=2, reason=GapReason.OVERFLOW, frames=3)),
    "closed": Record(CONTROL, Closed(last_seq=6, reason="stopped")),
}  # fmt: skip

CROSSING = Crossing(
    id="0f3a/north-1/41-7-0/stop/1", camera="north-1", line="stop", direction=Way.TO_RIGHT, direction_name="southbound", label="car",
    score=0.8712, captured_ms=1767225600123, x=0.4, y=0.5, track="41-7-0", clock=Clock.RTCP, scene_revision=2, epoch=41,
)  # fmt: skip
FAST = Crossing(
    id="0f3a/north-1/41-7-0/stop/2", camera="north-1", line="stop", direction=Way.TO_LEFT, label="car", score=0.8712,
    captured_ms=1767225600123, x=0.4, y=0.5, track="41-7-0", clock=Clock.RTCP, scene_revision=2, epoch=41, speed_kmh=51.25,
    speed_sd_kmh=1.5,
)  # fmt: skip
SPEED = Speed(
    id="0f3a/north-1/41-7-0/b/1/run", camera="north-1", trap="run", from_line="a", line="b", direction=Way.TO_RIGHT, label="car",
    captured_ms=1767225600123, seconds=1.5, metres=21.5, speed_kmh=51.6, speed_sd_kmh=0.75, track="41-7-0", clock=Clock.RTCP,
    scene_revision=3, epoch=41,
)  # fmt: skip
FLOW = Flow(
    place="north-1",
    kind="camera",
    start_ms=1767225600000,
    window_ms=30000,
    coverage=0.9981,
    lines=[LineFlow(line="stop", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=4)])],
    zones=[
        ZoneFlow(zone="box", mean_vehicles=1.5, max_vehicles=3, occupied_share=0.7),
        ZoneFlow(zone="far", mean_vehicles=None, max_vehicles=None, occupied_share=None),
    ],
    scene_revision=2,
)
FAST_FLOW = Flow(
    place="north-1", kind="camera", start_ms=1767225600000, window_ms=30000, coverage=1.0,
    lines=[
        LineFlow(
            line="stop", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=4)],
            speeds=[FlowSpeed(direction=Way.TO_RIGHT, speeds=3, mean_kmh=50.5, median_kmh=51.0)],
        )
    ],
    zones=[],
)  # fmt: skip
TRACKS = LiveTracks(
    camera="north-1",
    epoch=41,
    seq=7,
    captured_ms=1767225600123,
    tracks=[LiveTrack("41-7-0", "car", 0.1, 0.2, 0.3, 0.4, 0.8712)],
)
MEMBER = Member(group="ring", group_revision=3, expected=2, flow=FLOW)
VALUES = {
    "camera": Camera(
        id="north-1", source="rtsp://${env:CAM_USER}:${env:CAM_PASSWORD}@10.0.0.9/1", shard=3, capture_shard=4, revision=2, fps=10.0,
        time_zone="Europe/Berlin", latitude=52.5, longitude=13.4,
    ),
    "group": Group(id="ring", members=["north-1", "north-2"], revision=1, name="Ring road", kind="corridor"),
    "placement": Placement(camera="north-1", partition=5, revision=1),
    "dead-letter": DeadLetter(topic="frames", partition=5, offset=99, reason="not a JPEG", process="detect", headers={"v": "1"}),
    "epoch": EpochValue(partition=5),
    "log-id": _LogId(log="0f3a"),
}  # fmt: skip
SNAPSHOT = Snapshot(
    offset=99,
    memory=Memory(
        camera="north-1", log="0f3a", epoch=41, seq=7, now_ms=1767225600123, seen_ms=1767225600023, opened=RECORDS["opened"].body,
        closed=True, scene=SCENE,
        tracks=[
            Track(
                epoch=41, seq=2, index=0, born_ms=1767225599123, seen_ms=1767225600023, mean=(0.5, 0.25, 0.125, 0.0625, 0.0, 0.5, 0.0, 0.0),
                cov=(0.5, 0.5, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0), evidence={"car": 1.5, "truck": 0.25}, sightings=7,
            )
        ],
        trails={
            "41-2-0": Trail(
                foot=(0.5, 0.25), foot_ms=1767225600023,
                lines={
                    "stop": LineMemory(
                        side=Way.TO_LEFT, peak=0.125, times=1, changed_ms=1767225600023, changed_at=(0.5, 0.5), on_segment=True
                    )
                },
            )
        },
        windows=Windows(
            [
                Window(
                    start_ms=1767225600000, seen_ms=123, counts={"stop|to_right|car": 1}, zones={"box": ZoneSum(123, 100, 2)}, revision=0,
                    changed=False,
                )
            ]
        ),
        held=[RECORDS["tick"]],
    ),
)  # fmt: skip
