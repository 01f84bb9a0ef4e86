"""Frames a second through the whole chain, and where the time of one frame goes.

    python benchmarks/chain.py --model yolov8n --weights yolov8n.pt --video road.mp4 --scene scene.yaml

Throughput: a file goes through capture, Kafka, detect, Kafka, track and Kafka, each worker its own process and the
broker on the same machine, as fast as it goes; against Ultralytics `predict` on the same clip with the same weights and
size, in turn, in the same run. Latency: the same clip at its own pace, thinned to half of that rate, from the moment
a picture was captured to the moment a client of the live stream had its tracks, hop by hop.
"""

import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import click
import httpx
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deploy.kafka.kafka import LocalKafka
from pipeline.adapters.kafka import Kafka
from pipeline.config import load_scene
from pipeline.core.model import Detections, Scene
from pipeline.ports import Message
from pipeline.wire.codec import decode_record
from pipeline.wire.topics import Sizes, Topics
from tests.system.installation import Installation, until

SIZES = Sizes(frames=4, shards=3, capture_shards=2)
PATIENCE_S = 600
CAMERA = "road"
HOPS = ("capture", "detect", "track", "serve")


class House:
    """A whole gantry on a broker of its own."""

    def __init__(self, broker: LocalKafka, folder: Path, model: str, scene: Path, camera: dict[str, object]) -> None:
        import yaml  # noqa: PLC0415 - only to hand the scene on as it is written

        self.topics = Topics(f"b{uuid.uuid4().hex[:6]}.", SIZES)
        self.broker = broker
        self.installation = Installation(
            folder,
            broker.servers,
            self.topics.prefix,
            model=model,
            cameras={CAMERA: camera},
            scenes={CAMERA: yaml.safe_load(scene.read_text())},
        )

    def read(self, topic: str) -> list[Message]:
        """Every record of a topic, partition by partition."""

        async def read() -> list[Message]:
            kafka = Kafka(servers=self.broker.servers, topics=self.topics, client_id="benchmark")
            async with kafka.logs() as logs:
                return [m for p in range(self.topics.specs[topic].partitions) for m in await logs.read_all(topic, p)]

        return asyncio.run(read())

    def tracked(self) -> int:
        """How many records track has taken for good."""

        async def committed() -> int:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
            await admin.start()
            try:
                offsets = await admin.list_consumer_group_offsets(f"{self.topics.prefix}track")
                return sum(max(0, o.offset) for o in offsets.values())
            finally:
                await admin.close()

        return asyncio.run(committed())

    def begin(self) -> None:
        """Everything but capture runs and waits for work."""
        self.installation.prepare()
        self.installation.start("serve", "aggregate", "track", "detect")
        until(lambda: self.installation.alive() and _ready(self.installation), seconds=120, what="the API")
        until(lambda: "owns" in self.installation.said("detect"), seconds=120, what="detect")


def _ready(installation: Installation) -> bool:
    try:
        return bool(installation.get("/readyz").status_code == httpx.codes.OK)
    except httpx.HTTPError:
        return False


def _identity(message: Message) -> tuple[int, int]:
    header = decode_record(message.headers, message.value).header
    return header.order


def throughput(broker: LocalKafka, model: str, video: Path, scene: Path) -> tuple[int, float]:
    """(frames, seconds) from the first frame on the log to the last one followed."""
    with tempfile.TemporaryDirectory() as folder:
        house = House(broker, Path(folder), model, scene, {"source": str(video), "pace": "fast"})
        try:
            house.begin()
            house.installation.start("capture")
            until(lambda: "closed" in {dict(m.headers).get("kind", b"").decode() for m in house.read("detections")},
                  seconds=PATIENCE_S, what="the end of the file")  # fmt: skip
            wanted = len(house.read("detections"))
            until(lambda: house.tracked() >= wanted, seconds=PATIENCE_S, what="lag 0")
            frames, tracks = house.read("frames"), house.read("tracks")
            return len(tracks), (max(m.timestamp_ms for m in tracks) - min(m.timestamp_ms for m in frames)) / 1000
        finally:
            house.installation.close()


