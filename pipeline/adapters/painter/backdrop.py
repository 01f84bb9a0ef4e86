"""What stands still in a picture: the ground with its markings, what stands beside it, the horizon and the sky."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.camera import Pinhole
from pipeline.simulate.ground import Block, Patch
from pipeline.simulate.pixels.light import Colour, Light
from pipeline.simulate.pixels.sketch import SHIFT, STREET, street_light, sun_direction, veiled
from pipeline.simulate.scenario import Scenario

Floats = NDArray[np.float64]

_FINER = 2  # painted so many times larger, and scaled down: smooth edges
_NEAR_M = 0.5
_STEP_M = 2.0  # a long edge is cut into pieces of this length, since lenses bend it
_HORIZON_M = 3000.0

_SURFACES: dict[str, Colour] = {
    "grass": (92, 112, 66),
    "asphalt": (104, 104, 106),
    "worn": (92, 92, 95),
    "paint": (226, 226, 222),
    "kerb": (170, 168, 162),
    "paving": (158, 152, 144),
    "cycle": (138, 88, 78),
    "soil": (120, 104, 82),
}
_GRAIN: dict[str, float] = {"grass": 0.16, "asphalt": 0.06, "paving": 0.07}

_HOUSES: tuple[Colour, ...] = ((168, 128, 108), (196, 186, 168), (148, 140, 134), (182, 158, 128), (206, 200, 190))


class Backdrop(NamedTuple):
    """Two pictures, [height, width, 3], blue, green, red."""

    lit: NDArray[np.uint8]  # as it looks
    albedo: NDArray[np.uint8]  # what light of a lamp would show of it, seen through the air


def backdrop(place: Scenario, light: Light) -> Backdrop:
    """Paint what stands still."""
    camera = place.camera
    size = (camera.lens.size.width * _FINER, camera.lens.size.height * _FINER)
    canvas = np.empty((size[1], size[0], 3), dtype=np.uint8)
    canvas[:] = _bgr(_SURFACES["grass"])
    rough = np.full((size[1], size[0]), 255, dtype=np.uint8)  # how grainy: 255 is grass
    for patch in place.ground.patches:
        for polygon in _polygons(camera, patch):
            cv2.fillPoly(canvas, [polygon], _bgr(_SURFACES[patch.surface]), cv2.LINE_AA, SHIFT)
            cv2.fillPoly(
                rough, [polygon], int(255 * _GRAIN.get(patch.surface, 0.05) / _GRAIN["grass"]), cv2.LINE_8, SHIFT
            )
    small = (camera.lens.size.width, camera.lens.size.height)
    colour: Floats = cv2.resize(canvas, small, interpolation=cv2.INTER_AREA)[..., ::-1].astype(np.float64)
    grain = cv2.resize(rough, small, interpolation=cv2.INTER_AREA).astype(np.float64) / 255 * _GRAIN["grass"]
    x, y, far = _where(camera)
    colour *= (1 + grain * _texture(x, y, far))[..., None]
    if light.wet > 0:
        road = np.clip(1 - grain / _GRAIN["grass"] * 1.4, 0, 1)[..., None]
        colour *= 1 - 0.34 * light.wet * road
        mirror = np.clip((far - 8) / 90, 0, 1)[..., None] * road * light.wet * 0.34
        colour = colour * (1 - mirror) + np.array(light.sky_low) * mirror
    shone = np.array(light.ambient) * 1.08 + np.array(light.sun) * max(0.0, float(sun_direction(camera, light)[2]))
    street = street_light(place, x, y) * light.street
    lit = colour * (shone + street[..., None] * np.array(STREET))
    lit = veiled(lit, far, light)
    through = veiled(colour, far, light) - veiled(np.zeros_like(colour), far, light)
    sky = ~np.isfinite(x)
    lit[sky] = _sky(camera, light)[sky]
    through[sky] = 0
    picture = np.clip(lit, 0, 255).astype(np.uint8)[..., ::-1].copy()
    albedo = np.clip(through, 0, 255).astype(np.uint8)[..., ::-1].copy()
    for block in sorted(place.ground.blocks, key=lambda each: -_nearest(camera, each)):
        _block(picture, albedo, camera, block, light)
    return Backdrop(picture, albedo)


def _bgr(colour: Colour) -> tuple[float, float, float]:
    return (colour[2], colour[1], colour[0])


def _polygons(camera: Pinhole, patch: Patch) -> list[NDArray[np.int32]]:
    """A patch as the camera sees it: cut where it comes too near, its edges bent as the lens bends them."""
    points = np.array([(*point, 0.0) for point in patch.points])
    turned = camera.turned(points)
    kept = _clipped(turned)
    if len(kept) < 3:  # noqa: PLR2004 - a polygon
        return []
    bent = []
    for a, b in zip(kept, np.roll(kept, -1, axis=0), strict=True):
        pieces = max(1, min(400, math.ceil(float(np.linalg.norm(b - a)) / _STEP_M)))
        bent.append(a + (b - a) * (np.arange(pieces) / pieces)[:, None])
    scale = np.array([camera.lens.size.width, camera.lens.size.height]) * _FINER
    px = camera.picture(np.concatenate(bent)) * scale
    return [np.round(np.clip(px, -20000, 20000) * 2**SHIFT).astype(np.int32)]


def _clipped(turned: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a polygon [k, 3] at least _NEAR_M ahead (Sutherland and Hodgman, 1974)."""
    made = []
    for a, b in zip(turned, np.roll(turned, -1, axis=0), strict=True):
        if a[2] >= _NEAR_M:
            made.append(a)
        if (a[2] >= _NEAR_M) != (b[2] >= _NEAR_M):
            made.append(a + (b - a) * (_NEAR_M - a[2]) / (b[2] - a[2]))
    return np.array(made)


