"""Noise of each user: drawn as float64 says, and what fits, models and intervals make of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from mfdask.evaluation import measure_calibration
from mfdask.features.noise import (
    DEGREES,
    UserErrors,
    degrees_density,
    draw_user_noise,
    with_noise,
)
from mfdask.models import Bayes, load_model, save_model
from mfdask.shards import Dataset
from tests.naive import NaiveGibbs, user_noise_density

CONFIG = Bayes(n_factors=2, n_sweeps=14, burn_in=4, start_sweeps=2, user_prior="rated")


class Killed(Exception):
    pass


def scattered(spreads, n_items=60, share=0.5, seed=4, taste=0.6):
    """Return ratings by users whose noise has the given deviations, what they scatter around, and
    which pairs are rated.
    """
    random = np.random.default_rng(seed)
    n = len(spreads)
    truth = 3.5 + 0.4 * random.normal(size=(n, 1)) + 0.4 * random.normal(size=n_items)
    truth = truth + taste * random.normal(size=(n, 2)) @ random.normal(size=(2, n_items))
    seen = random.random(truth.shape) < share
    noise = np.asarray(spreads)[:, None] * random.normal(size=truth.shape)
    ratings = np.where(seen, truth + noise, 0).astype(np.float32)
    return scipy.sparse.csr_array(ratings), truth, seen


def errors_of(random, n, degrees, precision):
    """Return errors of users whose noise precisions are drawn from their prior, and these."""
    own = random.gamma(degrees / 2, 2 * precision / degrees, len(n))
    return UserErrors(n, random.chisquare(n) / own), own


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_degrees_have_the_density_of_float64(seed, precision):
    random = np.random.default_rng(seed)
    n = random.integers(1, 30, 25).astype(float)
    errors, _ = errors_of(random, n, 6.0, precision)
    logs = [user_noise_density(*errors, degrees, precision) for degrees in DEGREES]
    wanted = np.exp(np.array(logs) - logsumexp(logs))
    np.testing.assert_allclose(degrees_density(errors, precision), wanted, rtol=1e-6, atol=1e-12)


def test_noise_is_calibrated_by_simulation():
    """Degrees, mean and a user's precision from their prior have uniform ranks among draws."""
    random, trials, ranks = np.random.default_rng(11), 150, []
    n = random.integers(1, 20, 40).astype(float)
    for _ in range(trials):
        degrees, mean = random.choice(DEGREES), random.exponential()
        errors, own = errors_of(random, n, degrees, mean)
        precision, found = None, []
        for sweep in range(60):
            noise = draw_user_noise(errors, precision, random)
            precision = noise.precision
            if sweep > 14 and sweep % 5 == 0:
                jitter = 1 + 1e-6 * random.random()  # degrees are of a grid: ties are broken
                found.append((noise.degrees * jitter, precision, noise.of_users[3]))
        told = (degrees * (1 + 1e-6 * random.random()), mean, own[3])
        ranks.append((np.array(found) < told).sum(axis=0))
    for rank in np.array(ranks).T:
        counts = np.bincount(rank // 2, minlength=5)
        assert ((counts - trials / 5) ** 2 / (trials / 5)).sum() < 18.5  # chi-square, 4: p = 0.001


def test_a_users_precision_is_drawn_from_its_posterior():
    """Many users of the same errors scatter as one gamma distribution, given degrees and mean."""
    n = 20_000
    errors = UserErrors(np.full(n, 8.0), np.full(n, 3.0))
    noise = draw_user_noise(errors, 2.0, np.random.default_rng(3))
    half = noise.degrees / 2
    shares = noise.of_users / noise.of_users.mean()  # they were drawn as shares of a mean of 2
    wanted = stats.gamma(half + 4, scale=1 / (half + 4))
    assert stats.kstest(shares, wanted.cdf).pvalue > 1e-3
    assert noise.squared_error == pytest.approx(3.0 * n)


def test_users_without_ratings_have_the_mean():
    errors = UserErrors(np.array([5.0, 0, 9]), np.array([2.0, 0, 1]))
    noise = draw_user_noise(errors, None, np.random.default_rng(0))
    assert noise.of_users[1] == noise.precision
    np.testing.assert_allclose(noise.roots[:, 0] ** 2 * noise.precision, noise.of_users, rtol=1e-6)


def test_ratings_weigh_alike_on_both_sides(ratings):
    data = Dataset.from_csr(ratings)
    roots = np.random.default_rng(1).random(data.n_users).astype(np.float32)
    users, items = (with_noise(data.shard(side, 0), roots) for side in ("users", "items"))
    by_pair = dict(zip(zip(users.rows, users.indices, strict=True), users.roots, strict=True))
    found = [by_pair[pair] for pair in zip(items.indices, items.rows, strict=True)]
    np.testing.assert_array_equal(items.roots, found)
    np.testing.assert_array_equal(users.roots, roots[users.rows])


def test_it_agrees_with_a_float64_sampler_in_distribution():
    """Means of all predictions, and of the logarithms of the users' variances."""
    ratings, _, _ = scattered(np.where(np.arange(30) % 3, 0.3, 1.2), n_items=25)
    coo = ratings.tocoo()
    data = Dataset.from_csr(ratings)
    model = Bayes(n_factors=1, n_sweeps=700, burn_in=200).fit(data)
    naive = NaiveGibbs((coo.row, coo.col, coo.data.astype(float)), 30, 25, 1, data.mean, 8, True)
    draws, variances = [], []
    for sweep in range(700):
        naive.sweep()
        if sweep >= 200:
            draws.append(naive.predict())
            variances.append(1 / naive.of_users)
    users, items = (a.ravel().astype(np.int32) for a in np.indices((30, 25)))
    mean = model.predict_rows(users, items, clip=False).reshape(30, 25)
    wanted, deviation = np.mean(draws, axis=0), np.std(draws, axis=0)
    away = np.abs(mean - wanted) / deviation
    assert away.mean() < 0.12
    assert away.max() < 0.6
    own = model.samples.user_variances
    np.testing.assert_allclose(np.log(own), np.log(np.mean(variances, axis=0)), atol=0.15)


def test_intervals_are_those_of_the_user():
    """Half of the users scatter four times as far: intervals hold what they say for either."""
    spreads = np.where(np.arange(160) % 2, 0.25, 1.0)
    ratings, truth, seen = scattered(spreads)
    config = Bayes(n_factors=2, n_sweeps=160, burn_in=60)
    model = config.fit(ratings)
    plain = dataclasses.replace(config, noise="one").fit(ratings)
    users, items = (a.astype(np.int32) for a in np.nonzero(~seen))
    random = np.random.default_rng(1)
    again = truth[~seen] + spreads[users] * random.normal(size=len(users))
    covered, errors = {}, {}
    for name, own in (("user", model), ("one", plain)):
        mean = own.predict_rows(users, items, clip=False)
        inside = np.abs(again - mean) < 0.6745 * own.predict_std(users, items)
        covered[name] = [inside[users % 2 == part].mean() for part in (0, 1)]
        errors[name] = np.sqrt(np.mean((mean - truth[~seen]) ** 2))
    assert covered["user"] == pytest.approx([0.5, 0.5], abs=0.03)
    assert covered["one"][0] < 0.42 < 0.8 < covered["one"][1]
    assert errors["user"] < 0.85 * errors["one"]


def test_where_users_are_alike_nothing_is_lost():
    ratings, truth, seen = scattered(np.full(160, 0.5))
    config = Bayes(n_factors=2, n_sweeps=160, burn_in=60)
    users, items = (a.astype(np.int32) for a in np.nonzero(~seen))
    models = config.fit(ratings), dataclasses.replace(config, noise="one").fit(ratings)
    found = [
        np.sqrt(np.mean((model.predict_rows(users, items, clip=False) - truth[~seen]) ** 2))
        for model in models
    ]
    assert found[0] == pytest.approx(found[1], rel=0.01)
    assert np.median(models[0].samples.noise_degrees) > 50
    means = [np.mean(model.samples.noise_precision) for model in models]
    assert means[0] == pytest.approx(means[1], rel=0.02)


def assert_same(one, other):
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)
    np.testing.assert_array_equal(one.samples.user_variances, other.samples.user_variances)
    np.testing.assert_array_equal(one.samples.noise_degrees, other.samples.noise_degrees)
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert mine.train_rmse == theirs.train_rmse
        assert mine.test_rmse == theirs.test_rmse


