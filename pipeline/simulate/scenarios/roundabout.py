"""A roundabout of one lane and four arms: who enters gives way, who likes drives round and leaves where they came.

The camera hangs on a mast at the south-west corner and sees the whole ring, all entries and all exits.
"""

import math
import random

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose, Shake
from pipeline.simulate.ground import Block, Ground, Patch, band, dashes, disc, turned
from pipeline.simulate.scenario import Approach, Metres, Scenario, StagedPlan, Traffic
from pipeline.simulate.scenarios.vehicles import BICYCLES, BUSES, CARS, MOTORCYCLES, flow, routes

ARMS = ("east", "north", "west", "south")
"""Counter-clockwise, as one drives."""

RING_M = 16.0
"""The radius of the middle of the ring's lane."""

LANE_M = 4.5
"""The width of the ring's lane."""

LORRY = "lorry-rigid"  # longer ones take another road

ARM_M = 130.0
LINE_M = 23.0
"""From the middle to the counting lines."""

_SPLIT_RAD = math.radians(30)  # from the axis of an arm to where its entry meets the ring, and its exit leaves it
_ENTRY = ((ARM_M, 2.2), (34.0, 2.2), (27.0, 2.6), (22.0, 3.3), (18.6, 4.5), (15.9, 6.2))
"""How far out and how far from the axis of its arm an entry runs; an exit is its mirror image."""

_STEPS = {"right": 1, "straight": 2, "left": 3, "back": 4}  # arms passed


def _place(arm: str, out_m: float, aside_m: float) -> Metres:
    """A point out_m from the middle on an arm, aside_m to the left of those who come."""
    x, y = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "south": (0, -1)}[arm]
    return (x * out_m + y * aside_m, y * out_m - x * aside_m)


def _on_ring(arm: str, beyond_rad: float) -> Metres:
    turn = ARMS.index(arm) * math.pi / 2 + beyond_rad
    return (RING_M * math.cos(turn), RING_M * math.sin(turn))


def _beyond(arm: str, steps: int) -> str:
    return ARMS[(ARMS.index(arm) + steps) % 4]


