"""Implicit-feedback ALS against the float64 oracle, and what its models can do."""

import copy
import dataclasses

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mfdask.bench.kernel import numba_threads
from mfdask.errors import InputError
from mfdask.models import IALS, Ability, load_model, save_model
from mfdask.models.design import initial_rows
from mfdask.models.sampling import draw_pairs, join_shards
from mfdask.recommendation import Ranking, explain, recommend, recommend_new
from mfdask.recommendation.fold_in import History, fold_in
from mfdask.shards import Dataset
from tests.models.test_checkpoint import break_off
from tests.naive import NaiveIALS

CONFIGS = {
    "all": IALS(n_factors=3, n_sweeps=3, unrated_weight=0.1),
    "liked": IALS(n_factors=4, n_sweeps=2, liked=4.0, unrated_weight=0.3),
    "by rating": IALS(n_factors=5, n_sweeps=2, weighting="rating", weight=2.5),
    "by log": IALS(n_factors=3, n_sweeps=2, weighting="log", liked=3.0, reg_scaling=0.5),
    "unscaled": IALS(n_factors=6, n_sweeps=2, reg_scaling=0.0, factor_reg=2.0),
    "wide": IALS(n_factors=37, n_sweeps=1),
}
CONFIG = CONFIGS["by log"]


def weights_of(config, matrix):
    """Return what each pair weighs, (users, items)."""
    stars = matrix.toarray().astype(float)
    grown = {"one": 0 * stars, "rating": stars, "log": np.log1p(stars)}[config.weighting]
    observed = stars >= (1e-9 if config.liked is None else config.liked)
    return np.where(observed, 1 + config.weight * grown, 0)


def factors(rows, k):
    return rows[:, 2 : k + 2].astype(float)


def naive(config, matrix):
    config, k = config.resolved(Dataset.from_csr(matrix)), config.n_factors
    first = [
        factors(initial_rows(n, k, config.init_scale, config.seed, side), k)
        for side, n in zip(("users", "items"), matrix.shape, strict=True)
    ]
    return NaiveIALS(weights_of(config, matrix), *first, config)


