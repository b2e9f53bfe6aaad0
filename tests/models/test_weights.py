"""Weights of ratings by age: the half-step against float64, and whole fits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.features.offsets import GroupSums
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.kernels.rows import SSE
from mfdask.models import ALS, Bayes
from mfdask.models.design import RowPrior, initial_rows, ridge, unknowns
from mfdask.models.half_step import half_step, squared_error
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset, Shard
from tests.models.test_time import DAY, dated_frame, training
from tests.naive import solve_row
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


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_ratings_without_times_are_refused(config, ratings):
    with pytest.raises(InputError, match=r"half_life: \w+ has no timestamps"):
        config.fit(ratings)
