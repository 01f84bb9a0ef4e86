"""A straight road to the north under a camera, and journeys on it: small enough to know the truth by heart."""

import math

import numpy as np

from pipeline.core.model import Size
from pipeline.simulate.camera import Lens, Pinhole, Pose
from pipeline.simulate.journeys import Journey, Recording
from pipeline.simulate.scenario import Scenario, Traffic

STEP_MS = 100
NORTH, SOUTH = math.pi / 2, -math.pi / 2
GATE_M = 40.0  # the line's distance from the camera

CAMERA = Pinhole(
    pose=Pose(x_m=0, y_m=0, z_m=8, heading_rad=NORTH, tilt_rad=0.25), lens=Lens(size=Size(1280, 720), focal_px=900)
)


def scenario(**changes):
    """Its line `gate` runs from west to east at GATE_M: who drives south passes it to the right."""
    return Scenario(
        **{
            "name": "small",
            "title": "A straight road",
            "traffic": Traffic(nodes="", edges="", arms={}, demand=lambda _seed, _until_s: ""),
            "camera": CAMERA,
            "lines": {"gate": ((-8.0, GATE_M), (8.0, GATE_M))},
        }
        | changes
    )


def journey(x, y, heading, *, user=1, label="car", size=(4.5, 1.8, 1.5), from_ms=0, ways=("a", "b")):
    """A journey through knots STEP_MS apart; a single number stays the same."""
    x, y, heading = (
        np.broadcast_to(np.asarray(v, float), np.broadcast_shapes(*map(np.shape, (x, y, heading))))
        for v in (x, y, heading)
    )
    return Journey(
        id=user, label=label, length_m=size[0], width_m=size[1], height_m=size[2], origin=ways[0],
        destination=ways[1], from_ms=from_ms, x_m=x, y_m=y, heading_rad=heading,
    )  # fmt: skip


def drives(y, ms, *, seconds=10.0, x=0.0, **more):
    """A journey at a constant speed, in metres a second to the north (below 0: to the south)."""
    way = y + ms * np.arange(0, seconds * 1000 + 1, STEP_MS) / 1000
    return journey(x, way, NORTH if ms >= 0 else SOUTH, **more)


def stands(x, y, *, heading=NORTH, seconds=10.0, **more):
    """A journey that goes nowhere."""
    return journey(np.full(int(seconds * 1000 / STEP_MS) + 1, x), y, heading, **more)


def recording(*journeys, duration_ms=10_000, staged=()):
    """The journeys as a recording."""
    return Recording(
        scenario="small", seed=0, step_ms=STEP_MS, duration_ms=duration_ms, journeys=tuple(journeys), staged=staged
    )
