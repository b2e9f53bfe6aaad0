"""Products of a sparse matrix, its transpose and a few vectors, over all cores."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.simd import LANES, fma, full, load, mul, splat, store, zero
from mfdask.kernels.types import Float32s, Int32s, Int64s

#: How many vectors are multiplied together: as many as float32 values fill a cache line.
WIDTH = 2 * LANES


@inner
def _multiply_rows(
    first: int,
    last: int,
    starts: Int64s,
    columns: Int32s,
    values: Float32s,
    weights: Float32s,
    vectors: Float32s,
    sums: Float32s,
) -> None:
    """Add what some rows make of the vectors; both are flat."""
    plain = values.size == 0
    for row in range(first, last):
        low, high = zero(), zero()
        for i in range(starts[row], starts[row + 1]):
            at = np.int64(columns[i]) * WIDTH
            value = full(np.float32(1.0)) if plain else splat(values, i)
            low = fma(value, load(vectors, at), low)
            high = fma(value, load(vectors, at + LANES), high)
        weight = splat(weights, row)
        low, high = mul(weight, low), mul(weight, high)
        for i in range(starts[row], starts[row + 1]):
            at = np.int64(columns[i]) * WIDTH
            value = full(np.float32(1.0)) if plain else splat(values, i)
            store(sums, at, fma(value, low, load(sums, at)))
            store(sums, at + LANES, fma(value, high, load(sums, at + LANES)))


@njit(nogil=True, parallel=True, cache=True)
def multiply_gram(
    cuts: Int64s,
    starts: Int64s,
    columns: Int32s,
    values: Float32s,
    weights: Float32s,
    vectors: Float32s,
    out: Float32s,
) -> None:
    """Multiply by a matrix and then by its transpose, in one pass over the matrix.

    Each part of the rows has sums of its own, so the threads make no difference.

    Parameters
    ----------
    cuts : int64[parts + 1]
        Where the rows are cut into parts of about equal numbers of values.
    starts : int64[n_rows + 1]
    columns : int32[n]
    values : float32[n], or float32[0]
        The matrix, by row. Empty: each is 1.
    weights : float32[n_rows]
        What each row counts for.
    vectors : float32[n_columns, WIDTH]
    out : float32[parts, n_columns, WIDTH]
        Filled: the sum over the parts is the product.
    """
    flat = vectors.reshape(-1)
    for part in prange(cuts.size - 1):
        sums = out[part].reshape(-1)
        sums[:] = 0
        rows = cuts[part], cuts[part + 1]
        _multiply_rows(*rows, starts, columns, values, weights, flat, sums)
