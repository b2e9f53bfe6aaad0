"""Bring new ratings among sorted ones in one pass, and tell what that changed."""

from __future__ import annotations

import numpy as np
from numba import njit

from mfdask.kernels.types import Bools, Float32s, Int32s, Int64s


@njit(nogil=True, cache=True)
def _before(rows: Int32s, columns: Int32s, one: int, other: int) -> bool:
    if rows[one] != rows[other]:
        return bool(rows[one] < rows[other])
    return bool(columns[one] < columns[other])


@njit(nogil=True, cache=True)
def merge_order(
    first: Int32s, second: Int32s, rows: Int32s, columns: Int32s, order: Int32s
) -> None:
    """Merge two lists of places, each ascending by (row, column).

    Parameters
    ----------
    first, second : int32[n], int32[m]
        Places in `rows` and `columns`.
    rows, columns : int32
    order : int32[n + m]
        Filled with the places of both; of equal pairs that of `first` comes first.
    """
    i = j = 0
    while i < first.size and j < second.size:
        if _before(rows, columns, second[j], first[i]):
            order[i + j] = second[j]
            j += 1
        else:
            order[i + j] = first[i]
            i += 1
    order[i + j : first.size + j] = first[i:]
    order[first.size + j :] = second[j:]


@njit(nogil=True, cache=True)
def stay(
    order: Int32s,
    rows: Int32s,
    columns: Int32s,
    times: Int64s,
    gone_rows: Int32s,
    gone_columns: Int32s,
    until: Int64s,
) -> Bools:
    """Tell which ratings are not withdrawn.

    Parameters
    ----------
    order : int32[n]
        Places of the ratings, ascending by (row, column), no pair twice.
    rows, columns : int32[m]
    times : int64[m] or int64[0]
        Empty where there are no times: then a withdrawal takes whatever there is.
    gone_rows, gone_columns : int32[k]
        The pairs withdrawn, in any order; they need not be there.
    until : int64[k]
        Later ratings than this stay.

    Returns
    -------
    bool[n]
    """
    stays = np.ones(order.size, np.bool_)
    for k in range(until.size):
        low, high = 0, order.size
        while low < high:  # the first pair that is not before the one withdrawn
            middle = (low + high) // 2
            row = rows[order[middle]]
            column = columns[order[middle]]
            if row < gone_rows[k] or (row == gone_rows[k] and column < gone_columns[k]):
                low = middle + 1
            else:
                high = middle
        if low < order.size:
            place = order[low]
            if rows[place] == gone_rows[k] and columns[place] == gone_columns[k]:
                stays[low] = stays[low] and times.size > 0 and times[place] > until[k]
    return stays


@njit(nogil=True, cache=True)
def changes_into(
    starts: Int64s,
    columns: Int32s,
    values: Float32s,
    new_starts: Int64s,
    new_columns: Int32s,
    new_values: Float32s,
    out_rows: Int32s,
    out_columns: Int32s,
    out_values: Float32s,
) -> int:
    """List what differs between two blocks of the same rows.

    Parameters
    ----------
    starts, new_starts : int64[n_rows + 1]
    columns, new_columns : int32
        Ascending within a row.
    values, new_values : float32
    out_rows, out_columns : int32
    out_values : float32
        Filled, ascending by (row, column): the new value, NaN for an entry that is gone. As long
        as both blocks together at most.

    Returns
    -------
    int
        How many entries differ.
    """
    n = 0
    for row in range(starts.size - 1):
        i, j = starts[row], new_starts[row]
        end, new_end = starts[row + 1], new_starts[row + 1]
        while i < end or j < new_end:
            if j == new_end or (i < end and columns[i] < new_columns[j]):
                out_columns[n], out_values[n] = columns[i], np.nan
                i += 1
            elif i == end or new_columns[j] < columns[i]:
                out_columns[n], out_values[n] = new_columns[j], new_values[j]
                j += 1
            else:
                i += 1
                j += 1
                if values[i - 1] == new_values[j - 1]:
                    continue
                out_columns[n], out_values[n] = new_columns[j - 1], new_values[j - 1]
            out_rows[n] = row
            n += 1
    return n
