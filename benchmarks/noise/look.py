"""What both detectors saw in the clips: YOLOv8n as gantry runs it, YOLOv8s at 1280 px as the better eye.

Run once and kept in a folder, a file for each clip, because the better eye is slow. YOLOv8n sees every frame, scaled
and packed as capture does; the better eye sees every n-th one, unscaled, and once more at 640 px: what it then sees
besides is no truth, but no ghost either (small pictures blown up to 1280 px hide users from it).
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import simplejpeg

from pipeline.adapters.yolo import Yolo, export, load_model
from pipeline.adapters.yolo.folder import CARD, read_card, write_card
from pipeline.core.model import Detections, Size

WIDTH, QUALITY = 640, 80
BETTER_LONGEST, BETTER_QUALITY = 1280, 95
BETTER_FPS = 14.0
"""The better eye looks about this often."""

_AT_ONCE = 8


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip by its place in the folder of videos, and why it is here."""

    path: str
    held_out: bool = False
    most_s: float = 16.0  # of it are looked at

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return Path(self.path).stem


CLIPS = (
    Clip(path="highway_nl_1280x720.mp4"),
    Clip(path="suburban_road_640x352.mp4"),
    Clip(path="tfl/06600_cromwell-rd_junction.mp4"),
    Clip(path="tfl/07301_a40-old-oak-rd.mp4", held_out=True),
    Clip(path="sideview_640x360.mp4", held_out=True),
    Clip(path="intel_person-bicycle-car_trimmed.mp4"),
    Clip(path="tfl/03507_tooley-st_bus_peds.mp4"),
    Clip(path="autostrade_a12_tunnel_640x360.mp4"),
    Clip(path="opentrafficcam_cars-cyclist_800x600.mp4"),
    Clip(path="opentrafficcam_cars-truck_800x600.mp4"),
    Clip(path="tfl/625_201709211001.mp4"),
    Clip(path="tfl/09731_a1-barnet_congested.mp4"),
    Clip(path="tfl/06xxx_shaftesbury-ave.mp4"),
    Clip(path="tfl/06592_piccadilly_queue.mp4"),
)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One frame: what each saw; `better` is None where it was not asked."""

    t_ms: float
    seen: Detections
    better: Detections | None
    again: Detections | None = None  # the better eye at 640 px


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """A clip that was looked at."""

    clip: Clip
    size: Size
    looks: list[Look]


def films(videos: Path, weights: Path, folder: Path) -> Iterator[Film]:
    """All clips, looked at now or before."""
    eyes: _Eyes | None = None
    folder.mkdir(parents=True, exist_ok=True)
    for clip in CLIPS:
        kept = folder / f"{clip.name}.json"
        if not kept.is_file():
            eyes = eyes or _Eyes(weights, folder / "models")
            began = time.monotonic()
            film = asyncio.run(_look(videos, clip, eyes))
            aside = kept.with_suffix(".part")
            aside.write_bytes(msgspec.json.encode(film))
            aside.rename(kept)
            print(f"looked at {clip.name}: {len(film.looks)} frames, {time.monotonic() - began:.0f} s", flush=True)
        yield msgspec.structs.replace(msgspec.json.decode(kept.read_bytes(), type=Film), clip=clip)
    if eyes:
        eyes.close()


class _Eyes:
    def __init__(self, weights: Path, models: Path) -> None:
        self.small = _model(weights / "yolov8n.pt", models / "yolov8n", WIDTH)
        self.better = _model(weights / "yolov8s.pt", models / "yolov8s-1280", BETTER_LONGEST)
        self.again = _model(weights / "yolov8s.pt", models / "yolov8s", WIDTH)

    def close(self) -> None:
        for model in (self.small, self.better, self.again):
            model.close()


def _model(weights: Path, out: Path, longest: int) -> Yolo:
    if not (out / CARD).is_file():
        export(weights, out)
    card = read_card(out)
    write_card(out, msgspec.structs.replace(card, model=msgspec.structs.replace(card.model, longest=longest)))
    return load_model(out, backend="openvino")


async def _look(videos: Path, clip: Clip, eyes: _Eyes) -> Film:
    times: list[float] = []
    small: list[bytes] = []
    large: dict[int, bytes] = {}
    size, fps = Size(1, 1), 25.0
    with av.open(str(videos / clip.path)) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or fps)
        every = max(round(fps / BETTER_FPS), 1)
        for number, frame in enumerate(container.decode(stream)):
            pixels: Any = frame.to_ndarray(format="bgr24")
            height, width = pixels.shape[:2]
            size = Size(width, height)
            if number / fps >= clip.most_s:
                break
            if number % every == 0:
                large[number] = simplejpeg.encode_jpeg(pixels, quality=BETTER_QUALITY, colorspace="BGR")
            if width > WIDTH:
                pixels = cv2.resize(pixels, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
            small.append(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorspace="BGR"))
            times.append(number / fps * 1000)
    seen = await _all(eyes.small, small)
    better = dict(zip(large, await _all(eyes.better, list(large.values())), strict=True))
    again = dict(zip(large, await _all(eyes.again, [small[number] for number in large]), strict=True))
    looks = [
        Look(t_ms=t_ms, seen=seen[number], better=better.get(number), again=again.get(number))
        for number, t_ms in enumerate(times)
    ]
    return Film(clip=clip, size=size, looks=looks)


async def _all(model: Yolo, jpegs: list[bytes]) -> list[Detections]:
    answers: list[Detections] = []
    for first in range(0, len(jpegs), _AT_ONCE):
        for answer in await model.detect(jpegs[first : first + _AT_ONCE]):
            assert isinstance(answer, Detections), answer
            answers.append(answer)
    return answers
