"""Incidents made on purpose, while SUMO runs.

What a StagedPlan's details may say, by kind:

stopped_vehicle     edge, lane (index, 0 is the outermost), pos_m (along the edge): the next car that can brake there
                    in comfort stands for lasts_s. label: car (default), truck, ...
near_collision      edge, from_m, to_m (along the edge): within lasts_s after at_s the first pair of cars that drive
                    close one behind the other there; the first brakes hard, the second sees it late.
u_turn              from, to (edges that a connection of the network joins): a car of type `type` drives in by `from`
                    at at_s and turns round. Or `path`, see below.
spill_back          edge: its lanes crawl at speed_kmh (default 2) for lasts_s, so that a queue grows back over
                    x_m, y_m, radius_m, the junction that is to be blocked. The connections into the junction need
                    keepClear="false".
wrong_way, u_turn and pedestrian_on_road with
                    path ("x,y x,y ..." in metres), speed_kmh, label, clearance_m (default 0.5): no vehicle of SUMO's
                    but one drawn along the path afterwards (acting.py), at the first moment from at_s up to lasts_s
                    later when it comes within clearance_m of nobody. Nobody yields to it.
any but wrong_way with
                    users (SUMO's names, blank-separated): the demand itself makes it, here it is only measured.
                    For near_collision "NAME *": the other one is whoever comes nearest.
"""

from collections.abc import Callable
from typing import Protocol

import libsumo

from pipeline.adapters.sumo.messages import Done, Plan, label_of

COMFORT_MS2 = 2.5
PATIENCE_S = 40.0  # how long a stop waits for a vehicle to take
HARD_MS2 = 7.0
HARDEST_MS2 = 9.0
CLOSE_S = (0.5, 1.8)  # the time gap of a pair to take
LEFT_M = 1.2  # of the gap, at its least


class Show(Protocol):
    """One plan in the making."""

    def step(self, now_s: float) -> None:
        """After each step of SUMO's, with the time since the start of the recording."""

    def done(self) -> Done | None:
        """Who took part; None where nothing came of it."""


def plays(plans: list[Plan]) -> list[Show]:
    """The plans that need SUMO's hand; the drawn ones (a path) and those made by the demand (users) do not."""
    kinds: dict[str, Callable[[Plan], Show]] = {
        "stopped_vehicle": Stop,
        "near_collision": Brake,
        "u_turn": Turn,
        "spill_back": Crawl,
    }
    return [kinds[plan.kind](plan) for plan in plans if not {"path", "users"} & set(plan.details)]


def _label(name: str) -> str | None:
    return label_of(libsumo.vehicle.getTypeID(name), libsumo.vehicle.getVehicleClass(name))


class Stop:
    """stopped_vehicle."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.taken: str | None = None

    def step(self, now_s: float) -> None:
        """Take the nearest that can brake in comfort."""
        plan = self.plan
        if self.taken is not None or not plan.at_s <= now_s <= plan.at_s + PATIENCE_S:
            return
        edge, lane, place = str(plan.details["edge"]), int(plan.details["lane"]), float(plan.details["pos_m"])
        label = plan.details.get("label", "car")
        near = []
        for name in libsumo.lane.getLastStepVehicleIDs(f"{edge}_{lane}"):
            ahead = place - libsumo.vehicle.getLanePosition(name)
            speed = libsumo.vehicle.getSpeed(name)
            if _label(name) == label and (speed**2 / (2 * COMFORT_MS2) + speed <= ahead):
                near.append((ahead, name))
        if near:
            _, self.taken = min(near)
            libsumo.vehicle.setStop(self.taken, edge, place, lane, plan.lasts_s)

    def done(self) -> Done | None:
        """Who stands."""
        return Done(self.plan.number, (self.taken,)) if self.taken is not None else None


class Turn:
    """u_turn over a connection of the network."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.name = f"staged-{plan.number}"
        self.begun = False

    def step(self, now_s: float) -> None:
        """Send it in."""
        if self.begun or now_s < self.plan.at_s:
            return
        self.begun = True
        details = self.plan.details
        libsumo.route.add(self.name, [str(details["from"]), str(details["to"])])
        libsumo.vehicle.add(
            self.name,
            self.name,
            typeID=str(details.get("type", "DEFAULT_VEHTYPE")),
            departLane="best",
            departSpeed="max",
        )

    def done(self) -> Done | None:
        """Who turned."""
        return Done(self.plan.number, (self.name,)) if self.begun else None


