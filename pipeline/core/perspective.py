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

from pipeline.core.kernels import Array, Plane, size

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

_PRIOR = (1.0, 1 / 0.03**2, 1 / 0.15**2)
"""Information on of the three terms before anything was seen: cameras hang 4 to 30 m above the road, nearly level."""

_SURE = 1e8
"""Information of what was measured."""

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
        m = self.moments
        for x, y, high, label, score in seen:
            size = high / HEIGHT_M.get(label, HEIGHT_M["car"])
            worth = score * _WORTH / (_SPREAD * size) ** 2
            right, down = x - _MIDDLE[0], y - _MIDDLE[1]
            more = (1.0, right, down, right * right, right * down, down * down, size, right * size, down * size)
            kept = 1 - score / _MEMORY
            m = tuple([old * kept + worth * new for old, new in zip(m, more, strict=True)])
        return self if m is self.moments else Perspective(m)

    @property
    def plane(self) -> Plane:
        """Level, right and down: how high a metre is seen at (x, y) is level + right x + down y, and above 0."""
        return _fit(self.moments)[0]

    @property
    def doubt(self) -> Array:
        """[3, 3] the covariance of the three terms."""
        return _fit(self.moments)[1]

    def size_at(self, x: float, y: float) -> float:
        """How high a metre is seen at a place, above 0."""
        return size.py_func(self.plane, x, y)  # of one place Python is done before machine code is called


UNSEEN = Perspective()
"""Nothing is known: all is equally large everywhere."""

_MIDDLE = (0.9, 0.5)


@lru_cache(maxsize=256)
def _fit(moments: tuple[float, ...]) -> tuple[Plane, Array]:
    """The three terms and their covariance; in plain numbers, for nearly every picture brings a sighting and numpy is slow with so few."""
    a, b, c, d, e, f, u, v, w = moments
    a, d, f = a + _PRIOR[0], d + _PRIOR[1], f + _PRIOR[2]
    # The inverse by Cholesky's factors L D L', with ones on the diagonal of L.
    p, q = b / a, c / a
    second = d - p * b
    r = (e - p * c) / second
    third = f - q * c - r * r * second
    s, t = p * r - q, -r  # of the last row of the inverse of L
    zz = 1 / third
    xz, yz = s * zz, t * zz
    yy = 1 / second + t * yz
    xy = s * yz - p / second
    xx = 1 / a + p * p / second + s * xz
    level, right, down = xx * u + xy * v + xz * w, xy * u + yy * v + yz * w, xz * u + yz * v + zz * w
    if down < 0:  # no camera sees things smaller the nearer they are: as far as is known, all are equally large
        level, right, down = level - s * down, right - t * down, 0.0
        xx, xy, xz, yy, yz, zz = xx - s * xz, xy - s * yz, 0.0, yy - t * yz, 0.0, 0.0
    x, y = _MIDDLE  # the sightings are told from there
    level -= right * x + down * y
    xy_, xz_ = xy - x * yy - y * yz, xz - x * yz - y * zz
    xx -= x * (xy + xy_) + y * (xz + xz_)
    return (level, right, down), np.array((xx, xy_, xz_, xy_, yy, yz, xz_, yz, zz)).reshape(3, 3)
