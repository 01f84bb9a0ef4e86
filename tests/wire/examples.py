"""One example of everything that travels, for golden bytes. Never change one: add the next version beside it."""

from pipeline.adapters.kafka.admin import _LogId
from pipeline.core.crossing import LineMemory
from pipeline.core.crowding import Crowd
from pipeline.core.flow_field import FlowField
from pipeline.core.measuring import Trail
from pipeline.core.model import (
    Anchor,
    Beginning,
    Boxes,
    Calibration,
    Camera,
    CameraState,
    Clock,
    Closed,
    Crossing,
    CrowdEnd,
    Crowding,
    DeadLetter,
    Declared,
    Detections,
    Ending,
    Entered,
    Flow,
    FlowCount,
    FlowSpeed,
    Frame,
    Gap,
    GapReason,
    GroundPoint,
    Group,
    Header,
    Health,
    HealthChange,
    HealthEvidence,
    HealthState,
    Lane,
    LaneFlow,
    Left,
    Line,
    LineFlow,
    LiveTrack,
    LiveTracks,
    Movement,
    MovementFlow,
    Opened,
    Overcrowded,
    Placement,
    Record,
    Scene,
    Size,
    Speed,
    SpeedTrap,
    Tick,
    Unfinished,
    Way,
    Zone,
    ZoneFlow,
)
from pipeline.core.movements import Journey, Learned
from pipeline.core.perspective import Perspective
from pipeline.core.road import Road
from pipeline.core.rollup import Member
from pipeline.core.scene import Memory
from pipeline.core.speed import Motion, Passed, Spot
from pipeline.core.tracking import Branch, Track
from pipeline.core.windows import Window, Windows, ZoneSum
from pipeline.core.zones import Presence
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
    lines=[
        Line(name="stop", start=(0.1, 0.5), end=(0.9, 0.5), lanes=[Lane(name="fast", start=0.0, end=0.5)]),
        Line(name="far", start=(0.1, 0.2), end=(0.9, 0.2)),
    ],
    zones=[
        Zone(
            name="box",
            points=[(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)],
            overcrowded=Crowding(vehicles=8, for_s=20.0, until=5),
        )
    ],
    anchors={"truck": Anchor.CENTRE},
    movements=[Declared(name="through", origin="stop/to_right", destination="box", legal=False)],
)
CALIBRATED = Scene(
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
    "scene-calibrated": Record(CONTROL, CALIBRATED),
    "tick": Record(CONTROL, Tick(state=CameraState.BACKOFF)),
    "gap": Record(CONTROL, Gap(from_ms=1, to_ms=2, reason=GapReason.OVERFLOW, frames=3)),
    "closed": Record(CONTROL, Closed(last_seq=6, reason="stopped")),
    "health": Record(
        CONTROL,
        Health(brightness=97.3, contrast=41.2, sharpness=11.04, difference=3.871, thumb=bytes(i % 251 for i in range(48 * 27))),
    ),
}  # fmt: skip

