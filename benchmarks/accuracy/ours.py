"""gantry's own core, record by record, as a log would bring them."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

import pipeline.core
from benchmarks.accuracy.contestant import Contestant, Counters, Event, Value
from benchmarks.accuracy.streams import LABELS, Sample
from pipeline.core.model import CameraId, Clock, Crossing, Detections, Header, Movement, Opened, Output, Record, Way
from pipeline.core.scene import Memory, ScenePolicy, finish, observe


def count(sample: Sample, tracker: Mapping[str, Value], _counters: Counters) -> list[list[Event]]:
    """The events of gantry.

    Args:
        sample: what is seen.
        tracker: nothing, or a whole ScenePolicy as JSON under `policy`.
    """
    policy = msgspec.json.decode(str(tracker["policy"]), type=ScenePolicy) if tracker else ScenePolicy()
    stream, camera = sample.stream, CameraId("camera")
    memory, events, seq = Memory(camera=camera), list[Event](), 0

    def header(at: int) -> Header:
        size = stream.scene.drawn_on
        return Header(log="accuracy", camera=camera, shard=0, epoch=1, seq=seq, captured_ms=at, clock=Clock.FILE, size=size, source_size=size)  # fmt: skip

    begin = int(stream.t_ms[sample.pictures[0]])
    opened = Opened(source_size=stream.scene.drawn_on, clock=Clock.FILE, fps=sample.fps, first_ms=begin)
    for body in (opened, stream.scene):
        memory = observe(memory, Record(header(begin), body), policy).memory
        seq += 1
    for picture in sample.pictures.tolist():
        seen = _seen(sample, picture)
        observed = observe(memory, Record(header(int(stream.t_ms[picture])), seen), policy)
        memory, seq = observed.memory, seq + 1
        events += _said(observed.outputs)
    return [events + _said(finish(memory, policy)[1])]


def _said(outputs: Iterable[Output]) -> list[Event]:
    said = []
    for o in outputs:
        if isinstance(o, Crossing):
            said.append(Event(o.line, o.direction, o.captured_ms))
        elif isinstance(o, Movement):
            line, _, way = o.destination.partition("/")
            said.append(Event(line, Way(way or Way.TO_LEFT), o.captured_ms, o.origin.partition("/")[0]))
    return said


def _seen(sample: Sample, picture: int) -> Detections:
    stream = sample.stream
    rows = stream.rows(picture)
    x1, y1, x2, y2 = stream.boxes[rows].T.tolist()
    return Detections(
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        score=stream.score[rows].tolist(),
        label=[LABELS[place] for place in stream.label[rows].tolist()],
    )


def version() -> str:
    """A digest of the core's source."""
    told = hashlib.sha256()
    for path in sorted(Path(pipeline.core.__path__[0]).glob("*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()[:12]


GANTRY = Contestant(key="gantry", title="gantry", version=version, count=count)
