"""Features of the ratings of sessions."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Float32s, Float64s, Int32s, Int64s


@inner
def _features(
    item: int, rating: float, vectors: Float64s, edges: Float64s, levels: Float64s, out: Float64s
) -> None:
    """Fill in the features of a rating, see `describe_sessions`."""
    size, above = vectors.shape[1], rating - levels[item]
    for d in range(size):
        out[d] = vectors[item, d]
    for k in range(edges.size):
        out[size + k] = 1.0 if rating >= edges[k] else 0.0
    out[size + edges.size], out[size + edges.size + 1] = above, abs(above)


@njit(nogil=True, parallel=True, cache=True)
def describe_sessions(
    cuts: Int64s,
    first: Int64s,
    items: Int32s,
    ratings: Float32s,
    vectors: Float64s,
    edges: Float64s,
    levels: Float64s,
    means: Float64s,
    scatter: Float64s,
) -> None:
    """Describe sessions by the mean features of their ratings, and how these scatter around it.

    The features of a rating are the vector of its item, for each edge whether the rating reaches
    it, how far it lies above the item's level, and how far from it.

    Parameters
    ----------
    cuts : int64[parts + 1]
        Where the sessions are cut into parts of about equal numbers of ratings.
    first : int64[sessions + 1]
        Where each session begins, and where the last one ends.
    items : int32[n]
    ratings : float32[n]
    vectors : float64[n_items, size]
    edges : float64[n_edges]
    levels : float64[n_items]
    means : float64[sessions, size + n_edges + 2]
        Filled.
    scatter : float64[parts, size + n_edges + 2, size + n_edges + 2]
        Filled, but for what is above the diagonals, with the sums of the products of the features
        less their session's mean.
    """
    width = means.shape[1]
    for part in prange(cuts.size - 1):
        own = np.empty(width)
        scatter[part] = 0.0
        for session in range(cuts[part], cuts[part + 1]):
            begin, end = first[session], first[session + 1]
            mean = means[session]
            mean[:] = 0.0
            for i in range(begin, end):
                _features(items[i], ratings[i], vectors, edges, levels, own)
                mean += own
            mean /= end - begin
            for i in range(begin, end if end > begin + 1 else begin):
                _features(items[i], ratings[i], vectors, edges, levels, own)
                own -= mean
                for row in range(width):
                    for column in range(row + 1):
                        scatter[part, row, column] += own[row] * own[column]


@njit(nogil=True, parallel=True, cache=True)
def add_squares(
    starts: Int64s,
    first: Int64s,
    items: Int32s,
    ratings: Float32s,
    turned: Float64s,
    edges: Float64s,
    reached: Float64s,
    levels: Float64s,
    out: Float64s,
) -> None:
    """Add up the squares of each account's features less their session's mean, along some axes.

    Parameters
    ----------
    starts : int64[accounts + 1]
        Where each account's sessions begin.
    first : int64[sessions + 1]
        Where each session begins, and where the last one ends.
    items : int32[n]
    ratings : float32[n]
    turned : float64[n_items, axes]
        The items' vectors along the axes.
    edges : float64[n_edges]
    reached : float64[n_edges + 2, axes]
        What each feature of the rating adds: an edge that it reaches, how far it lies above the
        item's level, and how far from it.
    levels : float64[n_items]
    out : float64[accounts, axes]
        Filled.
    """
    size = turned.shape[1]
    for row in prange(starts.size - 1):
        out[row] = 0.0
        own, sums, squares = np.empty(size), np.empty(size), np.empty(size)
        for session in range(starts[row], starts[row + 1]):
            sums[:] = 0.0
            squares[:] = 0.0
            for i in range(first[session], first[session + 1]):
                above = ratings[i] - levels[items[i]]
                for d in range(size):
                    own[d] = turned[items[i], d] + above * reached[edges.size, d]
                    own[d] += abs(above) * reached[edges.size + 1, d]
                for k in range(edges.size):
                    if ratings[i] >= edges[k]:
                        for d in range(size):
                            own[d] += reached[k, d]
                for d in range(size):
                    sums[d] += own[d]
                    squares[d] += own[d] * own[d]
            n = first[session + 1] - first[session]
            for d in range(size):
                out[row, d] += max(squares[d] - sums[d] * sums[d] / n, 0.0)
