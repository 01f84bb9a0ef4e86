import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import Way
from pipeline.evaluate.shift import shift
from tests.evaluate.examples import passage

TIMES = np.random.default_rng(1).uniform(0, 300, 30)


def events(late_s, *, jitter_s=0.0, way=Way.TO_RIGHT):
    off = np.random.default_rng(2).normal(0, jitter_s, len(TIMES)) if jitter_s else np.zeros(len(TIMES))
    return [passage(float(t + d + late_s), way) for t, d in zip(TIMES, off, strict=True)]


TRUTH = events(0)


@settings(max_examples=30)
@given(st.floats(-59, 59))
def test_a_constant_by_which_all_events_are_late_is_found(late_s):
    got = shift(TRUTH, events(late_s, jitter_s=0.1), found=0, tolerance_ms=1000)

    assert got is not None
    assert (got.late_ms, got.found >= 29) == (pytest.approx(late_s * 1000, abs=300), True)


def test_where_most_are_found_no_shift_is_told():
    assert shift(TRUTH, events(12), found=15, tolerance_ms=1000) is None


@pytest.mark.parametrize(
    "other",
    [
        [],
        events(61),
        events(12, way=Way.TO_LEFT),
        events(12)[:2],
        [passage(float(t)) for t in np.random.default_rng(3).uniform(0, 300, 30)],
    ],
)
def test_what_no_shift_explains_gets_none(other):
    assert shift(TRUTH, other, found=0, tolerance_ms=300) is None