def _text(points: list[Metres]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def _nodes() -> str:
    rows = []
    for arm in ARMS:
        for name, (x, y) in (
            (arm, _place(arm, ARM_M, 0)),
            (f"{arm}_enters", _on_ring(arm, _SPLIT_RAD)),
            (f"{arm}_leaves", _on_ring(arm, -_SPLIT_RAD)),
        ):
            rows.append(f'<node id="{name}" x="{x:.2f}" y="{y:.2f}" type="priority"/>')
    return f"<nodes>{''.join(rows)}</nodes>"


def _edges() -> str:
    rows = []
    for arm in ARMS:
        entry = [_place(arm, out, -aside) for out, aside in _ENTRY] + [_on_ring(arm, _SPLIT_RAD)]
        leave = [_place(arm, out, aside) for out, aside in _ENTRY] + [_on_ring(arm, -_SPLIT_RAD)]
        small = [_on_ring(arm, _SPLIT_RAD * (step / 4 - 1)) for step in range(9)]
        wide = math.pi / 2 - 2 * _SPLIT_RAD
        large = [_on_ring(arm, _SPLIT_RAD + wide * step / 8) for step in range(9)]
        for name, start, end, shape, words in (
            (f"{arm}_in", arm, f"{arm}_enters", entry, _ARM),
            (f"{arm}_out", f"{arm}_leaves", arm, leave[::-1], _ARM),
            (f"{arm}_by", f"{arm}_leaves", f"{arm}_enters", small, _RING),
            (f"{arm}_on", f"{arm}_enters", f"{_beyond(arm, 1)}_leaves", large, _RING),
        ):
            rows.append(f'<edge id="{name}" from="{start}" to="{end}" {words} shape="{_text(shape)}"/>')
    return f"<edges>{''.join(rows)}</edges>"


_ALLOWED = 'numLanes="1" spreadType="center" disallow="pedestrian"'
_ARM = f'{_ALLOWED} width="3.60" speed="10.5" priority="1"'
_RING = f'{_ALLOWED} width="{LANE_M}" speed="7.0" priority="3"'


def _demand(seed: int, until_s: float) -> str:
    rng = random.Random(f"roundabout demand {seed}")  # noqa: S311 - repeatable on purpose
    parts = []
    for arm in ARMS:
        motor, cycling = rng.uniform(320, 600), rng.uniform(8, 30)
        lorries, buses, motorcycles = rng.uniform(0.03, 0.10), rng.uniform(0.01, 0.03), rng.uniform(0.02, 0.05)
        right, left, back = rng.uniform(0.15, 0.35), rng.uniform(0.15, 0.35), rng.uniform(0.02, 0.06)
        shares = {"right": right, "straight": 1 - right - left - back, "left": left, "back": back}
        per_hour = {
            CARS: motor * (1 - lorries - buses - motorcycles),
            LORRY: motor * lorries,
            BUSES: motor * buses,
            MOTORCYCLES: motor * motorcycles,
            BICYCLES: cycling,
        }
        parts += [
            flow(f"{arm}_{way}_{kind}", kind, _route(arm, _STEPS[way]), volume * share, until_s=until_s)
            for way, share in shares.items()
            for kind, volume in per_hour.items()
            if way != "back" or kind in {CARS, MOTORCYCLES}
        ]
    return routes(*_ways(), *parts)


def _route(arm: str, steps: int) -> str:
    return f'route="{arm}_{_beyond(arm, steps)}"'


def _ways() -> list[str]:
    """A route from every arm to every arm, its own too, which SUMO would not find by itself."""
    rows = []
    for arm in ARMS:
        for steps in _STEPS.values():
            ring = [f"{arm}_on"]
            for passed in range(1, steps):
                ring += [f"{_beyond(arm, passed)}_by", f"{_beyond(arm, passed)}_on"]
            end = _beyond(arm, steps)
            rows.append(f'<route id="{arm}_{end}" edges="{arm}_in {" ".join(ring)} {end}_out"/>')
    return rows


def _staged(seed: int) -> tuple[StagedPlan, ...]:
    """A car that breaks down in an exit, and somebody who crosses an arm where there is no crossing."""
    rng = random.Random(f"roundabout incidents {seed}")  # noqa: S311 - repeatable on purpose
    first, second = rng.sample((30.0, 150.0), 2)
    walker, broken = rng.choice(("north", "east")), rng.choice(("north", "east"))
    across = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(walker, 30, 6), _place(walker, 31, -6)))
    return (
        StagedPlan(
            kind="stopped_vehicle",
            at_s=first + rng.uniform(0, 30),
            lasts_s=30,
            details={"edge": f"{broken}_out", "lane": 0, "pos_m": 30.0},
        ),
        StagedPlan(
            kind="pedestrian_on_road",
            at_s=second + rng.uniform(0, 40),
            lasts_s=60,
            details={"path": across, "clearance_m": 0.4},
        ),
    )


def _approach(arm: str) -> Approach:
    x, y = _place(arm, 1, 0)
    return Approach(
        name=arm, stop=_place(arm, LINE_M, -3.0), heading_rad=math.atan2(-y, -x), width_m=4.0, length_m=45.0
    )


def _zone(arm: str) -> tuple[Metres, ...]:
    """The entry of an arm."""
    return tuple(_place(arm, *corner) for corner in ((22, -1.4), (22, -5.2), (28, -4.5), (42, -4.1), (42, -0.3)))


