"""A signalised junction of four arms: every turn from every arm, people on crossings, bicycles on their own lanes.

The camera hangs on a mast at the south-west corner. It sees the whole inner junction and the stop lines of the arms
in the north and the east, from where the queues come towards it.
"""

import math
import random

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose, Shake
from pipeline.simulate.ground import Block, Ground, Patch, Surface, arrow, dashes, turned, zebra
from pipeline.simulate.scenario import SMOOTH, Approach, Metres, Scenario, StagedPlan, Traffic
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

ARMS = ("north", "east", "south", "west")
"""Clockwise: seen from an arm, the next one is to the left, then straight on, then to the right."""

ARM_M = 160.0
"""From the middle to where an arm begins."""

STOP_M = 20.6
"""From the middle to the stop lines; netconvert puts them there, and a test holds it to this."""

LINE_M = 18.5
"""From the middle to the counting lines: on the crossings, past the stop lines, so that nobody waits on them."""

WARM_UP_S = 120.0

BLOCKED_S = 100.0
"""Who has stood so long inside the junction is passed by, a little through it if need be. After a spill-back four who turn
may wait for one another for ever: without this most long recordings would end in a queue that never moves.
"""

_LORRY = "lorry-rigid"  # no trailers in town

ISLAND_M = 3.0
"""The width of the island between those who come and those who go."""

KERB_IN_M, KERB_OUT_M = ISLAND_M / 2 + 7.7, ISLAND_M / 2 + 4.9
"""From the middle of an arm to its kerbs, on the side of those who come and of those who go."""

_SIDE = '<lane index="0" allow="pedestrian" width="2.40"/><lane index="1" allow="bicycle" width="1.50"/>'
_LANE = '<lane index="{}" disallow="pedestrian bicycle" width="{}"/>'
_FEET = 'width="4.00" priority="true"'

_WAYS = {"left": 1, "straight": 2, "right": 3}  # steps clockwise to the arm one leaves by


def _outward(arm: str) -> Metres:
    """The unit vector from the middle to an arm."""
    return {"north": (0.0, 1.0), "east": (1.0, 0.0), "south": (0.0, -1.0), "west": (-1.0, 0.0)}[arm]


def _place(arm: str, out_m: float, aside_m: float) -> Metres:
    """A point out_m from the middle on an arm, aside_m to the left of those who come."""
    x, y = _outward(arm)
    return (x * out_m + y * aside_m, y * out_m - x * aside_m)


def _beyond(arm: str, steps: int) -> str:
    return ARMS[(ARMS.index(arm) + steps) % 4]


def _nodes() -> str:
    ends = "".join(
        f'<node id="{arm}" x="{_place(arm, ARM_M, 0)[0]:.1f}" y="{_place(arm, ARM_M, 0)[1]:.1f}"/>' for arm in ARMS
    )
    return f'<nodes><node id="centre" x="0" y="0" type="traffic_light" radius="9"/>{ends}</nodes>'


def _edges() -> str:
    rows = [
        f'<edge id="{arm}_in" from="{arm}" to="centre" numLanes="4" speed="13.9" shape="{_way(arm, ARM_M, 0, -1)}">'
        f"{_SIDE}{_LANE.format(2, '3.20')}{_LANE.format(3, '3.00')}</edge>"
        f'<edge id="{arm}_out" from="centre" to="{arm}" numLanes="3" speed="13.9" shape="{_way(arm, 0, ARM_M, 1)}">'
        f"{_SIDE}{_LANE.format(2, '3.40')}</edge>"
        for arm in ARMS
    ]
    return f"<edges>{''.join(rows)}</edges>"


def _way(arm: str, from_m: float, to_m: float, side: int) -> str:
    """Along the edge of the island in the middle of an arm."""
    ends = (_place(arm, out_m, side * ISLAND_M / 2) for out_m in (from_m, to_m))
    return " ".join(f"{x:g},{y:g}" for x, y in ends)


def _connections() -> str:
    """Left from the left lane, the rest from the right one; bicycles from theirs, not to the left.

    That one can turn round is no right to do it: see `movements`.
    """
    rows = []
    for arm in ARMS:
        for way, steps in _WAYS.items():
            to = f'from="{arm}_in" to="{_beyond(arm, steps)}_out"'
            rows.append(f'<connection {to} fromLane="{3 if way == "left" else 2}" toLane="2"/>')
            if way != "left":
                rows.append(f'<connection {to} fromLane="1" toLane="1"/>')
        rows.append(f'<connection from="{arm}_in" to="{arm}_out" fromLane="3" toLane="2"/>')
        rows.append(f'<crossing node="centre" edges="{arm}_in {arm}_out" {_FEET}/>')
    return f"<connections>{''.join(rows)}</connections>"


