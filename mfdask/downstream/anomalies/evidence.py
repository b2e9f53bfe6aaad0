"""Evidence for attacks beside the bursts: surprising ratings, and similar profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2

from mfdask.downstream.anomalies.bursts import Bursts, Timeline
from mfdask.downstream.events import Events, runs_of
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s
from mfdask.kernels.windows import compare_values, count_values

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
    above : float32 (ratings,)
        Stars above the user's mean, that one shrunken to the mean of all.
    spread : float
        Standard deviation of these.
    """

    def __init__(self, events: Events, n_items: int) -> None:
        counts = np.diff(events.indptr)
        mean = float(events.ratings.mean(dtype=np.float64))
        sums = np.bincount(events.users - events.start, events.ratings, len(counts))
        level = (sums + _SHRINK * mean) / (counts + _SHRINK)
        self.above = events.ratings - np.repeat(level.astype(np.float32), counts)
        self.spread = float(self.above.std(dtype=np.float64))
        self._item_sums = np.bincount(events.items, self.above, n_items)
        self._item_counts = np.bincount(events.items, minlength=n_items)

    def agreement(self, chosen: Int32s, bursts: Bursts) -> Float64s:
        """Return ``sum(z) / sqrt(count)`` of the members of each burst, float64 (bursts,).

        ``z`` is how far a rating lies above the user's level and the item's, the latter from the
        ratings outside the burst alone, in standard deviations. `chosen` says which events the
        bursts are of.
        """
        sums = np.concatenate([[0.0], np.cumsum(self.above[chosen], dtype=np.float64)])
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
    values : uint8 (ratings,)
        Which value each rating of the line has, from 0; of a scale of many values, which tenth.
    """

    def __init__(self, ratings: Float32s, line: Timeline) -> None:
        edges = np.unique(ratings)[1:]
        if len(edges) >= _MOST_VALUES:
            edges = np.unique(np.quantile(ratings, np.arange(1, 10) / 10))
        self.values = np.zeros(len(ratings), np.uint8)
        for edge in edges:
            self.values += ratings >= edge
        self._of_items = np.empty((line.n_items, len(edges) + 1), np.int32)
        count_values(line.starts[:-1], np.diff(line.starts), self.values, self._of_items)
        self._usual = self._of_items.sum(axis=0) / len(ratings)
        by_half = self._by_half(line.halves)
        self._before = np.concatenate([0 * by_half[:1], by_half.cumsum(axis=0)])

    def _by_half(self, halves: Int32s) -> Int64s:
        """Return how often each value is given in each half-day, int64 (half-days, values)."""
        n = self._of_items.shape[1]
        found = np.zeros((int(halves.max()) + 1) * n, np.int64)
        for run in runs_of(len(halves)):
            found += np.bincount(halves[run] * n + self.values[run], minlength=len(found))
        return found.reshape(-1, n)

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
        n_values = self._of_items.shape[1]
        ratio, common = np.empty(len(bursts.n)), np.empty((len(bursts.n), n_values), np.bool_)
        where = bursts.first, bursts.n, bursts.item, bursts.start, bursts.stop
        usual = self.values, self._of_items, self._before, _USUAL * self._usual
        compare_values(*where, *usual, ratio, common)
        return -chi2.logsf(2 * ratio, n_values - 1) / np.log(10), common


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
