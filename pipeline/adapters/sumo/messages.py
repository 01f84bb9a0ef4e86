"""What a recording process is told, and what it hands back. Both travel as msgpack files."""

import re

import msgspec

from pipeline.simulate.journeys import IncidentKind

LABELS = {
    "passenger": "car",
    "delivery": "truck",
    "truck": "truck",
    "trailer": "truck",
    "bus": "bus",
    "coach": "bus",
    "motorcycle": "motorcycle",
    "moped": "motorcycle",
    "bicycle": "bicycle",
    "pedestrian": "person",
}
"""SUMO's vehicle class -> COCO's label. A delivery van is to COCO a car or a truck; here a truck."""


def label_of(vtype: str, vclass: str) -> str | None:
    """COCO's label: the first word of the type's id ("person_walker", "bus-city"), where it is one, else by the class."""
    word = re.split(r"[-_.@]", vtype, maxsplit=1)[0]
    return word if word in LABELS.values() else LABELS.get(vclass)


class Plan(msgspec.Struct, frozen=True):
    """A StagedPlan on its way; its number is its place among the scenario's."""

    number: int
    kind: IncidentKind
    at_s: float
    lasts_s: float
    details: dict[str, str | float]


class Job(msgspec.Struct, frozen=True):
    """One run of SUMO."""

    words: list[str]  # the whole command line after `sumo`
    step_s: float
    every: int  # a knot each so many steps
    warm_up_s: float
    duration_s: float
    plans: list[Plan]
    out: str  # the file to write


class User(msgspec.Struct):
    """What SUMO said of one road user, knot by knot while it was there."""

    name: str
    vtype: str
    vclass: str
    length_m: float
    width_m: float
    height_m: float
    start: str  # the first edge of its way
    end: str  # the last one
    first: int  # number of its first knot
    x_m: list[float]  # the middle of its front
    y_m: list[float]
    compass_deg: list[float]  # clockwise from north


class Done(msgspec.Struct, frozen=True):
    """What came of a plan: the users it took, by SUMO's names."""

    number: int
    users: tuple[str, ...]


class Result(msgspec.Struct, frozen=True):
    """What came of a job."""

    users: list[User]
    done: list[Done]