def _staged(seed: int) -> tuple[StagedPlan, ...]:
    """One incident of every kind, at times and on arms that differ from seed to seed."""
    rng = random.Random(f"junction incidents {seed}")  # noqa: S311 - repeatable on purpose
    slots = [20.0, 85.0, 150.0, 215.0]
    rng.shuffle(slots)
    round_s, brake_s, walker_s, spill_s = (slot + rng.uniform(0, 12) for slot in slots)
    round_arm = rng.choice(ARMS)
    brake_arm = rng.choice(("north", "east"))
    walker_arm, spill_arm = rng.choice(("north", "east")), rng.choice(("north", "east"))
    mouth_x, mouth_y = _place(spill_arm, STOP_M - 1, 3.2)
    plans = [
        StagedPlan(
            kind="u_turn",
            at_s=round_s,
            lasts_s=30,
            details={"from": f"{round_arm}_in", "to": f"{round_arm}_out", "type": "car-medium"},
        ),
        StagedPlan(
            kind="pedestrian_on_road",
            at_s=walker_s,
            lasts_s=60,
            details={"path": _stroll(walker_arm), "clearance_m": 0.3},
        ),
        StagedPlan(
            kind="near_collision",
            at_s=brake_s,
            lasts_s=70,
            details={"edge": f"{brake_arm}_out", "from_m": 5, "to_m": 70},
        ),
        StagedPlan(
            kind="spill_back",
            at_s=spill_s,
            lasts_s=40,
            details={"edge": f"{spill_arm}_out", "x_m": mouth_x, "y_m": mouth_y, "radius_m": 7.0},
        ),
    ]
    if seed in _RUNNERS:
        plans.append(
            StagedPlan(
                kind="near_collision", at_s=_RUNNERS[seed][1], lasts_s=30, details={"users": "runner *"}, repeats=False
            )
        )
    return tuple(plans)


_RUNNERS = {
    0: ("east", 34.7),
    1: ("south", 113.1),
    3: ("south", 86.6),
    4: ("east", 46.3),
    5: ("east", 32.6),
}
"""Seed -> the arm and the second at which somebody sets off who runs the red light, turns left, and just misses another.

Found by trying, since most who run a red light meet nobody; other seeds have none.
"""

_RUNNER = (
    '<vType id="car_runner" vClass="passenger" length="4.4" width="1.80" height="1.50" accel="2.8" decel="4.5" '
    'sigma="0" jmDriveAfterRedTime="9999" jmDriveRedSpeed="9" jmIgnoreFoeProb="1" jmIgnoreFoeSpeed="99" '
    'jmIgnoreJunctionFoeProb="1" jmTimegapMinor="0"/>'
)


def _runner(seed: int) -> str:
    """The trip of who runs the red light; none in most seeds."""
    if seed not in _RUNNERS:
        return ""
    arm, at_s = _RUNNERS[seed]
    return (
        f'<trip id="runner" type="car_runner" depart="{WARM_UP_S + at_s:.1f}" from="{arm}_in" '
        f'to="{_beyond(arm, _WAYS["left"])}_out" departLane="best" departSpeed="desired"/>'
    )


def _stroll(arm: str) -> str:
    """Along the lane of those who go, at its edge, as details of a plan say a path."""
    way = [(43.0, KERB_OUT_M + 0.8), (41.0, 5.2), (29.0, 5.2), (27.0, KERB_OUT_M + 0.8)]
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in (_place(arm, *point) for point in way))


def _demand(seed: int, until_s: float) -> str:
    rng = random.Random(f"junction demand {seed}")  # noqa: S311 - repeatable on purpose
    parts: list[str] = []
    people: list[People] = []
    for arm in ARMS:
        motor, cycling = rng.uniform(400, 760), rng.uniform(40, 120)
        lorries, buses, motorcycles = rng.uniform(0.03, 0.10), rng.uniform(0.01, 0.03), rng.uniform(0.02, 0.06)
        left, right = rng.uniform(0.12, 0.24), rng.uniform(0.14, 0.26)
        per_hour = {
            CARS: motor * (1 - lorries - buses - motorcycles),
            _LORRY: motor * lorries,
            BUSES: motor * buses,
            MOTORCYCLES: motor * motorcycles,
            BICYCLES: cycling,
        }
        for way, share in (("left", left), ("straight", 1 - left - right), ("right", right)):
            route = f'from="{arm}_in" to="{_beyond(arm, _WAYS[way])}_out"'
            parts += [
                flow(f"{arm}_{way}_{kind}", kind, route, volume * share, until_s=until_s)
                for kind, volume in per_hour.items()
                if not (kind == BICYCLES and way == "left")
            ]
        people += (here := _walkers(rng, arm))
        parts += walks(here)
    return routes(_RUNNER, *parts, _runner(seed), *(text for _, text in walks_on(people, until_s)))


