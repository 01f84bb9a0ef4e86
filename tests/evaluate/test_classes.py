import pytest

from pipeline.errors import Fatal
from pipeline.evaluate.classes import pools, strangers
from tests.evaluate.examples import passage


@pytest.mark.parametrize(
    ("text", "by_truth", "wanted"),
    [
        (None, (), {"car": "car", "bus": "bus", "dog": "dog"}),
        (None, ("bus", "car"), {"car": "bus+car", "bus": "bus+car", "dog": None}),
        ("all", ("bus", "car"), {"car": "all", "dog": "all"}),
        ("each", ("bus", "car"), {"car": "car", "dog": "dog"}),
        ("truck+car,bus", (), {"car": "car+truck", "truck": "car+truck", "bus": "bus", "dog": None}),
        (" car + truck ", (), {"car": "car+truck"}),
    ],
)
def test_classes_are_pooled_as_they_are_written(text, by_truth, wanted):
    made = pools(text, by_truth)

    assert {label: made.pool(label) for label in wanted} == wanted


def test_what_is_in_no_pool_is_left_out():
    rows = [passage(1, label="car"), passage(2, label="dog")]

    assert pools("car").scored(rows) == (rows[0],)


@pytest.mark.parametrize("text", ["", "car,", "car++bus", "car,car", "car+car", "car+bus,bus"])
def test_pools_that_make_no_sense_are_refused(text):
    with pytest.raises(Fatal, match="--classes"):
        pools(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [("kar", r"'kar' \(did you mean car\?\)"), ("car+Truck", "did you mean truck"), ("zebra", "known: bicycle")],
)
def test_a_class_that_nobody_knows_is_refused_and_a_near_one_is_named(text, told):
    with pytest.raises(Fatal, match=told):
        pools(text)


def test_a_class_that_a_run_holds_may_be_asked_for():
    assert pools("van", (), {"van"}).pool("van") == "van"


def test_strange_classes_are_noted():
    assert strangers("the run", [passage(1)]) == []
    assert strangers("the run", [passage(1, label="kar"), passage(2)]) == [
        "classes: 1 crossings of the run have a class that nobody knows: kar (did you mean car?)"
    ]
