"""A street in a town, one lane each way: a bus stop in the lane, cars that park at the kerb, people and bicycles.

The camera hangs on a lamp post at the southern kerb and looks along the street to the east.
"""

import math
import random

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose, Shake
from pipeline.simulate.ground import Block, Ground, box, dashes, zebra
from pipeline.simulate.scenario import Scenario, StagedPlan, Traffic, repeated
from pipeline.simulate.scenarios.vehicles import (
    BICYCLES,
    BUSES,
    CARS,
    MOTORCYCLES,
    People,
    flow,
    routes,
    walks,
    walks_on,
)

WEST_M, CROSSING_M, EAST_M = -120.0, 75.0, 240.0
"""Where the street begins, where people cross, where it ends."""

LANE_M, STRIP_M, PAVEMENT_M = 3.5, 2.3, 2.6
"""Widths: of a lane, of the strip at the northern kerb where cars park, of a pavement."""

LINE_M = 27.0
BUS_FROM_M, BUS_TO_M = 40.0, 54.0
PARK_FROM_M, PARK_TO_M = 30.0, 60.0
PLACES = 5

LORRY = "lorry-rigid"  # no trailers in town

WARM_UP_S = 120.0
SCHEDULE_S = WARM_UP_S + 300.0
"""Buses and cars that park are drawn for so long, and by chances of their own for every further stretch as long."""

_NODES = f"""<nodes>
  <node id="west" x="{WEST_M}" y="0"/>
  <node id="crossing" x="{CROSSING_M}" y="0" type="priority"/>
  <node id="east" x="{EAST_M}" y="0"/>
</nodes>"""

_FEET = f'<lane index="0" allow="pedestrian" width="{PAVEMENT_M}"/>'
_STRIP = f'<lane index="1" allow="custom2" width="{STRIP_M}"/>'
_LANE = f'<lane index="{{}}" disallow="pedestrian custom2" width="{LANE_M}"/>'
_SOUTH, _NORTH = f"{_FEET}{_LANE.format(1)}", f"{_FEET}{_STRIP}{_LANE.format(2)}"

_EDGES = f"""<edges>
  <edge id="east_1" from="west" to="crossing" numLanes="2" speed="12.5">{_SOUTH}</edge>
  <edge id="east_2" from="crossing" to="east" numLanes="2" speed="12.5">{_SOUTH}</edge>
  <edge id="west_1" from="east" to="crossing" numLanes="3" speed="12.5">{_NORTH}</edge>
  <edge id="west_2" from="crossing" to="west" numLanes="3" speed="12.5">{_NORTH}</edge>
</edges>"""

_CONNECTIONS = """<connections>
  <connection from="east_1" to="east_2" fromLane="1" toLane="1"/>
  <connection from="west_1" to="west_2" fromLane="2" toLane="2"/>
  <crossing node="crossing" edges="east_1 west_2" width="4.00" priority="true"/>
</connections>"""


CROSSING_CUT_M = 73.0
"""Where the crossing begins, west of its middle; netconvert cuts the edges there."""


def _along(edge: str, x_m: float) -> float:
    """How far along an edge of SUMO's a place of the street is."""
    return round({"east_1": x_m - WEST_M, "west_2": CROSSING_CUT_M - x_m}[edge], 1)


_PLACES = f"""<additional>
  <busStop id="stop" lane="east_1_1" startPos="{_along("east_1", BUS_FROM_M)}" endPos="{_along("east_1", BUS_TO_M)}"/>
  <parkingArea id="kerb" lane="west_2_2" startPos="{_along("west_2", PARK_TO_M)}"
               endPos="{_along("west_2", PARK_FROM_M)}" roadsideCapacity="{PLACES}" width="{STRIP_M}"/>
</additional>"""


def _demand(seed: int, until_s: float) -> str:
    rng = random.Random(f"street demand {seed}")  # noqa: S311 - repeatable on purpose
    parts = []
    for way in ("east", "west"):
        motor, cycling = rng.uniform(400, 700), rng.uniform(30, 110)
        lorries, motorcycles = rng.uniform(0.03, 0.08), rng.uniform(0.02, 0.06)
        for kind, per_hour in (
            (CARS, motor * (1 - lorries - motorcycles)),
            (LORRY, motor * lorries),
            (MOTORCYCLES, motor * motorcycles),
            (BICYCLES, cycling),
        ):
            parts.append(flow(f"{way}_{kind}", kind, f'from="{way}_1" to="{way}_2"', per_hour, until_s=until_s))
    parts.append(flow("west_bus", BUSES, 'from="west_1" to="west_2"', 30, until_s=until_s))
    trips = [*_buses(rng), *_parked(rng, until_s), *_parkers(rng)]
    people = _walkers(rng)
    for nth in range(1, math.ceil(until_s / SCHEDULE_S)):
        later = random.Random(f"street demand {seed} {nth}")  # noqa: S311 - repeatable on purpose
        trips += [*_buses(later, nth * SCHEDULE_S), *_parkers(later, nth * SCHEDULE_S)]
    trips += [_double(plan) for plan in repeated(_staged(seed), until_s - WARM_UP_S) if plan.kind == "stopped_vehicle"]
    in_time = sorted([*trips, *walks_on(people, until_s)])  # SUMO wants them by the time they depart
    return routes(*parts, *walks(people), *(text for _, text in in_time))


