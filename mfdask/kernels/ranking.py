"""Places of single items in the ranking of a whole catalogue."""

from __future__ import annotations

from numba import njit, prange

from mfdask.kernels.types import Float32s, Int32s, Int64s


@njit(nogil=True, cache=True)
def _count(scores: Float32s, score: float) -> tuple[int, int]:
    """Count the scores that are above a score, and those that are at least it."""
    above, reached = 0, 0
    for i in range(len(scores)):
        above += scores[i] > score
        reached += scores[i] >= score
    return above, reached


@njit(nogil=True, parallel=True, cache=True)
def place_items(
    scores: Float32s, users: Int32s, items: Int32s, ranks: Int64s, above: Int64s, equal: Int64s
) -> None:
    """Find where single items stand among all items of their users.

    Parameters
    ----------
    scores : float32 (users, items)
        ``-inf`` for an item that is no candidate.
    users, items : int32 (pairs,)
        The items whose places are wanted.
    ranks : int64 (pairs,)
        Filled with the number of items before it: of equal scores the lower item comes first.
    above, equal : int64 (pairs,)
        Filled with the numbers of larger scores, and of others of the same size.
    """
    for pair in prange(len(users)):
        own, item = scores[users[pair]], items[pair]
        score = own[item]
        above_before, reached_before = _count(own[:item], score)
        above_behind, reached_behind = _count(own[item + 1 :], score)
        ranks[pair] = reached_before + above_behind
        above[pair] = above_before + above_behind
        equal[pair] = reached_before + reached_behind - above[pair]
