"""Residuals are of models that have not seen the rating."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from mfdask.downstream.anomalies.folds import Fold, without_fold
from mfdask.downstream.anomalies.residuals import (
    MOST_SWEEPS,
    cross_fitted_predictions,
    cross_fitted_residuals,
    user_variance,
)
from mfdask.downstream.events import all_events
from mfdask.errors import InputError
from mfdask.models import ALS
from mfdask.shards import Dataset

FOLDS = 3
CONFIG = ALS(n_factors=3, n_sweeps=4)


@pytest.fixture(scope="module")
def data(small_data):
    return Dataset.open(small_data)


@pytest.fixture(scope="module")
def model(data):
    return CONFIG.fit(data)


@pytest.fixture(scope="module")
def residuals(model, data):
    return cross_fitted_residuals(model, data, FOLDS)


def _matrix(random, n_users=30, n_items=20):
    ratings = random.integers(1, 11, (n_users, n_items)) / 2
    return scipy.sparse.csr_array(np.where(random.random(ratings.shape) < 0.5, ratings, 0))


def _fold(user, item, folds):
    """Return a rating's fold with Python's own numbers."""

    def mix(z):
        z = (z + 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    return mix(mix(user + 0x666F6C64) ^ item) % folds


def _folds(shard):
    """Return the fold of each rating of a shard of either side."""
    rows = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr)).tolist()
    pairs = zip(rows, shard.indices.tolist(), strict=True)
    return np.array([_fold(*(p if shard.side == "users" else p[::-1]), FOLDS) for p in pairs])


def test_folds_follow_from_user_and_item(data):
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block)
        for k in range(FOLDS):
            assert np.array_equal(Fold(k, FOLDS).of(shard), _folds(shard) == k)


def test_what_is_left_is_a_data_set_of_its_own(data):
    left = without_fold(data, Fold(1, FOLDS))
    for side in ("users", "items"):
        counts = []
        for block in range(left.n_blocks(side)):
            whole, shard = data.shard(side, block), left.shard(side, block)
            kept = _folds(whole) != 1
            assert shard.indices.tolist() == whole.indices[kept].tolist()
            assert shard.ratings.tolist() == whole.ratings[kept].tolist()
            counts += np.diff(shard.indptr).tolist()
        table = left.users() if side == "users" else left.items()
        assert table["n_train"].tolist() == counts
        assert sum(counts) == left.n_train < data.n_train
    ratings = [left.shard("users", b).ratings for b in range(left.n_blocks("users"))]
    assert left.mean == pytest.approx(np.concatenate(ratings).mean(dtype=np.float64))
    assert left.n_test == 0


def test_residuals_are_those_of_a_naive_refit(residuals, data):
    events = all_events(data)
    fold = np.array(
        [
            _fold(*pair, FOLDS)
            for pair in zip(events.users.tolist(), events.items.tolist(), strict=True)
        ]
    )
    for k in range(FOLDS):
        seen = ~events.held_out & (fold != k)
        rows = events.users[seen], events.items[seen]
        matrix = scipy.sparse.csr_array(
            (events.ratings[seen], rows), shape=(data.n_users, data.n_items)
        )
        naive = CONFIG.fit(matrix)
        own = ~events.held_out & (fold == k)
        predicted = naive.predict_rows(events.users[own], events.items[own], clip=False)
        assert np.allclose(residuals.error[own], events.ratings[own] - predicted, atol=1e-3)


def test_held_out_ratings_are_held_against_the_model(residuals, model, data):
    events = all_events(data)
    held = events.held_out
    predicted = model.predict_rows(events.users[held], events.items[held], clip=False)
    assert np.array_equal(residuals.error[held], events.ratings[held] - predicted)


def test_residuals_are_in_the_order_of_events(residuals, data):
    events = all_events(data)
    for name in ("users", "items", "timestamps"):
        assert np.array_equal(getattr(residuals, name), getattr(events, name))


def test_no_rating_has_a_say_in_its_own_prediction():
    random = np.random.default_rng(1)
    one = _matrix(random)
    other = one.copy()
    other.data[37] = 6 - other.data[37]
    before, after = (
        cross_fitted_predictions(Dataset.from_csr(matrix), CONFIG.fit, FOLDS)
        for matrix in (one, other)
    )
    assert before[37] == after[37]
    users = np.repeat(np.arange(one.shape[0]), np.diff(one.indptr))
    fold = np.array([_fold(int(u), int(i), FOLDS) for u, i in zip(users, one.indices, strict=True)])
    others = fold != fold[37]
    assert np.array_equal(before[~others], after[~others])
    assert (before[others] != after[others]).mean() > 0.9


def test_a_cluster_finds_the_same(residuals, model, data, client):
    found = cross_fitted_residuals(model, data, FOLDS, client)
    assert np.array_equal(found.error, residuals.error)


def test_a_users_variance_leaves_the_rating_itself_out():
    random = np.random.default_rng(2)
    users = random.integers(0, 6, 40).astype(np.int32)
    error = random.normal(size=40).astype(np.float32)
    square = error.astype(np.float64) ** 2
    own = np.empty(40)
    for t in range(40):
        others = square[(users == users[t]) & (np.arange(40) != t)]
        own[t] = (others.sum() + 10 * square.mean()) / (len(others) + 10)
    assert np.allclose(user_variance(users, error), own)


def test_long_fits_are_not_repeated_in_full(model):
    assert model.refitter(MOST_SWEEPS).func.__self__ == model.estimator
    long = replace(model, estimator=replace(CONFIG, n_sweeps=500))
    assert long.refitter(MOST_SWEEPS).func.__self__.n_sweeps == MOST_SWEEPS


def test_bad_input_is_refused(model, data):
    with pytest.raises(InputError, match="folds must be 2 or more, not 1"):
        cross_fitted_residuals(model, data, 1)
    matrix = Dataset.from_csr(_matrix(np.random.default_rng(3)))
    with pytest.raises(InputError, match="no timestamps"):
        cross_fitted_residuals(model, matrix, FOLDS)
    stranger = CONFIG.fit(matrix)
    with pytest.raises(InputError, match="learned from matrix, not from"):
        cross_fitted_residuals(stranger, data, FOLDS)
