"""Look-up, insertion and comparison of pairs in sorted rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mfdask.kernels.types import Float32s, Int32s, Int64s


@njit(nogil=True, cache=True)
def find_pairs(starts: Int64s, columns: Any, rows: Int32s, wanted: Any) -> Int64s:
    """Return where each pair is, or would have to stand: the first place not before it.

    Parameters
    ----------
    starts : int64[n_rows + 1]
    columns : int[n]
        Ascending within a row.
    rows : int32[k]
    wanted : int[k]
        Row and column of each pair.

    Returns
    -------
    int64[k]
        From ``starts[row]`` to ``starts[row + 1]``.
    """
    places = np.empty(rows.size, np.int64)
    for k in range(rows.size):
        low, high = starts[rows[k]], starts[rows[k] + 1]
        while low < high:
            middle = (low + high) // 2
            if columns[middle] < wanted[k]:
                low = middle + 1
            else:
                high = middle
        places[k] = low
    return places


@njit(nogil=True, cache=True)
def insert_into(values: Any, places: Int64s, new: Any, out: Any) -> None:
    """Copy values with new ones between them.

    Parameters
    ----------
    values : array[n]
    places : int64[k]
        Ascending: in front of which value each new one goes, `n` for the end.
    new : array[k]
    out : array[n + k]
        Filled.
    """
    begin = 0
    for k in range(places.size):
        end = places[k]
        out[begin + k : end + k] = values[begin:end]
        out[end + k] = new[k]
        begin = end
    out[begin + places.size :] = values[begin:]


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
        Filled, ascending by (row, column): the new value, NaN for an entry that is gone. Both
        blocks together are as long as they can have to be.

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
            if i < end and j < new_end and columns[i] == new_columns[j]:  # most are
                i += 1
                j += 1
                if values[i - 1] == new_values[j - 1]:
                    continue
                out_columns[n], out_values[n] = new_columns[j - 1], new_values[j - 1]
            elif j == new_end or (i < end and columns[i] < new_columns[j]):
                out_columns[n], out_values[n] = columns[i], np.nan
                i += 1
            else:
                out_columns[n], out_values[n] = new_columns[j], new_values[j]
                j += 1
            out_rows[n] = row
            n += 1
    return n
