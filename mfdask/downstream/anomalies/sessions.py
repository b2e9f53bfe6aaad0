"""Sessions of users, with features of what was chosen and how it was rated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import svds

from mfdask.downstream.events import PAUSE, Events
from mfdask.kernels.types import Float64s, Int64s

#: Length of an item's choice vector.
CHOICE = 8
#: Ratings' worth of nothing in an item's vector and mean: who chose a rare item says little.
_SHRINK = 10.0
#: Different ratings up to which each counts for itself; beyond, it is deciles.
_MOST_VALUES = 16
#: Ratings looked at together, so that their features do not fill the memory.
_CHUNK = 500_000


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
    """

    indptr: Int64s
    first: Int64s
    n: Int64s
    means: Float64s
    scatter: Float64s
    dispersion: Float64s


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
    weights = np.repeat(per_user, np.diff(events.indptr)) * per_item[events.items]
    chosen = scipy.sparse.csr_array((weights, events.items, events.indptr), shape=shape)
    k = min(CHOICE + 1, min(shape) - 1)
    if k < 2:  # nothing beyond how many
        return np.zeros((n_items, 1))
    # The start is fixed, and not orthogonal to what is looked for: the same vectors every time.
    start = np.random.default_rng(0).random(min(shape))
    _, values, right = svds(chosen, k=k, v0=start.astype(np.float32))
    kept = np.argsort(-values)[1:]
    vectors = (right[kept].T * values[kept]).astype(np.float64) * per_item[:, None]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors * (counts / (counts + _SHRINK))[:, None])


class _Features:
    """Makes the features of ratings: what was chosen, and how it was rated."""

    def __init__(self, events: Events, n_items: int) -> None:
        self._events = events
        self.vectors = choice_vectors(events, n_items)
        values = np.unique(events.ratings)
        deciles = np.unique(np.quantile(events.ratings, np.arange(1, 10) / 10))
        self._edges = values[1:] if len(values) <= _MOST_VALUES else deciles
        counts = np.bincount(events.items, minlength=n_items)
        totals = np.bincount(events.items, events.ratings, n_items)
        mean = float(events.ratings.mean(dtype=np.float64))
        self._item_mean = (totals + _SHRINK * mean) / (counts + _SHRINK)

    def of(self, first: int, stop: int) -> Float64s:
        """Return the features of some events, float64 (events, features)."""
        items, ratings = (
            column[first:stop] for column in (self._events.items, self._events.ratings)
        )
        above = ratings - self._item_mean[items]
        return np.column_stack(
            [self.vectors[items], ratings[:, None] >= self._edges, above, np.abs(above)]
        )


def find_sessions(events: Events, n_items: int) -> Sessions:
    """Cut the events of all users into sessions and describe each."""
    first = session_starts(events)
    n = np.diff(np.append(first, len(events.items)))
    make = _Features(events, n_items)
    means: list[Float64s] = []
    scatter = np.zeros((1, 1))
    for begin, end in _chunks(first, len(events.items)):
        start, stop = first[begin], first[end] if end < len(first) else len(events.items)
        features = make.of(start, stop)
        mean = np.add.reduceat(features, first[begin:end] - start) / n[begin:end, None]
        inside = features - np.repeat(mean, n[begin:end], axis=0)
        means.append(mean)
        scatter = scatter + inside.T @ inside
    scatter /= max(n.sum() - len(n), 1)
    indptr = np.searchsorted(first, events.indptr).astype(np.int64)
    dispersion = _dispersion(events, make.vectors)
    return Sessions(indptr, first, n, np.concatenate(means), scatter, dispersion)


def _chunks(first: Int64s, n_events: int) -> Iterator[tuple[int, int]]:
    """Cut the sessions into runs of about `_CHUNK` events."""
    wanted = np.arange(_CHUNK, n_events, _CHUNK)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(first, wanted), [len(first)]]))
    yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


def _dispersion(events: Events, vectors: Float64s) -> Float64s:
    """Return how far a user's choices point into different directions."""
    n_users = len(events.indptr) - 1
    users = events.users - events.start
    length = np.linalg.norm(vectors, axis=1)
    total = np.bincount(users, length[events.items], n_users)
    sums = [np.bincount(users, column[events.items], n_users) for column in vectors.T]
    return np.asarray(1.0 - np.linalg.norm(sums, axis=0) / np.maximum(total, 1e-12))
