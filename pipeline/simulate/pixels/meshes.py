"""What road users are built of: flat faces, in the space of their cuboid.

x is along the length (-0.5 the rear, 0.5 the front), y across (0.5 the left), z up (0 the road, 1 the top), so that one
mesh serves every size and fills the cuboid that the truth measures. Parts are convex and stand one behind the other
along the length; what lies on a face (windows, lamps) follows it.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Corner = tuple[float, float, float]


class Paint(IntEnum):
    """What a face is painted with; the colours are those of `light`, or the user's own."""

    BODY = 0  # the user's own colour
    SECOND = auto()  # its second colour: a lorry's box, a rider's jacket
    THIRD = auto()  # trousers, a bus's stripe
    GLASS = auto()
    TRIM = auto()  # black plastic
    TYRE = auto()
    RIM = auto()
    HEADLAMP = auto()
    TAILLAMP = auto()
    PLATE = auto()
    SKIN = auto()
    HAIR = auto()


@dataclass(frozen=True)
class Face:
    """A flat polygon, its corners counter-clockwise as seen from outside; `sides` 2: seen from both."""

    paint: Paint
    corners: tuple[Corner, ...]
    sides: int = 1


@dataclass(frozen=True)
class Part:
    """A convex body with what lies on it; `layer` 1 stands upon layer 0."""

    at: float  # the middle along the length: which of two parts is nearer
    faces: tuple[Face, ...]
    layer: int = 0
    aside: float = 0.0  # the middle across


@dataclass(frozen=True)
class Mesh:
    """A road user's shape, as arrays; p polygons of at most k corners, in m parts."""

    corners: Array  # [p, k, 3]; polygons with fewer repeat their last one
    paint: NDArray[np.intp]  # [p]
    part: NDArray[np.intp]  # [p] which part a polygon belongs to
    both: NDArray[np.bool_]  # [p] seen from both sides
    part_at: Array  # [m, 2] where a part's middle is, along and across
    part_layer: NDArray[np.intp]  # [m]
    headlamps: Array  # [h, 3] where light comes out in front
    taillamps: Array  # [t, 3]


def mesh(parts: Sequence[Part]) -> Mesh:
    """Parts as arrays."""
    faces = [(number, face) for number, part in enumerate(parts) for face in part.faces]
    most = max(len(face.corners) for _, face in faces)
    corners = np.array([face.corners + (face.corners[-1],) * (most - len(face.corners)) for _, face in faces])

    def lamps(paint: Paint) -> Array:
        found = [np.mean(face.corners, axis=0) for _, face in faces if face.paint is paint]
        return np.array(found).reshape(-1, 3)

    return Mesh(
        corners=corners,
        paint=np.array([face.paint for _, face in faces], dtype=np.intp),
        part=np.array([number for number, _ in faces], dtype=np.intp),
        both=np.array([face.sides > 1 for _, face in faces]),
        part_at=np.array([(part.at, part.aside) for part in parts]),
        part_layer=np.array([part.layer for part in parts], dtype=np.intp),
        headlamps=lamps(Paint.HEADLAMP),
        taillamps=lamps(Paint.TAILLAMP),
    )


@dataclass
class _Builder:
    """Collects the faces of one part."""

    faces: list[Face] = field(default_factory=list)

    def add(self, paint: Paint, *corners: Corner, sides: int = 1) -> None:
        self.faces.append(Face(paint, corners, sides))

    def both_sides(
        self, paint: Paint, corners: Sequence[tuple[float, float]], low_y: float, high_y: float | None = None
    ) -> None:
        """A polygon in (x, z), counter-clockwise as seen from the right (x to the right, z up), on both flanks.

        low_y is how far out it lies at its lowest corner, high_y at its highest one.
        """
        high_y = low_y if high_y is None else high_y
        z = [c[1] for c in corners]
        low, high = min(z), max(z)

        def out(place: float) -> float:
            return low_y + (high_y - low_y) * ((place - low) / (high - low) if high > low else 0.0)

        self.add(paint, *((x, -out(h), h) for x, h in corners))
        self.add(paint, *((x, out(h), h) for x, h in reversed(corners)))


