"""Ranking metrics against plain Python."""

import copy
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from mfdask.errors import InputError
from mfdask.evaluation import RankingPlan, measure_ranking, ranking, scorer_of
from mfdask.evaluation.list_metrics import OF_LISTS, OF_RANKS, gini
from mfdask.evaluation.negatives import draw_negatives
from mfdask.evaluation.ranking import best_items
from mfdask.models import ALS
from mfdask.models.item_item import ItemKNN
from mfdask.models.popularity import Popularity
from mfdask.shards import Dataset
from tests.evaluation.data import frame, held_out, random_data

ALL = [*OF_RANKS, *OF_LISTS, "auc"]


@pytest.fixture(scope="module")
def data():
    return random_data()


@pytest.fixture(scope="module")
def model(data):
    return ALS(n_factors=3, n_sweeps=3, fidelity=0.2).fit(data)


def histories(data, part):
    """Return {user: {item: rating}} of a part."""
    found = {}
    for user, item, rating in frame(data, part).itertuples(index=False):
        found.setdefault(user, {})[item] = float(rating)
    return found


def naive_tail(popular):
    """Return the items outside those that are rated most and have 80 % of the ratings."""
    order, had = sorted(range(len(popular)), key=lambda i: (-popular[i], i)), 0
    tail = set()
    for item in order:
        if had >= 0.8 * sum(popular):
            tail.add(item)
        had += popular[item]
    return tail


def naive_ranking(data, score, k, threshold):
    """Return per-user metrics, exposure, and users without relevant items, item by item.

    `score` takes a user's row and an item's.
    """
    train, test = histories(data, "train"), histories(data, "test")
    popular = data.items()["n_train"].tolist()
    tail = naive_tail(popular)
    found, exposure, without = {}, np.zeros(data.n_items, int), 0
    for user, rated in sorted(test.items()):
        relevant = {item: r for item, r in rated.items() if r >= threshold}
        if not relevant:
            without += 1
            continue
        candidates = [i for i in range(data.n_items) if i not in train.get(user, {})]
        order = sorted(candidates, key=lambda i, u=user: (-score(u, i), i))
        best = order[:k]
        exposure[best] += 1
        hits = [item in relevant for item in best]
        dcg = sum(
            (2 ** relevant.get(item, 0) - 1) / math.log2(place + 2)
            for place, item in enumerate(best)
        )
        ideal = sum(
            (2**r - 1) / math.log2(place + 2)
            for place, r in enumerate(sorted(relevant.values(), reverse=True)[:k])
        )
        precisions = [sum(hits[: p + 1]) / (p + 1) for p in range(len(best)) if hits[p]]
        bits = [-math.log2(max(popular[item], 1) / data.n_users) for item in best]
        pairs = [
            (score(user, i) > score(user, j)) + (score(user, i) == score(user, j)) / 2
            for i in relevant
            for j in candidates
            if j not in relevant
        ]
        found[user] = [
            float(any(hits)),
            sum(hits) / k,
            sum(hits) / len(relevant),
            dcg / ideal,
            sum(precisions) / min(len(relevant), k),
            1 / (hits.index(True) + 1) if any(hits) else 0.0,
            sum(bits) / len(bits),
            sum(item in tail for item in best) / len(best),
            sum(pairs) / len(pairs),
        ]
    return found, exposure, without


def assert_is(found, wanted):
    values, exposure, without = wanted
    assert found.users.tolist() == list(values)
    np.testing.assert_allclose(found.values, list(values.values()))
    assert found.exposure.tolist() == [exposure.tolist()]
    assert found.n_without == without


def scorer(model, data):
    return scorer_of(model.align(data), data)


def popularity_scorer(data):
    return scorer(Popularity().fit(data), data)


@pytest.mark.parametrize(("k", "threshold"), [(1, 4.0), (5, 4.0), (5, 2.5), (25, 5.0)])
def test_a_model_is_ranked_as_item_by_item(data, model, k, threshold):
    found = measure_ranking(model.align(data).scores, data, RankingPlan(k, threshold))
    users, items = data.users()["user_id"], data.items()["item_id"]
    table = model.predict(
        np.repeat(users, data.n_items), np.tile(items, data.n_users), clip=False
    ).reshape(data.n_users, data.n_items)
    wanted = naive_ranking(data, lambda u, i: table[u, i], k, threshold)
    assert_is(found, wanted)
    assert wanted[2] > 0
    means = dict(zip(ALL, np.mean(list(wanted[0].values()), axis=0), strict=True))
    apart = np.abs(np.subtract.outer(wanted[1], wanted[1])).mean()
    catalogue = {"coverage": (wanted[1] > 0).mean(), "gini": apart / (2 * wanted[1].mean())}
    assert found.means() == pytest.approx(means | catalogue)


