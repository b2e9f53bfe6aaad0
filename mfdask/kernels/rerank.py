"""Choice of a list from a longer one, item by item: good ones that are unlike those before."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Float32s, Float64s, Int32s


@njit(nogil=True, cache=True)
def _likeness(one: Float32s, other: Float32s) -> float:
    total = np.float64(0.0)
    for d in range(len(one)):
        total += np.float64(one[d]) * np.float64(other[d])
    return total


@njit(nogil=True, cache=True)
def _first_best(values: Float64s, likest: Float64s, variety: float) -> int:
    """Return the place of the largest value less likeness, the first of equal ones."""
    found = 0
    for k in range(1, len(values)):
        if values[k] - variety * likest[k] > values[found] - variety * likest[found]:
            found = k
    return found


@njit(nogil=True, cache=True)
def _choose(
    scores: Float32s,
    items: Int32s,
    vectors: Float32s,
    popularity: Float32s,
    variety: float,
    tail: float,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Fill the list of one user from all the items offered to them, best first, at least one."""
    n = len(items)
    lowest = np.float64(scores[n - 1])
    spread = np.float64(scores[0]) - lowest
    values = np.zeros(n, np.float64)
    for k in range(n):
        if spread > 0.0:
            values[k] = (np.float64(scores[k]) - lowest) / spread
        values[k] -= tail * popularity[items[k]]
    likest = np.zeros(n, np.float64)
    for place in range(min(n, len(best))):
        chosen = _first_best(values, likest, variety)
        best[place], best_items[place] = scores[chosen], items[chosen]
        values[chosen] = -np.inf
        for k in range(n):
            if values[k] > -np.inf:
                like = _likeness(vectors[items[k]], vectors[items[chosen]])
                likest[k] = max(likest[k], like)


@njit(nogil=True, parallel=True, cache=True)
def choose_lists(
    scores: Float32s,
    items: Int32s,
    vectors: Float32s,
    popularity: Float32s,
    variety: float,
    tail: float,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Choose each user's list from a longer one, by maximal marginal relevance.

    Time and again the item with the largest ``s - tail * popularity - variety * likeness`` is
    chosen: `s` is its score, from 0 for the last of the longer list to 1 for the first, and
    likeness that to the likest item chosen before, but 0 if that is less.

    Parameters
    ----------
    scores : float32 (users, long)
        Best first.
    items : int32 (users, long)
        Their rows, -1 behind the last.
    vectors : float32 (all items, d)
        The product of two is their likeness.
    popularity : float32 (all items,)
    variety, tail : float
    best : float32 (users, top)
        Filled with the scores of what is chosen, in its order; -inf where there is no more.
    best_items : int32 (users, top)
        Filled with its rows; -1 where there are no more.

    Notes
    -----
    Carbonell and Goldstein 1998, with weights against 1 in place of shares of 1.
    """
    best[:] = -np.inf
    best_items[:] = -1
    for user in prange(len(items)):
        n = 0
        while n < items.shape[1] and items[user, n] >= 0:
            n += 1
        if n > 0:
            _choose(
                scores[user, :n],
                items[user, :n],
                vectors,
                popularity,
                variety,
                tail,
                best[user],
                best_items[user],
            )
