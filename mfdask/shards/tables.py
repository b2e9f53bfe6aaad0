"""The tables of users and items, in row order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.ratings.ids import Ranked
from mfdask.shards.store import FileFacts, facts_of, map_array, shard_folder


def write_users(root: Path, users: Ranked, n_blocks: int) -> FileFacts:
    """Write ``users.parquet``, once all user shards are written."""
    table = pd.DataFrame({"user_id": users.ids, "n_read": users.counts})
    for part in ("train", "test"):
        table[f"n_{part}"] = _row_lengths(root, part, "users", n_blocks)
    return _write(root / "users.parquet", table)


def write_items(
    root: Path,
    items: Ranked,
    catalogue: pd.DataFrame | None,
    n_blocks: int,
    n_user_blocks: int,
) -> FileFacts:
    """Write ``items.parquet``, once all shards are written."""
    table = described(items.ids, catalogue)
    table["n_read"] = items.counts
    table["n_train"] = _row_lengths(root, "train", "items", n_blocks)
    n_test = np.zeros(len(table), np.int64)
    for block in range(n_user_blocks):
        indices = map_array(root / shard_folder("test", "users", block) / "indices.npy")
        n_test += np.bincount(indices, minlength=len(table))
    table["n_test"] = n_test
    return _write(root / "items.parquet", table)


def described(ids: pd.Index, catalogue: pd.DataFrame | None) -> pd.DataFrame:
    """Return `item_id, title, year, genres` for each id; empty or missing where unknown."""
    known = pd.DataFrame({"title": [], "year": [], "genres": []}, index=ids[:0])
    if catalogue is not None:
        known = catalogue.drop_duplicates("item_id").set_index("item_id")
    found = known.reindex(ids)
    return pd.DataFrame(
        {
            "item_id": ids,
            "title": found["title"].astype("str").fillna("").array,
            "year": found["year"].astype("Int16").array,
            "genres": found["genres"].astype("str").fillna("").array,
        }
    )


def _row_lengths(root: Path, part: str, side: str, n_blocks: int) -> npt.NDArray[np.int64]:
    folders = [root / shard_folder(part, side, block) for block in range(n_blocks)]
    return np.concatenate([np.diff(map_array(folder / "indptr.npy")) for folder in folders])


def _write(path: Path, table: pd.DataFrame) -> FileFacts:
    table.to_parquet(path, index=False)
    return facts_of(path)
