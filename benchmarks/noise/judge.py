"""What became of every true user in every frame, and of every box: right, double, ghost, or nobody can say."""

# ruff: noqa: PLR2004 - a statistic's bounds are told where they are used

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.noise.truth import Truth, area, columns, cut, kind, overlap, shared
from pipeline.core.model import Detections

Array = NDArray[np.float64]

SAME, OTHER_KIND = 0.3, 0.5
"""Overlap at which a box is a user's; of a box of another kind more is asked."""

TOUCH = 0.1
"""Boxes of neighbours share this part of the smaller one."""

MOSTLY = 0.6
"""Share of a box inside a user's (or a doubtful one's) at which it is a second box of it (or doubtful)."""


@dataclass
class Judged:
    """Rows of users (a row for each user in each frame), of doubles and of ghosts; px at 640 px width."""

    fps: float
    seconds: float
    user: NDArray[np.intp]  # rows of one user follow each other
    frame: NDArray[np.intp]
    t_s: Array
    label: list[str]
    named: Array  # how sure the label is
    height: Array  # of the whole box
    visible: Array
    inside: Array
    score: Array  # 0 where missed
    seen: list[str]  # the label given; "" where missed
    off: Array  # [n, 4] edges given less true ones (in the picture), in widths and heights of that; nan
    edge: NDArray[np.bool_]  # [n, 4] the picture cuts this edge
    doubles: list[tuple[int, int, str, float, Array]]  # frame, row of its user, label, score, box in the user's box
    ghosts: list[tuple[int, str, float, Array]]  # frame, label, score, box
    touching: NDArray[np.bool_]  # another user's box, nearer, shares a part of this one's
    merged: NDArray[np.bool_]  # missed, and the box of one that touches it fits both together better


def judge(truth: Truth, seen: Sequence[Detections]) -> Judged:
    """Match what was seen in each frame of the clip with the pseudo-truth."""
    times = np.array([look.t_ms / 1000 for look in truth.film.looks])
    first = np.cumsum([0, *(len(user.frames) for user in truth.found)])
    n = int(first[-1])
    here: list[list[int]] = [[] for _ in times]
    owner = np.repeat(np.arange(len(truth.found)), np.diff(first)).astype(np.intp)
    frame = np.concatenate([user.frames for user in truth.found] or [np.zeros(0, dtype=np.intp)])
    for row in range(n):
        here[frame[row]].append(row)
    whole = np.concatenate([user.boxes for user in truth.found] or [np.zeros((0, 4))])
    shown = cut(whole, truth.height)
    out = Judged(
        fps=truth.fps,
        seconds=truth.seconds,
        user=owner,
        frame=frame,
        t_s=times[frame],
        label=[truth.found[index].label for index in owner],
        named=np.array([truth.found[index].named for index in owner]),
        height=whole[:, 3] - whole[:, 1],
        visible=np.concatenate([user.visible for user in truth.found] or [np.zeros(0)]),
        inside=np.concatenate([user.inside for user in truth.found] or [np.zeros(0)]),
        score=np.zeros(n),
        seen=[""] * n,
        off=np.full((n, 4), np.nan),
        edge=(whole <= 0) | (whole >= np.array([np.inf, np.inf, 640, truth.height])),
        doubles=[],
        ghosts=[],
        touching=np.zeros(n, dtype=bool),
        merged=np.zeros(n, dtype=bool),
    )
    for number, detections in enumerate(seen):
        _one_frame(out, truth, number, columns(detections, truth.height), here[number], shown)
    return out


def _one_frame(
    out: Judged,
    truth: Truth,
    number: int,
    given: tuple[Array, Array, list[str]],
    rows: list[int],
    shown: Array,
) -> None:
    boxes, scores, labels = given
    like = overlap(shown[rows], boxes)
    same = np.array([[kind(out.label[row]) == kind(label) for label in labels] for row in rows], dtype=bool)
    same = same.reshape(like.shape)
    allowed = np.where(same, like >= SAME, like >= OTHER_KIND)
    worth = np.where(allowed, like * np.where(same, 1.0, 0.3) + 0.2 * scores[None, :], 0.0)
    taken: set[int] = set()
    for place, d in zip(*linear_sum_assignment(-worth), strict=True):
        if not allowed[place, d]:
            continue
        row = rows[int(place)]
        taken.add(int(d))
        out.score[row], out.seen[row] = scores[d], labels[d]
        scale = np.tile(shown[row, 2:] - shown[row, :2], 2)
        out.off[row] = (boxes[d] - shown[row]) / scale
    _swallowed(out, rows, shown, boxes)
    for left in range(len(boxes)):
        if left not in taken:
            _left_over(out, truth, number, (boxes[left], float(scores[left]), labels[left]), rows, shown)


def _swallowed(out: Judged, rows: list[int], shown: Array, boxes: Array) -> None:
    """Find users whose box is that of a nearer neighbour."""
    here = shown[rows]
    common = shared(here, here) / np.maximum(np.minimum(area(here)[:, None], area(here)), 1e-9)
    for place, row in enumerate(rows):
        mates = np.flatnonzero((common[place] >= TOUCH) & (here[:, 3] > here[place, 3]))
        mates = mates[[kind(out.label[rows[mate]]) == kind(out.label[row]) for mate in mates]] if len(mates) else mates
        out.touching[row] = bool(len(mates))
        if out.score[row] > 0 or not len(mates) or not len(boxes):
            continue
        for mate in mates:
            both = np.concatenate([np.minimum(here[place, :2], here[mate, :2]), np.maximum(here[place, 2:], here[mate, 2:])])  # fmt: skip
            together, alone = overlap(both[None], boxes)[0], overlap(here[mate][None], boxes)[0]
            out.merged[row] |= bool(((together > 0.6) & (together > alone + 0.1)).any())


def _left_over(
    out: Judged, truth: Truth, number: int, given: tuple[Array, float, str], rows: list[int], shown: Array
) -> None:
    box, score, label = given
    mine = area(box[None])[0]
    if rows:
        mates = np.array([kind(out.label[row]) == kind(label) for row in rows])
        within = shared(box[None], shown[rows])[0] / max(mine, 1e-9)
        best = int(np.argmax(np.where(mates, within, 0)))
        if mates[best] and within[best] >= MOSTLY:
            row = rows[best]
            if _another(box, shown[row], truth.doubtful[number]):
                return
            size = shown[row, 2:] - shown[row, :2]
            relative = (box - np.tile(shown[row, :2], 2)) / np.tile(size, 2)
            out.doubles.append((number, row, label, score, relative))
            return
    doubt = truth.doubtful[number]
    if len(doubt):
        inside = shared(box[None], doubt)[0] / max(mine, 1e-9)
        if (overlap(box[None], doubt)[0] >= SAME).any() or (inside >= MOSTLY).any():
            return
    out.ghosts.append((number, label, score, box))


def _another(box: Array, host: Array, doubt: Array) -> bool:
    """Whether the better eye, too, sees something here that is not the host: it may be a user of its own."""
    if not len(doubt):
        return False
    return bool(((overlap(box[None], doubt)[0] >= 0.5) & (overlap(host[None], doubt)[0] < 0.5)).any())
