"""Items whose raters are alike as an honest audience is not, and who belongs to them.

Attackers are few among all users, and many among those who like, or hate, their target.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from mfdask.downstream.anomalies.calibration import (
    OF_ITEMS,
    alike,
    calibrated,
    of_the_largest,
    tail_evidence,
)
from mfdask.downstream.events import Events
from mfdask.kernels.profiles import weigh_members
from mfdask.kernels.types import Bools, Float64s, Int32s, Int64s
from mfdask.models.design import Array

#: Raters that a side of an item has at least, and items of like audience that are compared.
LEAST, _LEAST_ITEMS = 4, 500
#: Larger deviations of items than this quantile count as this one, where their usual size is told.
_CLIPPED = 0.9
#: Between these quantiles of users the tail is learned that their evidence does not exceed.
_WIDE = 0.5, 0.9
#: The tail of ``T^2`` is longer than exponential: this power of it has one that is not.
_POWER = 0.75
#: Items with evidence below this (one honest item in five) say nothing of their raters.
_LEAST_EVIDENCE = 0.7


class Collusion(NamedTuple):
    """Evidence that raters of an item act together, ``-log10`` of an honest row's chance.

    Attributes
    ----------
    items : float64 (items,)
        Of the raters on either side of their own mean, the larger.
    users : float64 (users,)
        Of the items on whose side a user is, by the other raters there, times the chance that the
        user belongs to them; the largest.
    signs : int32 (items,)
        Which side it is: 1 above, -1 below.
    with_item : int32 (users,)
        Which item it is; any that the user has rated where there is none.
    """

    items: Float64s
    users: Float64s
    signs: Int32s
    with_item: Int32s


def collusion(events: Events, above: Array, measures: Float64s, n_items: int) -> Collusion:
    """Find items whose raters on one side are alike in what `account_measures` tells.

    ``S = sum(x) / sqrt(n)`` over the measures `x` of the raters on a side is held against that of
    items with about as many, whose robust mean ``c`` and covariance ``C`` say how much honest
    audiences differ: ``T^2 = (S - c)' C^-1 (S - c)`` (Hotelling), and its tail gives the evidence.
    In the same coordinates, with ``m`` the mean of the others, shrunken as James and Stein do, a
    rater belongs to them with the chance ``1 / (1 + exp(|m|^2 / 2 - m'x))``. So who rates a target
    as attackers do, and resembles them in nothing, is not drawn in.

    Parameters
    ----------
    events : Events
    above : float64 (ratings,)
        Stars above the user's own level, see `Surprise`.
    measures : float64 (users, measures)
        Not correlated, of variance 1.
    n_items : int

    Returns
    -------
    Collusion
    """
    n_users = len(events.indptr) - 1
    items, users = np.zeros(n_items), np.zeros(n_users)
    signs, with_item = np.ones(n_items, np.int32), np.zeros(n_users, np.int32)
    with_item[events.users - events.start] = events.items
    for sign in (1, -1):
        side = _Raters(events, sign * above > 0, measures, n_items)
        signs[side.evidence > items] = sign
        np.maximum(items, side.evidence, out=items)
        for item, user, evidence in side.members():
            first = np.lexsort((-evidence, user))
            first = first[np.diff(user[first], prepend=-1) != 0]  # of each user the largest
            better = first[evidence[first] > users[user[first]]]
            users[user[better]], with_item[user[better]] = evidence[better], item[better]
    # An item that many rate makes all of them stand out together: no more than so many do.
    users = np.minimum(of_the_largest(users, np.diff(events.indptr)), calibrated(users, _WIDE))
    return Collusion(calibrated(items, OF_ITEMS), users, signs, with_item)


class _Raters:
    """The raters of all items on one side.

    Attributes
    ----------
    evidence : float64 (items,)
        0 where there are fewer than `LEAST`.
    """

    def __init__(self, events: Events, which: Bools, measures: Float64s, n_items: int) -> None:
        self._measures = measures
        self._items, self._users = events.items[which], (events.users - events.start)[which]
        self._n = np.bincount(self._items, minlength=n_items)
        sums = [np.bincount(self._items, x[self._users], n_items) for x in measures.T]
        self._sums = np.column_stack(sums)
        self._distance, self.evidence = np.zeros(n_items), np.zeros(n_items)
        self._usual = [self._weigh(items) for items in self._of_like_audience()]

    def _of_like_audience(self) -> list[Int64s]:
        enough = np.flatnonzero(self._n >= LEAST)
        return [enough[rows] for rows in alike(self._n[enough], _LEAST_ITEMS)]

    def _weigh(self, items: Int64s) -> tuple[Int64s, Float64s, Float64s]:
        """Give the items of a group their evidence; return them, and the usual mean and scale."""
        n = self._n[items][:, None]
        mean = np.median(self._sums[items] / n, axis=0) if len(items) else self._sums[:0].sum(0)
        apart = (self._sums[items] - n * mean) / np.sqrt(n)
        scale = _scale(apart)
        self._distance[items] = np.square(apart @ scale).sum(axis=1)
        rarely = self._distance[items] ** _POWER
        self.evidence[items] = tail_evidence(rarely, self._n[items], gumbel=True)
        return items, mean, scale

    def members(self) -> list[tuple[Int32s, Int32s, Float64s]]:
        """Return items, users and the evidence of each rating of an item with some evidence."""
        places = np.flatnonzero(self.evidence[self._items] >= _LEAST_EVIDENCE)
        number = np.full(len(self._n), -1)
        for k, (items, _, _) in enumerate(self._usual):
            number[items] = k
        group = number[self._items[places]]
        return [
            self._of_group(places[group == k], mean, scale)
            for k, (_, mean, scale) in enumerate(self._usual)
        ]

    def _of_group(
        self, places: Int64s, mean: Float64s, scale: Float64s
    ) -> tuple[Int32s, Int32s, Float64s]:
        item, user = self._items[places], self._users[places]
        turned = self._n, self._sums @ scale, self._measures @ scale, mean @ scale
        found = np.empty((len(places), 2))
        weigh_members(item, user, *turned, self._distance, found)
        return item, user, self.evidence[item] * found[:, 0] * expit(found[:, 1])


def _scale(apart: Float64s) -> Float64s:
    """Return what turns deviations to the unit of the usual ones, float64 (measures, measures).

    Clipped ones tell the covariance; independent raters alone make its least eigenvalue 1.
    """
    if not len(apart):
        return np.eye(apart.shape[1])
    size = np.sqrt(np.square(apart).sum(axis=1))
    most = float(np.quantile(size, _CLIPPED))
    clipped = apart * np.minimum(1.0, most / np.maximum(size, 1e-12))[:, None]
    values, vectors = np.linalg.eigh(clipped.T @ clipped / len(clipped))
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1.0))) @ vectors.T)
