"""Real footage with counts by eye, seen by YOLOv8n at its own rate."""

import asyncio
import os
from pathlib import Path

import numpy as np

from benchmarks.accuracy.streams import Identity, Stream, columns
from pipeline.adapters.video import VideoSource, probe
from pipeline.adapters.yolo import Yolo, load_model
from pipeline.core.model import Camera, CameraId, Detections, Frame, Line, Scene, Size
from pipeline.errors import Fatal
from pipeline.evaluate.hand_count import read_hand_count

KIND = "clip"

CLIPS = ("suburban_road", "highway_nl", "tfl_a13_day")
"""Hand counts that are pooled."""

OUT_OF_DOMAIN = ("intel_car-detection",)
"""Straight from above, which COCO's models hardly know: shown apart."""

CLASSES = ("car", "bus", "truck")
"""Counted together: hand counts know vehicles of these."""

BATCH = 8


def footage() -> Path:
    """The folder of test data. Raises Fatal."""
    named = os.environ.get("GANTRY_TEST_DATA")
    if not named or not (Path(named) / "groundtruth").is_dir():
        raise Fatal(
            "GANTRY_TEST_DATA must name the folder of footage (videos, groundtruth, weights); or leave clips out"
        )
    return Path(named)


def clip(name: str) -> tuple[Stream, float]:
    """Look at a clip with the model; the stream and its own pictures a second.

    Raises:
        Fatal: the clip, its hand count or the weights are missing or broken.
    """
    data = footage()
    path = data / "groundtruth" / f"{name}.json"
    truth = read_hand_count(path.read_text(), path.name)
    ((line, (start, end)),) = truth.lines.items()
    model = load_model(data / "weights" / "yolov8n.pt", backend="openvino", precision="f32")
    try:
        t_ms, seen, size, fps = asyncio.run(_look(data / str(truth.video), model))
    finally:
        model.close()
    scene = Scene(drawn_on=size, revision=1, lines=[Line(name=line, start=start, end=end, classes=list(CLASSES))])
    assert truth.duration_ms is not None, "a hand count knows its length"
    columned = columns(seen, CLASSES)
    identity = Identity(kind=KIND, place=name)
    return Stream(identity, scene, truth.passages, truth.duration_ms, np.array(t_ms), *columned), fps


async def _look(video: Path, model: Yolo) -> tuple[list[int], list[Detections], Size, float]:
    camera = Camera(id=CameraId("clip"), source=str(video), shard=0, capture_shard=0, revision=0, pace="fast")
    told = await probe(str(video))
    t_ms: list[int] = []
    jpegs: list[bytes] = []
    seen: list[Detections] = []
    async for picture in VideoSource(resolve=str).pictures(camera):
        if isinstance(picture.body, Frame):
            t_ms.append(picture.captured_ms)
            jpegs.append(picture.body.jpeg)
        if len(jpegs) == BATCH:
            seen += [_of(answer, video) for answer in await model.detect(jpegs)]
            jpegs.clear()
    seen += [_of(answer, video) for answer in await model.detect(jpegs)]
    elapsed_s = (t_ms[-1] - t_ms[0]) / 1000
    return [t - t_ms[0] for t in t_ms], seen, told.size, (len(t_ms) - 1) / elapsed_s


def _of(answer: object, video: Path) -> Detections:
    if not isinstance(answer, Detections):
        raise Fatal(f"{video}: a picture could not be read: {answer}")
    return answer
