"""Before anything is measured: everyone must count the plainest drive there is, once and the right way.

So a peer is never blamed for how we call it or how we read its directions.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from benchmarks.accuracy.contestant import Contestant
from benchmarks.accuracy.streams import LABELS, Identity, Sample, Stream
from pipeline.core.model import Line, Point, Scene, Size, Way
from pipeline.errors import Fatal
from pipeline.evaluate.passages import Passage

FPS, SECONDS = 25, 4
SIZE = Size(640, 640)
BOX = 0.1
LINES: tuple[tuple[Point, Point], ...] = (
    ((0.1, 0.5), (0.9, 0.5)),
    ((0.9, 0.5), (0.1, 0.5)),
    ((0.5, 0.1), (0.5, 0.9)),
    ((0.5, 0.9), (0.5, 0.1)),
)


def check(everyone: Iterable[Contestant]) -> None:
    """Let each contestant, as it comes, count one car over lines drawn all four ways.

    Raises:
        Fatal: one of them says anything else than that one passage.
    """
    for contestant in everyone:
        for stream in drives():
            (passage,) = stream.truth
            sample = Sample(stream, float(FPS), np.arange(len(stream.t_ms)))
            said = contestant.count(sample, contestant.trackers[0], contestant.counters[:1])[0]
            if [(e.line, e.direction) for e in said] != [(passage.line, passage.direction)]:
                told = ", ".join(f"{e.direction} at {e.t_ms:g} ms" for e in said) or "nothing"
                raise Fatal(
                    f"{contestant.title} is not called as it should be: a car goes {passage.direction} over the line"
                    f" from {stream.scene.lines[0].start} to {stream.scene.lines[0].end}, and it says {told}"
                )


def drives() -> Iterator[Stream]:
    """A car straight over the middle of each line, once each way, seen perfectly."""
    n = FPS * SECONDS
    for start, end in LINES:
        for way in Way:
            along = (end[0] - start[0], end[1] - start[1])
            right = np.array([-along[1], along[0]]) * (1 if way is Way.TO_RIGHT else -1)  # y grows down
            middle = 0.5 + np.linspace(-0.3, 0.3, n)[:, None] * (right / np.abs(right).max())
            yield Stream(
                Identity(kind="plain", place="drive"),
                Scene(drawn_on=SIZE, lines=[Line(name="line", start=start, end=end)]),
                (Passage(line="line", direction=way, t_ms=1000 * SECONDS / 2, label="car"),),
                1000 * SECONDS,
                np.arange(n) * 1000 // FPS,
                np.arange(n + 1),
                np.hstack([middle - BOX / 2, middle + BOX / 2]).round(5),
                np.full(n, 0.9),
                np.full(n, LABELS.index("car")),
            )