def _hull(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    z: tuple[float, float],
    paints: Sequence[Paint],
) -> list[Face]:
    """A frustum: (rear x, front x, half width) below and above, from z to z.

    paints: of rear, front, flanks and top.
    """
    (r0, f0, w0), (r1, f1, w1), (z0, z1) = low, high, z
    rear, front, flank, top = paints
    return [
        Face(rear, ((r0, w0, z0), (r0, -w0, z0), (r1, -w1, z1), (r1, w1, z1))),
        Face(front, ((f0, -w0, z0), (f0, w0, z0), (f1, w1, z1), (f1, -w1, z1))),
        Face(flank, ((r0, -w0, z0), (f0, -w0, z0), (f1, -w1, z1), (r1, -w1, z1))),
        Face(flank, ((f0, w0, z0), (r0, w0, z0), (r1, w1, z1), (f1, w1, z1))),
        Face(top, ((r1, -w1, z1), (f1, -w1, z1), (f1, w1, z1), (r1, w1, z1))),
    ]


def _wheel(x: float, radius_x: float, radius_z: float, y: float, corners: int = 10) -> list[Face]:
    """A wheel on each flank: tyre and rim."""
    b = _Builder()
    for paint, share in ((Paint.TYRE, 1.0), (Paint.RIM, 0.58)):
        turns = [2 * math.pi * n / corners for n in range(corners)]
        b.both_sides(
            paint,
            [(x + share * radius_x * math.cos(a), radius_z + share * radius_z * math.sin(a)) for a in turns],
            y,
        )
    return b.faces


@dataclass(frozen=True)
class _Car:
    """The side view of a car, as shares of its length (from the rear, 0.5 the front) and height."""

    rear_deck: float  # where the rear window meets the boot
    rear_roof: float
    front_roof: float
    cowl: float  # where the windscreen meets the bonnet
    belt: float = 0.60  # height of the windows' lower edge
    bonnet: float = 0.52  # height at the front end
    boot: float = 0.60  # height at the rear end
    axles: tuple[float, float] = (-0.30, 0.315)
    glass: bool = True  # windows in the flanks behind the front seats


_CARS = {
    "hatchback": _Car(-0.485, -0.36, 0.04, 0.24, belt=0.60, boot=0.62, axles=(-0.315, 0.325)),
    "saloon": _Car(-0.32, -0.20, 0.06, 0.22, belt=0.61, boot=0.64, bonnet=0.53),
    "estate": _Car(-0.488, -0.41, 0.06, 0.22, belt=0.60, boot=0.62),
    "suv": _Car(-0.487, -0.42, 0.07, 0.25, belt=0.60, bonnet=0.58, boot=0.62, axles=(-0.30, 0.31)),
    "van": _Car(-0.49, -0.475, 0.24, 0.38, belt=0.56, bonnet=0.50, boot=0.60, axles=(-0.29, 0.33), glass=False),
}


def _wheels(b: _Builder, c: _Car) -> None:
    """The sills, and wheels in their arches."""
    width, sill = 0.5, 0.135
    b.both_sides(Paint.TRIM, [(-0.2, sill), (0.2, sill), (0.2, 0.17), (-0.2, 0.17)], width * 1.002)
    for axle in c.axles:
        arch = [
            (axle + 0.088 * math.cos(a), 0.235 + 0.255 * math.sin(a)) for a in (2 * math.pi * n / 10 for n in range(10))
        ]
        b.both_sides(Paint.TRIM, [(x, max(0.08, z)) for x, z in arch], width * 1.001)
        b.faces += _wheel(axle, 0.072, 0.215, width * 1.003)


