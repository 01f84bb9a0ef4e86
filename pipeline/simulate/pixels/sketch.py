"""The polygons of one moment, in the order in which they are painted, with their colours in that light.

Nobody's pixels are made here: what comes out are corners in pixels and colours, for a painter.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.camera import Array, Pinhole
from pipeline.simulate.journeys import Moment, Recording, at
from pipeline.simulate.pixels.light import Light, colours
from pipeline.simulate.pixels.meshes import MESHES, Mesh, Paint, shape_of
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.view import boxes, inside

NEAR_M = 0.6
"""What has a corner nearer to the camera's plane than this is not drawn."""

SHIFT = 4
"""Corners are whole numbers of 1/16 px, 1/2**SHIFT, as OpenCV takes them."""

DETAIL_PX = 0.7
"""A face that is smaller than this squared is not drawn, nor are small details of what is far away."""

_SHADOW_CORNERS = np.array([(x, y, z) for z in (0.02, 0.96) for x in (-0.49, 0.49) for y in (-0.48, 0.48)])
STREET = (0.62, 0.52, 0.36)
"""The colour of street lamps: what they add to `Light.ambient` right below one."""

_LAMP_M = 9.0  # from a lamp's foot its light falls to a third within so many metres
_ON_FACES = 0.7  # of the light on the ground
_GLANCE = 0.35  # how much of the sky a pane of glass shows, seen flat on


@dataclass(frozen=True)
class Shape:
    """One user: polygons in the order they are painted, first what is behind."""

    user: int  # its journey's id
    polygons: list[NDArray[np.int32]]  # [k, 2] px in 1/16
    colours: list[tuple[float, float, float]]
    outline: NDArray[np.float32]  # [m, 2] px, all its corners, of whose hull its box is made
    moved_px: tuple[float, float]  # how far it moves while the shutter is open
    glows: list["Glow"]  # its lamps, which whoever stands before it hides


@dataclass(frozen=True)
class Glow:
    """A lamp: where it is, how large it looks, and its colour."""

    x: float  # px
    y: float
    radius: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Sketch:
    """One moment, ready to be painted."""

    shadows: list[NDArray[np.int32]]  # [k, 2] px in 1/16: of the sun
    contacts: list[NDArray[np.int32]]  # right below the vehicles
    pools: list[NDArray[np.float32]]  # [k, 2] px: where headlamps light the road
    shapes: list[Shape]  # the farthest first


def sketch(recording: Recording, place: Scenario, light: Light, t_ms: float) -> Sketch:
    """What is to be painted at t_ms since the start of the recording; deterministic."""
    now, camera = at(recording, t_ms), place.camera
    size = (now.length_m, now.width_m, now.height_m)
    seen = np.flatnonzero(inside(boxes(camera, now.x_m, now.y_m, now.heading_rad, size, t_ms)) > 0)
    if not len(seen):
        return Sketch([], [], [], [])
    order = seen[_behind_first(camera, now, seen)]
    drawer = _Drawer(recording, place, light, now)
    return Sketch(
        shadows=[each for user in order for each in drawer.shadow(user)],
        contacts=[each for user in order for each in drawer.contact(user)],
        pools=[each for user in order for each in drawer.pool(user)],
        shapes=[shape for user in order if (shape := drawer.shape(user))],
    )


def street_light(place: Scenario, x_m: Array, y_m: Array) -> Array:
    """How much light of street lamps falls on points of the ground, 0 to about 1; of any one shape."""
    total = np.zeros(np.shape(x_m))
    for lamp_x, lamp_y in place.ground.lamps:
        away = (x_m - lamp_x) ** 2 + (y_m - lamp_y) ** 2
        total += np.where(np.isfinite(away), 1 / (1 + away / _LAMP_M**2) ** 1.5, 0)
    return np.asarray(np.minimum(total, 1.2))


