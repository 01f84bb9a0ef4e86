"""Where a road user is held against lines and zones, and how far its box may wobble there.

A camera on a mast sees a vehicle's box from above and from the side: its lower middle is where it touches the road,
nearly the same for every height of the camera. So it is the usual anchor of every class; a scene names another one
where that spot is hidden (a railing, a hedge, cars parked in front) or where the camera looks straight down.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.core.geometry import level
from pipeline.core.model import Anchor, Point

USUAL: Mapping[str, Anchor] = {
    "car": Anchor.BOTTOM,
    "bus": Anchor.BOTTOM,
    "truck": Anchor.BOTTOM,
    "motorcycle": Anchor.BOTTOM,  # where the wheels are, whatever the rider does
    "bicycle": Anchor.BOTTOM,
    "person": Anchor.BOTTOM,  # the feet
}
"""Of the classes gantry knows; any other stands on the road, too."""

WALKER, RIDER, VEHICLE = "walker", "rider", "vehicle"
_KINDS = {"person": WALKER, "bicycle": RIDER, "motorcycle": RIDER}


def kind_of(label: str) -> str:
    """Classes whose boxes wobble alike, and that a model confuses with each other, are one kind."""
    return _KINDS.get(label, VEHICLE)


def anchor_of(label: str, chosen: Mapping[str, Anchor]) -> Anchor:
    """The anchor of a class: the scene's own, else the usual one."""
    return chosen.get(label) or USUAL.get(label, Anchor.BOTTOM)


def anchored(foot: Point, height: float, anchor: Anchor) -> Point:
    """The anchor's place in shares.

    Args:
        foot: the middle of the box's lower edge, in shares.
        height: the box's height as a share of picture height.
        anchor: which point of the box.
    """
    if anchor is Anchor.BOTTOM:
        return foot
    return (foot[0], foot[1] - (height if anchor is Anchor.TOP else height / 2))


def footed(at: Point, height: float, anchor: Anchor) -> Point:
    """The middle of the box's lower edge whose anchor is there: the other way round."""
    return anchored(at, -height, anchor)


class Step(NamedTuple):
    """What a road user's anchor did between two sightings."""

    before: Point  # in shares
    before_ms: int
    after: Point
    after_ms: int  # later
    band: float  # half-width of the dead band around lines and borders for it, in picture heights
    start: Point  # `before` in level coordinates
    end: Point


def step_of(before: Point, before_ms: int, after: Point, after_ms: int, *, band: float, aspect: float) -> Step:
    """A step in shares, ready to be held against lines and zones of a picture of this aspect (width / height)."""
    return Step(before, before_ms, after, after_ms, band, level(before, aspect), level(after, aspect))