def _car(c: _Car) -> Mesh:
    width, waist, roof = 0.5, 0.475, 0.375
    sill, bumper = 0.135, 0.16
    b = _Builder()
    b.faces += [  # the underside's shadow line
        *_hull((-0.49, 0.49, width * 0.94), (-0.495, 0.495, width * 0.96), (0.07, sill), [Paint.TRIM] * 4),
    ]
    flank = [(-0.495, sill), (0.495, sill), (0.5, 0.36), (0.485, c.bonnet), (c.cowl, c.belt), (c.rear_deck, c.belt), (-0.49, c.boot), (-0.5, 0.4)]  # fmt: skip
    b.both_sides(Paint.BODY, flank, width, waist)
    b.add(
        Paint.BODY, (0.495, -width, sill), (0.495, width, sill), (0.5, width * 0.98, 0.36), (0.5, -width * 0.98, 0.36)
    )
    b.add(
        Paint.BODY,
        (0.5, -width * 0.98, 0.36),
        (0.5, width * 0.98, 0.36),
        (0.485, waist, c.bonnet),
        (0.485, -waist, c.bonnet),
    )
    b.add(
        Paint.BODY,
        (0.485, -waist, c.bonnet),
        (0.485, waist, c.bonnet),
        (c.cowl, waist, c.belt),
        (c.cowl, -waist, c.belt),
    )
    b.add(
        Paint.BODY, (-0.495, width, sill), (-0.495, -width, sill), (-0.5, -width * 0.98, 0.4), (-0.5, width * 0.98, 0.4)
    )
    b.add(
        Paint.BODY,
        (-0.5, width * 0.98, 0.4),
        (-0.5, -width * 0.98, 0.4),
        (-0.49, -waist, c.boot),
        (-0.49, waist, c.boot),
    )
    b.add(
        Paint.BODY,
        (c.rear_deck, -waist, c.belt),
        (c.rear_deck, waist, c.belt),
        (-0.49, waist, c.boot),
        (-0.49, -waist, c.boot),
    )
    # front: grille, lamps, plate, bumper
    b.add(Paint.TRIM, (0.501, -0.27, 0.30), (0.501, 0.27, 0.30), (0.498, 0.25, 0.42), (0.498, -0.25, 0.42))
    b.add(Paint.TRIM, (0.498, -0.40, bumper), (0.498, 0.40, bumper), (0.501, 0.38, 0.25), (0.501, -0.38, 0.25))
    for side in (-1, 1):
        y = sorted((side * 0.30, side * 0.47))
        b.add(Paint.HEADLAMP, (0.5, y[0], 0.38), (0.5, y[1], 0.38), (0.494, y[1] * 0.99, 0.475), (0.494, y[0], 0.475))
        b.add(
            Paint.TAILLAMP,
            (-0.501, y[1], 0.43),
            (-0.501, y[0], 0.43),
            (-0.495, y[0], 0.56),
            (-0.495, y[1] * 0.99, 0.56),
        )
    b.add(Paint.PLATE, (0.502, -0.14, 0.24), (0.502, 0.14, 0.24), (0.502, 0.14, 0.30), (0.502, -0.14, 0.30))
    b.add(Paint.PLATE, (-0.502, 0.14, 0.40), (-0.502, -0.14, 0.40), (-0.5, -0.14, 0.47), (-0.5, 0.14, 0.47))
    b.add(Paint.TRIM, (-0.497, 0.42, bumper), (-0.497, -0.42, bumper), (-0.502, -0.40, 0.26), (-0.502, 0.40, 0.26))
    _wheels(b, c)
    house = _Builder()
    house.faces += _hull(
        (c.rear_deck, c.cowl, waist), (c.rear_roof, c.front_roof, roof), (c.belt, 1.0),
        [Paint.BODY, Paint.BODY, Paint.BODY, Paint.BODY],
    )  # fmt: skip

    def along(share: float, low: float, high: float) -> float:
        return low + (high - low) * share

    for start, end, outside in ((c.rear_deck, c.rear_roof, -1), (c.cowl, c.front_roof, 1)):
        lo, hi = 0.05, 0.90
        corners = []
        for share in (lo, hi):
            place, half = along(share, start, end) + outside * 0.001, along(share, waist, roof) * 0.92
            high = along(share, c.belt, 1.0)
            corners += [(place, -half * outside, high), (place, half * outside, high)]
        if outside > 0 or c.glass:
            house.add(Paint.GLASS, corners[0], corners[1], corners[3], corners[2])
        else:  # a van's two small rear windows
            for share_y in (-0.5, 0.5):
                y0, y1 = share_y * 0.8 - 0.12, share_y * 0.8 + 0.12
                z0, z1 = along(0.25, c.belt, 1.0), along(0.8, c.belt, 1.0)
                x = along(0.5, start, end) - 0.004
                house.add(
                    Paint.GLASS,
                    (x, y1 * roof * 2, z0),
                    (x, y0 * roof * 2, z0),
                    (x, y0 * roof * 2, z1),
                    (x, y1 * roof * 2, z1),
                )
    low_z, high_z = along(0.08, c.belt, 1.0), along(0.88, c.belt, 1.0)
    low_y, high_y = along(0.08, waist, roof) + 0.003, along(0.88, waist, roof) + 0.003
    low_rear, high_rear = along(0.08, c.rear_deck, c.rear_roof), along(0.88, c.rear_deck, c.rear_roof)
    low_front, high_front = along(0.08, c.cowl, c.front_roof), along(0.88, c.cowl, c.front_roof)
    middle = (c.front_roof + c.rear_roof) / 2 + 0.02
    panes = [(middle + 0.012, low_front - 0.03, middle + 0.012, high_front - 0.025)]
    if c.glass:
        panes.append((low_rear + 0.035, middle - 0.012, high_rear + 0.03, middle - 0.012))
    else:
        panes = [(0.16, low_front - 0.03, 0.16, high_front - 0.025)]
    for x0, x1, x2, x3 in panes:
        house.add(Paint.GLASS, (x0, -low_y, low_z), (x1, -low_y, low_z), (x3, -high_y, high_z), (x2, -high_y, high_z))
        house.add(Paint.GLASS, (x1, low_y, low_z), (x0, low_y, low_z), (x2, high_y, high_z), (x3, high_y, high_z))
    return mesh([Part(0.0, tuple(b.faces)), Part(0.0, tuple(house.faces), layer=1)])


