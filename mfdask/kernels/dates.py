"""Counts of times and of their days within windows, for each row."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Int64s


@njit(nogil=True, parallel=True, cache=True)
def count_within(
    cuts: Int64s,
    starts: Int64s,
    times: Int64s,
    firsts: Int64s,
    stops: Int64s,
    day: int,
    span: Int64s,
    counts: Int64s,
    days: Int64s,
) -> None:
    """Count the times of each row in each window, and the different days that they are of.

    Parameters
    ----------
    cuts : int64[parts + 1]
        The rows are gone through in so many parts.
    starts : int64[n_rows + 1]
    times : int64[n]
        In any order.
    firsts, stops : int64[windows]
        A window is from its first time to before its stop.
    day : int
        How long one is, in the unit of the times.
    span : int64[2]
        The first day of any time, and the one behind the last, counted from time 0.
    counts, days : int64[n_rows, windows]
        Zeros, which are added to.
    """
    for part in prange(cuts.size - 1):
        # The row that was seen on a day last: nothing has to be cleared from row to row.
        seen = np.full((firsts.size, span[1] - span[0]), -1, np.int64)
        for row in range(cuts[part], cuts[part + 1]):
            for i in range(starts[row], starts[row + 1]):
                for w in range(firsts.size):
                    if firsts[w] <= times[i] < stops[w]:
                        counts[row, w] += 1
                        own = times[i] // day - span[0]
                        if seen[w, own] != row:
                            seen[w, own] = row
                            days[row, w] += 1
