"""Tracks as boxes: who is where in which picture, from MOTChallenge files or from live tracks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.core.model import LiveTracks
from pipeline.simulate.frames import LEAST_VISIBLE, Picture
from pipeline.wire.checked import mistaken

LEAST_COLUMNS = 6
CONSIDERED = 6  # the column that says whether a row of a truth is to be considered

SAME = 0.5
"""A track's box that overlaps a truth's box so much lies on it, as MOTChallenge has it."""

ROUNDING = float(np.finfo(np.float64).eps)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """Columns of equal length n: one row for each user in each picture, in any order."""

    frame: Integers  # [n] any numbers that both sides share: of pictures, or captured_ms
    id: Integers  # [n] who; one of a kind within a frame
    corners: Floats  # [n, 4] x1 y1 x2 y2, in any unit that both sides share

    def __post_init__(self) -> None:
        """Refuse columns of unequal length, boxes without area, and anyone who is twice in one picture."""
        n = len(self.frame)
        if self.frame.shape != (n,) or self.id.shape != (n,) or self.corners.shape != (n, 4):
            raise ValueError(
                f"boxes need columns [n], [n] and [n, 4], got {self.frame.shape}, {self.id.shape}, {self.corners.shape}"
            )
        if not (self.corners[:, :2] < self.corners[:, 2:]).all():
            raise ValueError("every box needs x1 < x2 and y1 < y2")
        if len(np.unique(np.stack([self.frame, self.id]), axis=1).T) != n:
            raise ValueError("an identity may be in a picture only once")

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, chosen: NDArray[np.bool_]) -> "Boxes":
        """The rows that are chosen [n]."""
        return Boxes(self.frame[chosen], self.id[chosen], self.corners[chosen])


def read_mot(text: str, name: str) -> Boxes:
    """Read a MOTChallenge result: `frame,id,left,top,width,height,...` in each line, pixels.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        Fatal: rows that cannot be read, each with its line.

    Source:
        P. Dendorfer et al., MOTChallenge: a benchmark for single-camera multiple target tracking, IJCV 129 (2021).
    """
    return _read(text, name)[0]


def read_mot_truth(text: str, name: str) -> tuple[Boxes, Boxes]:
    """Read a MOTChallenge truth (gt.txt): the boxes that count, and those to ignore (the seventh column is 0).

    Raises:
        Fatal: rows that cannot be read, each with its line.
    """
    boxes, ignored = _read(text, name)
    return boxes.where(~ignored), boxes.where(ignored)


def without_ignored(run: Boxes, truth: Boxes, ignored: Boxes) -> Boxes:
    """A run's boxes without those that lie on truth boxes that are to be ignored: they are neither right nor false.

    Picture by picture the run's boxes are paired one to one with all true boxes, those to ignore too, by the greatest
    overlap in sum; pairs overlap by `SAME` or more. Boxes whose partner is to be ignored are taken out.

    Source:
        TrackEval (J. Luiten, A. Hoffhues, 2020), trackeval/datasets/mot_challenge_2d_box.py,
        get_preprocessed_seq_data, which does so for MOT16, MOT17 and MOT20 before any figure. There the classes of
        distractors are to be ignored, here the rows flagged 0.
    """
    keep = np.ones(len(run), dtype=np.bool_)
    for frame in np.intersect1d(run.frame, ignored.frame):
        rows = np.flatnonzero(run.frame == frame)
        sure, other = truth.corners[truth.frame == frame], ignored.corners[ignored.frame == frame]
        overlap = overlaps(np.concatenate([sure, other]), run.corners[rows])
        overlap[overlap < SAME - ROUNDING] = 0.0
        users, tracks = linear_sum_assignment(-overlap)
        lost = (users >= len(sure)) & (overlap[users, tracks] > 0)
        keep[rows[tracks[lost]]] = False
    return run.where(keep)


def _read(text: str, name: str) -> tuple[Boxes, NDArray[np.bool_]]:
    """All rows, and whether each is flagged to be ignored [n]."""
    ignored: list[bool] = []
    rows: list[list[float]] = []
    mistakes: list[tuple[str, str]] = []
    seen: set[tuple[float, float]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = _numbers(line)
        if row is None:
            mistakes.append(
                (f"line {number}", f"frame,id,left,top,width,height,... are wanted, all numbers: {line[:40]!r}")
            )
        elif row[4] <= 0 or row[5] <= 0:
            mistakes.append((f"line {number}", f"the box has no area: width {row[4]:g}, height {row[5]:g}"))
        elif (row[0], row[1]) in seen:
            mistakes.append((f"line {number}", f"identity {row[1]:g} is in frame {row[0]:g} already"))
        else:
            ignored.append(len(row) > CONSIDERED and row[CONSIDERED] == 0)
            seen.add((row[0], row[1]))
            rows.append(row[:LEAST_COLUMNS])
    if mistakes:
        raise mistaken(mistakes, name=name)
    table = np.array(rows, dtype=np.float64).reshape(-1, LEAST_COLUMNS)
    corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    boxes = Boxes(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), corners)
    return boxes, np.array(ignored, dtype=np.bool_)


def _numbers(line: str) -> list[float] | None:
    try:
        row = [float(cell) for cell in line.split(",")]
    except ValueError:
        return None
    whole = (
        len(row) >= LEAST_COLUMNS
        and all(math.isfinite(n) for n in row)
        and row[0] == int(row[0])
        and row[1] == int(row[1])
    )
    return row if whole else None


def of_live_tracks(told: Iterable[LiveTracks]) -> Boxes:
    """Live tracks as boxes, in shares of the picture; the frame is captured_ms, the id the track's number in order.

    Raises:
        ValueError: one picture was told twice.
    """
    numbers: dict[str, int] = {}
    frames, ids, corners = [], [], []
    for picture in told:
        for track in picture.tracks:
            frames.append(picture.captured_ms)
            ids.append(numbers.setdefault(track.track, len(numbers)))
            corners.append((track.x1, track.y1, track.x2, track.y2))
    return Boxes(
        np.array(frames, dtype=np.int64),
        np.array(ids, dtype=np.int64),
        np.array(corners, dtype=np.float64).reshape(-1, 4),
    )


def of_pictures(pictures: Iterable[Picture], *, least_visible: float = LEAST_VISIBLE) -> Boxes:
    """The true boxes of a simulated camera's pictures, in shares; the frame is t_ms, whole, the id the user.

    Args:
        pictures: as `simulate.frames.frames` makes them.
        least_visible: of whom less is visible is left out.
    """
    rows = [
        (round(picture.t_ms), box.user, box.x1, box.y1, box.x2, box.y2)
        for picture in pictures
        for box in picture.boxes
        if box.visible >= least_visible
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, LEAST_COLUMNS)
    return Boxes(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:6])


def overlaps(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes [n, 4] and [m, 4]: [n, m], 0..1."""
    least = np.maximum(a[:, None, :2], b[None, :, :2])
    most = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(most - least, 0.0, None), axis=-1)
    areas_a, areas_b = np.prod(a[:, 2:] - a[:, :2], axis=-1), np.prod(b[:, 2:] - b[:, :2], axis=-1)
    shares: Floats = common / (areas_a[:, None] + areas_b[None, :] - common)
    return shares
