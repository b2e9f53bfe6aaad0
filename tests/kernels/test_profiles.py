"""Sums over accounts, windows and sparse products against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from mfdask.downstream.anomalies.singular import leading_vectors
from mfdask.downstream.events import equal_cuts
from mfdask.kernels import profiles as kernel
from mfdask.kernels.sessions import describe_sessions
from mfdask.kernels.windows import count_values
from tests.downstream.movielens import make_events

N_ITEMS = 7


@pytest.fixture(scope="module")
def events():
    random = np.random.default_rng(0)
    pairs = random.choice(12 * N_ITEMS, 50, replace=False)
    users = np.append(pairs // N_ITEMS, 12)  # the last account has one rating
    items = np.append(pairs % N_ITEMS, 3)
    return make_events(users, items, random.integers(1, 11, 51) / 2, random.integers(0, 99, 51))


def test_cuts_are_of_about_equal_numbers():
    starts = np.append(0, np.cumsum([1, 90, 1, 1, 0, 300, 2, 2]))
    cuts = equal_cuts(starts)
    assert cuts[0] == 0
    assert cuts[-1] == 8
    assert (np.diff(cuts) >= 0).all()
    assert equal_cuts(np.zeros(4, np.int64)).tolist() == [0, 0, 0, 3]
    even = np.diff(equal_cuts(np.arange(6401)))
    assert even.tolist() == [100] * 64


def test_accounts_are_described_as_by_hand(events):
    random = np.random.default_rng(1)
    levels, popularity = random.normal(3, 1, N_ITEMS), random.random(N_ITEMS).astype(np.float32)
    counts, ends = np.bincount(events.items, minlength=N_ITEMS), np.float32([0.5, 5.0])
    residual = np.empty(len(events.items), np.float32)
    found = np.empty((len(events.indptr) - 1, kernel.COLUMNS))
    cuts = equal_cuts(events.indptr)
    given = events.indptr, events.items, events.ratings, levels, popularity, counts, ends
    kernel.describe_accounts(cuts, *given, residual, found)
    for row, (first, stop) in enumerate(zip(events.indptr, events.indptr[1:], strict=False)):
        items, stars = events.items[first:stop], events.ratings[first:stop]
        if not len(items):
            assert not found[row].any()
            continue
        away, known = stars - levels[items], popularity[items]
        wanted = [
            away.mean(), away.var(), stars.var(), np.mean(np.abs(away) / counts[items]),
            known.mean(), known.var(), np.mean(stars == 5.0), np.mean(stars == 0.5),
        ]  # fmt: skip
        assert found[row] == pytest.approx(wanted, abs=1e-5)
        assert residual[first:stop] == pytest.approx(away - away.mean(), abs=1e-5)


@pytest.mark.parametrize("weighed", [False, True])
def test_vectors_are_added_up(events, weighed):
    random = np.random.default_rng(2)
    vectors, lengths = random.normal(size=(N_ITEMS, 3)), random.random(N_ITEMS)
    weights = random.random(len(events.items) * weighed).astype(np.float32)
    found = np.empty((len(events.indptr) - 1, 4))
    given = events.indptr, events.items, weights, vectors, lengths
    kernel.add_vectors(equal_cuts(events.indptr), *given, found)
    values = weights if weighed else np.ones(len(events.items))
    shape = len(found), N_ITEMS
    matrix = scipy.sparse.csr_array((values, events.items, events.indptr), shape=shape).toarray()
    assert found[:, :3] == pytest.approx(matrix @ vectors, abs=1e-6)
    assert found[:, 3] == pytest.approx(matrix**2 @ lengths, abs=1e-6)


def test_the_first_of_each_order_is_found(events):
    random = np.random.default_rng(3)
    places = np.column_stack([random.permutation(N_ITEMS) for _ in range(5)]).astype(np.int32)
    found = np.empty((len(events.indptr) - 1, 5), np.int32)
    cuts = equal_cuts(events.indptr)
    kernel.first_places(cuts, events.indptr, events.items, places, found)
    for row, (first, stop) in enumerate(zip(events.indptr, events.indptr[1:], strict=False)):
        own = places[events.items[first:stop]]
        none = np.iinfo(np.int32).max
        assert found[row].tolist() == own.min(axis=0, initial=none).tolist()


def test_sessions_are_described_as_by_hand(events):
    random = np.random.default_rng(4)
    vectors, levels = random.normal(size=(N_ITEMS, 2)), random.normal(3, 1, N_ITEMS)
    edges, first = np.array([1.0, 2.5, 4.0]), np.array([0, 3, 4, 20])
    items, ratings = events.items[:20], events.ratings[:20]
    means, away = np.empty((3, 7)), np.empty((20, 7))
    describe_sessions(first, items, ratings, vectors, edges, levels, means, away)
    above = ratings - levels[items]
    features = np.column_stack([vectors[items], ratings[:, None] >= edges, above, np.abs(above)])
    wanted = [part.mean(axis=0) for part in np.split(features, first[1:-1])]
    assert means == pytest.approx(np.array(wanted))
    assert away == pytest.approx(features - np.repeat(wanted, np.diff(first), axis=0))


def test_values_in_windows_are_counted():
    values, first, n = np.array([2, 0, 2, 1, 2], np.uint8), [0, 1, 4], [5, 3, 1]
    found = np.empty((3, 3), np.int32)
    count_values(np.array(first, np.int32), np.array(n, np.int32), values, found)
    assert found.tolist() == [[1, 1, 3], [1, 1, 1], [0, 0, 1]]


def test_leading_vectors_are_those_of_a_full_decomposition(events):
    values = np.random.default_rng(5).normal(size=len(events.items)).astype(np.float32)
    sizes, vectors = leading_vectors(events, values, N_ITEMS, 3)
    shape = len(events.indptr) - 1, N_ITEMS
    matrix = scipy.sparse.csr_array((values, events.items, events.indptr), shape=shape).toarray()
    _, wanted, right = np.linalg.svd(matrix)
    assert sizes[::-1] == pytest.approx(wanted[:3], rel=1e-4)
    assert np.abs((vectors[::-1] * right[:3]).sum(axis=1)) == pytest.approx(np.ones(3), abs=1e-3)


def test_members_are_weighed_as_by_hand(events):
    random = np.random.default_rng(6)
    n_users, size = len(events.indptr) - 1, 4
    measures, mean = random.normal(size=(n_users, size)), random.normal(size=size) / 4
    n = np.bincount(events.items, minlength=N_ITEMS)
    sums = np.stack(
        [measures[events.users[events.items == item]].sum(0) for item in range(N_ITEMS)]
    )
    distance = n * np.square(sums / n[:, None] - mean).sum(axis=1)
    found = np.empty((len(events.items), 2))
    kernel.weigh_members(events.items, events.users, n, sums, measures, mean, distance, found)
    for (share, ratio), item, user in zip(found, events.items, events.users, strict=True):
        rest = measures[events.users[(events.items == item) & (events.users != user)]]
        away = rest.mean(axis=0) - mean
        square = len(rest) * away @ away
        away *= max(1 - (size - 2) / square, 0)
        assert share == pytest.approx(min(square / distance[item], 1))
        assert ratio == pytest.approx(away @ (measures[user] - mean) - away @ away / 2)
