"""How large things are seen at each place of one camera's picture, learned from the boxes it shows.

Of things that stand on one plane the height of the box, for each metre of the thing's own height, is an affine function
of the place of its foot: 0 at the horizon, rising towards the camera. So a picture in which small and large boxes are
seen tells, before anything was followed, where the horizon is, and with it how much larger a vehicle becomes that
drives from one place to another. Coordinates are level (picture heights, see geometry).

Source: D. Hoiem, A. A. Efros and M. Hebert, Putting Objects in Perspective, IJCV 80 (2008), equation 6; here with a
term for x, for cameras that do not hang level. The fit is Bayesian linear regression, C. M. Bishop, Pattern Recognition
and Machine Learning (2006), 3.3.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HEIGHT_M: Mapping[str, float] = MappingProxyType(
    {"car": 1.5, "truck": 3.0, "bus": 3.0, "motorcycle": 1.6, "bicycle": 1.7, "person": 1.7}
)
"""How high things of a class are; any other is taken for a car."""

_SPREAD = 0.3
"""Things of a class, and boxes around them, differ by this share of their height."""

_WORTH = 0.25
"""Of so many sightings one is new: the same vehicle is seen again and again."""

_MEMORY = 400.0
"""So many sightings are remembered."""

_PRIOR = np.array([1.0, 0.03, 0.15])
"""Standard deviations of the three terms before anything was seen: cameras hang 4 to 30 m above the road, nearly level."""

_SURE = 1e8
"""Information of what was measured."""

_MOST = 3.0
"""Nothing becomes more times larger or smaller on a way that is believed."""

Sighting = tuple[float, float, float, str, float]
"""x and y of a foot, height of its box, its class and the detector's score."""


class Perspective(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one view.

    moments: the upper triangle of the information matrix (6 numbers), then the information vector (3).
    """

    moments: tuple[float, ...] = (0.0,) * 9

    @classmethod
    def measured(cls, horizon: Sequence[float]) -> "Perspective":
        """That of a calibrated camera.

        Args:
            horizon: a, b and c of a x + b y + c, which is 0 on the horizon and above 0 below it.
        """
        a, b, c = horizon
        x, y = _MIDDLE
        middle = a * x + b * y + c
        beta = (1.0, a / middle, b / middle)
        return cls((_SURE, 0.0, 0.0, _SURE, 0.0, _SURE, *(_SURE * each for each in beta)))

    def learned(self, seen: Iterable[Sighting]) -> "Perspective":
        """What is known after these sightings, too."""
        m = list(self.moments)
        for x, y, high, label, score in seen:
            size = high / HEIGHT_M.get(label, HEIGHT_M["car"])
            worth = score * _WORTH / (_SPREAD * size) ** 2
            right, down = x - _MIDDLE[0], y - _MIDDLE[1]
            more = (1.0, right, down, right * right, right * down, down * down, size, right * size, down * size)
            m = [old * (1 - score / _MEMORY) + worth * new for old, new in zip(m, more, strict=True)]
        return Perspective(tuple(m))

    def size(self, at: Array) -> Array:
        """How high a metre is seen at places [..., 2]: [...], above 0."""
        beta, _ = _fit(self.moments)
        size: Array = np.maximum(_terms(at) @ beta, _LEAST)
        return size

    def larger(self, at: Array, then: Array) -> Array:
        """How many times larger a thing is seen at `then` than it is at `at`: places [..., 2], answer [...]."""
        ratio: Array = np.minimum(np.maximum(self.size(then) / self.size(at), 1 / _MOST), _MOST)
        return ratio

    def growth(self, at: Array, speed: Array, doubt: Array) -> tuple[Array, Array]:
        """By which share things that move grow in a second, and its variance.

        Args:
            at: [n, 2] where they are.
            speed: [n, 2] theirs.
            doubt: [n, 2] its variances.
        """
        beta, cov = _fit(self.moments)
        terms = _terms(at)
        size = np.maximum(terms @ beta, _LEAST)
        rate = speed @ beta[1:] / size
        towards = -rate[:, None] * terms
        towards[:, 1:] += speed
        towards /= size[:, None]
        variance = ((towards @ cov) * towards).sum(axis=1) + doubt @ beta[1:] ** 2 / size**2
        return rate, variance


UNSEEN = Perspective()
"""Nothing is known: all is equally large everywhere."""

_MIDDLE = (0.9, 0.5)
_LEAST = 1e-3


def _terms(at: Array) -> Array:
    return np.concatenate([np.ones((*at.shape[:-1], 1)), at - np.array(_MIDDLE)], axis=-1)


@lru_cache(maxsize=256)
def _fit(moments: tuple[float, ...]) -> tuple[Array, Array]:
    """The three terms and their covariance [3, 3]."""
    a, b, c, d, e, f = moments[:6]
    cov = np.linalg.inv(np.array([[a, b, c], [b, d, e], [c, e, f]]) + np.diag(1 / _PRIOR**2))
    beta = cov @ np.array(moments[6:])
    if beta[2] < 0:  # no camera sees things smaller the nearer they are: as far as is known, all are equally large
        gain = cov[:, 2] / cov[2, 2]
        beta, cov = beta - gain * beta[2], cov - gain[:, None] * cov[2]
    return beta, cov
