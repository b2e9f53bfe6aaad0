"""Priors that follow what is rated: weights against a direct solution, draws, and what is kept."""

import dataclasses
import json
import logging

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from mfdask.errors import InputError
from mfdask.features.equations import Preconditioner, RowFit
from mfdask.features.rated import RatedFeatures, RatedRegression, draw_rated_precision, draw_stretch
from mfdask.kernels.implicit import rounded
from mfdask.models import ALS, Bayes, load_model, save_model
from mfdask.models.design import draw_row_prior
from mfdask.recommendation import History, fold_in
from mfdask.shards import Dataset
from tests.models.test_bayes import simulate
from tests.naive import rated_features, regress

BOTH = {"user_prior": "rated", "item_prior": "rated"}
POINT = ALS(n_factors=3, n_sweeps=8, weight_reg=0.02, **BOTH)
DRAWN = Bayes(n_factors=3, n_sweeps=9, burn_in=3, **BOTH)


class Killed(Exception):
    pass


def regression(ratings, side, rows, reg_scaling=0.0, dense=None):
    data = Dataset.from_csr(ratings)
    other = "items" if side == "users" else "users"
    own, others = ([data.shard(s, b) for b in range(data.n_blocks(s))] for s in (side, other))
    features = RatedFeatures.of(reg_scaling, own, others, [dense] * len(own))
    return RatedRegression(features, Preconditioner.of(features), rows)


def some_rows(n, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def assert_same(one, other):
    for side in ("users", "items"):
        np.testing.assert_array_equal(one.rows(side), other.rows(side))
    np.testing.assert_array_equal(one.rated_rows, other.rated_rows)


@pytest.mark.parametrize("side", ["users", "items"])
@pytest.mark.parametrize("reg_scaling", [0.0, 0.7])
def test_weights_are_those_of_a_direct_solution(side, reg_scaling, ratings):
    matrix = ratings.toarray() if side == "users" else ratings.toarray().T
    n = (matrix != 0).sum(axis=1)
    rows, features = some_rows(len(matrix)), rated_features(matrix)
    sums = regression(ratings, side, rows, reg_scaling)
    scale = np.where(n > 0, np.maximum(n, 1.0) ** reg_scaling, 0.0)
    precision = np.diag([2.0, 0.5, 0.5, 0.5])
    for _ in range(60):  # from where the last fit has ended, as sweeps go on
        fit = sums.fit(precision, 0.3)
        sums = dataclasses.replace(sums, before=fit)
    found = fit.weights
    for k, own in enumerate(np.diag(precision)):
        wanted = regress(features, rows[:, k], scale, np.full(features.shape[1], 0.3 / own))
        # Gradients are of products of 16 bits: what the equations ask least of is farthest off.
        np.testing.assert_allclose(found[:, k], wanted, atol=1e-2 * np.abs(wanted).max())
    gathered = rounded(found)
    np.testing.assert_allclose(gathered, found, rtol=1 / 256)
    np.testing.assert_allclose(sums.features.times(gathered), features @ gathered, atol=1e-5)
    np.testing.assert_allclose(fit.means, features @ found, atol=1e-5)
    away = rows - features @ found
    np.testing.assert_allclose(sums.scatter(fit), (away.T * scale) @ away, rtol=1e-4, atol=1e-4)


def test_dense_features_join_what_is_rated(ratings, monkeypatch):
    monkeypatch.setattr("mfdask.features.rated.MEAN_TOLERANCE", 1e-4)
    genres = np.random.default_rng(3).random((30, 2)).astype(np.float32)
    rows, features = some_rows(30), rated_features(ratings.toarray().T)[:, 1:]
    features = np.hstack([genres, features])
    scale = (ratings.toarray() != 0).any(axis=0).astype(float)
    strength = np.concatenate([[2.0, 2.0], np.full(40, 0.7)])
    sums = regression(ratings, "items", rows, dense=genres)
    mean = sums.mean(strength)
    wanted = regress(features, rows.astype(float), scale, strength)
    np.testing.assert_allclose(mean.weights, wanted, atol=4e-3 * np.abs(wanted).max())
    np.testing.assert_allclose(mean.means, features @ mean.weights, atol=1e-5)


def test_noise_of_the_weights_has_their_covariance(ratings):
    features = rated_features(ratings.toarray())
    scale = (ratings.toarray() != 0).any(axis=1).astype(float)
    strength = np.concatenate([[2.0], np.full(30, 0.6)])
    wanted = np.linalg.inv((features.T * scale) @ features + np.diag(strength))
    random = np.random.default_rng(1)
    sums = regression(ratings, "users", np.zeros((40, 64), np.float32))
    mean, root = sums.mean(strength), np.linalg.cholesky(np.cov(random.normal(size=(64, 99))))
    drawn = [sums.draw(mean, strength, root, random).weights for _ in range(150)]
    drawn = np.hstack([weights @ root for weights in drawn])
    n = drawn.shape[1]
    assert (np.abs(drawn.mean(axis=1)) < 4.5 * np.sqrt(np.diag(wanted) / n)).all()
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / n)
    assert (np.abs(drawn @ drawn.T / n - wanted) < 5 * error).all()


