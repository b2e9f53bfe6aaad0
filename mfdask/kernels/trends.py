"""Steps and trends in many short time series of residuals."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Float32s, Float64s, Int64s

#: Columns that `find_steps` fills, one row a series, float64.
EVIDENCE, PLACE, STEP, SURENESS = range(4)
#: Columns that `find_trends` fills.
SCORE, SLOPE = range(2)


@inner
def _find_step(
    values: Float64s,
    weights: Float64s,
    spread: float,
    background: float,
    deflate: bool,
    trim: float,
    out: Float64s,
) -> None:
    n = len(values)
    total = weights.sum()
    mean = (weights * values).sum() / total
    first = max(int(np.ceil(trim * n)), 1)
    weight = 0.0
    moved = 0.0
    evidence = 0.0  # mean of the exponentials, kept as exp(highest) * evidence
    highest = -np.inf
    best = -1.0
    tried = 0
    for k in range(1, n - first + 1):
        weight += weights[k - 1]
        moved += weights[k - 1] * (values[k - 1] - mean)
        if k < first:
            continue
        tried += 1
        information = weight * (total - weight) / total
        usual = 1.0 + background * information
        square = moved * moved / information
        if deflate:
            square /= usual
        ratio = 1.0 + spread * information / usual
        log = 0.5 * (square * (1.0 - 1.0 / ratio) - np.log(ratio))
        if log > highest:
            evidence = evidence * np.exp(highest - log) + 1.0
            highest = log
        else:
            evidence += np.exp(log - highest)
        if square > best:
            best = square
            out[PLACE] = k
            out[STEP] = -moved / information
            out[SURENESS] = np.sqrt(square)
    if tried > 0:
        out[EVIDENCE] = highest + np.log(evidence / tried)


@njit(nogil=True, parallel=True, cache=True)
def find_steps(
    indptr: Int64s,
    values: Float64s,
    weights: Float64s,
    spread: float,
    background: float,
    trim: float,
    out: Float64s,
) -> None:
    """Weigh a single step in each series against none.

    With ``C_k`` the sum of the first `k` weighted deviations from the series' mean, and ``I_k = W_k
    (W - W_k) / W`` of the weights, ``-C_k / I_k`` is the step behind `k`, of variance ``1 / I_k``,
    and more by `background` in a series that moves no more than others do. The evidence is the log
    of the mean over `k` of the Bayes factor for a step drawn from ``N(0, spread)`` on top.

    Parameters
    ----------
    indptr : int64 (series + 1,)
        Where each series begins.
    values : float64 (values,)
        In order of time within a series.
    weights : float64 (values,)
        One over the variance of each.
    spread, background : float
        Variances in squared units of the values.
    trim : float
        Share at either end in which no step is looked for.
    out : float64 (series, 4)
        Filled with `EVIDENCE` (log), and of the likeliest step `PLACE` (first value behind it),
        `STEP` and `SURENESS` (standard deviations).
    """
    for s in prange(len(indptr) - 1):
        first, stop = indptr[s], indptr[s + 1]
        out[s] = 0.0
        if stop - first > 1:
            own = values[first:stop], weights[first:stop]
            _find_step(own[0], own[1], spread, background, True, trim, out[s])


@njit(nogil=True, parallel=True, cache=True)
def find_steps_shuffled(
    indptr: Int64s,
    values: Float64s,
    weights: Float64s,
    keys: Float32s,
    spread: float,
    background: float,
    trim: float,
    out: Float64s,
) -> None:
    """Do as `find_steps` with each series in the order of its `keys`, float32 (values,).

    What is shuffled moves by chance alone: nothing of the background is in it.
    """
    for s in prange(len(indptr) - 1):
        first, stop = indptr[s], indptr[s + 1]
        order = first + np.argsort(keys[first:stop])
        out[s] = 0.0
        if stop - first > 1:
            _find_step(values[order], weights[order], spread, background, False, trim, out[s])


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
    slopes = np.sort(slopes)
    median = (slopes[(place - 1) // 2] + slopes[place // 2]) / 2.0
    return score / np.sqrt(variance), median


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
