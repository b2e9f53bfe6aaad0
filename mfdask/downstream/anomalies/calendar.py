"""Expected ratings over time: the platform's calendar, and how interest in an item fades."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.downstream.events import DAY, runs_of
from mfdask.kernels.merge import find_pairs
from mfdask.kernels.types import Float64s, Int32s, Int64s

Ints = npt.NDArray[np.integer]

#: All times are counted in half-days, so that windows of whole days can be shifted by half.
HALF_DAY = DAY // 2
#: Ages of an item, in half-days since its first rating, between which interest is taken as even:
#: a day, a week, a month, a quarter, a year, three years.
AGE_EDGES = np.array([0, 2, 14, 60, 180, 730, 2190])
#: Rounds of the fit of `Interest`: each changes the curve by less than the one before.
_ROUNDS = 20


def half_days(timestamps: Int64s) -> Int32s:
    """Return the half-day of each time, int32, counted from the earliest one."""
    found, first = np.empty(len(timestamps), np.int32), timestamps.min()
    for run in runs_of(len(timestamps)):
        found[run] = (timestamps[run] - first) // HALF_DAY
    return found


class Interest(NamedTuple):
    """How an item's ratings are to be expected to spread over time.

    The rate is that of the whole platform, times a curve of the item's age that all items share:
    so neither a busy week nor a new release is a surprise.

    Attributes
    ----------
    before : int64 (half-days + 1,)
        Ratings of all items before each half-day.
    first : int64 (items,)
        Half-day of an item's first rating; behind the last one where it has none.
    curve : float64 (ages,)
        Interest from each of `AGE_EDGES` on; 1 is what the platform's rate alone would give.
    """

    before: Int64s
    first: Int64s
    curve: Float64s

    @property
    def arrays(self) -> tuple[Int64s, Int64s, Int64s, Float64s]:
        """Return what tells the share of an item's ratings that is due to a window.

        It is that of ``curve`` times the platform's ratings, summed over the half-days.
        """
        return self.first, self.before, AGE_EDGES, self.curve

    @property
    def span(self) -> int:
        """Return the number of half-days."""
        return len(self.before) - 1

    @classmethod
    def learn(cls, starts: Int32s, halves: Int32s) -> Interest:
        """Fit the curve by maximum likelihood, the items' numbers of ratings given.

        These fall into an item's ages in proportion to ``curve[a] * exposure[a]``, where the
        exposure is how many ratings the platform saw while the item was of that age. The first
        rating of an item says nothing of its age and is left out.

        Parameters
        ----------
        starts : int32 (items + 1,)
        halves : int32 (ratings,)
            Half-days, ascending within an item.
        """
        n_halves, n_items = int(halves.max()) + 1, len(starts) - 1
        before = np.zeros(n_halves + 1, np.int64)
        np.cumsum(np.bincount(halves, minlength=n_halves), out=before[1:])
        first, rated = np.full(n_items, n_halves, np.int64), np.flatnonzero(np.diff(starts))
        first[rated] = halves[starts[rated]]
        at_age = cls._at_age(starts, halves, first)
        at_age[0] -= len(rated)
        later = np.maximum(np.diff(starts) - 1, 0)
        curve = np.ones(len(AGE_EDGES))
        exposure = cls(before, first, curve).exposure(np.arange(n_items), n_halves)
        for _ in range(_ROUNDS):
            expected = (later / np.maximum(exposure @ curve, 1.0)) @ exposure
            curve = (at_age + 1.0) / (expected + 1.0)  # never zero: no age is impossible
        return cls(before, first, curve)

    @staticmethod
    def _at_age(starts: Int32s, halves: Int32s, first: Int64s) -> Float64s:
        """Return how many ratings items of each age have, float64 (ages,)."""
        items = np.repeat(np.arange(len(first), dtype=np.int32), len(AGE_EDGES))
        edges = (first[:, None] + AGE_EDGES).ravel().astype(np.int32)
        places = find_pairs(starts.astype(np.int64), halves, items, edges)
        places = np.append(places.reshape(len(first), -1), starts[1:, None], axis=1)
        return np.diff(places, axis=1).sum(axis=0).astype(np.float64)

    def exposure(self, items: Ints, until: npt.NDArray | int) -> Float64s:
        """Return the platform's ratings at each age of some items, up to a half-day of each.

        float64 (items, ages).
        """
        until = np.broadcast_to(until, items.shape)[:, None]
        edges = np.minimum(self.first[items][:, None] + AGE_EDGES, until)
        edges = np.concatenate([edges, np.maximum(until, edges[:, -1:])], axis=1)
        return np.diff(self.before[edges], axis=1).astype(np.float64)
