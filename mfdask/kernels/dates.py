"""What the times of each row are within windows: how many, of how many days, from when to when."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Int64s

#: What `describe_times` fills.
COUNT, DAYS, FIRST, LAST = range(4)


@njit(nogil=True, parallel=True, cache=True)
def describe_times(
    cuts: Int64s,
    starts: Int64s,
    times: Int64s,
    firsts: Int64s,
    stops: Int64s,
    day: int,
    span: Int64s,
    out: Int64s,
) -> None:
    """Describe the times of each row in each window.

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
    out : int64[n_rows, windows, 4]
        Zeros, which are filled with the `COUNT` of the times, the different `DAYS` that they are
        of, and where there are any, the `FIRST` and the `LAST`.
    """
    for part in prange(cuts.size - 1):
        # The row that was seen on a day last: nothing has to be cleared from row to row.
        seen = np.full((firsts.size, span[1] - span[0]), -1, np.int32)
        for row in range(cuts[part], cuts[part + 1]):
            for i in range(starts[row], starts[row + 1]):
                for w in range(firsts.size):
                    if firsts[w] <= times[i] < stops[w]:
                        found = out[row, w]
                        if found[COUNT] == 0:
                            found[FIRST] = times[i]
                            found[LAST] = times[i]
                        found[COUNT] += 1
                        found[FIRST] = min(found[FIRST], times[i])
                        found[LAST] = max(found[LAST], times[i])
                        own = times[i] // day - span[0]
                        if seen[w, own] != row:
                            seen[w, own] = row
                            found[DAYS] += 1
