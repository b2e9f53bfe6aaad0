"""Sums over a data set that its figures are made from, gathered in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.downstream.events import parts_of
from mfdask.progress import Progress, silent
from mfdask.report.heavy_tail import Comparison, compare_tails
from mfdask.shards import Dataset
from mfdask.shards.store import SIDES

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Parts that the ratings are in.
PARTS = ("train", "test")
#: Ratings looked at together; what is made of them takes some 100 bytes each.
_CHUNK = 2_000_000
#: Exact rating values are counted up to this many, and bins of equal width beyond.
_MOST_LEVELS = 60
_BINS = 40
#: Seconds since 1970 of the years 1800 and 2200: what lies beyond is no date in seconds.
_FIRST_DATE, _LAST_DATE = -5_364_662_400, 7_258_118_400


class Levels(NamedTuple):
    """Rating values that are counted apart: a grid, or the middles of bins.

    Attributes
    ----------
    first, step : float
        In rating units.
    n : int
    exact : bool
        Whether every rating is one of the values.
    """

    first: float
    step: float
    n: int
    exact: bool

    @classmethod
    def of(cls, data: Dataset) -> Levels:
        """Choose them for a data set."""
        low, high, step = data.rating_min, data.rating_max, data.manifest.rating_step
        if low == high:
            return cls(low, 1.0, 1, True)
        if step is not None and round((high - low) / step) < _MOST_LEVELS:
            return cls(low, step, round((high - low) / step) + 1, True)
        width = (high - low) / _BINS
        return cls(low + width / 2, width, _BINS, False)

    @property
    def values(self) -> Floats:
        """Return the values, ascending, float64 (n,)."""
        return np.asarray(self.first + self.step * np.arange(self.n), np.float64)

    def places_of(self, ratings: npt.NDArray[np.float32]) -> Ints:
        """Return the place of each rating's value."""
        places = np.floor((ratings.astype(np.float64) - self.first) / self.step + 0.5)
        return places.clip(0, self.n - 1).astype(np.int64)