def test_several_lengths_are_those_of_single_runs(data, model):
    several = measure_ranking(scorer(model, data), data, RankingPlan((7, 1, 25), 3.0)).figures()
    for k in (7, 1, 25):
        single = measure_ranking(scorer(model, data), data, RankingPlan(k, 3.0)).means()
        own = several[several["k"].isin([k]) | several["k"].isna()]
        assert dict(zip(own["metric"], own["value"], strict=True)) == pytest.approx(single)


def test_scikit_learn_finds_the_same(data):
    """Without equal scores, which it averages over."""
    random = np.random.default_rng(5)
    table = random.normal(size=(data.n_users, data.n_items)).astype(np.float32)
    k, n = 4, data.n_items
    found = measure_ranking(lambda rows: table[rows].copy(), data, RankingPlan((k, n), 3.0))
    values = pd.DataFrame(found.values, columns=pd.MultiIndex.from_tuples(found.plan.columns))
    train, test = histories(data, "train"), histories(data, "test")
    for place, user in enumerate(found.users.tolist()):
        own = values.iloc[place]
        left = [item for item in range(n) if item not in train.get(user, {})]
        ratings = np.array([test[user].get(item, 0.0) for item in left])
        relevant, scores = ratings >= 3, table[user, left]
        listed = scores >= np.sort(scores)[-k]
        gains = np.where(relevant, 2**ratings - 1, 0.0)
        assert own["ndcg", k] == pytest.approx(metrics.ndcg_score([gains], [scores], k=k))
        assert own["map", n] == pytest.approx(metrics.average_precision_score(relevant, scores))
        assert own["auc"].item() == pytest.approx(metrics.roc_auc_score(relevant, scores))
        assert own["precision", k] == pytest.approx(metrics.precision_score(relevant, listed))
        assert own["recall", k] == pytest.approx(metrics.recall_score(relevant, listed))
        first = np.where(scores == scores[relevant].max(), relevant, False)
        assert own["mrr", n] == pytest.approx(
            metrics.label_ranking_average_precision_score([first], [scores])
        )


def naive_sampled(data, table, n, k, threshold, seed):
    """Return HR, NDCG and AUC of each user: held-out items among `n` that they have not rated."""
    train, test = histories(data, "train"), histories(data, "test")
    found = {}
    for user in sorted(test):
        rated = {*train.get(user, {}), *test[user]}
        free = np.array([item for item in range(data.n_items) if item not in rated])
        held = [item for item, rating in sorted(test[user].items()) if rating >= threshold]
        if not held or len(free) < n:
            continue
        cases = []
        for item, others in zip(held, draw_negatives(free, n, len(held), seed, user), strict=True):
            assert len({*others}) == n
            assert not {*others} & rated
            own = table[user, item]
            rank = sum(table[user, j] > own or (table[user, j] == own and j < item) for j in others)
            wins = sum((table[user, j] < own) + (table[user, j] == own) / 2 for j in others)
            cases.append((rank < k, (rank < k) / math.log2(rank + 2), wins / n))
        found[user] = np.mean(cases, axis=0)
    return found


def test_sampled_negatives(data):
    table = np.random.default_rng(3).integers(0, 9, (data.n_users, data.n_items)).astype("f4")
    plan = RankingPlan(3, 3.0, negatives=15, seed=8)
    found = measure_ranking(lambda rows: table[rows].copy(), data, plan)
    wanted = naive_sampled(data, table, 15, 3, 3.0, 8)
    assert found.users.tolist() == list(wanted)
    assert found.n_crowded > 0
    names = [plan.columns.index(c) for c in (("hit_rate", 3), ("ndcg", 3), ("auc", None))]
    np.testing.assert_allclose(found.values[:, names], list(wanted.values()))
    assert "coverage" not in found.means()
    again = measure_ranking(lambda rows: table[rows].copy(), data, plan)
    np.testing.assert_array_equal(found.values, again.values)
    other = RankingPlan(3, 3.0, negatives=15, seed=9)
    other = measure_ranking(lambda rows: table[rows].copy(), data, other)
    assert (found.values != other.values).any()


def with_times(data):
    """Return the data with a time for each training rating, over some thirty years."""
    timed, random = copy.copy(data), np.random.default_rng(0)
    timed.manifest = replace(data.manifest, has_timestamps=True)
    shards = (data.shard("users", block) for block in range(data.n_blocks("users")))
    times = [random.integers(0, 10**9, shard.n_ratings) for shard in shards]
    timed.timestamps = lambda block: times[block]
    return timed


