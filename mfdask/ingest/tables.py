"""The tables of users and items, in row order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.ratings.ids import Ranked
from mfdask.ratings.source import Source
from mfdask.shards.store import SCRATCH, FileFacts, facts_of, map_array, shard_folder

_CATALOGUE = f"{SCRATCH}/catalogue.parquet"
_DESCRIPTION = {"title": "str", "year": "Int16", "genres": "str"}


def write_users(root: Path, users: Ranked, n_blocks: int) -> FileFacts:
    """Write ``users.parquet``, once all user shards are written."""
    table = pd.DataFrame({"user_id": users.ids, "n_read": users.counts})
    for part in ("train", "test"):
        table[f"n_{part}"] = _row_lengths(root, part, "users", n_blocks)
    return _write(root / "users.parquet", table)


def write_items(root: Path, items: Ranked, n_blocks: int, n_user_blocks: int) -> FileFacts:
    """Write ``items.parquet``, once the catalogue and all shards are written."""
    table = _described(items.ids, pd.read_parquet(root / _CATALOGUE))
    table["n_read"] = items.counts
    table["n_train"] = _row_lengths(root, "train", "items", n_blocks)
    n_test = np.zeros(len(table), np.int64)
    for block in range(n_user_blocks):
        indices = map_array(root / shard_folder("test", "users", block) / "indices.npy")
        n_test += np.bincount(indices, minlength=len(table))
    table["n_test"] = n_test
    return _write(root / "items.parquet", table)


def write_catalogue(root: Path, source: Source) -> None:
    """Write what is known of items for the tasks to read, one line an item."""
    catalogue = source.catalogue
    if catalogue is None:
        ids = pd.Series([], dtype="int64" if source.item_kind == "int" else "str")
        catalogue = pd.DataFrame({"item_id": ids, "title": "", "year": pd.NA, "genres": ""})
    known = catalogue.drop_duplicates("item_id")
    known.astype(_DESCRIPTION).to_parquet(root / _CATALOGUE, index=False)


def count_catalogue(root: Path) -> pd.Series:
    """Count the items of the catalogue as read zero times each, as `ids.count_ids` would."""
    return pd.Series(0, index=pd.read_parquet(root / _CATALOGUE, columns=["item_id"])["item_id"])


def _described(ids: pd.Index, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return `item_id, title, year, genres` for each id; empty or missing where unknown."""
    found = catalogue.set_index("item_id").reindex(ids)
    texts = {name: found[name].astype("str").fillna("").array for name in ("title", "genres")}
    described = {"item_id": ids, "title": texts["title"], "year": found["year"].array}
    return pd.DataFrame(described | {"genres": texts["genres"]}, index=range(len(ids)))


def _row_lengths(root: Path, part: str, side: str, n_blocks: int) -> npt.NDArray[np.int64]:
    folders = [root / shard_folder(part, side, block) for block in range(n_blocks)]
    return np.concatenate([np.diff(map_array(folder / "indptr.npy")) for folder in folders])


def _write(path: Path, table: pd.DataFrame) -> FileFacts:
    table.to_parquet(path, index=False)
    return facts_of(path)
