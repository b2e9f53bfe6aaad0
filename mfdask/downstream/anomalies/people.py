"""Within-person and between-person differences of sessions, learned from all accounts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from mfdask.downstream.anomalies.sessions import Sessions, even_weights, session_weights
from mfdask.kernels.types import Float64s

#: Directions are found for sessions of this length.
_USUAL_SESSION = 15.0
#: Directions in which people differ less than this, in units of how sessions do, are left out.
_LEAST = 0.02
#: Ratings' worth of the common scatter that is mixed into each person's own.
_SHRINK = 30.0
#: Variance added to every feature's scatter: one that never varies can still be weighed.
_RIDGE = 1e-4


class People(NamedTuple):
    """Sessions in the directions in which people differ most against their own sessions.

    Attributes
    ----------
    means : float64 (sessions, directions)
        A session is its person's centre plus noise.
    precision : float64 (sessions, directions)
        One over the variance of that noise: mood, and scatter of the ratings.
    variance : float64 (directions,)
        Of people's centres around zero.
    """

    means: Float64s
    precision: Float64s
    variance: Float64s


def compare_people(sessions: Sessions) -> People:
    """Estimate variances between people, between sessions and within sessions, by their moments.

    With sessions ``x_s = centre + mood + scatter`` of variances `B`, `W` and ``E / n_s``, weights
    ``w_s`` and their sum `w_u` for each person, the scatter of sessions around their person's mean
    has the expectation ``sum_s (w_s - w_s^2 / w_u) (W + E / n_s)``; that of people's means has `B`
    and what `W` and `E` leave in them. For `W` no person counts for more than one session.
    Directions are the generalised eigenvectors of `B` and the noise of a usual session, as in
    linear discriminant analysis. In each of them `E` is a person's own, see `_own_scatter`.
    """
    n_users = len(sessions.indptr) - 1
    users = np.repeat(np.arange(n_users), np.diff(sessions.indptr))
    weight = session_weights(sessions.n)
    total = np.bincount(users, weight, n_users)
    seen = np.maximum(total, 1e-12)
    sums = [np.bincount(users, weight * column, n_users) for column in sessions.means.T]
    centres = np.stack(sums, axis=1) / seen[:, None]
    trust = total / (total + 0.5)  # a person of one short session says little
    middle = trust @ centres / trust.sum()
    scatter = sessions.scatter + _RIDGE * np.eye(len(sessions.scatter))
    mood = _mood(sessions, centres[users], weight / seen[users], scatter)
    left = [
        np.bincount(users, weight**2 / each, n_users) / seen**2
        for each in (np.ones(len(weight)), sessions.n)
    ]
    away = centres - middle
    between = (away.T * trust) @ away - (trust @ left[0]) * mood - (trust @ left[1]) * scatter
    return _rotated(sessions, middle, between / trust.sum(), mood, scatter)


def _mood(sessions: Sessions, centres: Float64s, share: Float64s, scatter: Float64s) -> Float64s:
    """Return the covariance of a person's sessions beyond the scatter of ratings."""
    weight = even_weights(sessions.n, sessions.indptr)
    away = (sessions.means - centres) * np.sqrt(weight)[:, None]
    own = weight * (1.0 - share)
    mood = (away.T @ away - (own / sessions.n).sum() * scatter) / max(own.sum(), 1e-12)
    values, vectors = scipy.linalg.eigh(mood, scatter)
    back = scatter @ vectors  # what a moment takes too far below zero is put back
    return np.asarray(back * np.maximum(values, 0.01) @ back.T)


def _rotated(
    sessions: Sessions, middle: Float64s, between: Float64s, mood: Float64s, scatter: Float64s
) -> People:
    """Turn the sessions into the directions that matter, in which noise is nearly independent."""
    values, vectors = scipy.linalg.eigh(between, mood + scatter / _USUAL_SESSION)
    kept = values > _LEAST
    axes = vectors[:, kept]
    moods, scatters = (np.einsum("id,ij,jd->d", axes, own, axes) for own in (mood, scatter))
    own = scatters * _own_scatter(sessions, axes, scatters)
    precision = 1.0 / (moods + own / sessions.n[:, None])
    return People((sessions.means - middle) @ axes, precision, values[kept])


def _own_scatter(sessions: Sessions, axes: Float64s, scatters: Float64s) -> Float64s:
    """Return each session's person's scatter over the common one, float64 (sessions, directions).

    It is told by the ratings of single sessions, so two people in one account do not make it more.
    """
    lengths = np.diff(sessions.indptr)
    if sessions.squares is None:
        return np.ones((lengths.sum(), len(scatters)))
    users = np.repeat(np.arange(len(lengths)), lengths)
    free = np.bincount(users, sessions.n - 1, len(lengths))[:, None]
    own = (sessions.squares(axes) / scatters + _SHRINK) / (free + _SHRINK)
    return np.asarray(own[users])
