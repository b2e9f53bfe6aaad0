"""Choice of a list from a longer one, item by item: good ones that are unlike those before."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s


@njit(nogil=True, cache=True)
def _likeness(one: Float32s, other: Float32s) -> float:
    total = np.float64(0.0)
    for d in range(len(one)):
        total += np.float64(one[d]) * np.float64(other[d])
    return total


@njit(nogil=True, cache=True)
def _first_best(
    values: Float64s, likest: Float64s, variety: float, items: Int32s, tail: Bools, only_tail: bool
) -> int:
    """Return the place of the largest value less likeness, the first of equal ones; -1 if none."""
    found = -1
    most = -np.inf
    for k in range(len(values)):
        value = values[k] - variety * likest[k]
        if value > most and (tail[items[k]] or not only_tail):
            found, most = k, value
    return found


@njit(nogil=True, cache=True)
def _choose(
    scores: Float32s,
    items: Int32s,
    vectors: Float32s,
    variety: float,
    tail: Bools,
    owed: int,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Fill the list of one user."""
    n = len(items)
    lowest, highest = np.inf, -np.inf
    for k in range(n):
        if items[k] >= 0:
            lowest, highest = min(lowest, scores[k]), max(highest, scores[k])
    values = np.full(n, -np.inf)
    for k in range(n):
        if items[k] >= 0:
            values[k] = (scores[k] - lowest) / (highest - lowest) if highest > lowest else 0.0
    likest = np.zeros(n, np.float64)
    for place in range(len(best)):
        only_tail = owed >= len(best) - place
        chosen = _first_best(values, likest, variety, items, tail, only_tail)
        if chosen < 0 and only_tail:  # the tail has run out
            chosen = _first_best(values, likest, variety, items, tail, False)
        if chosen < 0:
            return
        item = items[chosen]
        best[place], best_items[place] = scores[chosen], item
        owed -= tail[item]
        for k in range(n):
            if items[k] == item:
                values[k] = -np.inf
            elif variety > 0.0 and values[k] > -np.inf:
                likest[k] = max(likest[k], _likeness(vectors[items[k]], vectors[item]))


@njit(nogil=True, parallel=True, cache=True)
def choose_lists(
    scores: Float32s,
    items: Int32s,
    vectors: Float32s,
    variety: float,
    tail: Bools,
    owed: int,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Choose each user's list from a longer one, by maximal marginal relevance.

    Time and again the item with the largest ``s - variety * likeness`` is chosen: `s` is its score,
    from 0 for the lowest of the longer list to 1 for the highest, and likeness that to the likest
    item chosen before, but 0 if that is less. The last places are for items of the long tail, as
    many as are owed and not chosen by then.

    Parameters
    ----------
    scores : float32 (users, long)
    items : int32 (users, long)
        Their rows, -1 for none; one that is there twice counts once.
    vectors : float32 (all items, d)
        The product of two is their likeness.
    variety : float
    tail : bool (all items,)
        Which are of the long tail.
    owed : int
        How many of them each list must have, if there are so many.
    best : float32 (users, top)
        Filled with the scores of what is chosen, in its order; -inf where there is no more.
    best_items : int32 (users, top)
        Filled with its rows; -1 where there are no more.

    Notes
    -----
    Carbonell and Goldstein 1998, with a weight against 1 in place of a share of 1.
    """
    best[:] = -np.inf
    best_items[:] = -1
    for user in prange(len(items)):
        _choose(
            scores[user], items[user], vectors, variety, tail, owed, best[user], best_items[user]
        )
