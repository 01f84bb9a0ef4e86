"""What a perfect tracker would count of the same detections: it knows whose every box is, and counts by gantry's rules.

    python -m benchmarks.accuracy.perfect --noise yolov8n --seed 1 --seed 3 --seconds 75

No tracker finds more without guessing: whom the detector saw on one side of a line only, nobody saw crossing it. So what
is missing here is the detector's, and what a method misses beyond it is its own.

A box is that user's whose true box it overlaps most, one to one (intersection over union, Kuhn's assignment); boxes of
nobody are left out. Between two sightings a user went straight on.
"""

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy import streams
from benchmarks.accuracy.contestant import Event
from benchmarks.accuracy.figures import Tally, figures, pooled, tally
from benchmarks.accuracy.roads import GRID, KIND
from benchmarks.accuracy.shell import run
from benchmarks.accuracy.streams import LABELS, Identity, Sample, Sampling, samples
from benchmarks.accuracy.suite import NOISE, RATES, REPORTED, make_road, stream_path
from benchmarks.accuracy.table import HEAD, cells, line, movements_off
from pipeline.core.anchors import anchor_of, anchored, step_of
from pipeline.core.crossing import CrossingPolicy, LineMemory, advance, ruler
from pipeline.core.model import Line, Point
from pipeline.evaluate.boxes import overlaps
from pipeline.simulate.journeys import at, recorded
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.view import boxes, inside

LEAST_OVERLAP = 0.3
"""A box that overlaps less than this with everybody is nobody's. The detector shows of who is half hidden half a box."""

Seen = tuple[int, Point, float, str]
"""t_ms, foot in shares, height and class of one sighting."""


@click.command(context_settings={"show_default": True})
@click.option("--scenario", "places", multiple=True, default=tuple(SCENARIOS), help="Simulated places.")
@click.option("--seed", "seeds", type=int, multiple=True, default=REPORTED)
@click.option("--noise", default=NOISE, help="How bad the simulated detector is.")
@click.option("--rate", "rates", type=float, multiple=True, default=RATES, help="Pictures a second.")
@click.option("--seconds", default=0.0, help="Only so much of each road; 0: all.")
@click.option("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="Processes.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/accuracy"), help="Where streams are kept."
)
def main(
    *,
    places: tuple[str, ...],
    seeds: tuple[int, ...],
    noise: str,
    rates: tuple[float, ...],
    seconds: float,
    jobs: int,
    folder: Path,
) -> None:
    """Count what a tracker counts that knows whose every box is; one sampling phase."""
    wanted = [
        Identity(kind=KIND, place=place, seed=seed, noise=noise, seconds=seconds) for place in places for seed in seeds
    ]
    with ProcessPoolExecutor(jobs) as pool:
        told = list(pool.map(_counted, wanted, [rates] * len(wanted), [folder] * len(wanted)))
    head = (*HEAD, "movements off, %")
    click.echo("\n".join([line(head), line(["---"] * len(head))]))
    for n, rate in enumerate(rates):
        runs = {(each.place, each.name): (tallies[n],) for each, tallies in zip(wanted, told, strict=True)}
        total = pooled(tallies[n] for tallies in told)
        click.echo(line((f"{rate:g}", "perfect tracker", *cells(figures(runs)), movements_off(total))))


def _counted(identity: Identity, rates: Sequence[float], folder: Path) -> list[Tally]:
    path = stream_path(identity, folder)
    if not path.exists():
        make_road(path, identity)
    stream, _ = streams.read(path)
    told = []
    for rate in rates:
        events = list(count(samples(stream, GRID, Sampling(rate, 1))[0]))
        told.append(tally(stream.truth, events, duration_ms=stream.duration_ms, tolerance_ms=1000.0))
    return told


def count(sample: Sample) -> Iterator[Event]:
    """The crossings of everybody whose boxes show them on both sides, and the movements of who crossed two lines.

    Raises:
        Fatal: no such scenario or recording.
    """
    stream, policy = sample.stream, CrossingPolicy()
    aspect = stream.scene.drawn_on.aspect
    for seen in _sightings(sample).values():
        name = Counter(label for *_, label in seen).most_common(1)[0][0]
        anchor = anchor_of(name, stream.scene.anchors)
        lines: list[tuple[Line, LineMemory | None]] = [
            (each, None) for each in stream.scene.lines if each.classes is None or name in each.classes
        ]
        crossings: list[Event] = []
        for (t0, foot0, high0, _), (t1, foot1, high1, _) in itertools.pairwise(seen):
            before, after = anchored(foot0, high0, anchor), anchored(foot1, high1, anchor)
            step = step_of(before, t0, after, t1, band=policy.band(name, high1), aspect=aspect)
            for k, (each, memory) in enumerate(lines):
                memory, crossed = advance(ruler(each.start, each.end, aspect), memory, step)  # noqa: PLW2901 - it goes on
                lines[k] = (each, memory)
                if crossed is not None:
                    crossings.append(Event(each.name, crossed.way, crossed.captured_ms))
        yield from crossings
        if len(crossings) > 1:
            first, last = min(crossings, key=_when), max(crossings, key=_when)
            yield Event(last.line, last.direction, last.t_ms, first.line)


def _when(event: Event) -> float:
    return event.t_ms


def _sightings(sample: Sample) -> dict[int, list[Seen]]:
    """What was seen of each user, in order of time."""
    stream = sample.stream
    recording, camera = recorded(stream.identity.place, stream.identity.seed), scenario(stream.identity.place).camera
    found: dict[int, list[Seen]] = defaultdict(list)
    for picture in sample.pictures.tolist():
        t_ms, rows = int(stream.t_ms[picture]), stream.rows(picture)
        now = at(recording, t_ms)
        true = boxes(camera, now.x_m, now.y_m, now.heading_rad, (now.length_m, now.width_m, now.height_m), t_ms)
        there = inside(true) > 0
        shared = overlaps(stream.boxes[rows], np.clip(true[there], 0.0, 1.0))
        users = now.index[there].tolist()
        labels = stream.label[rows].tolist()
        for d, u in zip(*linear_sum_assignment(-shared), strict=True):
            if shared[d, u] >= LEAST_OVERLAP:
                x1, y1, x2, y2 = stream.boxes[rows][d].tolist()
                found[users[u]].append((t_ms, ((x1 + x2) / 2, y2), y2 - y1, LABELS[labels[d]]))
    return found


if __name__ == "__main__":
    run(main)
