"""Hold out ratings by a hash, or the last ones of each user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Bools, Int32s, Int64s

Keys = npt.NDArray[np.uint64]


@njit(nogil=True, cache=True)
def _mix(z: np.uint64) -> np.uint64:
    """Hash 64 bits to 64 bits: the finaliser of splitmix64."""
    z += np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inner
def _drawn(bits: np.uint64, share: float) -> bool:
    """Whether 53 bits of a hash, read as a number in [0, 1), are below the share."""
    return bool(np.float64(bits >> np.uint64(11)) * 2.0**-53 < share)


@njit(nogil=True, cache=True)
def hold_out_by_hash(
    places: Int32s,
    rows: Int32s,
    columns: Int32s,
    row_keys: Keys,
    column_keys: Keys,
    seed: np.uint64,
    share: float,
) -> Bools:
    """Tell which ratings a hash of (seed, row key, column key) holds out.

    Parameters
    ----------
    places : int32[n]
        The ratings in question.
    rows, columns : int32[m]
        Of all ratings.
    row_keys, column_keys : uint64
        A key for each row and column.
    seed : uint64
    share : float
        In (0, 1).

    Returns
    -------
    bool[n]
    """
    held = np.empty(places.size, np.bool_)
    start = _mix(seed)
    row = -1
    row_bits = start
    for i in range(places.size):
        place = places[i]
        if rows[place] != row:  # the places of a row mostly follow each other
            row = rows[place]
            row_bits = _mix(start ^ row_keys[row])
        bits = _mix(row_bits ^ column_keys[columns[place]])
        held[i] = _drawn(bits, share)
    return held


@njit(nogil=True, cache=True)
def hold_out_columns_by_hash(
    places: Int32s, columns: Int32s, column_keys: Keys, seed: np.uint64, share: float
) -> Bools:
    """Tell which ratings are of a column that a hash of (seed, column key) holds out.

    Parameters
    ----------
    places : int32[n]
        The ratings in question.
    columns : int32[m]
        Of all ratings.
    column_keys : uint64
        A key for each column.
    seed : uint64
    share : float
        In (0, 1), of the columns.

    Returns
    -------
    bool[n]
    """
    start = _mix(seed)
    held = np.empty(places.size, np.bool_)
    for i in range(places.size):
        held[i] = _drawn(_mix(start ^ column_keys[columns[places[i]]]), share)
    return held


@njit(nogil=True, cache=True)
def hold_out_last(
    places: Int32s,
    rows: Int32s,
    columns: Int32s,
    n_rows: int,
    times: Int64s,
    column_keys: Keys,
    n_last: Int64s,
) -> Bools:
    """Tell which ratings are among the last of their row.

    Parameters
    ----------
    places : int32[n]
        The ratings in question, ascending by row.
    rows, columns : int32[m]
    n_rows : int
    times : int64[m]
        Of all ratings.
    column_keys : uint64
        A key for each column: of equally late ratings that of the largest hash is the latest,
        whatever their order.
    n_last : int64[n_rows]
        How many of each row.

    Returns
    -------
    bool[n]
    """
    held = np.zeros(places.size, np.bool_)
    begin = 0
    for row in range(n_rows):
        end = begin
        while end < places.size and rows[places[end]] == row:
            end += 1
        if n_last[row]:
            ties = np.empty(end - begin, np.uint64)
            for i in range(begin, end):
                ties[i - begin] = _mix(column_keys[columns[places[i]]])
            by_tie = np.argsort(ties, kind="mergesort")
            by_time = np.argsort(times[places[begin:end][by_tie]], kind="mergesort")
            for i in by_tie[by_time[by_time.size - n_last[row] :]]:
                held[begin + i] = True
        begin = end
    return held
