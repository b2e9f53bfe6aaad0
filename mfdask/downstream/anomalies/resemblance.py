"""Accounts that have nearly the same items as another one, found without comparing all pairs."""

from __future__ import annotations

import numpy as np

from mfdask.downstream.events import Events
from mfdask.kernels.types import Float64s, Int32s

#: Draws of an order of all items; two accounts are compared where so many draws at a time agree.
_DRAWS, _TOGETHER = 48, 3
#: How many accounts on each side, of those that agree, each is compared with.
_NEXT = 3


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
        order = np.lexsort(band.T)
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
    begin = events.indptr[:-1][np.diff(events.indptr) > 0]
    found = np.empty((len(begin), _DRAWS), np.int32)
    for draw in range(_DRAWS):
        place = random.permutation(n_items).astype(np.int32)
        found[:, draw] = np.minimum.reduceat(place[events.items], begin)
    return found
