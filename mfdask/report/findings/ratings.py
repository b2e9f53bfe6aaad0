"""All ratings of some items, or by some users, of both parts of a data set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.downstream.events import parts_of
from mfdask.shards import Dataset

Rows = npt.NDArray[np.int64]


def ratings_among(
    data: Dataset, *, users: Rows | None = None, items: Rows | None = None
) -> pd.DataFrame:
    """Return the ratings by some users, or of some items; None stands for all.

    Parameters
    ----------
    data : Dataset
        With timestamps.
    users, items : int64 arrays, optional
        Row numbers.

    Returns
    -------
    DataFrame
        `user, item` (row numbers), `rating` and `time` (UTC), of training and held-out ratings.
    """
    by, of = np.zeros(data.n_users, np.bool_), np.zeros(data.n_items, np.bool_)
    by[slice(None) if users is None else users] = True
    of[slice(None) if items is None else items] = True
    pieces = []
    for part in parts_of(data):
        for block in range(data.n_blocks("users")):
            shard, times = data.shard("users", block, part), data.timestamps(block, part)
            assert times is not None
            rows = shard.rows
            here = by[rows] & of[shard.indices]
            piece = {
                "user": rows[here],
                "item": shard.indices[here],
                "rating": shard.ratings[here],
                "time": pd.to_datetime(times[here], unit="s"),
            }
            pieces.append(pd.DataFrame(piece))
    return pd.concat(pieces, ignore_index=True)
