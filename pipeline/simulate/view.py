"""What a camera sees of a moment: everyone's box, how much of it is in the picture, and how much is hidden.

Every road user is a cuboid, length x width x height, that stands on its footprint; people and two-wheelers too. Its
box is the bounding box of the drawn corners. Only users hide each other: there are no trees or poles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.camera import Array, Pinhole
from pipeline.simulate.journeys import Moment, Recording, at

NEAR_M = 1.0
"""Nearer to the camera's plane than this a cuboid is cut off, for what lies behind the camera cannot be drawn."""

RAYS = 144
"""Points looked at in every box."""

_LATTICE = np.column_stack([(np.arange(RAYS) + 0.5) / RAYS, (np.arange(RAYS) * 89 + 0.5) / RAYS % 1.0])
"""Even in both directions and across: a Fibonacci lattice (89 of 144), so that no straight edge falls on a row of it."""

# corners as (length, width, height) of a cuboid, and the edges between them
_CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if np.sum(_CORNERS[a] != _CORNERS[b]) == 1])


@dataclass(frozen=True)
class View:
    """Who is in the picture at one moment: arrays of length n, in the order of the recording's journeys.

    The boxes are whole: what is hidden or outside the picture is part of them, so they may leave 0..1.
    """

    t_ms: float
    index: NDArray[np.intp]  # into the recording's journeys
    label: tuple[str, ...]
    x1: Array
    y1: Array
    x2: Array
    y2: Array
    visible: Array  # share of the silhouette that is in the picture and not behind another user; to about 0.01
    inside: Array  # share of the box that is in the picture, above 0
    occluded: Array  # share of the silhouette that is in the picture and behind another user; visible + this <= 1
    depth_m: Array  # of the cuboid's middle along the optical axis, at least NEAR_M
    speed_ms: Array  # metres a second

    def __len__(self) -> int:
        return len(self.label)


def view(recording: Recording, camera: Pinhole, t_ms: float) -> View:
    """What the camera, shaken as it is at that time, sees at t_ms since the start of the recording.

    Users without any part of their box in the picture are left out.
    """
    now = at(recording, t_ms)
    box = boxes(camera, now.x_m, now.y_m, now.heading_rad, (now.length_m, now.width_m, now.height_m), t_ms)
    share = inside(box)
    seen = np.flatnonzero(share > 0)
    x1, y1, x2, y2 = box[seen].T
    visible, occluded = _visible(camera, now, seen, box[seen], t_ms)
    middle = np.column_stack([now.x_m, now.y_m, now.height_m / 2])[seen]
    return View(
        t_ms=t_ms,
        index=now.index[seen],
        label=tuple(recording.journeys[index].label for index in now.index[seen]),
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        visible=visible,
        inside=share[seen],
        occluded=occluded,
        depth_m=np.maximum(camera.turned(middle)[:, 2], NEAR_M),
        speed_ms=now.speed_ms[seen],
    )


def boxes(
    camera: Pinhole,
    x_m: Array,
    y_m: Array,
    heading_rad: Array,
    size_m: tuple[Array | float, Array | float, Array | float],
    t_ms: float | None = None,
) -> Array:
    """The whole boxes of n cuboids: of n users at one moment, or of one user at n moments.

    Args:
        camera: who looks.
        x_m, y_m, heading_rad: [n] where the middle of the footprint is and where its length points.
        size_m: length, width, height; a number each, or [n].
        t_ms: the moment, for the shake; None: a still camera.

    Returns:
        [n, 4] x1, y1, x2, y2 in shares. Of a cuboid that reaches behind the camera, the part at least NEAR_M ahead
        is boxed; nan where there is none.
    """
    length, width, height = (np.broadcast_to(np.asarray(each, dtype=float), x_m.shape) for each in size_m)
    corners = _CORNERS * np.stack([length, width, height], axis=-1)[:, None, :]
    cos, sin = np.cos(heading_rad)[:, None], np.sin(heading_rad)[:, None]
    world = np.empty_like(corners)
    world[..., 0] = x_m[:, None] + cos * corners[..., 0] - sin * corners[..., 1]
    world[..., 1] = y_m[:, None] + sin * corners[..., 0] + cos * corners[..., 1]
    world[..., 2] = corners[..., 2]
    turned = camera.turned(world)
    ahead = turned[..., 2] >= NEAR_M
    out = np.full((len(x_m), 4), np.nan)
    whole = ahead.all(axis=1)
    out[whole] = _bounds(camera.picture(turned[whole], t_ms))
    for cut in np.flatnonzero(ahead.any(axis=1) & ~whole):
        kept = _cut(turned[cut], ahead[cut])
        out[cut] = _bounds(camera.picture(kept, t_ms)[None])[0]
    return out


def inside(box: Array) -> Array:
    """The share of each box [n, 4] that lies in the picture; 0 where there is no box."""
    x1, y1, x2, y2 = box.T
    across = np.minimum(x2, 1.0) - np.maximum(x1, 0.0)
    down = np.minimum(y2, 1.0) - np.maximum(y1, 0.0)
    area = (x2 - x1) * (y2 - y1)
    shared = np.where((across > 0) & (down > 0), across * down, 0.0)
    return np.asarray(np.divide(shared, area, out=np.zeros_like(area), where=area > 0))


