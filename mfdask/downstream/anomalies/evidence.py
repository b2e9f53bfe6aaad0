"""Evidence for attacks beside the bursts: surprising ratings, and similar profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import xlogy
from scipy.stats import chi2

from mfdask.downstream.anomalies.bursts import Bursts, Chosen, Timeline
from mfdask.downstream.events import Events
from mfdask.kernels.types import Bools, Float32s, Float64s, Int32s, Int64s
from mfdask.kernels.windows import count_values

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
    values : uint8 (ratings,)
        Which value each rating has, from 0; of a scale of many values, which tenth.
    """

    def __init__(self, ratings: Float32s, line: Timeline) -> None:
        edges = np.unique(ratings)[1:]
        if len(edges) >= _MOST_VALUES:
            edges = np.unique(np.quantile(ratings, np.arange(1, 10) / 10))
        self.values = np.searchsorted(edges, ratings, side="right").astype(np.uint8)
        self._n = len(edges) + 1
        self._usual = np.bincount(self.values, minlength=self._n) / len(ratings)
        self._line = line
        self._in_order = self.values[line.order]
        self._of_items = self._table(line.items, line.n_items)
        by_half = self._table(line.halves, int(line.halves.max()) + 1)
        self._before = np.concatenate([np.zeros((1, self._n), np.int64), by_half.cumsum(axis=0)])

    def _table(self, rows: Int32s, n_rows: int) -> Int64s:
        """Return how often each value is in each row, int64 (rows, values)."""
        keys = rows.astype(np.int64) * self._n + self.values
        return np.bincount(keys, minlength=n_rows * self._n).reshape(n_rows, self._n)

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
        inside = np.empty((len(bursts.n), self._n), np.int32)
        count_values(bursts.first, bursts.n, self._in_order, inside)
        span = len(self._before) - 1
        begin, end = (np.clip(at, 0, span) for at in (bursts.start, bursts.stop))
        elsewhere = self._of_items[bursts.item]
        meanwhile = self._before[end] - self._before[begin]
        ratios, common = np.zeros((2, len(bursts.n))), np.ones((len(bursts.n), self._n), bool)
        totals = elsewhere.sum(axis=1), meanwhile.sum(axis=1)
        for value, own in enumerate(inside.T):
            share = own / bursts.n
            for ratio, others, total in zip(ratios, (elsewhere, meanwhile), totals, strict=True):
                more = _USUAL * self._usual[value]
                rest = np.maximum(total - bursts.n, 0) + _USUAL
                usual = (np.maximum(others[:, value] - own, 0) + more) / rest
                ratio += xlogy(own, share) - xlogy(own, usual)
                common[:, value] &= share > usual
        return -chi2.logsf(2 * ratios.min(axis=0), self._n - 1) / np.log(10), common


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
