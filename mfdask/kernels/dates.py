"""What the times of each row are in stretches of whole days: how many, of how many days."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Int32s, Int64s

#: Seconds; known when compiled, for dividing by it is most of the work.
_DAY = 86_400


@njit(nogil=True, parallel=True, cache=True)
def describe_times(
    cuts: Int64s,
    starts: Int64s,
    times: Int64s,
    first_day: int,
    stretch: Int32s,
    counts: Int32s,
    days: Int32s,
    last: Int64s,
    first: Int64s,
) -> None:
    """Describe the times of each row in stretches of days.

    Parameters
    ----------
    cuts : int64[parts + 1]
        The rows are gone through in so many parts.
    starts : int64[n_rows + 1]
    times : int64[n]
        Seconds, in any order.
    first_day : int
        The first day of any time, counted from time 0.
    stretch : int32[n_days]
        Number of the stretch of each day from there on.
    counts, days : int32[n_rows, stretches]
        Zeros; filled with the number of times, and of the different days that they are of.
    last : int64[n_rows, stretches]
        Raised to the last time.
    first : int64[n_rows]
        Lowered to the first time of all.
    """
    for part in prange(cuts.size - 1):
        # The row that was seen on a day last: nothing has to be cleared from row to row.
        seen = np.full(stretch.size, -1, np.int32)
        for row in range(cuts[part], cuts[part + 1]):
            for i in range(starts[row], starts[row + 1]):
                own = times[i] // _DAY - first_day
                k = stretch[own]
                counts[row, k] += 1
                if seen[own] != row:
                    seen[own] = row
                    days[row, k] += 1
                last[row, k] = max(last[row, k], times[i])
                first[row] = min(first[row], times[i])
