"""Features of the ratings of sessions."""

from __future__ import annotations

from numba import njit, prange

from mfdask.kernels.types import Float32s, Float64s, Int32s, Int64s


@njit(nogil=True, parallel=True, cache=True)
def describe_sessions(
    first: Int64s,
    items: Int32s,
    ratings: Float32s,
    vectors: Float64s,
    edges: Float64s,
    levels: Float64s,
    means: Float64s,
    away: Float64s,
) -> None:
    """Describe the ratings of sessions by their mean features, and what is left of each.

    The features of a rating are the vector of its item, for each edge whether the rating reaches
    it, how far it lies above the item's level, and how far from it.

    Parameters
    ----------
    first : int64[sessions + 1]
        Where each session begins, from the first rating that is given, and where the last one ends.
    items : int32[n]
    ratings : float32[n]
    vectors : float64[n_items, size]
    edges : float64[n_edges]
    levels : float64[n_items]
    means : float64[sessions, size + n_edges + 2]
        Filled.
    away : float64[n, size + n_edges + 2]
        Filled with the features less the session's mean.
    """
    size = vectors.shape[1]
    above = size + edges.size
    for session in prange(first.size - 1):
        mean = means[session]
        mean[:] = 0.0
        for i in range(first[session], first[session + 1]):
            away[i, :size] = vectors[items[i]]
            for k in range(edges.size):
                away[i, size + k] = 1.0 if ratings[i] >= edges[k] else 0.0
            away[i, above] = ratings[i] - levels[items[i]]
            away[i, above + 1] = abs(away[i, above])
            mean += away[i]
        mean /= first[session + 1] - first[session]
        for i in range(first[session], first[session + 1]):
            away[i] -= mean
