"""Standard normal numbers that stay alike for a while, for every user by itself.

A number is the weighted sum of a constant, two Ornstein-Uhlenbeck processes (a slow and a quick one) and a white part.
Read at any times it has the same law, so nothing depends on how many pictures a second there are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.noise.model import Memory

Array = NDArray[np.float64]


class Memories:
    """The numbers of all users: a row for each, grown as needed; a column for each of `kinds`."""

    def __init__(self, kinds: Sequence[Memory], rng: np.random.Generator) -> None:
        self._rng = rng
        self._tau_s = np.array([[each.slow_s, each.quick_s] for each in kinds]).T  # [2, c]
        weights = np.array([[each.habit, each.slow, each.quick, each.white] for each in kinds]).T
        self._weights = np.sqrt(weights / weights.sum(axis=0))  # [4, c]
        self._parts = np.zeros((0, 3, len(kinds)))  # habit, slow, quick
        self._last_ms = np.zeros(0)

    def at(self, users: NDArray[np.intp], t_ms: float) -> Array:
        """The users' numbers [n, c] at a time no earlier than the one before.

        Args:
            users: [n] row numbers from 0, each once.
            t_ms: the time.
        """
        if len(users) and users.max() >= len(self._parts):
            self._grow(int(users.max()) + 1)
        spent_s = (t_ms - self._last_ms[users]) / 1000  # inf for a new user: nothing is left of what never was
        kept = np.exp(-spent_s[:, None, None] / self._tau_s)
        drawn = self._rng.standard_normal((len(users), 3, self._tau_s.shape[1]))
        parts = self._parts[users]
        parts[:, 1:] = kept * parts[:, 1:] + np.sqrt(1 - kept**2) * drawn[:, :2]
        self._parts[users] = parts
        self._last_ms[users] = t_ms
        told: Array = (parts * self._weights[:3]).sum(axis=1) + self._weights[3] * drawn[:, 2]
        return told

    def _grow(self, least: int) -> None:
        more = max(least, 2 * len(self._parts), 64) - len(self._parts)
        fresh = np.zeros((more, *self._parts.shape[1:]))
        fresh[:, 0] = self._rng.standard_normal((more, self._parts.shape[2]))
        self._parts = np.concatenate([self._parts, fresh])
        self._last_ms = np.concatenate([self._last_ms, np.full(more, -np.inf)])
