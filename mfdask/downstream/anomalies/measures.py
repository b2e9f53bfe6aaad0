"""Measures of accounts that need no times: what is chosen, how it is rated, whom it resembles.

Several are those of shilling research: the deviation from the mean agreement (Chirita, Nejdl and
Zamfir, WIDM 2005), the residue score (Bryan, O'Mahony and Cunningham, RecSys 2008), popularity and
length (Burke, Mobasher, Williams and Bhaumik, KDD 2006). None of them says by itself which side of
it is dishonest: `collusion` looks for items whose raters are alike in any of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from mfdask.downstream.anomalies.calibration import alike
from mfdask.downstream.anomalies.resemblance import nearest_likeness
from mfdask.downstream.anomalies.sessions import CHOICE, choice_vectors, vector_sums
from mfdask.downstream.anomalies.singular import leading_vectors
from mfdask.downstream.events import Events, user_cuts
from mfdask.kernels import profiles as kernel
from mfdask.kernels.types import Float32s, Float64s, Int64s

#: Sums of squares and shares below this are zero but for rounding.
_LEAST = 1e-12
#: Ratings of average size that an item's own are taken together with.
_SHRINK = 5.0
#: Of correlated measures, the least variance of a direction that counts for itself.
_LEAST_VARIANCE = 0.05


def account_measures(
    events: Events, joint: Float64s, n_items: int, vectors: Float64s | None = None
) -> Float64s:
    """Return measures of all accounts, each against accounts of like activity.

    Parameters
    ----------
    events : Events
        Of all users.
    joint : float64 (users,)
        One more measure, see `joint_evidence`.
    n_items : int
    vectors : float64 (items, size), optional
        `choice_vectors` of the events, where they are known already.

    Returns
    -------
    float64 (users, measures)
        Normal scores within groups of like activity (of the number of ratings among all accounts),
        turned so that they are not correlated and have the variance 1.
    """
    activity = np.diff(events.indptr)
    vectors = choice_vectors(events, n_items) if vectors is None else vectors
    raw = [*_raw(events, n_items, vectors), joint]
    scores = [normal_scores(values, activity) for values in raw]
    scores.append(_quantiles(activity))
    return uncorrelated(np.column_stack(scores))


def _raw(events: Events, n_items: int, vectors: Float64s) -> list[Float64s]:
    """Return the measures as they are, float64 (users,) each."""
    counts = np.bincount(events.items, minlength=n_items)
    found, residual = _profiles(events, counts)
    level = found[:, kernel.LEVEL]
    return [
        incoherence(events, vectors),
        incoherence(events, taste_vectors(events, residual, n_items), residual),
        level,
        -np.abs(level - np.median(level)),  # nobody is as average as what was made up
        *found[:, kernel.UNREST :].T,
        nearest_likeness(events, n_items),
    ]


def _profiles(events: Events, counts: Int64s) -> tuple[Float64s, Float32s]:
    """Return what `describe_accounts` says of all users, and the residuals of all ratings."""
    ratings = events.ratings
    overall = float(ratings.mean(dtype=np.float64))
    levels = (np.bincount(events.items, ratings, len(counts)) + _SHRINK * overall) / (
        counts + _SHRINK
    )
    popularity = np.log(np.maximum(counts, 1)).astype(np.float32)
    ends = np.array([ratings.min(), ratings.max()])
    residual = np.empty(len(ratings), np.float32)
    found = np.empty((len(events.indptr) - 1, kernel.COLUMNS))
    given = levels, popularity, counts, ends
    kernel.describe_accounts(
        user_cuts(events), events.indptr, events.items, ratings, *given, residual, found
    )
    return found, residual


def normal_scores(values: Float64s, activity: Int64s) -> Float64s:
    """Return the normal quantiles of the ranks among rows of like activity, float64 (rows,)."""
    found = np.zeros(len(values))
    for rows in alike(activity, dealt=True):
        found[rows] = _quantiles(values[rows])
    return found


def _quantiles(values: npt.NDArray[Any]) -> Float64s:
    return np.asarray(norm.ppf((rankdata(values) - 0.5) / len(values)))


def uncorrelated(scores: Float64s) -> Float64s:
    """Turn columns of variance 1 so that they are not correlated, float64 (rows, columns).

    Directions in which there is next to nothing are left small.
    """
    values, vectors = np.linalg.eigh(np.cov(scores.T, bias=True))
    scale = np.sqrt(np.maximum(values, _LEAST_VARIANCE))
    return np.asarray((scores - scores.mean(axis=0)) @ vectors / scale)


def incoherence(events: Events, vectors: Float64s, weights: Float32s | None = None) -> Float64s:
    """Return how little each user's ratings go together, float64 (users,); larger is less.

    It is minus the sum of the products of the vectors of all pairs of a user's items (times the
    weights of the ratings), over the sum of their squares and the root of their number: about 0 for
    items, or ratings, that were made up one by one, and far below it for people.
    """
    squares = np.square(vectors).sum(axis=1)
    sums = vector_sums(events, vectors, squares, weights)
    whole, own = np.square(sums[:, :-1]).sum(axis=1), sums[:, -1]
    together = (whole - own) / np.maximum(own, _LEAST)
    return np.asarray(-together / np.sqrt(np.maximum(np.diff(events.indptr), 1)))


def taste_vectors(events: Events, residual: Float32s, n_items: int) -> Float64s:
    """Return vectors of items that lie near each other where the same users like both.

    They are right singular vectors of the residuals, each over the roots of the user's and the
    item's number of ratings. float64 (items, at most `CHOICE`).
    """
    shape = len(events.indptr) - 1, n_items
    counts = np.bincount(events.items, minlength=n_items)
    per_user = np.maximum(np.diff(events.indptr), 1).astype(np.float32) ** -0.5
    per_item = (counts + _SHRINK).astype(np.float32) ** -0.5
    k = min(CHOICE, min(shape) - 1)
    if k < 1 or not residual.any():
        return np.zeros((n_items, 1))
    size, right = leading_vectors(events, residual, per_user, per_item, k)
    return np.asarray((right.T * size) * per_item[:, None])
