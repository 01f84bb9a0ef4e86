"""The detections of one frame as a tracker wants them: level boxes, each vehicle once, and what hides what.

A box is (lower middle x, lower y, width, height) in level coordinates (picture heights, see geometry).
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.anchors import RIDER, WALKER, kind_of
from pipeline.core.model import Detections

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_EDGE = 0.004
"""An edge this near to the picture's is taken to be cut by it, in picture heights."""

_COVERED = 0.4
"""A nearer box hides an edge if it covers at least this share of it."""

_LOWER = 0.05
"""A box is nearer if it ends lower by more than this share of the other's height."""


class Look(msgspec.Struct, frozen=True):
    """What one frame shows; m boxes, surest first."""

    boxes: Array  # [m, 4]
    scores: Array  # [m]
    labels: list[str]
    kinds: list[str]
    cut: Flags  # [m, 4] left, top, right, bottom edge is not the vehicle's own: hidden, or cut by the picture
    within: list[tuple[int, int]]  # pairs of boxes of which one lies mostly within the other

    def part(self, known: Mapping[int, float]) -> set[int]:
        """Boxes that lie mostly within that of a better known vehicle: a cab, a trailer, a rider's body.

        Args:
            known: what is known of the vehicle, of those boxes where something is; else the surer box is the whole.
        """
        out: set[int] = set()
        for i, j in self.within:
            a, b = self.kinds[i], self.kinds[j]
            if a == b:
                out.add(j if known.get(i, -1.0) >= known.get(j, -1.0) else i)
            elif {a, b} == {WALKER, RIDER}:
                out.add(i if a == WALKER else j)
        return out


def look(seen: Detections, aspect: float, *, least_score: float, same: float, part: float) -> Look:
    """Read a frame's detections.

    A model that suppresses overlaps per class may box one pick-up as a car and as a truck: the surer one stays.

    Args:
        seen: n may be 0.
        aspect: width / height of the picture.
        least_score: what is less sure is left out, and so are boxes without area.
        same: boxes of one kind whose intersection over union is above this are one vehicle.
        part: a box that shares this much of the smaller one's area with another lies within it.
    """
    if not len(seen):
        return Look(np.zeros((0, 4)), np.zeros(0), [], [], np.zeros((0, 4), dtype=bool), [])
    rows = np.array((seen.x1, seen.y1, seen.x2, seen.y2, seen.score))
    rows[0] *= aspect
    rows[2] *= aspect
    order = (-rows[4]).argsort(kind="stable")
    rows = rows[:, order]
    usable = (rows[4] >= least_score) & (rows[2] - rows[0] > 0) & (rows[3] - rows[1] > 0)
    if not usable.all():
        order, rows = order[usable], rows[:, usable]
    x1, y1, x2, y2, score = rows
    wide, high = x2 - x1, y2 - y1
    labels = [seen.label[i] for i in order.tolist()]
    kinds = [kind_of(label) for label in labels]
    ax1, ay1, ax2, ay2 = rows[:4, :, None]
    shared_x, shared_y = np.minimum(ax2, x2) - np.maximum(ax1, x1), np.minimum(ay2, y2) - np.maximum(ay1, y1)
    both = np.maximum(shared_x, 0) * np.maximum(shared_y, 0)
    area = wide * high
    least = np.minimum(area[:, None], area)
    touching = [(i, j) for i, j in np.argwhere(both > min(part, same) * least).tolist() if i < j]
    gone: set[int] = set()
    within: list[tuple[int, int]] = []
    for i, j in touching:
        if i in gone or j in gone:
            continue
        if kinds[i] == kinds[j] and both[i, j] > same * (area[i] + area[j] - both[i, j]):
            gone.add(j)
        elif both[i, j] >= part * least[i, j]:
            within.append((i, j))
    boxes = np.array(((x1 + x2) / 2, y2, wide, high)).T.copy()
    cut = _cut(rows[:4], shared_x, shared_y, aspect)
    if gone:
        kept = [i for i in range(len(labels)) if i not in gone]
        place = {i: k for k, i in enumerate(kept)}
        within = [(place[i], place[j]) for i, j in within if i in place and j in place]
        labels, kinds = [labels[i] for i in kept], [kinds[i] for i in kept]
        boxes, score, cut = boxes[kept], score[kept], cut[kept]
    return Look(boxes, score, labels, kinds, cut, within)


def _cut(edges: Array, shared_x: Array, shared_y: Array, aspect: float) -> Flags:
    """Which edges are not the vehicle's own: those at the picture's edge, and those behind a nearer box.

    Args:
        edges: [4, m] x1, y1, x2, y2, level.
        shared_x, shared_y: [m, m] how much of its width and of its height each box shares with each other one; below 0:
            how far they lie apart.
        aspect: width / height of the picture.

    Returns:
        [m, 4] as in Look.
    """
    x1, y1, x2, y2 = edges
    ax1, ay1, ax2, ay2 = edges[:, :, None]
    wide, high = ax2 - ax1, ay2 - ay1
    cut = np.array((x1 <= _EDGE, y1 <= _EDGE, x2 >= aspect - _EDGE, y2 >= 1 - _EDGE))
    nearer = y2 > ay2 + _LOWER * high
    across = nearer & (shared_x > _COVERED * wide)
    down = nearer & (shared_y > _COVERED * high)
    if down.any():
        left = down & (x1 < ax1) & (x2 > ax1 - 0.1 * wide) & (x2 < ax2)
        right = down & (x2 > ax2) & (x1 < ax2 + 0.1 * wide) & (x1 > ax1)
        cut[0] |= left.any(axis=1)
        cut[2] |= right.any(axis=1)
    if across.any():
        cut[3] |= (across & (y1 < ay2 + 0.1 * high)).any(axis=1)
    return cut.T.copy()
