"""The detections of one frame as a tracker wants them: level boxes, each vehicle once, and what hides what.

A box is (lower middle x, lower y, width, height) in level coordinates (picture heights, see geometry).
"""

from collections.abc import Collection, Mapping

import msgspec
import numpy as np

from pipeline.core import kernels
from pipeline.core.anchors import RIDER, WALKER, kind_of
from pipeline.core.kernels import Array, Flags
from pipeline.core.model import Detections

_WHOLE = 2.0
"""A box more than so many times as large as another is no part of it, however little is known of its vehicle."""


class Look(msgspec.Struct, frozen=True):
    """What one frame shows; m boxes, surest first."""

    boxes: Array  # [4, m]
    scores: Array  # [m]
    labels: list[str]
    kinds: list[str]
    cut: Flags  # [4, m] left, top, right, bottom edge is not the vehicle's own: hidden, or cut by the picture
    within: list[tuple[int, int]]  # pairs of boxes of which one lies mostly within the other

    def _area(self, i: int) -> float:
        return float(self.boxes[2, i] * self.boxes[3, i])

    def part(self, known: Mapping[int, float], apart: Collection[tuple[int, int]] = ()) -> set[int]:
        """Boxes that lie mostly within that of a better known vehicle: a cab, a trailer, a rider's body.

        Who drives past in front of a better known vehicle is seen larger, and is none.

        Args:
            known: what is known of the vehicle, of those boxes where something is; else the surer box is the whole.
            apart: pairs that are known to be two vehicles, as in `within`.
        """
        out: set[int] = set()
        for i, j in self.within:
            if (i, j) in apart:
                continue
            a, b = self.kinds[i], self.kinds[j]
            if a == b:
                less, better = (j, i) if known.get(i, -1.0) >= known.get(j, -1.0) else (i, j)
                if self._area(less) <= _WHOLE * self._area(better):
                    out.add(less)
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
        same: boxes whose intersection over union is above this are one vehicle, unless one of them is of somebody on foot.
        part: a box that shares this much of the smaller one's area with another lies within it.
    """
    if not len(seen):
        return Look(np.zeros((4, 0)), np.zeros(0), [], [], np.zeros((4, 0), dtype=bool), [])
    rows = np.array((seen.x1, seen.y1, seen.x2, seen.y2, seen.score))
    rows[0] *= aspect
    rows[2] *= aspect
    order = np.empty(len(seen), np.intp)
    order = order[: kernels.surest_first(rows, least_score, order)]
    rows = rows.take(order, axis=1)
    x1, y1, x2, y2, score = rows
    labels = [seen.label[i] for i in order.tolist()]
    kinds = [kind_of(label) for label in labels]
    m = len(labels)
    most = m * (m - 1) // 2
    pairs, areas, cut = np.empty((most, 2), np.intp), np.empty((most, 3)), np.empty((4, m), np.bool_)
    n = kernels.touching(rows, min(part, same), pairs, areas)
    kernels.cut(rows, aspect, cut)
    gone: set[int] = set()
    within: list[tuple[int, int]] = []
    for (i, j), (both, area, other) in zip(pairs[:n].tolist(), areas[:n].tolist(), strict=True):
        if i in gone or j in gone:
            continue
        if (kinds[i] == kinds[j] or WALKER not in (kinds[i], kinds[j])) and both > same * (area + other - both):
            gone.add(j)
        elif both >= part * min(area, other):
            within.append((i, j))
    boxes = np.array(((x1 + x2) / 2, y2, x2 - x1, y2 - y1))
    if gone:
        kept = [i for i in range(len(labels)) if i not in gone]
        place = {i: k for k, i in enumerate(kept)}
        within = [(place[i], place[j]) for i, j in within if i in place and j in place]
        labels, kinds = [labels[i] for i in kept], [kinds[i] for i in kept]
        boxes, score, cut = boxes.take(kept, axis=1), score.take(kept), cut.take(kept, axis=1)
    return Look(boxes, score, labels, kinds, cut, within)
