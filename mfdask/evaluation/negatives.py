"""Sampled negatives: each held-out item ranked among a few others, as published tables have it.

He et al. (2017, "Neural collaborative filtering") rank a held-out item among itself and 99 items
that the user has not rated. What comes out is far higher than over the whole catalogue, and need
not put models in the same order (Krichene and Rendle 2020, "On sampled metrics for item
recommendation").
"""

from __future__ import annotations

import numpy as np

from mfdask.evaluation.list_metrics import Placed, judge_ranks, judge_scores
from mfdask.kernels.types import Float32s, Float64s, Int64s

#: Said wherever such figures are shown.
CAUTION = "optimistic beside the whole catalogue (Krichene and Rendle 2020)"


def draw_negatives(free: Int64s, n: int, n_draws: int, seed: int, user: int) -> Int64s:
    """Draw different items for each held-out item of a user: int64 (draws, n).

    Parameters
    ----------
    free : int64 (items,)
        What the user has rated in neither part; at least `n`.
    n, n_draws : int
    seed, user : int
        The draws depend on these alone.
    """
    random = np.random.default_rng([seed, user])
    return np.stack([random.choice(free, n, replace=False) for _ in range(n_draws)])


def judge_among(
    user: Int64s,
    scores: Float32s,
    items: Int64s,
    negatives: Int64s,
    negative_scores: Float32s,
    lengths: tuple[int, ...],
) -> Float64s:
    """Return ranks' metrics and the AUC of each user: means over their held-out items.

    Parameters
    ----------
    user : int64 (n,)
        Number of the user of each held-out item, ascending and without gaps.
    scores : float32 (n,)
    items : int64 (n,)
    negatives, negative_scores : (n, negatives)
        Items that a held-out item is ranked among, and their scores.
    lengths : tuple of int

    Returns
    -------
    float64 (users, lengths * metrics + 1)
    """
    own = scores[:, None]
    above = (negative_scores > own).sum(axis=1)
    ties = negative_scores == own
    before = (ties & (negatives < items[:, None])).sum(axis=1)
    n = len(user)
    placed = Placed(np.arange(n), above + before, np.ones(n), above, ties.sum(axis=1))
    each = np.column_stack(
        [
            judge_ranks(placed, n, lengths).reshape(n, -1),
            judge_scores(placed, np.full(n, negatives.shape[1] + 1)),
        ]
    )
    counts = np.bincount(user)
    sums = np.stack([np.bincount(user, column) for column in each.T], axis=1)
    return sums / counts[:, None]
