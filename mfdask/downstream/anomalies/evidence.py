"""Evidence for attacks beside the bursts: surprising ratings, and similar profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.bursts import Bursts, Chosen
from mfdask.downstream.events import Events
from mfdask.kernels.types import Float64s

#: Ratings of average size that a user's or an item's own are taken together with.
_SHRINK = 5.0


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