def _ground() -> Ground:
    """The ring with its island, and the eastern arm four times."""
    outer, inner = RING_M + LANE_M / 2 + 0.35, RING_M - LANE_M / 2 - 0.1
    entry = [_place("east", out, -aside) for out, aside in _ENTRY]
    leave = [_place("east", out, aside) for out, aside in _ENTRY]
    road = [
        Patch("asphalt", ((30, -4.2), (ARM_M, -4.2), (ARM_M, 4.2), (30, 4.2))),
        *(part for way in (entry, leave) for part in band("asphalt", way, 4.3)),
        *(disc("asphalt", 2.15, middle=point, corners=16) for way in (entry, leave) for point in way[1:]),
    ]
    verge = [
        Patch("paving", ((outer - 1, -7.8), (ARM_M, -7.0), (ARM_M, 7.0), (outer - 1, 7.8))),
        Patch("grass", ((outer + 3, -5.6), (ARM_M, -5.0), (ARM_M, 5.0), (outer + 3, 5.6))),
    ]
    between = [(27.5, 0.15), (22.0, 1.1), (19.4, 2.0)]
    island = Patch("kerb", ((34.0, 0.0), *between, *((x, -y) for x, y in reversed(between))))
    planted = Patch("paving", tuple((x * 0.985 + 0.35, y * 0.8) for x, y in island.points))
    above = [
        *(part for way in (entry, leave) for part in band("worn", way[:-1], 1.7)),
        *dashes([(36, 0), (ARM_M, 0)], width_m=0.15, dash_m=3, gap_m=4),
        island,
        planted,
        *dashes([(20.6, 1.9), (20.2, 5.9)], width_m=0.45, dash_m=0.5, gap_m=0.4),
    ]
    patches = [
        *(part for quarter in range(4) for part in turned(verge, quarter)),
        disc("paving", outer + 3.0),
        disc("kerb", outer + 0.2),
        *(part for quarter in range(4) for part in turned(road, quarter)),
        disc("asphalt", outer),
        *(
            part
            for part in band(
                "worn",
                [(RING_M * math.cos(a), RING_M * math.sin(a)) for a in (math.pi * n / 24 for n in range(49))],
                1.9,
            )
        ),
        *(part for quarter in range(4) for part in turned(above, quarter)),
        disc("paint", inner + 0.12),
        disc("kerb", inner),
        disc("soil", inner - 1.6),
        disc("grass", inner - 1.9),
    ]
    houses = ((30, 34, 52, 50, 9), (58, 30, 80, 46, 11), (32, 56, 48, 84, 12), (62, 58, 92, 78, 14))
    blocks = [
        *(Block(look="house", x1_m=a, y1_m=b, x2_m=c, y2_m=d, height_m=h) for a, b, c, d, h in houses),
        Block(look="trees", x1_m=22, y1_m=24, x2_m=28, y2_m=30, height_m=6),
        Block(look="trees", x1_m=50, y1_m=50, x2_m=60, y2_m=60, height_m=9),
    ]
    lamps = [(21.5 * math.cos(a), 21.5 * math.sin(a)) for a in (math.pi / 4 + n * math.pi / 2 for n in range(4))]
    lamps += [_place(arm, out_m, 6.0) for arm in ARMS for out_m in (38.0, 64.0, 92.0)]
    return Ground(patches=tuple(patches), blocks=tuple(blocks), lamps=tuple(lamps))


SCENARIO = Scenario(
    name="roundabout",
    title="A roundabout of one lane and four arms, seen from a mast at its corner",
    traffic=Traffic(
        nodes=_nodes(),
        edges=_edges(),
        options=("--no-turnarounds", "true", "--junctions.internal-link-detail", "10"),
        arms={f"{arm}_{way}": arm for arm in ARMS for way in ("in", "out")},
        demand=_demand,
        staged=_staged,
        warm_up_s=120.0,
        area_m=(-100.0, -100.0, 100.0, 100.0),
    ),
    camera=Pinhole(
        pose=Pose(x_m=-32, y_m=-32, z_m=11, heading_rad=math.radians(45), tilt_rad=math.radians(15)),
        lens=Lens(size=Size(1280, 720), focal_px=1000, k1=-0.08),
        shake=Shake(sway_px=0.8, sway_hz=0.8, seed=5),
    ),
    lines={
        name: line
        for arm in ARMS
        for name, line in (
            (f"{arm}_in", (_place(arm, LINE_M, -6.2), _place(arm, LINE_M, -0.6))),
            (f"{arm}_out", (_place(arm, LINE_M, 0.6), _place(arm, LINE_M, 6.2))),
        )
    },
    zones={
        "north_entry": _zone("north"),
        "east_entry": _zone("east"),
        "ring": tuple((19.0 * math.cos(math.pi * step / 6), 19.0 * math.sin(math.pi * step / 6)) for step in range(12)),
    },
    approaches=(_approach("north"), _approach("east")),
    movements=tuple((a, b) for a in ARMS for b in ARMS),
    gates={arm: (f"{arm}_in", f"{arm}_out") for arm in ARMS},
    classes=("car", "truck", "bus", "motorcycle", "bicycle"),
    ground=_ground(),
)
