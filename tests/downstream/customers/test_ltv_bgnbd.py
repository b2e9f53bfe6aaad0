"""BG/NBD finds the parameters that customers were made with, and expects what they then do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.stats import beta, gamma

from mfdask.downstream.customers.bgnbd import BGNBD, Rhythm, _Counted
from mfdask.errors import InputError

#: The published estimates for the CDNOW sample of 2,357 customers, in weeks.
CDNOW = BGNBD(0.243, 4.414, 0.793, 2.426)


def simulate(true, ages, horizon, seed):
    """Return what customers did until now, and how often they came back in the horizon."""
    rng = np.random.default_rng(seed)
    n = len(ages)
    rate = rng.gamma(true.r, 1 / true.alpha, n)
    leaving = rng.beta(true.a, true.b, n)
    time, active = np.zeros(n), np.ones(n, bool)
    if true.modified:
        active = rng.random(n) >= leaving
    frequency, recency, later = np.zeros(n), np.zeros(n), np.zeros(n)
    while active.any():
        time = np.where(active, time + rng.exponential(1 / rate), time)
        active &= time < ages + horizon
        now = active & (time < ages)
        frequency[now] += 1
        recency[now] = time[now]
        later[active & ~now] += 1
        active &= rng.random(n) >= leaving
    return Rhythm(frequency, recency, ages), later


def standard_errors(fitted, rhythm):
    """Return the errors of the logarithms of the parameters, from the curvature at the optimum."""
    logs, step = np.log(fitted[:4]), 1e-3

    def total(shift):
        return BGNBD(*np.exp(logs + shift)).log_likelihood(rhythm).sum()

    basis = step * np.eye(4)
    curvature = np.array(
        [[total(a + b) - total(a - b) - total(b - a) + total(-a - b) for a in basis] for b in basis]
    ) / (4 * step**2)
    return np.sqrt(np.diag(np.linalg.inv(-curvature)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cdnow_parameters_come_back(seed):
    ages = np.random.default_rng(seed).uniform(27, 39, 2357)
    rhythm, _ = simulate(CDNOW, ages, 0.0, seed)
    fitted = BGNBD.fit(rhythm)
    away = np.abs(np.log(fitted[:4]) - np.log(CDNOW[:4])) / standard_errors(fitted, rhythm)
    assert away.max() < 3.5
    assert fitted.log_likelihood(rhythm).sum() >= CDNOW.log_likelihood(rhythm).sum()
    assert fitted.r == pytest.approx(CDNOW.r, rel=0.2)


@pytest.mark.parametrize("modified", [False, True])
def test_slopes_of_the_likelihood(modified):
    model = BGNBD(0.5, 4.0, 0.8, 2.4, modified)
    rhythm, _ = simulate(CDNOW, np.full(500, 39.0), 0.0, 1)
    mean, slopes = model._mean_and_slopes(_Counted.of(rhythm))
    assert mean == pytest.approx(model.log_likelihood(rhythm).mean())
    numeric = approx_fprime(
        model[:4], lambda p: BGNBD(*p, modified).log_likelihood(rhythm).mean(), 1e-7
    )
    np.testing.assert_allclose(slopes, numeric, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("modified", [False, True])
def test_expected_returns_are_those_that_come(modified):
    model = CDNOW._replace(modified=modified)
    ages = np.full(200_000, 39.0)
    rhythm, later = simulate(model, ages, 39.0, 7)
    expected = model.expected(rhythm, 39.0)
    for low, high in ((0, 0), (1, 1), (2, 3), (4, 7), (8, 500)):
        group = (rhythm.frequency >= low) & (rhythm.frequency <= high)
        error = later[group].std() / np.sqrt(group.sum())
        assert abs(later[group].mean() - expected[group].mean()) < 4 * error
    left = CDNOW.still_active(rhythm)
    assert left[rhythm.frequency == 0].tolist() == [1.0] * int((rhythm.frequency == 0).sum())
    assert ((left >= 0) & (left <= 1)).all()


def integrated(model, x, recency, age, horizon):
    """Return the expected returns by integrating over who leaves with what probability."""
    r, alpha, a, b, modified = model
    chances = beta(a, b + x + modified)

    def returns(quantile):
        p = max(chances.ppf(quantile), 1e-300)
        return -np.expm1(-(r + x) * np.log1p(p * horizon / (alpha + age))) / p

    # Over quantiles, for the density is infinite at the ends where `a` or `b` is below 1.
    mean = quad(returns, 0, 1, points=[1e-3, 0.1, 0.5, 0.9, 0.999], limit=500)[0]
    rhythm = Rhythm(*(np.array([float(v)]) for v in (x, recency, age)))
    return mean * model.still_active(rhythm)[0]


@pytest.mark.parametrize(
    "model",
    [
        CDNOW,
        CDNOW._replace(modified=True),
        BGNBD(0.5, 30, 1.7, 5),
        BGNBD(1.2, 0.5, 6, 900),
        BGNBD(0.3, 2, 0.3, 0.4, modified=True),
    ],
)
@pytest.mark.parametrize("x", [0, 1, 7, 80, 3000])
@pytest.mark.parametrize(("age", "horizon"), [(39, 39), (10, 90), (1400, 13)])
def test_the_formula_is_the_integral(model, x, age, horizon):
    recency = 0.99 * age if x else 0.0
    rhythm = Rhythm(*(np.array([float(v)]) for v in (x, recency, age)))
    found = model.expected(rhythm, horizon)[0]
    assert found == pytest.approx(integrated(model, x, recency, age, horizon), rel=1e-5)


def test_a_of_one_is_no_pole():
    rhythm = Rhythm(np.array([3.0]), np.array([8.0]), np.array([10.0]))
    near = [BGNBD(0.5, 3, a, 2).expected(rhythm, 5)[0] for a in (0.999, 1.0, 1.001)]
    assert near[0] > near[1] > near[2]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-4)


def test_who_never_leaves_comes_at_their_rate():
    """With a tiny `a` nobody leaves, and the expectation is that of a gamma-Poisson mixture."""
    rhythm = Rhythm(np.array([5.0, 50.0]), np.array([9.0, 9.9]), np.array([10.0, 10.0]))
    rate = gamma(2 + rhythm.frequency, scale=1 / (4 + rhythm.age)).mean()
    found = BGNBD(2, 4, 1e-5, 50).expected(rhythm, 3.0)
    np.testing.assert_allclose(found, 3 * rate, rtol=1e-3)


@given(
    x=st.integers(1, 4000),
    age=st.floats(0.5, 1500),
    share=st.floats(0.01, 1.0),
    horizon=st.floats(0.5, 60),
)
def test_expectations_are_finite_and_grow(x, age, share, horizon):
    rhythm = Rhythm(np.array([float(x)]), np.array([age * share]), np.array([age]))
    near, far = (CDNOW.expected(rhythm, t)[0] for t in (horizon, 2 * horizon))
    assert 0 <= near <= far < np.inf
    assert np.isfinite(CDNOW.log_likelihood(rhythm)).all()


def test_the_unit_of_time_does_not_matter():
    rhythm, _ = simulate(CDNOW, np.full(1000, 39.0), 0.0, 11)
    weeks, days = BGNBD.fit(rhythm), BGNBD.fit(Rhythm(rhythm[0], 7 * rhythm[1], 7 * rhythm[2]))
    inside = Rhythm(*(7 * v if k else v for k, v in enumerate(rhythm)))
    np.testing.assert_allclose(
        days.expected(inside, 91.0).sum(), weeks.expected(rhythm, 13.0).sum(), rtol=1e-2
    )


def test_all_leave_alike_where_the_parameters_are_huge():
    rhythm = Rhythm(np.array([3.0, 0.0]), np.array([8.0, 0.0]), np.array([10.0, 10.0]))
    near, far = (BGNBD(0.5, 3, n * 0.2, n * 0.8, True).expected(rhythm, 9.0) for n in (1e3, 2e5))
    np.testing.assert_allclose(far, near, rtol=0.01)


def test_nobody_came_back():
    with pytest.raises(InputError, match="nobody has come back"):
        BGNBD.fit(Rhythm(np.zeros(5), np.zeros(5), np.ones(5)))