def _where(camera: Pinhole) -> tuple[Floats, Floats, Floats]:
    """Which point of the ground every pixel shows, in metres, and how far it is; nan in the sky."""
    width, height = camera.lens.size.width, camera.lens.size.height
    every = 4  # the lens is smooth: between so many pixels a straight line does
    xs, ys = np.arange(0, width + every, every), np.arange(0, height + every, every)
    grid = np.stack(np.meshgrid((xs + 0.5) / width, (ys + 0.5) / height), axis=-1)
    rays = camera.rays(grid.reshape(-1, 2)).reshape(*grid.shape[:2], 3)
    rays = np.where(np.isfinite(rays), rays, 0.0).astype(np.float32)
    size = (len(xs) * every, len(ys) * every)
    matrix = np.array([[every, 0, 0], [0, every, 0]], dtype=np.float64)
    full = cv2.warpAffine(rays, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:height, :width]
    down = -full[..., 2]
    reach = np.where(down > camera.pose.z_m / _HORIZON_M, camera.pose.z_m / np.maximum(down, 1e-9), np.nan)
    x, y = camera.pose.x_m + full[..., 0] * reach, camera.pose.y_m + full[..., 1] * reach
    far = np.where(
        np.isfinite(reach), np.linalg.norm(full, axis=-1) * np.where(np.isfinite(reach), reach, 0), _HORIZON_M
    )
    return x.astype(np.float64), y.astype(np.float64), far.astype(np.float64)


def _texture(x: Floats, y: Floats, far: Floats) -> Floats:
    """Unevenness of the ground, about -1 to 1; what is too far away to be seen is smooth."""
    chance = np.random.default_rng(11)
    total = np.zeros_like(x)
    for size_m, share in ((0.12, 0.5), (0.7, 0.45), (4.0, 0.5), (19.0, 0.45)):
        tile = chance.standard_normal((256, 256)).astype(np.float32)
        fade = np.clip(size_m * 420 / np.maximum(far, 1.0), 0, 1)
        ok = np.isfinite(x)
        u = np.where(ok, np.mod(x / size_m, 256), 0).astype(np.float32)
        v = np.where(ok, np.mod(y / size_m, 256), 0).astype(np.float32)
        total += share * fade * cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(np.clip(total, -2, 2))


def _sky(camera: Pinhole, light: Light) -> Floats:
    """The sky, and a far line of trees and roofs on the horizon."""
    width, height = camera.lens.size.width, camera.lens.size.height
    ys = (np.arange(height) + 0.5) / height
    rays = camera.rays(np.column_stack([np.full(height, 0.5), ys]))
    up = np.degrees(np.arctan2(rays[:, 2], np.hypot(rays[:, 0], rays[:, 1])))
    up = np.where(np.isfinite(up), up, 90.0)
    share = np.clip(up / 22, 0, 1)[:, None]
    column = np.array(light.sky_low) * (1 - share) + np.array(light.sky_top) * share
    sky = np.repeat(column[:, None], width, axis=1)
    xs = (np.arange(width) + 0.5) / width
    along = camera.rays(np.column_stack([xs, np.full(width, 0.5)]))
    bearing = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    chance = np.random.default_rng(23)
    tops = np.zeros(width)
    for period, tall in ((11.0, 0.8), (3.1, 0.5), (0.9, 0.25)):
        tops += tall * np.sin(bearing / period * 2 * math.pi + chance.uniform(0, 6.3))
    tops = 1.3 + 0.5 * tops
    trees = veiled(np.array([58.0, 72.0, 50.0]) * np.array(light.ambient) * 1.2, np.array(420.0), light)
    mask = up[:, None] < np.maximum(tops, 0.35)[None]
    sky[mask] = trees
    return sky


def _nearest(camera: Pinhole, block: Block) -> float:
    x = min(max(camera.pose.x_m, block.x1_m), block.x2_m) - camera.pose.x_m
    y = min(max(camera.pose.y_m, block.y1_m), block.y2_m) - camera.pose.y_m
    return math.hypot(x, y)