def _windows(b: _Builder, x0: float, x1: float, count: int, z0: float, z1: float, y: float, gap: float) -> None:
    step = (x1 - x0) / count
    for n in range(count):
        a, e = x0 + n * step + gap / 2, x0 + (n + 1) * step - gap / 2
        b.both_sides(Paint.GLASS, [(a, z0), (e, z0), (e, z1), (a, z1)], y)


def _bus(*, coach: bool) -> Mesh:
    b = _Builder()
    w, top = 0.5, 0.475
    b.faces += _hull((-0.5, 0.498, w), (-0.5, 0.5, w), (0.09, 0.62), [Paint.BODY] * 4)
    b.faces += _hull((-0.5, 0.5, w), (-0.495, 0.485, top), (0.62, 1.0), [Paint.BODY] * 4)
    low = 0.50 if coach else 0.40
    _windows(b, -0.47, 0.36, 6 if coach else 7, low, 0.84, w * 1.002, 0.012)
    b.both_sides(
        Paint.GLASS,
        [(0.38, low if coach else 0.16), (0.47, low if coach else 0.16), (0.47, 0.84), (0.38, 0.84)],
        w * 1.002,
    )
    if not coach:
        b.both_sides(Paint.GLASS, [(-0.08, 0.16), (0.0, 0.16), (0.0, 0.84), (-0.08, 0.84)], w * 1.003)
    b.both_sides(Paint.SECOND, [(-0.5, 0.24), (0.498, 0.24), (0.498, 0.33), (-0.5, 0.33)], w * 1.001)
    b.add(Paint.GLASS, (0.502, -0.46, 0.34), (0.502, 0.46, 0.34), (0.496, 0.44, 0.82), (0.496, -0.44, 0.82))
    b.add(Paint.TRIM, (0.497, -0.40, 0.845), (0.497, 0.40, 0.845), (0.49, 0.39, 0.94), (0.49, -0.39, 0.94))
    b.add(Paint.HEADLAMP, (0.502, -0.46, 0.18), (0.502, -0.28, 0.18), (0.502, -0.28, 0.25), (0.502, -0.46, 0.25))
    b.add(Paint.HEADLAMP, (0.502, 0.28, 0.18), (0.502, 0.46, 0.18), (0.502, 0.46, 0.25), (0.502, 0.28, 0.25))
    b.add(Paint.TRIM, (0.501, -0.48, 0.09), (0.501, 0.48, 0.09), (0.501, 0.48, 0.15), (0.501, -0.48, 0.15))
    b.add(Paint.GLASS, (-0.502, 0.40, 0.52), (-0.502, -0.40, 0.52), (-0.5, -0.38, 0.82), (-0.5, 0.38, 0.82))
    for side in (-1, 1):
        y = sorted((side * 0.36, side * 0.47))
        b.add(Paint.TAILLAMP, (-0.502, y[1], 0.26), (-0.502, y[0], 0.26), (-0.502, y[0], 0.38), (-0.502, y[1], 0.38))
    b.add(Paint.TRIM, (-0.501, 0.46, 0.1), (-0.501, -0.46, 0.1), (-0.501, -0.46, 0.2), (-0.501, 0.46, 0.2))
    for x in (-0.27, 0.28):
        b.faces += _wheel(x, 0.04, 0.155, w * 1.004)
    return mesh([Part(0.0, tuple(b.faces))])


