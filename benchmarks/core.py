"""Frames a second of the core on one processor core, against Roboflow's ByteTrack with supervision's LineZone.

    make core

Both get the same boxes: twenty vehicles in sight that drive straight, twenty-five pictures a second, five lines (and
for us five zones, which the peer is not given). They take turns for several rounds; the median counts.
"""

import argparse
import os
import platform
import statistics
import time

import numpy as np

from benchmarks.accuracy.contestant import Contestant, Value
from benchmarks.accuracy.roster import contestants
from benchmarks.accuracy.streams import LABELS, Identity, Sample, Stream
from pipeline.core.model import Line, Scene, Size, Zone

OBJECTS, LANES, LINES, FPS = 20, 10, 5, 25
EDGE = 0.02
"""Less of a vehicle than this is not seen at the picture's edge."""

PEERS: tuple[tuple[str, dict[str, Value]], ...] = (("linezone-bytetrack", {}), ("linezone-sort", {}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=40, help="of traffic in each round")
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    sample, everyone = Sample(road(wanted.seconds), FPS, np.arange(wanted.seconds * FPS)), contestants()
    runs: list[tuple[Contestant, dict[str, Value]]] = [(everyone["gantry"], {})]
    runs += [(everyone[key], setting) for key, setting in PEERS]
    rates: dict[str, list[float]] = {contestant.title: [] for contestant, _ in runs}
    counted: dict[str, int] = {}
    for _ in range(wanted.rounds):
        for contestant, setting in runs:
            begin = time.process_time()
            counted[contestant.title] = len(contestant.count(sample, setting, ({},))[0])
            rates[contestant.title].append(len(sample.pictures) / (time.process_time() - begin))
    ours = statistics.median(next(iter(rates.values())))
    print(
        f"{OBJECTS} vehicles, {LINES} lines, {LINES} zones for us; {len(sample.pictures)} pictures, {wanted.rounds} rounds"
    )
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {len(sample.stream.truth)} true passages\n"
    )
    print("| method | frames/s of one core | gantry is | counted |\n| --- | --- | --- | --- |")
    for title, each in rates.items():
        rate = statistics.median(each)
        print(f"| {title} | {rate:.0f} | {ours / rate:.2f} times | {counted[title]} |")


def road(seconds: int) -> Stream:
    """Twenty vehicles at any moment, in ten lanes, half of them each way; whoever leaves comes again as another."""
    rng = np.random.default_rng(7)
    n = seconds * FPS
    t = np.arange(n) / FPS
    lane, second = np.arange(OBJECTS) % LANES, np.arange(OBJECTS) // LANES
    speed = rng.uniform(0.10, 0.16, LANES)[lane] * (1 - 2 * (lane % 2))
    way = (rng.uniform(0, 0.1, OBJECTS) + second * 0.6 + t[:, None] * speed) % 1.2 - 0.1
    y = np.round(way + rng.normal(0, 0.001, way.shape), 5)
    high, x = 0.07, (lane + 0.5) / LANES
    boxes = np.stack(np.broadcast_arrays(x - 0.03, y - high, x + 0.03, y), axis=-1)
    boxes = np.clip(boxes, 0, 1)
    shown = boxes[..., 3] - boxes[..., 1] > EDGE
    first = np.concatenate([[0], np.cumsum(shown.sum(axis=1))])
    lines = [Line(name=f"line{k}", start=(0.2 * k, 0.5), end=(0.2 * (k + 1), 0.5)) for k in range(LINES)]
    zones = [
        Zone(name=f"zone{k}", points=[(0.2 * k, 0.4), (0.2 * k + 0.2, 0.4), (0.2 * k + 0.2, 0.6), (0.2 * k, 0.6)])
        for k in range(LINES)
    ]
    return Stream(
        Identity(kind="plain", place="lanes"),
        Scene(drawn_on=Size(1280, 720), lines=lines, zones=zones),
        (),
        1000 * seconds,
        np.arange(n) * 1000 // FPS,
        first.astype(np.int64),
        boxes[shown],
        rng.uniform(0.6, 0.9, int(first[-1])),
        np.full(int(first[-1]), LABELS.index("car")),
    )


if __name__ == "__main__":
    main()
