"""Exact maximum inner product search: the best items of each user, with pruning.

Items lie in tiles of 24, transposed, in order of decreasing length. Four users at a time are held
against a tile in registers. A user's worst kept score is the limit that a tile must be able to
reach: by Cauchy and Schwarz no item of it scores more than its largest bias plus the product of the
two lengths, so most tiles of short vectors are skipped, and nothing is lost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.masks import reaching
from mfdask.kernels.simd import LANES, fma, load, splat, store, zero
from mfdask.kernels.types import Float32s, Float64s, Int32s

#: Items in a tile: three vectors, which with four users fill twelve of sixteen registers.
TILE = 24
#: Users held against a tile at once.
GROUP = 4
#: Users that pass over the tiles together: their vectors stay in the cache.
USERS = 128
#: Blocks of them up to which one thread passes, sooner than several would be compiled.
FEW = 8


class Tiles(NamedTuple):
    """Items as the kernel reads them, see `pack_tiles`."""

    vectors: Any  # float32 (tiles, d, TILE)
    rows: Any  # int32 (tiles, TILE), row of each item, -1 behind the last one
    bias: Any  # float64 (tiles,), largest bias, rounding allowed for
    norm: Any  # float64 (tiles,), largest length of the rest, rounding allowed for


class Rated(NamedTuple):
    """Items that a user is not offered, in CSR form."""

    indptr: Any  # int64 (users + 1,)
    items: Any  # int32, ascending within a user


def pack_tiles(bias: Float32s, factors: Float32s, rows: Int32s) -> Tiles:
    """Lay items out in tiles.

    Parameters
    ----------
    bias : float32 (items,)
        Added to each score.
    factors : float32 (items, n_factors)
    rows : int32 (items,)
        The number each item is reported by; the smaller one goes first where scores are equal.

    Returns
    -------
    Tiles
    """
    n, n_factors = factors.shape
    norm = np.sqrt(np.square(factors, dtype=np.float64).sum(axis=1))
    order = np.argsort(-norm, kind="stable")
    tiles = -(-n // TILE)
    padded = np.zeros((tiles * TILE, n_factors + 1), np.float32)
    padded[:n, 0] = bias[order]
    padded[:n, 1:] = factors[order]
    numbers = np.full(tiles * TILE, -1, np.int32)
    numbers[:n] = rows[order]
    # A sum of d float32 products is wrong by at most d units in the last place of their sizes.
    slack = (n_factors + 4) * 2.0**-23
    highest = np.full(tiles * TILE, -np.inf)
    highest[:n] = bias[order] + slack * np.abs(bias[order])
    longest = np.zeros(tiles * TILE)
    longest[:n] = norm[order] * (1 + slack)
    return Tiles(
        np.ascontiguousarray(padded.reshape(tiles, TILE, n_factors + 1).transpose(0, 2, 1)),
        numbers.reshape(tiles, TILE),
        highest.reshape(tiles, TILE).max(axis=1),
        longest.reshape(tiles, TILE).max(axis=1),
    )


@njit(nogil=True, cache=True)
def multiply(items: Float32s, p: int, users: Float32s, u: int, d: int, scores: Float32s) -> None:
    """Fill ``scores`` (GROUP x TILE) with the products of a tile at `p` and a group at `u`."""
    a0, a1, a2 = zero(), zero(), zero()
    b0, b1, b2 = zero(), zero(), zero()
    c0, c1, c2 = zero(), zero(), zero()
    d0, d1, d2 = zero(), zero(), zero()
    for _ in range(d):
        x0, x1, x2 = load(items, p), load(items, p + 8), load(items, p + 16)
        s = splat(users, u)
        a0, a1, a2 = fma(s, x0, a0), fma(s, x1, a1), fma(s, x2, a2)
        s = splat(users, u + 1)
        b0, b1, b2 = fma(s, x0, b0), fma(s, x1, b1), fma(s, x2, b2)
        s = splat(users, u + 2)
        c0, c1, c2 = fma(s, x0, c0), fma(s, x1, c1), fma(s, x2, c2)
        s = splat(users, u + 3)
        d0, d1, d2 = fma(s, x0, d0), fma(s, x1, d1), fma(s, x2, d2)
        p += TILE
        u += GROUP
    store(scores, 0, a0)
    store(scores, 8, a1)
    store(scores, 16, a2)
    store(scores, 24, b0)
    store(scores, 32, b1)
    store(scores, 40, b2)
    store(scores, 48, c0)
    store(scores, 56, c1)
    store(scores, 64, c2)
    store(scores, 72, d0)
    store(scores, 80, d1)
    store(scores, 88, d2)


@inner
def _among(items: Int32s, start: int, stop: int, item: int) -> bool:
    """Whether an ascending stretch holds `item`."""
    end = stop
    while start < stop:
        middle = (start + stop) // 2
        if items[middle] < item:
            start = middle + 1
        else:
            stop = middle
    return start < end and items[start] == item


@inner
def _worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    """Whether one item comes after another in a list: by score, then by number."""
    return score < other_score or (score == other_score and item > other_item)


@inner
def _sink(score: float, item: int, size: int, best: Float32s, best_items: Int32s) -> None:
    """Put an item in the place of the first of a heap, whose first is its worst."""
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _worse(
            best[child + 1], best_items[child + 1], best[child], best_items[child]
        ):
            child += 1
        if not _worse(best[child], best_items[child], score, item):
            break
        best[place] = best[child]
        best_items[place] = best_items[child]
        place = child
    best[place] = score
    best_items[place] = item


@inner
def _sort(best: Float32s, best_items: Int32s) -> None:
    """Turn a heap into a list, the best first."""
    for last in range(len(best) - 1, 0, -1):
        score, item = best[last], best_items[last]
        best[last], best_items[last] = best[0], best_items[0]
        _sink(score, item, last, best, best_items)


@inner
def _offer(
    scores: Float32s,
    base: int,
    rows: Int32s,
    rated: Rated,
    user: int,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Keep those of eight scored items that are among a user's best and not rated."""
    for lane in range(LANES):
        score = scores[base + lane]
        item = rows[(base + lane) % TILE]
        if (
            item >= 0
            and not _worse(score, item, best[0], best_items[0])
            and not _among(rated.items, rated.indptr[user], rated.indptr[user + 1], item)
        ):
            _sink(score, item, len(best), best, best_items)


