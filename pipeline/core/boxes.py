"""The detections of one frame as a tracker wants them: level boxes, each vehicle once, and what hides what.

A box is (lower middle x, lower y, width, height) in level coordinates (picture heights, see geometry).
"""

from collections.abc import Collection, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.anchors import RIDER, WALKER, kind_of
from pipeline.core.model import Detections

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

_EDGE = 0.004
"""An edge this near to the picture's is taken to be cut by it, in picture heights."""

_COVERED = 0.4
"""A nearer box hides an edge if it covers at least this share of it."""

_SLACK = 0.1
"""A nearer box that ends this share of the other's size short of its edge is taken to hide it."""

_LOWER = 0.05
"""A box is nearer if it ends lower by more than this share of the other's height."""


class Look(msgspec.Struct, frozen=True):
    """What one frame shows; m boxes, surest first."""

    boxes: Array  # [4, m]
    scores: Array  # [m]
    labels: list[str]
    kinds: list[str]
    cut: Flags  # [4, m] left, top, right, bottom edge is not the vehicle's own: hidden, or cut by the picture
    within: list[tuple[int, int]]  # pairs of boxes of which one lies mostly within the other

    def part(self, known: Mapping[int, float], apart: Collection[tuple[int, int]] = ()) -> set[int]:
        """Boxes that lie mostly within that of a better known vehicle: a cab, a trailer, a rider's body.

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
        return Look(np.zeros((4, 0)), np.zeros(0), [], [], np.zeros((4, 0), dtype=bool), [])
    rows = np.array((seen.x1, seen.y1, seen.x2, seen.y2, seen.score))
    rows[0] *= aspect
    rows[2] *= aspect
    order = (-rows[4]).argsort(kind="stable")
    rows = rows.take(order, axis=1)
    usable = (rows[4] >= least_score) & (rows[2] - rows[0] > 0) & (rows[3] - rows[1] > 0)
    if not usable.all():
        order, rows = order[usable], rows[:, usable]
    x1, y1, x2, y2, score = rows
    labels = [seen.label[i] for i in order.tolist()]
    kinds = [kind_of(label) for label in labels]
    close = _close(rows[:4])
    touching = _touching(rows[:4], close, min(part, same)) if len(close[0]) else []
    gone: set[int] = set()
    within: list[tuple[int, int]] = []
    for i, j, both, area, other in touching:
        if i in gone or j in gone:
            continue
        if kinds[i] == kinds[j] and both > same * (area + other - both):
            gone.add(j)
        elif both >= part * min(area, other):
            within.append((i, j))
    boxes = np.array(((x1 + x2) / 2, y2, x2 - x1, y2 - y1))
    cut = _cut(rows[:4], close, aspect)
    if gone:
        kept = [i for i in range(len(labels)) if i not in gone]
        place = {i: k for k, i in enumerate(kept)}
        within = [(place[i], place[j]) for i, j in within if i in place and j in place]
        labels, kinds = [labels[i] for i in kept], [kinds[i] for i in kept]
        boxes, score, cut = boxes.take(kept, axis=1), score.take(kept), cut.take(kept, axis=1)
    return Look(boxes, score, labels, kinds, cut, within)


def _shared(low: Array, high: Array, other_low: Array, other_high: Array) -> Array:
    """How much two stretches share; below 0: how far they lie apart."""
    return np.minimum(high, other_high) - np.maximum(low, other_low)


def _close(edges: Array) -> tuple[Places, Places]:
    """Pairs of boxes (i, j), both ways round, that overlap or nearly do: all that one may tell of another is of these.

    Args:
        edges: [4, m] x1, y1, x2, y2, level.
    """
    low, high = edges[:2], edges[2:]
    slack = 2 * _SLACK * (high - low)
    near = (low[:, None] < (high + slack)[:, :, None]) & (high[:, None] > (low - slack)[:, :, None])
    both = near[0] & near[1]
    both.ravel()[:: len(both) + 1] = False  # none is near itself
    i, j = both.nonzero()
    return i, j


def _touching(edges: Array, close: tuple[Places, Places], least: float) -> list[tuple[int, int, float, float, float]]:
    """Boxes i < j that share more than this share of the smaller one's area: (i, j, area shared, area of i, of j)."""
    i, j = close
    ax1, ay1, ax2, ay2 = edges[:, i]
    x1, y1, x2, y2 = edges[:, j]
    both = np.maximum(_shared(ax1, ax2, x1, x2), 0) * np.maximum(_shared(ay1, ay2, y1, y2), 0)
    area, other = (ax2 - ax1) * (ay2 - ay1), (x2 - x1) * (y2 - y1)
    found = (i < j) & (both > least * np.minimum(area, other))
    return list(zip(*(v[found].tolist() for v in (i, j, both, area, other)), strict=True))


def _cut(edges: Array, close: tuple[Places, Places], aspect: float) -> Flags:
    """Which edges are not the vehicle's own: those at the picture's edge, and those behind a nearer box.

    Args:
        edges: [4, m] x1, y1, x2, y2, level.
        close: pairs of boxes that may overlap, both ways round.
        aspect: width / height of the picture.

    Returns:
        [4, m] as in Look.
    """
    x1, y1, x2, y2 = edges
    cut = np.array((x1 <= _EDGE, y1 <= _EDGE, x2 >= aspect - _EDGE, y2 >= 1 - _EDGE))
    i, j = close
    if len(i):
        ax1, ay1, ax2, ay2 = edges[:, i]
        x1, y1, x2, y2 = edges[:, j]
        wide, high = ax2 - ax1, ay2 - ay1
        nearer = y2 > ay2 + _LOWER * high
        across = nearer & (_shared(ax1, ax2, x1, x2) > _COVERED * wide)
        down = nearer & (_shared(ay1, ay2, y1, y2) > _COVERED * high)
        left = down & (x1 < ax1) & (x2 > ax1 - _SLACK * wide) & (x2 < ax2)
        right = down & (x2 > ax2) & (x1 < ax2 + _SLACK * wide) & (x1 > ax1)
        bottom = across & (y1 < ay2 + _SLACK * high)
        for edge, hidden in ((0, left), (2, right), (3, bottom)):
            cut[edge, i[hidden]] = True
    return cut
