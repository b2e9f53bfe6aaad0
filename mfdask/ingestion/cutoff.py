"""The moment from which on a share of all ratings lies, found without sorting them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.execution import Executor
from mfdask.shards.store import SCRATCH, TIMESTAMPS, map_array

#: Seconds are first counted in bins of 2**16, some 18 hours.
_SHIFT = 16


def kept_folder(block: int) -> str:
    """Return where the times of the ratings that a user block keeps lie until it is split."""
    return f"{SCRATCH}/kept-{block:04d}"


def time_cutoff(root: Path, n_blocks: int, share: float, run: Executor) -> int:
    """Return the second such that about `share` of the ratings kept are not before it.

    Of the two seconds around the exact share, the one whose share is nearer.

    Parameters
    ----------
    root : Path
        A data set in the making, with the times of each user block in its `kept_folder`.
    n_blocks : int
    share : float
    run : Executor
    """

    def count(within: int | None) -> pd.Series:
        counted = [
            run.submit(f"count-times-{block}-{within}", _count_block, root, block, within)
            for block in range(n_blocks)
        ]
        return pd.concat(run.results(counted)).groupby(level=0).sum()

    return _cut(count, share)


def _cut(count: Callable[[int | None], pd.Series], share: float) -> int:
    bins = count(None)
    n_ratings = int(bins.sum())
    if n_ratings == 0:
        return 0  # nothing to cut
    wanted = n_ratings * (1 - share)  # ratings before the cut
    before = min(int(wanted), n_ratings - 1)
    here = int(np.searchsorted(bins.cumsum(), before, side="right"))
    earlier = int(bins.iloc[:here].sum())
    seconds = count(int(bins.index[here]))
    total = earlier + seconds.cumsum()
    place = int(np.searchsorted(total, before, side="right"))
    second = int(seconds.index[place])
    n_before = int(total.iloc[place] - seconds.iloc[place])
    return second if wanted - n_before <= total.iloc[place] - wanted else second + 1


def _count_block(root: Path, block: int, within: int | None) -> pd.Series:
    times = map_array(root / kept_folder(block) / f"{TIMESTAMPS}.npy")
    return count_times(times.view(np.ndarray), within)


def count_times(seconds: npt.NDArray[np.int64], within: int | None) -> pd.Series:
    """Count the ratings of each bin of time, or of each second of the bin `within`."""
    bins = seconds >> _SHIFT
    values = bins if within is None else seconds[bins == within]
    return pd.Series(values).value_counts(sort=False)
