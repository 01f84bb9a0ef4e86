"""What SUMO said becomes journeys: middles of footprints, COCO's labels, arms, an area."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.sumo.messages import User, label_of
from pipeline.simulate.journeys import Array, Journey

SHOULDERS_M = (0.45, 0.55)
"""Length and width of who walks; SUMO gives a pedestrian 0.21 m by 0.48 m."""

AXLE = 0.75
"""The rear axle is so much of a vehicle's length behind its front, and follows it as a trailer does."""

PARKING_M = 0.6
PARKING_WAY_M = (3.0, 12.0)
"""SUMO moves who parks sideways in one step; such a jump is spread over this stretch before (in) or after it (out)."""

STILL_M = 0.05
"""Who moves less than this in a step stands."""

CALM_MS = 500.0
"""Pedestrians step aside in jumps of SUMO's stripes: their ways are smoothed by a Gauss curve of this width."""


def journey_of(
    user: User, number: int, *, step_ms: int, arms: Mapping[str, str], area_m: tuple[float, ...] | None
) -> Journey | None:
    """A user's way; None where it is never in the area, or for less than two knots.

    SUMO's place of a user is the middle of its FRONT, its angle clockwise from north.
    """
    label = label_of(user.vtype, user.vclass)
    if label is None or len(user.x_m) < 2:  # noqa: PLR2004 - a way has two ends
        return None
    x, y = np.array(user.x_m), np.array(user.y_m)
    heading = np.unwrap(np.radians(90.0 - np.array(user.compass_deg)))
    if user.vclass != "pedestrian":
        x, y = _unparked(x, y, heading)
        heading = _drawn_after(x, y, float(heading[0]), AXLE * user.length_m)
    x, y = x - user.length_m / 2 * np.cos(heading), y - user.length_m / 2 * np.sin(heading)
    if user.vclass == "pedestrian":
        x, y = (_calmed(way, CALM_MS / step_ms) for way in (x, y))
        heading = _calmed(_facing(x, y, heading), CALM_MS / step_ms)
    first, last = 0, len(x)
    if area_m is not None:
        inside = (x >= area_m[0]) & (x <= area_m[2]) & (y >= area_m[1]) & (y <= area_m[3])
        places = np.flatnonzero(inside)
        if len(places) < 2:  # noqa: PLR2004 - as above
            return None
        first, last = int(places[0]), int(places[-1]) + 1
    length, width = SHOULDERS_M if user.vclass == "pedestrian" else (user.length_m, user.width_m)
    return Journey(
        id=number,
        label=label,
        length_m=length,
        width_m=width,
        height_m=user.height_m,
        origin=arms.get(user.start, user.start),
        destination=arms.get(user.end, user.end),
        from_ms=(user.first + first) * step_ms,
        x_m=x[first:last],
        y_m=y[first:last],
        heading_rad=heading[first:last],
    )


def footprints(journey: Journey, step_ms: int, t_ms: Array) -> Array:
    """The corners [m, 4, 2] of a journey's footprint at knots' times; nan where it is not there."""
    knots = np.rint((t_ms - journey.from_ms) / step_ms).astype(np.intp)
    there = (knots >= 0) & (knots < len(journey.x_m))
    safe = np.where(there, knots, 0)
    x, y, heading = (way[safe] for way in (journey.x_m, journey.y_m, journey.heading_rad))
    corners = boxes(x, y, heading, journey.length_m, journey.width_m)
    return np.where(there[:, None, None], corners, np.nan)


def boxes(x: Array, y: Array, heading: Array, length_m: Array | float, width_m: Array | float) -> Array:
    """Corners [n, 4, 2] of rectangles around (x, y)."""
    along = np.stack([np.cos(heading), np.sin(heading)], axis=-1) * (np.asarray(length_m) / 2)[..., None]
    across = np.stack([-np.sin(heading), np.cos(heading)], axis=-1) * (np.asarray(width_m) / 2)[..., None]
    middle = np.stack([x, y], axis=-1)
    return np.stack(
        [middle + along + across, middle - along + across, middle - along - across, middle + along - across], axis=-2
    )