def _cab(b: _Builder, rear: float, front: float, top: float, scale: float) -> None:
    """A lorry's cab over its engine; `scale` is the lorry's length, for what is as deep as it is."""
    w = 0.48
    slope = 0.35 / scale
    b.faces += _hull((rear, front, w), (rear, front, w), (0.13, 0.52 * top), [Paint.BODY] * 4)
    b.faces += _hull((rear, front, w), (rear, front - slope, w * 0.95), (0.52 * top, top), [Paint.BODY] * 4)
    depth = front - rear
    b.add(Paint.GLASS, (front + 0.001, -0.44, 0.54 * top), (front + 0.001, 0.44, 0.54 * top),
          (front - slope * 0.62, 0.42, 0.86 * top), (front - slope * 0.62, -0.42, 0.86 * top))  # fmt: skip
    b.both_sides(
        Paint.GLASS,
        [(rear + 0.45 * depth, 0.56 * top), (front - 0.08 * depth, 0.56 * top), (front - 0.22 * depth, 0.84 * top), (rear + 0.45 * depth, 0.84 * top)],
        w * 1.004, w * 0.985,
    )  # fmt: skip
    b.add(
        Paint.TRIM,
        (front + 0.001, -0.36, 0.24),
        (front + 0.001, 0.36, 0.24),
        (front + 0.001, 0.34, 0.46 * top),
        (front + 0.001, -0.34, 0.46 * top),
    )
    b.add(
        Paint.TRIM,
        (front + 0.001, -0.47, 0.09),
        (front + 0.001, 0.47, 0.09),
        (front + 0.001, 0.47, 0.15),
        (front + 0.001, -0.47, 0.15),
    )
    for side in (-1, 1):
        y = sorted((side * 0.30, side * 0.46))
        b.add(
            Paint.HEADLAMP,
            (front + 0.002, y[0], 0.16),
            (front + 0.002, y[1], 0.16),
            (front + 0.002, y[1], 0.225),
            (front + 0.002, y[0], 0.225),
        )
    b.add(
        Paint.PLATE,
        (front + 0.002, -0.1, 0.16),
        (front + 0.002, 0.1, 0.16),
        (front + 0.002, 0.1, 0.19),
        (front + 0.002, -0.1, 0.19),
    )


def _load(b: _Builder, rear: float, front: float, floor: float) -> None:
    w = 0.5
    b.faces += _hull((rear, front, w), (rear, front, w), (floor, 1.0), [Paint.SECOND] * 4)
    b.add(
        Paint.TRIM,
        (rear - 0.0005, w, floor - 0.12),
        (rear - 0.0005, -w, floor - 0.12),
        (rear - 0.0005, -w, floor - 0.03),
        (rear - 0.0005, w, floor - 0.03),
    )
    b.both_sides(Paint.THIRD, [(rear, floor), (front, floor), (front, floor + 0.03), (rear, floor + 0.03)], w * 1.001)
    b.add(
        Paint.TRIM,
        (rear - 0.0006, 0.012, floor),
        (rear - 0.0006, -0.012, floor),
        (rear - 0.0006, -0.012, 0.98),
        (rear - 0.0006, 0.012, 0.98),
    )
    for side in (-1, 1):
        y = sorted((side * 0.34, side * 0.47))
        b.add(
            Paint.TAILLAMP,
            (rear - 0.001, y[1], floor - 0.10),
            (rear - 0.001, y[0], floor - 0.10),
            (rear - 0.001, y[0], floor - 0.05),
            (rear - 0.001, y[1], floor - 0.05),
        )
    b.add(
        Paint.PLATE,
        (rear - 0.001, 0.1, floor - 0.10),
        (rear - 0.001, -0.1, floor - 0.10),
        (rear - 0.001, -0.1, floor - 0.06),
        (rear - 0.001, 0.1, floor - 0.06),
    )