def _buses(rng: random.Random, begin_s: float = 0.0) -> list[tuple[float, str]]:
    """A bus every minute or two, that stops; departures and their text."""
    rows, at_s = [], begin_s + rng.uniform(0, 40)
    while at_s < begin_s + SCHEDULE_S:
        stop = f'<stop busStop="stop" duration="{rng.uniform(12, 26):.1f}"/>'
        rows.append((at_s, _trip(f"bus_{at_s:.0f}", "bus-city", at_s, "east", stop)))
        at_s += rng.uniform(50, 110)
    return rows


def _parked(rng: random.Random, until_s: float) -> list[tuple[float, str]]:
    """Who stands at the kerb all the time."""
    stop = f'<stop parkingArea="kerb" duration="{max(9999, until_s):.0f}"/>'
    return [(float(nth), _trip(f"parked_{nth}", CARS, nth, "west", stop)) for nth in range(rng.randint(2, 3))]


def _parkers(rng: random.Random, begin_s: float = 0.0) -> list[tuple[float, str]]:
    """Who comes, stays for a while and goes."""
    rows, at_s = [], begin_s + rng.uniform(20, 60)
    while at_s < begin_s + SCHEDULE_S:
        stop = f'<stop parkingArea="kerb" duration="{rng.uniform(25, 70):.1f}"/>'
        rows.append((at_s, _trip(f"parks_{at_s:.0f}", CARS, at_s, "west", stop)))
        at_s += rng.uniform(45, 75)
    return rows


def _double(plan: StagedPlan) -> tuple[float, str]:
    """Who stands in the lane, beside the parked cars."""
    depart_s, at_m = WARM_UP_S + plan.at_s, float(plan.details["place_m"])
    stop = f'<stop lane="west_2_2" startPos="{at_m - 4:.1f}" endPos="{at_m:.1f}" duration="{plan.lasts_s:.1f}"/>'
    return depart_s, _trip(str(plan.details["users"]), "car-van", depart_s, "west", stop)


def _trip(name: str, kind: str, at_s: float, way: str, stop: str) -> str:
    return (
        f'<trip id="{name}" type="{kind}" depart="{at_s:.2f}" from="{way}_1" to="{way}_2" departLane="best" '
        f'departSpeed="desired">{stop}</trip>'
    )


def _walkers(rng: random.Random) -> list[People]:
    """People along both pavements, both ways, and over the crossing."""
    south, north = ("east_1", "east_2"), ("west_2", "west_1")  # from west to east
    ways = [(south[0], south[1]), (south[1], south[0]), (north[0], north[1]), (north[1], north[0])]
    ways += [(south[0], north[1]), (north[1], south[0]), (south[1], north[0]), (north[0], south[1])]
    people = []
    for nth, (begin, end) in enumerate(ways):
        begin_m, end_m = (_pavement_m(edge, rng) for edge in (begin, end))
        people.append(People(f"walk_{nth}", begin, end, begin_m, end_m, rng.uniform(15, 60)))
    return people


def _pavement_m(edge: str, rng: random.Random) -> float:
    """A door somewhere: not in the picture's near half, so that hardly anybody appears out of nothing."""
    if edge in {"east_1", "west_2"}:
        x_m = rng.uniform(-30, 5)
        return x_m - WEST_M if edge == "east_1" else CROSSING_CUT_M - x_m
    x_m = rng.uniform(95, 140)
    return x_m - CROSSING_M if edge == "east_2" else EAST_M - x_m


def _staged(seed: int) -> tuple[StagedPlan, ...]:
    """Somebody stands in the lane beside the parked cars, and somebody crosses where there is no crossing."""
    rng = random.Random(f"street incidents {seed}")  # noqa: S311 - repeatable on purpose
    first, second = rng.sample((25.0, 150.0), 2)
    x_m = rng.uniform(62, 66)
    return (
        StagedPlan(
            kind="stopped_vehicle",
            at_s=first + rng.uniform(0, 40),
            lasts_s=rng.uniform(25, 40),
            details={"users": "double", "place_m": _along("west_2", rng.uniform(36, 50))},
        ),
        StagedPlan(
            kind="pedestrian_on_road",
            at_s=second + rng.uniform(0, 40),
            lasts_s=80,
            details={"path": f"{x_m:.1f},-4.5 {x_m + 1:.1f},0 {x_m + 1.5:.1f},7", "clearance_m": 0.4},
        ),
    )


