"""A pinhole camera over a flat road: metres in, shares of its picture out, and back.

The world is in metres: x east, y north, z up, the road is z = 0. Headings are mathematical: 0 looks east, counter-
clockwise is positive. A picture is in shares of its width and height, x to the right, y DOWN, its middle on the
optical axis.
"""

import functools
import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.model import Size
from pipeline.errors import Fatal

Array = NDArray[np.float64]

SEES_M = 1000.0
"""A camera must see some road within so many metres of itself."""

LEAST_DEPTH_M = 1e-6
"""What is no farther ahead than this is beside the camera, not before it."""

_WAVES = ((0.5, 1.0), (0.3, 1.618), (0.2, 2.718))
"""Sway is a sum of three sines: share of the amplitude, multiple of the frequency. It hardly ever repeats."""

_ASIDE = 1e3  # a ray as far out is at right angles to the axis

_EDGE = 9  # points looked at along each edge of the picture


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """Where a camera hangs and where it looks.

    roll_rad turns the camera about its own axis: positive as a clock's hand, seen from behind it (so the horizon
    rises to the right hand of the picture when positive).

    Raises:
        ValueError: a value is not finite, the camera is not above the road, or the tilt is beyond straight down or up.
    """

    x_m: float
    y_m: float
    z_m: float  # above the road
    heading_rad: float
    tilt_rad: float  # > 0 looks down, 0 at the horizon
    roll_rad: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a camera that could not hang there."""
        if not all(math.isfinite(value) for value in msgspec.structs.astuple(self)):
            raise ValueError(f"a camera's pose needs finite numbers, got {self}")
        if self.z_m <= 0:
            raise ValueError(f"a camera hangs above the road: z_m must be above 0, got {self.z_m:g}")
        if not -math.pi / 2 <= self.tilt_rad <= math.pi / 2:
            raise ValueError(
                f"a camera's tilt_rad lies between straight up -1.571 and down 1.571, got {self.tilt_rad:g}"
            )


class Lens(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera makes of a ray.

    k1 and k2 are Brown's radial distortion of the plane at distance 1: a point at radius r is drawn at
    r * (1 + k1 r^2 + k2 r^4). k1 < 0 is a barrel, k1 > 0 a cushion.

    Raises:
        ValueError: the focal length is not above 0, or the distortion folds back inside the picture, where two
            places of the world would fall on one of the picture.

    Source:
        D. C. Brown, Decentering Distortion of Lenses, Photogrammetric Engineering 32 (1966); radial terms only.
    """

    size: Size
    focal_px: float
    k1: float = 0.0
    k2: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a lens without a clear picture."""
        if not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise ValueError(f"a lens needs a focal_px above 0, got {self.focal_px:g}")
        if not (math.isfinite(self.k1) and math.isfinite(self.k2)):
            raise ValueError(f"a lens needs finite k1 and k2, got {self.k1:g} and {self.k2:g}")
        corner = math.hypot(self.size.width, self.size.height) / 2 / self.focal_px
        if self.reach < math.inf and self._drawn(self.reach) <= corner:
            raise ValueError(
                f"k1={self.k1:g} and k2={self.k2:g} fold the picture back before its corner of {self.size} "
                f"at focal_px={self.focal_px:g}; take weaker distortion or a longer focal length"
            )

    @property
    def reach(self) -> float:
        """The radius (of the plane at distance 1) up to which farther out is drawn farther out; inf without a fold."""
        # the least root of the derivative 1 + 3 k1 s + 5 k2 s^2 in s = r^2
        b, inner = 3 * self.k1, 9 * self.k1**2 - 20 * self.k2
        below = math.sqrt(inner) - b if inner >= 0 else 0.0
        reach = math.sqrt(2 / below) if below > 0 else math.inf
        return reach if reach < _ASIDE else math.inf

    def bend(self, plane: Array) -> Array:
        """Where points of the plane at distance 1 are drawn; farther out than `reach` is drawn as at `reach`.

        Args:
            plane: [..., 2], x right, y down.
        """
        if not (self.k1 or self.k2):
            return plane
        radius = np.hypot(plane[..., 0], plane[..., 1])
        kept = np.minimum(radius, self.reach)
        shrink = np.divide(self._drawn(kept), radius, out=np.ones_like(radius), where=radius > 0)
        return np.asarray(plane * shrink[..., None])

    def straighten(self, drawn: Array) -> Array:
        """The inverse of `bend`, by Newton's method; nan where no ray is drawn.

        Args:
            drawn: [..., 2] points of the bent plane.
        """
        if not (self.k1 or self.k2):
            return drawn
        wanted = np.hypot(drawn[..., 0], drawn[..., 1])
        reach = self.reach
        radius = np.minimum(wanted, reach)
        for _ in range(30):
            square = radius**2
            slope = 1 + 3 * self.k1 * square + 5 * self.k2 * square**2
            step = (self._drawn(radius) - wanted) / np.maximum(slope, 1e-9)
            radius = np.clip(radius - step, 0.0, reach)
            if np.all(np.abs(step) < 1e-14):  # noqa: PLR2004 - as exact as a float is
                break
        radius = np.where(np.abs(self._drawn(radius) - wanted) <= 1e-9 * (1 + wanted), radius, np.nan)
        stretch = np.divide(radius, wanted, out=np.ones_like(radius), where=wanted > 0)
        return np.asarray(drawn * stretch[..., None])

    def _drawn(self, radius: Any) -> Any:
        """The radius at which a radius is drawn; a float or an array."""
        return radius * (1 + self.k1 * radius**2 + self.k2 * radius**4)


class Shake(msgspec.Struct, frozen=True, kw_only=True):
    """A mast sways in the wind: the whole picture moves, smoothly, the same way for the same time and seed.

    A sway of a few pixels is a tiny turn of the camera; it is drawn as a shift, which is the same to first order.

    Raises:
        ValueError: the sway is below 0, or its frequency is not above 0.
    """

    sway_px: float = 0.0  # the picture never moves farther than this, each way
    sway_hz: float = 0.7  # of the slowest part
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a sway that is none."""
        if not (math.isfinite(self.sway_px) and self.sway_px >= 0):
            raise ValueError(f"sway_px must be at least 0, got {self.sway_px:g}")
        if not (math.isfinite(self.sway_hz) and self.sway_hz > 0):
            raise ValueError(f"sway_hz must be above 0, got {self.sway_hz:g}")

    def at(self, t_ms: float) -> tuple[float, float]:
        """How far the picture has moved, in pixels right and down."""
        if not self.sway_px:
            return 0.0, 0.0
        turns = 2 * math.pi * self.sway_hz * t_ms / 1000
        across, down = (
            self.sway_px
            * sum(share * math.sin(pace * turns + phase) for (share, pace), phase in zip(_WAVES, phases, strict=True))
            for phases in _phases(self.seed)
        )
        return across, down


