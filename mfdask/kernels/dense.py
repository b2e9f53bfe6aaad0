"""Predictions of a block of users for all items: product, clip and cast in one pass.

Four users are held against 24 items in registers, as in `kernels.topn`; what comes of it is clipped
and stored while it is in the cache. Each sum runs through its terms in order, so a prediction is
the same to the bit wherever the matrix is cut.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfdask.kernels.clip import clip, keep
from mfdask.kernels.simd import load, splat
from mfdask.kernels.topn import GROUP, TILE, multiply
from mfdask.kernels.types import Float32s

#: Users that pass over the items together: their vectors stay in the cache.
USERS = 16


def interleave(vectors: Float32s, lanes: int, n: int) -> Float32s:
    """Lay vectors out `lanes` at a time, and zeros behind them up to `n` vectors or more.

    Parameters
    ----------
    vectors : float32 (at most n, d)
    lanes : int
        `GROUP` for users, `TILE` for items.
    n : int

    Returns
    -------
    float32 (ceil(n / lanes), d, lanes)
    """
    d = vectors.shape[1]
    groups = -(-n // lanes)
    padded = np.zeros((groups * lanes, d), np.float32)
    padded[: len(vectors)] = vectors
    return np.ascontiguousarray(padded.reshape(groups, lanes, d).transpose(0, 2, 1))


@njit(nogil=True, cache=True)
def _keep_tile(scores: Float32s, p: int, limits: Float32s, flat: Float32s, place: int) -> None:
    """Clip and store a user's scores of a whole tile."""
    low, high = splat(limits, 0), splat(limits, 1)
    keep(flat, place, clip(load(scores, p), low, high))
    keep(flat, place + 8, clip(load(scores, p + 8), low, high))
    keep(flat, place + 16, clip(load(scores, p + 16), low, high))


@njit(nogil=True, cache=True)
def _keep_some(
    scores: Float32s, p: int, n: int, limits: Float32s, flat: Float32s, place: int
) -> None:
    """Clip and store a user's scores of the first `n` items of a tile."""
    for i in range(n):
        flat[place + i] = min(max(scores[p + i], limits[0]), limits[1])


@njit(nogil=True, cache=True)
def fill_block(users: Float32s, items: Float32s, limits: Float32s, out: Float32s) -> None:
    """Fill `out` with the inner products of users and items, kept within limits.

    Parameters
    ----------
    users : float32 (groups, d, GROUP)
        From `interleave`, at least as many as `out` has rows.
    items : float32 (tiles, d, TILE)
        From `interleave`, at least as many as `out` has columns.
    limits : float32 (2,)
        Lowest and highest value; for bytes at least 0 and below 256.
    out : float32 or uint8 (users, items)
        Bytes lose what is behind the point.
    """
    n_users, n_items = out.shape
    d = users.shape[1]
    packed, vectors, flat = users.reshape(-1), items.reshape(-1), out.reshape(-1)
    scores = np.empty(GROUP * TILE, np.float32)
    for first in range(0, n_users, USERS):
        for start in range(0, n_items, TILE):
            width = min(TILE, n_items - start)
            for group in range(first, min(first + USERS, n_users), GROUP):
                multiply(vectors, start * d, packed, group * d, d, scores)
                for u in range(group, min(group + GROUP, n_users)):
                    p, place = (u - group) * TILE, u * n_items + start
                    if width == TILE:
                        _keep_tile(scores, p, limits, flat, place)
                    else:
                        _keep_some(scores, p, width, limits, flat, place)
