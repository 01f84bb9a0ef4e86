"""A made-up road for tests of the core: vehicles as boxes that drive straight, seen perfectly or not at all."""

import msgspec

from pipeline.core.model import CameraId, Clock, Detections, Header, Line, Opened, Record, Scene, Size, Zone
from pipeline.core.scene import Memory, ScenePolicy, observe

SIZE = Size(640, 360)
SCENE = Scene(
    drawn_on=SIZE,
    revision=1,
    lines=[Line(name="stop", start=(0.1, 0.5), end=(0.9, 0.5), to_right="southbound")],
    zones=[Zone(name="box", points=[(0.0, 0.4), (1.0, 0.4), (1.0, 0.6), (0.0, 0.6)])],
)
POLICY = ScenePolicy()


class Vehicle(msgspec.Struct, frozen=True):
    """A car whose foot is at (x, y) at from_ms and moves by vy shares of height a second."""

    x: float
    y: float
    vy: float
    from_ms: int = 0
    to_ms: int = 10**9
    label: str = "car"
    score: float = 0.9
    width: float = 0.05
    height: float = 0.08


def look(vehicles, at_ms):
    """What a perfect detector sees at one moment."""
    rows = []
    for v in vehicles:
        y = v.y + v.vy * (at_ms - v.from_ms) / 1000
        if v.from_ms <= at_ms <= v.to_ms and 0 < y <= 1:
            rows.append((v.x - v.width / 2, max(0.0, y - v.height), v.x + v.width / 2, y, v.score, v.label))
    rows.sort(key=lambda r: -r[4])
    x1, y1, x2, y2, score, label = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [], [], [])
    return Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=score, label=label)


class Log:
    """Writes one camera's log; every record takes the next seq."""

    def __init__(self, epoch=7, scene=SCENE, log="log-1", partition=0):
        self.epoch, self.seq, self.log, self.partition = epoch, 0, log, partition
        self.records = []
        self.scene = scene

    def put(self, body, at_ms):
        header = Header(
            log=self.log, camera=CameraId("c"), shard=0, epoch=self.epoch, seq=self.seq, captured_ms=at_ms, clock=Clock.FILE,
            size=SIZE, source_size=SIZE,
        )  # fmt: skip
        self.seq += 1
        self.records.append(Record(header, body))
        return self.records[-1]

    def open(self, at_ms=0, **opened):
        self.put(Opened(source_size=SIZE, clock=Clock.FILE, partition=self.partition, **opened), at_ms)
        if self.scene is not None:
            self.put(self.scene, at_ms)

    def drive(self, vehicles, times):
        for at in times:
            self.put(look(vehicles, at), at)


def run(records, memory=None, policy=POLICY):
    """All outputs of a log, the fates of its records, and the memory it leaves."""
    memory, outputs, fates = memory or Memory(camera=CameraId("c")), [], []
    for record in records:
        observed = observe(memory, record, policy)
        memory = observed.memory
        outputs += observed.outputs
        fates.append(observed.fate)
    return outputs, fates, memory