class Watcher(threading.Thread):
    """A client of the live stream that notes when each frame's tracks arrived."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.arrived = port, dict[tuple[int, int], float]()

    def run(self) -> None:
        """Listen until the stream ends with its server."""
        url = f"http://127.0.0.1:{self.port}/api/v1/stream"
        quiet = contextlib.suppress(httpx.HTTPError)  # the server goes away under it
        with quiet, httpx.stream("GET", url, params={"kinds": "tracks"}, timeout=PATIENCE_S) as answer:
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "tracks":
                    told = json.loads(value)
                    self.arrived[told["epoch"], told["seq"]] = time.time() * 1000


def latency(
    broker: LocalKafka, model: str, video: Path, scene: Path, fps: float, seconds: float
) -> dict[str, list[float]]:
    """Milliseconds of each hop, and of all together, of every frame."""
    with tempfile.TemporaryDirectory() as folder:
        camera = {"source": str(video), "pace": "live", "loop": True, "fps": fps}
        house = House(broker, Path(folder), model, scene, camera)
        try:
            house.begin()
            watcher = Watcher(house.installation.port)
            watcher.start()
            house.installation.start("capture")
            until(lambda: watcher.arrived, seconds=60, what="the first tracks")
            time.sleep(seconds)
            house.installation.stop("capture")
            frames = {_identity(m): m for m in house.read("frames")}
            detections = {
                (r.header.order): (m, r.header.captured_ms)
                for m in house.read("detections")
                if isinstance((r := decode_record(m.headers, m.value)).body, Detections)
            }
            tracks = {(t["epoch"], t["seq"]): m for m in house.read("tracks") for t in [json.loads(m.value or b"{}")]}
        finally:
            house.installation.close()
    hops: dict[str, list[float]] = {name: [] for name in (*HOPS, "all")}
    for order in sorted(watcher.arrived.keys() & tracks.keys() & detections.keys() & frames.keys()):
        detected, captured = detections[order]
        times = [
            captured,
            frames[order].timestamp_ms,
            detected.timestamp_ms,
            tracks[order].timestamp_ms,
            watcher.arrived[order],
        ]
        for name, before, after in zip(HOPS, times, times[1:], strict=False):
            hops[name].append(after - before)
        hops["all"].append(times[-1] - times[0])
    return hops


def peer(weights: Path, video: Path) -> tuple[int, float]:
    """(frames, seconds) of Ultralytics `predict` over the file, one picture after the other, as its users call it."""
    os.environ["YOLO_OFFLINE"] = "true"
    from ultralytics import YOLO  # noqa: PLC0415 - the extra torch

    model = YOLO(str(weights))
    next(iter(model.predict(source=str(video), imgsz=640, conf=0.1, verbose=False, stream=True)))  # warm
    began, frames = time.monotonic(), 0
    for _ in model.predict(source=str(video), imgsz=640, conf=0.1, verbose=False, stream=True):
        frames += 1
    return frames, time.monotonic() - began


@click.command()
@click.option(
    "--model", default="yolov8n", show_default=True, help="An OpenVINO folder, or a name in the models folder."
)
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="The same model's Ultralytics weights.")
@click.option("--video", type=click.Path(path_type=Path, exists=True), help="A clip of a road.")
@click.option("--scene", type=click.Path(path_type=Path, exists=True), help="What to count in it.")
@click.option("--rounds", default=2, show_default=True)
@click.option("--seconds", default=30.0, show_default=True, help="How long the latency is watched.")
def main(model: str, weights: Path | None, video: Path | None, scene: Path | None, rounds: int, seconds: float) -> None:
    """Measure the whole chain against Ultralytics `predict`."""
    data = Path(os.environ.get("GANTRY_TEST_DATA", "."))
    weights = weights or data / "weights" / "yolov8n.pt"
    video = video or data / "videos" / "suburban_road_640x352.mp4"
    scene = scene or Path(__file__).resolve().parents[1] / "tests" / "system" / "scenes" / "suburban_road_640x352.yaml"
    for path in (weights, video, scene):
        if not path.exists():
            raise click.ClickException(f"{path} is missing: name it, or set GANTRY_TEST_DATA to the folder of footage")
    drawn: Scene = load_scene(scene)
    console = Console()
    broker = LocalKafka(Path(tempfile.mkdtemp(prefix="gantry-benchmark-")))
    broker.start()
    try:
        ours, theirs = [], []
        for number in range(rounds):
            with console.status(f"round {number + 1} of {rounds}: the chain"):
                ours.append(_rate(lambda: throughput(broker, model, video.resolve(), scene)))
            with console.status(f"round {number + 1} of {rounds}: Ultralytics predict"):
                theirs.append(_rate(lambda: peer(weights, video)))
        fps = max(1.0, round(statistics.median(ours) / 2, 1))
        with console.status(f"latency at {fps} frames/s"):
            hops = latency(broker, model, video.resolve(), scene, fps, seconds)
    finally:
        broker.kill()
    console.print(
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()};"
        f" {video.name}, {len(drawn.lines)} line, width 640; load average {os.getloadavg()[0]:.1f}\n"
    )
    console.print(_speeds(ours, theirs))
    console.print(_delays(hops, fps))


def _rate(measure: Callable[[], tuple[int, float]]) -> float:
    frames, seconds = measure()
    return frames / seconds


def _speeds(ours: list[float], theirs: list[float]) -> Table:
    table = Table(title="Frames a second, median of rounds", title_justify="left")
    for column in ("", "frames/s", "from", "to"):
        table.add_column(column, justify="left" if not column else "right")
    for name, rates in (("gantry, whole chain with Kafka", ours), ("Ultralytics predict (torch)", theirs)):
        table.add_row(name, *(f"{v:.1f}" for v in (statistics.median(rates), min(rates), max(rates))))
    table.add_row("ratio", f"{statistics.median(ours) / statistics.median(theirs):.2f}", "", "")
    return table


def _delays(hops: dict[str, list[float]], fps: float) -> Table:
    table = Table(title=f"Milliseconds at half load ({fps} frames/s, {len(hops['all'])} frames)", title_justify="left")
    for column in ("hop", "p50", "p95"):
        table.add_column(column, justify="left" if column == "hop" else "right")
    said = {"capture": "captured to frames", "detect": "frames to detections", "track": "detections to tracks",
            "serve": "tracks to a live client", "all": "captured to a live client"}  # fmt: skip
    for name, values in hops.items():
        cuts = statistics.quantiles(values, n=20)
        table.add_row(said[name], f"{statistics.median(values):.0f}", f"{cuts[18]:.0f}")
    return table


if __name__ == "__main__":
    main()
