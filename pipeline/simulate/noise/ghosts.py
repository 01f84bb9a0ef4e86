"""Boxes where nobody is: they are born, stay in their place, come and go, and die."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pipeline.simulate.noise.memory import Memories
from pipeline.simulate.noise.model import SCORE_FLOOR, NoiseModel

_BEFORE_MS = 120_000.0
"""Ghosts born this long before the first picture may still be there."""

_AGREES = 0.35
"""How much of the log odds of a ghost's score changes from time to time."""


class Ghosts:
    """All ghosts of a camera."""

    def __init__(self, model: NoiseModel, rng: np.random.Generator) -> None:
        self._rng = rng
        self._kinds = model.ghosts
        rates = np.array([ghost.per_minute for ghost in model.ghosts])
        self._per_ms = model.level * float(rates.sum()) / 60_000
        self._chances = rates / rates.sum() if len(rates) else rates
        self._memories = Memories([model.score_memory, model.double_memory], rng)
        self._now_ms: float | None = None
        self._born = 0
        self._living: list[tuple[int, int, float]] = []  # kind, row of its memories, when it dies

    def at(self, t_ms: float) -> list[tuple[float, float, float, float, float, str]]:
        """The ghosts' boxes at a time after the one before: x1, y1, x2, y2 in shares, score, label."""
        since = t_ms - _BEFORE_MS if self._now_ms is None else self._now_ms
        self._now_ms = t_ms
        if not self._per_ms:
            return []
        for born_ms in self._births(since, t_ms):
            kind = int(self._rng.choice(len(self._kinds), p=self._chances))
            dies_ms = born_ms + self._kinds[kind].life_s * 1000
            if dies_ms > t_ms:
                self._living.append((kind, self._born % 4096, dies_ms))
                self._born += 1
        self._living = [each for each in self._living if each[2] > t_ms]
        if not self._living:
            return []
        numbers = self._memories.at(np.array([row for _, row, _ in self._living], dtype=np.intp), t_ms)
        shown = []
        for (kind, _, _), (score, here) in zip(self._living, numbers.tolist(), strict=True):
            ghost = self._kinds[kind]
            if here < ndtri(ghost.on):
                odds = (ghost.score - SCORE_FLOOR) / (1 - ghost.score) * np.exp(_AGREES * score)
                told = float((SCORE_FLOOR + odds) / (1 + odds))
                shown.append((ghost.box[0], ghost.box[1], ghost.box[2], ghost.box[3], told, ghost.label))
        return shown

    def _births(self, from_ms: float, to_ms: float) -> NDArray[np.float64]:
        many = self._rng.poisson(self._per_ms * (to_ms - from_ms))
        return np.sort(self._rng.uniform(from_ms, to_ms, many))
