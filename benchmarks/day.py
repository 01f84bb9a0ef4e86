"""A day of one camera, and what the core remembers of it.

    python -m benchmarks.day

Five minutes of simulated traffic, seen with the noise of YOLOv8n, are played again and again for a day of capture time, at the
place whose scene asks for most (lines, zones and movements). At the end of each hour the memory is written down as it is
for a snapshot; beside it stands how much the process has in use. What is forgotten by rule makes both flat.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from benchmarks.accuracy.shell import run
from pipeline.core.model import CameraId, Clock, Detections, Header, Occurrence, Opened, Record, Scene
from pipeline.core.scene import Memory, ScenePolicy, observe
from pipeline.simulate.journeys import recorded
from pipeline.simulate.noise import noise_model
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.sightings import sightings
from pipeline.wire.codec import encode_json

HOUR_MS = 3_600_000


@click.command(context_settings={"show_default": True})
@click.option("--place", type=click.Choice(list(SCENARIOS)), default="junction")
@click.option("--seed", default=1)
@click.option("--fps", type=click.FloatRange(min=0.1, max=1000), default=5.0)
@click.option("--hours", type=click.IntRange(min=1), default=24)
def main(*, place: str, seed: int, fps: float, hours: int) -> None:
    """Play a day, and print an hour a line."""
    scene, seen = scene_of(scenario(place)), list(_seen(place, seed, fps))
    memory, policy, seq, events = Memory(camera=CameraId("camera")), ScenePolicy(), 0, 0

    def record(at_ms: int, body: Detections | Opened | Scene) -> Record:
        header = Header(
            log="day", camera=memory.camera, shard=0, epoch=1, seq=seq, captured_ms=at_ms, clock=Clock.FILE,
            size=scene.drawn_on, source_size=scene.drawn_on,
        )  # fmt: skip
        return Record(header, body)

    for body in (Opened(source_size=scene.drawn_on, clock=Clock.FILE, fps=fps, first_ms=0), scene):
        memory = observe(memory, record(0, body), policy).memory
        seq += 1
    length_ms = recorded(place, seed).duration_ms
    print(f"{place}, seed {seed}, {fps:g} pictures a second\n")
    print("| hour | pictures | events | memory of the camera, KB | process, MB |\n| --- | --- | --- | --- | --- |")
    for hour in track(range(hours), "hours", console=Console(stderr=True)):
        for turn in range(hour * HOUR_MS // length_ms, (hour + 1) * HOUR_MS // length_ms):
            for t_ms, boxes in seen:
                observed = observe(memory, record(turn * length_ms + t_ms, boxes), policy)
                memory, seq = observed.memory, seq + 1
                events += sum(isinstance(each, Occurrence) for each in observed.outputs)
        print(
            f"| {hour + 1} | {seq - 2} | {events} | {len(encode_json(memory)) / 1e3:.1f} | {_resident_mb():.1f} |",
            flush=True,
        )


def _seen(place: str, seed: int, fps: float) -> Iterator[tuple[int, Detections]]:
    return sightings(recorded(place, seed), scenario(place), fps=fps, noise=noise_model("yolov8n"), seed=seed)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    run(main)
