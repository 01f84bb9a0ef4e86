"""From places in the picture to places on the road, in metres, and how well they are known.

A flat road and a pinhole camera are joined by a homography. It is made of what people measured, in one of three ways:
points of the road, a straight lane of known width with marks, or the pose of the camera. The same measurements give
the same plane bit for bit, so the memory of a camera keeps what was measured and no matrix.

Pictures are in shares; the matrix works on level coordinates (picture heights, see geometry) of the straight picture.
Metres are right-angled axes of the user's own, so mirrored ones are allowed: no speed depends on them.

Sources: normalised direct linear transform, reprojection error and covariance: Hartley and Zisserman, Multiple View
Geometry in Computer Vision, 2nd ed., 4.4, 4.2.3 and 5.2; lane and marks: as Schoepflin and Dailey, Dynamic camera
calibration of roadside traffic management cameras, IEEE Trans. ITS 4 (2003), here by least squares.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.model import Calibration, GroundPoint, KnownPose, Point, Scene, Size, StraightRoad

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEWEST = 4
"""Points that determine a homography."""

MARGIN = 0.1
"""The plane is taken to hold so far beyond what was measured, as a share of its own length and width."""

REACH_HEIGHTS = 15.0
"""A camera of known pose measures out to so many of its own heights: farther, a pixel is metres."""

_FLAT = 0.02  # points nearer to a line than this share of their extent lie on it
_STEPS = 60
_STILL = 1e-12


class CalibrationError(ValueError):
    """The measurements determine no plane; the text says why and what to do."""


@dataclass(frozen=True)
class Residual:
    """How far one measurement is from the plane that was fitted to all."""

    what: str
    at: Point  # in the picture, in shares
    again: Point | None  # where the plane puts it
    px: float  # at the drawn size
    metres: float


@dataclass(frozen=True, eq=False)
class GroundPlane:
    """The road as a camera sees it.

    Points are [n, 2] shares; nothing here loops over them.
    """

    drawn_on: Size
    matrix: Array  # [3, 3] level picture -> metres; the third coordinate is above 0 below the horizon
    spread: Array  # [9, 9] covariance of the matrix's elements, row by row
    valid: Array  # [k, 2] the polygon in which the plane holds, in shares
    residuals: tuple[Residual, ...] = ()
    lens: tuple[float, float, float] | None = None  # focal length in picture heights, k1, k2; None: straight

    def to_ground(self, points: Array) -> Array:
        """Where on the road [n, 2] these points are, in metres; nan on the horizon and above it."""
        return self._ground(self._straight(points))

    def to_picture(self, metres: Array) -> Array:
        """Where points of the road [n, 2] are drawn, in shares; nan behind the camera."""
        return self._bent(self._drawn_straight(np.asarray(metres, dtype=np.float64))) / (self.drawn_on.aspect, 1.0)

    def jacobian(self, points: Array) -> Array:
        """How the place on the road changes with the place in the picture: [n, 2, 2], metres per picture height.

        Rows are the metres' axes, columns are level: to the right and down.
        """
        return self._slope(self._straight(points))

    def inside_validity(self, points: Array) -> Bools:
        """Which points lie in the polygon in which the plane holds: [n]. Even-odd, as `geometry.inside`."""
        points = np.asarray(points, dtype=np.float64)
        return self._inside(points, self._straight(points))

    def measured(self, points: Array) -> tuple[Array, Array, Bools]:
        """`to_ground`, `jacobian` and `inside_validity` at once, for less."""
        straight = self._straight(points)
        return self._ground(straight), self._slope(straight), self._inside(points, straight)

    def doubt(self, points: Array) -> Array:
        """Covariance [n, 2, 2] of the places on the road, from what was measured; square metres."""
        parts = self._parts(points)
        return np.asarray(parts @ self.spread @ parts.transpose(0, 2, 1))

    def length_doubt(self, start: Array, end: Array) -> Array:
        """Standard deviation [n] of the length of ways from start to end, as a share of it.

        Errors of the two ends belong together, so a plane that is shifted or turned as a whole costs nothing.

        Args:
            start, end: [n, 2] shares.
        """
        return self.way_doubt(self.to_ground(start), self.to_ground(end))

    def way_doubt(self, start_m: Array, end_m: Array) -> Array:
        """The same of ways [n, 2] told in metres; nan where one reaches behind the camera."""
        if not self.spread.any():
            return np.zeros(len(start_m))
        way = end_m - start_m
        length = np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-9)
        first, last = (_by_elements(self.matrix, self._drawn_straight(each)) for each in (start_m, end_m))
        parts = np.einsum("ni,nij->nj", way / length[:, None], last - first)
        return np.asarray(np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", parts, self.spread, parts), 0.0)) / length)

    @functools.cached_property
    def _inverse(self) -> Array:
        """Metres to the level picture; the third coordinate is above 0 before the camera."""
        inverse = np.linalg.inv(self.matrix)
        seen = _lifted(self._ground(self._straight(self.valid.mean(axis=0)[None]))) @ inverse[2]
        return np.asarray(inverse * np.sign(seen[0]))

    @functools.cached_property
    def _sides(self) -> tuple[Array, Array, Array, Array]:
        """Of the polygon: x, y [k, 1] of each side's begin, y of its end, and how x changes with y."""
        (x1, y1), (x2, y2) = self.valid.T[:, :, None], np.roll(self.valid, -1, axis=0).T[:, :, None]
        level = y2 == y1
        return x1, y1, y2, (x2 - x1) / np.where(level, 1.0, y2 - y1)

    def _inside(self, points: Array, straight: Array) -> Bools:
        x, y = points.T
        x1, y1, y2, lean = self._sides
        left = ((y1 > y) != (y2 > y)) & (x < lean * (y - y1) + x1)
        inside: Bools = (left.sum(axis=0) % 2 == 1) & (_lifted(straight) @ self.matrix[2] > 0)
        return inside

    def _slope(self, straight: Array) -> Array:
        out = _slope(self.matrix, straight)
        return out if self.lens is None else np.asarray(out @ np.linalg.inv(self._bending(straight)))

    def _drawn_straight(self, metres: Array) -> Array:
        lifted = _lifted(metres) @ self._inverse.T
        return np.asarray(lifted[:, :2] / np.where(lifted[:, 2:] > 0, lifted[:, 2:], np.nan))

    def _parts(self, points: Array) -> Array:
        """How places on the road change with the elements of the matrix: [n, 2, 9]."""
        return _by_elements(self.matrix, self._straight(points))

    def _ground(self, straight: Array) -> Array:
        mapped = _lifted(straight) @ self.matrix.T
        w = mapped[:, 2:]
        return np.asarray(mapped[:, :2] / np.where(w > 0, w, np.nan))

    def _straight(self, points: Array) -> Array:
        """Shares to level coordinates of the picture that a straight lens would make, by Newton's method."""
        level = np.asarray(points, dtype=np.float64) * (self.drawn_on.aspect, 1.0)
        if self.lens is None:
            return level
        focal, k1, k2 = self.lens
        drawn = (level - self._middle) / focal
        wanted = np.hypot(drawn[:, 0], drawn[:, 1])
        radius = wanted.copy()
        for _ in range(5):
            square = radius**2
            slope = np.maximum(1 + 3 * k1 * square + 5 * k2 * square**2, 0.1)
            radius = radius - (radius * (1 + k1 * square + k2 * square**2) - wanted) / slope
        stretch = np.divide(radius, wanted, out=np.ones_like(radius), where=wanted > 0)
        return np.asarray(drawn * stretch[:, None] * focal + self._middle)

    def _bent(self, straight: Array) -> Array:
        if self.lens is None:
            return straight
        focal, k1, k2 = self.lens
        plane = (straight - self._middle) / focal
        square = (plane**2).sum(axis=1, keepdims=True)
        return np.asarray(plane * (1 + k1 * square + k2 * square**2) * focal + self._middle)

    def _bending(self, straight: Array) -> Array:
        """How the drawn place changes with the straight one: [n, 2, 2]."""
        assert self.lens is not None
        focal, k1, k2 = self.lens
        plane = (straight - self._middle) / focal
        square = (plane**2).sum(axis=1)[:, None, None]
        outer = plane[:, :, None] * plane[:, None, :]
        return np.asarray((1 + k1 * square + k2 * square**2) * np.eye(2) + 2 * (k1 + 2 * k2 * square) * outer)

    @property
    def _middle(self) -> Array:
        return np.array([self.drawn_on.aspect / 2, 0.5])


