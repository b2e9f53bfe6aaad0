"""What was known before a cut-off: ratings counted and gathered from the shards of users.

Both leave out the pairs of user and item of a log, whose events speak for themselves.
"""

from __future__ import annotations

from numba import njit

from mfdask.kernels.types import Bools, Float32s, Int32s, Int64s


@njit(nogil=True, cache=True)
def count_before(
    starts: Int64s,
    columns: Int32s,
    times: Int64s,
    log_starts: Int64s,
    log_columns: Int32s,
    cutoffs: Int64s,
    chosen: Bools,
    rows: Int64s,
    others: Int64s,
) -> None:
    """Count the entries of each row, and of each column, before each cut-off.

    Parameters
    ----------
    starts : int64[n_rows + 1]
    columns : int32[n]
        Ascending within a row.
    times : int64[n]
    log_starts : int64[n_rows + 1]
    log_columns : int32[m]
        Ascending within a row; entries of the same pairs are left out.
    cutoffs : int64[k]
    chosen : bool[k, n_rows]
        Rows that count.
    rows : int64[k, n_rows]
    others : int64[k, n_columns]
        Added to.
    """
    for row in range(starts.size - 1):
        j = log_starts[row]
        for i in range(starts[row], starts[row + 1]):
            while j < log_starts[row + 1] and log_columns[j] < columns[i]:
                j += 1
            if j < log_starts[row + 1] and log_columns[j] == columns[i]:
                continue
            for k in range(cutoffs.size):
                if chosen[k, row] and times[i] < cutoffs[k]:
                    rows[k, row] += 1
                    others[k, columns[i]] += 1


@njit(nogil=True, cache=True)
def take_before(
    starts: Int64s,
    columns: Int32s,
    values: Float32s,
    times: Int64s,
    weights: Float32s,
    log_starts: Int64s,
    log_columns: Int32s,
    cutoff: int,
    row_places: Int32s,
    column_places: Int32s,
    n: int,
    out_rows: Int32s,
    out_columns: Int32s,
    out_values: Float32s,
    out_times: Int64s,
    out_weights: Float32s,
) -> int:
    """Write the entries of some rows before a cut-off, with new numbers of rows and columns.

    Parameters
    ----------
    starts, columns, times, log_starts, log_columns
        As in `count_before`.
    values : float32[n]
    weights : float32[n] or float32[0]
        Empty where there are none.
    cutoff : int
    row_places : int32[n_rows]
        New numbers, -1 for rows that are left out.
    column_places : int32[n_columns]
        New numbers; of entries that are written none is -1.
    n : int
        Where to begin in the arrays that are filled.
    out_rows, out_columns, out_values, out_times, out_weights : arrays
        Filled in the order of the entries; weights where there are any.

    Returns
    -------
    int
        Where the entries end.
    """
    for row in range(starts.size - 1):
        if row_places[row] < 0:
            continue
        j = log_starts[row]
        for i in range(starts[row], starts[row + 1]):
            while j < log_starts[row + 1] and log_columns[j] < columns[i]:
                j += 1
            logged = j < log_starts[row + 1] and log_columns[j] == columns[i]
            if logged or times[i] >= cutoff:
                continue
            out_rows[n] = row_places[row]
            out_columns[n] = column_places[columns[i]]
            out_values[n] = values[i]
            out_times[n] = times[i]
            if weights.size:
                out_weights[n] = weights[i]
            n += 1
    return n
