"""Find the moment from which on all ratings are held out, without sorting them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mfdask.shards.tasks import Tasks

if TYPE_CHECKING:
    import dask.dataframe as dd

#: Seconds are first counted in bins of 2**16, some 18 hours.
_SHIFT = 16


def time_cutoff(ratings: dd.DataFrame, n_ratings: int, share: float, tasks: Tasks) -> int:
    """Return the second such that about `share` of the ratings are not before it.

    Of the two seconds around the exact share, the one whose share is nearer.
    """
    wanted = n_ratings * (1 - share)  # ratings before the cut
    before = min(int(wanted), n_ratings - 1)
    bins = _count(ratings, None, tasks)
    here = int(np.searchsorted(bins.cumsum(), before, side="right"))
    earlier = int(bins.iloc[:here].sum())
    seconds = _count(ratings, int(bins.index[here]), tasks)
    total = earlier + seconds.cumsum()
    place = int(np.searchsorted(total, before, side="right"))
    second = int(seconds.index[place])
    n_before = int(total.iloc[place] - seconds.iloc[place])
    return second if wanted - n_before <= total.iloc[place] - wanted else second + 1


def _count(ratings: dd.DataFrame, within: int | None, tasks: Tasks) -> pd.Series:
    counted = ratings["timestamp"].map_partitions(
        count_times, within, meta=pd.Series(dtype="int64"), enforce_metadata=False
    )
    counts = pd.concat(tasks.results(tasks.partitions(counted)))
    return counts.groupby(level=0).sum()


def count_times(times: pd.Series, within: int | None) -> pd.Series:
    """Count the ratings of each bin of time, or of each second of the bin `within`."""
    seconds = times.to_numpy()
    bins = seconds >> _SHIFT
    values = bins if within is None else seconds[bins == within]
    different, counts = np.unique(values, return_counts=True)
    return pd.Series(counts, index=different)
