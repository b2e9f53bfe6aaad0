"""Rows of users whose items are held still: the minimum, and the parts that lead there."""

from itertools import pairwise

import numpy as np
import pytest

from mfdask.kernels.network import Lessons, Network, fit_user
from mfdask.kernels.pairwise import shares_of_pairs

RANDOM = np.random.default_rng(4)


def pairwise_loss(p, liked, others, reg):
    """Return what a user's factors minimise, one pair at a time."""
    total = reg * len(liked) / 2 * sum(x * x for x in p)
    for i in liked:
        for j in others:
            gap = i[0] - j[0] + sum(p * (i[1:] - j[1:]))
            total += np.log1p(np.exp(-gap)) / len(others)
    return total


def numeric_gradient(loss, p, step=1e-5):
    ends = [[loss(p + sign * step * one) for sign in (1, -1)] for one in np.eye(len(p))]
    return np.array([(up - down) / (2 * step) for up, down in ends])


@pytest.mark.parametrize(("n", "m", "reg"), [(4, 9, 0.1), (1, 1, 1.0), (7, 3, 1e-3), (2, 5, 30.0)])
def test_shares_of_pairs_lead_to_the_minimum(n, m, reg):
    liked, others = RANDOM.normal(size=(n, 4)), RANDOM.normal(size=(m, 4))
    shares = shares_of_pairs(liked, others, reg)
    assert shares.shape == (n, 3)
    p = shares.sum(axis=0)
    gradient = numeric_gradient(lambda q: pairwise_loss(q, liked, others, reg), p)
    np.testing.assert_allclose(gradient, 0, atol=1e-6 * max(1, np.linalg.norm(p)))


def test_far_rows_and_little_regularisation_have_a_minimum():
    liked, others = 30 * RANDOM.normal(size=(3, 6)), 30 * RANDOM.normal(size=(8, 6))
    p = shares_of_pairs(liked, others, 1e-6).sum(axis=0)
    gradient = numeric_gradient(lambda q: pairwise_loss(q, liked, others, 1e-6), p)
    assert np.linalg.norm(gradient) < 1e-4


@pytest.fixture(params=[0, 1, 3])
def network(request):
    sizes = [6, 5, 4, 3][: request.param + 1]
    layers = [RANDOM.normal(size=(a + 1, b)) for a, b in pairwise(sizes)]
    layers.append(RANDOM.normal(size=(3 + sizes[-1] + 1, 1)))
    return Network(None, RANDOM.normal(size=(8, 7)), layers)


def test_slopes_are_those_of_the_scores(network):
    user = RANDOM.normal(size=7)
    scores, slopes = network.slopes(user)
    every = network._replace(users=user[None])
    np.testing.assert_allclose(scores, every.score(np.zeros(8, int), np.arange(8)))
    for n in range(8):
        wanted = numeric_gradient(lambda row, n=n: network.slopes(row)[0][n], user)
        np.testing.assert_allclose(slopes[n], wanted, atol=1e-7)


@pytest.mark.parametrize("odds", [True, False])
def test_a_fitted_user_is_the_centre_and_what_the_items_add(odds, network):
    targets = np.array([1.0, 0, 0, 1, 1, 0, 1, 0])
    lessons = Lessons(targets, RANDOM.uniform(0.5, 2, 8), odds)
    centre, spread = RANDOM.normal(size=7), RANDOM.uniform(0.05, 0.2, 7)
    row, added = fit_user(network, lessons, centre, spread)
    np.testing.assert_allclose(row, centre + added.sum(axis=0), atol=2e-3)

    def loss(own):
        return lessons.loss(network.slopes(own)[0])[0] + np.sum(((own - centre) / spread) ** 2) / 2

    assert loss(row) < loss(centre)
    np.testing.assert_allclose(spread * numeric_gradient(loss, row), 0, atol=1e-2)


def test_nothing_to_learn_from_leaves_the_centre(network):
    nobody = network._replace(items=network.items[:0])
    row, added = fit_user(
        nobody, Lessons(np.empty(0), np.empty(0), True), np.arange(7.0), np.ones(7)
    )
    np.testing.assert_array_equal(row, np.arange(7.0))
    assert added.shape == (0, 7)
