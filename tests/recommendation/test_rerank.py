"""Lists of more variety, calibrated, or of more of the long tail, against choosing them slowly."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.evaluation.list_metrics import tail_of
from mfdask.kernels.rerank import MIXED, Criteria, choose_lists
from mfdask.kernels.topn import Rated
from mfdask.recommendation import History, Ranking, recommend, recommend_new
from mfdask.recommendation.rerank import genre_shares
from mfdask.recommendation.topn import rated_by

LOOSE = Ranking(top=6, min_ratings=0)


def divergence(wanted, listed):
    """Return the divergence of the genres of a list from those of a history, as Steck has it."""
    total = 0.0
    for share, own in zip(wanted, listed, strict=True):
        if share > 0:
            total += share * math.log(share / ((1 - MIXED) * own + MIXED * share))
    return total


def chosen(scores, items, rated, criteria, top):
    """Return one list as the docstring of the kernel says, in float64."""
    worth = {item: score for score, item in zip(scores, items, strict=True) if item >= 0}
    if not worth:
        return []
    low, span = min(worth.values()), max(worth.values()) - min(worth.values()) or 1
    vectors, shares = criteria.vectors.astype(float), criteria.shares.astype(float)
    known = shares[rated].sum(axis=0)
    wanted = known / (known.sum() or 1)
    found = []

    def value(item):
        likeness = max([0, *(vectors[item] @ vectors[other] for other in found)])
        listed = shares[[*found, item]].mean(axis=0)
        lost = criteria.variety * likeness + criteria.calibration * divergence(wanted, listed)
        return (worth[item] - low) / span - lost

    while worth and len(found) < top:
        missing = criteria.owed - sum(criteria.tail[item] for item in found)
        tail = criteria.tail
        free = [item for item in worth if missing < top - len(found) or tail[item]] or list(worth)
        found.append(max(free, key=value))
        del worth[found[-1]]
    return found


@pytest.mark.parametrize(
    ("variety", "calibration", "owed"),
    [(0, 0, 0), (0.7, 0, 0), (0, 0.4, 0), (0, 0, 2), (0.5, 0, 3), (0.5, 0.3, 5)],
)
def test_lists_are_chosen_one_by_one(variety, calibration, owed):
    random = np.random.default_rng(2)
    vectors = random.normal(size=(50, 3)).astype(np.float32)
    shares = np.ascontiguousarray(random.random((50, 4)) < 0.4, np.float32)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    assert (shares.sum(axis=1) == 0).any()
    tail = random.random(50) < 0.3
    scores = -np.sort(-random.normal(size=(20, 12)), axis=1).astype(np.float32)
    items = np.stack([random.permutation(50)[:12] for _ in range(20)]).astype(np.int32)
    items[3, 2:] = items[4, :] = -1
    items[:, 11], scores[:, 11] = items[:, 1], scores[:, 1]  # in both lists
    scores[items < 0] = -np.inf
    lengths = random.integers(1, 9, 20)
    lengths[5] = 0  # has rated nothing
    indptr = np.concatenate([[0], lengths.cumsum()])
    rated = Rated(indptr, random.integers(0, 50, lengths.sum()).astype(np.int32))
    criteria = Criteria(float(variety), vectors, float(calibration), shares, tail, owed)
    best, best_items = np.empty((20, 5), np.float32), np.empty((20, 5), np.int32)
    choose_lists(scores, items, rated, criteria, best, best_items)
    for user in range(20):
        history = rated.items[indptr[user] : indptr[user + 1]]
        wanted = chosen(scores[user].astype(float), items[user], history, criteria, 5)
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

    n_train = model.items["n_train"].to_numpy()
    rare = set(model.items["item_id"][tail_of(n_train)])
    assert 0.15 <= n_train[tail_of(n_train)].sum() / n_train.sum() <= 0.2
    plain, tail, variety = lists(), lists(tail=0.5), lists(variety=1.0)
    own = tail[tail["item_id"].isin(rare)].groupby("user_id").size()
    assert (own >= 3).all()
    assert len(own) == 50
    best = plain[plain["rank"] <= 3].merge(tail, on=["user_id", "item_id"])
    assert len(best) == 150
    genres = [own.groupby("user_id")["genres"].nunique().mean() for own in (plain, variety)]
    assert genres[1] > genres[0]
    assert _mean_divergence(model, data, lists(calibration=1.0)) < _mean_divergence(
        model, data, plain
    )
    full = lists(variety=1.0, bias_weight=1.0)
    scores = model.predict(full["user_id"], full["item_id"], clip=False)
    np.testing.assert_allclose(full["score"], scores, rtol=1e-5)


def _mean_divergence(model, data, lists):
    """Return how far lists are from the genres of what their users have rated, on average."""
    shares = genre_shares(model).astype(float)
    found = []
    for user, own in lists.groupby("user_id"):
        rated = rated_by(data, model.rows_of("users", [user])).items
        listed = model.rows_of("items", own["item_id"])
        wanted = shares[rated].sum(axis=0)
        found.append(divergence(wanted / wanted.sum(), shares[listed].mean(axis=0)))
    return np.mean(found)


def test_calibration_goes_by_what_was_rated(model, data):
    weighted = dataclasses.replace(LOOSE, calibration=0.5)
    with pytest.raises(InputError, match="holds lists against what users have rated"):
        recommend(model, model.users["user_id"][:2], None, weighted)
    bare = dataclasses.replace(model, items=model.items.assign(genres=""))
    with pytest.raises(InputError, match="no genres to hold a list against"):
        recommend(bare, model.users["user_id"][:2], data, weighted)
    history = History.of(model, {model.items["item_id"][0]: 5.0})
    plain, own = (recommend_new(model, history, ranking) for ranking in (LOOSE, weighted))
    genres = set(model.items["genres"][0].split("|"))
    alike = [sum(bool(genres & set(g.split("|"))) for g in t["genres"]) for t in (plain, own)]
    assert alike[1] > alike[0]


def test_a_new_person_and_items_without_genres(model):
    history = History.of(model, {model.items["item_id"][0]: 5.0})
    bare = dataclasses.replace(model, items=model.items.assign(genres=""))
    weights = dataclasses.replace(LOOSE, variety=0.5, tail=0.2)
    found = [recommend_new(own, history, weights)["item_id"].tolist() for own in (model, bare)]
    assert found[0] != found[1]
    assert all(len(own) == 6 for own in found)
    level = dataclasses.replace(bare, estimator=dataclasses.replace(model.estimator, n_factors=0))
    with pytest.raises(InputError, match="neither genres nor factors"):
        recommend_new(level, history, weights)


def test_short_catalogues(model, data):
    few = dataclasses.replace(LOOSE, allow=tuple(model.items["item_id"].iloc[[0, 1, -1]]))
    everyone = model.users["user_id"]
    found, plain = (
        recommend(model, everyone, data, own)
        for own in (dataclasses.replace(few, variety=0.5, tail=0.5), few)
    )
    order = ["user_id", "item_id"]
    own = [table.sort_values(order)[order].reset_index(drop=True) for table in (found, plain)]
    pd.testing.assert_frame_equal(*own)
    head = dataclasses.replace(few, tail=0.5, allow=few.allow[:2])
    with pytest.raises(InputError, match="items of the long tail may be offered"):
        recommend(model, everyone, data, head)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variety": -1}, "variety must be a number from 0 up, not -1"),
        ({"calibration": -1}, "calibration must be a number from 0 up, not -1"),
        ({"tail": 1.1}, "tail must be a number from 0 to 1, not 1.1"),
    ],
)
def test_bad_weights(options, words):
    with pytest.raises(InputError, match=words):
        Ranking(**options)