@pytest.mark.parametrize("timed", [False, True])
def test_users_without_training_ratings_are_ranked_by_popularity(timed, data):
    """Where a score is a personal one: by a half-life, if there are times; they are counted."""
    data = with_times(data) if timed else data
    plan = RankingPlan(5, 3.0)
    personal = measure_ranking(scorer(ItemKNN().fit(data), data), data, plan)
    popular, late = (
        measure_ranking(scorer(model.fit(data), data), data, plan)
        for model in (Popularity(), Popularity(half_life=730.0 if timed else None))
    )
    train = histories(data, "train")
    assert personal.users[personal.unseen].tolist() == [
        user for user in personal.users if user not in train
    ]
    assert personal.unseen.any()
    unseen = personal.unseen
    np.testing.assert_array_equal(personal.values[unseen], late.values[unseen])
    assert timed == (late.values[unseen] != popular.values[unseen]).any()
    assert (personal.values[~unseen] != popular.values[~unseen]).any()


@pytest.mark.parametrize("feedback", ["counts", "events"])
def test_without_ratings_all_that_was_held_out_is_relevant_alike(data, feedback):
    counts = copy.copy(data)
    counts.manifest = replace(data.manifest, feedback=feedback)
    found = measure_ranking(popularity_scorer(counts), counts, RankingPlan(5))
    ones = held_out(*(matrix_of(data, part) for part in ("train", "test")))
    popular = data.items()["n_train"]
    assert_is(found, naive_ranking(ones, lambda _, i: popular[i], 5, 1.0))
    assert found.n_without == 0
    assert RankingPlan(threshold=2.0).threshold_on(counts) == 2.0


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.5, 5, 4), (1, 10, 8), (1, 3, 2.4), (0, 1, 0.8), (-10, 10, 8), (-5, -1, -1.2), (-3, 0, 0)],
)
def test_what_is_relevant_by_default_follows_the_scale(data, low, high, wanted):
    scaled = copy.copy(data)
    scaled.manifest = replace(data.manifest, rating_min=low, rating_max=high)
    plan = RankingPlan()
    assert plan.threshold_on(scaled) == pytest.approx(wanted)
    assert plan.relevant_on(scaled) == f"{wanted:g} or more is relevant"
    plan.check(scaled)


def test_whatever_is_held_out_is_relevant_among_sampled_items(data):
    plan = RankingPlan(5, negatives=6)
    assert plan.relevant_on(data) == "every held-out item is relevant"
    found = measure_ranking(popularity_scorer(data), data, plan)
    assert found.n_without == 0
    asked = replace(plan, threshold=4.0)
    assert asked.relevant_on(data) == "4 or more is relevant"
    assert measure_ranking(popularity_scorer(data), data, asked).n_without > 0


def matrix_of(data, part):
    """Return a part as a matrix of ones."""
    lines = frame(data, part)
    shape = (data.n_users, data.n_items)
    ones = np.ones(len(lines))
    return scipy.sparse.csr_array((ones, (lines["user"], lines["item"])), shape=shape)


def test_popularity_puts_the_lower_row_first_among_equals(data):
    popular = data.items()["n_train"]
    assert popular.duplicated().any()
    found = measure_ranking(popularity_scorer(data), data, RankingPlan(5, 3.0))
    assert_is(found, naive_ranking(data, lambda _, i: popular[i], 5, 3.0))


def test_small_batches_change_nothing(data, monkeypatch):
    plan = RankingPlan(5, 3.0)
    at_once = measure_ranking(popularity_scorer(data), data, plan)
    monkeypatch.setattr(ranking, "_CELLS", 2 * data.n_items)
    reported = []
    found = measure_ranking(
        popularity_scorer(data), data, plan, lambda _, done, total, note="": reported.append(done)
    )
    np.testing.assert_array_equal(found.values, at_once.values)
    np.testing.assert_array_equal(found.exposure, at_once.exposure)
    assert len(reported) > 2
    assert reported[-1] == len(found.users)


def test_perfect_order_is_worth_one(data):
    truth = np.zeros((data.n_users, data.n_items), np.float32)
    test = frame(data, "test")
    truth[test["user"], test["item"]] = test["rating"]
    found = measure_ranking(lambda rows: truth[rows].copy(), data, RankingPlan(10, 4.0)).means()
    assert found["ndcg"] == pytest.approx(1)
    assert found["map"] == pytest.approx(1)
    assert found["recall"] == pytest.approx(1)


