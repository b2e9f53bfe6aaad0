"""Metrics of ranked lists, from the places of the relevant items.

For a list of length K with hits at some of the ranks ``r = 1 … K``, and R relevant items:

- the hit rate is 1 where there is any hit; precision is ``hits / K``, recall ``hits / R``;
- NDCG is ``DCG / best DCG``, ``DCG = sum (2**rel - 1) / log2(r + 1)``, with `rel` the rating of a
  relevant item (1 where the data hold no ratings) and 0 for any other, and the best DCG that of
  the relevant items in falling order;
- average precision is the sum of ``(hits up to r) / r`` over the ranks of hits, by ``min(R, K)``;
- the reciprocal rank is ``1 / r`` of the first hit, and 0 without any;
- novelty is the mean self-information of the list, ``-log2(n_train / users)`` bits, where an item
  without training ratings counts as rated once;
- the tail share is the share of the list that is outside the head of the catalogue: the items that
  are rated most, and together have `HEAD` of the training ratings.

Over all lists, coverage is the share of the catalogue that is on any, and the Gini coefficient
tells how unequally items are on them: 0 where each is on as many, near 1 where few are on all.

The area under the ROC curve (AUC) is not of a list: it is the chance that a relevant item is scored
above a candidate that is not, equal scores counting half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfdask.kernels.types import Bools, Float64s, Int64s

#: Of the ranks of relevant items, for each length; then those of what else is on a list.
OF_RANKS = ("hit_rate", "precision", "recall", "ndcg", "map", "mrr")
OF_LISTS = ("novelty", "tail_share")
#: What people call them, and the metrics of no single user's list.
NAMES = {
    "hit_rate": "hit rate",
    "precision": "precision",
    "recall": "recall",
    "ndcg": "NDCG",
    "map": "MAP",
    "mrr": "MRR",
    "auc": "AUC",
    "novelty": "novelty, bits",
    "tail_share": "tail share",
    "coverage": "coverage",
    "gini": "Gini of exposure",
}

#: Share of the training ratings that the items of the head have together.
HEAD = 0.8


@dataclass(frozen=True)
class Placed:
    """Relevant items and where they stand among the candidates.

    Attributes
    ----------
    lists : int64 (items,)
        Number of the list that each belongs to, ascending.
    ranks : int64 (items,)
        Candidates before it.
    gains : float64 (items,)
        ``2**rating - 1``.
    above, equal : int64 (items,)
        Candidates of larger score, and others of the same.
    """

    lists: Int64s
    ranks: Int64s
    gains: Float64s
    above: Int64s
    equal: Int64s


def judge_ranks(placed: Placed, n_lists: int, lengths: Sequence[int]) -> Float64s:
    """Return `OF_RANKS` of each list, for each length: float64 (lists, lengths, metrics)."""
    n_relevant = np.bincount(placed.lists, minlength=n_lists)
    by_rank = np.lexsort((placed.ranks, placed.lists))
    by_gain = np.lexsort((-placed.gains, placed.lists))
    before = np.repeat(np.cumsum(n_relevant) - n_relevant, n_relevant)
    nth = np.arange(len(before)) - before  # of the list's relevant items, in either order
    ranks, gains = placed.ranks[by_rank], placed.gains[by_rank]
    best = placed.gains[by_gain]

    def total(values: Float64s, where: Bools) -> Float64s:
        return np.bincount(placed.lists, values * where, minlength=n_lists).astype(np.float64)

    judged = []
    for k in lengths:
        hit = ranks < k
        hits = total(np.ones(len(hit)), hit)
        dcg, best_dcg = (
            total(gain / np.log2(place + 2), place < k)
            for gain, place in ((gains, ranks), (best, nth))
        )
        precisions = total((nth + 1) / (ranks + 1), hit)
        first = total(1 / (ranks + 1), hit & (nth == 0))
        found = (hits > 0, hits / k, hits / n_relevant, dcg / best_dcg)
        judged.append(np.column_stack([*found, precisions / np.minimum(n_relevant, k), first]))
    return np.stack(judged, axis=1)


def judge_scores(placed: Placed, n_candidates: Int64s) -> Float64s:
    """Return the AUC of each list, NaN where every candidate is relevant.

    Parameters
    ----------
    placed : Placed
    n_candidates : int64 (lists,)

    Returns
    -------
    float64 (lists,)
    """
    n_relevant = np.bincount(placed.lists, minlength=len(n_candidates))
    losses = placed.above + placed.equal / 2
    lost = np.bincount(placed.lists, losses, minlength=len(n_candidates))
    # Of two relevant items one is above the other, or each is half above.
    beaten_by = lost - n_relevant * (n_relevant - 1) / 2
    pairs = (n_relevant * (n_candidates - n_relevant)).astype(np.float64)
    unbeaten = np.divide(beaten_by, pairs, where=pairs > 0, out=np.full(len(pairs), np.nan))
    return 1.0 - unbeaten


def judge_lists(
    lists: Int64s, information: Float64s, tail: Bools, lengths: Sequence[int]
) -> Float64s:
    """Return `OF_LISTS` of each list, for each length: float64 (lists, lengths, metrics).

    Parameters
    ----------
    lists : int64 (lists, k)
        Item rows, best first, -1 behind the end of a short list; none is empty.
    information : float64 (items,)
        Of each item, in bits.
    tail : bool (items,)
        Whether an item is outside the head.
    lengths : sequence of int
        Each at most k.
    """
    there = lists >= 0
    judged = []
    for k in lengths:
        on, n = lists[:, :k], there[:, :k].sum(axis=1)
        means = [
            np.where(there[:, :k], values[on], 0.0).sum(axis=1) / n
            for values in (information, tail.astype(np.float64))
        ]
        judged.append(np.column_stack(means))
    return np.stack(judged, axis=1)


def information_of(n_train: Int64s, n_users: int) -> Float64s:
    """Return the self-information of each item in bits, float64 (items,)."""
    return -np.log2(np.maximum(n_train, 1.0) / n_users)


def tail_of(n_train: Int64s) -> Bools:
    """Tell which items are outside the head, bool (items,); of equal counts the first is in it."""
    order = np.argsort(-n_train, kind="stable")
    before = np.cumsum(n_train[order]) - n_train[order]
    tail = np.empty(len(n_train), bool)
    tail[order] = before >= HEAD * n_train.sum()
    return tail


def gini(exposure: Int64s) -> float:
    """Return the Gini coefficient of how many lists each item is on."""
    ascending = np.sort(exposure).astype(np.float64)
    n = len(ascending)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ ascending / (n * ascending.sum()))
