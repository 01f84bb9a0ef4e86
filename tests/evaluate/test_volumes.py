from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Way
from pipeline.evaluate.matching import match
from pipeline.evaluate.volumes import geh, volumes, windows_of
from tests.evaluate.examples import passage, passages

VOLUME = st.floats(0, 1e5)
WAYS = [(line, way) for line in ("near", "far") for way in Way]


@given(VOLUME, VOLUME)
def test_geh_does_not_care_which_is_the_model(m, c):
    assert geh(m, c) == geh(c, m) >= 0


@given(VOLUME)
def test_geh_of_equal_volumes_is_0(m):
    assert geh(m, m) == 0


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(1, 60))
def test_geh_grows_with_the_root_of_the_scale(m, c, scale):
    """Why volumes of other lengths of time are scaled to an hour, and how much."""
    assert geh(m * scale, c * scale) == pytest.approx(scale**0.5 * geh(m, c))


@pytest.mark.parametrize(("m", "c", "wanted"), [(1000, 850, 4.9320), (100, 50, 5.7735), (60, 0, 10.9545)])
def test_geh_of_known_volumes(m, c, wanted):
    assert geh(m, c) == pytest.approx(wanted, abs=1e-4)


def test_a_volume_is_not_negative():
    with pytest.raises(ValueError, match="negative"):
        geh(-1, 1)


@given(st.floats(1, 1e5), st.floats(100, 1e5))
def test_windows_cover_the_time_without_gaps_and_none_is_shorter_than_half_but_a_sole_one(duration, window):
    spans = windows_of(duration, window)

    assert (spans[0][0], spans[-1][1]) == (0, duration)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert len(spans) == 1 or all(b - a >= window * 0.499 for a, b in spans)


@given(passages(), passages())
def test_windows_hold_everything_once(truth, events):
    outcomes = match(truth, events, tolerance_ms=1000)
    got = volumes(outcomes, WAYS, duration_ms=6000, window_ms=1000)

    for rows in (got.windows, got.whole):
        assert (sum(v.truth for v in rows), sum(v.counted for v in rows)) == (len(truth), len(events))


def test_short_windows_are_scaled_to_an_hour():
    outcomes = match([passage(1), passage(2), passage(40)], [passage(1)], tolerance_ms=1000)
    got = volumes(outcomes, [("near", Way.TO_RIGHT)], duration_ms=60_000, window_ms=30_000)

    assert [(v.truth, v.counted) for v in got.windows] == [(2, 1), (1, 0)]
    assert got.windows[0].geh == pytest.approx(geh(240, 120))
    assert got.whole[0].geh == pytest.approx(geh(180, 60))


def test_a_window_without_vehicles_is_no_good_fit():
    """Nights would make any counter look good."""
    outcomes = match([passage(1), passage(2)], [passage(1)], tolerance_ms=100)
    got = volumes(outcomes, [("near", Way.TO_RIGHT)], duration_ms=600_000, window_ms=60_000)

    assert (got.geh_below_5.value, got.geh_below_5.of) == (0.0, 1)
