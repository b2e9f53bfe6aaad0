"""Drifting items: the statistics against slow ones, and injected truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies.calibration import false_discovery, tail_share
from mfdask.downstream.anomalies.drift import SPREAD, TRIM, drifting_items, usual_movement
from mfdask.downstream.anomalies.residuals import Residuals
from mfdask.downstream.inject import DriftPlan, MixPlan, inject_drift, inject_mix
from mfdask.kernels import trends as kernel
from tests.downstream.movielens import read_movielens, residuals_of

SERIES = st.lists(st.integers(0, 9), min_size=3, max_size=30)


@given(SERIES)
def test_mann_kendall_is_kendalls_tau_against_time(values):
    series = np.array(values, np.float64)
    score, slope = kernel.mann_kendall(series)
    if np.ptp(series) == 0:
        assert (score, slope) == (0, 0)
        return
    wanted = scipy.stats.kendalltau(np.arange(len(series)), series, method="asymptotic")
    assert 2 * scipy.stats.norm.sf(abs(score)) == pytest.approx(wanted.pvalue)
    assert np.sign(score) == np.sign(round(wanted.statistic, 12))
    assert slope == pytest.approx(scipy.stats.theilslopes(series).slope)


def test_runs_are_of_nearly_equal_length():
    assert kernel.bin_means(np.arange(10.0), 3).tolist() == [1, 4, 7.5]


def _naive_step(values, weights, background, deflate):
    """Weigh every step with the densities of normal variables."""
    n = len(values)
    first = max(int(np.ceil(TRIM * n)), 1)
    logs, steps = [], []
    for k in range(first, n - first + 1):
        before, after = (
            np.average(values[part], weights=weights[part]) for part in (np.s_[:k], np.s_[k:])
        )
        variance = 1 / weights[:k].sum() + 1 / weights[k:].sum()
        usual = variance + background
        step = (after - before) * (1 if deflate else np.sqrt(usual / variance))
        log = scipy.stats.norm.logpdf(step, scale=np.sqrt(usual + SPREAD))
        logs.append(log - scipy.stats.norm.logpdf(step, scale=np.sqrt(usual)))
        steps.append((abs(step) / np.sqrt(usual), k, after - before))
    evidence = scipy.special.logsumexp(logs) - np.log(len(logs))
    sureness, place, step = max(steps)
    return [evidence, place, step, sureness]


def test_steps_are_weighed_as_normal_densities_say():
    random = np.random.default_rng(1)
    lengths = [2, 3, 11, 40]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values, weights = random.normal(size=indptr[-1]), random.uniform(0.5, 2, indptr[-1])
    keys = random.random(indptr[-1], np.float32)
    plain, shuffled = np.empty((2, len(lengths), 4))
    kernel.find_steps(indptr, values, weights, SPREAD, 0.3, TRIM, plain)
    kernel.find_steps_shuffled(indptr, values, weights, keys, SPREAD, 0.3, TRIM, shuffled)
    for s in range(len(lengths)):
        own = np.arange(indptr[s], indptr[s + 1])
        wanted = _naive_step(values[own], weights[own], 0.3, True)
        assert plain[s].tolist() == pytest.approx(wanted)
        own = own[np.argsort(keys[own])]
        wanted = _naive_step(values[own], weights[own], 0.3, False)
        assert shuffled[s, [0, 1, 3]].tolist() == pytest.approx([wanted[k] for k in (0, 1, 3)])


def test_a_bayes_factor_is_one_in_the_mean_where_nothing_moves():
    random = np.random.default_rng(2)
    indptr = np.arange(0, 20_001 * 20, 20)
    values = random.normal(size=indptr[-1])
    out = np.empty((len(indptr) - 1, 4))
    kernel.find_steps(indptr, values, np.ones(len(values)), SPREAD, 0.0, TRIM, out)
    assert np.exp(out[:, kernel.EVIDENCE]).mean() == pytest.approx(1, abs=0.06)


def test_usual_movement_is_the_variance_of_steps():
    random = np.random.default_rng(3)
    indptr = np.arange(0, 3001 * 40, 40)
    steps = np.repeat(random.normal(0, 0.4, 3000), 40) * (np.arange(indptr[-1]) % 40 >= 20)
    noise = random.normal(size=indptr[-1])
    weights = np.ones(len(noise))
    assert usual_movement(indptr, noise + steps, weights) == pytest.approx(0.16, abs=0.04)
    assert usual_movement(indptr, noise, weights) < 0.01
    assert usual_movement(np.array([0]), noise[:0], weights[:0]) == 0


def test_shares_and_rates():
    null = np.array([1.0, 2.0, 2.0, 3.0])
    assert tail_share(np.array([0.0, 2.0, 9.0]), null).tolist() == [1, 0.8, 0.2]
    p = np.random.default_rng(4).random(50) ** 3
    assert np.allclose(false_discovery(p, len(p)), scipy.stats.false_discovery_control(p))


def _residuals(error, n_items, seed=0):
    """Return residuals of items that were rated equally often, a day apart."""
    n = len(error) // n_items
    items = np.tile(np.arange(n_items, dtype=np.int32), n)
    users = np.random.default_rng(seed).integers(0, 200, len(error)).astype(np.int32)
    error = error.astype(np.float32)
    times = np.repeat(np.arange(n, dtype=np.int64) * 86_400, n_items)
    order = np.lexsort((times, users))
    columns = (users, items, error + 3, times, error, error)
    return Residuals(*(column[order] for column in columns))


def test_steps_are_found_and_dated():
    random = np.random.default_rng(5)
    error = random.normal(size=(100, 300))
    error[40:, :10] -= 1.0
    found = drifting_items(_residuals(error.reshape(-1), 300), 300).set_index("item")
    flagged = found[found["flagged"]]
    assert len(set(flagged.index) & set(range(10))) >= 8
    assert len(set(flagged.index) - set(range(10))) <= 2  # 5 % of the flagged are to be expected
    true = flagged[flagged.index < 10]
    assert (true["direction"] == "down").all()
    days = (true["date"] - np.datetime64("1970-01-11")).dt.days + 10
    assert np.median(np.abs(days - 40)) <= 3
    assert true["change"].mean() == pytest.approx(-1, abs=0.15)
    assert (true["n_before"] + true["n_after"] == 100).all()
    assert (true["trend"] < 0).all()
    assert "ratings fell by" in true["reason"].iloc[0]


def test_what_does_not_move_is_flagged_at_the_stated_rate():
    random = np.random.default_rng(6)
    error = random.normal(size=(60, 1000)) + random.normal(0, 0.2, 1000)
    found = drifting_items(_residuals(error.reshape(-1), 1000), 1000)
    assert not found["flagged"].any()
    assert (found["expected_false_per_1000"] <= 50).mean() == pytest.approx(0.05, abs=0.025)


def test_sure_but_small_steps_are_not_flagged():
    random = np.random.default_rng(7)
    error = random.normal(0, 0.2, (3_000, 20))
    error[1_500:, 0] += 0.07
    found = drifting_items(_residuals(error.reshape(-1), 20), 20).set_index("item")
    assert found.loc[0, "q"] < 0.05
    assert not found.loc[0, "flagged"]
    loose = drifting_items(_residuals(error.reshape(-1), 20), 20, effect_floor=0.02)
    assert loose.set_index("item").loc[0, "flagged"]


def test_items_with_few_ratings_are_left_out():
    residuals = _residuals(np.random.default_rng(8).normal(size=300), 30)
    assert len(drifting_items(residuals, 35, min_ratings=10)) == 30
    none = drifting_items(residuals, 35, min_ratings=11)
    assert len(none) == 0
    assert {"item", "flagged", "reason", "expected_false_per_1000"} <= set(none.columns)


def test_the_same_seed_gives_the_same_table():
    residuals = _residuals(np.random.default_rng(9).normal(size=20_000), 400)
    one, other = (drifting_items(residuals, 400) for _ in range(2))
    assert one.equals(other)


@pytest.mark.movielens
def test_real_ratings_with_steps_in_them(movielens_zip):
    events, n_items = read_movielens(movielens_zip)
    made = inject_drift(events, n_items, DriftPlan(n_items=40, size=1.0, min_ratings=50), seed=1)
    residuals = residuals_of(made.events, n_items)
    found = drifting_items(residuals, n_items, min_ratings=50)
    true = found["item"].isin(made.truth["drifting_items"]["item"])
    assert roc_auc_score(true, found["score"]) > 0.94
    assert found["flagged"][~true].mean() <= 0.01


@pytest.mark.movielens
def test_other_people_are_no_drift(movielens_zip):
    events, n_items = read_movielens(movielens_zip)
    made = inject_mix(events, n_items, MixPlan(n_items=60, min_ratings=60), seed=1)
    found = drifting_items(residuals_of(made.events, n_items), n_items, min_ratings=25)
    trap = found["item"].isin(made.truth["mixed_items"]["item"])
    assert trap.sum() == 60
    assert not found["flagged"].any()
    assert (found["p"] <= 0.05)[trap].sum() <= 8  # 3 are to be expected; more with a chance of 1 %
