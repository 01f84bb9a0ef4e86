"""Plane geometry of a picture: sides of a line, places on it, insides of a polygon.

Shares of width and of height are different lengths on a picture that is not square, so distances are
measured in `level` coordinates: x is multiplied by the aspect (width / height), y stays; one unit is one
picture height both ways. y grows DOWN, so a positive turn is to the RIGHT.
"""

from collections.abc import Sequence

from pipeline.core.model import Point


def level(point: Point, aspect: float) -> Point:
    """A point in shares as level coordinates."""
    return (point[0] * aspect, point[1])


def turn(a: Point, b: Point, p: Point) -> float:
    """Twice the signed area of the triangle a, b, p; positive when p is to the right as you go from a to b.

    Source: the cross product, Cormen et al., Introduction to Algorithms, 3rd ed., 33.1, with y down.
    """
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def distance(a: Point, b: Point, p: Point) -> float:
    """Signed distance of p from the endless line through a and b; positive to the right of a -> b.

    Raises:
        ValueError: if a equals b; a point has no two sides.
    """
    length = float(((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5)
    if length == 0:
        raise ValueError(f"a line needs two different points, got {a} twice")
    return turn(a, b, p) / length


def along(a: Point, b: Point, p: Point) -> float:
    """Where the foot of the perpendicular from p falls on a -> b: 0 at a, 1 at b, outside beyond the ends."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    return ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / (dx * dx + dy * dy)


def between(a: Point, b: Point, share: float) -> Point:
    """The point that lies `share` of the way from a to b."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)


def inside(polygon: Sequence[Point], p: Point) -> bool:
    """Tell whether p lies in a simple polygon (corners in order, either way round).

    A point on an edge counts as inside for edges to the left and above, so that zones that share an edge never
    both own a point.

    Source: even-odd ray casting, W. R. Franklin, PNPOLY.
    """
    x, y = p
    within = False
    before = polygon[-1]
    for corner in polygon:
        (x1, y1), (x2, y2) = before, corner
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            within = not within
        before = corner
    return within
