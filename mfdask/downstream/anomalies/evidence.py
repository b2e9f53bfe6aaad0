"""Evidence for attacks beside the bursts: surprising ratings, and similar profiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import xlogy
from scipy.stats import chi2

from mfdask.downstream.anomalies.bursts import Bursts, Chosen, Timeline
from mfdask.downstream.events import Events
from mfdask.kernels.types import Bools, Float32s, Float64s, Int64s

#: Ratings of average size that a user's or an item's own are taken together with.
_SHRINK = 5.0
#: Ratings of all items that an item's own are taken together with, to tell which are usual.
_USUAL = 10.0
#: Different ratings from which on tenths are taken in their place.
_MOST_VALUES = 16


class Surprise:
    """Ratings against the user's own level and the item's.

    Attributes
    ----------
    above : float64 (ratings,)
        Stars above the user's mean, that one shrunken to the mean of all.
    spread : float
        Standard deviation of these.
    """

    def __init__(self, events: Events, n_items: int) -> None:
        counts = np.diff(events.indptr)
        mean = float(events.ratings.mean(dtype=np.float64))
        sums = np.bincount(events.users - events.start, events.ratings, len(counts))
        level = (sums + _SHRINK * mean) / (counts + _SHRINK)
        self.above = events.ratings - np.repeat(level, counts)
        self.spread = float(self.above.std())
        self._item_sums = np.bincount(events.items, self.above, n_items)
        self._item_counts = np.bincount(events.items, minlength=n_items)

    def agreement(self, chosen: Chosen, bursts: Bursts) -> Float64s:
        """Return ``sum(z) / sqrt(count)`` of the members of each burst, float64 (bursts,).

        ``z`` is how far a rating lies above the user's level and the item's, the latter from the
        ratings outside the burst alone, in standard deviations.
        """
        sums = np.concatenate([[0.0], np.cumsum(self.above[chosen.places])])
        inside = sums[bursts.first + bursts.n] - sums[bursts.first]
        outside = self._item_counts[bursts.item] - bursts.n
        level = (self._item_sums[bursts.item] - inside) / (outside + _SHRINK)
        found: Float64s = (inside - bursts.n * level) / (self.spread * np.sqrt(bursts.n))
        return found


class Sameness:
    """The values of ratings in bursts against those of the item at other times.

    Attackers agree on what to give their target, be it the end of the scale or not.

    Attributes
    ----------
    values : int64 (ratings,)
        Which value each rating has, from 0; of a scale of many values, which tenth.
    """

    def __init__(self, ratings: Float32s, line: Timeline) -> None:
        edges = np.unique(ratings)[1:]
        if len(edges) >= _MOST_VALUES:
            edges = np.unique(np.quantile(ratings, np.arange(1, 10) / 10))
        self.values = np.searchsorted(edges, ratings, side="right")
        self._n = len(edges) + 1
        self._usual = np.bincount(self.values, minlength=self._n) / len(ratings)
        self._line = line

    def of(self, bursts: Bursts) -> tuple[Float64s, Bools]:
        """Return how sure it is that the values are others, and which are more common than usual.

        Twice: other than the item's at other times (taken together with `_USUAL` ratings of all),
        and other than those of all items at the same time, since a scale may have changed.

        Parameters
        ----------
        bursts : Bursts
            Among all ratings.

        Returns
        -------
        evidence : float64 (bursts,)
            The smaller ``-log10`` of the chance of a larger likelihood ratio (Wilks' chi-squared
            limit).
        common : bool (bursts, values)
            More common than either.
        """
        sides = self._elsewhere(bursts), self._meanwhile(bursts)
        ratios, common = np.zeros((2, len(bursts.n))), np.ones((len(bursts.n), self._n), bool)
        for value in range(self._n):
            inside = self._inside(bursts, value)
            share = inside / bursts.n
            for ratio, usual in zip(ratios, (next(side) for side in sides), strict=True):
                ratio += xlogy(inside, share) - xlogy(inside, usual)
                common[:, value] &= share > usual
        return -chi2.logsf(2 * ratios.min(axis=0), self._n - 1) / np.log(10), common

    def _inside(self, bursts: Bursts, value: int) -> Int64s:
        """Return how many of the ratings of each burst have a value."""
        before = self._before(value)
        return before[bursts.first + bursts.n] - before[bursts.first]

    def _before(self, value: int) -> Int64s:
        return np.concatenate([[0], np.cumsum(self.values[self._line.order] == value)])

    def _elsewhere(self, bursts: Bursts) -> Iterator[Float64s]:
        """Yield the share that each value has among the item's other ratings."""
        begin, end = (self._line.starts[bursts.item + k] for k in (0, 1))
        for value in range(self._n):
            before = self._before(value)
            outside = before[end] - before[begin] - self._inside(bursts, value)
            outside = outside + _USUAL * self._usual[value]
            yield outside / (end - begin - bursts.n + _USUAL)

    def _meanwhile(self, bursts: Bursts) -> Iterator[Float64s]:
        """Yield the share that each value has among all ratings in the window of each burst."""
        span = int(self._line.halves.max()) + 1
        ends = [np.clip(at, 0, span) for at in (bursts.start, bursts.stop)]
        first, last = np.searchsorted(np.sort(self._line.halves), ends)
        by_time = self.values[np.argsort(self._line.halves, kind="stable")]
        for value in range(self._n):
            before = np.concatenate([[0], np.cumsum(by_time == value)])
            all_others = before[last] - before[first] - self._inside(bursts, value)
            all_others = np.maximum(all_others, 0) + _USUAL * self._usual[value]
            yield all_others / (np.maximum(last - first - bursts.n, 0) + _USUAL)


