"""New users, and the reasons for what they are offered."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse

from mfdask.errors import InputError
from mfdask.models import ALS, IALS
from mfdask.models.half_step import half_step
from mfdask.recommendation import History, Ranking, explain, fold_in, recommend_new
from mfdask.shards import Dataset

LOOSE = Ranking(top=6, min_ratings=0, bias_weight=0.3)


def own_history(model, data, row):
    """Return the training ratings of a user row by raw item id."""
    block = int(np.searchsorted(data.bounds("users"), row, side="right")) - 1
    shard = data.shard("users", block)
    own = slice(*shard.indptr[row - shard.start : row - shard.start + 2])
    ids = model.items["item_id"].to_numpy()[shard.indices[own]]
    return dict(zip(ids.tolist(), shard.ratings[own].tolist(), strict=True))


@pytest.mark.parametrize("scaling", [0.0, 0.7])
def test_a_training_user_gets_the_row_that_training_gives(scaling, data):
    """The trained user rows face the items as they were before their last half-step."""
    config = ALS(n_factors=5, n_sweeps=3, reg_scaling=scaling)
    model = config.fit(data)
    own = model.estimator
    rule, prior = own.update_config(data.mean), own.prior("users")
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block)
        before = model.user_rows[shard.start : shard.stop]
        again = half_step(shard, model.item_rows, before, rule, prior)
        for row in range(0, shard.n_rows, 17):
            history = History.of(model, own_history(model, data, shard.start + row))
            np.testing.assert_allclose(
                fold_in(model, history)[0], again.rows[row], rtol=2e-4, atol=2e-5
            )


def test_after_convergence_it_is_the_trained_row(data):
    model = ALS(n_factors=1, n_sweeps=400, factor_reg=0.2, bias_reg=0.2).fit(data)
    for row in (0, 111, 299):
        history = History.of(model, own_history(model, data, row))
        np.testing.assert_allclose(fold_in(model, history)[0], model.user_rows[row], atol=2e-3)


def test_the_list_of_a_new_person(model):
    ids = model.items["item_id"].tolist()
    ratings = {ids[9]: 5.0, ids[2]: 1.0, ids[40]: 4.5}
    history = History.of(model, ratings)
    row = fold_in(model, history)[0]
    scores = (
        model.mean
        + row[0]
        + 0.3 * model.item_bias
        + model.item_factors @ row[2 : 2 + model.n_factors]
    )
    scores[history.items] = -np.inf
    found = recommend_new(model, history, LOOSE)
    order = np.argsort(-scores, kind="stable")[:6]
    assert found["item_id"].tolist() == model.items["item_id"][order].tolist()
    np.testing.assert_allclose(found["score"], scores[order], rtol=1e-5)
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("scaling", [0.0, 0.7])
def test_reasons_add_up_to_the_score(scaling, data):
    model = ALS(n_factors=5, n_sweeps=3, reg_scaling=scaling).fit(data)
    history = History.of(model, own_history(model, data, 7))
    found = recommend_new(model, history, LOOSE)
    why = explain(model, history, found["item_id"], LOOSE)
    np.testing.assert_allclose(why.items["score"], found["score"], rtol=1e-4)
    sums = why.rated.groupby("item_id", sort=False)["part"].sum().to_numpy()
    total = why.mean + why.user_bias + why.items["item"] + sums
    np.testing.assert_allclose(total, found["score"], rtol=1e-4)
    assert why.user_bias == pytest.approx(fold_in(model, history)[0, 0], rel=1e-3)
    assert not len(why.genres)


def test_a_rating_alone_is_its_own_reason(model):
    ids = model.items["item_id"].tolist()
    both = explain(model, History.of(model, {ids[3]: 5.0, ids[8]: 1.0}), ids[20:21])
    more = explain(model, History.of(model, {ids[3]: 5.0, ids[8]: 2.0}), ids[20:21])
    assert more.rated["part"][0] == both.rated["part"][0]
    assert more.rated["part"][1] != both.rated["part"][1]


def test_genres_add_up_for_an_item_that_nobody_has_rated(genre_model):
    items = genre_model.items.copy()
    items.loc[4, "n_train"] = 0
    rows = genre_model.item_rows.copy()
    rows[4] = genre_model.rows_of_new_items(items[4:5])[0]
    cold = dataclasses.replace(genre_model, items=items, item_rows=rows)
    ids = items["item_id"].tolist()
    history = History.of(cold, {ids[0]: 5.0, ids[1]: 2.0})
    why = explain(cold, history, [ids[4], ids[5]], LOOSE)
    assert set(why.genres["genre"]) == set(items["genres"][4].split("|"))
    assert set(why.genres["item_id"]) == {ids[4]}
    total = why.mean + why.user_bias + why.genres["part"].sum()
    assert total == pytest.approx(why.items["score"][0], rel=1e-4)


@pytest.mark.parametrize(
    ("ratings", "words"),
    [
        ({}, "empty history"),
        ({-1: 3.0}, "item -1: not among the items"),
        ({1: 5.5}, "ratings here go from 0.5 to 5"),
        ({1: float("nan")}, "ratings here go from"),
    ],
)
def test_bad_histories(ratings, words, model):
    with pytest.raises(InputError, match=words):
        History.of(model, ratings)


def test_a_count_may_be_larger_than_all_before():
    plays = sparse.csr_matrix(np.array([[3.0, 1.0], [2.0, 5.0]]))
    config = IALS(n_factors=2, n_sweeps=1, weighting="log")
    model = config.fit(Dataset.from_csr(plays, feedback="counts"))
    assert History.of(model, {0: 400.0}).ratings.tolist() == [400.0]
    for count in (0.5, float("inf")):
        with pytest.raises(InputError, match=f"rated {count:g}: ratings here go from 1 up"):
            History.of(model, {0: count})
