"""The ratings of a data set as a Dask DataFrame."""

from __future__ import annotations

import dask.dataframe as dd
import pandas as pd

from mfdask.errors import InputError
from mfdask.shards.dataset import Dataset


def ratings_frame(data: Dataset, part: str = "train") -> dd.DataFrame:
    """Return ratings with their raw ids, a partition for each block of users.

    Parameters
    ----------
    data : Dataset
        On disk or at a URL; whoever computes the frame must see it there.
    part : {"train", "test"}

    Returns
    -------
    dask.dataframe.DataFrame
        `user_id`, `item_id` (as the data set has them), `rating` (float32) and, where there are
        any, `timestamp` (int64, seconds since 1970) and `weight` (float32); by user row and item
        row.

    Raises
    ------
    InputError
        If the data set is in memory only.
    """
    if data.address is None:
        raise InputError(f"{data.name}: is in memory only; a frame is read from a data set on disk")
    blocks, like = range(data.n_blocks("users")), _rows(data, 0, part)[:0]
    return dd.from_map(_block, blocks, address=data.address, part=part, meta=like)


def _block(block: int, address: str, part: str) -> pd.DataFrame:
    return _rows(Dataset.open(address), block, part)


def _rows(data: Dataset, block: int, part: str) -> pd.DataFrame:
    shard = data.shard("users", block, part)
    columns = {
        "user_id": data.users()["user_id"].array.take(shard.rows),
        "item_id": data.items()["item_id"].array.take(shard.indices),
        "rating": shard.ratings,
    }
    beside = {"timestamp": data.timestamps(block, part), "weight": data.weights(block, part)}
    there = {name: values for name, values in beside.items() if values is not None}
    return pd.DataFrame({**columns, **there})
