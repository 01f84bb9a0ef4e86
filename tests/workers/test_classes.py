import pytest

from pipeline.core.model import Line, Scene, Size, Zone
from pipeline.errors import Fatal
from workers.classes import check_classes

KNOWN = {"car", "bus"}


def scene(*classes, zone=None):
    lines = [Line(name=f"l{n}", start=(0, 0.5), end=(1, 0.5), classes=each) for n, each in enumerate(classes)]
    zones = [Zone(name="z", points=[(0, 0), (1, 0), (1, 1)], classes=zone)] if zone else []
    return Scene(drawn_on=Size(64, 36), lines=lines, zones=zones)


def test_what_the_model_knows_or_nobody_asks_for_is_well():
    check_classes({"": scene(["car"], None, ["bus", "car"])}, KNOWN, "m")


def test_every_unknown_class_is_told_with_its_place_and_what_is_known():
    with pytest.raises(Fatal) as told:
        check_classes({"north": scene(["car"], ["tram", "van"], zone=["person"])}, KNOWN, "m@1")

    assert str(told.value) == (
        "the model m@1 does not know what is to be counted: north: l1 asks for tram, van; north: z asks for person;"
        " it knows bus, car: take these classes out of the scene, or another model"
    )
