"""A camera's view becomes the detections of an imperfect detector.

Every mistake of a user follows a number with a memory (see `memory`): a box is missed while its number is low, and
its score is low shortly before and after, as with a real detector; an edge is off by its number, a label is wrong
while its number is high. Two users never share a number.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pipeline.core.model import Detections, Size
from pipeline.simulate.noise.ghosts import Ghosts
from pipeline.simulate.noise.hidden import shown_part
from pipeline.simulate.noise.memory import Memories
from pipeline.simulate.noise.model import KINDS, SCORE_FLOOR, WIDTH_PX, Cover, NoiseModel
from pipeline.simulate.view import View

Array = NDArray[np.float64]

LEAST_VISIBLE = 0.04
"""Of a user with a smaller visible share there is nothing to be seen, at any level."""

_SCORE, _EDGES, _LABEL, _DOUBLES, _MERGE, _PERSON = 0, slice(1, 5), 5, slice(6, 8), 8, 9
_NUMBERS = 10
_TOUCH = 0.1
"""Neighbours' boxes share at least this part of the smaller one."""

_REDRAWN_S = 3.0
"""A second box stays the same one for about this long."""

_MOST_DOUBLE = 0.8
"""Share of time with each of a user's two possible second boxes, at most."""

_MOST = 0.97
"""Share of time in which a user is missed, or wrongly named, at most."""

_Row = tuple[float, float, float, float, float, str]  # x1 y1 x2 y2 score label


