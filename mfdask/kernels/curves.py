"""Sums along the curve of weighted rows in an order, for many sets of weights at once."""

from __future__ import annotations

from numba import njit, prange

from mfdask.kernels.types import Float64s, Int64s

#: Columns that `walk_curves` fills.
TOTAL, HITS, AREA, PRECISION, TOP = range(5)
COLUMNS = 5


@njit(nogil=True, parallel=True, cache=True)
def walk_curves(
    order: Int64s, ends: Int64s, labels: Float64s, weights: Float64s, top: float, out: Float64s
) -> None:
    """Go along the weighted labels of rows, those with equal scores in one step.

    Parameters
    ----------
    order : int64[rows]
        The rows, the highest score first.
    ends : int64[steps]
        The last place of each step in that order.
    labels : float64[rows]
    weights : float64[draws, rows]
    top : float
        A share of all weights, in (0, 1).
    out : float64[draws, 5]
        Filled with the `TOTAL` of the weights ``w``; the `HITS`, the sum of ``w * label``; the
        `AREA` under the hits so far over the weights so far, straight within a step; `PRECISION`,
        the sum of each step's hits times the share of hits so far; and the hits in the `TOP`.
    """
    for draw in prange(len(weights)):
        own, wanted = weights[draw], 0.0
        for row in range(own.size):
            wanted += own[row]
        wanted *= top
        total, hits, area, precision, at_top = 0.0, 0.0, 0.0, 0.0, 0.0
        place = 0
        for end in ends:
            more, found = 0.0, 0.0
            while place <= end:
                row = order[place]
                more += own[row]
                found += own[row] * labels[row]
                place += 1
            if more == 0.0:
                continue
            if total < wanted:
                at_top = hits + found * min((wanted - total) / more, 1.0)
            area += more * (hits + 0.5 * found)
            total += more
            hits += found
            precision += found * hits / total
        out[draw, TOTAL], out[draw, HITS], out[draw, AREA] = total, hits, area
        out[draw, PRECISION], out[draw, TOP] = precision, at_top
