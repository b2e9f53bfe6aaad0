"""Evidence from what users choose: it needs no times, and knows nothing of targets.

Whoever makes a profile up chooses items one by one, however popular each may be. People choose
items that go together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

from mfdask.downstream.anomalies.calibration import alike
from mfdask.downstream.anomalies.sessions import choice_vectors
from mfdask.downstream.events import Events
from mfdask.kernels.types import Float64s, Int32s, Int64s
from mfdask.models.design import Array

#: Shortest sum of squares that a user's choices are divided by.
_LEAST = 1e-12


def incoherence(events: Events, n_items: int) -> Float64s:
    """Return how little each user's choices go together, float64 (users,); larger is less.

    It is minus the sum of the products of the vectors (`choice_vectors`) of all pairs of a user's
    items, over the sum of their squares and the root of their number: about 0 for items that were
    drawn one by one, and far below it for people.
    """
    vectors, users = choice_vectors(events, n_items), events.users - events.start
    n_users = len(events.indptr) - 1
    own = np.bincount(users, np.square(vectors).sum(axis=1)[events.items], n_users)
    whole = np.zeros(n_users)
    for column in vectors.T:
        whole += np.square(np.bincount(users, column[events.items], n_users))
    together = (whole - own) / np.maximum(own, _LEAST)
    return np.asarray(-together / np.sqrt(np.maximum(np.diff(events.indptr), 1)))


def normal_scores(values: Float64s, activity: Int64s) -> Float64s:
    """Return the normal quantiles of the ranks among rows of like activity, float64 (rows,)."""
    found = np.zeros(len(values))
    for rows in alike(activity):
        found[rows] = norm.ppf((rankdata(values[rows]) - 0.5) / len(rows))
    return found


class Company(NamedTuple):
    """How unusual those are who rate an item on the same side of their own mean.

    Attributes
    ----------
    items : float64 (items,)
        ``sum(z) / sqrt(n)`` over the raters on either side, the larger; 0 at least.
    users : float64 (users,)
        The largest of the items on whose side a user is, without the user's own `z`.
    signs : int32 (items,)
        Which side that is: 1 above, -1 below.
    with_item : int32 (users,)
        Which item that is.
    """

    items: Float64s
    users: Float64s
    signs: Int32s
    with_item: Int32s


def company(events: Events, above: Array, z: Float64s, n_items: int) -> Company:
    """Measure the company of items and users.

    Attackers are few among all users, and many among those who like their target.

    Parameters
    ----------
    events : Events
    above : float64 (ratings,)
        Stars above the user's own level, see `Surprise`.
    z : float64 (users,)
        Normal scores of users.
    n_items : int

    Returns
    -------
    Company
    """
    users = events.users - events.start
    items, best = np.zeros(n_items), np.zeros(len(events.indptr) - 1)
    signs, with_item = np.ones(n_items, np.int32), np.zeros(len(best), np.int32)
    for sign in (1, -1):
        side = sign * above > 0
        item, user = events.items[side], users[side]
        total, n = np.bincount(item, z[user], n_items), np.bincount(item, minlength=n_items)
        score = total / np.sqrt(np.maximum(n, 1))
        signs[score > items] = sign
        np.maximum(items, score, out=items)
        others = (total[item] - z[user]) / np.sqrt(np.maximum(n[item] - 1, 1))
        first = np.lexsort((-others, user))
        first = first[np.diff(user[first], prepend=-1) != 0]  # of each user the largest
        better = first[others[first] > best[user[first]]]
        best[user[better]], with_item[user[better]] = others[better], item[better]
    return Company(items, best, signs, with_item)
