"""Standard deviations of a Bayesian model's draws, for given pairs of rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Float32s, Float64s, Int32s

#: Pairs that one thread takes at a time.
PIECE = 4096


class DrawnSide(NamedTuple):
    """One side of a model of S draws, each of K factors."""

    rows: Any  # float32 (n, width): [bias, 1, factors of all draws over the root of S..., 0...]
    biases: Any  # float32 (n, S)
    unrated: Any  # bool (n,): the row is its prior's mean, and spreads as its prior does
    covariances: Any  # float64 (S, K + 1, K + 1): of the prior


@inner
def _prior_variance(other: Float32s, first: int, scale: float, covariance: Float64s) -> float:
    """Return the variance of ``[1, q] . w``, where `w` has the covariance and `q` is a draw's."""
    d = len(covariance)
    total = covariance[0, 0]
    for i in range(1, d):
        q = scale * other[first + i - 1]
        total += 2.0 * q * covariance[0, i]
        for j in range(1, d):
            total += q * scale * other[first + j - 1] * covariance[i, j]
    return total


@inner
def _variance(p: Int32s, q: Int32s, users: DrawnSide, items: DrawnSide) -> float:
    """Return the variance of one pair's prediction over the draws."""
    draws, d, _ = users.covariances.shape
    k = d - 1
    root = math.sqrt(draws)
    user, item = users.rows[p], items.rows[q]
    total = 0.0
    square = 0.0
    spread = 0.0
    for s in range(draws):
        first = 2 + s * k
        inner = np.float32(0.0)
        for f in range(first, first + k):
            inner += user[f] * item[f]
        value = users.biases[p, s] + items.biases[q, s] + np.float64(inner) * draws
        total += value
        square += value * value
        if users.unrated[p]:
            spread += _prior_variance(item, first, root, users.covariances[s])
        if items.unrated[q]:
            spread += _prior_variance(user, first, root, items.covariances[s])
        if users.unrated[p] and items.unrated[q]:
            for i in range(1, d):
                for j in range(1, d):
                    spread += users.covariances[s, i, j] * items.covariances[s, i, j]
    mean = total / draws
    return max(square / draws - mean * mean, 0.0) + spread / draws


@njit(nogil=True, parallel=True, cache=True)
def spread_pairs(
    users: Int32s,
    items: Int32s,
    user_side: DrawnSide,
    item_side: DrawnSide,
    noise: Float64s,
    out: Float32s,
) -> None:
    """Fill `out` with the standard deviation of a rating around its prediction.

    Parameters
    ----------
    users, items : int32 (pairs,)
        Row numbers; not checked.
    user_side, item_side : DrawnSide
    noise : float64 (n_users,)
        Variance of the noise of each user's ratings.
    out : float32 (pairs,)
    """
    n = len(users)
    for piece in prange((n + PIECE - 1) // PIECE):
        for t in range(piece * PIECE, min((piece + 1) * PIECE, n)):
            spread = _variance(users[t], items[t], user_side, item_side)
            out[t] = math.sqrt(spread + noise[users[t]])