def _chassis(b: _Builder, rear: float, front: float, z0: float, z1: float, w: float) -> None:
    b.faces += _hull((rear, front, w), (rear, front, w), (z0, z1), [Paint.TRIM] * 4)


def _rigid() -> Mesh:
    cab, load = _Builder(), _Builder()
    _cab(cab, 0.27, 0.499, 0.80, 8.6)
    cab.faces += _wheel(0.36, 0.056, 0.138, 0.482)
    _chassis(load, -0.49, 0.25, 0.14, 0.28, 0.36)
    load.faces += _wheel(-0.27, 0.056, 0.138, 0.482)
    _load(load, -0.499, 0.25, 0.29)
    return mesh([Part(0.385, tuple(cab.faces)), Part(-0.12, tuple(load.faces))])


def _artic() -> Mesh:
    tractor, trailer = _Builder(), _Builder()
    _chassis(tractor, 0.17, 0.36, 0.12, 0.24, 0.36)
    _cab(tractor, 0.36, 0.4995, 0.88, 16.5)
    for x in (0.435, 0.245):
        tractor.faces += _wheel(x, 0.030, 0.127, 0.482)
    _chassis(trailer, -0.49, 0.2, 0.2, 0.28, 0.36)
    for x in (-0.38, -0.30, -0.22):
        trailer.faces += _wheel(x, 0.030, 0.127, 0.484)
    trailer.faces += [*_hull((-0.17, 0.1, 0.49), (-0.17, 0.1, 0.49), (0.13, 0.27), [Paint.TRIM] * 4)]
    _load(trailer, -0.4995, 0.325, 0.29)
    return mesh([Part(0.42, tuple(tractor.faces)), Part(-0.08, tuple(trailer.faces))])


def _limb(
    b: _Builder,
    paint: Paint,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    z: tuple[float, float],
    y: tuple[float, float],
) -> None:
    """A slanting box: (rear x, front x, half width) below and above, its middle across at y below and above."""
    for face in _hull(low, high, z, [paint] * 4):
        shifted = tuple((cx, cy + (y[0] if cz == z[0] else y[1]), cz) for cx, cy, cz in face.corners)
        b.faces.append(Face(face.paint, shifted))


def _head(b: _Builder, x: float, z: float, radius: Corner, top: Paint, *, helmet: bool = False) -> None:
    """A head in three rings, the lowest one the chin; with a helmet only the face shows."""
    rx, ry, rz = radius
    levels = [(-1.0, 0.55), (-0.45, 0.95), (0.35, 1.0), (1.0, 0.5)]
    for number, ((low, w0), (high, w1)) in enumerate(itertools.pairwise(levels)):
        around = Paint.SKIN if number == 0 and not helmet else top
        face = Paint.SKIN if number < len(levels) - 2 else top
        b.faces += _hull(
            (x - rx * w0, x + rx * w0, ry * w0), (x - rx * w1, x + rx * w1, ry * w1), (z + rz * low, z + rz * high),
            [around, face, around, top],
        )  # fmt: skip


def _walker(stride: float) -> Mesh:
    left, right, body, head = _Builder(), _Builder(), _Builder(), _Builder()
    for b, side, way in ((left, 1, stride), (right, -1, -stride)):
        _limb(
            b,
            Paint.TRIM,
            (way - 0.30, way + 0.42, 0.10),
            (way - 0.30, way + 0.30, 0.10),
            (0.0, 0.045),
            (side * 0.17, side * 0.17),
        )
        _limb(
            b,
            Paint.THIRD,
            (way - 0.24, way + 0.24, 0.10),
            (-0.26, 0.26, 0.15),
            (0.045, 0.48),
            (side * 0.17, side * 0.17),
        )
    _limb(body, Paint.SECOND, (-0.34, 0.34, 0.33), (-0.42, 0.40, 0.44), (0.46, 0.74), (0, 0))
    _limb(body, Paint.SECOND, (-0.42, 0.40, 0.44), (-0.26, 0.24, 0.22), (0.74, 0.845), (0, 0))
    for side, way in ((1, -stride), (-1, stride)):
        _limb(
            body,
            Paint.SECOND,
            (way - 0.14, way + 0.16, 0.07),
            (-0.16, 0.16, 0.09),
            (0.44, 0.80),
            (side * 0.43, side * 0.41),
        )
    _head(head, 0.02, 0.925, (0.30, 0.20, 0.075), Paint.HAIR)
    return mesh([
        Part(0.0, tuple(left.faces), aside=0.2), Part(0.0, tuple(right.faces), aside=-0.2),
        Part(0.0, tuple(body.faces), layer=1), Part(0.0, tuple(head.faces), layer=2),
    ])  # fmt: skip


