"""One approach to a signal, whose queue grows and clears, seen from the signal's arm over the road behind the junction.

The stop line is at x = 0. Traffic of the approach comes from the west towards the camera; opposite it, traffic leaves
to the west; a side street crosses between the stop line and the camera, mostly below the picture.
"""

import math
import random

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose, Shake
from pipeline.simulate.ground import Block, Ground, arrow, box, dashes, zebra
from pipeline.simulate.scenario import Approach, Scenario, StagedPlan, Traffic
from pipeline.simulate.scenarios.vehicles import BUSES, CARS, LORRIES, MOTORCYCLES, flow, routes

_LANE_M = 3.25
_ROAD_M = 2 * _LANE_M  # of one direction
_MIDDLE_M = 7.25
"""Where the middle of the junction is, so that netconvert ends the approach at x = 0; a test holds it to this."""

_BEGIN_M, _SOLID_M = -520.0, -170.0
_ALLOWED_MS = 50 / 3.6
_CYCLE_S = 70

_NODES = f"""<nodes>
  <node id="centre" x="{_MIDDLE_M}" y="0" type="traffic_light" radius="4"/>
  <node id="west" x="{_BEGIN_M}" y="0"/> <node id="solid" x="{_SOLID_M}" y="0"/> <node id="east" x="300" y="0"/>
  <node id="north" x="{_MIDDLE_M}" y="160"/> <node id="south" x="{_MIDDLE_M}" y="-160"/>
</nodes>"""


def _edge(name: str, start: str, end: str, lanes: int, *, solid: bool = False) -> str:
    keeps = 'changeLeft="authority" changeRight="authority"' if solid else ""
    return (
        f'<edge id="{name}" from="{start}" to="{end}" numLanes="{lanes}" width="{_LANE_M}" speed="{_ALLOWED_MS:.2f}" '
        f'priority="{lanes}" disallow="pedestrian">'
        + "".join(f'<lane index="{lane}" {keeps}/>' for lane in range(lanes))
        + "</edge>"
    )


_EDGES = (
    _edge("west_far", "west", "solid", 2)
    + _edge("west_in", "solid", "centre", 2, solid=True)
    + _edge("west_out", "centre", "west", 2)
    + "".join(
        _edge(f"{arm}_in", arm, "centre", lanes, solid=True) + _edge(f"{arm}_out", "centre", arm, lanes)
        for arm, lanes in (("east", 2), ("north", 1), ("south", 1))
    )
)
"""Before the signal the line between the lanes is solid: nobody stands across it in the queue."""

_CONNECTIONS = "".join(
    f'<connection from="west_in" to="{to}_out" fromLane="{lane}" toLane="{to_lane}" keepClear="false"/>'
    for to, lane, to_lane in (("south", 0, 0), ("east", 0, 0), ("east", 1, 1), ("north", 1, 0))
)

_FIRST = {"west": "west_far"}
_MIX = ((CARS, 0.86), (LORRIES, 0.06), (BUSES, 0.03), (MOTORCYCLES, 0.05))


def _demand(seed: int, until_s: float) -> str:
    chance = random.Random(f"stopline {seed}")  # noqa: S311 - repeatable on purpose
    loads = {
        ("west", "east"): chance.uniform(650, 1250),
        ("west", "south"): chance.uniform(60, 160),
        ("west", "north"): chance.uniform(30, 90),
        ("east", "west"): chance.uniform(400, 900),
        ("north", "west"): chance.uniform(40, 120),
        ("north", "south"): chance.uniform(100, 220),
        ("south", "north"): chance.uniform(100, 220),
        ("south", "west"): chance.uniform(40, 120),
    }
    parts = [
        flow(f"{start}-{end}-{kind}", kind, _way(start, end), load * share, until_s=until_s)
        for (start, end), load in loads.items()
        for kind, share in _MIX
    ]
    return routes(*parts)


def _way(start: str, end: str) -> str:
    return f'from="{_FIRST.get(start, start + "_in")}" to="{end}_out"'


def _staged(seed: int) -> tuple[StagedPlan, ...]:
    """A spill-back each, and in turn a driver who brakes late or a car that breaks down in its lane."""
    chance = random.Random(f"stopline staged {seed}")  # noqa: S311 - repeatable on purpose
    spill = StagedPlan(
        kind="spill_back", at_s=chance.uniform(165, 185), lasts_s=45,
        details={"edge": "east_out", "speed_kmh": 1.0, "x_m": 4.0, "y_m": -_ROAD_M / 2, "radius_m": 5.5},
    )  # fmt: skip
    if seed % 4 in {0, 3}:
        other = StagedPlan(
            kind="near_collision", at_s=chance.uniform(15, 30), lasts_s=120,
            details={"edge": "west_in", "from_m": -_SOLID_M - 90, "to_m": -_SOLID_M - 25},
        )  # fmt: skip
    else:
        other = StagedPlan(
            kind="stopped_vehicle", at_s=chance.uniform(40, 60), lasts_s=50,
            details={"edge": "west_in", "lane": 0, "pos_m": -_SOLID_M - 42.0, "label": "car"},
        )  # fmt: skip
    return (other, spill)


