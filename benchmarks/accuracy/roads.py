"""Simulated roads with exact truth, on a grid of 150 pictures a second that every rate of the suite divides."""

import hashlib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import msgspec
import numpy as np

import pipeline.simulate
from benchmarks.accuracy.streams import Identity, Stream, columns
from pipeline.core.model import Detections
from pipeline.evaluate.passages import Passage
from pipeline.simulate.journeys import recorded, write
from pipeline.simulate.noise import noise_model
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import scenario
from pipeline.simulate.sightings import sightings
from pipeline.simulate.truth import truth

KIND = "road"

GRID = 150
"""Pictures a second: phase p of rate f begins at p / 150 s, and there are 150 / f phases."""

EDGE_MS = 2000
"""Passages so near the two ends of what is watched may be counted or not: nobody saw the vehicle on both sides."""

_MAKING = ("camera.py", "view.py", "trace.py", "passages.py", "sightings.py", "noise*/*.py", "noise*.py")
"""Sources whose change makes other detections or another truth."""


def fingerprint(identity: Identity) -> str:
    """Changes with everything the stream is made of. Raises Fatal: no such scenario, recording or noise."""
    place = scenario(identity.place)
    told = hashlib.sha256(write(recorded(identity.place, identity.seed)))
    told.update(msgspec.json.encode([identity, scene_of(place), noise_model(identity.noise), GRID, EDGE_MS]))
    told.update(repr((place.camera.pose, place.camera.lens, place.camera.shake)).encode())
    room = Path(pipeline.simulate.__path__[0])
    for pattern in _MAKING:
        for path in sorted(room.glob(pattern)):
            told.update(path.read_bytes())
    return told.hexdigest()[:12]


def road(identity: Identity) -> Stream:
    """Watch a recording at GRID pictures a second. Raises Fatal: no such scenario, recording or noise."""
    place, recording = scenario(identity.place), recorded(identity.place, identity.seed)
    duration_ms = min(recording.duration_ms, identity.seconds * 1000) if identity.seconds else recording.duration_ms
    t_ms: list[int] = []

    def pictures() -> Iterator[Detections]:
        seen = sightings(recording, place, fps=GRID, noise=noise_model(identity.noise), seed=identity.seed)
        for t, detections in takewhile(lambda each: each[0] < duration_ms, seen):
            t_ms.append(t)
            yield detections

    columned = columns(pictures(), place.classes)
    passages = tuple(
        Passage(
            line=p.line,
            direction=p.direction,
            t_ms=p.t_ms,
            label=p.label,
            user=str(p.user),
            optional=not EDGE_MS <= p.t_ms < duration_ms - EDGE_MS,
        )
        for p in truth(recording, place).passages
        if p.t_ms < duration_ms
    )
    return Stream(identity, scene_of(place), passages, duration_ms, np.array(t_ms), *columned)
