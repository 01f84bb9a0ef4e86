"""Staged incidents as they really happened, found in the ways themselves: a plan that came to nothing is no incident."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.sumo.messages import Plan
from pipeline.adapters.sumo.ways import apart, footprints
from pipeline.simulate.journeys import Array, Journey, Staged, positions

AFTER_S = 8.0
"""A plan's incident may end so long after the plan."""

CROSSED_M, CROSSED_MS, CROSSING_SINE = 1.5, 2000, 0.3
"""Who passes so close across another's way nearly collided, and it is told for so long before and after."""

STANDS_MS = 0.5  # metres a second
STOOD_S = 5.0
NEAR_S = 1.5
"""Below this time to collision a pair is a near-collision: the usual bound of conflict studies."""


def happened(
    plan: Plan, users: tuple[Journey, ...], everybody: Mapping[int, Journey], *, step_ms: int, duration_ms: int
) -> Staged | None:
    """The incident a plan became; None where the ways show none.

    Args:
        users: who took part, as the maker of the incident has it; empty for spill_back.
        everybody: all journeys.

    Source:
        Time to collision: Hayward, Near-miss determination through use of a scale of danger, Highway Research
        Record 384 (1972).
    """
    if plan.kind == "spill_back":
        return _spilled(plan, everybody, step_ms, duration_ms)
    if plan.kind == "near_collision" and len(users) > 1:
        return _nearly(plan, users[0], users[1], step_ms)
    if not users:
        return None
    if plan.kind == "near_collision":
        return _crossed(plan, users[0], everybody, step_ms)
    return _alone(plan, users[0], step_ms)


def _alone(plan: Plan, user: Journey, step_ms: int) -> Staged | None:
    """What one user does: stand, turn round, or be where it must not be."""
    t, x, y, heading, speed = _sampled(user, step_ms)
    if plan.kind == "stopped_vehicle":
        stood = _longest((speed < STANDS_MS) & (t >= plan.at_s * 1000))
        if stood is None or t[stood[1]] - t[stood[0]] < min(plan.lasts_s, 10.0) * 1000 * 0.8:
            return None
        start, end = stood
    elif plan.kind == "u_turn":
        turned = np.abs(heading - heading[0])
        if not math.pi * 0.8 <= turned[-1] <= math.pi * 1.2:
            return None
        start, end = int(np.argmax(turned > math.radians(20))), int(np.argmax(turned > math.radians(160)))
    else:  # wrong_way, pedestrian_on_road: as long as it is there
        start, end = 0, len(t) - 1
    middle = (start + end) // 2
    return Staged(plan.kind, int(t[start]), int(t[end]), (user.id,), float(x[middle]), float(y[middle]))


def time_to_collision_s(leader: Journey, follower: Journey, step_ms: int) -> tuple[Array, Array]:
    """Times and the time to collision [m] of two who drive one behind the other; inf while the gap does not close."""
    start, end = max(leader.from_ms, follower.from_ms), min(leader.to_ms(step_ms), follower.to_ms(step_ms))
    times = np.arange(start, end + 1, step_ms, dtype=np.float64)
    ax, ay, _, ahead = positions(leader, step_ms, times)
    bx, by, _, behind = positions(follower, step_ms, times)
    gap = np.hypot(ax - bx, ay - by) - (leader.length_m + follower.length_m) / 2
    closing = behind - ahead
    return times, np.where(closing > 0.1, np.maximum(gap, 0.0) / np.maximum(closing, 0.1), np.inf)  # noqa: PLR2004


