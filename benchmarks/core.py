"""How many frames a second one core takes through the rules: 20 vehicles, five lines, five zones, a table of movements.

`python benchmarks/core.py` prints frames/s and ms a frame, of the tracker alone and of all of it. No detector, no
broker: what track adds to a camera's log is measured in `benchmarks/chain.py`.
"""

import argparse
import math
import platform
import time

import msgspec

from pipeline.core.model import CameraId, Clock, Detections, Header, Line, Opened, Record, Scene, Size, Zone
from pipeline.core.scene import Memory, ScenePolicy, observe
from pipeline.core.tracking import Track, follow

SIZE = Size(1280, 720)


def scene(lines: int, zones: int) -> Scene:
    """So many lines across the road, and so many zones along it."""
    return Scene(
        drawn_on=SIZE,
        revision=1,
        lines=[Line(name=f"line-{n}", start=(0.02, 0.15 + 0.15 * n), end=(0.98, 0.2 + 0.15 * n)) for n in range(lines)],
        zones=[
            Zone(name=f"zone-{n}", points=[(0.05, y), (0.95, y), (0.9, y + 0.1), (0.5, y + 0.12), (0.1, y + 0.1)])
            for n, y in enumerate(0.1 + 0.17 * k for k in range(zones))
        ],
    )


def pictures(frames: int, objects: int, fps: float) -> list[Detections]:
    """Vehicles that drive down and up the picture, each in its lane, again and again."""
    out = []
    for frame in range(frames):
        rows = []
        for n in range(objects):
            along = (0.13 * n + 0.12 * frame / fps) % 1.1
            y = along if n % 2 else 1.1 - along
            x = 0.06 + 0.9 * n / objects + 0.002 * math.sin(frame / 3 + n)
            height = 0.04 + 0.06 * min(1.0, y)
            if height < y <= 1:
                label = ("car", "truck", "person", "bicycle")[n % 4]
                rows.append((x - height / 4, y - height, x + height / 4, y, 0.9 - 0.001 * n, label))
        x1, y1, x2, y2, score, labels = (list(c) for c in zip(*rows, strict=True))
        out.append(Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=score, label=labels))
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--fps", type=float, default=10.0)
    asked = parser.parse_args()
    seen = pictures(asked.frames, asked.objects, asked.fps)
    policy = ScenePolicy()
    mean = sum(len(d) for d in seen) / len(seen)
    print(f"{platform.machine()}, Python {platform.python_version()}; {mean:.1f} boxes a frame, {asked.frames} frames")

    begin = time.process_time()
    tracks: list[Track] = []
    at = 0
    for seq, detections in enumerate(seen):
        at = round(1000 * seq / asked.fps)
        tracks, _ = follow(tracks, detections, at=(0, seq, at), aspect=SIZE.aspect, policy=policy.tracking)
    alone = time.process_time() - begin
    print(f"  tracker alone        {asked.frames / alone:7.0f} frames/s  {1000 * alone / asked.frames:.3f} ms a frame")

    for lines, zones in ((0, 0), (5, 0), (0, 5), (5, 5)):
        memory = Memory(camera=CameraId("c"))
        header = Header(
            log="l", camera=CameraId("c"), shard=0, epoch=0, seq=0, captured_ms=0, clock=Clock.FILE, source_size=SIZE
        )
        records = [Record(header, Opened(source_size=SIZE, clock=Clock.FILE)), Record(header, scene(lines, zones))]
        records += [Record(header, detections) for detections in seen]
        records = [
            Record(
                msgspec.structs.replace(r.header, seq=n, captured_ms=round(1000 * max(0, n - 2) / asked.fps)), r.body
            )
            for n, r in enumerate(records)
        ]
        begin, events = time.process_time(), 0
        for record in records:
            observed = observe(memory, record, policy)
            memory = observed.memory
            events += len(observed.outputs)
        took = time.process_time() - begin
        print(
            f"  {lines} lines, {zones} zones     {asked.frames / took:7.0f} frames/s  {1000 * took / asked.frames:.3f} ms a frame"
            f"  ({events} outputs, memory of {len(msgspec.json.encode(memory))} bytes)"
        )


if __name__ == "__main__":
    main()