def plane_of(scene: Scene | None) -> GroundPlane | None:
    """The plane of a scene; None where it has no calibration, or one that determines no plane."""
    if scene is None or scene.calibration is None:
        return None
    return _kept(msgspec.json.encode(scene.calibration), scene.drawn_on.width, scene.drawn_on.height)


@functools.lru_cache(maxsize=1024)
def _kept(calibration: bytes, width: int, height: int) -> GroundPlane | None:
    """Made once for each value: it is a matrix of what is told, whoever asks and whenever."""
    try:
        return fitted(msgspec.json.decode(calibration, type=Calibration), Size(width, height))
    except CalibrationError:
        return None


def fitted(calibration: Calibration, drawn_on: Size) -> GroundPlane:
    """The plane that fits the measurements best.

    Args:
        calibration: what was measured.
        drawn_on: the size of the picture it was measured in.

    Raises:
        CalibrationError: they determine no plane; every reason is told.
    """
    if calibration.points is not None:
        plane = _of_points(calibration.points, calibration, drawn_on)
    elif calibration.road is not None:
        plane = _of_road(calibration.road, calibration, drawn_on)
    else:
        assert calibration.pose is not None  # it has one of three
        plane = _of_pose(calibration.pose, drawn_on)
    if calibration.valid is None:
        return plane
    polygon = np.array(calibration.valid, dtype=np.float64)
    below = _lifted(plane._straight(polygon)) @ plane.matrix[2] > 0  # noqa: SLF001 - our own
    if not below.all():
        above = ", ".join(f"corner {n + 1}" for n in np.flatnonzero(~below))
        raise CalibrationError(f"valid reaches to the horizon or above it ({above}); keep it on the road")
    return _with(plane, valid=polygon)


