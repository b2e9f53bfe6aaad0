"""Choice of a list from a longer one, item by item: good ones that suit those before them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.topn import Rated
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s

#: Share of the history's own distribution that is mixed into that of a list (Steck 2018), so that
#: a genre that the list lacks does not cost without end.
MIXED = 0.01


class Criteria(NamedTuple):
    """What a list is chosen by, beside its scores.

    Attributes
    ----------
    variety : float
        Weight of likeness to the items chosen before.
    vectors : float32 (items, d)
        The product of two is their likeness.
    calibration : float
        Weight of the divergence of the list's genres from those of the history.
    shares : float32 (items, genres)
        Of each genre in an item; an item's add up to 1, or are all 0.
    tail : bool (items,)
        Which items are of the long tail.
    owed : int
        How many of them each list must have, if there are so many.
    """

    variety: float
    vectors: Float32s
    calibration: float
    shares: Float32s
    tail: Bools
    owed: int


@inner
def _likeness(one: Float32s, other: Float32s) -> float:
    total = np.float64(0.0)
    for d in range(len(one)):
        total += np.float64(one[d]) * np.float64(other[d])
    return total


@inner
def _from_0_to_1(scores: Float32s, items: Int32s) -> Float64s:
    """Return the scores, 0 for the lowest and 1 for the highest; -inf where there is no item."""
    lowest, highest = np.inf, -np.inf
    for k in range(len(items)):
        if items[k] >= 0:
            lowest, highest = min(lowest, scores[k]), max(highest, scores[k])
    values = np.full(len(items), -np.inf)
    for k in range(len(items)):
        if items[k] >= 0:
            values[k] = (scores[k] - lowest) / (highest - lowest) if highest > lowest else 0.0
    return values


@inner
def _history(rated: Int32s, shares: Float32s) -> Float64s:
    """Return how the genres of what a user has rated are distributed; all 0 without any."""
    wanted = np.zeros(shares.shape[1], np.float64)
    for k in range(len(rated)):
        wanted += shares[rated[k]]
    total = wanted.sum()
    return wanted / total if total > 0.0 else wanted


@inner
def _closeness(
    wanted: Float64s, sums: Float64s, length: int, items: Int32s, shares: Float32s
) -> Float64s:
    """Return how close a list of `length` comes to what is wanted, with each item as its last.

    That is the divergence with its sign changed, but for a constant. `sums` are the shares of the
    list's other items. Only the genres of an item need a new logarithm.
    """
    listed = (1.0 - MIXED) / length
    terms = np.zeros(len(wanted), np.float64)
    for g in range(len(wanted)):
        if wanted[g] > 0.0:
            terms[g] = wanted[g] * math.log(listed * sums[g] + MIXED * wanted[g])
    closeness = np.full(len(items), terms.sum())
    for k in range(len(items)):
        for g in range(len(wanted)):
            share = shares[items[k], g] if items[k] >= 0 else 0.0
            if share > 0.0 and wanted[g] > 0.0:
                new = math.log(listed * (sums[g] + share) + MIXED * wanted[g])
                closeness[k] += wanted[g] * new - terms[g]
    return closeness


@inner
def _first_best(values: Float64s, items: Int32s, tail: Bools, only_tail: bool) -> int:
    """Return the place of the largest value, the first of equal ones; -1 if none."""
    found = -1
    most = -np.inf
    for k in range(len(values)):
        if values[k] > most and (tail[items[k]] or not only_tail):
            found, most = k, values[k]
    return found


@inner
def _choose(
    scores: Float32s,
    items: Int32s,
    rated: Int32s,
    criteria: Criteria,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Fill the list of one user."""
    values = _from_0_to_1(scores, items)
    wanted = _history(rated, criteria.shares)
    likest, sums = np.zeros(len(items), np.float64), np.zeros(len(wanted), np.float64)
    owed = criteria.owed
    for place in range(len(best)):
        worth = values - criteria.variety * likest
        if criteria.calibration > 0.0:
            close = _closeness(wanted, sums, place + 1, items, criteria.shares)
            worth += criteria.calibration * close
        only_tail = owed >= len(best) - place
        chosen = _first_best(worth, items, criteria.tail, only_tail)
        if chosen < 0 and only_tail:  # the tail has run out
            chosen = _first_best(worth, items, criteria.tail, False)
        if chosen < 0:
            return
        item = items[chosen]
        best[place], best_items[place] = scores[chosen], item
        owed -= criteria.tail[item]
        sums += criteria.shares[item]
        for k in range(len(items)):
            if items[k] == item:
                values[k] = -np.inf
            elif criteria.variety > 0.0 and values[k] > -np.inf:
                like = _likeness(criteria.vectors[items[k]], criteria.vectors[item])
                likest[k] = max(likest[k], like)


@njit(nogil=True, parallel=True, cache=True)
def choose_lists(
    scores: Float32s,
    items: Int32s,
    rated: Rated,
    criteria: Criteria,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Choose each user's list from a longer one, greedily.

    Time and again the item with the largest ``s - variety * likeness - calibration * divergence``
    is chosen. `s` is its score, from 0 for the lowest of the longer list to 1 for the highest.
    Likeness is that to the likest item chosen before, but 0 if that is less. Divergence is
    ``sum p ln(p / q')`` over the genres, where `p` is how the genres of what the user has rated are
    distributed, ``q' = (1 - MIXED) q + MIXED p``, and `q` is the mean of the shares of the items
    chosen and this one. The last places are for items of the long tail, as many as are owed and not
    chosen by then.

    Parameters
    ----------
    scores : float32 (users, long)
    items : int32 (users, long)
        Their rows, -1 for none; one that is there twice counts once.
    rated : Rated
        What each user has rated.
    criteria : Criteria
    best : float32 (users, top)
        Filled with the scores of what is chosen, in its order; -inf where there is no more.
    best_items : int32 (users, top)
        Filled with its rows; -1 where there are no more.

    Notes
    -----
    Variety is that of Carbonell and Goldstein 1998 and calibration that of Steck 2018, each with a
    weight against 1 in place of a share of 1.
    """
    best[:] = -np.inf
    best_items[:] = -1
    for user in prange(len(items)):
        own = rated.items[rated.indptr[user] : rated.indptr[user + 1]]
        _choose(scores[user], items[user], own, criteria, best[user], best_items[user])