def _ground() -> Ground:
    """The approach and the way out beside it, the side street, and pavements."""
    east = 2 * _MIDDLE_M
    side = (_MIDDLE_M - _LANE_M, _MIDDLE_M + _LANE_M)
    patches = [
        box("paving", _BEGIN_M, -_ROAD_M - 3, 60, _ROAD_M + 3),
        box("paving", side[0] - 3, -160, side[1] + 3, 160),
        box("kerb", _BEGIN_M, -_ROAD_M - 0.2, 60, _ROAD_M + 0.2),
        box("kerb", side[0] - 0.2, -160, side[1] + 0.2, 160),
        box("asphalt", _BEGIN_M, -_ROAD_M, 60, _ROAD_M),
        box("asphalt", *(side[0], -160, side[1], 160)),
        box("asphalt", 0, -_ROAD_M - 1, east, _ROAD_M + 1),
        *(box("worn", _BEGIN_M, y - 0.9, -1, y + 0.9) for y in (-4.9, -1.6, 1.6, 4.9)),
        box("paint", -0.5, -_ROAD_M, 0.0, -0.1),
        *dashes([(_BEGIN_M, 0), (-0.5, 0)], width_m=0.15, dash_m=1, gap_m=0),
        *dashes([(-45, -_LANE_M), (-0.5, -_LANE_M)], width_m=0.14, dash_m=1, gap_m=0),
        *dashes([(-46, -_LANE_M), (_BEGIN_M, -_LANE_M)], width_m=0.14, dash_m=3, gap_m=6),
        *dashes([(-1, _LANE_M), (_BEGIN_M, _LANE_M)], width_m=0.14, dash_m=3, gap_m=6),
        *zebra((-4.0, _ROAD_M / 2), along_rad=math.pi / 2, length_m=_ROAD_M - 0.5, depth_m=2.6),
        *(
            part
            for x in (-9.0, -26.0)
            for part in (*arrow((x, -1.5 * _LANE_M), 0.0), *arrow((x, -0.5 * _LANE_M), 0.0, turn="left"))
        ),
    ]
    houses = (
        (-30, 12, -6, 26, 9), (-58, 12, -34, 28, 12), (-96, 13, -64, 30, 10), (-150, 12, -104, 28, 13),
        (-28, -26, -8, -12, 11), (-62, -30, -34, -12, 9), (-110, -28, -70, -12, 14), (-160, -30, -118, -12, 10),
    )  # fmt: skip
    blocks = [
        *(Block(look="house", x1_m=a, y1_m=b, x2_m=c, y2_m=d, height_m=h) for a, b, c, d, h in houses),
        Block(look="trees", x1_m=-240, y1_m=11, x2_m=-165, y2_m=22, height_m=9),
        Block(look="trees", x1_m=-240, y1_m=-24, x2_m=-170, y2_m=-11, height_m=9),
    ]
    lamps = [(x, y) for x in (-2.0, -30.0, -60.0, -90.0, -130.0) for y in (-_ROAD_M - 1, _ROAD_M + 1)]
    return Ground(patches=tuple(patches), blocks=tuple(blocks), lamps=tuple(lamps))


SCENARIO = Scenario(
    name="stopline",
    title="One approach to a signal, two lanes, from a mast behind the junction",
    traffic=Traffic(
        nodes=_NODES,
        edges=f"<edges>{_EDGES}</edges>",
        connections=f"<connections>{_CONNECTIONS}</connections>",
        options=("--no-turnarounds", "true", "--tls.cycle.time", str(_CYCLE_S), "--junctions.internal-link-detail", "12"),
        arms={f"{arm}_{way}": arm for arm in ("north", "east", "south", "west") for way in ("in", "out", "far")},
        demand=_demand,
        staged=_staged,
        warm_up_s=105.0,
        area_m=(-220.0, -25.0, 30.0, 25.0),
    ),
    camera=Pinhole(
        pose=Pose(x_m=21.5, y_m=-2.0, z_m=7.5, heading_rad=math.pi, tilt_rad=math.radians(13.5)),
        lens=Lens(size=Size(1280, 720), focal_px=1000.0, k1=-0.04),
        shake=Shake(sway_px=1.0, sway_hz=0.6, seed=5),
    ),
    lines={
        "stop_line": ((2.5, 0.3), (2.5, -_ROAD_M - 0.6)),
        "upstream": ((-45.0, 0.3), (-45.0, -_ROAD_M - 0.6)),
        "away": ((-14.0, _ROAD_M + 0.6), (-14.0, 0.3)),
    },
    zones={
        "approach": ((0.0, 0.0), (0.0, -_ROAD_M), (-60.0, -_ROAD_M), (-60.0, 0.0)),
        "box": ((6.5, 0.0), (6.5, -_ROAD_M), (0.5, -_ROAD_M), (0.5, 0.0)),
    },
    approaches=(
        Approach(name="west", stop=(0.0, -_ROAD_M / 2), heading_rad=0.0, width_m=_ROAD_M, length_m=100.0),
    ),
    movements=(
        ("west", "east"), ("west", "south"), ("west", "north"), ("east", "west"), ("north", "west"),
        ("north", "south"), ("south", "north"), ("south", "west"),
    ),
    ground=_ground(),
)  # fmt: skip