@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle(name, ratings):
    config = CONFIGS[name]
    model, oracle = config.fit(ratings), naive(config, ratings)
    for sweep in model.history:
        oracle.half_step("users")
        oracle.half_step("items")
        assert sweep.objective == pytest.approx(oracle.objective(), rel=1e-5)
    np.testing.assert_allclose(model.user_factors, oracle.rows["users"], atol=1e-4)
    np.testing.assert_allclose(model.item_factors, oracle.rows["items"], atol=1e-4)
    assert not model.user_bias.any()
    assert not model.item_bias.any()
    oracle.rows = {"users": factors(model.user_rows, config.n_factors),
                   "items": factors(model.item_rows, config.n_factors)}  # fmt: skip
    assert model.history[-1].objective == pytest.approx(oracle.objective(), rel=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_gradient_of_a_solved_row_is_zero(name, ratings):
    config = CONFIGS[name]
    model, oracle = config.fit(ratings), naive(config, ratings)
    for side, rows in (("users", model.user_rows), ("items", model.item_rows)):
        oracle.rows[side] = factors(rows, config.n_factors)
    for row in (0, 7, 29):  # items are what was solved last
        before = oracle.rows["items"][row].copy()
        gradient, step = np.zeros(config.n_factors), 1e-4
        for k in range(config.n_factors):
            ends = []
            for sign in (1, -1):
                oracle.rows["items"][row] = before
                oracle.rows["items"][row, k] += sign * step
                ends.append(oracle.objective())
            gradient[k] = (ends[0] - ends[1]) / (2 * step)
        oracle.rows["items"][row] = before
        assert np.abs(gradient).max() < 1e-4 * oracle.objective()


def test_the_regularisation_follows_the_size(ratings, small_data):
    data = copy.copy(Dataset.open(small_data))
    found = {}
    for n in (10_000, 343_000, 1_000_000, 10_000_000):
        counts = dataclasses.replace(data.manifest.counts, train=n)
        data.manifest = dataclasses.replace(data.manifest, counts=counts)
        found[n] = IALS().resolved(data).factor_reg
    assert list(found.values()) == pytest.approx([0.01, 0.01, 0.007, 0.00325], rel=1e-3)
    assert IALS(factor_reg=0.02).resolved(data).factor_reg == 0.02
    model = IALS(n_factors=2, n_sweeps=1).fit(ratings)
    assert model.parameters["factor_reg"] == 0.01


def test_objective_falls(ratings):
    model = IALS(n_factors=8).fit(ratings)
    values = [sweep.objective for sweep in model.history]
    assert values == sorted(values, reverse=True)
    assert {(s.train_rmse, s.test_rmse) for s in model.history} == {(None, None)}


def test_the_auc_of_held_out_pairs(small_data, client):
    """It is that of a sweep's own scores, in one process and on two workers."""
    config = dataclasses.replace(CONFIG, n_sweeps=3, recency_gain=0.0)
    data = Dataset.open(small_data)
    model = config.fit(data)
    parts = [
        join_shards([data.shard("users", b, part) for b in range(data.n_blocks("users"))])
        for part in ("train", "test")
    ]
    pairs = draw_pairs(config.liked, config.seed, *parts, data.n_items)
    liked = parts[1].ratings >= config.liked
    assert 0 < len(pairs.users) <= liked.sum()
    for user, one, other in zip(*pairs, strict=True):
        own = [block.indices[slice(*block.indptr[user : user + 2])] for block in parts]
        assert one in own[1]
        assert other not in np.concatenate(own)
    gaps = model.predict_rows(pairs.users, pairs.liked) - model.predict_rows(
        pairs.users, pairs.others
    )
    assert model.history[-1].test_auc == pytest.approx(np.mean(gaps > 0) + np.mean(gaps == 0) / 2)
    assert model.history[-1].note().startswith("AUC test 0.")
    for mode in ("whole", "needed"):
        spread = config.fit(data, client=client, exchange=mode)
        assert [s.test_auc for s in spread.history] == [s.test_auc for s in model.history]


def test_rows_without_observations_are_zero(ratings):
    model = CONFIG.fit(ratings)
    assert not model.user_factors[7].any()
    assert not model.item_factors[11].any()
    assert model.predict([7, 0], [0, 11]).tolist() == [0.0, 0.0]


def test_weights_of_one_are_no_weights(ratings):
    same = ratings.copy()
    same.data[:] = 1
    one = IALS(n_factors=3, n_sweeps=2).fit(ratings)
    counts = IALS(n_factors=3, n_sweeps=2, weighting="rating", weight=1e-12).fit(same)
    np.testing.assert_array_equal(one.item_rows, counts.item_rows)


@pytest.mark.parametrize(
    ("config", "change", "words"),
    [
        (IALS(liked=6.0), 0, "liked must be 5 or less"),
        (IALS(), -2, "-1.5 to 3, and below 0 none is a preference or a count"),
        (IALS(liked=-1.0, weighting="rating"), -2, "below 0 none is"),
    ],
)
def test_refuses_what_cannot_be_learned_from(config, change, words, ratings):
    shifted = ratings.copy()
    shifted.data += change
    with pytest.raises(InputError, match=words):
        config.fit(shifted)


def test_negative_values_may_be_left_out(ratings):
    shifted = ratings.copy()
    shifted.data -= 2
    assert IALS(n_factors=2, n_sweeps=1, liked=0.0, weighting="log").fit(shifted).history


def test_nothing_liked_in_the_training_part(ratings, monkeypatch):
    monkeypatch.setattr(Dataset, "rating_max", 6.0)  # that of a held-out rating
    with pytest.raises(InputError, match=r"no training rating is liked, which is 5\.5"):
        IALS(n_factors=2, n_sweeps=1, liked=5.5).fit(ratings)


def test_a_model_is_the_same_from_its_folder(ratings, tmp_path):
    model = CONFIG.fit(ratings)
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.estimator == model.estimator
    assert again.history == model.history
    np.testing.assert_array_equal(again.user_rows, model.user_rows)
    assert not again.can(Ability.RATINGS)
    assert "preference" in model.score


@pytest.mark.parametrize("sweep", [1, 2])
def test_resumes_bit_for_bit(sweep, small_data, tmp_path):
    data, config = Dataset.open(small_data), dataclasses.replace(CONFIG, n_sweeps=4)
    break_off(config, data, tmp_path / "c", sweep, every=1)
    resumed, whole = config.fit(data, checkpoint=tmp_path / "c", resume=True), config.fit(data)
    for side in ("users", "items"):
        np.testing.assert_array_equal(resumed.rows(side), whole.rows(side))


@pytest.mark.parametrize(("gain", "apart"), [(0.0, 0.0), (9.0, 1e-6)])
def test_goes_on_from_a_model(gain, apart, small_data, tmp_path):
    """A row moves to its solution from where it was, which tells by rounding where users move."""
    data, config = Dataset.open(small_data), dataclasses.replace(CONFIG, recency_gain=gain)
    longer = dataclasses.replace(config, n_sweeps=3).fit(data)
    save_model(dataclasses.replace(config, n_sweeps=2).fit(data), tmp_path / "m")
    warm = dataclasses.replace(config, n_sweeps=1).fit(data, start=tmp_path / "m")
    np.testing.assert_allclose(warm.item_rows, longer.item_rows, rtol=0, atol=apart)


@pytest.mark.parametrize("mode", ["whole", "needed"])
def test_two_workers_make_the_model_of_one_process(mode, small_data, client):
    data = Dataset.open(small_data)
    alone, spread = CONFIG.fit(data), CONFIG.fit(data, client=client, exchange=mode)
    np.testing.assert_array_equal(alone.user_rows, spread.user_rows)
    np.testing.assert_array_equal(alone.item_rows, spread.item_rows)
    assert [s.objective for s in alone.history] == [s.objective for s in spread.history]


def test_threads_change_nothing(small_data):
    data, rows = Dataset.open(small_data), []
    config = IALS(n_factors=70, n_sweeps=2)
    for threads in (1, 2):
        with numba_threads(threads), threadpool_limits(threads, "blas"):
            rows.append(config.fit(data).item_rows)
    np.testing.assert_array_equal(*rows)


@pytest.fixture
def fitted(small_data):
    data = Dataset.open(small_data)
    config = IALS(n_factors=2, n_sweeps=80, liked=3.5, weighting="rating", unrated_weight=1.0)
    return config.fit(data), data


def test_fold_in_is_the_last_row(fitted):
    model, data = fitted
    for row in (0, 9, 20):
        folded = fold_in(model, History.of_user(data, row))[0]
        np.testing.assert_allclose(folded, model.user_rows[row], atol=1e-5)


def test_the_newest_ratings_weigh_more_in_the_last_rows(small_data):
    data = Dataset.open(small_data)
    config = IALS(n_factors=3, n_sweeps=2, factor_reg=0.02, recency_gain=4.0, recency_span=2.0)
    model, plain = config.fit(data), dataclasses.replace(config, recency_gain=0.0).fit(data)
    np.testing.assert_array_equal(model.item_rows, plain.item_rows)
    assert model.history[-1].objective == plain.history[-1].objective
    fixed, a0 = factors(model.item_rows, 3), config.unrated_weight
    for row in (0, 9, 20):
        history = History.of_user(data, row)
        newer = (history.times[None] > history.times[:, None]).sum(axis=1)
        assert 0 < newer.max() < len(newer)
        c, own = 1 + 4 * 0.5 ** (newer / 2), fixed[history.items]
        strength = 0.02 * (len(own) + a0 * len(fixed))
        system = (own.T * c) @ own + a0 * fixed.T @ fixed + strength * np.eye(3)
        wanted = np.linalg.solve(system, own.T @ c)
        np.testing.assert_allclose(model.user_factors[row], wanted, atol=1e-4)
        assert np.abs(plain.user_factors[row] - wanted).max() > 1e-3


def test_without_times_all_ratings_weigh_alike(ratings):
    plain = dataclasses.replace(CONFIG, recency_gain=0.0)
    np.testing.assert_array_equal(CONFIG.fit(ratings).user_rows, plain.fit(ratings).user_rows)


def test_reasons_add_up_and_low_ratings_give_none(fitted):
    model, data = fitted
    history = History.of_user(data, 3)
    lists = Ranking(min_ratings=0, top=4)
    found = recommend_new(model, history, lists)
    assert not set(found.index) & set(history.items)
    why = explain(model, history, found["item_id"], lists)
    sums = why.rated.groupby("item_id", sort=False)["part"].sum()
    np.testing.assert_allclose(sums, found["score"], rtol=1e-4)
    np.testing.assert_allclose(why.items["score"], found["score"], rtol=1e-4)
    assert (why.mean, why.user_bias) == (0, 0)
    parts = why.rated["part"].to_numpy().reshape(4, -1)
    np.testing.assert_array_equal((parts == 0).all(axis=0), history.ratings < 3.5)


def test_what_is_rated_low_is_left_out_of_lists_too(fitted):
    model, data = fitted
    lists = recommend(model, model.users["user_id"][:9], data, Ranking(min_ratings=0, top=20))
    rated = data.shard("users", 0)
    for row, user in enumerate(model.users["user_id"][:9]):
        own = model.items["item_id"].take(rated.indices[slice(*rated.indptr[row : row + 2])])
        assert not set(own) & set(lists.loc[lists["user_id"] == user, "item_id"])