def test_a_sample_holds_users_of_the_whole(data):
    everyone = measure_ranking(popularity_scorer(data), data, RankingPlan())
    some = measure_ranking(popularity_scorer(data), data, RankingPlan(n_users=7, seed=1))
    places = np.searchsorted(everyone.users, some.users)
    assert len(set(some.users)) == 7
    np.testing.assert_array_equal(everyone.users[places], some.users)
    np.testing.assert_array_equal(everyone.values[places], some.values)
    assert some.n_without == everyone.n_without
    again = measure_ranking(popularity_scorer(data), data, RankingPlan(n_users=7, seed=2))
    assert set(again.users) != set(some.users)
    too_many = measure_ranking(popularity_scorer(data), data, RankingPlan(n_users=10**6))
    np.testing.assert_array_equal(too_many.users, everyone.users)


def test_a_model_of_other_data_ranks_by_raw_ids(data):
    """Of a model that knows nobody's id, only zero scores are left: the order of the rows."""
    few = Dataset.from_csr(scipy.sparse.diags_array([3.0, 3, 3, 3, 3, 2]))
    stranger = ALS(n_factors=2, n_sweeps=2).fit(few)
    found = measure_ranking(stranger.align(data).scores, data, RankingPlan(5, 3.0))
    assert_is(found, naive_ranking(data, lambda *_: 0.0, 5, 3.0))


def test_unknown_users_get_the_item_biases(data, model):
    larger = held_out(
        scipy.sparse.csr_array(np.full((35, 25), 2.0) * (np.arange(25) < 3)),
        scipy.sparse.csr_array(np.full((35, 25), 5.0)),
    )
    scores = model.align(larger).scores(np.arange(30, 35))
    np.testing.assert_allclose(scores, np.tile(model.item_bias, (5, 1)), rtol=1e-6)


few_values = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])


@given(arrays(np.float32, (2, 50), elements=few_values), st.integers(1, 50))
def test_top_items_are_those_of_a_stable_sort(scores, k):
    for own, found in zip(scores, best_items(scores, k), strict=True):
        order = sorted(range(50), key=lambda i, own=own: (-own[i], i))
        wanted = [i for i in order if own[i] > -np.inf][:k]
        assert found.tolist() == wanted + [-1] * (k - len(wanted))


def test_the_gini_coefficient():
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"k": 0}, "k must be a whole number from 1 up, not 0"),
        ({"k": 26}, "k must be 25 or less, the items of tiny, not 26"),
        ({"k": (5, 5)}, "k must be different numbers"),
        ({"k": (5, 26)}, "k must be 25 or less"),
        ({"negatives": 25}, "negatives must be less than the 25 items of tiny, not 25"),
        ({"negatives": 24, "k": 5}, "nobody has 24 items left that they have not rated"),
        ({"negatives": 4, "k": 6}, "k must be 5 or less, with the negatives, not 6"),
        ({"negatives": 0}, "negatives must be a whole number from 1 up, not 0"),
        ({"threshold": 5.5}, r"threshold must be 5 or less, the largest rating of tiny, not 5\.5"),
        ({"threshold": math.nan}, "threshold must be a number, not nan"),
        ({"n_users": 0}, "n_users must be a whole number from 1 up, not 0"),
        ({"seed": -1}, "seed must be a whole number from 0 up, not -1"),
    ],
)
def test_bad_plans_are_refused(data, plan, message):
    with pytest.raises(InputError, match=message):
        measure_ranking(popularity_scorer(data), data, RankingPlan(**plan))


def test_nothing_held_out_is_said():
    plain = Dataset.from_csr(scipy.sparse.eye_array(20) * 5.0)
    with pytest.raises(InputError, match="no test ratings; ingest it with split"):
        measure_ranking(popularity_scorer(plain), plain, RankingPlan())


def test_scores_that_are_no_numbers_are_refused(data):
    with pytest.raises(InputError, match="some scores are not numbers"):
        measure_ranking(lambda r: np.full((len(r), 25), np.nan, "f4"), data, RankingPlan())


def test_one_user_with_one_item_left():
    """Every candidate is relevant: there is no AUC, and it is not told as 0."""
    one = held_out(scipy.sparse.csr_array([[3.0, 0.0]]), scipy.sparse.csr_array([[0.0, 5.0]]))
    found = measure_ranking(lambda _: np.zeros((1, 2), "f4"), one, RankingPlan(2))
    assert math.isnan(found.means()["auc"])
    assert found.means()["recall"] == 1


def test_nothing_relevant_is_said():
    poor = held_out(scipy.sparse.eye_array(12) * 5.0, scipy.sparse.eye_array(12, k=1) * 3.0)
    with pytest.raises(InputError, match="no test rating reaches the threshold 4; lower it"):
        measure_ranking(popularity_scorer(poor), poor, RankingPlan())
