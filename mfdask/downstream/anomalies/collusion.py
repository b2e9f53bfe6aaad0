"""Items whose raters are alike as an honest audience is not, and who belongs to them.

Attackers are few among all users, and many among those who like, or hate, their target.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mfdask.downstream.anomalies.calibration import (
    OF_ITEMS,
    alike,
    calibrated,
    of_the_largest,
    tail_evidence,
)
from mfdask.downstream.events import Events, user_cuts
from mfdask.kernels import profiles as kernel
from mfdask.kernels.types import Float64s, Int32s, Int64s
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
    above : float32 (ratings,)
        Stars above the user's own level, see `Surprise`.
    measures : float64 (users, measures)
        Not correlated, of variance 1.
    n_items : int

    Returns
    -------
    Collusion
    """
    n_users, size = measures.shape
    items, users = np.zeros(n_items), np.zeros(n_users)
    signs, with_item = np.ones(n_items, np.int32), np.zeros(n_users, np.int32)
    with_item[events.users - events.start] = events.items
    counts, sums = np.empty((2, n_items), np.int64), np.empty((2, n_items, size))
    kernel.add_measures(events.indptr, events.items, above, measures, counts, sums)
    rated = user_cuts(events), events.indptr, events.items, above
    for sign, n, own in zip((1, -1), counts, sums, strict=True):
        side = _Raters(n, own)
        signs[side.evidence > items] = sign
        np.maximum(items, side.evidence, out=items)
        for evidence, *turned in side.turned(measures):
            kernel.weigh_members(
                *rated, sign, evidence, n, *turned, side.distance, users, with_item
            )
    # An item that many rate makes all of them stand out together: no more than so many do.
    users = np.minimum(of_the_largest(users, np.diff(events.indptr)), calibrated(users, _WIDE))
    return Collusion(calibrated(items, OF_ITEMS), users, signs, with_item)


class _Raters:
    """The raters of all items on one side.

    Attributes
    ----------
    evidence : float64 (items,)
        0 where there are fewer than `LEAST`.
    distance : float64 (items,)
        ``T^2``.
    """

    def __init__(self, n: Int64s, sums: Float64s) -> None:
        self._n, self._sums = n, sums
        self.distance, self.evidence = np.zeros(len(n)), np.zeros(len(n))
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
        self.distance[items] = np.square(apart @ scale).sum(axis=1)
        rarely = self.distance[items] ** _POWER
        self.evidence[items] = tail_evidence(rarely, self._n[items], gumbel=True)
        return items, mean, scale

    def turned(self, measures: Float64s) -> Iterator[tuple[Float64s, ...]]:
        """Yield of each group of items the evidence of those with some, and 0 for all others.

        With it come the sums, the accounts' measures and the usual mean, in units of the scale.
        """
        for items, mean, scale in self._usual:
            some, evidence = self.evidence[items] >= _LEAST_EVIDENCE, np.zeros(len(self._n))
            evidence[items[some]] = self.evidence[items[some]]
            yield evidence, self._sums @ scale, measures @ scale, mean @ scale


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
