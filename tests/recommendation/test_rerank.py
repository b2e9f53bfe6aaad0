"""Lists of more variety and of more of the long tail, against choosing them slowly."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.kernels.rerank import choose_lists
from mfdask.recommendation import History, Ranking, recommend, recommend_new

LOOSE = Ranking(top=6, min_ratings=0)


def chosen(scores, items, vectors, popularity, variety, tail, top):
    """Return one list as the docstring of the kernel says, in float64."""
    left = [item for item in items if item >= 0]
    if not left:
        return []
    span = (scores[0] - scores[len(left) - 1]) or 1
    worth = {
        item: (score - scores[len(left) - 1]) / span - tail * popularity[item]
        for score, item in zip(scores, left, strict=False)
    }
    found = []
    while left and len(found) < top:
        likeness = [max([0, *(vectors[item] @ vectors[other] for other in found)]) for item in left]
        values = [worth[item] - variety * like for item, like in zip(left, likeness, strict=True)]
        found.append(left.pop(int(np.argmax(values))))
    return found


@pytest.mark.parametrize(("variety", "tail"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.4), (0.5, 0.3)])
def test_lists_are_chosen_one_by_one(variety, tail):
    random = np.random.default_rng(2)
    vectors = random.normal(size=(50, 3)).astype(np.float32)
    popularity = random.random(50).astype(np.float32)
    scores = -np.sort(-random.normal(size=(20, 12)), axis=1).astype(np.float32)
    items = np.stack([random.permutation(50)[:12] for _ in range(20)]).astype(np.int32)
    items[3, 2:] = items[4, :] = -1
    scores[items < 0] = -np.inf
    best, best_items = np.empty((20, 5), np.float32), np.empty((20, 5), np.int32)
    choose_lists(scores, items, vectors, popularity, variety, tail, best, best_items)
    for user in range(20):
        own = (scores[user].astype(float), items[user], vectors.astype(float), popularity)
        wanted = chosen(*own, variety, tail, 5)
        assert best_items[user, : len(wanted)].tolist() == wanted
        assert (best_items[user, len(wanted) :] == -1).all()
        places = [items[user].tolist().index(item) for item in wanted]
        assert best[user, : len(wanted)].tolist() == scores[user, places].tolist()


def test_what_the_weights_do(model, data):
    def lists(**weights):
        ranking = dataclasses.replace(LOOSE, **weights)
        table = recommend(model, model.users["user_id"][:50], data, ranking)
        assert (table.groupby("user_id")["rank"].max() == 6).all()
        return table.merge(model.items[["item_id", "n_train"]], on="item_id")

    plain, tail, variety = lists(), lists(tail=1.0), lists(variety=1.0)
    assert tail["n_train"].mean() < 0.8 * plain["n_train"].mean()
    genres = [own.groupby("user_id")["genres"].nunique().mean() for own in (plain, variety)]
    assert genres[1] > genres[0]
    full = lists(variety=1.0, bias_weight=1.0)
    scores = model.predict(full["user_id"], full["item_id"], clip=False)
    np.testing.assert_allclose(full["score"], scores, rtol=1e-5)


def test_a_new_person_and_items_without_genres(model):
    history = History.of(model, {model.items["item_id"][0]: 5.0})
    bare = dataclasses.replace(model, items=model.items.assign(genres=""))
    weights = dataclasses.replace(LOOSE, variety=0.5)
    found = [recommend_new(own, history, weights)["item_id"].tolist() for own in (model, bare)]
    assert found[0] != found[1]
    assert all(len(own) == 6 for own in found)
    level = dataclasses.replace(bare, estimator=dataclasses.replace(model.estimator, n_factors=0))
    with pytest.raises(InputError, match="neither genres nor factors"):
        recommend_new(level, history, weights)


def test_short_catalogues(model, data):
    few = dataclasses.replace(LOOSE, variety=0.5, tail=0.5, allow=tuple(model.items["item_id"][:3]))
    everyone = model.users["user_id"]
    found, plain = (
        recommend(model, everyone, data, own)
        for own in (few, dataclasses.replace(few, variety=0, tail=0))
    )
    order = ["user_id", "item_id"]
    own = [table.sort_values(order)[order].reset_index(drop=True) for table in (found, plain)]
    pd.testing.assert_frame_equal(*own)


@pytest.mark.parametrize("name", ["variety", "tail"])
def test_bad_weights(name):
    with pytest.raises(InputError, match=f"{name} must be a number from 0 up, not -1"):
        Ranking(**{name: -1})
