"""Trends in many short time series of residuals."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Float64s, Int64s

#: Columns that `find_trends` fills, one row a series, float64.
SCORE, SLOPE = range(2)


@njit(nogil=True, cache=True)
def bin_means(values: Float64s, bins: int) -> Float64s:
    """Return the means of `bins` runs of equal length, or nearly so, float64 (bins,)."""
    n = len(values)
    means = np.empty(bins)
    for b in range(bins):
        first, stop = n * b // bins, n * (b + 1) // bins
        means[b] = values[first:stop].sum() / (stop - first)
    return means


@inner
def _ties(values: Float64s) -> float:
    """Return the sum of ``t (t - 1) (2 t + 5)`` over runs of `t` equal values."""
    ordered = np.sort(values)
    total = 0.0
    run = 1.0
    for i in range(1, len(ordered) + 1):
        if i < len(ordered) and ordered[i] == ordered[i - 1]:
            run += 1.0
        else:
            total += run * (run - 1.0) * (2.0 * run + 5.0)
            run = 1.0
    return total


@njit(nogil=True, cache=True)
def mann_kendall(values: Float64s) -> tuple[float, float]:
    """Return the Mann-Kendall score in standard deviations, and the Sen slope a step.

    The score is ``S = sum_{i<j} sign(x_j - x_i)`` over the square root of ``(n (n - 1) (2 n + 5) -
    sum_t t (t - 1) (2 t + 5)) / 18``, the sum over runs of equal values (Kendall 1975); the slope
    is the median of ``(x_j - x_i) / (j - i)`` (Sen 1968). Both are 0 where all values are equal.
    """
    n = len(values)
    variance = (n * (n - 1.0) * (2.0 * n + 5.0) - _ties(values)) / 18.0
    if variance <= 0.0:
        return 0.0, 0.0
    slopes = np.empty(n * (n - 1) // 2)
    score = 0.0
    place = 0
    for i in range(n):
        for j in range(i + 1, n):
            score += np.sign(values[j] - values[i])
            slopes[place] = (values[j] - values[i]) / (j - i)
            place += 1
    return score / np.sqrt(variance), np.median(slopes)  # which need not be sorted for it


@njit(nogil=True, parallel=True, cache=True)
def find_trends(indptr: Int64s, values: Float64s, bins: int, out: Float64s) -> None:
    """Measure the trend of each series on the means of `bins` runs, or on its values if fewer.

    Parameters
    ----------
    indptr : int64 (series + 1,)
    values : float64 (values,)
        In order of time within a series.
    bins : int
    out : float64 (series, 2)
        Filled with `SCORE` (Mann-Kendall, standard deviations) and `SLOPE` (Sen, over the whole
        series).
    """
    for s in prange(len(indptr) - 1):
        own = values[indptr[s] : indptr[s + 1]]
        out[s] = 0.0
        if len(own) > 1:
            n = min(bins, len(own))
            score, slope = mann_kendall(bin_means(own, n))
            out[s, SCORE] = score
            out[s, SLOPE] = slope * (n - 1)


@njit(nogil=True, parallel=True, cache=True)
def sum_runs(
    edges: Int64s, weights: Float64s, values: Float64s, weight: Float64s, total: Float64s
) -> None:
    """Add up the weights, and the weights times the values, before each edge of each series.

    Parameters
    ----------
    edges : int64 (series, edges)
        Places, ascending.
    weights, values : float64 (values,)
    weight, total : float64 (series, edges)
        Filled; 0 at the first edge.
    """
    for s in prange(edges.shape[0]):
        whole, weighted = 0.0, 0.0
        weight[s, 0], total[s, 0] = whole, weighted
        for k in range(1, edges.shape[1]):
            for i in range(edges[s, k - 1], edges[s, k]):
                whole += weights[i]
                weighted += weights[i] * values[i]
            weight[s, k], total[s, k] = whole, weighted


@njit(nogil=True, parallel=True, cache=True)
def sum_successive(indptr: Int64s, values: Float64s, variances: Float64s, out: Float64s) -> None:
    """Add up half the squares of the differences of successive values, in standard deviations.

    Parameters
    ----------
    indptr : int64 (series + 1,)
    values, variances : float64 (values,)
        In order of time within a series.
    out : float64 (series,)
        Filled.
    """
    for s in prange(len(indptr) - 1):
        total = 0.0
        for i in range(indptr[s] + 1, indptr[s + 1]):
            last = values[i - 1] / np.sqrt(variances[i - 1])
            away = values[i] / np.sqrt(variances[i]) - last
            total += away * away / 2
        out[s] = total