# --- from points --------------------------------------------------------------------------------


def _of_points(points: Sequence[GroundPoint], calibration: Calibration, drawn_on: Size) -> GroundPlane:
    if len(points) < FEWEST:
        raise CalibrationError(f"needs at least {FEWEST} points, got {len(points)}; measure more, six to ten are good")
    scale = (drawn_on.aspect, 1.0)
    picture = np.array([p.at for p in points], dtype=np.float64) * scale
    metres = np.array([p.metres for p in points], dtype=np.float64)
    px = 1 / drawn_on.height
    wrong = [*_repeated(picture, px, "in the picture"), *_repeated(metres, 1e-6, "on the road")]
    wrong = wrong or [*_in_line(picture, "in the picture"), *_in_line(metres, "on the road")]
    if wrong:
        raise CalibrationError("; ".join(wrong))
    to_unit, to_metres = _unit(picture), _unit(metres)
    seen, known = _mapped(to_unit, picture), _mapped(to_metres, metres)
    forward = _direct(known, seen)
    _check_sides(forward, known)
    sd_level, sd_ground = calibration.picture_sd_px * px * to_unit[0, 0], calibration.ground_sd_m * to_metres[0, 0]
    for _ in range(2):  # what a metre is in the picture depends on the fit
        root = _roots(forward, known, sd_level, sd_ground)
        forward = _refined(forward, known, seen, root)
    _check_sides(forward, known)
    rows = (root @ _by_elements(forward, known)).reshape(-1, 9)
    off = np.einsum("nij,nj->ni", root, seen - _mapped(forward, known))
    free = 2 * len(points) - 8
    worse = max(1.0, float((off**2).sum()) / free) if free else 1.0
    spread = _pinned(rows, forward) * worse
    backward = np.linalg.inv(forward)
    # d(G^-1) = -G^-1 dG G^-1, and then out of the unit coordinates
    turn = np.kron(np.linalg.inv(to_metres), to_unit.T) @ -np.kron(backward, backward.T)
    matrix, spread = np.linalg.inv(to_metres) @ backward @ to_unit, turn @ spread @ turn.T
    matrix, spread = _upright(matrix, spread, picture)
    bare = GroundPlane(drawn_on, matrix, spread, np.array([p.at for p in points], dtype=np.float64))
    again, on_road = bare.to_picture(metres), bare.to_ground(picture / scale)
    residuals = tuple(
        Residual(
            f"point {n + 1}",
            p.at,
            (float(again[n, 0]), float(again[n, 1])),
            float(np.hypot(*((again[n] - p.at) * (drawn_on.width, drawn_on.height)))),
            float(np.hypot(*(on_road[n] - metres[n]))),
        )
        for n, p in enumerate(points)
    )
    return _with(bare, valid=_around(bare, metres), residuals=residuals)