def add_profiles(suspects: pd.DataFrame, events: Events, n_items: int) -> pd.DataFrame:
    """Return a table of suspected users with what their profiles say.

    Parameters
    ----------
    suspects : DataFrame
        With `user`, the `burst` they are members of, and `direction`, `item`, `window_start`
        and `window_end` (seconds).
    events : Events
    n_items : int

    Returns
    -------
    DataFrame
        With two columns more. `share_in_window`: how much of all that a user has rated lies in
        the window of the burst. `resemblance`: items that a user has in common with the other
        members, against what the items' numbers of ratings make likely; 1 is chance, NaN for a
        user without others.
    """
    popularity = np.bincount(events.items, minlength=n_items) / len(events.items)
    parts = [
        _profiles(members, events, popularity)
        for _, members in suspects.groupby(["direction", "burst"], sort=False)
    ]
    columns = (
        pd.concat(parts) if parts else pd.DataFrame({"share_in_window": [], "resemblance": []})
    )
    return suspects.join(columns)


def _profiles(members: pd.DataFrame, events: Events, popularity: Float64s) -> pd.DataFrame:
    """Return both columns for the members of one burst."""
    rows = members["user"].to_numpy() - events.start
    lengths = np.diff(events.indptr)[rows]
    places = np.concatenate([np.arange(*events.indptr[[row, row + 1]]) for row in rows])
    member = np.repeat(np.arange(len(rows)), lengths)
    items, times = events.items[places], events.timestamps[places]
    inside = (times >= members["window_start"].iloc[0]) & (times < members["window_end"].iloc[0])
    target = items == members["item"].iloc[0]
    raters = np.bincount(items, minlength=len(popularity))
    common = np.bincount(member, np.where(target, 0, raters[items] - 1), len(rows))
    likely = np.bincount(member, np.where(target, 0.0, popularity[items]), len(rows))
    likely *= lengths.sum() - lengths
    return pd.DataFrame(
        {
            "share_in_window": np.bincount(member, inside, len(rows)) / lengths,
            "resemblance": np.divide(
                common, likely, out=np.full(len(rows), np.nan), where=likely > 0
            ),
        },
        index=members.index,
    )
