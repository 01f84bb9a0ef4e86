"""One contestant over one stream at one frame rate: run once, kept in a file, found again."""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.accuracy import streams
from benchmarks.accuracy.contestant import Contestant, Event, Value
from benchmarks.accuracy.roster import contestants
from benchmarks.accuracy.streams import Sampling, Stream, samples


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run: one tracker's setting with all counters, at all phases."""

    stream: str  # path of the kept stream
    digest: str  # of the stream
    name: str  # of the stream
    contestant: str
    version: str
    sampling: Sampling
    tracker: Mapping[str, Value]
    counters: tuple[Mapping[str, Value], ...]

    def path(self, folder: Path) -> Path:
        """Where the result lies."""
        told = msgspec.json.encode(
            [self.digest, self.contestant, self.version, self.sampling, self.tracker, self.counters]
        )
        digest = hashlib.sha256(told).hexdigest()[:16]
        return folder / "runs" / self.name / f"{self.contestant}-{self.sampling.fps:g}-{digest}.json"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was said: events[counter][phase]."""

    job: Job
    fps: float  # true
    events: list[list[list[Event]]]


def done(job: Job, folder: Path) -> Result:
    """The kept result of a job that was done."""
    return msgspec.json.decode(job.path(folder).read_bytes(), type=Result)


def do(job: Job, folder: Path) -> None:
    """Run a job and keep what it says."""
    stream, native_fps = _stream(job.stream)
    contestant = _contestants()[job.contestant]
    sampled = samples(stream, native_fps, job.sampling)
    said = [contestant.count(sample, job.tracker, job.counters) for sample in sampled]
    events = [[phase[counter] for phase in said] for counter in range(len(job.counters))]
    path = job.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(Result(job=job, fps=sampled[0].fps, events=events)))
    part.replace(path)


@functools.lru_cache(maxsize=2)
def _stream(path: str) -> tuple[Stream, float]:
    return streams.read(Path(path))


@functools.cache
def _contestants() -> dict[str, Contestant]:
    return contestants()