@pytest.mark.parametrize("exchange", ["whole", "needed"])
def test_two_workers_make_the_model_of_one_process(exchange, small_data, client):
    data = Dataset.open(small_data)
    assert_same(CONFIG.fit(data), CONFIG.fit(data, client=client, exchange=exchange))


@pytest.mark.parametrize("sweep", [3, 5, 11])
def test_resumes_bit_for_bit(sweep, small_data, tmp_path):
    data = Dataset.open(small_data)

    def progress(stage, done, total, note=""):
        if done == sweep:
            raise Killed

    with pytest.raises(Killed):
        CONFIG.fit(data, checkpoint=tmp_path / "c", checkpoint_every=2, progress=progress)
    assert_same(CONFIG.fit(data, checkpoint=tmp_path / "c", resume=True), CONFIG.fit(data))


def test_it_is_read_back_as_it_was(ratings, tmp_path):
    model = CONFIG.fit(ratings)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    users, items = (a.ravel().astype(np.int32) for a in np.indices((41, 30)) - 1)
    np.testing.assert_array_equal(again.predict_std(users, items), model.predict_std(users, items))
    table = pd.read_parquet(tmp_path / "m" / "user_noise.parquet")
    np.testing.assert_array_equal(table["user_id"], model.users["user_id"])
    np.testing.assert_array_equal(table["variance"], model.samples.user_variances)


