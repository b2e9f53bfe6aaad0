"""Products of a sparse matrix and a vector, over all cores."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Float32s, Int32s, Int64s


@njit(nogil=True, parallel=True, cache=True)
def multiply_sparse(
    starts: Int32s, columns: Int32s, values: Float32s, cuts: Int64s, vector: Float32s, out: Float32s
) -> None:
    """Multiply; each row is added up in its own order, so the threads make no difference.

    Parameters
    ----------
    starts : int32[n_rows + 1]
    columns : int32[n]
    values : float32[n]
        The matrix, by row.
    cuts : int64[parts + 1]
        Where the rows are cut into parts of about equal numbers of values.
    vector : float32[n_columns]
    out : float32[n_rows]
        Filled.
    """
    for part in prange(cuts.size - 1):
        for row in range(cuts[part], cuts[part + 1]):
            total = np.float32(0.0)
            for i in range(starts[row], starts[row + 1]):
                total += values[i] * vector[columns[i]]
            out[row] = total
