import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm, poisson

from pipeline.evaluate.intervals import UNKNOWN, count_error, f1, median, percentile_95, rate, share

COUNTS = st.integers(0, 400)


@given(COUNTS, COUNTS)
def test_a_share_lies_in_its_range_and_the_range_between_0_and_1(part, rest):
    got = share(part, part + rest)

    assert got == UNKNOWN if part + rest == 0 else 0 <= got.low <= got.value <= got.high <= 1


@given(COUNTS, COUNTS)
def test_a_share_and_what_is_left_of_it_have_mirrored_ranges(part, rest):
    if part + rest:
        one, other = share(part, part + rest), share(rest, part + rest)
        assert (one.low, one.high) == (pytest.approx(1 - other.high), pytest.approx(1 - other.low))


@pytest.mark.parametrize(
    ("part", "of", "low", "high"),
    [(8, 8, 0.6756, 1.0), (0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_s_ranges_are_the_published_ones(part, of, low, high):
    """81/263 and 15/148 are the examples of Newcombe, Statistics in Medicine 17 (1998), 857-872."""
    got = share(part, of)

    assert (got.low, got.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("n", "p"), [(40, 0.9), (40, 0.5), (200, 0.98)])
def test_wilson_s_range_holds_the_true_share_about_95_times_of_100(n, p):
    held = sum(binom.pmf(k, n, p) for k in range(n + 1) if share(k, n).low <= p <= share(k, n).high)

    assert 0.92 < held < 0.99


@pytest.mark.parametrize("part", [-1, 4])
def test_a_part_is_not_greater_than_the_whole(part):
    with pytest.raises(ValueError, match="part"):
        share(part, 3)


@pytest.mark.parametrize(("events", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904)])
def test_a_rate_s_ranges_are_garwood_s(events, low, high):
    got = rate(events, 1)

    assert (got.low, got.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("mean", [0.7, 5.0, 30.0])
def test_a_rate_s_range_holds_the_true_rate_at_least_95_times_of_100(mean):
    assert sum(poisson.pmf(k, mean) for k in range(150) if rate(k, 1).low <= mean <= rate(k, 1).high) >= 0.95


def test_there_is_no_rate_of_no_time():
    assert rate(3, 0) == UNKNOWN


@given(COUNTS, st.integers(0, 50), st.integers(0, 50))
def test_the_count_error_is_what_was_counted_against_the_truth_and_lies_in_its_range(found, missed, false):
    got = count_error(missed, false, found + missed)

    if found + missed == 0:
        assert got == UNKNOWN
    else:
        assert got.value == pytest.approx((found + false) / (found + missed) - 1)
        assert got.low <= got.value <= got.high


def test_nothing_wrong_in_few_is_less_sure_than_nothing_wrong_in_many():
    few, many = count_error(0, 0, 8), count_error(0, 0, 800)

    assert (few.low, few.high) == (pytest.approx(-0.3244, abs=1e-4), pytest.approx(0.4611, abs=1e-4))
    assert few.low < many.low < 0 < many.high < few.high


@given(COUNTS, COUNTS, COUNTS)
def test_f1_is_the_harmonic_mean_of_precision_and_recall_and_lies_in_its_range(found, missed, false):
    got = f1(found, missed, false)

    if found:
        precision, recall = found / (found + false), found / (found + missed)
        assert got.value == pytest.approx(2 * precision * recall / (precision + recall))
    if found + missed + false:
        assert 0 <= got.low <= got.value <= got.high <= 1


@given(st.lists(st.floats(-1e4, 1e4), max_size=40), st.randoms(use_true_random=False))
def test_medians_and_percentiles_lie_in_their_ranges_whatever_the_order(values, random):
    one, other = median(values), percentile_95(values)
    random.shuffle(values)

    assert (median(values), percentile_95(values)) == (one, other)
    for got in (one, other):
        if len(values) > 1:
            assert min(values) - 1e-9 <= got.low <= got.high <= max(values) + 1e-9


def test_one_value_has_no_range_and_none_no_value():
    assert median([]) == UNKNOWN
    assert (median([7]).value, median([7]).low, median([7]).of) == (7.0, None, 1)


def test_the_bootstrap_of_many_values_comes_near_the_normal_one():
    """Of a normal sample the median's standard error is 1.2533 sigma / sqrt(n)."""
    values = [float(norm.ppf((k + 0.5) / 2001)) for k in range(2001)]
    got = median(values)

    assert (got.high - got.low) == pytest.approx(2 * 1.96 * 1.2533 / math.sqrt(2001), rel=0.15)