def _direct(source: Array, target: Array) -> Array:
    """The homography of least algebraic error: the direct linear transform."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    matrix: Array = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    return np.asarray(matrix / np.linalg.norm(matrix))


def _refined(matrix: Array, source: Array, target: Array, root: Array) -> Array:
    """Least squares of the whitened reprojection error, by Levenberg's method on the unit sphere of matrices."""

    def off(m: Array) -> Array:
        return np.asarray(np.einsum("nij,nj->ni", root, target - _mapped(m, source)).ravel())

    def down(m: Array, now: Array, damping: float) -> Array:
        slope = (root @ _by_elements(m, source)).reshape(-1, 9) @ (basis := _tangent(m))
        step = np.linalg.solve(slope.T @ slope + damping * np.eye(8), slope.T @ now)
        tried = m + (basis @ step).reshape(3, 3)
        return np.asarray(tried / np.linalg.norm(tried))

    return _descent(off, matrix, down)


def _roots(forward: Array, known: Array, sd_level: float, sd_ground: float) -> Array:
    """What whitens the error of each point: clicks in the picture, and the tape measure as the picture shows it."""
    slope = _slope(forward, known)
    cov = sd_level**2 * np.eye(2) + sd_ground**2 * slope @ slope.transpose(0, 2, 1)
    return np.asarray(np.linalg.inv(np.linalg.cholesky(cov)))


def _repeated(points: Array, near: float, where: str) -> list[str]:
    pairs = itertools.combinations(range(len(points)), 2)
    same = [(i, j) for i, j in pairs if np.hypot(*(points[i] - points[j])) <= near]
    return [f"points {i + 1} and {j + 1} are the same {where}; remove one or measure it anew" for i, j in same]


def _in_line(points: Array, where: str) -> list[str]:
    """What is wrong where all points but one lie on a line: four of them must be in general position."""
    middle = points - points.mean(axis=0)
    extent = float(np.hypot(*middle.T).max()) * 2
    worst: list[int] = []
    for i, j in itertools.combinations(range(len(points)), 2):
        way = points[j] - points[i]
        far = np.abs((points - points[i]) @ np.array([-way[1], way[0]])) / np.hypot(*way)
        on = np.flatnonzero(far <= _FLAT * extent).tolist()
        worst = max(worst, on, key=len)
    if len(worst) < len(points) - 1:
        return []
    named = ", ".join(str(n + 1) for n in worst)
    return [f"points {named} lie on one line {where}; no three of the four must: take points beside it as well"]


def _check_sides(forward: Array, known: Array) -> None:
    """Refuse a plane that has some of its points before and some behind the camera."""
    ahead = _lifted(known) @ forward[2]
    fewer = np.flatnonzero(ahead > 0) if (ahead > 0).sum() * 2 <= len(ahead) else np.flatnonzero(ahead <= 0)
    if len(fewer):
        named = ", ".join(str(n + 1) for n in fewer)
        raise CalibrationError(
            f"no camera sees these points so: point {named} would be behind it; are two points swapped, or a sign wrong?"
        )


# --- from a straight road -----------------------------------------------------------------------


