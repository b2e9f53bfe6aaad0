"""Drifting items: the statistics against slow ones, and injected truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mfdask.downstream.anomalies import changes as module
from mfdask.downstream.anomalies.calibration import false_discovery
from mfdask.downstream.anomalies.drift import _noise, drifting_items
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


def _naive(values, weights, first, last):
    """Return the squared difference of a stretch from the rest, in units of chance, and stars."""
    inside = np.zeros(len(values), bool)
    inside[first:last] = True
    means = [np.average(values[part], weights=weights[part]) for part in (inside, ~inside)]
    variance = sum(1 / weights[part].sum() for part in (inside, ~inside))
    return (means[0] - means[1]) ** 2 / variance, means[0] - means[1]


def test_changes_are_the_largest_of_all_places():
    random = np.random.default_rng(1)
    n, least = 2 * module.BINS, round(2 * module.TRIM * module.BINS)
    values, weights = random.normal(size=n), random.uniform(0.5, 2, n)
    values[20:44] += 1.0
    edges = np.arange(0, n + 1, 2)[None]
    runs = module._Runs.of(edges, weights, values)
    step, pulse = module._step(runs), module._pulse(runs)
    steps = {k: _naive(values, weights, k, n) for k in range(least, n - least + 1, 2)}
    best = max(steps, key=lambda k: steps[k][0])
    assert (step.square[0], step.size[0]) == pytest.approx(steps[best])
    assert 2 * step.first[0] == best
    pulses = {
        (k, m): _naive(values, weights, k, m)
        for k in range(0, n, 2)
        for m in range(k + least, min(k + n - least, n) + 1, 2)
    }
    best = max(pulses, key=lambda k: pulses[k][0])
    assert (pulse.square[0], pulse.size[0]) == pytest.approx(pulses[best])
    assert (2 * pulse.first[0], 2 * pulse.last[0]) == best


def test_a_ramp_is_a_weighted_regression():
    random = np.random.default_rng(2)
    n = 4 * module.BINS
    values, weights = random.normal(size=n), random.uniform(0.5, 2, n)
    found = module._ramp(module._Runs.of(np.arange(0, n + 1, 4)[None], weights, values))
    at = np.repeat((np.arange(module.BINS) + 0.5) / module.BINS, 4)
    slope, _ = np.polyfit(at, values, 1, w=np.sqrt(weights))
    assert found.size[0] == pytest.approx(slope)


def test_shares_and_rates():
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
    columns = (users, items, times, error)
    return Residuals(*(column[order] for column in columns))


def test_steps_are_found_and_dated():
    random = np.random.default_rng(5)
    error = random.normal(size=(100, 600))
    error[40:, ::60] -= 1.0
    found = drifting_items(_residuals(error.reshape(-1), 600), 600).set_index("item")
    found.index = np.where(found.index % 60 == 0, found.index // 60, found.index + 600)
    flagged = found[found["flagged"]]
    assert len(set(flagged.index) & set(range(10))) >= 8
    assert len(set(flagged.index) - set(range(10))) <= 2  # 5 % of the flagged are to be expected
    true = flagged[flagged.index < 10]
    assert (true["direction"] == "down").all()
    assert (true["kind"] == "step").mean() >= 0.7
    days = (true["date"] - pd.Timestamp("1970-01-11", tz="UTC")).dt.days + 10
    assert np.median(np.abs(days - 40)) <= 3
    assert true["change"].mean() == pytest.approx(-1.0, abs=0.2)
    assert (true["n_before"] + true["n_after"] == 100).all()
    assert (true["trend"] < 0).all()
    assert "ratings fell by" in true["reason"].iloc[0]


def test_what_does_not_move_is_flagged_at_the_stated_rate():
    random = np.random.default_rng(6)
    error = random.normal(size=(60, 1000)) + random.normal(0, 0.2, 1000)
    found = drifting_items(_residuals(error.reshape(-1), 1000), 1000)
    assert not found["flagged"].any()
    assert (found["expected_false_per_1000"] <= 50).mean() == pytest.approx(0.05, abs=0.025)


def test_a_change_does_not_hide_in_its_own_variance():
    values = np.random.default_rng(11).normal(size=400)
    values[100:200] += 3.0  # of the first series, whose variance is 3.25 with it
    noise = _noise(np.array([0, 200, 400]), 2 * values, np.full(400, 4.0))
    assert noise == pytest.approx([1.0, 1.0], abs=0.15)
    away = np.diff(values[:200])  # the series before does not count
    assert noise[0] == pytest.approx((np.square(away).sum() / 2 + 50) / (199 + 50))


def test_where_every_series_wanders_none_is_listed():
    random = np.random.default_rng(12)
    error = random.normal(size=(100, 800)) + np.cumsum(random.normal(0, 0.04, (100, 800)), axis=0)
    found = drifting_items(_residuals(error.reshape(-1), 800), 800)
    assert found["flagged"].sum() <= 1
    assert 0.3 < (found["p"] <= 0.5).mean() < 0.6


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


@pytest.mark.parametrize("kind", ["pulse", "spread"])
def test_what_does_not_last_and_what_divides(kind):
    random = np.random.default_rng(10)
    error = random.normal(size=(120, 300))
    if kind == "pulse":
        error[40:70, ::30] -= 1.5
    else:
        error[60:, ::30] *= 3.0
    found = drifting_items(_residuals(error.reshape(-1), 300), 300).set_index("item")
    found.index = np.where(found.index % 30 == 0, found.index // 30, found.index + 300)
    true = found[found["flagged"] & (found.index < 10)]
    assert len(true) >= 8
    assert (found["flagged"] & (found.index >= 10)).sum() <= 2
    assert (true["kind"] == kind).mean() >= 0.8
    own = true[true["kind"] == kind]
    assert (own["direction"] == ("down" if kind == "pulse" else "apart")).all()
    assert own["until"].notna().all() == (kind == "pulse")
    assert ("only" if kind == "pulse" else "differ by") in own["reason"].iloc[0]


@pytest.mark.movielens
@pytest.mark.parametrize(("shape", "size", "least"), [("step", 1.0, 15), ("pulse", 2.0, 20)])
def test_real_ratings_with_changes_at_a_rate(movielens_zip, shape, size, least):
    events, n_items = read_movielens(movielens_zip)
    plan = DriftPlan(n_items=25, size=size, min_ratings=50, shape=shape)
    made = inject_drift(events, n_items, plan, seed=2)
    found = drifting_items(residuals_of(made.events, n_items), n_items)
    flagged = found[found["flagged"]]
    true = flagged["item"].isin(made.truth["drifting_items"]["item"])
    assert true.sum() >= least
    assert (~true).sum() <= 0.25 * len(flagged)  # 5 % are to be expected; more by chance
