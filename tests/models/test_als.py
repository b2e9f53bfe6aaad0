"""ALS against the float64 oracle, and what must hold whatever the numbers are."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.models import ALS
from mfdask.models.design import initial_rows
from mfdask.models.half_step import half_step
from mfdask.shards import Dataset
from tests.models.conftest import random_ratings
from tests.naive import Naive

CONFIGS = {
    "joint": ALS(n_factors=3, n_sweeps=2, seed=1),
    "alternating": ALS(n_factors=3, n_sweeps=2, update="alternating"),
    "scaled": ALS(n_factors=4, n_sweeps=2, reg_scaling=0.7, fidelity=1.0),
    "damped": ALS(n_factors=2, n_sweeps=3, damping=0.5, centre=False),
    "relaxed": ALS(n_factors=2, n_sweeps=3, damping=1.5),
    "bias": ALS(n_factors=0, n_sweeps=3),
    "wide": ALS(n_factors=37, n_sweeps=1, fidelity=1.0),
}


def triples(matrix):
    found = matrix.tocoo()
    return found.coords[0], found.coords[1], found.data.astype(float)


def naive_fit(config, matrix, features=None):
    k, config = config.n_factors, config.resolved(Dataset.from_csr(matrix))
    users, items = (
        initial_rows(n, k, config.init_scale, config.seed, side)[:, [0, *range(2, k + 2)]]
        for side, n in zip(("users", "items"), matrix.shape, strict=True)
    )
    found = Naive(
        triples(matrix), *matrix.shape, users, items, config, matrix.data.mean(), features
    )
    for _ in range(config.n_sweeps):
        found.half_step("users")
        found.half_step("items")
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle(name, ratings):
    config = CONFIGS[name]
    model = config.fit(ratings)
    oracle = naive_fit(config, ratings)
    users, items = np.indices(ratings.shape).reshape(2, -1)
    np.testing.assert_allclose(
        model.predict(users, items, clip=False), oracle.predict(users, items), atol=2e-3
    )
    last = model.history[-1]
    assert last.objective == pytest.approx(oracle.objective(), rel=1e-3)
    rmse = np.sqrt(oracle.squared_error() / ratings.nnz)
    assert last.train_rmse == pytest.approx(rmse, rel=1e-4, abs=1e-3)


@given(
    n_users=st.integers(1, 12), n_items=st.integers(1, 12), k=st.integers(0, 9),
    density=st.floats(0.1, 1), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_any_shape_agrees_with_the_oracle(n_users, n_items, k, density, seed):
    matrix = random_ratings(n_users, n_items, density, seed)
    if len(np.unique(matrix.data)) < 2:  # nothing, or ratings that are all equal
        return
    config = ALS(n_factors=k, n_sweeps=2, fidelity=0.1, seed=seed)
    model, oracle = config.fit(matrix), naive_fit(config, matrix)
    users, items = np.indices(matrix.shape).reshape(2, -1)
    np.testing.assert_allclose(
        model.predict(users, items, clip=False), oracle.predict(users, items), atol=2e-3
    )


def test_the_objective_only_falls(ratings):
    history = ALS(n_factors=5, n_sweeps=15).fit(ratings).history
    values = np.array([sweep.objective for sweep in history])
    assert (np.diff(values) <= 1e-6 * values[0]).all()
    assert history[-1].train_rmse < history[0].train_rmse


@pytest.mark.parametrize("config", [ALS(n_sweeps=3), ALS(n_sweeps=3, n_factors=0)])
def test_empty_rows_get_their_prior(config, ratings):
    model = config.fit(ratings)
    assert not model.user_factors[7].any()
    assert model.user_bias[7] == 0
    assert not model.item_factors[11].any()
    assert model.item_bias[11] == 0


def test_recovers_a_checkerboard():
    odd = (np.add.outer(np.arange(30), np.arange(20)) % 2).astype(bool)
    full = np.where(odd, 5.0, 1.0)
    seen = np.random.default_rng(0).random(full.shape) < 0.5
    strong = ALS(n_factors=2, n_sweeps=30, fidelity=1.0, factor_reg=0.05)
    model = strong.fit(scipy.sparse.csr_array(full * seen))
    users, items = np.nonzero(~seen)
    np.testing.assert_allclose(model.predict(users, items), full[users, items], atol=0.2)


def test_both_updates_reach_the_same_optimum(ratings):
    ends = [
        ALS(n_factors=2, n_sweeps=200, update=update, fidelity=0.05).fit(ratings).history[-1]
        for update in ("joint", "alternating")
    ]
    assert ends[0].objective == pytest.approx(ends[1].objective, rel=1e-3)


def test_the_seed_decides(ratings):
    one, again, other = (ALS(n_sweeps=2, seed=seed).fit(ratings) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.user_rows, again.user_rows)
    np.testing.assert_array_equal(one.item_rows, again.item_rows)
    assert not np.array_equal(one.user_rows, other.user_rows)


def test_tolerance_ends_early(ratings):
    history = ALS(n_factors=2, n_sweeps=500, tolerance=1e-4).fit(ratings).history
    assert 2 < len(history) < 500
    falls = [1 - b.objective / a.objective for a, b in itertools.pairwise(history)]
    assert falls[-1] < 1e-4 <= min(falls[:-1])


@pytest.mark.parametrize("n_factors", [0, 1, 20, 256])
def test_few_ratings_and_many_factors(n_factors):
    config, matrix = ALS(n_factors=n_factors, n_sweeps=2), scipy.sparse.csr_array([[4.0, 2.0]])
    model, oracle = config.fit(matrix), naive_fit(config, matrix)
    np.testing.assert_allclose(
        model.predict([0, 0], [0, 1]), oracle.predict([0, 0], [0, 1]), atol=2e-3
    )


def test_equal_ratings_are_refused():
    with pytest.raises(InputError, match="all its ratings are 3"):
        ALS(n_sweeps=3).fit(scipy.sparse.csr_array(np.full((5, 6), 3.0)))


def test_equations_without_a_solution_name_the_row(ratings):
    config = ALS(n_factors=2, n_sweeps=1, factor_reg=0.0, bias_reg=0.0)
    with pytest.raises(InputError, match=r"users row 7 \(0 ratings\).*raise factor_reg"):
        config.fit(ratings)


@pytest.mark.parametrize("damping", [1.5, 1.9])
def test_beyond_its_solution_the_objective_falls_too(damping, ratings):
    history = ALS(n_factors=3, n_sweeps=12, damping=damping).fit(ratings).history
    objective = np.array([sweep.objective for sweep in history])
    assert (np.diff(objective) <= 1e-5 * objective[:-1]).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_factors", -1), ("n_factors", 257), ("n_sweeps", 0), ("fidelity", 0.0),
        ("fidelity", np.nan), ("factor_reg", -0.1), ("factor_reg", np.inf), ("bias_reg", -1.0),
        ("damping", 0.0), ("damping", 2.0), ("reg_scaling", 2.0), ("tolerance", np.nan),
        ("update", "both"), ("seed", -1),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(field, value):
    with pytest.raises(InputError, match=str(value)):
        dataclasses.replace(ALS(), **{field: value})


def test_unknown_ids_fall_back_and_say_so(ratings):
    model = ALS(n_sweeps=2).fit(ratings)
    found = model.predict_table([0, 0, 999, 999], [0, 999, 0, 999], clip=False)
    assert found["source"].tolist() == ["model", "user", "item", "mean"]
    wanted = [
        model.predict([0], [0], clip=False)[0],
        model.mean + model.user_bias[0],
        model.mean + model.item_bias[0],
        model.mean,
    ]
    np.testing.assert_allclose(found["prediction"], wanted, rtol=1e-5)


def test_predictions_are_clipped_to_the_scale(ratings):
    model = ALS(n_sweeps=5, fidelity=1.0).fit(ratings)
    users, items = np.indices(ratings.shape).reshape(2, -1)
    raw = model.predict(users, items, clip=False)
    assert raw.max() > ratings.data.max() or raw.min() < ratings.data.min()
    kept = model.predict(users, items)
    assert kept.max() <= ratings.data.max()
    assert kept.min() >= ratings.data.min()


def test_regularisation_is_by_the_width_of_the_scale_or_by_hand(ratings):
    names = ("factor_reg", "bias_reg", "reg_scaling")

    def used(**given):
        model = ALS(n_factors=3, n_sweeps=1, **given).fit(ratings)
        return [model.parameters[name] for name in names]

    width = float(ratings.data.max() - ratings.data.min())
    assert used() == pytest.approx([0.0025 * width, 0.005, 0.2])
    assert used(fidelity=0.1, item_factor_reg=1.0)[1:] == [0.005, 0.2]
    assert used(factor_reg=0.4) == [0.4, 0.015, 0.0]
    assert used(bias_reg=0.4) == [0.05, 0.4, 0.0]
    assert used(reg_scaling=1.0) == [0.05, 0.015, 1.0]
    assert used(factor_reg=0.4, reg_scaling=0.5) == [0.4, 0.015, 0.5]


def test_a_model_s_estimator_learns_the_same_model_again(ratings):
    model = ALS(n_factors=3, n_sweeps=2).fit(ratings)
    again = model.estimator.fit(ratings)
    np.testing.assert_array_equal(again.user_rows, model.user_rows)


def test_ratings_of_another_scale_are_learned_alike(ratings):
    """Factors are drawn alike at first, so that only after many sweeps the two agree."""
    config = ALS(n_factors=2, n_sweeps=60)
    plain, wide = config.fit(ratings), config.fit(ratings * 4)
    users, items = np.indices(ratings.shape).reshape(2, -1)
    found, other = (model.predict(users, items, clip=False) for model in (plain, wide))
    np.testing.assert_allclose(other, 4 * found, atol=0.02)


def test_a_dataset_in_memory_is_the_same_as_its_matrix(ratings):
    config = ALS(n_sweeps=2)
    whole, held = config.fit(ratings), config.fit(Dataset.from_csr(ratings))
    np.testing.assert_array_equal(whole.user_rows, held.user_rows)


def test_rows_that_do_not_fit_are_refused(ratings):
    shard = Dataset.from_csr(ratings).shard("users", 0)
    config = ALS(n_factors=3, **ALS.presets["large"])
    rule, prior = config.update_config(3.0), config.prior("users")
    users, items = (initial_rows(n, 3, 0.1, 1, "users") for n in ratings.shape)
    for current, fixed in ((users[1:], items), (users, items[:, :4])):
        with pytest.raises(ValueError, match="do not fit"):
            half_step(shard, fixed, current, rule, prior)