def _of_road(road: StraightRoad, calibration: Calibration, drawn_on: Size) -> GroundPlane:
    if len(road.marks) != len(road.along_m):
        raise CalibrationError(f"{len(road.marks)} marks need as many metres along the road, got {len(road.along_m)}")
    scale = (drawn_on.aspect, 1.0)
    left, right, marks = (np.array(part, dtype=np.float64) * scale for part in (road.left, road.right, road.marks))
    along = np.array(road.along_m, dtype=np.float64)
    if np.ptp(along) == 0:
        raise CalibrationError("all marks are at the same place along the road; two must be apart")
    if np.polyfit(marks[:, 1], along, 1)[0] > 0:  # counted towards the camera
        along = -along
    middle = np.array([drawn_on.aspect / 2, 0.5])
    everything = np.concatenate([left, right, marks])
    axis = np.concatenate([np.zeros(len(left) + len(right), dtype=int), np.ones(len(marks), dtype=int)])
    wanted = np.concatenate([np.zeros(len(left)), np.full(len(right), road.width_m), along])
    given = None if road.focal_px is None else math.log(road.focal_px / drawn_on.height)
    sd = calibration.picture_sd_px / drawn_on.height

    def plane(theta: Array) -> Array:
        focal = theta[5] if given is None else given
        made = _pinhole(math.exp(focal), theta[0], theta[1], 0.0, math.exp(theta[2]), middle)
        shift = np.eye(3)
        shift[:2, 2] = theta[3:5]
        return np.asarray(shift @ made)

    def off(theta: Array, weight: Array) -> Array:
        return np.asarray((wanted - _mapped(plane(theta), everything)[np.arange(len(axis)), axis]) * weight)

    def weights(theta: Array) -> Array:
        slope = _slope(plane(theta), everything)[np.arange(len(axis)), axis]
        return np.asarray(1 / np.sqrt((sd * np.hypot(slope[:, 0], slope[:, 1])) ** 2 + calibration.ground_sd_m**2))

    theta = _first_road(left, right, marks, along, road.width_m, given, middle)
    for _ in range(3):
        weight = weights(theta)
        theta = _least_squares(functools.partial(off, weight=weight), theta)
    slope = _numeric(functools.partial(off, weight=weight), theta)
    told = slope.T @ slope
    sizes = np.sqrt(np.maximum(np.diag(told), 1e-300))
    if np.linalg.cond(told / np.outer(sizes, sizes)) > 1e12:  # noqa: PLR2004 - as good as singular
        raise CalibrationError("edges and marks leave the focal length open; add marks farther apart, or focal_px")
    rest = off(theta, weight)
    free = len(rest) - len(theta)
    worse = max(1.0, float(rest @ rest) / free) if free > 0 else 1.0
    by_theta = _numeric(lambda t: plane(t).ravel(), theta)
    spread = by_theta @ np.linalg.inv(told) @ by_theta.T * worse
    matrix, spread = _upright(plane(theta), spread, everything)
    bare = GroundPlane(drawn_on, matrix, spread, everything / scale)
    metres = bare.to_ground(everything / scale)
    missed = wanted - metres[np.arange(len(axis)), axis]
    inverse = np.linalg.inv(bare.jacobian(everything / scale))
    names = [f"left edge {n + 1}" for n in range(len(left))]
    names += [f"right edge {n + 1}" for n in range(len(right))] + [f"mark {n + 1}" for n in range(len(marks))]
    residuals = tuple(
        Residual(
            name,
            (float(at[0]), float(at[1])),
            None,
            float(np.hypot(*inverse[n][:, axis[n]]) * abs(missed[n]) * drawn_on.height),
            float(abs(missed[n])),
        )
        for n, (name, at) in enumerate(zip(names, everything / scale, strict=True))
    )
    low, high = metres[:, 1].min(), metres[:, 1].max()
    slack = MARGIN * (high - low)
    side = road.width_m
    box = np.array([(-side, low - slack), (2 * side, low - slack), (2 * side, high + slack), (-side, high + slack)])
    return _with(bare, valid=_pulled_in(bare, box, metres.mean(axis=0)), residuals=residuals)