def _nearly(plan: Plan, leader: Journey, follower: Journey, step_ms: int) -> Staged | None:
    times, left = time_to_collision_s(leader, follower, step_ms)
    # a gap of 0 is a collision, and braking is over some seconds after it began
    window = (times >= plan.at_s * 1000) & (times <= (plan.at_s + plan.lasts_s + AFTER_S) * 1000)
    danger = np.flatnonzero(window & (left < NEAR_S))
    if not len(danger) or np.any(left[danger] <= 0):
        return None
    worst = int(danger[np.argmin(left[danger])])
    calm = np.flatnonzero(~(left < NEAR_S))
    start, end = max(calm[calm < worst], default=-1) + 1, min(calm[calm > worst], default=len(times)) - 1
    x, y, _, _ = positions(follower, step_ms, times[[worst]])
    return Staged(plan.kind, int(times[start]), int(times[end]), (leader.id, follower.id), float(x[0]), float(y[0]))


def _crossed(plan: Plan, user: Journey, everybody: Mapping[int, Journey], step_ms: int) -> Staged | None:
    """The moment when a user passes closest to anybody else who moves, too."""
    t, x, y, heading, speed = _sampled(user, step_ms)
    mine = footprints(user, step_ms, t)
    window = (t >= plan.at_s * 1000) & (t <= (plan.at_s + plan.lasts_s + AFTER_S) * 1000)
    best: tuple[float, int, int] | None = None
    for other in everybody.values():
        if other.id == user.id:
            continue
        _, _, theirs, fast = positions(other, step_ms, t)
        crossing = np.abs(np.sin(theirs - heading)) > CROSSING_SINE
        met = window & crossing & (np.minimum(speed, fast) > STANDS_MS)  # nan is not
        if met.any():
            gaps = np.where(met, apart(mine, footprints(other, step_ms, t)), np.inf)
            knot = int(np.argmin(gaps))
            best = min(best or (math.inf, 0, 0), (float(gaps[knot]), knot, other.id))
    if best is None or not 0 < best[0] <= CROSSED_M:
        return None
    _, knot, other_id = best
    px, py, _, _ = positions(everybody[other_id], step_ms, t[[knot]])
    return Staged(
        plan.kind,
        int(max(t[0], t[knot] - CROSSED_MS)),
        int(min(t[-1], t[knot] + CROSSED_MS)),
        (user.id, other_id),
        float(x[knot] + px[0]) / 2,
        float(y[knot] + py[0]) / 2,
    )


def _spilled(plan: Plan, everybody: Mapping[int, Journey], step_ms: int, duration_ms: int) -> Staged | None:
    """From the first who stands for STOOD_S in the place that is to be free, to the last who leaves it."""
    place = float(plan.details["x_m"]), float(plan.details["y_m"])
    radius = float(plan.details["radius_m"])
    spans: list[tuple[float, float, int]] = []
    begin_ms, end_ms = plan.at_s * 1000, (plan.at_s + plan.lasts_s) * 1000
    for user in everybody.values():
        if user.to_ms(step_ms) < begin_ms or user.from_ms > end_ms:
            continue
        t, x, y, _, speed = _sampled(user, step_ms)
        inside = np.hypot(x - place[0], y - place[1]) <= radius
        stood = _longest(inside & (speed < STANDS_MS) & (t >= begin_ms))
        if user.label != "person" and stood is not None and t[stood[1]] - t[stood[0]] >= STOOD_S * 1000:
            spans.append((float(t[stood[0]]), float(t[stood[1]]), user.id))
    spans = [span for span in spans if span[0] <= end_ms]
    if not spans:
        return None
    start, end = min(span[0] for span in spans), min(max(span[1] for span in spans), duration_ms)
    return Staged(plan.kind, int(start), int(end), tuple(sorted(span[2] for span in spans)), *place)


def _sampled(user: Journey, step_ms: int) -> tuple[Array, Array, Array, Array, Array]:
    t = user.from_ms + step_ms * np.arange(len(user.x_m), dtype=np.float64)
    x, y, heading, speed = positions(user, step_ms, t)
    return t, x, y, np.unwrap(heading), speed


def _longest(where: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last index of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    if not len(edges):
        return None
    runs = edges.reshape(-1, 2)
    start, end = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(start), int(end) - 1
