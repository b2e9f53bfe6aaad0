"""Comparison of models against plain pandas, and what the intervals are worth."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from mfdask.errors import InputError
from mfdask.evaluation import (
    RankingPlan,
    baselines_of,
    bin_labels,
    bootstrap,
    compare,
    evaluate,
    measure_model,
    measure_ranking,
)
from mfdask.evaluation.bootstrap import intervals, resampled_ratios
from mfdask.models import ALS
from mfdask.shards import Dataset
from tests.evaluation.data import frame, random_data

PLAN = RankingPlan(5, 3.0)


@pytest.fixture(scope="module")
def data():
    return random_data()


@pytest.fixture(scope="module")
def models(data):
    return {k: ALS(n_factors=k, n_sweeps=3, fidelity=0.2).fit(data) for k in (0, 3)}


@pytest.fixture(scope="module")
def measured(data, models):
    found = [measure_model(f"k{k}", model, data, PLAN) for k, model in models.items()]
    baselines = baselines_of(data, PLAN)
    return [*found, *(measure_model(n, m, data, PLAN) for n, m in baselines.items())]


@pytest.fixture(scope="module")
def table(measured):
    found = compare(measured, resamples=200)
    sliced = found["slice"].isin(["users 0", "users 1+"]) & found["k"].notna()
    return found[~sliced].set_index(["model", "metric", "slice"])


def test_values_are_those_of_the_single_measures(table, data, models):
    for k, model in models.items():
        accuracy = evaluate(model, data)
        assert table.loc[(f"k{k}", "rmse", "all"), "value"] == pytest.approx(accuracy.raw.rmse()[0])
        assert table.loc[(f"k{k}", "mae", "all"), "value"] == pytest.approx(accuracy.raw.mae()[0])
        assert table.loc[(f"k{k}", "rmse", "all"), "n"] == data.n_test
        ranking = measure_ranking(model.align(data).scores, data, PLAN)
        for metric, value in ranking.means().items():
            line = table.loc[(f"k{k}", metric, "all")]
            assert line["value"] == pytest.approx(value)
            assert line["n"] == len(ranking.users)


@pytest.mark.parametrize("side", ["item", "user"])
def test_slices_are_by_training_ratings(table, data, models, side):
    test, n_train = frame(data, "test"), getattr(data, f"{side}s")()["n_train"]
    users, items = data.users()["user_id"], data.items()["item_id"]
    predicted = models[3].predict(
        users.to_numpy()[test["user"]], items.to_numpy()[test["item"]], clip=False
    )
    test["squared"] = (predicted - test["rating"]) ** 2
    label = pd.cut(n_train.to_numpy()[test[side]], [-1, 0, 5, 20], labels=bin_labels()[:3])
    wanted = test.groupby(label, observed=True)["squared"].agg(["mean", "size"])
    assert "0" in wanted.index
    found = table.loc["k3"].loc["rmse"]
    assert {s for s in found.index if s.startswith(side)} == {f"{side}s {b}" for b in wanted.index}
    for name, line in wanted.iterrows():
        assert found.loc[f"{side}s {name}", "value"] == pytest.approx(np.sqrt(line["mean"]))
        assert found.loc[f"{side}s {name}", "n"] == line["size"]


def test_differences_are_to_the_first(table):
    for model in ("k0", "k3", "popularity"):
        own = table.loc[model]
        away = own["value"] - table.loc["k0"]["value"]
        pd.testing.assert_series_equal(own["difference"], away, check_names=False)
    first = table.loc["k0"].drop(["coverage", "gini"], level="metric").filter(like="difference")
    assert first.shape[1] == 3
    assert (first == 0).all(axis=None)


def test_intervals_hold_the_value_and_coverage_has_none(table):
    covered = table.loc[table.index.isin(["coverage", "gini"], level="metric")]
    assert covered[["low", "high", "difference_low", "difference_high"]].isna().all(axis=None)
    rest = table.drop(["coverage", "gini"], level="metric").dropna(subset="value")
    assert (rest["low"] <= rest["value"]).all()
    assert (rest["value"] <= rest["high"]).all()


def test_popularity_ranks_but_predicts_nothing(table):
    own = table.loc["popularity"]
    assert own.loc[["rmse", "mae"], "value"].isna().all()
    assert own.drop(["rmse", "mae"], level="metric")["value"].notna().all()


def test_a_seed_gives_the_same_intervals_and_another_others(measured):
    one, again = (compare(measured, resamples=50, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
    other = compare(measured, resamples=50, seed=4)
    pd.testing.assert_series_equal(one["value"], other["value"])
    assert (one["low"] != other["low"]).any()


def test_a_model_of_other_data_is_said(data, measured):
    stranger = ALS(n_factors=2, n_sweeps=2).fit(
        Dataset.from_csr(scipy.sparse.diags_array([3.0, 3, 3, 3, 3, 2]))
    )
    found = measure_model("stranger", stranger, data, PLAN)
    assert not found.same_data
    assert (found.unknown_users, found.unknown_items) == (data.n_users, data.n_items)
    assert measured[0].same_data
    assert (measured[0].unknown_users, measured[0].unknown_items) == (0, 0)
    test = frame(data, "test")["rating"]
    line = compare([measured[0], found], 20).set_index(["model", "metric", "slice"])
    wanted = np.sqrt(((test - stranger.mean) ** 2).mean())
    assert line.loc[("stranger", "rmse", "all"), "value"] == pytest.approx(wanted)


def test_the_same_users_are_drawn_for_every_model(monkeypatch):
    """A model that is better by the same amount for each user is so in every resample."""
    monkeypatch.setattr(bootstrap, "_CELLS", 300)
    random = np.random.default_rng(0)
    bottom = random.integers(1, 9, (100, 2)).astype(float)
    top = random.normal(size=(100, 2))
    samples = resampled_ratios(np.stack([top, top - 0.25 * bottom]), bottom, 40, 1)
    assert samples.shape == (40, 2, 2)
    np.testing.assert_allclose(samples[:, 0] - samples[:, 1], 0.25)
    assert samples[:, 0].std(axis=0).min() > 0.01


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Ratings of a user share an error: intervals that ignored this would cover far less often."""
    random = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        n = random.integers(1, 12, 80)
        top = n * (1.0 + random.normal(size=80))
        samples = resampled_ratios(top[None, :, None], n[:, None].astype(float), 200, trial)
        low, high = intervals(samples)
        covered += low.item() <= 1.0 <= high.item()
    assert 180 <= covered <= 199


def test_an_empty_slice_in_a_resample_is_left_out():
    top, bottom = np.array([[[2.0], [0.0], [0.0]]]), np.array([[1.0], [0.0], [0.0]])
    samples = resampled_ratios(top, bottom, 50, 0)
    assert np.isnan(samples).any()
    low, high = intervals(samples)
    assert (low.item(), high.item()) == (2.0, 2.0)


def test_bad_input_is_refused(data, models, measured):
    with pytest.raises(InputError, match="nothing to compare"):
        compare([])
    with pytest.raises(InputError, match="0 resamples"):
        compare(measured, resamples=0)
    with pytest.raises(InputError, match="k must be"):
        measure_model("m", models[0], data, RankingPlan(k=0))