@inner
def _pack_users(users: Float32s, first: int, stop: int, packed: Float32s, norm: Float64s) -> None:
    """Interleave the vectors of four users at a time, and measure them without their bias place."""
    d = users.shape[1]
    packed[:] = np.float32(0.0)
    for u in range(first, stop):
        place = u - first
        base = place // GROUP * GROUP * d + place % GROUP
        square = np.float64(0.0)
        for k in range(d):
            packed[base + k * GROUP] = users[u, k]
            if k > 0:
                square += np.float64(users[u, k]) ** 2
        norm[place] = np.sqrt(square)


@njit(nogil=True, cache=True)
def _scan(
    users: Float32s,
    first: int,
    stop: int,
    tiles: Tiles,
    rated: Rated,
    best: Float32s,
    best_items: Int32s,
) -> None:
    """Find the best items of users ``first`` to ``stop``, at most `USERS`.

    A list is a heap until it is done: the worst of it, which the next item must beat, comes first.
    """
    d = users.shape[1]
    n = stop - first
    packed = np.empty(USERS * d, np.float32)
    norm = np.empty(USERS, np.float64)
    norm[:] = 0.0
    limits = np.empty(USERS, np.float32)
    limits[:] = np.inf  # places without a user: out of reach
    limits[:n] = -np.inf
    scores = np.empty(GROUP * TILE, np.float32)
    vectors = tiles.vectors.reshape(-1)
    _pack_users(users, first, stop, packed, norm)
    for t in range(len(tiles.rows)):
        for group in range(0, n, GROUP):
            hopeful = False
            for u in range(group, group + GROUP):
                hopeful |= tiles.bias[t] + norm[u] * tiles.norm[t] >= limits[u]
            if not hopeful:
                continue
            multiply(vectors, t * d * TILE, packed, group * d, d, scores)
            for u in range(group, min(group + GROUP, n)):
                limit = splat(limits, u)
                for base in range((u - group) * TILE, (u - group + 1) * TILE, LANES):
                    if reaching(load(scores, base), limit) == 0:
                        continue
                    mine = first + u
                    _offer(scores, base, tiles.rows[t], rated, mine, best[mine], best_items[mine])
                limits[u] = best[first + u, 0]
    for u in range(first, stop):
        _sort(best[u], best_items[u])


def top_items(
    users: Float32s, tiles: Tiles, rated: Rated, best: Float32s, best_items: Int32s
) -> None:
    """Find each user's best items.

    Parameters
    ----------
    users : float32 (users, d)
        ``[1, factors...]``.
    tiles : Tiles
        Of vectors ``[bias, factors...]``.
    rated : Rated
        Left out; in the numbers of `Tiles.rows`.
    best : float32 (users, n)
        Filled with the best scores, best first, -inf where there are no more items.
    best_items : int32 (users, n)
        Filled with their rows, -1 where there are no more.
    """
    best[:] = -np.inf
    best_items[:] = -1
    find = _find_alone if len(users) <= FEW * USERS else _find_together
    find(users, tiles, rated, best, best_items)


def _find_alone(
    users: Float32s, tiles: Tiles, rated: Rated, best: Float32s, best_items: Int32s
) -> None:
    for first in range(0, len(users), USERS):
        _scan(users, first, min(first + USERS, len(users)), tiles, rated, best, best_items)


@njit(nogil=True, parallel=True, cache=True)
def _find_together(
    users: Float32s, tiles: Tiles, rated: Rated, best: Float32s, best_items: Int32s
) -> None:
    n = len(users)
    for block in prange((n + USERS - 1) // USERS):
        first = block * USERS
        _scan(users, first, min(first + USERS, n), tiles, rated, best, best_items)