def apart(one: Array, other: Array) -> Array:
    """The widest gap [n] between rectangles [n, 4, 2] over their four axes; below 0 they overlap by so much.

    At least the true distance is this; nan where one of them is not there.

    Source:
        The separating axis theorem, e.g. Ericson, Real-Time Collision Detection (2005), 5.2.1.
    """
    gaps = []
    for shape in (one, other):
        for start, end in ((0, 1), (1, 2)):
            axis = shape[:, end] - shape[:, start]
            axis = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
            mine, theirs = (np.einsum("nkd,nd->nk", corners, axis) for corners in (one, other))
            gaps.append(np.maximum(theirs.min(axis=1) - mine.max(axis=1), mine.min(axis=1) - theirs.max(axis=1)))
    return np.asarray(np.max(gaps, axis=0))


def _unparked(x: Array, y: Array, heading: Array) -> tuple[Array, Array]:
    """The way without jumps aside of who stands: into a gap before it is reached, out of it after."""
    dx, dy = np.diff(x), np.diff(y)
    aside = -dx * np.sin(heading[:-1]) + dy * np.cos(heading[:-1])
    along = np.abs(dx * np.cos(heading[:-1]) + dy * np.sin(heading[:-1]))
    gone = np.concatenate([[0.0], np.cumsum(along)])
    x, y = x.copy(), y.copy()
    for knot in np.flatnonzero((np.abs(aside) > PARKING_M) & (along < PARKING_M / 2)):
        into = _still(along[knot + 1 :]) >= _still(along[:knot][::-1])
        way = gone[knot] - gone[: knot + 1] if into else gone[knot + 1 :] - gone[knot + 1]
        share = np.clip((PARKING_WAY_M[1] - way) / (PARKING_WAY_M[1] - PARKING_WAY_M[0]), 0.0, 1.0)
        moved = aside[knot] * share**2 * (3 - 2 * share) * (1 if into else -1)
        part = slice(None, knot + 1) if into else slice(knot + 1, None)
        x[part] -= moved * np.sin(heading[knot])
        y[part] += moved * np.cos(heading[knot])
    return x, y


def _still(along: Array) -> int:
    """For how many steps somebody stands."""
    moves = np.flatnonzero(along > STILL_M)
    return int(moves[0]) if len(moves) else len(along)


def _drawn_after(x: Array, y: Array, heading: float, reach_m: float) -> Array:
    """The heading of a vehicle whose front goes along a way: its rear axle is drawn after it and never slips aside.

    SUMO's own angle jumps where lanes bend or a lane is changed.

    Source:
        The tractrix, the way of a body that is pulled; here in steps of a fourth of a knot.
    """
    fine = np.arange(0, len(x) - 1 + 0.125, 0.25)
    fronts = zip(np.interp(fine, np.arange(len(x)), x), np.interp(fine, np.arange(len(y)), y), strict=True)
    rear = x[0] - reach_m * math.cos(heading), y[0] - reach_m * math.sin(heading)
    headings = []
    for front_x, front_y in fronts:
        dx, dy = front_x - rear[0], front_y - rear[1]
        away = math.hypot(dx, dy)
        rear = front_x - reach_m * dx / away, front_y - reach_m * dy / away
        headings.append(math.atan2(dy, dx))
    return np.unwrap(np.array(headings[::4]))


def _calmed(way: Array, width: float) -> Array:
    """A way smoothed by a Gauss curve so many knots wide, its ends kept by going on straight."""
    reach = math.ceil(3 * width)
    steps = np.arange(1, reach + 1)
    before = 2 * way[0] - way[np.minimum(steps, len(way) - 1)][::-1]
    after = 2 * way[-1] - way[np.maximum(len(way) - 1 - steps, 0)]
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.asarray(np.convolve(np.concatenate([before, way, after]), weights / weights.sum(), mode="valid"))


def _facing(x: Array, y: Array, heading: Array) -> NDArray[np.float64]:
    """Who walks faces where they go; who stands faces where they went."""
    dx, dy = np.gradient(x), np.gradient(y)
    walks = np.hypot(dx, dy) > 0.04  # noqa: PLR2004 - metres a knot
    if not walks.any():
        return heading
    last = np.maximum.accumulate(np.where(walks, np.arange(len(x)), -1))
    last = np.where(last < 0, int(np.argmax(walks)), last)
    return np.asarray(np.unwrap(np.arctan2(dy, dx)[last]))