CORNERS = {edge: nth for nth, arm in enumerate(ARMS) for edge in (f"{arm}_out", f"{_beyond(arm, 1)}_in")}
"""The corner a pavement leads to, clockwise. Nobody goes to the corner across: SUMO's people, where there are two ways
over two crossings, leap from one to the other when a light turns green.
"""


def _walkers(rng: random.Random, arm: str) -> list[People]:
    """People who come on either pavement of an arm and go to another arm, over the crossings on their way."""
    people = []
    for nth in range(8):
        begin, end = f"{arm}_{rng.choice(('in', 'out'))}", f"{rng.choice(ARMS)}_{rng.choice(('in', 'out'))}"
        if begin == end or abs(CORNERS[begin] - CORNERS[end]) == 2:  # noqa: PLR2004 - over the diagonal
            continue
        near_m = {begin: rng.uniform(10, 45), end: rng.uniform(12, 50)}
        start, stop = (140.0 - near_m[edge] if edge.endswith("in") else near_m[edge] for edge in (begin, end))
        people.append(People(f"{arm}_walk_{nth}", begin, end, start, stop, rng.uniform(12, 45)))
    return people


def _approach(arm: str) -> Approach:
    x, y = _outward(arm)
    return Approach(
        name=arm,
        stop=_place(arm, STOP_M, -ISLAND_M / 2 - 3.1),
        heading_rad=math.atan2(-y, -x),
        width_m=6.2,
        length_m=45.0,
    )


def _zone(arm: str) -> tuple[Metres, ...]:
    """The lanes of those who come, from the stop line to 22 m before it."""
    return tuple(_place(arm, out_m, aside) for out_m, aside in ((20.5, -1.5), (20.5, -7.7), (43, -7.7), (43, -1.5)))


PAVEMENT_M, CORNER_M = 2.4, 9.0
"""The width of a pavement, and the radius of the kerb round a corner."""


def _corners(surface: Surface, wider_m: float) -> Patch:
    """The middle, round whose corners the kerbs bend, all kerbs wider_m farther out."""
    radius = CORNER_M - wider_m
    north_east = [
        (
            KERB_OUT_M + CORNER_M + radius * math.cos(math.radians(angle)),
            KERB_IN_M + CORNER_M + radius * math.sin(math.radians(angle)),
        )
        for angle in range(270, 179, -10)
    ]
    patch = Patch(surface, tuple(north_east))
    return Patch(surface, tuple(point for quarter in range(4) for point in turned([patch], quarter)[0].points))