def _ground() -> Ground:
    """The street with its pavements between two rows of houses."""
    north, kerb = LANE_M + STRIP_M, PAVEMENT_M
    west, east = -60.0, EAST_M + 200
    patches = [
        box("paving", west, -LANE_M - kerb, east, north + kerb),
        box("kerb", west, -LANE_M - 0.15, east, north + 0.15),
        box("asphalt", west, -LANE_M, east, north),
        *(box("worn", west, y - 0.85, east, y + 0.85) for y in (-LANE_M / 2, LANE_M / 2)),
        box("worn", PARK_FROM_M - 4, LANE_M, PARK_TO_M + 4, north),
        *dashes([(west, 0.0), (CROSSING_M - 4, 0.0)], width_m=0.13, dash_m=3, gap_m=4),
        *dashes([(CROSSING_M + 4, 0.0), (east, 0.0)], width_m=0.13, dash_m=3, gap_m=4),
        *dashes([(PARK_FROM_M - 4, LANE_M), (PARK_TO_M + 4, LANE_M)], width_m=0.12, dash_m=1, gap_m=0),
        *(
            box("paint", x - 0.06, LANE_M, x + 0.06, north)
            for x in (PARK_FROM_M + n * (PARK_TO_M - PARK_FROM_M) / PLACES for n in range(PLACES + 1))
        ),
        *zebra((CROSSING_M, (north - LANE_M) / 2), along_rad=math.pi / 2, length_m=LANE_M + north - 0.6, depth_m=3.4),
        *dashes([(BUS_FROM_M, -LANE_M + 0.35), (BUS_TO_M, -LANE_M + 0.35)], width_m=0.14, dash_m=1, gap_m=0.6),
        *dashes([(BUS_FROM_M, -0.45), (BUS_TO_M, -0.45)], width_m=0.14, dash_m=1, gap_m=0.6),
    ]
    blocks = []
    for n, x in enumerate(range(6, 230, 22)):
        blocks.append(
            Block(look="house", x1_m=x, y1_m=north + kerb + 1.5, x2_m=x + 19, y2_m=north + 22, height_m=9 + n % 3 * 2)
        )
        blocks.append(
            Block(look="house", x1_m=x + 8, y1_m=-24, x2_m=x + 26, y2_m=-LANE_M - kerb - 2.5, height_m=8 + n % 4 * 1.5)
        )
    lamps = [(x, y) for x in range(12, 200, 25) for y in (-LANE_M - 0.6, north + 0.6)]
    return Ground(patches=tuple(patches), blocks=tuple(blocks), lamps=tuple(lamps))


SCENARIO = Scenario(
    name="street",
    title="A street in a town with a bus stop, cars at the kerb, people and bicycles, seen from a lamp post",
    traffic=Traffic(
        nodes=_NODES,
        edges=_EDGES,
        connections=_CONNECTIONS,
        signals=_PLACES,
        options=("--walkingareas", "true", "--no-turnarounds", "true"),
        arms={"east_1": "west", "east_2": "east", "west_1": "east", "west_2": "west"},
        demand=_demand,
        staged=_staged,
        warm_up_s=WARM_UP_S,
        area_m=(-20.0, -20.0, 190.0, 20.0),
    ),
    camera=Pinhole(
        pose=Pose(x_m=0, y_m=-6.5, z_m=8, heading_rad=math.radians(8), tilt_rad=math.radians(12)),
        lens=Lens(size=Size(1280, 720), focal_px=1200, k1=-0.05),
        shake=Shake(sway_px=1.0, sway_hz=0.9, seed=7),
    ),
    lines={"middle": ((LINE_M, -LANE_M - 0.3), (LINE_M, LANE_M + 0.1))},
    zones={
        "bus_stop": ((BUS_FROM_M, 0.0), (BUS_TO_M, 0.0), (BUS_TO_M, -LANE_M), (BUS_FROM_M, -LANE_M)),
        "parking": (
            (PARK_FROM_M, LANE_M),
            (PARK_TO_M, LANE_M),
            (PARK_TO_M, LANE_M + STRIP_M),
            (PARK_FROM_M, LANE_M + STRIP_M),
        ),
    },
    movements=(("west", "east"), ("east", "west")),
    classes=("car", "truck", "bus", "motorcycle", "bicycle"),
    ground=_ground(),
)