def _rider(*, motor: bool) -> Mesh:
    machine, legs, body, head = _Builder(), _Builder(), _Builder(), _Builder()
    if motor:
        axles, rx, rz, tyre = (-0.33, 0.33), 0.150, 0.20, 0.12
        _limb(machine, Paint.TRIM, (-0.25, 0.22, 0.22), (-0.2, 0.2, 0.26), (0.14, 0.36), (0, 0))
        _limb(machine, Paint.BODY, (-0.46, 0.24, 0.18), (-0.48, 0.20, 0.16), (0.40, 0.50), (0, 0))
        _limb(machine, Paint.BODY, (0.0, 0.34, 0.24), (0.06, 0.26, 0.18), (0.36, 0.62), (0, 0))
        machine.add(Paint.HEADLAMP, (0.36, -0.13, 0.50), (0.36, 0.13, 0.50), (0.33, 0.13, 0.59), (0.33, -0.13, 0.59))
        machine.add(
            Paint.TAILLAMP, (-0.49, 0.10, 0.43), (-0.49, -0.10, 0.43), (-0.49, -0.10, 0.49), (-0.49, 0.10, 0.49)
        )
        machine.add(Paint.PLATE, (-0.488, 0.1, 0.33), (-0.488, -0.1, 0.33), (-0.488, -0.1, 0.39), (-0.488, 0.1, 0.39))
        seat, hip_z, hand = -0.12, 0.47, (0.22, 0.60)
    else:
        axles, rx, rz, tyre = (-0.30, 0.30), 0.195, 0.20, 0.05
        for corners in (
            [(-0.30, 0.20), (0.0, 0.18), (-0.08, 0.50)],
            [(0.0, 0.18), (0.24, 0.52), (-0.08, 0.50)],
            [(0.22, 0.50), (0.30, 0.20), (0.25, 0.52)],
        ):
            for a, e in zip(corners, [*corners[1:], corners[0]], strict=True):
                machine.add(
                    Paint.BODY,
                    (a[0] - 0.012, 0, a[1]),
                    (e[0] - 0.012, 0, e[1]),
                    (e[0] + 0.012, 0, e[1] + 0.012),
                    (a[0] + 0.012, 0, a[1] + 0.012),
                    sides=2,
                )
        machine.add(
            Paint.TRIM, (0.22, -0.42, 0.56), (0.24, -0.42, 0.56), (0.24, 0.42, 0.58), (0.22, 0.42, 0.58), sides=2
        )
        machine.add(
            Paint.TAILLAMP, (-0.40, 0.06, 0.45), (-0.40, -0.06, 0.45), (-0.40, -0.06, 0.48), (-0.40, 0.06, 0.48)
        )
        machine.add(Paint.HEADLAMP, (0.31, -0.06, 0.50), (0.31, 0.06, 0.50), (0.31, 0.06, 0.54), (0.31, -0.06, 0.54))
        seat, hip_z, hand = -0.14, 0.52, (0.20, 0.58)
    for x in axles:
        turns = [2 * math.pi * n / 14 for n in range(14)]
        ring = [(x + rx * math.cos(a), rz + rz * math.sin(a)) for a in turns]
        inner = [(x + rx * 0.82 * math.cos(a), rz + rz * 0.82 * math.sin(a)) for a in turns]
        if motor:
            machine.both_sides(Paint.TYRE, ring, tyre)
            machine.both_sides(Paint.RIM, [(x + (cx - x) * 0.6, rz + (cz - rz) * 0.6) for cx, cz in ring], tyre * 1.02)
            _limb(machine, Paint.TYRE, (x - rx * 0.8, x + rx * 0.8, tyre), (x - rx, x + rx, tyre), (0.03, rz), (0, 0))
        else:
            for n in range(14):
                m = (n + 1) % 14
                machine.add(Paint.TYRE, *((px, 0.0, pz) for px, pz in (ring[n], ring[m], inner[m], inner[n])), sides=2)
            machine.add(
                Paint.TYRE, (x - rx, -tyre, rz), (x + rx, -tyre, rz), (x + rx, tyre, rz), (x - rx, tyre, rz), sides=2
            )
    for side in (1, -1):
        drop = 0.14 if side > 0 else 0.22
        _limb(
            legs, Paint.THIRD, (0.02, 0.10, 0.09), (0.06, 0.16, 0.10), (drop, hip_z - 0.06), (side * 0.25, side * 0.24)
        )
        _limb(
            legs,
            Paint.THIRD,
            (seat - 0.02, 0.17, 0.10),
            (seat - 0.05, 0.12, 0.11),
            (hip_z - 0.09, hip_z + 0.02),
            (side * 0.22, side * 0.18),
        )
        _limb(legs, Paint.TRIM, (0.0, 0.16, 0.09), (0.0, 0.12, 0.09), (drop - 0.04, drop), (side * 0.25, side * 0.25))
    lean = 0.10 if motor else 0.09
    _limb(
        body,
        Paint.SECOND,
        (seat - 0.10, seat + 0.09, 0.30),
        (seat - 0.06 + lean, seat + 0.12 + lean, 0.44),
        (hip_z - 0.02, 0.76),
        (0, 0),
    )
    _limb(
        body,
        Paint.SECOND,
        (seat - 0.06 + lean, seat + 0.12 + lean, 0.44),
        (seat - 0.01 + lean, seat + 0.09 + lean, 0.24),
        (0.76, 0.85),
        (0, 0),
    )
    for side in (1, -1):
        _limb(
            body,
            Paint.SECOND,
            (hand[0] - 0.05, hand[0], 0.07),
            (seat + lean, seat + lean + 0.10, 0.09),
            (hand[1], 0.80),
            (side * 0.40, side * 0.40),
        )
    _head(head, seat + lean + 0.08, 0.915, (0.075, 0.19, 0.085), Paint.HAIR if not motor else Paint.BODY, helmet=motor)
    return mesh([
        Part(0.0, tuple(machine.faces)), Part(0.0, tuple(legs.faces), layer=1),
        Part(0.0, tuple(body.faces), layer=2), Part(0.0, tuple(head.faces), layer=3),
    ])  # fmt: skip


