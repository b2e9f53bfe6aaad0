"""Accounts that have more items in common with another one than chance, without all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse

from mfdask.downstream.events import Events, user_cuts
from mfdask.downstream.ordering import order_by
from mfdask.kernels.profiles import first_places
from mfdask.kernels.types import Float64s, Int32s, Int64s
from mfdask.models.design import Array

#: Draws of an order of all items; two accounts are compared where so many draws at a time agree.
_DRAWS, _TOGETHER = 48, 3
#: How many accounts on each side, of those that agree, each is compared with.
_NEXT = 3
#: Items that two accounts share at least, to be compared by these.
_SHARED = 3
#: Pairs of raters of one item, over all items that are compared, at most; and at a time.
_MOST_PAIRS, _PAIRS_AT_A_TIME = 50_000_000, 4_000_000


def nearest_likeness(events: Events, n_items: int) -> Float64s:
    """Return what share of their items accounts have in common with the likest other one.

    The share is Jaccard's, estimated by MinHash (Broder 1997): of random orders of all items, in
    how many do both accounts have the same first item. Only accounts that agree in `_TOGETHER`
    orders at a time are compared: of those with a share of two thirds in common hardly any is
    missed (0.5 %), of those with a tenth nearly all (98 %).

    Parameters
    ----------
    events : Events
    n_items : int

    Returns
    -------
    float64 (users,)
        0 where no likeness is found.
    """
    rated = np.flatnonzero(np.diff(events.indptr))
    first = _first_items(events, n_items)
    best = np.zeros(len(rated))
    for at in range(0, _DRAWS, _TOGETHER):
        band = first[:, at : at + _TOGETHER]
        order = order_by(*band.T[::-1])
        for step in range(1, _NEXT + 1):
            agree = (band[order[step:]] == band[order[:-step]]).all(axis=1)
            one, other = order[:-step][agree], order[step:][agree]
            share = (first[one] == first[other]).mean(axis=1)
            np.maximum.at(best, one, share)
            np.maximum.at(best, other, share)
    found = np.zeros(len(events.indptr) - 1)
    found[rated] = best
    return found


def _first_items(events: Events, n_items: int) -> Int32s:
    """Return which of a user's items comes first in each order, int32 (users with any, draws)."""
    random = np.random.default_rng(0)  # the same for the same ratings
    places = np.empty((n_items, _DRAWS), np.int32)
    for draw in range(_DRAWS):
        places[:, draw] = random.permutation(n_items)
    found = np.empty((len(events.indptr) - 1, _DRAWS), np.int32)
    first_places(user_cuts(events), events.indptr, events.items, places, found)
    return found[np.diff(events.indptr) > 0]


def joint_evidence(events: Events, above: Array, n_items: int) -> Float64s:
    """Return how sure it is that accounts do not share items with another one by chance.

    Of two accounts with ``k`` items in common that they rate on the same side of their own mean,
    where ``m`` are to be expected by their numbers of ratings and the items' (the configuration
    model: ``n_u n_v sum(d_i^2) / sum(d_i)^2``), the chance is at most ``exp(k - m) (m / k)^k``
    (Chernoff's bound for Poisson counts). Items with so many raters that there would be more than
    `_MOST_PAIRS` are left out: who shares these says little.

    Parameters
    ----------
    events : Events
    above : float32 (ratings,)
        Stars above the user's own level, see `Surprise`.
    n_items : int

    Returns
    -------
    float64 (users,)
        ``-log10`` of that bound for the likeliest other account, 0 where less than `_SHARED` items
        are shared.
    """
    side = 2 * events.items + (above > 0)
    raters = np.bincount(side, minlength=2 * n_items)
    few = (raters >= 2) & (raters <= _most_raters(raters))
    kept, column = np.flatnonzero(few), np.cumsum(few) - 1
    known = np.flatnonzero(few[side])
    pairs = (events.users - events.start)[known], column[side[known]]
    shape = len(events.indptr) - 1, max(len(kept), 1)
    ones = np.ones(len(pairs[0]), np.float32)
    sides = scipy.sparse.csr_array((ones, pairs), shape=shape)
    length, of_each = np.diff(sides.indptr), raters[kept].astype(np.float64)
    together = np.square(of_each).sum() / max(of_each.sum(), 1.0) ** 2
    found = np.zeros(shape[0])
    for first, shared in _products(sides, of_each):
        user, other = first + shared.row, shared.col
        expected = together * length[user] * length[other]
        compared = (shared.data >= _SHARED) & (user != other) & (shared.data > expected)
        k, m = shared.data[compared].astype(np.float64), expected[compared]
        np.maximum.at(found, user[compared], (k * np.log(k / m) - (k - m)) / np.log(10))
    return found


def _most_raters(raters: Int64s) -> int:
    """Return up to how many raters items have no more than `_MOST_PAIRS` pairs together."""
    ordered = np.sort(raters)
    within = np.cumsum(np.square(ordered.astype(np.float64))) <= _MOST_PAIRS
    return int(ordered[within][-1]) if within.any() else 0


def _products(
    sides: scipy.sparse.csr_array, raters: Float64s
) -> Iterator[tuple[int, scipy.sparse.coo_array]]:
    """Yield what runs of users share with all, and the first user of each run."""
    by_item = sides.T.tocsr()
    pairs = np.concatenate([[0.0], np.cumsum(raters[sides.indices])])[sides.indptr]
    cuts = np.searchsorted(pairs, np.arange(0.0, pairs[-1], _PAIRS_AT_A_TIME), side="right") - 1
    cuts = np.unique(np.append(cuts, sides.shape[0]))
    for first, last in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        yield first, (sides[first:last] @ by_item).tocoo()
