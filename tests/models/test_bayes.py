"""The sampler: its draws have the right distribution, and depend on nothing else."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.sparse

from mfdask.convergence import LEAST_DRAWS, Chain
from mfdask.errors import InputError
from mfdask.evaluation import evaluate, measure_calibration
from mfdask.features.noise import draw_noise_precision
from mfdask.models import ALS, Ability, Bayes, load_model, save_model
from mfdask.models.design import (
    RowPrior,
    draw_row_prior,
    feature_gram,
    feature_sums,
    pack,
    unknowns,
)
from mfdask.models.half_step import half_step
from mfdask.shards import Dataset, Shard
from tests.naive import NaiveGibbs

CONFIG = Bayes(n_factors=3, n_sweeps=12, burn_in=4)


def simulate(n_users, n_items, n_factors, density, noise, seed):
    """Return ratings drawn from the model itself, and the predictions that they scatter around."""
    random = np.random.default_rng(seed)
    p = random.normal(size=(n_users, n_factors)) * 0.6
    q = random.normal(size=(n_items, n_factors)) * 0.6
    truth = 3.5 + 0.4 * random.normal(size=(n_users, 1)) + 0.4 * random.normal(size=n_items)
    truth = truth + p @ q.T
    seen = random.random(truth.shape) < density
    ratings = np.where(seen, truth + noise * random.normal(size=truth.shape), 0)
    return scipy.sparse.csr_array(ratings.astype(np.float32)), truth, seen


def design_rows(values):
    """Return design rows of ``[bias, factors]``."""
    values = values.astype(np.float32)
    return pack(values[:, 0], values[:, 1:])


def test_rows_are_drawn_from_their_posterior():
    """Eight thousand rows with the same five ratings scatter as the Gaussian says."""
    random = np.random.default_rng(2)
    n, d = 8000, 4
    fixed = design_rows(random.normal(size=(5, d)))
    shard = Shard(
        "users", 0, 100, np.arange(n + 1) * 5, np.tile(np.arange(5, dtype=np.int32), n),
        np.tile(np.array([4, 3, 5, 1, 2.5], np.float32), n),
    )  # fmt: skip
    root = random.normal(size=(d, d))
    prior = RowPrior(1.7, root @ root.T + np.eye(d), random.normal(size=(1, d)))
    drawn = half_step(
        shard,
        fixed,
        design_rows(np.zeros((n, d))),
        CONFIG.update_config(3.0),
        prior,
        key=np.uint64(99),
    )
    found = unknowns(drawn.rows, d).astype(float)
    x = np.column_stack([np.ones(5), fixed[:, 2 : d + 1]]).astype(float)
    y = shard.ratings[:5] - 3.0 - fixed[:, 0]
    a = prior.precision + 1.7 * x.T @ x
    covariance = np.linalg.inv(a)
    mean = covariance @ (prior.precision @ prior.weights[0] + 1.7 * x.T @ y)
    error = np.sqrt(np.diag(covariance) / n)
    assert (np.abs(found.mean(axis=0) - mean) < 4.5 * error).all()
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=5 * covariance.max() / n**0.5)


def test_a_row_draws_the_same_wherever_it_is_cut(ratings):
    data = Dataset.from_csr(ratings)
    whole, model = data.shard("users", 0), ALS(n_factors=3, n_sweeps=1).fit(data)
    rule, prior = CONFIG.update_config(data.mean), CONFIG.prior("users")
    key = np.uint64(5)
    drawn = half_step(whole, model.item_rows, model.user_rows, rule, prior, key=key).rows
    cut = whole.indptr[13]
    part = Shard("users", 1, 13, whole.indptr[13:] - cut, whole.indices[cut:], whole.ratings[cut:])
    again = half_step(part, model.item_rows, model.user_rows[13:], rule, prior, key=key).rows
    np.testing.assert_array_equal(again, drawn[13:])
    other = half_step(whole, model.item_rows, model.user_rows, rule, prior, key=np.uint64(6)).rows
    assert (other != drawn)[:, 0].all()


def test_priors_are_drawn_from_the_normal_wishart_posterior():
    """Against an oracle that draws a Wishart matrix as a sum of outer products."""
    rows = design_rows(np.random.default_rng(1).normal(size=(9, 3)) * [1, 2, 0.5] + [0.5, -1, 0])
    n_ratings = np.array([1] * 8 + [0])
    sums = feature_sums(None, feature_gram(None, n_ratings, 0.0), rows, n_ratings, 3, 0.0)
    assert sums.n == 8
    random = np.random.default_rng(3)
    drawn = (draw_row_prior(sums, random) for _ in range(4000))
    mine = [(precision, fit.weights) for precision, fit in drawn]
    oracle = NaiveGibbs((), 1, 1, 2, 0.0, 4)
    own = unknowns(rows[:8], 3).astype(float)
    theirs = [oracle.draw_prior(own) for _ in range(4000)]
    for part in (0, 1):
        one = np.array([draw[part].ravel() for draw in mine])
        other = np.array([draw[part].ravel() for draw in theirs])
        error = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 4000)
        assert (np.abs(one.mean(axis=0) - other.mean(axis=0)) < 4.5 * error).all()
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.15)


def test_feature_weights_are_drawn_around_the_regression():
    random = np.random.default_rng(1)
    features = random.random((400, 2)).astype(np.float32)
    weights = np.array([[1.0, -2, 0], [0, 3, 1]])
    rows = design_rows(features @ weights + 0.1 * random.normal(size=(400, 3)))
    n_ratings = np.ones(400, int)
    gram = feature_gram(features, n_ratings, 0.0)
    sums = feature_sums(features, gram, rows, n_ratings, 3, 0.0)
    drawn = np.array([draw_row_prior(sums, random)[1].weights for _ in range(500)])
    ridge = np.linalg.solve(
        features.T @ features + 2 * np.eye(2), features.T @ unknowns(rows, 3).astype(float)
    )
    np.testing.assert_allclose(drawn.mean(axis=0), ridge, atol=0.005)
    np.testing.assert_allclose(drawn.mean(axis=0), weights, atol=0.15)


def test_noise_precision_has_its_posterior_mean():
    random = np.random.default_rng(0)
    drawn = [draw_noise_precision(50.0, 80, random) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(41 / 26, rel=0.01)
    assert np.var(drawn) == pytest.approx(41 / 26**2, rel=0.1)


def test_it_agrees_with_a_float64_sampler_in_distribution(ratings):
    """Means and deviations of all predictions, from 1,500 draws each."""
    coo = ratings.tocoo()
    triples = coo.row, coo.col, coo.data.astype(float)
    data = Dataset.from_csr(ratings)
    model = Bayes(n_factors=2, n_sweeps=1700, burn_in=200, noise="one").fit(data)
    naive = NaiveGibbs(triples, 40, 30, 2, data.mean, 8)
    draws = []
    for sweep in range(1700):
        naive.sweep()
        if sweep >= 200:
            draws.append(naive.predict())
    users, items = (a.ravel().astype(np.int32) for a in np.indices((40, 30)))
    mean = model.predict_rows(users, items, clip=False).reshape(40, 30)
    noise = np.mean(1 / model.samples.noise_precision)
    spread = np.sqrt(model.predict_std(users, items).reshape(40, 30) ** 2 - noise)
    wanted, deviation = np.mean(draws, axis=0), np.std(draws, axis=0)
    rated = np.ones((40, 30), bool)
    rated[7] = rated[:, 11] = False  # their kept rows are the prior's mean, not draws
    away = np.abs(mean - wanted)[rated] / deviation[rated]
    assert away.mean() < 0.1
    assert away.max() < 0.5
    np.testing.assert_allclose(np.median((spread / deviation)[rated]), 1, atol=0.05)
    assert np.abs(spread / deviation - 1)[~rated].mean() < 0.15


def test_intervals_cover_what_was_simulated():
    """Ratings drawn from the model lie within its intervals as often as these say."""
    ratings, truth, seen = simulate(150, 120, 2, 0.3, 0.5, 6)
    model = Bayes(n_factors=2, n_sweeps=230, burn_in=80).fit(ratings)
    users, items = (a.astype(np.int32) for a in np.nonzero(~seen))
    mean = model.predict_rows(users, items, clip=False)
    deviation = model.predict_std(users, items)
    random = np.random.default_rng(1)
    again = truth[~seen] + 0.5 * random.normal(size=len(users))
    for interval, z in ((0.5, 0.6745), (0.8, 1.2816), (0.95, 1.96)):
        assert np.mean(np.abs(again - mean) < z * deviation) == pytest.approx(interval, abs=0.02)
    spread = np.sqrt(deviation**2 - np.mean(1 / model.samples.noise_precision))
    assert np.mean(np.abs(truth[~seen] - mean) < 1.96 * spread) == pytest.approx(0.95, abs=0.03)
    assert np.mean(1 / np.sqrt(model.samples.noise_precision)) == pytest.approx(0.5, abs=0.02)


def test_a_sum_of_draws_is_a_plain_model(ratings):
    data = Dataset.from_csr(ratings)
    model = dataclasses.replace(CONFIG, noise="one").fit(data)
    assert len(model.samples) == 8
    assert model.n_factors == 24
    users, items = (a.ravel().astype(np.int32) for a in np.indices((40, 30)))
    by_draw = []
    for s in range(8):
        p = model.draw_rows("users", s, users)
        q = model.draw_rows("items", s, items)
        by_draw.append(model.mean + p[:, 0] + q[:, 0] + (p[:, 2:] * q[:, 2:]).sum(axis=1))
    np.testing.assert_allclose(
        model.predict_rows(users, items, clip=False), np.mean(by_draw, axis=0), atol=1e-5
    )
    rated = (users != 7) & (items != 11)
    wanted = np.sqrt(np.var(by_draw, axis=0) + np.mean(1 / model.samples.noise_precision))
    np.testing.assert_allclose(model.predict_std(users, items)[rated], wanted[rated], rtol=1e-4)


def test_rows_without_ratings_are_their_prior(ratings):
    model = dataclasses.replace(CONFIG, noise="one").fit(ratings)
    means = model.samples.weights["users"][:, 0]
    assert model.user_bias[7] == pytest.approx(means[:, 0].mean(), rel=1e-5)
    np.testing.assert_allclose(
        np.sqrt(8) * model.user_factors[7], means[:, 1:].ravel(), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        model.cold_start_row("users")[0], model.user_rows[7], rtol=1e-5, atol=1e-7
    )
    known = model.predict([7], [3])
    np.testing.assert_allclose(model.predict([4711], [3]), known, rtol=1e-5)
    deviations = model.predict_std(np.array([7, -1, 3], np.int32), np.full(3, 3, np.int32))
    assert deviations[0] == pytest.approx(deviations[1], rel=1e-5)
    assert deviations[0] > deviations[2]
    p = means[:, :, None]
    spread = [
        np.append(1, q) @ np.linalg.inv(precision) @ np.append(1, q)
        for q, precision in zip(
            np.sqrt(8) * model.item_factors[3].reshape(8, 3),
            model.samples.precisions["users"],
            strict=True,
        )
    ]
    by_draw = [
        p[s, 0, 0] + model.samples.biases["items"][3, s]
        + p[s, 1:, 0] @ (np.sqrt(8) * model.item_factors[3].reshape(8, 3)[s])
        for s in range(8)
    ]  # fmt: skip
    wanted = np.var(by_draw) + np.mean(spread) + np.mean(1 / model.samples.noise_precision)
    assert deviations[0] ** 2 == pytest.approx(wanted, rel=1e-4)


def test_it_is_read_back_as_it_was(ratings, tmp_path):
    model = CONFIG.fit(ratings)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    users, items = (a.ravel().astype(np.int32) for a in np.indices((40, 30)))
    np.testing.assert_array_equal(
        again.predict_rows(users, items), model.predict_rows(users, items)
    )
    np.testing.assert_array_equal(again.predict_std(users, items), model.predict_std(users, items))
    assert again.parameters == model.parameters
    assert again.history == model.history
    (tmp_path / "m" / "user_biases.parquet").unlink()
    with pytest.raises(InputError, match="damaged model"):
        load_model(tmp_path / "m")


class Killed(Exception):
    pass


@pytest.mark.parametrize("sweep", [3, 5, 11])
def test_resumes_bit_for_bit(sweep, small_data, tmp_path):
    data = Dataset.open(small_data)

    def progress(stage, done, total, note=""):
        if done == sweep:
            raise Killed

    with pytest.raises(Killed):
        CONFIG.fit(data, checkpoint=tmp_path / "c", checkpoint_every=2, progress=progress)
    resumed = CONFIG.fit(data, checkpoint=tmp_path / "c", resume=True)
    whole = CONFIG.fit(data)
    assert_same(resumed, whole)
    assert [s.test_rmse for s in resumed.history] == [s.test_rmse for s in whole.history]


def test_another_number_of_sweeps_keeps_other_draws(ratings, tmp_path):
    CONFIG.fit(ratings, checkpoint=tmp_path / "c", checkpoint_every=2)
    longer = dataclasses.replace(CONFIG, n_sweeps=20)
    with pytest.raises(InputError, match="other data or parameters"):
        longer.fit(ratings, checkpoint=tmp_path / "c", resume=True)


AUTO = dataclasses.replace(CONFIG, n_sweeps=None, max_sweeps=200, max_rhat=1.6)


def test_it_ends_when_the_chain_has_settled(small_data):
    data = Dataset.open(small_data)
    model = AUTO.fit(data)
    last = model.history[-1]
    assert AUTO.burn_in + LEAST_DRAWS <= last.sweep < 200
    assert last.rhat <= 1.6
    assert model.chain.settled
    assert len(model.samples) == last.sweep - AUTO.burn_in
    before = Chain.of([sweep.rhat for sweep in model.history[:-1]], AUTO.burn_in, 1.6)
    assert not before.settled
    longer = dataclasses.replace(AUTO, n_sweeps=last.sweep, max_sweeps=1000).fit(data)
    assert_same(longer, model)
    hurried = dataclasses.replace(AUTO, max_sweeps=10).fit(data)
    assert len(hurried.history) == 10
    assert str(hurried.chain).startswith("not settled: R-hat")
    assert AUTO.point_estimate(7).n_sweeps == 7


def test_a_chain_that_settles_is_resumed_and_thinned_bit_for_bit(small_data, tmp_path, client):
    data, config = Dataset.open(small_data), dataclasses.replace(AUTO, n_samples=7)

    def progress(stage, done, total, note=""):
        if done == 31:
            raise Killed

    with pytest.raises(Killed):
        config.fit(data, checkpoint=tmp_path / "c", checkpoint_every=15, progress=progress)
    resumed = config.fit(data, checkpoint=tmp_path / "c", resume=True)
    whole, spread = config.fit(data), config.fit(data, client=client)
    sweeps = len(whole.history)
    for other in (resumed, spread):
        assert_same(whole, other)
        assert [s.rhat for s in other.history] == [s.rhat for s in whole.history]
    every = dataclasses.replace(AUTO, n_sweeps=sweeps).fit(data)
    kept = [sweep - AUTO.burn_in - 1 for sweep in config.sampled(7, sweeps)]
    np.testing.assert_array_equal(
        whole.samples.noise_precision, every.samples.noise_precision[kept]
    )
    rows = np.arange(data.n_items, dtype=np.int32)
    for s, own in enumerate(kept):
        np.testing.assert_allclose(
            whole.draw_rows("items", s, rows), every.draw_rows("items", own, rows), atol=1e-5
        )


def assert_same(one, other):
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)
    np.testing.assert_array_equal(one.samples.biases["items"], other.samples.biases["items"])
    np.testing.assert_array_equal(one.samples.noise_precision, other.samples.noise_precision)


@pytest.mark.parametrize("item_prior", ["zero", "genre"])
def test_two_workers_make_the_model_of_one_process(item_prior, small_data, client):
    data, config = Dataset.open(small_data), dataclasses.replace(CONFIG, item_prior=item_prior)
    alone, spread = config.fit(data), config.fit(data, client=client)
    assert_same(alone, spread)
    assert [s.test_rmse for s in alone.history] == [s.test_rmse for s in spread.history]


def test_the_running_error_is_that_of_the_averaged_predictions(small_data):
    data = Dataset.open(small_data)
    config = dataclasses.replace(CONFIG, n_sweeps=6, burn_in=4)
    model = config.fit(data)
    predicted, ratings = [], []
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        users = np.repeat(np.arange(shard.n_rows) + shard.start, np.diff(shard.indptr))
        draws = []
        for s in range(2):
            p = model.draw_rows("users", s, users)
            q = model.draw_rows("items", s, shard.indices)
            raw = model.mean + p[:, 0] + q[:, 0] + (p[:, 2:] * q[:, 2:]).sum(axis=1)
            draws.append(raw.clip(data.rating_min, data.rating_max))
        predicted.append(np.mean(draws, axis=0))
        ratings.append(shard.ratings)
    error = np.concatenate(predicted) - np.concatenate(ratings)
    # Kept rows without ratings are their prior's mean, those of the running error are draws.
    assert model.history[-1].test_rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=2e-3)


def test_it_may_start_from_a_model(small_data, tmp_path):
    data = Dataset.open(small_data)
    save_model(ALS(n_factors=3, n_sweeps=10).fit(data), tmp_path / "als")
    first = CONFIG.fit(data).history[0]
    warm = CONFIG.fit(data, start=tmp_path / "als").history[0]
    assert warm.train_rmse < first.train_rmse
    with pytest.raises(InputError, match="has 3 factors and this fit 5; give n_factors 3"):
        ALS(n_factors=5).fit(data, start=tmp_path / "als")


def test_a_warm_start_needs_fewer_sweeps(small_data, tmp_path):
    data = Dataset.open(small_data)
    cold = ALS(n_factors=3, n_sweeps=200, tolerance=1e-5).fit(data)
    save_model(cold, tmp_path / "m")
    warm = ALS(n_factors=3, n_sweeps=200, tolerance=1e-5).fit(data, start=tmp_path / "m")
    assert len(warm.history) < len(cold.history) / 2
    assert warm.history[-1].objective == pytest.approx(cold.history[-1].objective, rel=1e-3)


def test_genres_place_items_that_nobody_rated(small_data):
    data = Dataset.open(small_data)
    model = dataclasses.replace(CONFIG, item_prior="genre").fit(data)
    d = CONFIG.n_factors + 1
    rows = model.rows_of_new_items(model.items.iloc[:3])
    shares = np.array(
        [
            [name in genres.split("|") for name in model.feature_names]
            for genres in model.items["genres"].iloc[:3]
        ],
        float,
    )
    shares /= shares.sum(axis=1, keepdims=True)
    for s in range(len(model.samples)):
        wanted = shares @ model.samples.weights["items"][s]
        place = 2 + s * (d - 1)
        found = rows[:, place : place + d - 1] * np.sqrt(len(model.samples))
        np.testing.assert_allclose(found, wanted[:, 1:], rtol=1e-4, atol=1e-5)


def test_kept_draws_are_spread_evenly():
    config = Bayes(n_sweeps=100, burn_in=20, n_samples=4)
    assert config.sampled(4, 100) == [40, 60, 80, 100]
    assert config.sampled(4, 79) == [40, 60]
    assert Bayes(n_sweeps=100, burn_in=20).n_draws(10) == 80
    assert Bayes(n_factors=20, burn_in=30).n_draws(285_000) == 11  # 256 MiB
    assert Bayes(n_factors=200).n_draws(10**7) == 1
    assert Bayes().sampled(1, 180) == [180]


def test_without_an_end_draws_are_thinned_as_they_come():
    config = Bayes(n_sweeps=None, burn_in=20)
    assert config.sampled(4, 24) == [21, 22, 23, 24]
    assert config.sampled(4, 27) == [22, 24, 26]
    assert config.sampled(4, 36) == [24, 28, 32, 36]
    for most, sweep in itertools.product((1, 3, 4), range(21, 80)):
        assert most / 2 <= len(config.sampled(most, sweep)) <= most or sweep - 20 < most


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"burn_in": 180}, "n_sweeps must be more than the burn-in of 180"),
        ({"burn_in": -1}, "burn_in must be a whole number from 0 up, not -1"),
        ({"n_samples": 161}, "n_samples must be 1 to the 160"),
        ({"n_sweeps": None, "max_sweeps": 20}, "max_sweeps must be more than the burn-in of"),
        ({"max_rhat": 1.0}, "max_rhat must be a number above 1"),
        ({"n_factors": 300}, "n_factors must be a whole number from 0 to 256, not 300"),
        ({"item_prior": "sum"}, "item_prior must be zero or genre or features"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_parameters(change, word):
    with pytest.raises(InputError, match=word):
        Bayes(**change)


def test_a_plain_model_knows_no_deviations(ratings):
    model = ALS(n_factors=1, n_sweeps=1).fit(ratings)
    assert not model.can(Ability.DEVIATIONS)
    with pytest.raises(InputError, match="tells how far off"):
        model.predict_std(np.zeros(1, np.int32), np.zeros(1, np.int32))


@pytest.mark.movielens
@pytest.mark.parametrize("item_prior", ["zero", "genre"])
def test_published_figures(item_prior, movielens_small):
    config = Bayes(n_factors=10, item_prior=item_prior, burn_in=30, start_sweeps=0)
    model = config.fit(movielens_small)
    assert model.history[-1].test_rmse < 0.832
    assert evaluate(model, movielens_small).clipped.rmse()[0] < 0.832
    covered = measure_calibration(model, movielens_small).set_index(["users", "interval"])
    assert 0.93 < covered["covered"]["all", 0.95] < 0.97
