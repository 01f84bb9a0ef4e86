"""What lies on the ground of a place and stands beside its roads, in metres, for whoever paints it.

Patches are painted in their order, later ones over earlier ones. Nothing that stands here may hide a road user: the
truth knows of no such thing. So what stands lies behind the roads as the camera sees them; a test holds every place
to it.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Metres = tuple[float, float]
"""A point on the road: x east, y north."""

Surface = Literal["asphalt", "worn", "paint", "kerb", "paving", "grass", "cycle", "soil"]
"""What a patch is made of; `worn` is asphalt darkened by wheels, `paint` a marking."""


class Patch(msgspec.Struct, frozen=True):
    """A polygon of the ground."""

    surface: Surface
    points: tuple[Metres, ...]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A house, a wall or a row of trees: an upright box with a look of its own."""

    look: Literal["house", "wall", "trees"]
    x1_m: float
    y1_m: float
    x2_m: float
    y2_m: float
    height_m: float


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """All of a place that does not move. Around it all is grass."""

    patches: tuple[Patch, ...] = ()
    blocks: tuple[Block, ...] = ()
    lamps: tuple[Metres, ...] = ()  # street lamps, which shine by night; their posts are not drawn


def box(surface: Surface, x1: float, y1: float, x2: float, y2: float) -> Patch:
    """An upright rectangle."""
    return Patch(surface, ((x1, y1), (x2, y1), (x2, y2), (x1, y2)))


def disc(surface: Surface, radius_m: float, *, middle: Metres = (0.0, 0.0), corners: int = 72) -> Patch:
    """A circle."""
    turns = (2 * math.pi * n / corners for n in range(corners))
    return Patch(
        surface, tuple((middle[0] + radius_m * math.cos(a), middle[1] + radius_m * math.sin(a)) for a in turns)
    )


def band(surface: Surface, way: Sequence[Metres], width_m: float) -> list[Patch]:
    """A strip of constant width along a polyline: one patch for each of its pieces, which overlap a little."""
    return [_piece(surface, a, b, width_m, lap_m=width_m * 0.02) for a, b in itertools.pairwise(way)]


def dashes(way: Sequence[Metres], *, width_m: float, dash_m: float, gap_m: float) -> list[Patch]:
    """A broken marking along a polyline; `gap_m` 0: an unbroken one."""
    if gap_m <= 0:
        return band("paint", way, width_m)
    made, along = [], 0.0
    for a, b in itertools.pairwise(way):
        length = math.dist(a, b)
        place = -along % (dash_m + gap_m) if along else 0.0
        while place < length:
            ends = (place / length, min(1.0, (place + dash_m) / length))
            start, end = ((a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1])) for s in ends)
            made.append(_piece("paint", start, end, width_m, lap_m=0.0))
            place += dash_m + gap_m
        along += length
    return made


def zebra(middle: Metres, *, along_rad: float, length_m: float, depth_m: float, stripe_m: float = 0.5) -> list[Patch]:
    """A crossing for people: stripes side by side over `length_m`, each `depth_m` long, at right angles to `along_rad`."""
    x, y = math.cos(along_rad), math.sin(along_rad)
    made, place = [], -length_m / 2 + stripe_m / 2
    while place <= length_m / 2 - stripe_m / 2:
        at = (middle[0] + x * place, middle[1] + y * place)
        start, end = (
            (at[0] - y * depth_m / 2, at[1] + x * depth_m / 2),
            (at[0] + y * depth_m / 2, at[1] - x * depth_m / 2),
        )
        made.append(_piece("paint", start, end, stripe_m, lap_m=0.0))
        place += 2 * stripe_m
    return made


def arrow(at: Metres, heading_rad: float, *, turn: Literal["ahead", "left", "right"] = "ahead") -> list[Patch]:
    """An arrow on a lane, 4 m long, its tip ahead of `at`."""
    shaft = [(-2.0, -0.08), (0.6, -0.08), (0.6, -0.38), (2.0, 0.0), (0.6, 0.38), (0.6, 0.08), (-2.0, 0.08)]
    if turn != "ahead":
        side = 1 if turn == "left" else -1
        shaft = [
            (-2.0, -0.1), (1.2, -0.1), (1.2, 0.1), (1.2, 0.5 * side), (1.65, 0.5 * side), (1.05, 1.3 * side),
            (0.45, 0.5 * side), (0.95, 0.5 * side), (0.95, 0.1), (-2.0, 0.1),
        ]  # fmt: skip
    cos, sin = math.cos(heading_rad), math.sin(heading_rad)
    return [Patch("paint", tuple((at[0] + cos * x - sin * y, at[1] + sin * x + cos * y) for x, y in shaft))]


def turned(patches: Iterable[Patch], quarters: int) -> list[Patch]:
    """The same, turned by quarters about the origin, counter-clockwise."""

    def turn(point: Metres) -> Metres:
        x, y = point
        for _ in range(quarters % 4):
            x, y = -y, x
        return (x, y)

    return [Patch(each.surface, tuple(turn(point) for point in each.points)) for each in patches]


def _piece(surface: Surface, a: Metres, b: Metres, width_m: float, *, lap_m: float) -> Patch:
    length = math.dist(a, b) or 1.0
    x, y = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    half, a, b = width_m / 2, (a[0] - x * lap_m, a[1] - y * lap_m), (b[0] + x * lap_m, b[1] + y * lap_m)
    return Patch(
        surface,
        (
            (a[0] - y * half, a[1] + x * half),
            (b[0] - y * half, b[1] + x * half),
            (b[0] + y * half, b[1] - x * half),
            (a[0] + y * half, a[1] - x * half),
        ),
    )