def test_a_user_without_ratings_is_as_uncertain_as_an_unknown_one(ratings):
    model = CONFIG.fit(ratings)
    samples = model.samples
    variances = samples.noise_variances(model.users["n_train"].to_numpy() == 0)
    wanted = np.mean(1 / samples.noise_precision / (1 - 2 / samples.noise_degrees))
    assert variances[7] == variances[-1] == pytest.approx(wanted)
    assert variances[-1] > np.median(variances)


def test_the_training_error_counts_each_rating_once(small_data):
    data = Dataset.open(small_data)
    config = dataclasses.replace(CONFIG, n_sweeps=5, n_samples=1)
    model = config.fit(data)
    total = 0.0
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block)
        p = model.draw_rows("users", 0, shard.rows)
        q = model.draw_rows("items", 0, shard.indices)
        predicted = model.mean + p[:, 0] + q[:, 0] + (p[:, 2:] * q[:, 2:]).sum(axis=1)
        total += np.square(predicted - shard.ratings).sum()
    assert model.history[-1].train_rmse == pytest.approx(np.sqrt(total / data.n_train), rel=1e-4)


@pytest.mark.movielens
def test_it_gains_on_real_ratings(movielens_small):
    config = Bayes(n_factors=10, n_sweeps=100, burn_in=20)
    model = config.fit(movielens_small)
    plain = dataclasses.replace(config, noise="one").fit(movielens_small)
    assert model.history[-1].test_rmse < plain.history[-1].test_rmse - 0.008
    covered = measure_calibration(model, movielens_small).set_index(["users", "interval"])
    for interval in (0.5, 0.8, 0.95):
        assert covered["covered"]["all", interval] == pytest.approx(interval, abs=0.02)


def test_without_a_burn_in_the_first_draw_counts_too(ratings):
    config = Bayes(n_factors=2, n_sweeps=1, burn_in=0, n_samples=1, start_sweeps=0)
    samples = config.fit(ratings).samples
    assert samples.noise_precision.tolist() == [1.0]
    np.testing.assert_allclose(samples.user_variances, 1.0)
    samples = dataclasses.replace(config, n_sweeps=3, n_samples=3).fit(ratings).samples
    assert len(samples.noise_precision) == 3
    assert (samples.user_variances > 1 / 3).all()  # a third of it is the first draw's