_STRIDES = (-0.6, -0.25, 0.25, 0.6)

MESHES: dict[str, Mesh] = {
    **{name: _car(shape) for name, shape in _CARS.items()},
    "bus-city": _bus(coach=False),
    "bus-coach": _bus(coach=True),
    "lorry-rigid": _rigid(),
    "lorry-trailer": _artic(),
    "motorcycle": _rider(motor=True),
    "bicycle": _rider(motor=False),
    **{f"walker-{n}": _walker(stride) for n, stride in enumerate(_STRIDES)},
}
"""Every shape, by name."""


_TALL = (("van", 1.9), ("suv", 1.6))
_SHORT_M = 4.2


def shape_of(label: str, size_m: tuple[float, float, float], user: int, walked_m: float = 0.0) -> str:
    """Which shape a road user has: by its class and its length, width and height; a walker's by how far it went."""
    length, _, height = size_m
    if label == "person":
        return f"walker-{int(walked_m / 0.45) % len(_STRIDES)}"
    if label == "bus":
        return "bus-coach" if height > 3.4 else "bus-city"  # noqa: PLR2004 - metres
    if label == "truck":
        return "lorry-trailer" if length > 12 else "lorry-rigid"  # noqa: PLR2004 - metres
    if label in MESHES:
        return label
    tall = (name for name, least_m in _TALL if height > least_m)
    return next(tall, "hatchback" if length < _SHORT_M else ("saloon", "estate", "hatchback")[user % 3])