@dataclass
class Counted:
    """Sums over the ratings of one part.

    Attributes
    ----------
    item_levels : int64 (n_items, levels)
        Ratings of each item by value.
    item_sums : float64 (n_items,)
        Sum of each item's ratings.
    squares : float64 ()
        Sum of the squared differences to the mean training rating.
    hours : int64 (n_hours,)
        Ratings by the hour, from the first hour of all ratings; empty without times.
    hour_sums : float64 (n_hours,)
        Sum of the ratings by the hour.
    """

    item_levels: Ints
    item_sums: Floats
    squares: Floats
    hours: Ints
    hour_sums: Floats

    @classmethod
    def nothing(cls, n_items: int, n_levels: int, n_hours: int) -> Counted:
        """Return sums over no ratings."""
        return cls(
            np.zeros((n_items, n_levels), np.int64),
            np.zeros(n_items),
            np.zeros(()),
            np.zeros(n_hours, np.int64),
            np.zeros(n_hours),
        )

    def __add__(self, other: Counted) -> Counted:
        """Return the sums over both."""
        return Counted(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def count(
        self,
        items: npt.NDArray[np.int32],
        ratings: npt.NDArray[np.float32],
        hours: Ints | None,
        levels: Levels,
        mean: float,
    ) -> None:
        """Add ratings; `hours` are places in `self.hours`."""
        n_items, exact = len(self.item_sums), ratings.astype(np.float64)
        places = items.astype(np.int64) * levels.n + levels.places_of(ratings)
        counts = np.bincount(places, minlength=n_items * levels.n)
        self.item_levels += counts.reshape(n_items, levels.n)
        self.item_sums += np.bincount(items, exact, minlength=n_items)
        self.squares += np.square(exact - mean).sum()
        if hours is not None:
            self.hours += np.bincount(hours, minlength=len(self.hours))
            self.hour_sums += np.bincount(hours, exact, minlength=len(self.hours))


@dataclass(eq=False)
class Facts:
    """A data set, summed up.

    Attributes
    ----------
    data : Dataset
    levels : Levels
    first_hour : int or None
        Hours from 1970 to the first of `Counted.hours`; None where there are no times.
    no_times : str
        Why there are none.
    parts : dict
        ``"train"`` and ``"test"`` to their sums.
    """

    data: Dataset
    levels: Levels
    first_hour: int | None
    no_times: str
    parts: dict[str, Counted]

    @classmethod
    def of(cls, data: Dataset, progress: Progress = silent) -> Facts:
        """Read all ratings once, a chunk at a time."""
        levels = Levels.of(data)
        first_hour, n_hours, why = _hours(data)
        parts = {part: Counted.nothing(data.n_items, levels.n, n_hours) for part in PARTS}
        total, done = data.n_train + data.n_test, 0
        for part, items, ratings, times in _chunks(data):
            hours = None if first_hour is None or times is None else times // 3600 - first_hour
            parts[part].count(items, ratings, hours, levels, data.mean)
            done += len(items)
            progress("count ratings", done, total)
        return cls(data, levels, first_hour, why, parts)

    @cached_property
    def all(self) -> Counted:
        """Sums over both parts."""
        return self.parts["train"] + self.parts["test"]

    @cached_property
    def users(self) -> pd.DataFrame:
        """Return the users with `n`, their ratings in both parts."""
        return _counted(self.data.users())

    @cached_property
    def items(self) -> pd.DataFrame:
        """Return the items with `n`, and `mean` (missing where nobody has rated one)."""
        items = _counted(self.data.items())
        return items.assign(mean=means_of(self.all.item_sums, items["n"].to_numpy()))

    def counts(self, side: str) -> Ints:
        """Return the numbers of ratings of the users, or items, that have some, int64 (n,)."""
        n = (self.users if side == "users" else self.items)["n"].to_numpy(np.int64)
        return n[n > 0]

    @cached_property
    def tails(self) -> dict[str, Comparison | None]:
        """Laws fitted to the counts of either side; None where they are too few."""
        return {side: compare_tails(self.counts(side)) for side in SIDES}

    def ratings_of(self, user: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the item rows and ratings of one user row, in both parts."""
        bounds = self.data.bounds("users")
        block = int(np.searchsorted(bounds, user, side="right")) - 1
        place = user - int(bounds[block])
        found = []
        for part in parts_of(self.data):
            shard = self.data.shard("users", block, part)
            own = slice(*shard.indptr[place : place + 2])
            found.append((shard.indices[own], shard.ratings[own]))
        items, ratings = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return items, ratings

    def times(self, counted: Counted) -> pd.DataFrame:
        """Return the hours in which there are ratings: `hour` (UTC), `n` and `sum`.

        Parameters
        ----------
        counted : Counted
            One of `parts`, or `all`.
        """
        assert self.first_hour is not None
        (found,) = np.nonzero(counted.hours)
        hours = (found + self.first_hour).astype("datetime64[h]").astype("datetime64[s]")
        return pd.DataFrame(
            {"hour": hours, "n": counted.hours[found], "sum": counted.hour_sums[found]}
        )


def means_of(sums: Floats, n: Ints) -> Floats:
    """Return sums over numbers; missing where there is nothing."""
    return np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(n=table["n_train"] + table["n_test"])


def _hours(data: Dataset) -> tuple[int | None, int, str]:
    """Return the first hour and the number of hours, or None, 0 and why there are no times."""
    if not data.manifest.has_timestamps:
        return None, 0, "These ratings have no timestamps."
    first, last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for block, part in _shards(data):
        times = data.timestamps(block, part)
        if times is not None and len(times):
            first, last = min(first, int(times.min())), max(last, int(times.max()))
    if not _FIRST_DATE <= first <= last <= _LAST_DATE:
        return None, 0, f"The timestamps, {first} to {last}, are no dates in seconds since 1970."
    return first // 3600, last // 3600 - first // 3600 + 1, ""


def _shards(data: Dataset) -> Iterator[tuple[int, str]]:
    yield from product(range(data.n_blocks("users")), parts_of(data))


def _chunks(
    data: Dataset,
) -> Iterator[tuple[str, npt.NDArray[np.int32], npt.NDArray[np.float32], Ints | None]]:
    """Yield part, item rows, ratings and times of some ratings after others."""
    for block, part in _shards(data):
        shard, times = data.shard("users", block, part), data.timestamps(block, part)
        for start in range(0, shard.n_ratings, _CHUNK):
            piece = slice(start, start + _CHUNK)
            yield (
                part,
                np.asarray(shard.indices[piece]),
                np.asarray(shard.ratings[piece]),
                None if times is None else np.asarray(times[piece]),
            )
