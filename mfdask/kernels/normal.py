"""Gram matrices of whole rows of ratings."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.gram import TILE_FLOATS, add_gram, gather
from mfdask.kernels.rows import Block
from mfdask.kernels.simd import LANES
from mfdask.kernels.types import Float32s


@njit(nogil=True, parallel=True, cache=True)
def row_grams(block: Block, fixed: Float32s, d: int, out: Float32s) -> None:
    """Fill the Gram matrix of each row's ``[y, 1, factors]``.

    Parameters
    ----------
    block : Block
    fixed : float32[rows of the other side, width]
        Design rows of the side held still.
    d : int
        Unknowns of a row, ``n_factors + 1``.
    out : float32[rows, width, width]
        Filled: of each matrix the rows from 1 to `d`, up to the diagonal, are ``sum x x'`` with
        ``x = [1, factors]``; row and column 0 belong to the ratings, and are of no use without a
        mean.
    """
    width = fixed.shape[1]
    flat = fixed.reshape(-1)
    step = max(TILE_FLOATS // width, LANES)
    for row in prange(len(block.indptr) - 1):
        tile = np.empty(step * width, np.float32)
        gram = out[row].reshape(-1)
        gram[:] = np.float32(0.0)
        start = block.indptr[row]
        stop = block.indptr[row + 1]
        while start < stop:
            n = min(step, stop - start)
            gather(flat, width, block.indices, block.ratings, start, n, np.float32(0.0), tile)
            add_gram(tile, n, width, d + 1, gram, 0, 0)
            start += n
