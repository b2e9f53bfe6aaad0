"""Sums over accounts, windows and sparse products against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from scipy.special import xlogy

from mfdask.downstream.anomalies.singular import leading_vectors
from mfdask.downstream.events import equal_cuts
from mfdask.kernels import profiles as kernel
from mfdask.kernels.sessions import add_squares, describe_sessions
from mfdask.kernels.sparse import WIDTH, multiply_gram
from mfdask.kernels.windows import compare_values, count_values
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
    means, scatter, cuts = np.empty((3, 7)), np.empty((2, 7, 7)), np.array([0, 1, 3])
    describe_sessions(cuts, first, items, ratings, vectors, edges, levels, means, scatter)
    above = ratings - levels[items]
    features = np.column_stack([vectors[items], ratings[:, None] >= edges, above, np.abs(above)])
    wanted = [part.mean(axis=0) for part in np.split(features, first[1:-1])]
    assert means == pytest.approx(np.array(wanted))
    away = features - np.repeat(wanted, np.diff(first), axis=0)
    for part, own in zip(scatter, (away[:3], away[3:]), strict=True):
        assert np.tril(part) == pytest.approx(np.tril(own.T @ own))


def test_squares_along_axes_are_those_of_the_features(events):
    random = np.random.default_rng(4)
    starts, first = np.array([0, 2, 2, 4]), np.array([0, 3, 4, 20, len(events.items)])
    vectors, edges = random.normal(size=(N_ITEMS, 3)), np.arange(1.0, 5.5, 0.5)
    levels, axes = random.normal(3, 1, N_ITEMS), random.normal(size=(14, 2))
    rated, found = (events.items, events.ratings), np.empty((3, 2))
    turned = vectors @ axes[:3], edges, axes[3:], levels
    add_squares(starts, first, *rated, *turned, found)
    above = events.ratings - levels[events.items]
    reached = events.ratings[:, None] >= edges
    features = np.column_stack([vectors[events.items], reached, above, np.abs(above)])
    means = np.add.reduceat(features, first[:-1], axis=0) / np.diff(first)[:, None]
    away = features - np.repeat(means, np.diff(first), axis=0)
    each = np.add.reduceat(np.square(away @ axes), first[:-1], axis=0)
    wanted = [each[:2].sum(axis=0), np.zeros(2), each[2:].sum(axis=0)]
    assert found == pytest.approx(np.array(wanted))


def test_values_in_windows_are_counted():
    values, first, n = np.array([2, 0, 2, 1, 2], np.uint8), [0, 1, 4], [5, 3, 1]
    found = np.empty((3, 3), np.int32)
    count_values(np.array(first, np.int32), np.array(n, np.int32), values, found)
    assert found.tolist() == [[1, 1, 3], [1, 1, 1], [0, 0, 1]]


def test_values_are_compared_with_those_elsewhere_and_meanwhile():
    random = np.random.default_rng(8)
    first, n, rows = np.int32([[0, 3, 10], [5, 1, 6], [1, 0, 1]])
    start, stop = np.array([[-2, 1, 3], [4, 2, 9]])
    values = random.integers(0, 3, 16).astype(np.uint8)
    of_rows = random.integers(1, 12, (2, 3)).astype(np.int32)
    before = np.vstack([np.zeros((1, 3), int), random.integers(0, 9, (5, 3)).cumsum(axis=0)])
    usual = random.random(3) * 4
    ratio, common = np.empty(3), np.empty((3, 3), bool)
    compare_values(first, n, rows, start, stop, values, of_rows, before, usual, ratio, common)
    for k in range(3):
        own = np.bincount(values[first[k] : first[k] + n[k]], minlength=3)
        others = of_rows[rows[k]], before[min(stop[k], 5)] - before[max(start[k], 0)]
        wanted, more = [], []
        for other in others:
            rest = np.maximum(other - own, 0) + usual
            rest /= max(other.sum() - n[k], 0) + usual.sum()
            wanted.append((xlogy(own, own / n[k]) - xlogy(own, rest)).sum())
            more.append(own / n[k] > rest)
        assert ratio[k] == pytest.approx(min(wanted))
        assert np.array_equal(common[k], more[0] & more[1])


@pytest.mark.parametrize("weighed", [False, True])
def test_a_matrix_and_its_transpose_are_multiplied_by(events, weighed):
    random = np.random.default_rng(9)
    values = random.normal(size=len(events.items)).astype(np.float32) if weighed else np.float32([])
    weights = random.random(len(events.indptr) - 1).astype(np.float32)
    vectors = random.normal(size=(N_ITEMS, WIDTH)).astype(np.float32)
    cuts = equal_cuts(events.indptr, 3)
    found = np.empty((len(cuts) - 1, N_ITEMS, WIDTH), np.float32)
    multiply_gram(cuts, events.indptr, events.items, values, weights, vectors, found)
    matrix = dense(events, values if weighed else np.ones(len(events.items)))
    wanted = matrix.T @ (weights[:, None] * (matrix @ vectors))
    assert found.sum(axis=0) == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def dense(events, values):
    """Return the matrix of users and items that holds some values."""
    shape = len(events.indptr) - 1, N_ITEMS
    return scipy.sparse.csr_array((values, events.items, events.indptr), shape=shape).toarray()


@pytest.mark.parametrize("weighed", [False, True])
def test_leading_vectors_are_those_of_a_full_decomposition(events, weighed):
    random = np.random.default_rng(5)
    values = random.normal(size=len(events.items)).astype(np.float32) if weighed else np.float32([])
    per_user, per_item = (
        random.random(n).astype(np.float32) for n in (len(events.indptr) - 1, N_ITEMS)
    )
    sizes, vectors = leading_vectors(events, values, per_user, per_item, 3)
    matrix = dense(events, values if weighed else np.ones(len(events.items)))
    _, wanted, right = np.linalg.svd(per_user[:, None] * matrix * per_item)
    assert sizes[::-1] == pytest.approx(wanted[:3], rel=1e-4)
    assert np.abs((vectors[::-1] * right[:3]).sum(axis=1)) == pytest.approx(np.ones(3), abs=1e-3)


@pytest.mark.parametrize("n_users", [5, 400])
def test_leading_vectors_of_many_items_are_found_in_a_few_passes(n_users):
    random = np.random.default_rng(7)
    n_items = 300  # more than a block has vectors
    users, items = np.nonzero(random.random((n_users, n_items)) < 0.2)
    events = make_events(users, items, np.ones(len(users)), np.zeros(len(users)))
    loud = random.normal(size=(n_users, 3)) @ random.normal(size=(3, n_items))
    values = (loud[events.users, events.items] + random.normal(size=len(users))).astype(np.float32)
    ones = np.ones(n_users, np.float32), np.ones(n_items, np.float32)
    sizes, vectors = leading_vectors(events, values, *ones, 3)
    matrix = scipy.sparse.csr_array((values, events.items, events.indptr), (n_users, n_items))
    _, wanted, right = np.linalg.svd(matrix.toarray())
    assert sizes[::-1] == pytest.approx(wanted[:3], rel=1e-4)
    assert np.abs((vectors[::-1] * right[:3]).sum(axis=1)) == pytest.approx(np.ones(3), abs=1e-3)
    assert np.array_equal(vectors, leading_vectors(events, values, *ones, 3)[1])


@pytest.mark.parametrize("sign", [1, -1])
def test_members_are_weighed_as_by_hand(events, sign):
    random = np.random.default_rng(6)
    n_users, size = len(events.indptr) - 1, 4
    measures, mean = random.normal(size=(n_users, size)), random.normal(size=size) / 4
    above = random.normal(size=len(events.items)).astype(np.float32)
    counts, sums = np.empty((2, N_ITEMS), np.int64), np.empty((2, N_ITEMS, size))
    kernel.add_measures(events.indptr, events.items, above, measures, counts, sums)
    side = sign * above > 0
    n, sums = counts[(1 - sign) // 2], sums[(1 - sign) // 2]
    raters = [events.users[side & (events.items == item)] for item in range(N_ITEMS)]
    assert n.tolist() == [len(own) for own in raters]
    assert sums == pytest.approx(np.array([measures[own].sum(axis=0) for own in raters]))
    distance = n * np.square(sums / np.maximum(n, 1)[:, None] - mean).sum(axis=1)
    evidence = np.where(n > 1, random.random(N_ITEMS), 0.0)
    evidence[0] = 0.0
    best, with_item = np.full(n_users, 0.01), np.full(n_users, -1, np.int32)
    given = evidence, n, sums, measures, mean, distance
    rated = equal_cuts(events.indptr), events.indptr, events.items, above
    kernel.weigh_members(*rated, sign, *given, best, with_item)
    for user in range(n_users):
        wanted = {-1: 0.01}
        for item in np.flatnonzero(evidence):
            if user in raters[item]:
                rest = measures[np.setdiff1d(raters[item], user)]
                away = rest.mean(axis=0) - mean
                square = len(rest) * away @ away
                away *= max(1 - (size - 2) / square, 0)
                log = away @ (measures[user] - mean) - away @ away / 2
                left = min(square / distance[item], 1)
                wanted[int(item)] = evidence[item] * left / (1 + np.exp(-log))
        assert best[user] == pytest.approx(max(wanted.values()))
        assert with_item[user] == max(wanted, key=wanted.get)
    assert (with_item >= 0).sum() > 5