class Crawl:
    """spill_back."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        edge = str(plan.details["edge"])
        self.lanes = [f"{edge}_{lane}" for lane in range(libsumo.edge.getLaneNumber(edge))]
        self.allowed = [libsumo.lane.getMaxSpeed(lane) for lane in self.lanes]
        self.slow = False

    def step(self, now_s: float) -> None:
        """Slow down the edge, and let it go."""
        wanted = self.plan.at_s <= now_s < self.plan.at_s + self.plan.lasts_s
        if wanted == self.slow:
            return
        self.slow = wanted
        crawl = float(self.plan.details.get("speed_kmh", 2.0)) / 3.6
        for lane, allowed in zip(self.lanes, self.allowed, strict=True):
            libsumo.lane.setMaxSpeed(lane, crawl if wanted else allowed)

    def done(self) -> Done | None:
        """Everybody may have taken part; the ways tell who."""
        return Done(self.plan.number, ())


class Brake:
    """near_collision: the leader brakes hard, the follower sees it late and stops just in time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pair: tuple[str, str] | None = None  # leader, follower
        self.sees = False
        self.aim = 0.0
        self.over = False
        self.last_s = 0.0

    def step(self, now_s: float) -> None:
        """Look for a pair, then drive both."""
        span_s, self.last_s = now_s - self.last_s, now_s
        if self.over:
            return
        if self.pair is None:
            if self.plan.at_s <= now_s <= self.plan.at_s + self.plan.lasts_s:
                self._take()
        elif not {*self.pair} <= {*libsumo.vehicle.getIDList()}:
            self.over = True
        else:
            self._drive(span_s)

    def done(self) -> Done | None:
        """The pair."""
        return Done(self.plan.number, self.pair) if self.pair is not None else None

    def _take(self) -> None:
        details = self.plan.details
        edge = str(details["edge"])
        for name in sorted(libsumo.edge.getLastStepVehicleIDs(edge)):
            found = libsumo.vehicle.getLeader(name, 100.0)
            if found is None or not found[0] or found[0].startswith("staged"):
                continue
            leader, gap = found
            gap += libsumo.vehicle.getMinGap(name)
            speed, before = libsumo.vehicle.getSpeed(name), libsumo.vehicle.getSpeed(leader)
            if (
                {_label(name), _label(leader)} == {"car"}
                and libsumo.vehicle.getLaneID(name) == libsumo.vehicle.getLaneID(leader)
                and float(details["from_m"]) <= libsumo.vehicle.getLanePosition(leader) <= float(details["to_m"])
                and speed >= 6  # noqa: PLR2004 - slower is no danger
                and abs(speed - before) <= 0.15 * speed
                and CLOSE_S[0] <= gap / speed <= CLOSE_S[1]
            ):
                self.pair = (leader, name)
                for one in self.pair:
                    libsumo.vehicle.setSpeedMode(one, 0)
                    libsumo.vehicle.setLaneChangeMode(one, 0)
                self.aim = 0.3 * before
                return

    def _drive(self, span_s: float) -> None:
        assert self.pair is not None
        leader, follower = self.pair
        ahead, behind = libsumo.vehicle.getSpeed(leader), libsumo.vehicle.getSpeed(follower)
        libsumo.vehicle.setSpeed(leader, max(self.aim, ahead - HARD_MS2 * span_s))
        found = libsumo.vehicle.getLeader(follower, 100.0)
        if found is None or found[0] != leader:
            self._release()
            return
        gap = found[1] + libsumo.vehicle.getMinGap(follower)
        self.sees = self.sees or gap <= _needed(behind, ahead, self.aim, span_s)
        if not self.sees:
            libsumo.vehicle.setSpeed(follower, behind)
        elif behind > max(ahead, self.aim) + 0.1:
            room = max(0.2, gap - LEFT_M + (ahead - self.aim) ** 2 / (2 * HARD_MS2))
            wanted = (behind - self.aim) ** 2 / (2 * room)
            libsumo.vehicle.setSpeed(follower, max(0.0, behind - min(HARDEST_MS2, max(3.0, wanted)) * span_s))
        elif ahead <= self.aim + 0.1:
            self._release()

    def _release(self) -> None:
        assert self.pair is not None
        for one in self.pair:
            libsumo.vehicle.setSpeed(one, -1)
            libsumo.vehicle.setSpeedMode(one, 31)
            libsumo.vehicle.setLaneChangeMode(one, 1621)
        self.over = True


def _needed(behind: float, ahead: float, aim: float, span_s: float) -> float:
    """The gap that lets a follower brake from now at HARDEST_MS2 to the leader's aim, LEFT_M kept.

    The leader brakes to its aim and keeps it; two steps are lost before the follower's speed falls.
    """
    closes = (behind - aim) ** 2 / (2 * HARDEST_MS2) - (ahead - aim) ** 2 / (2 * HARD_MS2)
    return closes + LEFT_M + 2 * span_s * max(0.0, behind - ahead + HARD_MS2 * span_s)