class _Drawer:
    """Draws the users of one moment, one by one."""

    def __init__(self, recording: Recording, place: Scenario, light: Light, now: Moment) -> None:
        self.recording, self.camera, self.light, self.now, self.t_ms = recording, place.camera, light, now, now.t_ms
        self.scale = np.array([self.camera.lens.size.width, self.camera.lens.size.height], dtype=float)
        self.sun = sun_direction(self.camera, light)
        lamps = street_light(place, now.x_m, now.y_m) * light.street
        self.ambient = np.array(light.ambient) + lamps[:, None] * np.array(STREET) * _ON_FACES  # [n, 3]
        self.shine = np.array(light.sun)

    def _world(self, user: int, corners: Array) -> Array:
        """Corners [..., 3] of a mesh in metres of the world."""
        now = self.now
        cos, sin = math.cos(now.heading_rad[user]), math.sin(now.heading_rad[user])
        local = corners * (now.length_m[user], now.width_m[user], now.height_m[user])
        out: Array = np.empty_like(local)
        out[..., 0] = now.x_m[user] + cos * local[..., 0] - sin * local[..., 1]
        out[..., 1] = now.y_m[user] + sin * local[..., 0] + cos * local[..., 1]
        out[..., 2] = local[..., 2]
        return out

    def _pixels(self, world: Array) -> Array | None:
        turned = self.camera.turned(world)
        if np.any(turned[..., 2] < NEAR_M):
            return None
        return np.asarray(self.camera.picture(turned, self.t_ms) * self.scale)

    def shape(self, user: int) -> Shape | None:
        """The faces of one user that are seen; None: too near to be drawn."""
        now, journey = self.now, self.recording.journeys[self.now.index[user]]
        size = (journey.length_m, journey.width_m, journey.height_m)
        walked = abs(now.x_m[user]) + abs(now.y_m[user]) if journey.label == "person" else 0.0
        mesh = MESHES[shape_of(journey.label, size, journey.id, walked)]
        world = self._world(user, mesh.corners)
        turned = self.camera.turned(world)
        ahead = np.all(turned[..., 2] >= NEAR_M, axis=1)
        if not np.any(ahead):
            return None
        px = self.camera.picture(np.where(ahead[:, None, None], turned, (0.0, 0.0, 1.0)), self.t_ms) * self.scale
        normal = np.cross(world[:, 1] - world[:, 0], world[:, 2] - world[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
        toward = self.camera.place - world[:, 0]
        far = np.linalg.norm(toward, axis=1)
        facing = np.einsum("ij,ij->i", normal, toward) / np.maximum(far, 1e-9)
        normal[facing < 0] *= -1  # of faces seen from both sides
        area = _area(px)
        drawn = ahead & ((facing > 0) | mesh.both) & (area >= DETAIL_PX**2)
        painted = self._painted(user, mesh, normal, np.abs(facing), float(np.mean(far)))
        ranks = self._ranks(mesh, user)
        which = np.flatnonzero(drawn)
        which = which[np.argsort(ranks[mesh.part[which]], kind="stable")]
        if not len(which):
            return None
        polygons = np.round(px[which] * 2**SHIFT).astype(np.int32)
        return Shape(
            user=journey.id,
            polygons=list(polygons),
            colours=[(float(c[0]), float(c[1]), float(c[2])) for c in painted[which]],
            outline=px[ahead].reshape(-1, 2).astype(np.float32),
            moved_px=self._moved(user),
            glows=self._glows(user, mesh),
        )

    def _ranks(self, mesh: Mesh, user: int) -> NDArray[np.intp]:
        """Which part is painted when: lower layers first, then the farther ones."""
        middle = np.column_stack([mesh.part_at, np.full(len(mesh.part_at), 0.4)])
        far = np.linalg.norm(self._world(user, middle) - self.camera.place, axis=1)
        ranks = np.empty(len(far), dtype=np.intp)
        ranks[np.lexsort((-far, mesh.part_layer))] = np.arange(len(far))
        return ranks

    def _painted(self, user: int, mesh: Mesh, normal: Array, facing: Array, far_m: float) -> Array:
        """The colours of the faces in this light, [p, 3]."""
        journey = self.recording.journeys[self.now.index[user]]
        own = _palette(journey.label, journey.id, self.recording.seed)[mesh.paint]
        up = 0.5 + 0.5 * normal[:, 2:3]
        lit = self.ambient[user] * (0.62 + 0.46 * up)
        lit = lit + self.shine * np.maximum(normal @ self.sun, 0.0)[:, None]
        colour = own * lit
        glass = (mesh.paint == Paint.GLASS)[:, None]
        sky = np.array(self.light.sky_low) * (0.25 + 0.75 * up)
        share = _GLANCE * (1.2 - facing)[:, None] * (0.35 + 0.65 * up)
        colour = np.where(glass, colour * (1 - share) + sky * share, colour)
        body = (mesh.paint == Paint.BODY)[:, None] & (np.abs(normal[:, 2:3]) > 0.8)  # noqa: PLR2004 - roofs and bonnets
        colour = np.where(body, colour * 0.92 + 0.08 * np.array(self.light.sky_top), colour)
        if self.light.lamps > 0:
            shine = self.light.lamps * self.lamps_on(user)
            colour = np.where((mesh.paint == Paint.HEADLAMP)[:, None], np.maximum(colour, 255 * shine), colour)
            red = np.array([230.0, 36.0, 30.0]) * shine
            colour = np.where((mesh.paint == Paint.TAILLAMP)[:, None], np.maximum(colour, red), colour)
        return np.clip(veiled(colour, np.array(far_m), self.light), 0, 255)

    def lamps_on(self, user: int) -> float:
        """How bright its lamps are: people have none."""
        label = self.recording.journeys[self.now.index[user]].label
        return {"person": 0.0, "bicycle": 0.5}.get(label, 1.0)

    def _moved(self, user: int) -> tuple[float, float]:
        """How far it moves in the picture while the shutter is open, px."""
        now = self.now
        step = now.speed_ms[user] * self.light.exposure_s
        ends = np.array([[now.x_m[user], now.y_m[user], 0.5]] * 2)
        ends[1, 0] += step * math.cos(now.heading_rad[user])
        ends[1, 1] += step * math.sin(now.heading_rad[user])
        px = self._pixels(ends)
        return (0.0, 0.0) if px is None else (float(px[1, 0] - px[0, 0]), float(px[1, 1] - px[0, 1]))

    def shadow(self, user: int) -> list[NDArray[np.int32]]:
        """Its shadow on the ground, none without a sun."""
        if self.light.shadow <= 0:
            return []
        world = self._world(user, _SHADOW_CORNERS * (1, 1, 0.93))
        world[:, :2] -= world[:, 2:3] * (self.sun[:2] / max(self.sun[2], 0.05))
        world[:, 2] = 0.0
        return self._outline(world)

    def contact(self, user: int) -> list[NDArray[np.int32]]:
        """The dark below it."""
        world = self._world(user, _SHADOW_CORNERS[:4] * (1.01, 1.05, 0))
        return self._outline(world)

    def _outline(self, world: Array) -> list[NDArray[np.int32]]:
        px = self._pixels(world)
        return [] if px is None else [np.round(hull(px) * 2**SHIFT).astype(np.int32)]

    def _glows(self, user: int, mesh: Mesh) -> list[Glow]:
        if self.light.lamps <= 0 or not (on := self.lamps_on(user)):
            return []
        heading = np.array([math.cos(self.now.heading_rad[user]), math.sin(self.now.heading_rad[user]), 0.0])
        made = []
        for places, way, colour, reach in (
            (mesh.headlamps, 1.0, (255.0, 246.0, 224.0), 0.62), (mesh.taillamps, -1.0, (255.0, 40.0, 30.0), 0.26),
        ):  # fmt: skip
            world = self._world(user, places)
            for lamp in world:
                to = self.camera.place - lamp
                far = float(np.linalg.norm(to))
                along = float(to @ heading) / far * way
                px = self._pixels(lamp[None])
                if along <= 0 or px is None:
                    continue
                focal = self.camera.lens.focal_px
                share = self.light.lamps * on * along ** (1.5 if way > 0 else 0.5) * math.exp(-far * _loss(self.light))
                radius = max(2.0, reach * focal / far * (0.8 + 0.6 * along))
                made.append(Glow(float(px[0, 0]), float(px[0, 1]), radius, tuple(share * c for c in colour)))
        return made

    def pool(self, user: int) -> list[NDArray[np.float32]]:
        """Where its headlamps light the road."""
        now, label = self.now, self.recording.journeys[self.now.index[user]].label
        if self.light.street <= 0 or label in {"bicycle", "person"}:
            return []
        front, aside = now.length_m[user] / 2, now.width_m[user] * 0.4
        ahead = np.array([(front, -aside), (front, aside), (front + 16, 4 * aside), (front + 16, -4 * aside)])
        cos, sin = math.cos(now.heading_rad[user]), math.sin(now.heading_rad[user])
        world = np.zeros((4, 3))
        world[:, 0] = now.x_m[user] + cos * ahead[:, 0] - sin * ahead[:, 1]
        world[:, 1] = now.y_m[user] + sin * ahead[:, 0] + cos * ahead[:, 1]
        px = self._pixels(world)
        return [] if px is None else [px.astype(np.float32)]


def sun_direction(camera: Pinhole, light: Light) -> Array:
    """Where the sun stands, in the world's axes: it goes with the camera, so that no camera looks into it by chance."""
    x, y, z = light.sun_from
    heading = camera.pose.heading_rad
    right = np.array([math.sin(heading), -math.cos(heading), 0.0])
    ahead = np.array([math.cos(heading), math.sin(heading), 0.0])
    return np.asarray(right * x + ahead * y + np.array([0.0, 0.0, z])) / math.sqrt(x * x + y * y + z * z)


def veiled(colour: Array, far_m: Array, light: Light) -> Array:
    """Colours [..., 3] as they are seen through the air of far_m metres.

    Source:
        H. Koschmieder, Theorie der horizontalen Sichtweite (1924): contrast falls exponentially with distance.
    """
    kept = np.exp(-far_m * _loss(light))[..., None]
    return np.asarray(colour * kept + np.array(light.fog_colour) * (1 - kept))


def _loss(light: Light) -> float:
    return -math.log(max(1 - light.fog, 1e-6)) / 100.0


@functools.lru_cache(maxsize=4096)
def _palette(label: str, user: int, seed: int) -> Array:
    return colours(label, user, seed)


def _area(px: Array) -> Array:
    """The areas of polygons [p, k, 2]."""
    x, y = px[..., 0], px[..., 1]
    return np.asarray(np.abs(np.sum(x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1), axis=1)) / 2)


def hull(points: Array) -> Array:
    """The convex hull of points [n, 2], counter-clockwise.

    Source:
        A. M. Andrew, Another efficient algorithm for convex hulls in two dimensions (1979).
    """
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(way: Array) -> list[Array]:
        made: list[Array] = []
        for point in way:
            while len(made) > 1 and _turn(made[-2], made[-1], point) <= 0:
                made.pop()
            made.append(point)
        return made[:-1]

    return np.array([*half(ordered), *half(ordered[::-1])]) if len(ordered) > 2 else ordered  # noqa: PLR2004 - a line


def _turn(a: Array, b: Array, c: Array) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _behind_first(camera: Pinhole, now: Moment, seen: NDArray[np.intp]) -> NDArray[np.intp]:
    """An order of users in which nobody is painted over by whom they hide.

    Of two footprints, the line along a side of one that has the other wholly beyond it parts them: who is on the
    camera's side may hide the other. Where no line parts them, the nearer middle counts. A circle, which hardly ever
    comes, is broken at the farthest.

    Source:
        The separating plane of Newell, Newell and Sancha, A solution to the hidden surface problem (1972).
    """
    n = len(seen)
    eye = camera.place[:2]
    cos, sin = np.cos(now.heading_rad[seen]), np.sin(now.heading_rad[seen])
    axes = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)  # [n, 2, 2]
    middle = np.column_stack([now.x_m[seen], now.y_m[seen]])
    half = np.column_stack([now.length_m[seen], now.width_m[seen]]) / 2
    signs = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])
    corners = middle[:, None] + np.einsum("kc,nc,ncd->nkd", signs, half, axes)  # [n, 4, 2]
    away = np.linalg.norm(middle - eye, axis=1)
    local = (
        np.einsum("mkd,nad->nmka", corners, axes) - np.einsum("nd,nad->na", middle, axes)[:, None, None]
    )  # in n's axes
    mine = np.einsum("nad,nd->na", axes, eye - middle)  # the camera in n's axes
    front = np.zeros((n, n), dtype=bool)  # [a, b]: a may hide b
    known = np.eye(n, dtype=bool)
    for axis in (0, 1):
        for side in (1.0, -1.0):
            beyond = np.all(side * local[..., axis] >= half[:, None, None, axis] - 1e-6, axis=2)  # b beyond a's side
            outside = (side * mine[:, axis] > half[:, axis])[:, None]
            fresh = beyond & ~known
            front |= (fresh & outside).T  # b stands on the camera's side of a
            front |= fresh & ~outside
            known |= fresh | fresh.T
    nearer = away[:, None] < away
    front |= ~known & nearer
    np.fill_diagonal(front, val=False)
    bearing = np.arctan2(*(corners - eye).transpose(2, 0, 1)[::-1])
    centre = np.arctan2(middle[:, 1] - eye[1], middle[:, 0] - eye[0])
    spread = np.abs((bearing - centre[:, None] + np.pi) % (2 * np.pi) - np.pi).max(axis=1)
    apart = np.abs((centre[:, None] - centre + np.pi) % (2 * np.pi) - np.pi) > spread[:, None] + spread
    front &= ~apart
    order: list[int] = []
    hides = front.sum(axis=1)  # how many it hides: all of them come first
    left = np.ones(n, dtype=bool)
    while len(order) < n:
        free = np.flatnonzero(left & (hides == 0))
        if not len(free):
            free = np.array([np.flatnonzero(left)[np.argmax(away[left])]])
        for each in free[np.argsort(-away[free], kind="stable")]:
            order.append(int(each))
            left[each] = False
            hides -= front[:, each]
    return np.array(order, dtype=np.intp)
