"""Ratings with something injected, and the rating scale and items that injections draw from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.downstream.events import Events
from mfdask.errors import InputError
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s

#: More different ratings than these are taken as a scale without a grid.
_MOST_VALUES = 256


@dataclass(frozen=True, eq=False)
class Injected:
    """Ratings with injected anomalies, and the truth about these.

    Rows of users and items are those of the events that went in; injected users have the rows
    behind them. A user whose ratings went into another's account keeps an empty row.

    Attributes
    ----------
    events : Events
        All users, by user and then by time; injected ratings are not held out.
    n_items : int
    truth : mapping of str to DataFrame
        A table for each thing injected, with row numbers in its columns `user`, `item`, `partner`,
        `template`; see the function that injects it.
    """

    events: Events
    n_items: int
    truth: Mapping[str, pd.DataFrame]

    @property
    def n_users(self) -> int:
        """Number of user rows, injected users included."""
        return len(self.events.indptr) - 1

    @property
    def users(self) -> Int32s:
        """User row of each rating, int32 (ratings,)."""
        return self.events.users

    @property
    def items(self) -> Int32s:
        """Item row of each rating, int32 (ratings,)."""
        return self.events.items

    @property
    def ratings(self) -> Float32s:
        """Stars, float32 (ratings,)."""
        return self.events.ratings

    @property
    def timestamps(self) -> Int64s:
        """Seconds since 1970, int64 (ratings,)."""
        return self.events.timestamps


@dataclass(frozen=True, eq=False)
class Scale:
    """The rating scale.

    Attributes
    ----------
    low, high : float
    values : float32 (values,)
        All of them, ascending; empty where there is no grid.
    """

    low: float
    high: float
    values: Float32s

    @classmethod
    def of(cls, ratings: Float32s) -> Scale:
        """Take the scale from ratings that were given."""
        values = np.sort(pd.unique(ratings))
        grid = values if len(values) <= _MOST_VALUES else values[:0]
        return cls(float(values[0]), float(values[-1]), grid)

    def near(self, wanted: Float64s, random: np.random.Generator) -> Float32s:
        """Draw one of the two ratings around each wanted value, float32, same shape.

        The nearer one is the likelier, so that the mean is the wanted value, once that is clipped
        to the scale: no shift, however small, is lost to rounding.
        """
        wanted = np.clip(wanted, self.low, self.high)
        if len(self.values) < 2:
            return wanted.astype(np.float32)
        values = self.values.astype(np.float64)
        above = np.clip(np.searchsorted(values, wanted), 1, len(values) - 1)
        below = above - 1
        chance = (wanted - values[below]) / (values[above] - values[below])
        return self.values[np.where(random.random(wanted.shape) < chance, above, below)]


def allowed(n: int, exclude: Collection[int]) -> Bools:
    """Return which of `n` rows may be chosen, bool (n,)."""
    found = np.ones(n, bool)
    found[list(exclude)] = False
    return found


def choose_items(
    events: Events,
    n_items: int,
    n_chosen: int,
    min_ratings: int,
    exclude: Collection[int],
    random: np.random.Generator,
) -> list[tuple[int, Int64s]]:
    """Draw items that have enough ratings: ascending, each with the places of its events.

    Raises
    ------
    InputError
        If there are too few.
    """
    counts = np.bincount(events.items, minlength=n_items)
    possible = np.flatnonzero(allowed(n_items, exclude) & (counts >= min_ratings))
    if len(possible) < n_chosen:
        raise InputError(
            f"{n_chosen} items of {min_ratings} ratings or more: there are {len(possible)}; ask "
            "for fewer items, or fewer ratings"
        )
    items = np.sort(random.choice(possible, n_chosen, replace=False))
    return list(zip(items.tolist(), places_of(events, items), strict=True))


def places_of(events: Events, items: npt.NDArray[np.integer]) -> list[Int64s]:
    """Return the places of the events of each of some items, which are ascending."""
    places = np.flatnonzero(np.isin(events.items, items))
    places = places[np.argsort(events.items[places], kind="stable")]
    return np.split(places, np.searchsorted(events.items[places], items[1:]))
