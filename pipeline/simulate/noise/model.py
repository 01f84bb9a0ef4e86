"""How bad a detector is, in numbers; all but these numbers is in `detector` and `ghosts`.

Heights are px in a picture scaled to 640 px width, rates are per second or minute of time, never per picture.
"""

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Annotated

import msgspec
from msgspec import Meta

from pipeline.errors import Fatal

LEVELS: Mapping[str, float] = {"none": 0.0, "low": 0.5, "yolov8n": 1.0, "high": 1.5}
"""Names of how bad the detector is, and by how much the fitted mistakes are scaled."""

SCORE_FLOOR = 0.1
"""The detector gives no box with a lower score; it is the default of `pipeline.adapters.yolo`."""

WIDTH_PX = 640
"""Of the picture in which heights are told."""

KINDS: Mapping[str, str] = {"person": "walker", "bicycle": "rider", "motorcycle": "rider"}
"""What a class is seen like; every other class is a vehicle."""

Level = Annotated[float, Meta(ge=0.0, le=3.0)]
Part = Annotated[float, Meta(ge=0.0, le=1.0)]


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a user's mistake stays alike: shares of its variance, which sum to 1."""

    habit: Part  # never changes for one user
    slow: Part
    slow_s: float  # time after which the slow part is alike by 1/e
    quick: Part
    quick_s: float
    white: Part  # new in every picture


class Sight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a whole vehicle that nobody hides is seen, at each of k heights; between them it is interpolated."""

    heights: list[float]  # [k] px, rising
    missed: list[Part]  # [k] share of time without a box
    scores: list[list[float]]  # [k][q] evenly spaced quantiles of the score of its boxes
    bias: list[list[float]]  # [k][4] of the edges x1 y1 x2 y2, in widths and heights of the box
    spread: list[list[float]]  # [k][4] standard deviation of the middle two thirds


class Cover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes as less of a user is to be seen; interpolated between k shares."""

    share: list[Part]  # [k] rising
    missed: list[float]  # [k] added to the log odds of a miss
    score: list[float]  # [k] taken from the log odds of the score
    spread: list[float]  # [k] factor


class Likeness(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a walker or rider differs from a vehicle."""

    height: float  # it is as hard to see as a vehicle of this share of its height
    spread: list[float]  # [4] factor for each edge


class Mistaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What else a class is called: the share of time at each of k heights."""

    heights: list[float]  # [k]
    shares: dict[str, list[Part]]  # [k] for each other class


class Double(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second box on a user, as one was seen: its twin under another name, or a part of it."""

    same: bool  # it has the label of the first box
    label: str  # else this one
    score: float
    box: list[float]  # [4] x1 y1 x2 y2 in the user's own box: 0..1 is its width or height


class Doubles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many second boxes a class has."""

    heights: list[float]  # [k]
    mean: list[float]  # [k] per box of a user
    seen: list[Double]  # one is drawn


class Ghost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place where a box was seen and nobody was."""

    label: str
    score: float
    box: list[float]  # [4] shares of the picture
    life_s: float  # from its first box to its last
    on: Part  # share of its life with a box
    per_minute: float  # births of such ghosts


class Rider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rider is seen as a cycle and a person, both parts of the whole."""

    cycle: list[float]  # [4] in the user's own box
    person: list[float]
    seen: Part  # share of cycles beside whose box there is a person's


class NoiseModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A detector's mistakes, at a level: 0 makes none, 1 those that were fitted."""

    name: str
    level: Level = 1.0
    sight: Sight
    likeness: dict[str, Likeness]  # by kind
    hidden: Cover  # by the share of what is in the picture that no other user hides
    cut: Cover  # by the share in the picture
    shrink: Part  # how far a box follows the visible part: 0 stays whole, 1 is that part
    tail: list[float]  # [m] size of a mistake, in spreads, where the normal law says 0, 0.25, 0.5 ...
    sure: Cover  # only its spread is used: by the score, surer boxes fit better
    edges: list[list[float]]  # [4][4] correlation
    mistaken: dict[str, Mistaken]
    doubles: dict[str, Doubles]
    merged: Part  # share of time in which one of two neighbours whose boxes overlap is swallowed by the other's box
    rider: Rider
    ghosts: list[Ghost]
    score_memory: Memory
    edge_memory: Memory
    label_memory: Memory
    double_memory: Memory
    merge_memory: Memory

    def scaled(self, level: float) -> "NoiseModel":
        """The same detector, `level` times as bad as it was fitted: 0 (none) to 3.

        Misses, second boxes, ghosts, wrong classes and swallowed neighbours come `level` times as often, edges are
        off `level` times as far, the odds of scores fall by `level`.

        Raises:
            ValueError: the level is below 0, above 3 or no number.
        """
        if not 0 <= level <= 3:  # noqa: PLR2004 - the contract's; above it every share would be at its bound
            raise ValueError(f"noise is scaled by 0 to 3, not by {level}")
        return msgspec.structs.replace(self, level=level)


def noise_model(level: str) -> NoiseModel:
    """The fitted detector at one of LEVELS.

    Raises:
        Fatal: there is no such level; the message says which there are.
    """
    if level not in LEVELS:
        raise Fatal(f"there is no noise level {level!r}; there are {', '.join(LEVELS)}")
    return _fitted().scaled(LEVELS[level])


@functools.cache
def _fitted() -> NoiseModel:
    file = resources.files("pipeline.simulate.noise") / "yolov8n.json"
    return msgspec.json.decode(file.read_bytes(), type=NoiseModel)
