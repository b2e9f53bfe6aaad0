"""Which ratings are of a cross-validation fold."""

from __future__ import annotations

import numpy as np
from numba import njit

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Bools, Int32s, Int64s


@inner
def _mix(z: np.uint64) -> np.uint64:
    """Hash 64 bits to 64 bits: the finaliser of splitmix64."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def in_fold(
    starts: Int64s, columns: Int32s, first: int, seed: int, number: int, folds: int, out: Bools
) -> None:
    """Tell which ratings of a block of rows are in a fold, by a hash of row and column.

    Parameters
    ----------
    starts : int64[n_rows + 1]
    columns : int32[n]
    first : int
        Number of the first row.
    seed, number, folds : int
        Which of so many folds; `seed` deals them.
    out : bool[n]
        Filled.
    """
    for row in range(starts.size - 1):
        own = _mix(np.uint64(first + row + seed))
        for i in range(starts[row], starts[row + 1]):
            hashed = _mix(own ^ np.uint64(columns[i]))
            out[i] = hashed % np.uint64(folds) == np.uint64(number)
