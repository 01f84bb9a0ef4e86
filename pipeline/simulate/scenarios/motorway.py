"""A motorway, two carriageways of three lanes and a hard shoulder, seen along its axis from a gantry over the median."""

import math
import random

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose
from pipeline.simulate.ground import Block, Ground, box, dashes
from pipeline.simulate.scenario import Scenario, StagedPlan, Traffic
from pipeline.simulate.scenarios.vehicles import BUSES, CARS, LORRIES, MOTORCYCLES, flow, routes

_LANE_M = 3.6
_LANES = 3
_MEDIAN_M = 4.0
_SHOULDER_M = 3.0
_INNER_M = _MEDIAN_M / 2
_OUTER_M = _INNER_M + _LANES * _LANE_M
_EDGE_M = _OUTER_M + _SHOULDER_M
_WEST_M, _SPLIT_M, _EAST_M = -800.0, 450.0, 1100.0
_ALLOWED_MS = 120 / 3.6
_LINE_M = 42.0
_STOP_M = 75.0

_NODES = f"""<nodes>
  <node id="w" x="{_WEST_M}" y="0"/> <node id="we" x="{_SPLIT_M}" y="{-_INNER_M}"/>
  <node id="e" x="{_EAST_M}" y="0"/> <node id="ew" x="{_SPLIT_M}" y="{_INNER_M}"/>
</nodes>"""

_EDGES = "".join(
    f"""<edge id="{name}" from="{start}" to="{end}" numLanes="{_LANES}" width="{_LANE_M}" speed="{_ALLOWED_MS:.2f}"
         spreadType="right" disallow="pedestrian bicycle moped" shape="{begin},{y} {stop},{y}"/>"""
    for name, start, end, begin, stop, y in (
        ("eastbound_in", "w", "we", _WEST_M, _SPLIT_M, -_INNER_M),
        ("eastbound_out", "we", "e", _SPLIT_M, _EAST_M, -_INNER_M),
        ("westbound_in", "e", "ew", _EAST_M, _SPLIT_M, _INNER_M),
        ("westbound_out", "ew", "w", _SPLIT_M, _WEST_M, _INNER_M),
    )
)
"""Each carriageway is two edges, joined far behind what the camera sees, so that it comes from one arm and goes to another."""

_MIX = ((CARS, 0.81), (LORRIES, 0.14), (BUSES, 0.02), (MOTORCYCLES, 0.03))


def _demand(seed: int, until_s: float) -> str:
    chance = random.Random(f"motorway {seed}")  # noqa: S311 - repeatable on purpose
    parts = []
    for edge in ("eastbound", "westbound"):
        per_hour = chance.uniform(1500, 3000)
        parts += [
            flow(f"{edge}-{kind}", kind, f'from="{edge}_in" to="{edge}_out"', per_hour * share, until_s=until_s)
            for kind, share in _MIX
        ]
    return routes(*parts)


def _staged(seed: int) -> tuple[StagedPlan, ...]:
    """Each seed has a few of: a stopped vehicle, a wrong-way driver on the shoulder, near-collisions, a walker."""
    chance = random.Random(f"motorway staged {seed}")  # noqa: S311 - repeatable on purpose
    shoulder = _OUTER_M + _SHOULDER_M / 2
    ends = [(330, -shoulder), (-60, -shoulder)]  # against those who drive to the east
    origin, destination = "east", "west"
    if chance.random() < 0.5:  # noqa: PLR2004 - a coin
        ends = [(-60, shoulder), (330, shoulder)]
        origin, destination = destination, origin
    plans = [
        StagedPlan(
            kind="near_collision", at_s=chance.uniform(20, 60), lasts_s=90,
            details={"edge": "eastbound_in", "from_m": 30 - _WEST_M, "to_m": 70 - _WEST_M},
        ),
        StagedPlan(
            kind="wrong_way", at_s=chance.uniform(60, 110), lasts_s=60,
            details={"path": " ".join(f"{x},{y}" for x, y in ends), "speed_kmh": chance.uniform(45, 70),
                     "label": "car", "origin": origin, "destination": destination},
        ),
    ]  # fmt: skip
    if seed % 4 in {0, 3}:
        plans.append(
            StagedPlan(
                kind="stopped_vehicle", at_s=chance.uniform(140, 160), lasts_s=45,
                details={"edge": "eastbound_in", "lane": 0, "pos_m": _STOP_M - _WEST_M, "label": "car"},
            )
        )  # fmt: skip
    if seed % 4 in {1, 2}:
        plans.append(
            StagedPlan(
                kind="pedestrian_on_road", at_s=chance.uniform(140, 160), lasts_s=60,
                details={"path": f"95,{shoulder} 40,{shoulder}", "clearance_m": 0.3},
            )
        )  # fmt: skip
    return tuple(plans)