CROSSING = Crossing(
    id="0f3a/north-1/41-7-0/stop/1", camera="north-1", line="stop", direction=Way.TO_RIGHT, direction_name="southbound", label="car",
    score=0.8712, captured_ms=1767225600123, x=0.4, y=0.5, track="41-7-0", clock=Clock.RTCP, scene_revision=2, epoch=41,
)  # fmt: skip
HEALTH_CHANGE = HealthChange(
    id="0f3a/north-1/health/41-7", camera="north-1", before=HealthState.OK, after=HealthState.MOVED, since_ms=1767225580123,
    captured_ms=1767225600123, view=0, clock=Clock.RTCP, scene_revision=2, epoch=41,
    evidence=HealthEvidence(
        brightness=97.3, contrast=41.2, sharpness=11.04, difference=3.871, sharpness_share=1.01, edges_share=0.99, covered_share=0.0,
        agreement=0.31, shift_x=0.0612, shift_y=-0.0031, turn_degrees=1.52, zoom=1.002,
    ),
)  # fmt: skip
ROAD_USER = {
    "camera": "north-1", "track": "41-7-0", "label": "car", "score": 0.8712, "class_share": 0.91, "captured_ms": 1767225600123,
    "clock": Clock.RTCP, "scene_revision": 2, "epoch": 41, "model": "yolov8n@f59b3d833e2f",
}  # fmt: skip
EVENTS = {
    "crossing": CROSSING,
    "crossing-lane": Crossing(
        id="0f3a/north-1/41-7-0/stop/2", line="stop", lane="fast", direction=Way.TO_LEFT, x=0.4, y=0.5, captured_sd_ms=12.5, **ROAD_USER
    ),
    "entered": Entered(
        id="0f3a/north-1/41-7-0/box/entered/1", zone="box", began=Beginning.CROSSED, x=0.4, y=0.5, captured_sd_ms=12.5, **ROAD_USER
    ),
    "left": Left(
        id="0f3a/north-1/41-7-0/box/left/1", zone="box", began=Beginning.APPEARED, ended=Ending.LOST, entered_ms=1767225590123,
        dwell_ms=10_000, x=0.4, y=0.5, **ROAD_USER,
    ),
    "overcrowded": Overcrowded(
        id="0f3a/north-1/box/overcrowded/41-90", camera="north-1", captured_ms=1767225600123, clock=Clock.RTCP, scene_revision=2, epoch=41,
        revision=2, model="yolov8n@f59b3d833e2f", zone="box", limit=8, vehicles=11, end_ms=1767225660123, ended=CrowdEnd.UNSEEN,
    ),
    "movement": Movement(
        id="0f3a/north-1/41-7-0/movement/1", origin="stop/to_right", destination="box", name="through", legal=False,
        from_ms=1767225590123, to_ms=1767225600123, travel_ms=10_000, travel_sd_ms=17.7, **ROAD_USER,
    ),
    "unfinished": Unfinished(
        id="0f3a/north-1/41-7-0/unfinished", origin="stop/to_right", at_ms=1767225590123, ended=Ending.LOST, likeliest="box",
        probability=0.75, learned=12, x=0.4, y=0.5, **ROAD_USER,
    ),
    "health": HEALTH_CHANGE,
    "crossing-fast": Crossing(
        id="0f3a/north-1/41-7-0/stop/3", line="stop", direction=Way.TO_LEFT, x=0.4, y=0.5, captured_sd_ms=12.5, speed_kmh=51.25,
        speed_sd_kmh=1.5, valid=False, **ROAD_USER,
    ),
    "speed": Speed(
        id="0f3a/north-1/41-7-0/b/1/run", trap="run", from_line="a", line="b", direction=Way.TO_RIGHT, seconds=1.5, metres=21.5,
        speed_kmh=51.6, speed_sd_kmh=0.75, **ROAD_USER,
    ),
}  # fmt: skip
FLOW = Flow(
    place="north-1",
    kind="camera",
    start_ms=1767225600000,
    window_ms=30000,
    coverage=0.9981,
    lines=[
        LineFlow(line="stop", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=4)]),
        LineFlow(
            line="far",
            counts=[FlowCount(direction=Way.TO_LEFT, label="bus", count=1)],
            lanes=[LaneFlow(lane="fast", counts=[FlowCount(direction=Way.TO_LEFT, label="bus", count=1)])],
        ),
    ],
    movements=[MovementFlow(origin="stop", destination="box", name="through", legal=True, label="car", count=3)],
    zones=[
        ZoneFlow(
            zone="box",
            mean_vehicles=1.5,
            max_vehicles=3,
            occupied_share=0.7,
            entered=4,
            left=3,
            mean_dwell_ms=9000.5,
            max_dwell_ms=12_000,
        ),
        ZoneFlow(zone="far", mean_vehicles=None, max_vehicles=None, occupied_share=None),
    ],
    scene_revision=2,
)
FLOWS = {
    "flow": FLOW,
    "flow-fast": Flow(
        place="north-1", kind="camera", start_ms=1767225600000, window_ms=30000, coverage=1.0,
        lines=[
            LineFlow(
                line="stop", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=4)],
                speeds=[FlowSpeed(direction=Way.TO_RIGHT, speeds=3, mean_kmh=50.5, median_kmh=51.0)],
            )
        ],
        zones=[],
    ),
}  # fmt: skip
TRACKS = LiveTracks(
    camera="north-1",
    epoch=41,
    seq=7,
    captured_ms=1767225600123,
    tracks=[
        LiveTrack("41-7-0", "car", 0.1, 0.2, 0.3, 0.4, 0.8712),
        LiveTrack("41-7-1", "bus", 0.5, 0.2, 0.7, 0.4, 0.75, 51.25, 1.5),
    ],
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
                epoch=41, seq=2, index=0, born_ms=1767225599123, seen_ms=1767225600023, kind="vehicle", start=(0.5, 0.125), mean=(0.5, 0.25, 0.125, 0.0625, 0.0, 0.5, 0.0, 0.0),
                cov=(0.5, 0.5, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0), evidence={"car": 1.5, "truck": 0.25}, sightings=7,
                alone=1.5, part=False, own=True, told=(0.5, 0.25, 1767225600023),
            ),
            Track(
                epoch=41, seq=6, index=0, born_ms=1767225600023, seen_ms=1767225600023, kind="rider", start=(0.25, 0.5),
                mean=(0.25, 0.5, 0.125, 0.0625, 0.0, 0.0, 0.0, 0.0), cov=(0.25,) * 12, evidence={"bicycle": 0.5}, sightings=1,
                alone=0.5, part=False, own=True, told=(0.25, 0.5, 1767225600023), speeds=[(4.5, 0.0, 0.0, 0.25)],
                branches=[Branch("41-7-0", 1767225600023, -2.5, (0.25,) * 8, (0.25,) * 12, "bicycle", 0.5)],
            )
        ],
        trails={
            "41-2-0": Trail(
                foot=(0.5, 0.25), foot_ms=1767225600023,
                lines={
                    "stop": LineMemory(
                        side=Way.TO_LEFT, peak=0.125, times=1, changed_ms=1767225600023, changed_at=(0.5, 0.5), on_segment=True,
                        changed_sd_ms=12.5,
                    )
                },
                height=0.0625,
                anchor=Anchor.BOTTOM,
                zones={"box": Presence(inside=True, times=1, since_ms=1767225599123, appeared=True)},
                journey=Journey(origin="stop", origin_ms=1767225599123, first=3, cells=(3, 15)),
            )
        },
        road=Road(
            flow={"vehicle": FlowField.empty(16 / 9).learned([(0.5, 0.25, 0.5, 0.5, 1.0)])},
            perspective=Perspective((1024.0, 0.5, -16.0, 64.0, 0.25, 32.0, 64.0, 0.125, 4.0)),
        ),
        roads={1: Road(flow={"vehicle": FlowField.empty(16 / 9).learned([(0.5, 0.5, 0.25, 0.5, 1.0)])})},
        motions={
            "41-2-0": Motion(
                spots=[Spot(1767225600000.0, 2.5, 30.25, 0.25, 0.0, 0.5, 2)], passed={"stop": Passed(1767225600023, 12.5)},
                made_ms=1767225600023, kmh=51.25, sd_kmh=1.5,
            )
        },
        crowds={"box": Crowd(since_ms=1767225599123, peak=9, id="0f3a/north-1/box/overcrowded/41-5", revision=1)},
        learned=Learned(counts={"stop": {"box": 4}, "stop|15": {"box": 3}}),
        model="yolov8n@f59b3d833e2f",
        windows=Windows(
            [
                Window(
                    start_ms=1767225600000, seen_ms=123, counts={"stop|to_right|car": 1}, zones={"box": ZoneSum(123, 100, 2)}, revision=0,
                    changed=False, lanes={"stop|fast|to_right|car": 1}, movements={"stop|box|car": 1},
                    speeds={"stop|to_right": [51.25]},
                )
            ]
        ),
        held=[RECORDS["tick"]],
    ),
)  # fmt: skip
