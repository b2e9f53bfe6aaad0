"""Ranking metrics against plain Python."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mfdask.errors import InputError
from mfdask.evaluation import (
    RankingPlan,
    measure_ranking,
    popularity_scorer,
    ranking,
)
from mfdask.evaluation.ranking import METRICS, best_items, judge_lists
from mfdask.models import ALS
from mfdask.shards import Dataset
from tests.evaluation.data import frame, held_out, random_data


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


def naive_ranking(data, score, k, threshold):
    """Return per-user metrics, coverage, and users without relevant items, item by item.

    `score` takes a user's row and an item's.
    """
    train, test = histories(data, "train"), histories(data, "test")
    popular = data.items()["n_train"]
    found, listed, without = {}, set(), 0
    for user, rated in sorted(test.items()):
        relevant = {item: r for item, r in rated.items() if r >= threshold}
        if not relevant:
            without += 1
            continue
        candidates = [i for i in range(data.n_items) if i not in train.get(user, {})]
        best = sorted(candidates, key=lambda i, u=user: (-score(u, i), i))[:k]
        listed.update(best)
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
        found[user] = [
            sum(hits) / k,
            sum(hits) / len(relevant),
            dcg / ideal,
            sum(precisions) / min(len(relevant), k),
            sum(bits) / len(bits),
        ]
    return found, len(listed) / data.n_items, without


def assert_is(found, wanted):
    values, coverage, without = wanted
    assert found.users.tolist() == list(values)
    np.testing.assert_allclose(found.values, list(values.values()))
    assert found.coverage == pytest.approx(coverage)
    assert found.n_without == without


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
    means = np.mean(list(wanted[0].values()), axis=0)
    assert found.means() == pytest.approx(
        {**dict(zip(METRICS, means, strict=True)), "coverage": wanted[1]}
    )


@pytest.mark.parametrize("feedback", ["counts", "events"])
def test_without_ratings_all_that_was_held_out_is_relevant_alike(data, feedback):
    counts = copy.copy(data)
    counts.manifest = replace(data.manifest, feedback=feedback)
    found = measure_ranking(popularity_scorer(counts), counts, RankingPlan(5))
    ones = held_out(*(matrix_of(data, part) for part in ("train", "test")))
    popular = data.items()["n_train"]
    assert_is(found, naive_ranking(ones, lambda _, i: popular[i], 5, 1.0))
    assert found.n_without == 0
    assert RankingPlan().threshold_on(data) == 4.0
    assert RankingPlan(threshold=2.0).threshold_on(counts) == 2.0


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
    assert found.coverage == at_once.coverage
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
    stranger = ALS(n_factors=2, n_sweeps=2).fit(Dataset.from_csr(scipy.sparse.eye_array(6) * 3.0))
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


@given(st.randoms(use_true_random=False), st.integers(1, 8))
def test_metrics_stay_within_bounds_and_item_numbers_do_not_matter(random, k):
    gains = np.array([[random.choice([0.0, 15.0, 31.0]) for _ in range(9)] for _ in range(4)])
    gains[:, 0] = 15.0
    information = np.arange(9.0)
    lists = np.array([random.sample(range(9), k) for _ in range(4)])
    found = judge_lists(lists, gains, information)
    assert (found[:, :4] >= 0).all()
    assert (found[:, :4] <= 1 + 1e-12).all()
    renamed = np.array(random.sample(range(9), 9))
    moved = np.empty_like(gains), np.empty_like(information)
    moved[0][:, renamed], moved[1][renamed] = gains, information
    np.testing.assert_allclose(judge_lists(renamed[lists], *moved), found)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"k": 0}, "k must be a whole number from 1 up, not 0"),
        ({"k": 26}, "k must be 25 or less, the items of tiny, not 26"),
        ({"threshold": 5.5}, r"threshold must be 5 or less, the largest rating of tiny, not 5\.5"),
        ({"threshold": 0}, "threshold must be a number above 0, not 0"),
        ({"threshold": math.nan}, "threshold must be a number above 0, not nan"),
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


def test_nothing_relevant_is_said():
    poor = held_out(scipy.sparse.eye_array(12) * 5.0, scipy.sparse.eye_array(12, k=1) * 3.0)
    with pytest.raises(InputError, match="no test rating reaches the threshold 4; lower it"):
        measure_ranking(popularity_scorer(poor), poor, RankingPlan())