def _first_road(
    left: Array, right: Array, marks: Array, along: Array, width: float, given: float | None, middle: Array
) -> Array:
    """A beginning: tilt, pan, log height, shift across and along, log focal length; from the vanishing point."""
    meet = np.cross(_line(left), _line(right))
    if abs(meet[2]) < 1e-6 * np.hypot(meet[0], meet[1]):
        raise CalibrationError(
            "the edges of the lane run side by side in the picture; a camera above a road sees them meet"
        )
    u, v = meet[:2] / meet[2] - middle
    if (meet[1] / meet[2] > np.concatenate([left, right, marks])[:, 1]).any():
        raise CalibrationError(
            "the edges of the lane meet below their points; are left and right edge taken from one lane?"
        )
    best, least = None, math.inf
    for focal in [given] if given is not None else np.linspace(math.log(0.4), math.log(6.0), 60).tolist():
        f = math.exp(focal)
        tilt = math.atan(-v / f)
        pan = -math.atan(u / f * math.cos(tilt))
        unit = _pinhole(f, tilt, pan, 0.0, 1.0, middle)
        across = _mapped(unit, right)[:, 0].mean() - _mapped(unit, left)[:, 0].mean()
        if not across > 0:
            continue
        height = width / across
        y = _mapped(unit, marks)[:, 1] * height
        start = float((along - y).mean())
        cost = float(((along - y - start) ** 2).sum())
        if cost < least:
            shift = -float(_mapped(unit, left)[:, 0].mean()) * height
            best, least = [tilt, pan, math.log(height), shift, start, focal], cost
    if best is None:
        raise CalibrationError("no camera sees this lane so; is the left edge left of the right one?")
    return np.array(best[:5] if given is not None else best)


def _line(points: Array) -> Array:
    """The line [3] through points in the least-squares sense. Raises CalibrationError: they are one point."""
    middle = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - middle)
    if sizes[0] < 1e-9:  # noqa: PLR2004 - one place
        raise CalibrationError("an edge of the lane needs two different points")
    normal = np.array([-axes[0][1], axes[0][0]])
    return np.array([normal[0], normal[1], -normal @ middle])


# --- from a pose --------------------------------------------------------------------------------


def _of_pose(pose: KnownPose, drawn_on: Size) -> GroundPlane:
    middle = np.array([drawn_on.aspect / 2, 0.5])

    def plane(theta: Array) -> Array:
        focal, height, tilt, roll = theta
        return _pinhole(focal, tilt, math.radians(pose.pan_deg), roll, height, middle)

    focal = pose.focal_px / drawn_on.height
    theta = np.array([focal, pose.height_m, math.radians(pose.tilt_deg), math.radians(pose.roll_deg)])
    sds = np.array(
        [pose.focal_sd * focal, pose.height_sd_m, math.radians(pose.tilt_sd_deg), math.radians(pose.roll_sd_deg)]
    )
    by_theta = _numeric(lambda t: plane(t).ravel(), theta)
    spread = (by_theta * sds**2) @ by_theta.T
    corner = math.hypot(drawn_on.aspect, 1.0) / 2 / focal
    radius = np.linspace(0.0, corner * 1.2, 200)
    if (1 + 3 * pose.k1 * radius**2 + 5 * pose.k2 * radius**4 <= 0).any():
        raise CalibrationError(f"k1={pose.k1:g} and k2={pose.k2:g} fold the picture back on itself; take weaker ones")
    lens = (focal, pose.k1, pose.k2) if pose.k1 or pose.k2 else None
    matrix = plane(theta)
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    bare = GroundPlane(drawn_on, matrix, spread, corners, lens=lens)
    # the road ahead out to REACH_HEIGHTS: in the straight picture that ends at a line beside the horizon
    ahead = np.array([math.sin(math.radians(pose.pan_deg)), math.cos(math.radians(pose.pan_deg))])
    reach = REACH_HEIGHTS * pose.height_m

    def beyond(share: Array) -> float:
        straight = _lifted(bare._straight(share[None]))[0]  # noqa: SLF001 - our own
        mapped = matrix @ straight
        return float(reach * mapped[2] - ahead @ mapped[:2])  # below 0: farther than the reach, or the sky

    polygon = _clipped(corners, beyond)
    if len(polygon) < 3:  # noqa: PLR2004 - corners of an area
        raise CalibrationError(
            f"this camera sees no road within {reach:g} m; is the tilt of {pose.tilt_deg:g} degrees measured down from the horizon?"
        )
    return _with(bare, valid=polygon)


