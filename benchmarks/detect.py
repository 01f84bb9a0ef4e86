"""Frames a second of our detector against Ultralytics' `predict`: same weights, clip, size and machine, same run.

    python benchmarks/detect.py --weights yolov8n.pt --clip road.mp4

Every contestant gets the same JPEGs (scaled to 640 px as capture does) and gives boxes back. The contestants take
turns for several rounds, so that a machine that slows down slows all of them; the median round counts. On a machine
that does other work, too, compare frames per second of processor time.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import simplejpeg
import torch

from pipeline.adapters.yolo import ROAD_USERS, Yolo, export, load_model
from pipeline.adapters.yolo.torch import ultralytics
from pipeline.core.model import Detections

WIDTH = 640
IN_FLIGHT = 2
"""Calls under way at once, as the detect stage has them."""

SCORE, IOU = 0.1, 0.7

OURS = "gantry, OpenVINO"

Contestant = Callable[[Sequence[bytes]], int]
"""Sees all pictures; gives the number of boxes."""


def main() -> None:
    """Measure and print."""
    wanted = _wishes()
    jpegs = _jpegs(wanted.clip, wanted.frames)
    with tempfile.TemporaryDirectory() as scratch:
        folder = export(wanted.weights, Path(scratch) / f"{wanted.weights.stem}_openvino_model")
        contestants = _contestants(wanted.weights, folder, wanted.batch)
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        per_core: dict[str, list[float]] = {name: [] for name in contestants}
        boxes: dict[str, int] = {}
        for name, run in contestants.items():
            run(jpegs[: 2 * wanted.batch])  # warm
            print(f"ready: {name}", flush=True)
        torch.set_num_threads(_cores())  # Ultralytics leaves a core free by default; here everybody gets all of them
        for _ in range(wanted.rounds):
            for name, run in contestants.items():
                start, worked = time.perf_counter(), time.process_time()
                boxes[name] = run(jpegs)
                rates[name].append(len(jpegs) / (time.perf_counter() - start))
                per_core[name].append(len(jpegs) / (time.process_time() - worked))
    _print_conditions(wanted, len(jpegs))
    _print_table(rates, per_core, boxes)


def _wishes() -> argparse.Namespace:
    data = Path(os.environ.get("GANTRY_TEST_DATA", "."))
    parser = argparse.ArgumentParser(description="Our detector against Ultralytics predict, in frames a second.")
    parser.add_argument("--weights", type=Path, default=data / "weights" / "yolov8n.pt")
    parser.add_argument("--clip", type=Path, default=data / "videos" / "highway_nl_1280x720.mp4")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="pictures a call")
    wanted = parser.parse_args()
    for path in (wanted.weights, wanted.clip):
        if not path.is_file():
            parser.error(f"there is no {path}: name it, or set GANTRY_TEST_DATA to the folder of test data")
    return wanted


def _jpegs(clip: Path, most: int) -> list[bytes]:
    made: list[bytes] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            pixels: Any = frame.to_ndarray(format="bgr24")
            height, width = pixels.shape[:2]
            if width > WIDTH:
                pixels = cv2.resize(pixels, (WIDTH, round(height * WIDTH / width)), interpolation=cv2.INTER_AREA)
            made.append(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=80, colorspace="BGR"))
            if len(made) == most:
                break
    return made


def _contestants(weights: Path, folder: Path, batch: int) -> dict[str, Contestant]:
    library = ultralytics()
    return {
        OURS: _ours(load_model(folder, backend="openvino"), batch),
        "gantry's own model, OpenVINO": _ours(load_model(Path("gantry-s"), backend="openvino"), batch),
        "gantry, torch": _ours(load_model(weights, backend="torch", device="cpu", max_batch=batch), batch),
        "Ultralytics predict, OpenVINO": _theirs(library.YOLO(str(folder), task="detect"), 1),
        "Ultralytics predict, OpenVINO, batches": _theirs(library.YOLO(str(folder), task="detect"), batch),
        "Ultralytics predict, torch": _theirs(library.YOLO(str(weights)), 1),
        "Ultralytics predict, torch, batches": _theirs(library.YOLO(str(weights)), batch),
    }


def _ours(model: Yolo, batch: int) -> Contestant:
    async def see(jpegs: Sequence[bytes]) -> int:
        calls = [jpegs[i : i + batch] for i in range(0, len(jpegs), batch)]
        room = asyncio.Semaphore(IN_FLIGHT)

        async def call(some: Sequence[bytes]) -> int:
            async with room:
                return sum(len(answer) for answer in await model.detect(some) if isinstance(answer, Detections))

        return sum(await asyncio.gather(*map(call, calls)))

    return lambda jpegs: asyncio.run(see(jpegs))


def _theirs(network: Any, batch: int) -> Contestant:
    known = [number for number, label in network.names.items() if label in ROAD_USERS]

    def see(jpegs: Sequence[bytes]) -> int:
        boxes = 0
        for i in range(0, len(jpegs), batch):
            pictures = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs[i : i + batch]]
            found = network.predict(
                pictures, conf=SCORE, iou=IOU, imgsz=WIDTH, device="cpu", classes=known, batch=batch, verbose=False
            )
            boxes += sum(len(each.boxes) for each in found)
        return boxes

    return see


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _print_conditions(wanted: argparse.Namespace, frames: int) -> None:
    with Path("/proc/cpuinfo").open() as told:
        processor = next((line.partition(":")[2].strip() for line in told if line.startswith("model name")), "?")
    versions = ("openvino", "torch", "ultralytics-opencv-headless")
    print(f"\n{processor}, {_cores()} cores, {platform.system()}; Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in versions))
    print(f"{wanted.weights.name}, {wanted.clip.name} at {WIDTH} px, {frames} JPEGs, {wanted.batch} pictures a call,")
    print(f"median of {wanted.rounds} rounds (slowest to fastest); load average {os.getloadavg()[0]:.1f}\n")


def _print_table(rates: dict[str, list[float]], per_core: dict[str, list[float]], boxes: dict[str, int]) -> None:
    ours = statistics.median(rates[OURS])
    print(f"{'':40}{'frames/s':>9}{'from':>8}{'to':>8}{'per CPU s':>11}{'boxes':>7}   {OURS} is")
    for name, of in rates.items():
        rate, work = statistics.median(of), statistics.median(per_core[name])
        print(
            f"{name:40}{rate:9.1f}{min(of):8.1f}{max(of):8.1f}{work:11.1f}{boxes[name]:7}   {ours / rate:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