def _ground() -> Ground:
    """The northern arm, four times, and the middle."""

    def strip(surface: Surface, x1: float, x2: float, y1: float, y2: float) -> Patch:
        return Patch(surface, ((x1, y1), (x2, y1), (x2, y2), (x1, y2)))

    curve = KERB_OUT_M + CORNER_M
    wide = [
        strip("paving", -KERB_IN_M - PAVEMENT_M, KERB_OUT_M + PAVEMENT_M, curve - 1, ARM_M),
    ]
    narrow = [
        strip("kerb", -KERB_IN_M - 0.15, KERB_OUT_M + 0.15, curve - 1, ARM_M),
        strip("asphalt", -KERB_IN_M, KERB_OUT_M, curve - 1, ARM_M),
    ]
    half, lane = ISLAND_M / 2, ISLAND_M / 2 + 3.0
    above = [
        strip("cycle", -KERB_IN_M, -KERB_IN_M + 1.5, STOP_M, ARM_M),
        strip("cycle", KERB_OUT_M - 1.5, KERB_OUT_M, STOP_M - 4, ARM_M),
        strip("worn", -lane - 2.5, -lane - 0.7, STOP_M, ARM_M),
        strip("worn", -lane + 0.6, -lane + 2.4, STOP_M, ARM_M),
        strip("worn", half + 0.8, half + 2.6, STOP_M - 4, ARM_M),
        strip("kerb", -half, half, STOP_M + 1.2, ARM_M),
        strip("grass", -half + 0.2, half - 0.2, STOP_M + 1.4, ARM_M),
        strip("paint", -KERB_IN_M + 1.5, -half, STOP_M, STOP_M + 0.45),
        *dashes([(-lane, STOP_M), (-lane, STOP_M + 30)], width_m=0.15, dash_m=30, gap_m=0),
        *dashes([(-lane, STOP_M + 33), (-lane, ARM_M)], width_m=0.15, dash_m=3, gap_m=6),
        *dashes([(-KERB_IN_M + 1.5, STOP_M), (-KERB_IN_M + 1.5, ARM_M)], width_m=0.14, dash_m=1, gap_m=0),
        *dashes([(KERB_OUT_M - 1.5, STOP_M - 4), (KERB_OUT_M - 1.5, ARM_M)], width_m=0.14, dash_m=1, gap_m=0),
        *zebra(
            ((KERB_OUT_M - KERB_IN_M) / 2, STOP_M - 2),
            along_rad=0.0,
            length_m=KERB_IN_M + KERB_OUT_M - 0.6,
            depth_m=3.4,
        ),
        *(
            part
            for out_m in (STOP_M + 6, STOP_M + 22)
            for part in (
                *arrow((-half - 1.5, out_m), -math.pi / 2, turn="left"),
                *arrow((-lane - 1.6, out_m), -math.pi / 2),
            )
        ),
    ]
    patches = [
        *(part for quarter in range(4) for part in turned(wide, quarter)),
        _corners("paving", PAVEMENT_M),
        *(part for quarter in range(4) for part in turned(narrow, quarter)),
        _corners("kerb", 0.15),
        _corners("asphalt", 0.0),
        *(part for quarter in range(4) for part in turned(above, quarter)),
    ]
    houses = ((26, 30, 46, 44, 10), (50, 28, 74, 42, 13), (28, 50, 42, 78, 12), (60, 50, 90, 70, 16), (90, 26, 110, 44, 9), (26, 90, 42, 112, 10))  # fmt: skip
    blocks = [
        *(Block(look="house", x1_m=a, y1_m=b, x2_m=c, y2_m=d, height_m=h) for a, b, c, d, h in houses),
        Block(look="trees", x1_m=17, y1_m=22, x2_m=22, y2_m=26, height_m=6),
        Block(look="trees", x1_m=44, y1_m=46, x2_m=58, y2_m=62, height_m=9),
    ]
    lamps = [(x * 12.5, y * 15.5) for x in (-1, 1) for y in (-1, 1)]
    lamps += [_place(arm, out_m, 8.5) for arm in ARMS for out_m in (35.0, 62.0, 90.0, 120.0)]
    return Ground(patches=tuple(patches), blocks=tuple(blocks), lamps=tuple(lamps))


SCENARIO = Scenario(
    name="junction",
    title="A signalised junction of four arms with people and bicycles, seen from a mast at its corner",
    traffic=Traffic(
        nodes=_nodes(),
        edges=_edges(),
        connections=_connections(),
        options=(
            "--walkingareas",
            "true",
            "--no-turnarounds",
            "true",
            "--junctions.limit-turn-speed",
            "3.5",
            "--junctions.internal-link-detail",
            "20",
            "--tls.cycle.time",
            "80",
            "--tls.left-green.time",
            "8",
            "--tls.yellow.time",
            "3",
            "--tls.allred.time",
            "2",
        ),
        arms={f"{arm}_{way}": arm for arm in ARMS for way in ("in", "out")},
        demand=_demand,
        staged=_staged,
        warm_up_s=WARM_UP_S,
        words=(*SMOOTH, "--ignore-junction-blocker", f"{BLOCKED_S:g}"),
        area_m=(-110.0, -110.0, 110.0, 110.0),
    ),
    camera=Pinhole(
        pose=Pose(x_m=-30, y_m=-30, z_m=11, heading_rad=math.radians(45), tilt_rad=math.radians(16)),
        lens=Lens(size=Size(1280, 720), focal_px=1000, k1=-0.06),
        shake=Shake(sway_px=1.2, sway_hz=0.5, seed=3),
    ),
    lines={arm: (_place(arm, LINE_M, -KERB_IN_M - 0.5), _place(arm, LINE_M, KERB_OUT_M + 0.5)) for arm in ARMS},
    zones={
        "north_approach": _zone("north"),
        "east_approach": _zone("east"),
        "box": ((-12, -12), (12, -12), (12, 12), (-12, 12)),
    },
    approaches=(_approach("north"), _approach("east")),
    movements=tuple((a, b) for a in ARMS for b in ARMS if a != b),
    gates={arm: (f"{arm}/to_right", f"{arm}/to_left") for arm in ARMS},
    classes=("car", "truck", "bus", "motorcycle", "bicycle"),
    ground=_ground(),
)