def _pinhole(focal: float, tilt: float, pan: float, roll: float, height: float, middle: Array) -> Array:
    """Level picture to metres: the origin is the road below the camera, the second axis `pan` to the left of its axis."""
    ahead = np.array([0.0, math.cos(tilt), -math.sin(tilt)])
    right, down = np.array([1.0, 0.0, 0.0]), np.array([0.0, -math.sin(tilt), -math.cos(tilt)])
    axes = np.column_stack(
        [math.cos(roll) * right + math.sin(roll) * down, math.cos(roll) * down - math.sin(roll) * right, ahead]
    )
    turned = (
        np.array([[math.cos(pan), math.sin(pan), 0.0], [-math.sin(pan), math.cos(pan), 0.0], [0.0, 0.0, 1.0]]) @ axes
    )
    drawn = np.array([[1 / focal, 0.0, -middle[0] / focal], [0.0, 1 / focal, -middle[1] / focal], [0.0, 0.0, 1.0]])
    return np.asarray(np.diag([height, height, -1.0]) @ turned @ drawn)


# --- the polygon in which it holds --------------------------------------------------------------


def _around(plane: GroundPlane, metres: Array) -> Array:
    """The convex hull of points of the road and MARGIN more, in the picture."""
    corners = _hull(metres)
    middle = corners.mean(axis=0)
    return _pulled_in(plane, middle + (corners - middle) * (1 + 2 * MARGIN), middle)


def _pulled_in(plane: GroundPlane, corners: Array, middle: Array) -> Array:
    """Corners on the road as shares; one that is behind the camera moves towards the middle until it is not."""
    inverse = np.linalg.inv(plane.matrix)
    ahead = (_lifted(middle[None]) @ inverse[2])[0]
    out = []
    for corner in corners:
        share = 1.0
        while _lifted((middle + (corner - middle) * share)[None])[0] @ inverse[2] * ahead <= 0.02 * ahead**2:
            share *= 0.95
        out.append(middle + (corner - middle) * share)
    return plane.to_picture(np.array(out))


def _hull(points: Array) -> Array:
    """The convex hull, in order. Source: A. M. Andrew, Another efficient algorithm for convex hulls (1979)."""
    order = sorted(map(tuple, points.tolist()))

    def half(way: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
        kept: list[tuple[float, ...]] = []
        for p in way:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], p) <= 0:
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(half(order) + half(order[::-1]))


def _turn(a: Sequence[float], b: Sequence[float], p: Sequence[float]) -> float:
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def _clipped(corners: Array, signed: Callable[[Array], float]) -> Array:
    """The part of a polygon where `signed` is above 0. Source: Sutherland and Hodgman (1974), sides by bisection."""
    out: list[Array] = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if signed(a) > 0:
            out.append(a)
        if (signed(a) > 0) != (signed(b) > 0):
            keeps, goes = (a, b) if signed(a) > 0 else (b, a)
            for _ in range(50):
                half = (keeps + goes) / 2
                keeps, goes = (half, goes) if signed(half) > 0 else (keeps, half)
            out.append(keeps)
    return np.array(out).reshape(-1, 2)


# --- small algebra ------------------------------------------------------------------------------


def _with(plane: GroundPlane, *, valid: Array, residuals: tuple[Residual, ...] | None = None) -> GroundPlane:
    kept = plane.residuals if residuals is None else residuals
    return GroundPlane(plane.drawn_on, plane.matrix, plane.spread, valid, kept, plane.lens)


