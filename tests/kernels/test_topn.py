"""The top-N kernel against sorting everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.kernels.topn import TILE, Rated, pack_tiles, top_items


def sorted_best(users, bias, factors, rows, rated, n):
    """Return the best rows of each user by sorting all scores, and the scores."""
    scores = users[:, :1] * bias + users[:, 1:] @ factors.T
    found = []
    for user, own in enumerate(scores.tolist()):
        left_out = set(rated[user])
        order = sorted(
            (-score, row)
            for score, row in zip(own, rows.tolist(), strict=True)
            if row not in left_out
        )
        found.append([(row, -score) for score, row in order[:n]])
    return found


def search(users, bias, factors, rows, rated, n):
    """Return what the kernel finds, in the form of `sorted_best`."""
    indptr = np.cumsum([0, *map(len, rated)])
    items = np.array([i for own in rated for i in sorted(own)], np.int32)
    best = np.empty((len(users), n), np.float32)
    best_items = np.empty((len(users), n), np.int32)
    tiles = pack_tiles(bias, factors, rows)
    top_items(users, tiles, Rated(indptr.astype(np.int64), items), best, best_items)
    return [
        [(row, score) for row, score in zip(*pair, strict=True) if row >= 0]
        for pair in zip(best_items.tolist(), best.tolist(), strict=True)
    ]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_users=st.integers(0, 9),
    n_items=st.integers(0, 3 * TILE + 1),
    n_factors=st.integers(0, 5),
    n=st.integers(1, 12),
)
def test_the_best_of_few_values_with_many_ties(seed, n_users, n_items, n_factors, n):
    # Small whole numbers: scores are exact in any order of summing, and often equal.
    random = np.random.default_rng(seed)
    users = random.integers(-2, 3, (n_users, n_factors + 1)).astype(np.float32)
    users[:, 0] = 1
    bias = random.integers(-2, 3, n_items).astype(np.float32)
    factors = random.integers(-2, 3, (n_items, n_factors)).astype(np.float32)
    rows = np.sort(random.permutation(2 * n_items)[:n_items]).astype(np.int32)
    rated = [set(rows[random.random(n_items) < 0.3].tolist()) for _ in range(n_users)]
    wanted = sorted_best(users, bias, factors, rows, rated, n)
    assert search(users, bias, factors, rows, rated, n) == wanted


@pytest.mark.parametrize("n_factors", [1, 20, 64])
def test_nothing_is_lost_by_skipping_tiles(n_factors):
    # Lengths that fall off steeply, as those of rarely rated items do: most tiles are skipped.
    random = np.random.default_rng(n_factors)
    users = random.normal(size=(300, n_factors + 1)).astype(np.float32)
    users[:, 0] = 1
    factors = random.normal(size=(1000, n_factors)) / (1 + np.arange(1000))[:, None]
    factors = random.permutation(factors).astype(np.float32)
    bias = (0.01 * random.normal(size=1000)).astype(np.float32)
    rows = np.arange(1000, dtype=np.int32)
    rated = [set(random.integers(0, 1000, 30).tolist()) for _ in range(300)]
    found = search(users, bias, factors, rows, rated, 7)
    wanted = sorted_best(users, bias, factors, rows, rated, 7)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose([s for _, s in mine], [s for _, s in theirs], rtol=1e-4)
        assert {i for i, _ in mine} == {i for i, _ in theirs}
