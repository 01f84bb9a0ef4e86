"""The tracker's inner loops: compiled as in Python, and no pair is left out that may be one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import kernels
from pipeline.core.flow_field import FlowField
from pipeline.core.perspective import Perspective

NOISE = (0.08, 0.13, 4.5)
JITTER_S, GATE = 0.025, 18.0
SEEN = Perspective().learned((0.9, y, 0.25 * y, "car", 0.9) for y in np.linspace(0.2, 1, 50))
FIELD = FlowField.empty(1.8).learned([(x, 0.2, x, 0.9, 2.0) for x in (0.3, 0.6, 0.9) for _ in range(6)], SEEN)

seeds = st.integers(0, 2**32 - 1)


def vehicles(seed, n=12):
    """Means and covariances of some that stand and some that drive."""
    rng = np.random.default_rng(seed)
    means = rng.uniform((0, 0.1, 0.05, 0.05, -0.3, -0.1, -0.1, -0.1), (1.7, 1, 0.3, 0.3, 0.3, 0.6, 0.1, 0.1), (n, 8)).T
    covs = rng.uniform(1e-5, 1e-2, (12, n))
    covs[4:8] = 0.0
    return np.ascontiguousarray(means), covs


def boxes(seed, means):
    """One near each of the vehicles, some of whose edges are cut."""
    rng = np.random.default_rng(seed)
    off = rng.normal(0, 0.05, (4, means.shape[1]))
    return np.abs(means[:4] + off) + 1e-3, rng.random((4, means.shape[1])) < 0.2


@given(seeds)
def test_no_box_within_the_gate_of_a_vehicle_is_taken_for_one_that_is_not_near(seed):
    means, covs = vehicles(seed)
    them, cut = boxes(seed, means)
    off, blur = np.empty(4), np.empty(4)
    for r in range(means.shape[1]):
        reach = kernels._reach(means, covs, r, GATE, JITTER_S, NOISE[0])
        for d in range(means.shape[1]):
            kernels._fitted(means, covs, r, them, cut, d, (0.1, 0.0, 0.0), NOISE, off, blur)
            far = float(np.sum(off**2 / (blur + (means[4:, r] * JITTER_S) ** 2 + covs[:4, r])))
            if far <= GATE:
                assert kernels._near(means, r, reach, them, d, GATE, NOISE[0])


@pytest.mark.parametrize("seed", range(5))
def test_machine_code_predicts_what_python_does(seed):
    means, covs = vehicles(seed)
    n = means.shape[1]
    dt, mine, wander, flow = np.linspace(0.04, 1.2, n), np.arange(n), (0.7, 0.45, 0.25, 0.44), (3.0, 2.0, 1.0)
    answers = []
    for predict in (kernels.predict, kernels.predict.py_func):
        then = np.empty_like(means), np.empty_like(covs)
        predict(means, covs, dt, mine, FIELD.table, SEEN.plane, SEEN.doubt, wander, flow, *then)
        answers.append(then)

    for compiled, plain in zip(*answers, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_machine_code_fits_and_costs_what_python_does(seed):
    means, covs = vehicles(seed)
    them, cut = boxes(seed, means)
    n = means.shape[1]
    every, none = np.arange(n), np.zeros(n)
    answers = []
    for costs in (kernels.costs, kernels.costs.py_func):
        out = np.full((n, n), 1e6)
        costs(
            means, covs, means * 0.99, none - 9.0, none + 0.5, every, them, cut, none, every,
            FIELD.table, SEEN.plane, NOISE, JITTER_S, GATE, (1.5, 0.75, 0.2), out,
        )  # fmt: skip
        answers.append(out)

    assert (answers[0] < 0).any()
    np.testing.assert_allclose(*answers, rtol=1e-9)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9]), max_size=12))
def test_the_surest_come_first_and_equally_sure_ones_as_they_came(scores):
    rows = np.array([[0.1, 0.1, 0.2, 0.2, score] for score in scores]).reshape(-1, 5).T.copy()
    order = np.empty(len(scores), np.intp)

    m = kernels.surest_first(rows, 0.1, order)

    wanted = sorted((d for d, score in enumerate(scores) if score >= 0.1), key=lambda d: -scores[d])
    assert order[:m].tolist() == wanted
