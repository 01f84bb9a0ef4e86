"""How fast simulated pictures are painted, and whether a model that never saw them takes what is in them for vehicles.

    python benchmarks/pixels.py --model yolov8n.pt

Painting is timed on one core, at the scenario's own size, JPEG included. A vehicle (car, truck or bus) that is taller
than 40 px in the painted picture and of which at least 70 % is visible counts as found where a box of one of these
classes overlaps its true box by at least 0.5; the model sees the pictures scaled to 640 px, as capture sends them, and
boxes count from a score of 0.25.
"""

import argparse
import asyncio
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.adapters.painter import Looks, Painter
from pipeline.adapters.yolo import Yolo, load_model
from pipeline.core.model import Detections
from pipeline.evaluate.boxes import overlaps
from pipeline.simulate.journeys import recorded
from pipeline.simulate.pixels.light import DAYLIGHTS, WEATHERS, Daylight, Weather
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.view import View, view

WIDTH = 640
VEHICLES = ("car", "truck", "bus")
TALL_PX, VISIBLE, OVERLAP, SCORE = 40.0, 0.7, 0.5, 0.25
_DAY: tuple[Daylight, Weather] = ("day", "clear")
_NIGHT: tuple[Daylight, Weather] = ("night", "rain")

EVERY_MS = 2100
"""Between two pictures: far enough apart that no vehicle is seen dozens of times in one place."""


def main() -> None:
    """Measure and print."""
    wanted = _wishes()
    cv2.setNumThreads(1)
    model = load_model(wanted.model) if wanted.model else None
    every: list[tuple[Daylight, Weather]] = (
        [(d, w) for d in DAYLIGHTS for w in WEATHERS] if wanted.all else [_DAY, _NIGHT]
    )
    print(_conditions(wanted))
    print(f"{'place':12}{'light':8}{'weather':9}{'pictures/s on a core':>22}{'found':>8}{'of':>7}{'share':>8}")
    for daylight, weather in every:
        total = np.zeros(2, dtype=np.intp)
        for place in wanted.place or SCENARIOS:
            rate = _rate(place, Looks(daylight, weather), wanted.pictures)
            found = np.zeros(2, dtype=np.intp)
            if model is not None:
                for seed in wanted.seed:
                    found += asyncio.run(_found(model, place, seed, Looks(daylight, weather), wanted.pictures))
            total += found
            print(f"{place:12}{daylight:8}{weather:9}{rate:22.1f}{_share(found)}", flush=True)
        print(f"{'all':12}{daylight:8}{weather:9}{'':22}{_share(total)}", flush=True)


def _wishes() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Painted pictures: how many a second, and what a model finds in them.")
    data = Path(os.environ.get("GANTRY_TEST_DATA", "."))
    default = data / "weights" / "yolov8n.pt"
    parser.add_argument("--model", type=Path, default=default if default.is_file() else None)
    parser.add_argument("--place", action="append", choices=list(SCENARIOS))
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--pictures", type=int, default=40, help="of each place, light, weather and seed")
    parser.add_argument("--all", action="store_true", help="every light and weather, not two of them")
    wanted = parser.parse_args()
    wanted.seed = wanted.seed or [1, 3]
    return wanted


def _rate(place: str, looks: Looks, pictures: int) -> float:
    painter = Painter(recorded(place, 1), scenario(place), looks)
    painter.picture(0)
    start = time.perf_counter()
    for number in range(pictures):
        painter.picture(20_000 + number * 100)
    return pictures / (time.perf_counter() - start)


async def _found(model: Yolo, place: str, seed: int, looks: Looks, pictures: int) -> NDArray[np.intp]:
    """How many were found, and how many there were to be found."""
    recording, at = recorded(place, seed), scenario(place)
    painter = Painter(recording, at, looks)
    found = np.zeros(2, dtype=np.intp)
    for number in range(pictures):
        t_ms = 5000 + number * EVERY_MS
        if t_ms >= recording.duration_ms:
            break
        pixels = painter.picture(t_ms)
        small = cv2.resize(pixels, (WIDTH, round(at.size.height * WIDTH / at.size.width)), interpolation=cv2.INTER_AREA)
        (seen,) = await model.detect([simplejpeg.encode_jpeg(small, quality=80, colorspace="BGR")])
        assert isinstance(seen, Detections)
        found += _matched(view(recording, at.camera, t_ms), seen, at.size.height)
    return found


def _matched(truth: View, seen: Detections, height: int) -> NDArray[np.intp]:
    there = [
        n for n, label in enumerate(truth.label)
        if label in VEHICLES and (truth.y2[n] - truth.y1[n]) * height > TALL_PX and truth.visible[n] >= VISIBLE
    ]  # fmt: skip
    told = [n for n, label in enumerate(seen.label) if label in VEHICLES and seen.score[n] >= SCORE]
    boxes = np.clip(np.column_stack([truth.x1, truth.y1, truth.x2, truth.y2]), 0, 1)
    seen_boxes = np.column_stack([seen.x1, seen.y1, seen.x2, seen.y2])[told]
    best = overlaps(boxes[there], seen_boxes).max(axis=1, initial=0.0)
    return np.array([np.count_nonzero(best >= OVERLAP), len(there)], dtype=np.intp)


def _share(found: NDArray[np.intp]) -> str:
    return f"{found[0]:8}{found[1]:7}{found[0] / found[1]:8.2f}" if found[1] else f"{'-':>8}{'-':>7}{'-':>8}"


def _conditions(wanted: argparse.Namespace) -> str:
    with Path("/proc/cpuinfo").open() as told:
        processor = next((line.partition(":")[2].strip() for line in told if line.startswith("model name")), "?")
    name = wanted.model.name if wanted.model else "no model"
    return (
        f"{processor}, one core, load average {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, "
        f"opencv {version('opencv-python-headless')}\n{name}, seeds {wanted.seed}, {wanted.pictures} pictures each\n"
    )


if __name__ == "__main__":
    main()