def _lifted(points: Array) -> Array:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def _mapped(matrix: Array, points: Array) -> Array:
    mapped = _lifted(points) @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def _slope(matrix: Array, points: Array) -> Array:
    """How mapped points change with the points: [n, 2, 2]."""
    mapped = _lifted(points) @ matrix.T
    w = mapped[:, 2][:, None, None]
    return np.asarray((matrix[:2, :2] - (mapped[:, :2] / mapped[:, 2:])[:, :, None] * matrix[2, :2]) / w)


def _by_elements(matrix: Array, points: Array) -> Array:
    """How mapped points change with the elements of the matrix, row by row: [n, 2, 9]."""
    lifted = _lifted(points)
    mapped = lifted @ matrix.T
    over = lifted / mapped[:, 2:]
    out = np.zeros((len(points), 2, 9))
    out[:, 0, :3] = out[:, 1, 3:6] = over
    out[:, :, 6:] = -(mapped[:, :2] / mapped[:, 2:])[:, :, None] * over[:, None, :]
    return out


def _unit(points: Array) -> Array:
    """The similarity that brings points to mean 0 and mean distance sqrt 2 (Hartley's normalisation)."""
    middle = points.mean(axis=0)
    scale = math.sqrt(2) / float(np.hypot(*(points - middle).T).mean())
    return np.array([[scale, 0.0, -scale * middle[0]], [0.0, scale, -scale * middle[1]], [0.0, 0.0, 1.0]])


def _tangent(matrix: Array) -> Array:
    """A basis [9, 8] of the changes of a matrix that are no change of its scale."""
    return np.asarray(np.linalg.svd(matrix.reshape(1, 9))[2][1:].T)


def _pinned(rows: Array, matrix: Array) -> Array:
    """The covariance [9, 9] of a matrix of fixed scale, from whitened rows [2n, 9] of its least squares."""
    basis = _tangent(matrix)
    slope = rows @ basis
    told = slope.T @ slope
    if np.linalg.cond(told) > 1e14:  # noqa: PLR2004 - as good as singular
        raise CalibrationError("the points are nearly on a line, or nearly the same; spread them over the road")
    return np.asarray(basis @ np.linalg.inv(told) @ basis.T)


def _upright(matrix: Array, spread: Array, level: Array) -> tuple[Array, Array]:
    """The same plane, scaled so that the third coordinate is above 0, and 1 in the middle of what was measured."""
    at = float(_lifted(level.mean(axis=0)[None])[0] @ matrix[2])
    return matrix / at, spread / at**2


def _numeric(function: Callable[[Array], Array], theta: Array) -> Array:
    """The derivative of a function of few numbers, by central differences."""
    columns = []
    for n in range(len(theta)):
        step = np.zeros(len(theta))
        step[n] = 1e-6 * max(1.0, abs(theta[n]))
        columns.append((function(theta + step) - function(theta - step)) / (2 * step[n]))
    return np.column_stack(columns)


def _least_squares(off: Callable[[Array], Array], theta: Array) -> Array:
    """Levenberg's and Marquardt's method; `off` is what is missed, to be small."""

    def down(t: Array, now: Array, damping: float) -> Array:
        slope = _numeric(off, t)
        told = slope.T @ slope
        return t + np.linalg.lstsq(told + damping * np.diag(np.diag(told)), -slope.T @ now, rcond=None)[0]

    return _descent(off, theta, down)


def _descent(off: Callable[[Array], Array], start: Array, down: Callable[[Array, Array, float], Array]) -> Array:
    """Where the sum of squares of `off` is least: steps are damped the more, the less they helped.

    Args:
        off: what is missed at a place.
        start: the first place.
        down: the next one to try, from a place, what is missed there, and the damping.
    """
    place, damping, now = start, 1e-3, off(start)
    for _ in range(_STEPS):
        tried = down(place, now, damping)
        then = off(tried)
        if not np.isfinite(then).all() or then @ then > now @ now:
            damping *= 10
            if damping > 1e12:  # noqa: PLR2004 - no way is down
                break
            continue
        gained = now @ now - then @ then
        place, now, damping = tried, then, damping / 10
        if gained <= _STILL * (now @ now + _STILL):
            break
    return place
