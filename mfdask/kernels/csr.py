"""Sort ratings into compressed sparse rows, without duplicates, and transpose them.

Large arrays are made by the callers: NumPy asks for huge pages, and Numba does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Float32s, Int32s, Int64s


@njit(nogil=True, cache=True)
def counting_order(keys: Int32s, n_keys: int) -> tuple[Int32s, Int64s]:
    """Sort small whole numbers.

    Parameters
    ----------
    keys : int32[n]
        From 0 to `n_keys` - 1.
    n_keys : int

    Returns
    -------
    order : int32[n]
        Places of the keys, ascending by key, equal ones as they came.
    starts : int64[n_keys + 1]
        Where each key begins in `order`.
    """
    starts = np.zeros(n_keys + 1, np.int64)
    for key in keys:
        starts[key + 1] += 1
    for key in range(n_keys):
        starts[key + 1] += starts[key]
    order = np.empty(keys.size, np.int32)
    place = starts.copy()
    for i in range(keys.size):
        order[place[keys[i]]] = i
        place[keys[i]] += 1
    return order, starts


@inner
def _sort_row(keys: Int64s, room: Int64s, counts: Int32s, digit_bits: int) -> None:
    """Sort keys by the two digits of `digit_bits` above bit 32: counting, twice, so stable."""
    mask = counts.size - 1
    for step in range(2):
        shift = 32 + step * digit_bits
        counts[:] = 0
        for i in range(keys.size):
            counts[(keys[i] >> shift) & mask] += 1
        place = 0
        for digit in range(counts.size):
            count = counts[digit]
            counts[digit] = place
            place += count
        for i in range(keys.size):
            digit = (keys[i] >> shift) & mask
            room[counts[digit]] = keys[i]
            counts[digit] += 1
        keys, room = room, keys


@inner
def _sort_short(keys: Int64s) -> None:
    """Sort keys by insertion; Numba's own sort takes a second to compile."""
    for i in range(1, keys.size):
        key = keys[i]
        place = i
        while place > 0 and keys[place - 1] > key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key


@njit(nogil=True, cache=True)
def sort_pairs(
    rows: Int32s, n_rows: int, columns: Int32s, n_columns: int, keys: Int64s, order: Int32s
) -> None:
    """Sort (row, column) pairs by both; equal pairs stay as they came.

    Parameters
    ----------
    rows, columns : int32[n]
    n_rows, n_columns : int
    keys : int64[n]
        Room to work in.
    order : int32[n]
        Filled with the places of the pairs.
    """
    by_row, starts = counting_order(rows, n_rows)
    for i in range(by_row.size):
        # The place below the column makes the keys different, so that any sort is stable.
        keys[i] = (np.int64(columns[by_row[i]]) << 32) | by_row[i]
    digit_bits = 1
    while 1 << (2 * digit_bits) < n_columns:
        digit_bits += 1
    counts = np.empty(1 << digit_bits, np.int32)
    longest = 0
    for row in range(n_rows):
        longest = max(longest, starts[row + 1] - starts[row])
    room = np.empty(longest, np.int64)
    for row in range(n_rows):
        mine = keys[starts[row] : starts[row + 1]]
        # Counting goes through all digits twice: short rows are compared, which is quicker.
        if 16 * mine.size < counts.size:
            _sort_short(mine)
        else:
            _sort_row(mine, room[: mine.size], counts, digit_bits)
    for i in range(keys.size):
        order[i] = keys[i] & 0x7FFFFFFF


@njit(nogil=True, cache=True)
def gather_into(values: Any, places: Int32s, out: Any) -> None:
    """Write ``values[places]`` to `out`."""
    for i in range(places.size):
        out[i] = values[places[i]]


@njit(nogil=True, cache=True)
def keep_latest(order: Int32s, rows: Int32s, columns: Int32s, times: Int64s) -> int:
    """Keep one of each run of equal pairs: the latest, and of equally late ones the last.

    Parameters
    ----------
    order : int32[n]
        From `sort_pairs`. Its start is overwritten with the places that stay.
    rows, columns : int32[n]
    times : int64[n] or int64[0]
        Empty where there are no times: then the last of the run stays.

    Returns
    -------
    int
        How many places stay.
    """
    n = 0
    for this in order:
        if n > 0:
            last = order[n - 1]
            if rows[last] == rows[this] and columns[last] == columns[this]:
                if times.size == 0 or times[this] >= times[last]:
                    order[n - 1] = this
                continue
        order[n] = this
        n += 1
    return n


