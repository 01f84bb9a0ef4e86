"""Road users that SUMO cannot make, drawn along a path afterwards: they drive or walk where its network has no way.

Nobody yields to them, so they come at a moment when they touch nobody.
"""

import numpy as np

from pipeline.adapters.sumo.messages import Plan
from pipeline.adapters.sumo.ways import apart, boxes, footprints
from pipeline.errors import Fatal
from pipeline.simulate.journeys import Array, Journey

SIZES = {"car": (4.5, 1.8, 1.5), "truck": (8.0, 2.5, 3.4), "motorcycle": (2.2, 0.8, 1.6), "bicycle": (1.8, 0.6, 1.7),
         "person": (0.45, 0.55, 1.72)}  # fmt: skip
"""Length, width and height by label."""

SPEED_KMH = {"person": 5.0, "bicycle": 15.0}
PACE_MS = {"wrong_way": 50.0, "u_turn": 20.0}
CORNER_M = {"person": 0.3, "car": 3.0, "truck": 4.0}
"""How far corners of a path are rounded."""


def acted(plan: Plan, number: int, others: tuple[Journey, ...], *, step_ms: int, duration_ms: int) -> Journey | None:
    """The way of a plan's user; None where it would touch somebody whenever it came.

    Raises:
        Fatal: the plan's path cannot be read.
    """
    details = plan.details
    label = str(details.get("label", "person" if plan.kind == "pedestrian_on_road" else "car"))
    length, width, height = SIZES[label]
    speed_kmh = float(details.get("speed_kmh", SPEED_KMH.get(label, PACE_MS.get(plan.kind, 30.0))))
    x, y, heading = _walked(_path(plan), speed_kmh / 3.6 * step_ms / 1000, CORNER_M.get(label, 1.0))
    clearance = float(details.get("clearance_m", 0.5))
    mine = boxes(x, y, heading, length + 2 * clearance, width + 2 * clearance)
    latest = min(plan.at_s + plan.lasts_s, duration_ms / 1000 - len(x) * step_ms / 1000)
    begin_ms, end_ms = (plan.at_s - 1) * 1000, (latest + 1) * 1000 + len(x) * step_ms
    there = [other for other in others if other.from_ms <= end_ms and other.to_ms(step_ms) >= begin_ms]
    near = [other for other in there if _may_meet(other, mine)]
    for from_ms in range(round(plan.at_s * 1000 / step_ms) * step_ms, round(latest * 1000) + 1, step_ms):
        times = from_ms + step_ms * np.arange(len(x), dtype=np.float64)
        if all(_clear(mine, footprints(other, step_ms, times)) for other in near):
            return Journey(
                id=number, label=label, length_m=length, width_m=width, height_m=height,
                origin=str(details.get("origin", "road")), destination=str(details.get("destination", "road")),
                from_ms=from_ms, x_m=x, y_m=y, heading_rad=heading,
            )  # fmt: skip
    return None


def _clear(mine: Array, theirs: Array) -> bool:
    there = ~np.isnan(theirs[:, 0, 0])
    return bool(np.all(apart(mine[there], theirs[there]) > 0))


def _may_meet(other: Journey, mine: Array) -> bool:
    """Whether the two ways come near each other at all, at any time."""
    reach = other.length_m
    return bool(
        other.x_m.min() - reach <= mine[..., 0].max()
        and other.x_m.max() + reach >= mine[..., 0].min()
        and other.y_m.min() - reach <= mine[..., 1].max()
        and other.y_m.max() + reach >= mine[..., 1].min()
    )


def _path(plan: Plan) -> Array:
    text = str(plan.details["path"])
    try:
        points = np.array([[float(number) for number in point.split(",")] for point in text.split()])
    except ValueError:
        points = np.empty(0)
    if points.ndim != 2 or points.shape[0] < 2 or points.shape[1] != 2:  # noqa: PLR2004 - a path has two ends
        raise Fatal(f"the staged {plan.kind} has no path {text!r}; write it like '0,0 10,0 10,5' (metres)")
    return points


def _walked(points: Array, step_m: float, corner_m: float) -> tuple[Array, Array, Array]:
    """Places every step_m along the path, its corners rounded, and headings along it."""
    fine_m = 0.1
    legs = np.hypot(*np.diff(points, axis=0).T)
    passed = np.concatenate([[0.0], np.cumsum(legs)])
    spots = np.arange(0.0, passed[-1], fine_m)
    fine = np.column_stack([np.interp(spots, passed, points[:, k]) for k in (0, 1)])
    reach = int(3 * corner_m / fine_m)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * fine_m / corner_m) ** 2)
    ahead, behind = (fine[0] - fine[1]), (fine[-1] - fine[-2])
    steps = np.arange(1, reach + 1)[:, None]
    padded = np.concatenate([fine[0] + ahead * steps[::-1], fine, fine[-1] + behind * steps])
    smooth = np.column_stack([np.convolve(padded[:, k], weights / weights.sum(), mode="valid") for k in (0, 1)])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(smooth, axis=0).T))])
    stops = np.arange(0.0, along[-1], step_m)
    x, y = (np.interp(stops, along, smooth[:, k]) for k in (0, 1))
    heading = np.unwrap(np.arctan2(np.gradient(y), np.gradient(x)))
    return x, y, heading