class Noise:
    """A detector with a memory of its users: the same calls with the same seed give the same boxes.

    Args:
        model: how bad it is.
        seed: of all chance in it.
    """

    def __init__(self, model: NoiseModel, seed: int) -> None:
        self._model = model
        self._level = model.level
        self._name = f"simulated-{model.name}@{model.level:g}"
        self._tables = _Tables(model)
        streams = np.random.SeedSequence(seed).spawn(3)
        numbers, ghosts, doubles = (np.random.default_rng(stream) for stream in streams)
        kinds = [model.score_memory, *[model.edge_memory] * 4, model.label_memory]
        kinds += [*[model.double_memory] * 2, model.merge_memory, model.label_memory]
        self._memories = Memories(kinds, numbers)
        self._ghosts = Ghosts(model, ghosts)
        self._double_rng = doubles
        self._drawn: dict[tuple[int, int], tuple[float, int]] = {}  # (user, which) -> when, number of the sample
        self._now_ms = -np.inf

    def see(self, view: View, size: Size) -> Detections:
        """What the detector says of a view.

        Args:
            view: what there is to be seen, later than at the call before; any spacing of calls is right.
            size: of the picture.

        Raises:
            ValueError: the view is not later than the one before.
        """
        if not view.t_ms > self._now_ms:
            raise ValueError(f"views come in order of time: {view.t_ms} ms after {self._now_ms} ms")
        self._now_ms = view.t_ms
        rows: list[_Row] = []
        if len(view):
            numbers = self._memories.at(view.index, view.t_ms)
            numbers[:, _EDGES] = numbers[:, _EDGES] @ self._tables.mix
            rows += self._users(view, size, numbers)
        rows += self._ghosts.at(view.t_ms)
        return _detections(rows, self._name)

    def _users(self, view: View, size: Size, numbers: Array) -> list[_Row]:
        level, tables = self._level, self._tables
        whole = np.stack([view.x1, view.y1, view.x2, view.y2], axis=1)
        box = np.clip(whole, 0.0, 1.0)
        true = tables.numbers(view.label)
        kind = tables.kind[true]
        high = (whole[:, 3] - whole[:, 1]) * WIDTH_PX * size.height / size.width
        free = np.clip(view.visible / np.maximum(view.inside, 1e-6), 0.0, 1.0)
        place = tables.place(high * tables.likeness[kind])

        score = self._scores(numbers[:, _SCORE], place, free, view.inside)
        seen = (score > 0) & (view.visible > LEAST_VISIBLE)
        part = box + min(level, 1.0) * self._model.shrink * (shown_part(box, view.depth_m) - box)
        off = self._off(numbers[:, _EDGES], place, kind, score, free)
        off *= np.where((whole < 0) | (whole > 1), 0.3, 1.0)  # the picture's edge is sharp
        scale = np.tile(part[:, 2:] - part[:, :2], 2)
        given = np.clip(part + level * off * scale, 0.0, 1.0)
        given[:, 2:] = np.where(given[:, 2:] > given[:, :2], given[:, 2:], part[:, 2:])
        given[:, :2] = np.where(given[:, 2:] > given[:, :2], given[:, :2], part[:, :2])
        if level:
            given, seen = self._merged(given, seen, box, view.depth_m, numbers[:, _MERGE])
        label = tables.called(true, high, ndtr(numbers[:, _LABEL]), level)

        rows: list[_Row] = []
        doubles = ndtr(numbers[:, _DOUBLES])
        chance = np.minimum(level * tables.doubles(true, high) / 2, _MOST_DOUBLE)
        person = ndtr(numbers[:, _PERSON])
        for i in np.flatnonzero(seen).tolist():
            x1, y1, x2, y2 = given[i].tolist()
            sure = float(score[i])
            name = tables.labels[label[i]]
            if level and kind[i] == tables.rider:
                rows += self._rider((x1, y1, x2, y2), sure, name, float(person[i]))
            else:
                rows.append((x1, y1, x2, y2, sure, name))
            for which in (0, 1):
                if doubles[i, which] < chance[i]:
                    true_name = tables.labels[true[i]]
                    rows += self._double(int(view.index[i]), which, true_name, (x1, y1, x2, y2), sure, name)
        return rows

    def _scores(self, number: Array, place: "_Place", free: Array, inside: Array) -> Array:
        """The score of each user; 0 where it is missed."""
        model, level = self._model, self._level
        missed = place.of(self._tables.missed)
        odds = missed / (1 - missed) * np.exp(_covered(model.hidden, "missed", free, inside, model.cut))
        missed = np.minimum(level * odds / (1 + odds), _MOST)
        share = ndtr(number)
        better = np.clip((share - missed) / (1 - missed), 0.0, 1.0)
        told = np.clip(place.quantile(self._tables.scores, better), SCORE_FLOOR + 1e-4, 0.999)
        odds = (told - SCORE_FLOOR) / (1 - told)
        if not level:
            return np.ones(len(number))
        odds *= np.exp(-min(level, 1.0) * _covered(model.hidden, "score", free, inside, model.cut)) / max(level, 1e-6)
        given: Array = np.where(share < missed, 0.0, np.maximum((SCORE_FLOOR + odds) / (1 + odds), SCORE_FLOOR + 1e-4))
        return given

    def _off(self, number: Array, place: "_Place", kind: NDArray[np.intp], score: Array, free: Array) -> Array:
        """How far each edge is off, in widths and heights."""
        model, tables = self._model, self._tables
        size = np.interp(np.abs(number), tables.tail_at, model.tail)
        spread = place.of(tables.spread) * tables.edge_likeness[kind]
        spread *= np.interp(score, model.sure.share, model.sure.spread)[:, None]
        spread *= np.interp(free, model.hidden.share, model.hidden.spread)[:, None]
        told: Array = place.of(tables.bias) + np.copysign(size, number) * spread
        return np.clip(told, -0.6, 0.6)

    def _merged(
        self, given: Array, seen: NDArray[np.bool_], box: Array, depth: Array, number: Array
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Some users are swallowed by the box of a neighbour in front of them."""
        swallowed = np.flatnonzero(seen & (ndtr(number) < self._level * self._model.merged))
        for i in swallowed.tolist():
            wide = np.minimum(box[:, 2], box[i, 2]) - np.maximum(box[:, 0], box[i, 0])
            high = np.minimum(box[:, 3], box[i, 3]) - np.maximum(box[:, 1], box[i, 1])
            area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
            near = np.maximum(wide, 0) * np.maximum(high, 0) / np.maximum(np.minimum(area, area[i]), 1e-12)
            mates = np.flatnonzero(seen & (near >= _TOUCH) & (depth < depth[i]))
            if len(mates):
                mate = mates[np.argmax(near[mates])]
                given[mate, :2] = np.minimum(given[mate, :2], given[i, :2])
                given[mate, 2:] = np.maximum(given[mate, 2:], given[i, 2:])
                seen[i] = False
        return given, seen

    def _rider(self, box: tuple[float, float, float, float], score: float, name: str, number: float) -> list[_Row]:
        rider, level = self._model.rider, min(self._level, 1.0)
        cycle = [(1 - level) * whole + level * part for whole, part in zip((0, 0, 1, 1), rider.cycle, strict=True)]
        rows: list[_Row] = [(*_within(box, cycle), score, name)]
        if number < rider.seen * level:
            rows.append((*_within(box, rider.person), score, "person"))
        return rows

    def _double(
        self, user: int, which: int, true: str, box: tuple[float, float, float, float], score: float, name: str
    ) -> list[_Row]:
        doubles = self._model.doubles.get(true)
        if doubles is None or not doubles.seen:
            return []
        rng = self._double_rng
        when, sample = self._drawn.get((user, which), (-np.inf, 0))
        if rng.random() >= np.exp((when - self._now_ms) / 1000 / _REDRAWN_S):
            sample = int(rng.integers(len(doubles.seen)))
        self._drawn[user, which] = (self._now_ms, sample)
        drawn = doubles.seen[sample]
        told = min(drawn.score, score)
        return [(*_within(box, drawn.box), told, name if drawn.same else drawn.label)]


def _covered(hidden: Cover, what: str, free: Array, inside: Array, cut: Cover) -> Array:
    told: Array = np.interp(free, hidden.share, getattr(hidden, what)) + np.interp(
        inside, cut.share, getattr(cut, what)
    )
    return told


def _within(box: tuple[float, float, float, float], part: list[float]) -> tuple[float, float, float, float]:
    x, y, wide, high = box[0], box[1], box[2] - box[0], box[3] - box[1]
    return (x + part[0] * wide, y + part[1] * high, x + part[2] * wide, y + part[3] * high)


def _detections(rows: list[_Row], name: str) -> Detections:
    """Sorted and rounded as `pipeline.adapters.yolo` does it; boxes without area are left out."""
    cut = [(-round(score, 4), _cut(x1), _cut(y1), _cut(x2), _cut(y2), label) for x1, y1, x2, y2, score, label in rows]
    kept = sorted(row for row in cut if row[1] < row[3] and row[2] < row[4])
    return Detections(
        x1=[row[1] for row in kept],
        y1=[row[2] for row in kept],
        x2=[row[3] for row in kept],
        y2=[row[4] for row in kept],
        score=[-row[0] for row in kept],
        label=[row[5] for row in kept],
        model=name,
    )


def _cut(edge: float) -> float:
    return round(min(max(edge, 0.0), 1.0), 5)


class _Place:
    """Where users stand between the heights of a table."""

    def __init__(self, low: NDArray[np.intp], share: Array) -> None:
        self._low, self._share = low, share

    def of(self, table: Array) -> Array:
        """[k] or [k, m] -> [n] or [n, m]."""
        share = self._share if table.ndim == 1 else self._share[:, None]
        told: Array = table[self._low] + share * (table[self._low + 1] - table[self._low])
        return told

    def quantile(self, table: Array, at: Array) -> Array:
        """[k, q] of evenly spaced quantiles, and which quantile [n] -> [n]."""
        step = at * (table.shape[1] - 1)
        left = np.minimum(step.astype(np.intp), table.shape[1] - 2)
        rest = step - left
        low = table[self._low, left] * (1 - rest) + table[self._low, left + 1] * rest
        high = table[self._low + 1, left] * (1 - rest) + table[self._low + 1, left + 1] * rest
        told: Array = low + self._share * (high - low)
        return told


class _Tables:
    """The model's numbers as arrays, by the number of a label or kind."""

    def __init__(self, model: NoiseModel) -> None:
        sight = model.sight
        self._heights = np.log(sight.heights)
        self.missed = np.array(sight.missed)
        self.scores = np.array(sight.scores)
        self.bias = np.array(sight.bias)
        self.spread = np.array(sight.spread)
        self.mix = np.linalg.cholesky(np.array(model.edges)).T
        self.tail_at = np.arange(len(model.tail)) * 0.25
        kinds = ["vehicle", *sorted(set(KINDS.values()))]
        self.rider = kinds.index("rider")
        self.likeness = np.array([1.0, *(model.likeness[name].height for name in kinds[1:])])
        self.edge_likeness = np.array([[1.0] * 4, *(model.likeness[name].spread for name in kinds[1:])])
        others = {other for mistaken in model.mistaken.values() for other in mistaken.shares}
        self.labels = sorted({"bicycle", "bus", "car", "motorcycle", "person", "truck"} | set(model.mistaken) | others)
        self.kind = np.array([kinds.index(KINDS.get(label, "vehicle")) for label in self.labels])
        self._number: Mapping[str, int] = {label: number for number, label in enumerate(self.labels)}
        self._mistaken = {self._number[label]: mistaken for label, mistaken in model.mistaken.items()}
        self._doubles = {self._number[label]: doubles for label, doubles in model.doubles.items()}

    def numbers(self, labels: tuple[str, ...]) -> NDArray[np.intp]:
        """Of labels; an unknown one is a car."""
        return np.array([self._number.get(label, self._number["car"]) for label in labels], dtype=np.intp)

    def place(self, high: Array) -> _Place:
        """Of heights in the tables of sight; those beyond an end stand at it."""
        at = np.interp(np.log(np.maximum(high, 1.0)), self._heights, np.arange(len(self._heights)))
        low = np.minimum(at.astype(np.intp), len(self._heights) - 2)
        return _Place(low, at - low)

    def called(self, true: NDArray[np.intp], high: Array, share: Array, level: float) -> NDArray[np.intp]:
        """The labels given to true ones, by how the users' shares of luck stand."""
        called = true.copy()
        for number in {*true.tolist()} & self._mistaken.keys():
            mine = np.flatnonzero(true == number)
            mistaken = self._mistaken[number]
            wrong = {
                other: level * np.interp(high[mine], mistaken.heights, shares)
                for other, shares in mistaken.shares.items()
            }
            total = sum(wrong.values(), np.zeros(len(mine)))
            fit = np.minimum(_MOST / np.maximum(total, 1e-9), 1.0)
            edge = np.zeros(len(mine))
            for other, chance in wrong.items():
                hit = (share[mine] >= edge) & (share[mine] < edge + chance * fit)
                called[mine[hit]] = self._number[other]
                edge = edge + chance * fit
        return called

    def doubles(self, true: NDArray[np.intp], high: Array) -> Array:
        """Second boxes per box."""
        mean = np.zeros(len(true))
        for number in {*true.tolist()} & self._doubles.keys():
            mine = true == number
            mean[mine] = np.interp(high[mine], self._doubles[number].heights, self._doubles[number].mean)
        return mean
