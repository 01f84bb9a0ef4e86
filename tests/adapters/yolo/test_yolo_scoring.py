"""Average precision, on pictures small enough to reckon it by hand."""

import importlib.util

import pytest

from pipeline.adapters.yolo.training.scoring import Examined, precision
from pipeline.core.model import Detections
from pipeline.simulate.lessons import Box


@pytest.fixture(scope="module", autouse=True)
def extra():
    if importlib.util.find_spec("pycocotools") is None:
        pytest.skip("training is asked for: make setup EXTRAS=dev,train")


def car(x, *, visible=1.0, height=0.2, label="car"):
    return Box(label, x, 0.1, x + 0.1, 0.1 + height, visible)


def examined(truth, *seen):
    """seen: (box, score)."""
    columns = {name: [getattr(box, name) for box, _ in seen] for name in ("x1", "y1", "x2", "y2", "label")}
    return Examined(look="day clear", truth=truth, seen=Detections(**columns, score=[score for _, score in seen]))


def test_whoever_finds_all_and_nothing_else_has_a_precision_of_one():
    assert precision([examined([car(0.1), car(0.5)], (car(0.1), 0.9), (car(0.5), 0.4))]).of["car"] == pytest.approx(1)


def test_half_found_is_a_half():
    assert precision([examined([car(0.1), car(0.5)], (car(0.1), 0.9))]).of["car"] == pytest.approx(0.5, abs=0.01)


def test_a_surer_box_where_nobody_is_costs_and_an_unsure_one_does_not():
    truth = [car(0.1)]

    assert precision([examined(truth, (car(0.1), 0.5), (car(0.7), 0.9))]).of["car"] == pytest.approx(0.5, abs=0.01)
    assert precision([examined(truth, (car(0.1), 0.9), (car(0.7), 0.5))]).of["car"] == pytest.approx(1)


@pytest.mark.parametrize("ignored", [car(0.5, visible=0.2), car(0.5, height=11 / 360)])
def test_who_need_not_be_found_counts_neither_for_nor_against(ignored):
    truth = [car(0.1), ignored]

    for seen in ([(car(0.1), 0.5)], [(car(0.1), 0.5), (ignored, 0.9)]):
        found = precision([examined(truth, *seen)])
        assert found.of["car"] == pytest.approx(1)
        assert found.wanted["car"] == 1


def test_a_wrong_class_is_a_mistake_of_both():
    found = precision([examined([car(0.1), car(0.5, label="bus")], (car(0.1), 0.9), (car(0.5, label="truck"), 0.9))])

    assert found.of["bus"] == pytest.approx(0)
    assert found.of["truck"] is None


def test_what_nobody_asked_for_is_unknown_and_not_in_the_mean():
    found = precision([examined([car(0.1)], (car(0.1), 0.9))])

    assert found.of["person"] is None
    assert found.mean == pytest.approx(1)