def _ground() -> Ground:
    """Two carriageways, a median of grass, and woods beside the shoulders."""
    west, east = -100.0, 900.0
    patches = [box("soil", west, -_EDGE_M - 3, east, _EDGE_M + 3)]
    for side in (-1, 1):
        patches += [
            box("asphalt", west, min(side * (_INNER_M - 0.7), side * _EDGE_M), east, max(side * (_INNER_M - 0.7), side * _EDGE_M)),
            *(
                box("worn", west, side * (_INNER_M + (lane + 0.5) * _LANE_M) - 1.1, east, side * (_INNER_M + (lane + 0.5) * _LANE_M) + 1.1)
                for lane in range(_LANES)
            ),
            *(
                part
                for lane in range(1, _LANES)
                for part in dashes(
                    [(west, side * (_INNER_M + lane * _LANE_M)), (east, side * (_INNER_M + lane * _LANE_M))],
                    width_m=0.15, dash_m=6, gap_m=12,
                )
            ),
            box("paint", west, side * _OUTER_M - 0.12, east, side * _OUTER_M + 0.12),
            box("paint", west, side * _INNER_M - 0.1, east, side * _INNER_M + 0.1),
        ]  # fmt: skip
    patches.append(box("grass", west, -_INNER_M + 0.7, east, _INNER_M - 0.7))
    patches.append(box("kerb", west, -0.18, east, 0.18))
    blocks = [
        Block(look="trees", x1_m=x, y1_m=y, x2_m=x + 58, y2_m=y + 10, height_m=h)
        for x, h in ((40, 9.0), (110, 11.0), (190, 10.0), (280, 12.0), (390, 11.0))
        for y in (_EDGE_M + 7, -_EDGE_M - 17)
    ]
    lamps = [(x, y) for x in range(20, 300, 40) for y in (-_EDGE_M, _EDGE_M)]
    return Ground(patches=tuple(patches), blocks=tuple(blocks), lamps=tuple(lamps))


SCENARIO = Scenario(
    name="motorway",
    title="Motorway, 3 + 3 lanes, from a gantry over the median",
    traffic=Traffic(
        nodes=_NODES,
        edges=f"<edges>{_EDGES}</edges>",
        arms={"eastbound_in": "west", "eastbound_out": "east", "westbound_in": "east", "westbound_out": "west"},
        demand=_demand,
        staged=_staged,
        warm_up_s=90.0,
        area_m=(-60.0, -40.0, 330.0, 40.0),
    ),
    camera=Pinhole(
        pose=Pose(x_m=0.0, y_m=0.0, z_m=9.0, heading_rad=0.0, tilt_rad=math.radians(12.0)),
        lens=Lens(size=Size(1280, 720), focal_px=1150.0),
    ),
    lines={
        "eastbound": ((_LINE_M, -_INNER_M + 1.0), (_LINE_M, -_EDGE_M - 0.5)),
        "westbound": ((_LINE_M, _EDGE_M + 0.5), (_LINE_M, _INNER_M - 1.0)),
    },
    zones={
        f"{name}_road": tuple(
            (x, side * y) for x, y in ((35.0, _INNER_M), (35.0, _EDGE_M), (95.0, _EDGE_M), (95.0, _INNER_M))
        )
        for name, side in (("eastbound", -1), ("westbound", 1))
    },
    movements=(("west", "east"), ("east", "west")),
    ground=_ground(),
)