def test_a_search_that_ends_too_early_is_told(ratings, monkeypatch, caplog, tmp_path):
    assert not any(sweep.unsolved for sweep in DRAWN.fit(ratings).history)
    assert not caplog.records
    monkeypatch.setattr("mfdask.features.rated.DRAW_STEPS", 2)
    monkeypatch.setattr("mfdask.features.rated.DRAW_TOLERANCE", 1e-6)
    with caplog.at_level(logging.WARNING):
        model = DRAWN.fit(ratings)
    assert "weights of what is rated" in caplog.text
    assert len(caplog.records) == 1  # and not in every sweep
    unsolved = sum(sweep.unsolved for sweep in model.history)
    assert 0 < unsolved <= len(model.history)
    assert "not solved for" in model.history[-1].note()
    save_model(model, tmp_path / "m")
    assert json.loads((tmp_path / "m" / "model.json").read_text())["unsolved_sweeps"] == unsolved
    again = load_model(tmp_path / "m")
    assert again.history == model.history
    assert f"after {unsolved} sweeps" in again.summary()[1]["not solved"]


def test_precision_of_the_weights_is_found_again():
    """Weights that were drawn with a precision say which it was."""
    random = np.random.default_rng(4)
    rows = np.diag([4.0, 1.0, 0.25])
    weights = random.normal(size=(3000, 3)) / np.sqrt(7 * np.diag(rows))
    drawn = [draw_rated_precision(weights, rows, random) for _ in range(300)]
    assert np.mean(drawn) == pytest.approx(7, rel=0.04)
    assert np.std(drawn) == pytest.approx(7 * np.sqrt(2 / 9000), rel=0.2)