def _bounds(drawn: Array) -> Array:
    return np.concatenate([drawn.min(axis=1), drawn.max(axis=1)], axis=1)


def _cut(turned: Array, ahead: NDArray[np.bool_]) -> Array:
    """The corners [k, 3] of the part of a cuboid that lies at least NEAR_M ahead."""
    first, second = _EDGES[ahead[_EDGES[:, 0]] != ahead[_EDGES[:, 1]]].T
    share = (NEAR_M - turned[first, 2]) / (turned[second, 2] - turned[first, 2])
    return np.concatenate([turned[ahead], turned[first] + share[:, None] * (turned[second] - turned[first])])


def _visible(camera: Pinhole, now: Moment, seen: NDArray[np.intp], box: Array, t_ms: float) -> tuple[Array, Array]:
    """The shares of each silhouette that are in the picture: hidden by nobody, and hidden. By rays through its box.

    A ray that meets a user's cuboid belongs to its silhouette; it sees that user if it is in the picture and meets no
    other cuboid before.
    """
    n = len(seen)
    cuboids = _Cuboids(camera, now, seen)
    places = (box[:, None, :2] + _LATTICE * (box[:, None, 2:] - box[:, None, :2])).reshape(-1, 2)
    owner = np.repeat(np.arange(n), RAYS)
    rays = camera.rays(places, t_ms).T
    met = cuboids.meet(owner, rays)
    silhouette = np.bincount(owner[np.isfinite(met)], minlength=n)
    x, y = places.T
    kept = np.flatnonzero(np.isfinite(met) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1))
    x, y, owner, rays, met = x[kept], y[kept], owner[kept], rays[:, kept], met[kept]

    ray, other = _pairs(box, cuboids, np.bincount(owner, minlength=n))
    left, top, right, bottom = box.T
    near = (x[ray] >= left[other]) & (x[ray] <= right[other]) & (y[ray] >= top[other]) & (y[ray] <= bottom[other])
    ray, other = ray[near], other[near]
    free = np.ones(len(owner), dtype=bool)
    free[ray[cuboids.meet(other, rays[:, ray]) < met[ray]]] = False
    shown = np.bincount(owner[free], minlength=n)
    hidden = np.bincount(owner[~free], minlength=n)
    return (
        np.divide(shown, silhouette, out=np.zeros(n), where=silhouette > 0),
        np.divide(hidden, silhouette, out=np.zeros(n), where=silhouette > 0),
    )


def _pairs(box: Array, cuboids: "_Cuboids", rays: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each ray with each other user who may stand before its owner: whose box overlaps and who is not farther.

    Args:
        box: [n, 4].
        cuboids: of the n users.
        rays: [n] how many rays each user has; they are numbered user by user.
    """
    left, top, right, bottom = box.T
    overlap = (left[:, None] < right) & (right[:, None] > left) & (top[:, None] < bottom) & (bottom[:, None] > top)
    overlap &= cuboids.nearest < cuboids.farthest[:, None]
    np.fill_diagonal(overlap, val=False)
    mine, other = np.nonzero(overlap)
    many = rays[mine]
    first = (np.cumsum(rays) - rays)[mine] - (np.cumsum(many) - many)
    return np.arange(many.sum()) + np.repeat(first, many), np.repeat(other, many)


class _Cuboids:
    """The cuboids of n users, to be met by rays from the camera."""

    def __init__(self, camera: Pinhole, now: Moment, seen: NDArray[np.intp]) -> None:
        length, width, height = (each[seen] for each in (now.length_m, now.width_m, now.height_m))
        x, y = now.x_m[seen], now.y_m[seen]
        depth = camera.turned(np.column_stack([x, y, height / 2]))[:, 2]
        around = np.sqrt(length**2 + width**2 + height**2) / 2
        self.nearest, self.farthest = depth - around, depth + around  # depths that no point of it lies beyond
        self._cos, self._sin = np.cos(now.heading_rad[seen]), np.sin(now.heading_rad[seen])
        x, y = camera.place[0] - x, camera.place[1] - y
        along, aside = self._cos * x + self._sin * y, self._cos * y - self._sin * x  # the camera, as the user has it
        above = np.full(len(seen), camera.place[2])
        self._slabs = (
            (-length / 2 - along, length / 2 - along),
            (-width / 2 - aside, width / 2 - aside),
            (-above, height - above),
        )

    def meet(self, which: NDArray[np.intp], rays: Array) -> Array:
        """The depth [m] at which each ray [3, m] meets the cuboid that `which` [m] names; nan where it does not.

        Source:
            The slab method, Kay and Kajiya, Ray Tracing Complex Scenes, SIGGRAPH 1986.
        """
        cos, sin = self._cos[which], self._sin[which]
        x, y, z = rays
        enters, leaves = np.full(len(which), NEAR_M), np.full(len(which), np.inf)
        for (low, high), step in zip(self._slabs, (cos * x + sin * y, cos * y - sin * x, z), strict=True):
            pace = 1 / np.where(np.abs(step) < 1e-12, 1e-12, step)  # noqa: PLR2004 - along a face: met far, far away
            one, two = low[which] * pace, high[which] * pace
            np.maximum(enters, np.minimum(one, two), out=enters)
            np.minimum(leaves, np.maximum(one, two), out=leaves)
        return np.where(enters <= leaves, enters, np.nan)