@njit(nogil=True, cache=True)
def add_repeats(order: Int32s, rows: Int32s, columns: Int32s, values: Float32s) -> None:
    """Put the sum of each run of equal pairs, from `sort_pairs`, in the place of all its values.

    Parameters
    ----------
    order, rows, columns : int32[n]
    values : float32[n]
        Overwritten; a run is added up in float64.
    """
    begin = 0
    total = 0.0
    for end in range(order.size):
        total += values[order[end]]
        this = order[end]
        if end + 1 < order.size:
            following = order[end + 1]
            if rows[this] == rows[following] and columns[this] == columns[following]:
                continue
        for i in range(begin, end + 1):
            values[order[i]] = total
        begin = end + 1
        total = 0.0


@njit(nogil=True, cache=True)
def drop_repeats(values: Float32s, out: Float32s) -> int:
    """Leave out most repeats of values: of a few different ones nearly all.

    A value is looked up in a table of those seen last, and hashing what is left is quick.

    Parameters
    ----------
    values : float32[n]
    out : float32[n]
        Its start is filled with each value at least once, in the order in which they come first.

    Returns
    -------
    int
        How many are left.
    """
    last = np.empty(1024, np.float32)
    last[:] = np.nan
    bits = values.view(np.uint32)
    n = 0
    for i in range(values.size):
        slot = (np.uint64(bits[i]) * np.uint64(0x9E3779B1)) >> np.uint64(32) & np.uint64(1023)
        if last[slot] != values[i]:
            last[slot] = values[i]
            out[n] = values[i]
            n += 1
    return n


@njit(nogil=True, cache=True)
def row_starts(rows: Int32s, places: Int32s, n_rows: int) -> Int64s:
    """Return where each row begins: int64[n_rows + 1], over ``rows[places]``, which ascend."""
    starts = np.zeros(n_rows + 1, np.int64)
    for place in places:
        starts[rows[place] + 1] += 1
    for row in range(n_rows):
        starts[row + 1] += starts[row]
    return starts


@njit(nogil=True, cache=True)
def count_newer(starts: Int64s, times: Int64s, newer: Int32s) -> None:
    """Write for each rating how many of its row are newer; those of the same time are not.

    Parameters
    ----------
    starts : int64[n_rows + 1]
    times : int64[n]
    newer : int32[n]
        Filled.
    """
    for row in range(starts.size - 1):
        own = np.sort(times[starts[row] : starts[row + 1]])
        for i in range(starts[row], starts[row + 1]):
            newer[i] = own.size - np.searchsorted(own, times[i], side="right")


@njit(nogil=True, cache=True)
def count_columns(columns: Int32s, first: int, counts: Int64s) -> None:
    """Add to ``counts[c]`` how often column `first` + c occurs, for all c below its length."""
    for column in columns:
        if first <= column < first + counts.size:
            counts[column - first] += 1


@njit(nogil=True, cache=True)
def transpose_into(
    starts: Int64s,
    columns: Int32s,
    values: Float32s,
    first_row: int,
    first: int,
    place: Int64s,
    out_rows: Int32s,
    out_values: Float32s,
) -> None:
    """Write a range of columns of a block of rows as rows of the transpose.

    Parameters
    ----------
    starts : int64[n_rows + 1]
    columns : int32[n]
    values : float32[n]
        The block of rows.
    first_row : int
        Number of its first row.
    first : int
        First column of the range; the range is as long as `place`.
    place : int64[n_columns]
        Where the next entry of each column goes; moved on by what is written.
    out_rows : int32[m]
    out_values : float32[m]
        The transpose, filled row block by row block: rows ascend within a column.
    """
    for row in range(starts.size - 1):
        for i in range(starts[row], starts[row + 1]):
            c = columns[i] - first
            if 0 <= c < place.size:
                out_rows[place[c]] = first_row + row
                out_values[place[c]] = values[i]
                place[c] += 1