@pytest.mark.parametrize("mirrored", [False, True])
def test_priors_are_calibrated_by_simulation(mirrored, ratings):
    """Precisions and weights from their prior have uniform ranks among draws given their rows.

    So they have once they are mirrored, which leaves their distribution as it is.
    """
    random = np.random.default_rng(11)
    features, d, trials, draws = rated_features(ratings.toarray()), 2, 100, 9
    strength = np.concatenate([[2.0], np.full(30, 2.0)])
    ranks = np.zeros((trials, 3), int)
    for trial in range(trials):
        root = random.normal(size=(d, d))
        precision = root @ root.T  # Wishart of d degrees of freedom and identity scale
        spread = np.linalg.cholesky(np.linalg.inv(precision))
        weights = random.normal(size=(31, d)) / np.sqrt(strength)[:, None] @ spread.T
        rows = features @ weights + random.normal(size=(40, d)) @ spread.T
        sums = regression(ratings, "users", rows.astype(np.float32))
        found = [draw_row_prior(sums, random, 2.0) for _ in range(draws)]
        if mirrored:
            before = RowFit(weights.astype(np.float32), (features @ weights).astype(np.float32))
            sums = dataclasses.replace(sums, before=before)
            precision, fit = draw_row_prior(sums, random, 2.0, precision)
            np.testing.assert_allclose(fit.means, features @ fit.weights, atol=1e-4)
            weights = fit.weights
        for k, (own, each) in enumerate(
            [
                (precision[0, 0], [p[0, 0] for p, _ in found]),
                (weights[0, 1], [w.weights[0, 1] for _, w in found]),
                (weights[5, 0], [w.weights[5, 0] for _, w in found]),
            ]
        ):
            ranks[trial, k] = (np.array(each) < own).sum()
    for own in ranks.T:
        counts = np.bincount(own // 2, minlength=5)
        assert ((counts - trials / 5) ** 2 / (trials / 5)).sum() < 18.5  # chi-square, 4: p = 0.001


def test_stretching_leaves_the_precision_of_the_weights_as_it_was_drawn(ratings):
    """Precisions from their prior still have its distribution once weights are stretched."""
    random, features, d = np.random.default_rng(5), rated_features(ratings.toarray()), 2
    rated = (ratings.toarray() != 0).any(axis=1)
    precision, after, moved = np.diag([2.0, 0.5]), [], 0
    sums = regression(ratings, "users", np.zeros((40, d), np.float32))
    for _ in range(400):
        own = random.gamma(0.5) / 0.5
        strength = np.concatenate([[2.0], np.full(30, own)])
        weights = random.normal(size=(31, d)) / np.sqrt(strength[:, None] * np.diag(precision))
        means = features @ weights
        rows = means + random.normal(size=(40, d)) / np.sqrt(np.diag(precision))
        sums = dataclasses.replace(sums, rows=rows.astype(np.float32))
        fit = RowFit(weights.astype(np.float32), means.astype(np.float32))
        said = means - weights[0]
        pull = sums.pull(fit, precision)
        left = ((rows - weights[0])[rated], said[rated])
        np.testing.assert_allclose(
            pull, [np.sum(m @ precision * said[rated]) for m in left], rtol=1e-3, atol=1e-3
        )
        by = draw_stretch(*pull, own, random)
        stretched = sums.stretched(fit, by)
        np.testing.assert_allclose(
            stretched.means, features @ stretched.weights, rtol=1e-3, atol=1e-3
        )
        after.append(own / by**2)
        moved += by != 1
    assert moved > 200
    assert kstest(after, chi2(1).cdf).pvalue > 0.001  # Gamma(1/2, rate 1/2)


def test_weights_are_mirrored_in_their_mean(ratings):
    """What weights differ from their mean by has its sign turned, in units of their spread."""
    random, strength = np.random.default_rng(2), np.full(31, 2.0)
    before = RowFit(some_rows(31), some_rows(40))
    sums = dataclasses.replace(regression(ratings, "users", some_rows(40)), before=before)
    own = np.cov(random.normal(size=(4, 30)))
    precision, found = draw_row_prior(sums, random, 2.0, own)
    mean = sums.mean(strength).weights
    away, after = (w @ np.linalg.cholesky(p) for w, p in (
        (before.weights - mean, own), (found.weights - mean, precision)
    ))  # fmt: skip
    np.testing.assert_allclose(after, -away, atol=1e-4)


@pytest.mark.parametrize("reg_scaling", [0.0, 1.0])
def test_next_to_no_regularisation_ends_no_fit(reg_scaling, ratings):
    config = dataclasses.replace(POINT, weight_reg=1e-7, reg_scaling=reg_scaling, factor_reg=0.01)
    objectives = np.array([sweep.objective for sweep in config.fit(ratings).history])
    assert (np.diff(objectives) < 1e-6 * objectives[1:]).all()


def test_the_objective_only_falls_and_is_that_of_the_model(ratings):
    model = POINT.fit(ratings)
    objectives = [sweep.objective for sweep in model.history]
    assert (np.diff(objectives) < 1e-6 * np.array(objectives[1:])).all()
    assert model.objective(0.0) == objectives[-1]


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_two_workers_make_the_model_of_one_process(config, small_data, client):
    data = Dataset.open(small_data)
    config = dataclasses.replace(config, item_prior="genre+rated", n_sweeps=6)
    alone, spread = config.fit(data), config.fit(data, client=client)
    needed = config.fit(data, client=client, exchange="needed")
    assert_same(alone, spread)
    assert_same(alone, needed)
    assert [s.test_rmse for s in alone.history] == [s.test_rmse for s in spread.history]


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_resumes_bit_for_bit(config, small_data, tmp_path):
    data = Dataset.open(small_data)

    def progress(stage, done, total, note=""):
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        config.fit(data, checkpoint=tmp_path / "c", checkpoint_every=2, progress=progress)
    resumed = config.fit(data, checkpoint=tmp_path / "c", resume=True)
    assert_same(resumed, config.fit(data))


@pytest.mark.parametrize("config", [POINT, DRAWN])
def test_it_is_read_back_as_it_was(config, ratings, tmp_path):
    model = config.fit(ratings)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert_same(model, again)
    history = History.of(model, {3: 4.0, 5: 1.5})
    np.testing.assert_array_equal(fold_in(model, history), fold_in(again, history))
    pairs = [2, 10**6], [3, 10**6]
    np.testing.assert_array_equal(model.predict(*pairs), again.predict(*pairs))


def test_a_new_user_is_drawn_to_what_their_items_say(ratings):
    """Somebody with the history of a user of the training part gets that user's row."""
    model = dataclasses.replace(POINT, n_sweeps=100).fit(ratings)
    data = Dataset.from_csr(ratings)
    for row in (0, 12):
        found = fold_in(model, History.of_user(data, row))[0]
        np.testing.assert_allclose(found, model.user_rows[row], atol=0.01)
    prior = next(model.draws(History.of_user(data, 0).items))[1]
    assert np.abs(prior.first_mean - model.user_prior.first_mean).max() > 0.05


def test_rows_without_ratings_have_what_all_share(ratings):
    for config in (POINT, DRAWN):
        model = config.fit(ratings)
        np.testing.assert_allclose(model.user_rows[7], model.cold_start_row("users")[0], atol=1e-6)
        np.testing.assert_allclose(model.item_rows[11], model.cold_start_row("items")[0], atol=1e-6)


def test_intervals_cover_what_was_simulated():
    ratings, truth, seen = simulate(150, 60, 2, 0.3, 0.5, 6)
    model = Bayes(n_factors=2, n_sweeps=90, burn_in=30, **BOTH).fit(ratings)
    users, items = np.nonzero(~seen)
    fresh = truth[users, items] + 0.5 * np.random.default_rng(8).normal(size=len(users))
    places = users.astype(np.int32), items.astype(np.int32)
    away = np.abs(fresh - model.predict_rows(*places, clip=False)) / model.predict_std(*places)
    for width, share in ((0.674, 0.5), (1.282, 0.8), (1.96, 0.95)):
        assert (away < width).mean() == pytest.approx(share, abs=0.02)


def test_the_first_sweeps_may_solve(ratings):
    config = Bayes(n_factors=2, n_sweeps=6, burn_in=4, start_sweeps=3)
    model = config.fit(ratings)
    assert [sweep.fidelity == 1.0 for sweep in model.history] == [True] * 3 + [False] * 3
    assert (np.diff([sweep.objective for sweep in model.history[:3]]) < 0).all()
    with pytest.raises(InputError, match="start_sweeps"):
        dataclasses.replace(config, start_sweeps=5)
