"""What is watched: the detections of one camera, as dense in time as they are known, and what really happened."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.model import Detections, Scene
from pipeline.evaluate.passages import Passage

Floats = NDArray[np.float64]

LABELS = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
"""Road users; a class is told by its place in this tuple."""

LEAST_SCORE = 0.1
"""Detections less sure than this are given to nobody."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which stream it is."""

    kind: str  # of a road (simulated) or a clip
    place: str
    seed: int = 0
    noise: str = ""
    seconds: float = 0.0  # how much of it; 0: all

    @property
    def name(self) -> str:
        """Short, for people and file names."""
        parts = [self.place]
        if self.noise:
            parts += [str(self.seed), self.noise, f"{self.seconds:g}s"]
        return "-".join(parts)


@dataclass(frozen=True, eq=False)
class Stream:
    """Detections of n pictures in m rows; picture i has rows first[i] up to first[i + 1]."""

    identity: Identity
    scene: Scene
    truth: tuple[Passage, ...]
    duration_ms: float
    t_ms: NDArray[np.int64]  # [n] since the start, rising
    first: NDArray[np.int64]  # [n + 1]
    boxes: Floats  # [m, 4] x1 y1 x2 y2, shares of the picture, rounded to 1e-5
    score: Floats  # [m]
    label: NDArray[np.int64]  # [m] places in LABELS

    def rows(self, picture: int) -> slice:
        """Where a picture's detections stand."""
        return slice(int(self.first[picture]), int(self.first[picture + 1]))

    @property
    def digest(self) -> str:
        """Changes with anything that a count depends on."""
        told = hashlib.sha256(msgspec.json.encode(self.scene))
        for column in (self.t_ms, self.first, self.boxes, self.score, self.label):
            told.update(np.ascontiguousarray(column).tobytes())
        return told.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Sample:
    """A stream as a slower camera shows it."""

    stream: Stream
    fps: float  # true
    pictures: NDArray[np.int64]  # places in the stream


class Sampling(msgspec.Struct, frozen=True):
    """How often and how many times a stream is sampled."""

    fps: float  # wanted
    phases: int | None = None  # at most so many, evenly spread; None: all


def samples(stream: Stream, native_fps: float, sampling: Sampling) -> list[Sample]:
    """The stream at the nearest whole step of its own rate, at its phases in order.

    Args:
        stream: the dense one.
        native_fps: its pictures a second.
        sampling: wanted rate and phases.
    """
    step = max(1, round(native_fps / sampling.fps))
    count = min(step, sampling.phases or step)
    phases = [i * step // count for i in range(count)]
    return [Sample(stream, native_fps / step, np.arange(p, len(stream.t_ms), step)) for p in phases]


def columns(
    pictures: Iterable[Detections], classes: Sequence[str]
) -> tuple[NDArray[np.int64], Floats, Floats, NDArray[np.int64]]:
    """first, boxes, score and label of a Stream: what is sure enough and of the wanted classes."""
    first, boxes, score, label = [0], [], [], []
    for seen in pictures:
        for x1, y1, x2, y2, sure, name in zip(seen.x1, seen.y1, seen.x2, seen.y2, seen.score, seen.label, strict=True):
            if sure >= LEAST_SCORE and name in classes:
                boxes.append((x1, y1, x2, y2))
                score.append(sure)
                label.append(LABELS.index(name))
        first.append(len(score))
    return (
        np.array(first, dtype=np.int64),
        np.round(np.array(boxes, dtype=np.float64).reshape(-1, 4), 5),
        np.array(score, dtype=np.float64),
        np.array(label, dtype=np.int64),
    )


class _Kept(msgspec.Struct, frozen=True):
    identity: Identity
    scene: Scene
    truth: tuple[Passage, ...]
    duration_ms: float


def write(stream: Stream, native_fps: float, path: Path) -> None:
    """Keep a stream in a file."""
    told = _Kept(stream.identity, stream.scene, stream.truth, stream.duration_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{id(stream)}.part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            told=np.frombuffer(msgspec.json.encode(told), dtype=np.uint8),
            native_fps=np.array(native_fps),
            t_ms=stream.t_ms,
            first=stream.first,
            boxes=np.round(stream.boxes * 1e5).astype(np.int32),
            score=stream.score,
            label=stream.label.astype(np.int8),
        )
    part.replace(path)


def read(path: Path) -> tuple[Stream, float]:
    """The stream of a file, and its own pictures a second."""
    with np.load(path) as kept:
        told = msgspec.json.decode(kept["told"].tobytes(), type=_Kept)
        stream = Stream(
            told.identity,
            told.scene,
            told.truth,
            told.duration_ms,
            kept["t_ms"],
            kept["first"],
            np.round(kept["boxes"] / 1e5, 5),
            kept["score"],
            kept["label"].astype(np.int64),
        )
        return stream, float(kept["native_fps"])
