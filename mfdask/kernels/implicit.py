"""Sums over what each row has rated: products with the matrix that has a 1 for each rating."""

from __future__ import annotations

from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.rows import CHUNKS, chunk_bounds
from mfdask.kernels.simd import LANES, add, load, store
from mfdask.kernels.types import Float32s, Int32s, Int64s

#: Additions up to which one thread does them all, in some 25 milliseconds: a pass is short, and
#: threads of a busy machine wait for each other for longer.
FEW = 100_000_000
#: Ratings whose rows of values stay in the nearest cache while all lanes pass over them.
_TILE = 64


@inner
def _sum_row(
    indices: Int32s, start: int, stop: int, values: Float32s, width: int, out: Float32s, base: int
) -> None:
    """Add the values of what one row has rated to its sums."""
    while start < stop:
        end = min(start + _TILE, stop)
        for v in range(0, width, LANES):
            total = load(out, base + v)
            for t in range(start, end):
                total = add(total, load(values, indices[t] * width + v))
            store(out, base + v, total)
        start = end


@njit(nogil=True, cache=True)
def _sum_alone(
    first: int, last: int, indptr: Int64s, indices: Int32s, values: Float32s, out: Float32s
) -> None:
    width = values.shape[1]
    flat, sums = values.reshape(-1), out.reshape(-1)
    for row in range(first, last):
        out[row] = 0.0
        _sum_row(indices, indptr[row], indptr[row + 1], flat, width, sums, row * width)


@njit(nogil=True, parallel=True, cache=True)
def _sum_together(
    bounds: Int64s, indptr: Int64s, indices: Int32s, values: Float32s, out: Float32s
) -> None:
    for c in prange(len(bounds) - 1):
        _sum_alone(bounds[c], bounds[c + 1], indptr, indices, values, out)


def sum_rated(indptr: Int64s, indices: Int32s, values: Float32s, out: Float32s) -> None:
    """Fill `out` with the sums of the other side's values over what each row has rated.

    Each row is summed by one thread in the order of its ratings, so that threads change nothing.

    Parameters
    ----------
    indptr : int64 (rows + 1,)
    indices : int32 (ratings,)
        Rows of the other side; not checked.
    values : float32 (rows of the other side, columns)
        Columns are a multiple of 8.
    out : float32 (rows, columns)
    """
    if len(indices) * values.shape[1] <= FEW:
        _sum_alone(0, len(out), indptr, indices, values, out)
    else:
        _sum_together(chunk_bounds(indptr, CHUNKS, 1), indptr, indices, values, out)
