"""Sums over the ratings of each account, in one pass and over all cores."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.types import Float32s, Float64s, Int32s, Int64s

#: Columns that `describe_accounts` fills, one row an account, float64: means over its ratings.
LEVEL, UNREST, SPREAD, RARITY, POPULARITY, RANGE, HIGHEST, LOWEST = range(8)
COLUMNS = 8


@njit(nogil=True, parallel=True, cache=True)
def describe_accounts(
    cuts: Int64s,
    starts: Int64s,
    items: Int32s,
    ratings: Float32s,
    levels: Float64s,
    popularity: Float32s,
    counts: Int64s,
    ends: Float32s,
    residual: Float32s,
    out: Float64s,
) -> None:
    """Describe what each account has rated, and how.

    Parameters
    ----------
    cuts : int64[parts + 1]
        Where the accounts are cut into parts of about equal numbers of ratings.
    starts : int64[accounts + 1]
    items : int32[n]
    ratings : float32[n]
    levels : float64[n_items]
        Usual rating of each item.
    popularity : float32[n_items]
    counts : int64[n_items]
        Ratings of each item.
    ends : float32[2]
        The lowest and the highest rating that there is.
    residual : float32[n]
        Filled: a rating above the item's level, above the account's mean of that.
    out : float64[accounts, 8]
        Filled with the means of: `LEVEL`, stars above the items' levels; `UNREST`, squares of the
        residual; `SPREAD`, squares of stars above the account's mean; `RARITY`, stars apart from
        the item's level over its number of ratings; `POPULARITY` of the items, and `RANGE`, the
        squares of how far they lie from that; the shares of ratings at the `HIGHEST` and `LOWEST`
        end. 0 for an account without ratings.
    """
    for part in prange(cuts.size - 1):
        for row in range(cuts[part], cuts[part + 1]):
            first, stop = starts[row], starts[row + 1]
            sums = np.zeros(COLUMNS)
            own = 0.0
            for i in range(first, stop):
                item = items[i]
                residual[i] = np.float32(ratings[i] - levels[item])
                own += ratings[i]
                sums[LEVEL] += residual[i]
                sums[RARITY] += abs(residual[i]) / counts[item]
                sums[POPULARITY] += popularity[item]
                sums[HIGHEST] += ratings[i] == ends[1]
                sums[LOWEST] += ratings[i] == ends[0]
            n = max(stop - first, 1)
            level, mean = np.float32(sums[LEVEL] / n), np.float32(own / n)
            known = np.float32(sums[POPULARITY] / n)
            for i in range(first, stop):
                residual[i] -= level
                away, far = ratings[i] - mean, popularity[items[i]] - known
                sums[UNREST] += residual[i] * residual[i]
                sums[SPREAD] += away * away
                sums[RANGE] += far * far
            out[row] = sums / n


@njit(nogil=True, parallel=True, cache=True)
def add_vectors(
    cuts: Int64s,
    starts: Int64s,
    items: Int32s,
    weights: Float32s,
    vectors: Float64s,
    lengths: Float64s,
    out: Float64s,
) -> None:
    """Add up the vectors of each account's items, times the weights of its ratings.

    Parameters
    ----------
    cuts, starts, items
        As in `describe_accounts`.
    weights : float32[n], or float32[0]
        Empty: each is 1.
    vectors : float64[n_items, size]
    lengths : float64[n_items]
        A second thing to add up, times the squares of the weights.
    out : float64[accounts, size + 1]
        Filled with the sums, that of `lengths` last.
    """
    size = vectors.shape[1]
    for part in prange(cuts.size - 1):
        for row in range(cuts[part], cuts[part + 1]):
            sums = np.zeros(size + 1)
            for i in range(starts[row], starts[row + 1]):
                weight = weights[i] if weights.size else np.float32(1.0)
                for k in range(size):
                    sums[k] += weight * vectors[items[i], k]
                sums[size] += weight * weight * lengths[items[i]]
            out[row] = sums


@njit(nogil=True, parallel=True, cache=True)
def first_places(cuts: Int64s, starts: Int64s, items: Int32s, places: Int32s, out: Int32s) -> None:
    """Return which of an account's items comes first in each of several orders.

    Parameters
    ----------
    cuts, starts, items
        As in `describe_accounts`.
    places : int32[n_items, orders]
        The place of each item in each order.
    out : int32[accounts, orders]
        Filled with the least place of its items; the largest int32 for an account without any.
    """
    for part in prange(cuts.size - 1):
        for row in range(cuts[part], cuts[part + 1]):
            least = out[row]
            least[:] = np.iinfo(np.int32).max
            for i in range(starts[row], starts[row + 1]):
                own = places[items[i]]
                for k in range(least.size):
                    least[k] = min(least[k], own[k])


@njit(nogil=True, cache=True)
def others_mean(
    rows: Int32s, values: Float64s, n_rows: int, prior: float, shrink: float, out: Float64s
) -> None:
    """Return the mean of the other values of each value's row, shrunken.

    Parameters
    ----------
    rows : int32[n]
    values : float64[n]
        Not below 0.
    n_rows : int
    prior : float
        Counts as `shrink` other values.
    shrink : float
    out : float64[n]
        Filled.
    """
    counts, totals = np.zeros(n_rows, np.int64), np.zeros(n_rows)
    for i in range(rows.size):
        counts[rows[i]] += 1
        totals[rows[i]] += values[i]
    for i in range(rows.size):
        # A sum less its only term may come out below zero.
        others = max(totals[rows[i]] - values[i], 0.0)
        out[i] = (others + shrink * prior) / (counts[rows[i]] - 1 + shrink)


@njit(nogil=True, parallel=True, cache=True)
def add_measures(
    starts: Int64s,
    items: Int32s,
    above: Float32s,
    measures: Float64s,
    counts: Int64s,
    sums: Float64s,
) -> None:
    """Add up the measures of the accounts on either side of each item.

    Parameters
    ----------
    starts : int64[accounts + 1]
    items : int32[n]
    above : float32[n]
        Above 0 on the first side, below it on the second.
    measures : float64[accounts, size]
    counts : int64[2, n_items]
        Filled with how many accounts are on each side.
    sums : float64[2, n_items, size]
        Filled with the sums of their measures.
    """
    for side in prange(2):
        sign = 1 - 2 * side
        counts[side] = 0
        sums[side] = 0
        for row in range(starts.size - 1):
            for i in range(starts[row], starts[row + 1]):
                if sign * above[i] > 0:
                    counts[side, items[i]] += 1
                    for d in range(measures.shape[1]):
                        sums[side, items[i], d] += measures[row, d]


@njit(nogil=True, parallel=True, cache=True)
def weigh_members(
    cuts: Int64s,
    starts: Int64s,
    items: Int32s,
    above: Float32s,
    sign: int,
    evidence: Float64s,
    n: Int64s,
    sums: Float64s,
    measures: Float64s,
    mean: Float64s,
    distance: Float64s,
    best: Float64s,
    with_item: Int32s,
) -> None:
    """Say how much evidence there is that an account belongs to the raters on a side of an item.

    It is that of the item, times the share of its raters' distance from the mean that is left
    without the account, times the chance ``1 / (1 + exp(|m|^2 / 2 - m'x))`` that the account is one
    of them: `m` is the mean of the others, shrunken as James and Stein do.

    Parameters
    ----------
    cuts, starts, items
        As in `describe_accounts`.
    above : float32[n]
    sign : int
        1 or -1: on which side `above` is to lie.
    evidence : float64[n_items]
        Of the items that are looked at; 0 for the others.
    n : int64[n_items]
        Raters of each item on that side, 2 at least.
    sums : float64[n_items, size]
        Of their measures.
    measures : float64[accounts, size]
    mean : float64[size]
        Of raters of any such item.
    distance : float64[n_items]
        Squared, of an item's raters from that mean, times their number.
    best : float64[accounts]
        Raised to the largest evidence over an account's items.
    with_item : int32[accounts]
        Where it is raised: the item, the first of equal ones.
    """
    size = mean.size
    for part in prange(cuts.size - 1):
        for row in range(cuts[part], cuts[part + 1]):
            for i in range(starts[row], starts[row + 1]):
                item = items[i]
                if evidence[item] <= best[row] or sign * above[i] <= 0:
                    continue  # the other two factors are at most 1
                others = n[item] - 1
                square, along = 0.0, 0.0
                for d in range(size):
                    own = measures[row, d]
                    away = (sums[item, d] - own) / others - mean[d]
                    square += away * away
                    along += away * (own - mean[d])
                shrunk = max(1.0 - (size - 2) / max(others * square, 1e-12), 0.0)
                left = min(others * square / max(distance[item], 1e-12), 1.0)
                log = shrunk * along - shrunk * shrunk * square / 2
                found = evidence[item] * left / (1.0 + np.exp(-max(log, -700.0)))
                if found > best[row]:
                    best[row], with_item[row] = found, item
