"""Pearson correlations of the rows of a sparse matrix, over the columns that two rows share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from mfdask.kernels.types import Float64s

#: Products of sums of squares below this are zero but for rounding.
_TINY = 1e-12


class Compressed(NamedTuple):
    """A sparse matrix by rows, or by columns."""

    indptr: Any  # int64 (rows + 1,)
    indices: Any  # int32 (values,)
    values: Any  # float64 (values,)


@njit(nogil=True, cache=True)
def correlate(
    by_row: Compressed, by_column: Compressed, first: int, common: int, out: Float64s
) -> None:
    """Hold some rows against all, each over the columns that both have.

    All sums of a pair are made in one pass: over the columns of the row, and over the rows that
    have such a column.

    Parameters
    ----------
    by_row, by_column : Compressed
        The same matrix, its values centred.
    first : int
        The first of the rows.
    common : int
        From so many common columns on a correlation counts in full, below in proportion.
    out : float64 (some rows, all rows)
        Filled with ``sum xy / sqrt(sum x^2 sum y^2) * min(n, common) / common``; 0 where two rows
        have nothing in common, ``-inf`` for a row and itself.
    """
    n_rows = out.shape[1]
    sums = np.empty((n_rows, 4))  # of xy, of x^2, of y^2, and how many
    for k in range(out.shape[0]):
        sums[:] = 0.0
        for i in range(by_row.indptr[first + k], by_row.indptr[first + k + 1]):
            x, column = by_row.values[i], by_row.indices[i]
            for j in range(by_column.indptr[column], by_column.indptr[column + 1]):
                y, other = by_column.values[j], by_column.indices[j]
                sums[other, 0] += x * y
                sums[other, 1] += x * x
                sums[other, 2] += y * y
                sums[other, 3] += 1.0
        for other in range(n_rows):
            size = np.sqrt(max(sums[other, 1] * sums[other, 2], _TINY))
            out[k, other] = sums[other, 0] / size * min(sums[other, 3], common) / common
        out[k, first + k] = -np.inf
