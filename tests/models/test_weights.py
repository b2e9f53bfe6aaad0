"""Weights of ratings, of the data and by age: half-steps against float64, and whole fits."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.features.offsets import GroupSums
from mfdask.features.weights import RatingWeights
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.kernels.rows import SSE
from mfdask.models import ALS, BPR, IALS, Bayes, check_data
from mfdask.models.design import RowPrior, initial_rows, ridge, unknowns
from mfdask.models.half_step import half_step, squared_error
from mfdask.ratings.splits import Split
from mfdask.recommendation import History, explain, fold_in
from mfdask.shards import Dataset, Shard
from tests.models.test_time import DAY, dated_frame, training
from tests.naive import Naive, solve_row
from tests.shards.oracle import memory_source

PENALTIES = {"fidelity": 0.5, "factor_reg": 0.4, "bias_reg": 0.2, "reg_scaling": 0.0}
POINT = ALS(n_factors=2, n_sweeps=4, half_life=6.0, **PENALTIES)
DRAWN = Bayes(n_factors=2, n_sweeps=12, burn_in=4, half_life=6.0)


def in_order_of_time(frame, client, folder):
    choices = IngestOptions(Split.parse("time:0.15"), blocks=2)
    ingest(memory_source(frame), folder, client=client, choices=choices)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def dated(client, tmp_path_factory):
    return in_order_of_time(dated_frame(), client, tmp_path_factory.mktemp("dated") / "d")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rows_are_those_of_weighted_least_squares(seed):
    random = np.random.default_rng(seed)
    n = random.integers(0, 12, 9)
    indptr = np.concatenate([[0], np.cumsum(n)])
    indices = np.concatenate([np.sort(random.permutation(12)[:own]) for own in n]).astype(np.int32)
    ratings = random.integers(1, 11, len(indices)).astype(np.float32) / 2
    weights = random.uniform(0.01, 3, len(indices))
    shard = Shard("users", 0, 0, indptr, indices, ratings, np.sqrt(weights).astype(np.float32))
    fixed, current = initial_rows(12, 3, 0.5, seed, "items"), initial_rows(9, 3, 0, 1, "users")
    fixed[:, 0] = random.normal(size=12)
    prior = RowPrior(0.7, ridge(3, 0.4, 0.9), np.zeros((1, 4)))
    found = half_step(
        shard, fixed, current, ALS(n_factors=3, reg_scaling=0.0).update_config(3.0), prior
    )
    squares = 0.0
    for row in range(9):
        own = slice(indptr[row], indptr[row + 1])
        other, root = unknowns(fixed, 4)[indices[own]].astype(float), np.sqrt(weights[own])
        x = np.column_stack([np.ones(len(other)), other[:, 1:]])
        y = ratings[own] - 3.0 - other[:, 0]
        nothing = np.zeros(4)
        wanted = solve_row(root[:, None] * x, root * y, 0.7, prior.precision, nothing, nothing)
        np.testing.assert_allclose(unknowns(found.rows, 4)[row], wanted, atol=1e-4)
        squares += (weights[own] * (y - x @ wanted) ** 2).sum()
    assert found.totals[SSE] == pytest.approx(squares, rel=1e-4, abs=1e-4)
    error = squared_error(shard, found.rows, fixed, 3.0)
    assert error == pytest.approx(squares, rel=1e-4, abs=1e-4)


def test_a_weight_counts_as_so_many_ratings():
    groups, residuals = np.array([2, 3, 2], np.int32), np.array([0.5, -1, 2], np.float32)
    weighted = GroupSums.of(groups, residuals, np.sqrt(np.array([3, 1, 2], np.float32)))
    repeated = GroupSums.of(*(np.repeat(own, [3, 1, 2]) for own in (groups, residuals)))
    np.testing.assert_allclose(weighted.n, repeated.n, rtol=1e-6)
    np.testing.assert_allclose(weighted.total, repeated.total, rtol=1e-6)


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_two_workers_make_the_model_of_one_process(config, dated, client):
    config = dataclasses.replace(config, time="user-day")
    alone = config.fit(dated)
    for exchange in ("whole", "needed"):
        spread = config.fit(dated, client=client, exchange=exchange)
        for side in ("users", "items"):
            np.testing.assert_array_equal(alone.rows(side), spread.rows(side))
        assert [s.train_rmse for s in alone.history] == [s.train_rmse for s in spread.history]


def test_ratings_of_one_time_all_weigh_one(client, tmp_path):
    frame = dated_frame().assign(timestamp=15_000 * DAY)
    folder = tmp_path / "d"
    choices = IngestOptions(Split.parse("random:0.15"), blocks=2)
    ingest(memory_source(frame), folder, client=client, choices=choices)
    data = Dataset.open(folder)
    plain, weighted = dataclasses.replace(POINT, half_life=None).fit(data), POINT.fit(data)
    np.testing.assert_array_equal(plain.item_rows, weighted.item_rows)
    assert plain.history[-1].train_rmse == weighted.history[-1].train_rmse


def test_errors_are_by_weight_and_the_objective_falls(dated):
    model = dataclasses.replace(POINT, n_sweeps=12).fit(dated)
    users, items, ratings, times = training(dated)
    weights = 2.0 ** ((times - times.max()) / (6 * DAY))
    error = model.predict_rows(users.astype(np.int32), items, clip=False) - ratings
    rmse = np.sqrt((weights * error**2).sum() / weights.sum())
    assert model.history[-1].train_rmse == pytest.approx(rmse, rel=1e-4)
    objectives = [sweep.objective for sweep in model.history]
    assert (np.diff(objectives) < 1e-6 * np.array(objectives[1:])).all()
    assert model.objective(0.0) == objectives[-1]


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_what_has_changed_is_followed(config, client, tmp_path):
    """Where items have swapped their places, the newest ratings say how they stand."""
    frame = dated_frame()
    late = frame["timestamp"] > frame["timestamp"].quantile(0.6)
    shift = np.where(frame["item_id"] % 2 == 0, 1.5, -1.5) * np.where(late, 1, -1)
    changed = frame.assign(rating=np.clip(frame["rating"] + shift, 0.5, 5))
    data = in_order_of_time(changed, client, tmp_path / "d")
    plain = dataclasses.replace(config, half_life=None).fit(data)
    assert config.fit(data).history[-1].test_rmse < 0.9 * plain.history[-1].test_rmse


@pytest.mark.parametrize("config", [POINT, DRAWN, IALS(half_life=6.0)])
def test_ratings_without_times_are_refused(config, ratings):
    with pytest.raises(InputError, match=r"half_life: \w+ has no timestamps"):
        config.fit(ratings)


PLAIN = dataclasses.replace(POINT, half_life=None, n_sweeps=3)


def weighted_data(frame, weights, folder):
    choices = IngestOptions(Split.parse("random:0.15"), blocks=2)
    ingest(memory_source(frame.assign(weight=np.float32(weights))), folder, choices=choices)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    """Return ratings of whole weights."""
    frame = dated_frame()
    weights = np.random.default_rng(8).integers(1, 4, len(frame))
    return weighted_data(frame, weights, tmp_path_factory.mktemp("weighted") / "d")


def all_weights(data):
    return np.concatenate([data.weights(b) for b in range(data.n_blocks("users"))])


def test_a_weight_of_two_is_a_rating_that_is_there_twice(weighted):
    users, items, ratings, _ = training(weighted)
    times = all_weights(weighted).astype(int)
    assert set(times) == {1, 2, 3}
    triples = tuple(np.repeat(own, times) for own in (users, items, ratings.astype(float)))
    sizes = weighted.n_users, weighted.n_items
    shape = PLAIN.n_factors, PLAIN.init_scale, PLAIN.seed
    start = [
        initial_rows(n, *shape, side) for n, side in zip(sizes, ("users", "items"), strict=True)
    ]
    rows = [unknowns(own, PLAIN.n_factors + 1) for own in start]
    oracle = Naive(triples, *sizes, *rows, PLAIN, weighted.mean)
    for _ in range(PLAIN.n_sweeps):
        for side in ("users", "items"):
            oracle.half_step(side)
    model = PLAIN.fit(weighted)
    for side in ("users", "items"):
        found = unknowns(model.rows(side), PLAIN.n_factors + 1)
        np.testing.assert_allclose(found, oracle.weights[side], atol=2e-3)
    last = model.history[-1]
    assert last.objective == pytest.approx(oracle.objective(), rel=1e-4)
    assert last.train_rmse == pytest.approx(np.sqrt(oracle.squared_error() / times.sum()), rel=1e-4)
    assert model.objective(0.0) == last.objective
    assert model.data.mean_weight == pytest.approx(times.mean())


def test_weights_leave_the_regularisation_as_it_is(weighted, tmp_path):
    """All weights alike are a fidelity, whichever power of its ratings a row is regularised by."""
    frame = dated_frame()
    config = dataclasses.replace(PLAIN, reg_scaling=0.5)
    three = config.fit(weighted_data(frame, np.full(len(frame), 3), tmp_path / "three"))
    one = weighted_data(frame, np.ones(len(frame)), tmp_path / "one")
    strong = dataclasses.replace(config, fidelity=3 * config.fidelity).fit(one)
    np.testing.assert_allclose(three.item_rows, strong.item_rows, atol=2e-3)
    ingest(
        memory_source(frame),
        tmp_path / "p",
        choices=IngestOptions(Split.parse("random:0.15"), blocks=2),
    )
    unweighted = config.fit(Dataset.open(tmp_path / "p"))
    np.testing.assert_array_equal(config.fit(one).item_rows, unweighted.item_rows)


def test_weights_multiply_with_those_by_age(tmp_path):
    frame = dated_frame()
    own = np.random.default_rng(8).uniform(0.2, 3, len(frame)).astype(np.float32)
    data = weighted_data(frame, own, tmp_path / "d")
    by_age = 2.0 ** ((frame["timestamp"] - training(data)[3].max()) / (6 * DAY))
    both = weighted_data(frame, own * by_age, tmp_path / "both")
    aged, said = POINT.fit(data), dataclasses.replace(POINT, half_life=None).fit(both)
    np.testing.assert_allclose(aged.item_rows, said.item_rows, atol=5e-3)
    rmse = [model.history[-1].train_rmse for model in (aged, said)]
    assert rmse[0] == pytest.approx(rmse[1], rel=1e-4)
    product = all_weights(both)
    found = RatingWeights.of(data, 6.0, relative=True)
    blocks = [found.of_block(data, b) for b in range(data.n_blocks("users"))]
    np.testing.assert_allclose(
        np.concatenate(blocks), product / all_weights(data).mean(), rtol=1e-4
    )
    assert found.total(data) == pytest.approx(sum(own.sum() for own in blocks))


def test_a_chain_does_not_depend_on_the_scale_of_weights(tmp_path):
    frame, config = dated_frame(), dataclasses.replace(DRAWN, half_life=None, n_sweeps=8)
    own = np.random.default_rng(8).uniform(0.2, 3, len(frame)).astype(np.float32)
    one, ten = (weighted_data(frame, k * own, tmp_path / f"{k}") for k in (1, 16))
    small, large = config.fit(one), config.fit(ten)
    np.testing.assert_allclose(small.item_rows, large.item_rows, atol=1e-3)
    noise = [model.samples.noise_precision for model in (small, large)]
    np.testing.assert_allclose(*noise, rtol=1e-3)


def test_observations_weigh_what_their_ratings_do(tmp_path):
    frame = dated_frame()
    weights = np.random.default_rng(8).integers(2, 9, len(frame)).astype(np.float32)
    said = weighted_data(frame, weights, tmp_path / "said")
    grown = weighted_data(frame.assign(rating=weights - 1), np.ones(len(frame)), tmp_path / "g")
    config = IALS(n_factors=4, n_sweeps=4)
    by_age = 2.0 ** ((frame["timestamp"] - training(said)[3].max()) / (6 * DAY))
    older = weighted_data(frame, weights * by_age, tmp_path / "older")
    aged = dataclasses.replace(config, half_life=6.0).fit(said)
    np.testing.assert_allclose(aged.item_rows, config.fit(older).item_rows, atol=1e-4)
    rated = dataclasses.replace(config, weighting="rating").fit(grown)
    np.testing.assert_allclose(config.fit(said).item_rows, rated.item_rows, atol=1e-5)


@pytest.mark.parametrize("config", [PLAIN, dataclasses.replace(DRAWN, half_life=None)])
def test_two_workers_weigh_as_one_process_does(config, weighted, client):
    alone, spread = config.fit(weighted), config.fit(weighted, client=client, exchange="needed")
    for side in ("users", "items"):
        np.testing.assert_array_equal(alone.rows(side), spread.rows(side))


def test_a_new_user_s_ratings_may_have_weights(weighted):
    model = PLAIN.fit(weighted)
    shard = weighted.shard("users", 0)
    for row in (0, 4):
        history = History.of_user(weighted, row)
        here = slice(*shard.indptr[row : row + 2])
        np.testing.assert_array_equal(history.weights, weighted.weights(0)[here])
        folded = unknowns(fold_in(model, history), 3)[0]
        fixed, root = unknowns(model.item_rows, 3)[history.items], np.sqrt(history.weights)
        x = np.column_stack([np.ones(len(fixed)), fixed[:, 1:]]).astype(float)
        y = history.ratings - model.mean - fixed[:, 0]
        precision, nothing = np.diag([0.2, 0.4, 0.4]), np.zeros(3)
        wanted = solve_row(root[:, None] * x, root * y, 0.5, precision, nothing, nothing)
        np.testing.assert_allclose(folded, wanted, atol=1e-4)
        plain = fold_in(model, dataclasses.replace(history, weights=None))
        assert np.abs(unknowns(plain, 3)[0] - folded).max() > 1e-3
        why = explain(model, history, model.items["item_id"].iloc[:5])
        assert why.user_bias == pytest.approx(folded[0], abs=1e-4)
        item = unknowns(model.item_rows, 3)[:5]
        parts = why.rated.groupby("item_id", sort=False)["part"].sum()
        np.testing.assert_allclose(parts, item[:, 1:] @ folded[1:], atol=1e-3)


def test_who_uses_no_weights_says_so(weighted, caplog):
    with caplog.at_level(logging.WARNING):
        check_data(BPR(), weighted)
    assert "kind bpr does not use the weights of its ratings" in caplog.text
    caplog.clear()
    check_data(ALS(), weighted)
    assert not caplog.text


def test_intervals_have_the_noise_of_a_rating_of_mean_weight(dated):
    aged = dataclasses.replace(DRAWN, n_sweeps=40).fit(dated)
    users, items, ratings, _ = training(dated, "test")
    error = aged.predict_rows(users.astype(np.int32), items) - ratings
    spread = aged.predict_std(users.astype(np.int32), items)
    assert 0.7 < np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(spread**2)) < 1.4


def test_a_sampler_folds_in_by_weights_of_mean_one(tmp_path):
    frame, config = dated_frame(), dataclasses.replace(DRAWN, half_life=None, n_sweeps=8)
    own = np.random.default_rng(8).uniform(0.2, 3, len(frame)).astype(np.float32)
    rows = []
    for k in (1, 16):
        data = weighted_data(frame, k * own, tmp_path / f"{k}")
        rows.append(fold_in(config.fit(data), History.of_user(data, 4)))
    np.testing.assert_allclose(*rows, atol=2e-3)


def test_intervals_of_a_user_go_by_the_weights_of_theirs(tmp_path):
    """Users scatter alike, and the ratings of every second one weigh little."""
    random = np.random.default_rng(3)
    user, item = (a.ravel() for a in np.indices((60, 40)))
    rating = 3 + random.normal(size=60)[user] + random.normal(size=40)[item]
    frame = pd.DataFrame({"user_id": user, "item_id": item})
    frame["rating"] = np.float32(rating + 0.5 * random.normal(size=len(user)))
    weights = np.where(user % 2, 1 / 16, 1.0)
    data = weighted_data(frame, weights, tmp_path / "d")
    means = RatingWeights.of(data, None, relative=True).means(data)
    np.testing.assert_allclose(means[::2] / means[1::2], 16, rtol=1e-5)
    model = Bayes(n_factors=1, n_sweeps=60, burn_in=20).fit(data)
    assert model.users["user_id"].tolist() == list(range(60))
    variances = model.samples.user_variances
    assert variances[::2].mean() == pytest.approx(0.25, rel=0.25)
    assert variances[1::2].mean() == pytest.approx(0.25, rel=0.25)
