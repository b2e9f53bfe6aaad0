"""Predicted ratings for given pairs of rows."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.simd import LANES, fma, load, store, zero
from mfdask.kernels.types import Float32s, Int32s

#: Pairs that one thread takes at a time.
PIECE = 16384
#: Pieces up to which one thread predicts them all, sooner than several would be compiled.
FEW = 16


@njit(nogil=True, cache=True)
def _predict_piece(
    users: Int32s,
    items: Int32s,
    first: int,
    stop: int,
    user_rows: Float32s,
    item_rows: Float32s,
    mean: float,
    out: Float32s,
) -> None:
    width = user_rows.shape[1]
    flat_users = user_rows.reshape(-1)
    flat_items = item_rows.reshape(-1)
    sums = np.empty(LANES, np.float32)
    for t in range(first, stop):
        p = np.int64(users[t]) * width
        q = np.int64(items[t]) * width
        total = zero()
        for k in range(0, width, LANES):
            total = fma(load(flat_users, p + k), load(flat_items, q + k), total)
        store(sums, 0, total)
        out[t] = mean + (
            ((sums[0] + sums[1]) + (sums[2] + sums[3]))
            + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
        )


def predict_pairs(
    users: Int32s,
    items: Int32s,
    user_rows: Float32s,
    item_rows: Float32s,
    mean: np.float32,
    out: Float32s,
) -> None:
    """Fill `out` with the mean and the inner product of each pair of rows.

    Parameters
    ----------
    users, items : int32 (pairs,)
        Row numbers; not checked.
    user_rows : float32 (users, width)
        ``[1, bias, factors..., 0...]``.
    item_rows : float32 (items, width)
        Design rows, ``[bias, 1, factors..., 0...]``.
    mean : float32
    out : float32 (pairs,)
    """
    predict = _predict_alone if len(users) <= FEW * PIECE else _predict_together
    predict(users, items, user_rows, item_rows, mean, out)


def _predict_alone(
    users: Int32s,
    items: Int32s,
    user_rows: Float32s,
    item_rows: Float32s,
    mean: np.float32,
    out: Float32s,
) -> None:
    for first in range(0, len(users), PIECE):
        stop = min(first + PIECE, len(users))
        _predict_piece(users, items, first, stop, user_rows, item_rows, mean, out)


@njit(nogil=True, parallel=True, cache=True)
def _predict_together(
    users: Int32s,
    items: Int32s,
    user_rows: Float32s,
    item_rows: Float32s,
    mean: np.float32,
    out: Float32s,
) -> None:
    n = len(users)
    for piece in prange((n + PIECE - 1) // PIECE):
        first = piece * PIECE
        _predict_piece(users, items, first, min(first + PIECE, n), user_rows, item_rows, mean, out)
