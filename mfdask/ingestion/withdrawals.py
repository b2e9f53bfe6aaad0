"""Withdrawals: ratings that are taken back, written for the user blocks to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.ingestion.plan import BuildPlan
from mfdask.ratings.ids import Ranked
from mfdask.shards.store import SCRATCH, FileFacts, map_array, write_arrays

FILE_NAME = "withdrawn.parquet"
_FOLDER = f"{SCRATCH}/withdrawn"
_COLUMNS = {"users": np.int32, "items": np.int32, "until": np.int64}
#: The moment of a withdrawal without one: later than any rating there is.
_EVER = np.iinfo(np.int64).max


def write_withdrawn(
    root: Path,
    data: Path,
    frames: list[pd.DataFrame],
    has_timestamps: bool,
    users: Ranked,
    items: Ranked,
) -> dict[str, FileFacts]:
    """Write all withdrawals for `read_withdrawn`, and those with a moment for times to come.

    Parameters
    ----------
    root : Path
        The data set in the making.
    data : Path
        The data set that grows; its own withdrawals count as well.
    frames : list of DataFrame
        New ones, from `parts.read_part`.
    has_timestamps : bool
        Whether ratings have times; if not, those of withdrawals mean nothing.
    users, items : Ranked
        Of the data set in the making.
    """
    withdrawn = [_plain(frame, has_timestamps) for frame in frames]
    if (data / FILE_NAME).exists():
        withdrawn.append(pd.read_parquet(data / FILE_NAME))
    if not withdrawn:
        write_arrays(root, _FOLDER, {name: np.empty(0, kind) for name, kind in _COLUMNS.items()})
        return {}
    every = pd.concat(withdrawn, ignore_index=True)
    found = {
        "users": users.ids.get_indexer(pd.Index(every["user_id"])),
        "items": items.ids.get_indexer(pd.Index(every["item_id"])),
        "until": every["timestamp"].to_numpy(),
    }
    here = (found["users"] >= 0) & (found["items"] >= 0)
    arrays = {name: found[name][here].astype(kind) for name, kind in _COLUMNS.items()}
    write_arrays(root, _FOLDER, arrays)
    return _write_dated(root, every)


def read_withdrawn(
    plan: BuildPlan, block: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the withdrawals of a user block: row in the block, item, moment."""
    first, end = plan.user_bounds[block : block + 2]
    users, items, until = (map_array(plan.root / _FOLDER / f"{name}.npy") for name in _COLUMNS)
    here = (users >= first) & (users < end)
    return users[here] - np.int32(first), items[here], until[here]


def _plain(frame: pd.DataFrame, has_timestamps: bool) -> pd.DataFrame:
    """Return ids as they came, and the moment of each."""
    columns = {name: pd.Series(np.asarray(frame[name])) for name in ("user_id", "item_id")}
    dated = has_timestamps and "timestamp" in frame
    times = frame["timestamp"].to_numpy() if dated else np.full(len(frame), _EVER)
    return pd.DataFrame(columns | {"timestamp": times})


def _write_dated(root: Path, every: pd.DataFrame) -> dict[str, FileFacts]:
    dated = every[every["timestamp"] < _EVER]
    if dated.empty:
        return {}
    latest = dated.groupby(["user_id", "item_id"])["timestamp"].max().reset_index()
    latest.to_parquet(root / FILE_NAME, index=False)
    return {FILE_NAME: FileFacts.of(root / FILE_NAME)}
