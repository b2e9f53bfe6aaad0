"""Split R-hat against its formulas, and which ratings a chain is judged by."""

import numpy as np
import pytest
import scipy.sparse
import scipy.stats

from mfdask.convergence import (
    N_FOLLOWED,
    Chain,
    ChainMonitor,
    chain_rhat,
    followed_ratings,
    split_rhat,
)
from mfdask.shards import Dataset


def naive_rhat(draws):
    """Return the rank-normalised split R-hat of one column, by the letter of the paper."""
    draws = draws[len(draws) % 2 :]
    s, n = len(draws), len(draws) // 2
    scores = [
        scipy.stats.norm.ppf((np.sum(draws < own) + np.sum(draws == own) / 2 + 1 / 8) / (s + 1 / 4))
        for own in draws
    ]
    halves = np.array([scores[:n], scores[n:]])
    means = halves.mean(axis=1)
    between = n * np.sum((means - means.mean()) ** 2)
    within = np.sum((halves - means[:, None]) ** 2) / (n - 1) / 2
    return np.sqrt(((n - 1) / n * within + between / n) / within)


@pytest.mark.parametrize("n", [4, 5, 40, 101])
def test_rhat_is_that_of_the_paper(n):
    traces = np.random.default_rng(n).normal(size=(n, 3)).cumsum(axis=0)
    traces[:, 2] = np.round(traces[:, 2])  # ties
    wanted = [naive_rhat(column) for column in traces.T]
    np.testing.assert_allclose(split_rhat(traces), wanted, rtol=1e-9)


def test_a_chain_that_stands_is_told_from_one_that_moves():
    random = np.random.default_rng(0)
    still = random.normal(size=(200, 5))
    assert chain_rhat(still) < 1.02
    for column in (0, slice(1, None)):
        moving = still.copy()
        moving[:, column] += np.linspace(0, 3, 200)[:, None][:, 0 if column == 0 else slice(None)]
        assert chain_rhat(moving) > 1.3
    assert chain_rhat(np.ones((10, 3))) == 1.0
    assert chain_rhat(np.repeat([[1.0, 1], [2, 2]], 5, axis=0)) == np.inf
    assert chain_rhat(still[:3]) is None


def test_a_monitor_goes_on_where_it_was():
    whole, again = ChainMonitor(), ChainMonitor()
    draws = np.random.default_rng(1).normal(size=(9, 4))
    for draw in draws[:6]:
        whole.add(draw[0], draw[1:])
    again.load(6, whole.arrays().__getitem__)
    for draw in draws[6:]:
        assert again.add(draw[0], draw[1:]) == whole.add(draw[0], draw[1:])
    assert whole.add(1.0, np.ones(3)) == chain_rhat(np.vstack([draws, np.ones(4)]))


def test_the_ratings_that_are_followed_depend_on_the_seed():
    ratings = np.random.default_rng(2).integers(1, 6, (40, 30)).astype(np.float32)
    data = Dataset.from_csr(scipy.sparse.csr_array(ratings))
    [(block, places)] = followed_ratings(data, 3).items()
    assert block == 0
    assert len(set(places.tolist())) == N_FOLLOWED
    assert places.max() < data.n_train
    assert (places != followed_ratings(data, 4)[0]).any()


def test_a_chain_is_settled_with_enough_draws_alone():
    assert Chain.of([1.05] * 60, 20, 1.05).settled
    assert not Chain.of([1.01] * 59, 20, 1.05).settled
    told = str(Chain.of([1.4] * 60, 20, 1.05))
    assert told == "not settled: R-hat 1.40 after 60 sweeps, 40 of them kept; more sweeps"
    assert "R-hat not known" in str(Chain.of([None] * 3, 20, 1.05))