def _block(picture: NDArray[np.uint8], albedo: NDArray[np.uint8], camera: Pinhole, block: Block, light: Light) -> None:
    """A house with its windows, a wall, or trees."""
    if block.look == "trees":
        _trees(picture, albedo, camera, block, light)
        return
    chance = np.random.default_rng(abs(hash((block.x1_m, block.y1_m))) % 2**32)
    base = (
        np.array(_HOUSES[chance.integers(len(_HOUSES))]) if block.look == "house" else np.array((150.0, 150.0, 146.0))
    )
    sun = sun_direction(camera, light)
    corners = [(block.x1_m, block.y1_m), (block.x2_m, block.y1_m), (block.x2_m, block.y2_m), (block.x1_m, block.y2_m)]
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        normal = np.array([b[1] - a[1], a[0] - b[0], 0.0])
        length = float(np.linalg.norm(normal))
        normal /= length
        if (camera.place[:2] - np.array(a)) @ normal[:2] <= 0:
            continue
        shade = np.array(light.ambient) * 0.85 + np.array(light.sun) * max(0.0, float(normal @ sun))
        _wall(picture, albedo, camera, (a, b), (0.0, block.height_m), base * shade, light)
        if block.look != "house":
            continue
        floors, columns = max(1, round(block.height_m / 3.2)), max(1, round(length / 3.4))
        for floor in range(floors):
            for column in range(columns):
                ends = tuple(
                    (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
                    for share in ((column + 0.3) / columns, (column + 0.7) / columns)
                )
                low = (floor + 0.3) * block.height_m / floors
                on = light.lamps > 0.6 and chance.random() < 0.3  # noqa: PLR2004 - somebody is at home
                glass = (
                    np.array((236.0, 196.0, 128.0)) * 0.8
                    if on
                    else np.array((70.0, 82.0, 94.0)) * (shade * 0.8 + 0.1 * np.array(light.ambient))
                )
                _wall(
                    picture,
                    albedo,
                    camera,
                    (ends[0], ends[1]),
                    (low, low + 0.5 * block.height_m / floors),
                    glass,
                    light,
                )


def _wall(
    picture: NDArray[np.uint8],
    albedo: NDArray[np.uint8],
    camera: Pinhole,
    ends: tuple[tuple[float, float], tuple[float, float]],
    heights: tuple[float, float],
    colour: NDArray[np.float64],
    light: Light,
) -> None:
    points = np.array([(*ends[0], heights[0]), (*ends[1], heights[0]), (*ends[1], heights[1]), (*ends[0], heights[1])])
    kept = _clipped(camera.turned(points))
    if len(kept) < 3:  # noqa: PLR2004 - a polygon
        return
    far = np.linalg.norm(points.mean(axis=0) - camera.place)
    seen = np.clip(veiled(colour, np.array(far), light), 0, 255)
    px = camera.picture(kept) * (camera.lens.size.width, camera.lens.size.height)
    polygon = np.round(np.clip(px, -20000, 20000) * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(picture, [polygon], (float(seen[2]), float(seen[1]), float(seen[0])), cv2.LINE_AA, SHIFT)
    cv2.fillPoly(albedo, [polygon], (0, 0, 0), cv2.LINE_8, SHIFT)


def _trees(picture: NDArray[np.uint8], albedo: NDArray[np.uint8], camera: Pinhole, block: Block, light: Light) -> None:
    """Crowns of many leaves, the farthest first."""
    chance = np.random.default_rng(round(abs(block.x1_m * 31 + block.y1_m * 17)) + 3)
    area = (block.x2_m - block.x1_m) * (block.y2_m - block.y1_m)
    count = int(np.clip(area / 14, 4, 160))
    x, y = chance.uniform(block.x1_m, block.x2_m, count), chance.uniform(block.y1_m, block.y2_m, count)
    away = np.hypot(x - camera.pose.x_m, y - camera.pose.y_m)
    scale = np.array([camera.lens.size.width, camera.lens.size.height])
    for n in np.argsort(-away):
        height = block.height_m * chance.uniform(0.75, 1.0)
        tone = np.array((66.0, 88.0, 48.0)) * chance.uniform(0.8, 1.2)
        for _ in range(26):
            up = chance.uniform(0.12, 1.0)
            wide = 0.32 * height * math.sqrt(max(0.02, 1 - (up * 1.7 - 0.85) ** 2))
            leaf = np.array([x[n] + chance.normal(0, wide * 0.5), y[n] + chance.normal(0, wide * 0.5), height * up])
            turned = camera.turned(leaf[None])
            if turned[0, 2] < 1:
                continue
            px = camera.picture(turned)[0] * scale
            radius = 0.16 * height * camera.lens.focal_px / turned[0, 2]
            shade = np.array(light.ambient) * (0.5 + 0.5 * up) + np.array(light.sun) * 0.7 * up * chance.uniform(
                0.5, 1.1
            )
            seen = np.clip(veiled(tone * shade, np.array(away[n]), light), 0, 255)
            middle = (round(float(px[0])), round(float(px[1])))
            if not (-2000 < middle[0] < 4000 and -2000 < middle[1] < 4000):  # noqa: PLR2004 - far outside
                continue
            cv2.circle(
                picture,
                middle,
                max(1, round(radius)),
                (float(seen[2]), float(seen[1]), float(seen[0])),
                -1,
                cv2.LINE_AA,
            )
            cv2.circle(albedo, middle, max(1, round(radius)), (0, 0, 0), -1)
