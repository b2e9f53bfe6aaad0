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
def weigh_members(
    items: Int32s,
    users: Int32s,
    n: Int64s,
    sums: Float64s,
    measures: Float64s,
    mean: Float64s,
    distance: Float64s,
    out: Float64s,
) -> None:
    """Say how much each rater of an item resembles its other raters.

    Parameters
    ----------
    items, users : int32[pairs]
    n : int64[n_items]
        Raters of each item, 2 at least.
    sums : float64[n_items, size]
        Of their measures.
    measures : float64[accounts, size]
    mean : float64[size]
        Of raters of any such item.
    distance : float64[n_items]
        Squared, of an item's raters from that mean, times their number.
    out : float64[pairs, 2]
        Filled with the share of that distance that is left without the rater, 1 at most, and the
        log of how much likelier the rater is one of the others than anybody: ``m'x - |m|^2 / 2``,
        `m` their mean, shrunken as James and Stein do.
    """
    size = mean.size
    for k in prange(items.size):
        item, user = items[k], users[k]
        others = n[item] - 1
        square, along = 0.0, 0.0
        for d in range(size):
            own = measures[user, d]
            away = (sums[item, d] - own) / others - mean[d]
            square += away * away
            along += away * (own - mean[d])
        shrunk = max(1.0 - (size - 2) / max(others * square, 1e-12), 0.0)
        out[k, 0] = min(others * square / max(distance[item], 1e-12), 1.0)
        out[k, 1] = shrunk * along - shrunk * shrunk * square / 2
