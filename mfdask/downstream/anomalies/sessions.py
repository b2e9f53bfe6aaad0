"""Sessions of users, with features of what was chosen and how it was rated."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mfdask.downstream.anomalies.singular import leading_vectors
from mfdask.downstream.events import PAUSE, Events, equal_cuts, user_cuts
from mfdask.kernels.profiles import add_vectors
from mfdask.kernels.sessions import add_squares, describe_sessions
from mfdask.kernels.types import Float32s, Float64s, Int64s

#: Length of an item's choice vector.
CHOICE = 8
#: Ratings' worth of nothing in an item's vector and mean: who chose a rare item says little.
_SHRINK = 10.0
#: In estimating, a session's mood counts as much as the scatter of so many ratings.
_MOOD = 10.0
#: What the platform's sessions are like is told of so many times, and of so many people more who
#: are as at all times.
_TIMES, _PEOPLE = 16, 100.0
#: Different ratings up to which each counts for itself; beyond, it is deciles.
_MOST_VALUES = 16


class Sessions(NamedTuple):
    """The sessions of all users, by user and then by time.

    Attributes
    ----------
    indptr : int64 (users + 1,)
        Where each user's sessions begin.
    first : int64 (sessions,)
        Place of each session's first event.
    n : int64 (sessions,)
        Its events.
    means : float64 (sessions, features)
        Mean features of its ratings.
    scatter : float64 (features, features)
        Covariance of ratings within a session.
    dispersion : float64 (users,)
        ``1 - |mean e| / mean |e|`` over the choice vectors of all ratings of a user, in 0 to 1.
    squares : callable, optional
        Given axes, float64 (features, axes), the sum of squares along each of a user's ratings less
        their session's mean, float64 (users, axes).
    """

    indptr: Int64s
    first: Int64s
    n: Int64s
    means: Float64s
    scatter: Float64s
    dispersion: Float64s
    squares: Callable[[Float64s], Float64s] | None = None


def session_starts(events: Events) -> Int64s:
    """Return the place of the first event of each session, int64 (sessions,)."""
    fresh = np.ones(len(events.items), bool)
    fresh[1:] = np.diff(events.timestamps) > PAUSE
    fresh[events.indptr[:-1][np.diff(events.indptr) > 0]] = True
    return np.flatnonzero(fresh)


def choice_vectors(events: Events, n_items: int) -> Float64s:
    """Return vectors of items that lie near each other where the same users choose both.

    They are the right singular vectors of ``D_u^-1/2 B D_i^-1/2``, `B` telling who rated what and
    `D` how many each has, without the first, which says no more than how many; scaled to length 1,
    and then shrunken for items that few have chosen. float64 (n_items, at most `CHOICE`).
    """
    shape = len(events.indptr) - 1, n_items
    counts = np.bincount(events.items, minlength=n_items)
    per_user = np.maximum(np.diff(events.indptr), 1).astype(np.float32) ** -0.5
    per_item = np.maximum(counts, 1).astype(np.float32) ** -0.5
    k = min(CHOICE + 1, min(shape) - 1)
    if k < 2:  # nothing beyond how many
        return np.zeros((n_items, 1))
    values, right = leading_vectors(events, np.zeros(0, np.float32), per_user, per_item, k)
    kept = np.argsort(-values)[1:]
    vectors = (right[kept].T * values[kept]) * per_item[:, None]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors * (counts / (counts + _SHRINK))[:, None])


def find_sessions(events: Events, n_items: int, vectors: Float64s | None = None) -> Sessions:
    """Cut the events of all users into sessions and describe each.

    The features of a rating are what was chosen, and how it was rated: see `describe_sessions`.
    Of those of a session is taken what the platform's sessions had at the time, see `_of_the_time`:
    years later everybody chooses among other items. `vectors` are `choice_vectors`, where they are
    known already.
    """
    vectors = choice_vectors(events, n_items) if vectors is None else vectors
    given = vectors, _edges(events.ratings), _item_means(events, n_items)
    first = session_starts(events)
    ends, width = np.append(first, len(events.items)), vectors.shape[1] + len(given[1]) + 2
    cuts, rated = equal_cuts(ends), (events.items, events.ratings)
    means, sums = np.empty((len(first), width)), np.empty((len(cuts) - 1, width, width))
    describe_sessions(cuts, ends, *rated, *given, means, sums)
    n, below = np.diff(ends), np.tril(sums.sum(axis=0))
    scatter = (below + np.tril(below, -1).T) / max(n.sum() - len(n), 1)
    indptr = np.searchsorted(first, events.indptr).astype(np.int64)

    def squares(axes: Float64s) -> Float64s:
        found, size = np.empty((len(indptr) - 1, axes.shape[1])), vectors.shape[1]
        turned, (_, edges, levels) = vectors @ axes[:size], given
        add_squares(indptr, ends, *rated, turned, edges, axes[size:], levels, found)
        return found

    means -= _of_the_time(means, n, events.timestamps[first], indptr)
    return Sessions(indptr, first, n, means, scatter, _dispersion(events, vectors), squares)


def session_weights(n: Int64s) -> Float64s:
    """Return what sessions count for: moods are as wide as the scatter of `_MOOD` ratings."""
    return np.asarray(n / (n + _MOOD))


def even_weights(n: Int64s, indptr: Int64s) -> Float64s:
    """Return what sessions count for, but those of a person together for no more than one.

    Else the few busiest people would be taken for all. float64 (sessions,).
    """
    weight = session_weights(n)
    users = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    total = np.bincount(users, weight, len(indptr) - 1)
    return np.asarray(weight / np.maximum(total, 1.0)[users])


def _of_the_time(means: Float64s, n: Int64s, times: Int64s, indptr: Int64s) -> Float64s:
    """Return by how much the platform's sessions at each one's time differ from all others.

    The mean of all people's sessions in each of `_TIMES` times with as much to say, shrunken as if
    `_PEOPLE` more were as at all times, and between the middles of two times in proportion.
    """
    weight, order = even_weights(n, indptr), np.argsort(times, kind="stable")
    share = np.cumsum(weight[order]) / max(weight.sum(), 1e-12)
    place = np.empty(len(n), np.int64)
    place[order] = np.minimum(share * _TIMES, _TIMES - 1).astype(np.int64)
    total = np.bincount(place, weight, _TIMES)
    middle = np.bincount(place, weight * times, _TIMES) / np.maximum(total, 1e-12)
    known, found = total > 0, np.empty_like(means)
    for k, feature in enumerate((means - weight @ means / max(weight.sum(), 1e-12)).T):
        away = np.bincount(place, weight * feature, _TIMES) / (total + _PEOPLE)
        found[:, k] = np.interp(times, middle[known], away[known])
    return found


def _edges(ratings: Float32s) -> Float64s:
    """Return what a rating may reach: each of a few different ones, or the deciles of many."""
    values = np.unique(ratings)
    if len(values) <= _MOST_VALUES:
        return values[1:].astype(np.float64)
    return np.unique(np.quantile(ratings, np.arange(1, 10) / 10)).astype(np.float64)


def _item_means(events: Events, n_items: int) -> Float64s:
    """Return the shrunken mean rating of each item, float64 (items,)."""
    counts = np.bincount(events.items, minlength=n_items)
    totals = np.bincount(events.items, events.ratings, n_items)
    mean = float(events.ratings.mean(dtype=np.float64))
    return np.asarray((totals + _SHRINK * mean) / (counts + _SHRINK))


def _dispersion(events: Events, vectors: Float64s) -> Float64s:
    """Return how far a user's choices point into different directions."""
    sums = vector_sums(events, vectors, np.linalg.norm(vectors, axis=1))
    return np.asarray(1.0 - np.linalg.norm(sums[:, :-1], axis=1) / np.maximum(sums[:, -1], 1e-12))


def vector_sums(
    events: Events, vectors: Float64s, lengths: Float64s, weights: Float32s | None = None
) -> Float64s:
    """Return what `add_vectors` says of all users, float64 (users, size + 1)."""
    sums = np.empty((len(events.indptr) - 1, vectors.shape[1] + 1))
    none = np.zeros(0, np.float32)
    given = events.items, none if weights is None else weights
    add_vectors(user_cuts(events), events.indptr, *given, vectors, lengths, sums)
    return sums