class Pinhole(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that looks at the road.

    Every method that takes t_ms answers for the shaken picture of that moment, or for the still one without it.

    Raises:
        ValueError: it sees no road within 1000 m. The message says why.

    Source:
        The pinhole model with the axes x right, y down, z ahead: Hartley and Zisserman, Multiple View Geometry in
        Computer Vision, 2nd ed., 6.1.
    """

    pose: Pose
    lens: Lens
    shake: Shake = Shake()

    def __post_init__(self) -> None:
        """Refuse a camera that sees no road."""
        edge = np.linspace(0.0, 1.0, _EDGE)
        border = np.array([(x, y) for x in edge for y in edge])
        road = self.ground(border)
        away = np.hypot(road[:, 0] - self.pose.x_m, road[:, 1] - self.pose.y_m)
        if np.any(away <= SEES_M):  # nan is not
            return
        half = math.degrees(math.atan(self.lens.size.height / 2 / self.lens.focal_px))
        nearest = f"only road farther than {SEES_M:g} m" if np.any(np.isfinite(away)) else "only sky"
        raise ValueError(
            f"this camera sees {nearest}: its axis points {math.degrees(self.pose.tilt_rad):.1f} degrees below the "
            f"horizon and its picture reaches {half:.1f} degrees lower; raise tilt_rad or take a shorter focal_px"
        )

    @property
    def place(self) -> Array:
        """Where the camera hangs: x, y, z in metres."""
        return np.array([self.pose.x_m, self.pose.y_m, self.pose.z_m])

    def turned(self, points_m: Array) -> Array:
        """Points [..., 3] of the world as the camera has them: metres to the right, down, ahead (the depth)."""
        return np.asarray((points_m - self.place) @ _axes(self.pose).T)

    def picture(self, turned_m: Array, t_ms: float | None = None) -> Array:
        """Where points [..., 3] of `turned` are drawn, in shares [..., 2].

        Their depth must be above 0. What lies farther out than the lens reaches is drawn there, outside the picture.
        """
        drawn = self.lens.bend(turned_m[..., :2] / turned_m[..., 2:])
        return np.asarray(drawn * self._scale + 0.5 + self._moved(t_ms))

    def project(self, points_m: Array, t_ms: float | None = None) -> tuple[Array, Array]:
        """Where points of the world are drawn.

        Args:
            points_m: [n, 3] x, y, z in metres.
            t_ms: the moment, for the shake; None: a still camera.

        Returns:
            (shares [n, 2], depth_m [n] along the optical axis). The shares are nan where a point is not in front
            of the camera (its depth is at most LEAST_DEPTH_M), or so far aside that the lens bends no ray from there.
        """
        turned = self.turned(points_m)
        depth = turned[..., 2]
        ahead = depth > LEAST_DEPTH_M
        safe = np.where(ahead[..., None], turned, (0.0, 0.0, 1.0))
        drawn = ahead & (np.hypot(safe[..., 0], safe[..., 1]) <= self.lens.reach * safe[..., 2])
        return np.where(drawn[..., None], self.picture(safe, t_ms), np.nan), depth

    def rays(self, shares: Array, t_ms: float | None = None) -> Array:
        """The directions [..., 3] in the world of what is drawn at [..., 2]; their depth is 1 m. nan: no ray."""
        plane = self.lens.straighten((shares - 0.5 - self._moved(t_ms)) / self._scale)
        return np.asarray(np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1) @ _axes(self.pose))

    def ground(self, shares: Array, t_ms: float | None = None) -> Array:
        """Which point of the road is drawn there: the inverse of `project` for z = 0.

        Args:
            shares: [n, 2].
            t_ms: the moment, for the shake; None: a still camera.

        Returns:
            xy_m [n, 2]; nan on the horizon and above it.
        """
        rays = self.rays(shares, t_ms)
        down = -rays[..., 2]
        far = np.divide(self.pose.z_m, down, out=np.full_like(down, np.nan), where=down > 1e-12)  # noqa: PLR2004 - level
        return np.asarray(self.place[:2] + rays[..., :2] * far[..., None])

    def homography(self) -> Array:
        """The 3x3 matrix from (x_m, y_m, 1) of the road to (w * x, w * y, w) of the still picture without distortion.

        w is the depth in metres: where it is not above 0 the point is not in front of the camera.
        """
        scale = np.diag([*self._scale, 1.0])
        scale[:2, 2] = 0.5
        columns = np.column_stack([np.eye(3)[:, :2], -self.place])
        return np.asarray(scale @ _axes(self.pose) @ columns)

    def share_of(self, point_m: tuple[float, float], *, what: str) -> tuple[float, float]:
        """A point of the road in shares of the still picture.

        Raises:
            Fatal: it is not in the picture; the message names `what` is there.
        """
        shares, depth = self.project(np.array([[*point_m, 0.0]]))
        x, y = (float(share) for share in shares[0])
        where = f"{what}: the point ({point_m[0]:g} m, {point_m[1]:g} m)"
        mend = "move the point, or the camera's pose"
        if not (math.isfinite(x) and math.isfinite(y)):
            raise Fatal(f"{where} is not in front of the camera (depth {depth[0]:.1f} m); {mend}")
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise Fatal(f"{where} lies outside the picture, at ({x:.3f}, {y:.3f}) of 0..1; {mend}")
        return x, y

    @property
    def _scale(self) -> Array:
        """Shares to one unit of the plane at distance 1."""
        return np.array([self.lens.focal_px / self.lens.size.width, self.lens.focal_px / self.lens.size.height])

    def _moved(self, t_ms: float | None) -> Array:
        across, down = self.shake.at(t_ms) if t_ms is not None else (0.0, 0.0)
        return np.array([across / self.lens.size.width, down / self.lens.size.height])


@functools.lru_cache(maxsize=64)
def _axes(pose: Pose) -> Array:
    """The camera's axes as rows: right, down, ahead."""
    heading, tilt, roll = pose.heading_rad, pose.tilt_rad, pose.roll_rad
    ahead = np.array([math.cos(heading) * math.cos(tilt), math.sin(heading) * math.cos(tilt), -math.sin(tilt)])
    right = np.array([math.sin(heading), -math.cos(heading), 0.0])
    down = np.cross(ahead, right)
    rows = np.array(
        [
            math.cos(roll) * right + math.sin(roll) * down,
            math.cos(roll) * down - math.sin(roll) * right,
            ahead,
        ]
    )
    rows.flags.writeable = False
    return rows


@functools.lru_cache(maxsize=64)
def _phases(seed: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A phase of each wave, across and down."""
    drawn = np.random.default_rng(seed).uniform(0.0, 2 * math.pi, size=(2, len(_WAVES)))
    return tuple(map(float, drawn[0])), tuple(map(float, drawn[1]))
