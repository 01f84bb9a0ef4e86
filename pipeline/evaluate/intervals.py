"""How sure a figure is: its value and the range that 95 of 100 such intervals hold the true one in."""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

CONFIDENCE = 0.95
RESAMPLES = 1000
FEW = 2
"""Errors of fewer values than this have no range."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure, its range, and how many things it was computed from. None: nobody knows."""

    value: float | None
    low: float | None
    high: float | None
    of: int


UNKNOWN = Estimate(value=None, low=None, high=None, of=0)


def share(part: int, of: int) -> Estimate:
    """A share such as a recall, with Wilson's score interval; unknown of nothing.

    Raises:
        ValueError: the part is negative or greater than the whole.

    Source:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927). Chosen
        because it stays inside 0..1 and is honest at 0 and at 1: 8 of 8 is 0.68 to 1, as Brown, Cai and DasGupta,
        Interval estimation for a binomial proportion, Statistical Science 16 (2001), recommend.
    """
    if not 0 <= part <= of:
        raise ValueError(f"a share needs 0 <= part <= whole, got {part} of {of}")
    if of == 0:
        return UNKNOWN
    p, z2 = part / of, _z() ** 2
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = math.sqrt(z2) * math.sqrt(p * (1 - p) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    low = 0.0 if part == 0 else max(0.0, middle - half)
    high = 1.0 if part == of else min(1.0, middle + half)
    return Estimate(value=p, low=low, high=high, of=of)


def rate(events: int, exposure: float) -> Estimate:
    """How many events for each unit of exposure, with the exact Poisson interval; unknown without exposure.

    Source:
        F. Garwood, Fiducial limits for the Poisson distribution, Biometrika 28 (1936).
    """
    if exposure <= 0:
        return UNKNOWN
    tail = (1 - CONFIDENCE) / 2
    low = float(chi2.ppf(tail, 2 * events)) / 2 if events else 0.0
    high = float(chi2.ppf(1 - tail, 2 * events + 2)) / 2
    return Estimate(value=events / exposure, low=low / exposure, high=high / exposure, of=events)


def count_error(missed: int, false: int, of: int) -> Estimate:
    """(counted - truth) / truth, as a share, where counted = truth - missed + false; unknown where truth is 0.

    The range joins Wilson's for the missed share with the exact Poisson one for the false ones, by squares of their
    half-lengths, so it is a true range also where nothing went wrong.

    Source:
        G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a general approach,
        Statistics in Medicine 27 (2008) (MOVER); R. G. Newcombe, Interval estimation for the difference between
        independent proportions, Statistics in Medicine 17 (1998), method 10.
    """
    m, f = share(missed, of), rate(false, of)
    if m.value is None or m.low is None or m.high is None or f.value is None or f.low is None or f.high is None:
        return UNKNOWN
    value = f.value - m.value
    return Estimate(
        value=value,
        low=value - math.hypot(f.value - f.low, m.high - m.value),
        high=value + math.hypot(f.high - f.value, m.value - m.low),
        of=of,
    )


def f1(found: int, missed: int, false: int) -> Estimate:
    """The harmonic mean of precision and recall: 2 found / (2 found + missed + false); unknown of nothing.

    Its range is Wilson's of found / (found + missed + false), carried over: F1 is a rising function of that share.

    Source:
        D. J. Hand, P. Christen and N. Kirielle, F*: an interpretable transformation of the F-measure, Machine
        Learning 110 (2021).
    """
    star = share(found, found + missed + false)
    value, low, high = (None if s is None else 2 * s / (1 + s) for s in (star.value, star.low, star.high))
    return Estimate(value=value, low=low, high=high, of=star.of)


def median(values: Sequence[float]) -> Estimate:
    """The median, its range by bootstrap over the values (over passages, that is)."""
    return _bootstrap(values, lambda rows: np.median(rows, axis=-1))


def percentile_85(values: Sequence[float]) -> Estimate:
    """The 85th percentile, its range by bootstrap."""
    return _bootstrap(values, lambda rows: np.percentile(rows, 85, axis=-1))


def percentile_95(values: Sequence[float]) -> Estimate:
    """The 95th percentile, its range by bootstrap; of fewer than some 60 values it is little more than the largest."""
    return _bootstrap(values, lambda rows: np.percentile(rows, 95, axis=-1))


def _bootstrap(values: Sequence[float], figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Estimate:
    """A figure of values and its percentile interval over resamples; the same values give the same range.

    Source:
        B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap (1993), 13.3. The order of the values does
        not matter and the resamples are drawn from a fixed seed.
    """
    sample = np.sort(np.asarray(values, dtype=np.float64))
    if sample.size == 0:
        return UNKNOWN
    value = float(figure(sample))
    if sample.size < FEW:
        return Estimate(value=value, low=None, high=None, of=int(sample.size))
    draw = np.random.default_rng(1986)
    block = max(1, 2_000_000 // sample.size)  # so that memory stays small however many values there are
    figures = np.concatenate(
        [
            figure(sample[draw.integers(0, sample.size, (min(block, RESAMPLES - done), sample.size))])
            for done in range(0, RESAMPLES, block)
        ]
    )
    low, high = np.percentile(figures, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return Estimate(value=value, low=float(low), high=float(high), of=int(sample.size))


def _z() -> float:
    return float(norm.ppf((1 + CONFIDENCE) / 2))
