"""Sums over what each row has rated: products with the matrix that has a 1 for each rating."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.rows import CHUNKS, chunk_bounds
from mfdask.kernels.simd import LANES, add, load, store
from mfdask.kernels.types import Float32s, Int32s, Int64s

UInt16s = npt.NDArray[np.uint16]
Values = Float32s | UInt16s

#: Additions up to which one thread does them all, in some 25 milliseconds: a pass is short, and
#: threads of a busy machine wait for each other for longer.
FEW = 100_000_000
#: Ratings whose rows of values stay in the nearest cache while all lanes pass over them.
_TILE = 64
#: Bytes of values that a pass gathers from at a time: they stay in a core's own cache.
NEAR = 2**20
#: Ratings that a row has at least, in the mean, among the values that are near: to come back to a
#: row costs as much as gathering some.
_WORTH = 1024


@inner
def _sum_three(
    indices: Int32s, start: int, stop: int, values: Values, width: int, out: Float32s, base: int
) -> None:
    """Add three vectors of each rated row to those from `base` on: fewer waits than one by one."""
    one, two, three = load(out, base), load(out, base + LANES), load(out, base + 2 * LANES)
    first = base % width
    for t in range(start, stop):
        place = indices[t] * width + first
        one = add(one, load(values, place))
        two = add(two, load(values, place + LANES))
        three = add(three, load(values, place + 2 * LANES))
    store(out, base, one)
    store(out, base + LANES, two)
    store(out, base + 2 * LANES, three)


@inner
def _sum_row(
    indices: Int32s, start: int, stop: int, values: Values, width: int, out: Float32s, base: int
) -> None:
    """Add the values of what one row has rated to its sums."""
    threes = width - width % (3 * LANES)
    while start < stop:
        end = min(start + _TILE, stop)
        for v in range(0, threes, 3 * LANES):
            _sum_three(indices, start, end, values, width, out, base + v)
        for v in range(threes, width, LANES):
            total = load(out, base + v)
            for t in range(start, end):
                total = add(total, load(values, indices[t] * width + v))
            store(out, base + v, total)
        start = end


@njit(nogil=True, cache=True)
def _sum_alone(
    first: int,
    last: int,
    limit: int,
    begins: Int64s,
    ends: Int64s,
    indices: Int32s,
    values: Values,
    out: Float32s,
) -> None:
    """Go on with each row, up to the first of its ratings whose values lie beyond the limit."""
    width = values.shape[1]
    flat, sums = values.reshape(-1), out.reshape(-1)
    for row in range(first, last):
        start, stop = begins[row], ends[row]
        if limit < len(values):
            end, stop = stop, start
            while stop < end and indices[stop] < limit:
                stop += 1
            begins[row] = stop
        _sum_row(indices, start, stop, flat, width, sums, row * width)


@njit(nogil=True, parallel=True, cache=True)
def _sum_together(
    bounds: Int64s,
    limit: int,
    begins: Int64s,
    ends: Int64s,
    indices: Int32s,
    values: Values,
    out: Float32s,
) -> None:
    for c in prange(len(bounds) - 1):
        _sum_alone(bounds[c], bounds[c + 1], limit, begins, ends, indices, values, out)


def rounded(values: Float32s) -> Float32s:
    """Return values of 8 binary digits (bfloat16), as float32: `sum_rated` loses none of these."""
    bits = values.view(np.uint32) + np.uint32(0x8000)
    bits &= np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def upper_halves(values: Float32s) -> UInt16s:
    """Return the upper 16 bits of values, `rounded`: half as many bytes to gather.

    What is added up is float32 all the same.
    """
    return (rounded(values).view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def sum_rated(indptr: Int64s, indices: Int32s, values: Values, out: Float32s) -> None:
    """Fill `out` with the sums of the other side's values over what each row has rated.

    Each row is summed by one thread in the order of its ratings, so that threads change nothing.
    Where rows are long, all are summed over the first of the values, and then over the next: what
    is gathered stays in a core's own cache meanwhile, as far as a row's `indices` ascend.

    Parameters
    ----------
    indptr : int64 (rows + 1,)
    indices : int32 (ratings,)
        Rows of the other side; not checked.
    values : float32 or uint16 (rows of the other side, columns)
        Columns are a multiple of 8. Of uint16, the `upper_halves`.
    out : float32 (rows, columns)
    """
    size = max(NEAR // (values.itemsize * values.shape[1]), 1)
    if len(indices) * size < _WORTH * len(out) * len(values):
        size = len(values)
    bounds, begins, ends = chunk_bounds(indptr, CHUNKS, 1), indptr[:-1].copy(), indptr[1:]
    out[:] = 0.0
    for limit in range(size, len(values) + size, size):
        given = limit, begins, ends, indices, values, out
        if len(indices) * values.shape[1] <= FEW:
            _sum_alone(0, len(out), *given)
        else:
            _sum_together(bounds, *given)
