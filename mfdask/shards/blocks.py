"""Build the shards: user blocks from buckets, item blocks from user shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.kernels.csr import (
    count_columns,
    keep_latest,
    row_starts,
    sort_pairs,
    transpose_into,
)
from mfdask.kernels.splits import hold_out_by_hash, hold_out_columns_by_hash, hold_out_last
from mfdask.shards.partition import gather, read_bucket
from mfdask.shards.plan import Plan, UserBlock
from mfdask.shards.store import ARRAYS, TIMESTAMPS, FileFacts, map_array, shard_folder, write_arrays

#: A scale with more different ratings than this has no step worth naming.
_MOST_VALUES = 1000
_NO_TIMES = np.empty(0, np.int64)


def build_user_block(
    plan: Plan,
    block: int,
    starts: list[npt.NDArray[np.int64]],
    user_keys: npt.NDArray[np.uint64] | None,
    item_keys: npt.NDArray[np.uint64] | None,
) -> UserBlock:
    """Sort a block, drop its duplicates, hold out the test ratings, and write both shards.

    Parameters
    ----------
    plan : Plan
    block : int
    starts : list of int64 arrays
        From `fill_buckets`, for each part.
    user_keys, item_keys : uint64 or None
        A key for each row, where the split is by a hash of them (`Split.hashed_sides`).
    """
    first, end = plan.user_bounds[block : block + 2]
    columns: dict[str, Any] = {
        name: read_bucket(plan.root, starts, block, name)
        for name in ("users", "items", "ratings", TIMESTAMPS, "draws")
    }
    columns["users"] -= first  # rows of the block from here on
    order = _sorted_once(columns, end - first, plan.item_bounds[-1])
    own_keys = None if user_keys is None else user_keys[first:end]
    held = _hold_out(plan, order, columns, end - first, own_keys, item_keys)
    train = _shard_arrays(order[~held], columns, end - first)
    files = write_arrays(plan.root, shard_folder("train", "users", block), train)
    test = _shard_arrays(order[held], columns, end - first)
    files |= write_arrays(plan.root, shard_folder("test", "users", block), test)
    values, n_values = _different(train["ratings"], test["ratings"])
    return UserBlock(
        files=files,
        n_train=len(train["ratings"]),
        n_test=len(test["ratings"]),
        train_sum=float(train["ratings"].sum(dtype=np.float64)),
        values=values,
        n_values=n_values,
    )


def _sorted_once(columns: dict[str, Any], n_rows: int, n_items: int) -> npt.NDArray[np.int32]:
    """Return the places of the ratings, ascending by user and item, the latest of each pair."""
    users, items, times = columns["users"], columns["items"], columns[TIMESTAMPS]
    order = np.empty(len(users), np.int32)
    sort_pairs(users, n_rows, items, n_items, np.empty(len(users), np.int64), order)
    return order[: keep_latest(order, users, items, _NO_TIMES if times is None else times)]


def _shard_arrays(
    places: npt.NDArray[np.int32], columns: dict[str, Any], n_rows: int
) -> dict[str, npt.NDArray[Any]]:
    arrays = {
        "indptr": row_starts(columns["users"], places, n_rows),
        "indices": gather(columns["items"], places),
        "ratings": gather(columns["ratings"], places),
    }
    if columns[TIMESTAMPS] is not None:
        arrays[TIMESTAMPS] = gather(columns[TIMESTAMPS], places)
    return arrays


def _hold_out(
    plan: Plan,
    order: npt.NDArray[np.int32],
    columns: dict[str, Any],
    n_rows: int,
    user_keys: npt.NDArray[np.uint64] | None,
    item_keys: npt.NDArray[np.uint64] | None,
) -> npt.NDArray[np.bool_]:
    """Tell which of the ratings `order` are held out; they ascend by user and item."""
    split, times = plan.split, columns[TIMESTAMPS]
    users, items = columns["users"], columns["items"]
    seed = np.uint64(plan.seed & 0xFFFF_FFFF_FFFF_FFFF)
    held: npt.NDArray[np.bool_]
    if split.kind == "random":
        with np.errstate(over="ignore"):  # hashing wraps around; uncompiled, NumPy would tell
            held = hold_out_by_hash(order, users, items, user_keys, item_keys, seed, split.share)
    elif split.kind == "cold-items":
        with np.errstate(over="ignore"):
            held = hold_out_columns_by_hash(order, items, item_keys, seed, split.share)
    elif split.kind == "user-time":
        held = hold_out_last(order, users, n_rows, times, split.share)
    elif split.kind == "time":
        held = gather(times, order) >= plan.cutoff
    elif split.kind == "sequence":
        held = gather(columns["draws"], order)
    else:
        held = np.zeros(len(order), np.bool_)
    return held


def _different(*ratings: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    values = np.unique(np.concatenate([pd.unique(part) for part in ratings]))
    return values if len(values) <= _MOST_VALUES else values[[0, -1]], len(values)


def build_item_block(plan: Plan, block: int) -> dict[str, FileFacts]:
    """Write an item shard: the training shards of all users, transposed."""
    first, end = plan.item_bounds[block : block + 2]
    n_user_blocks = len(plan.user_bounds) - 1
    counts = np.zeros(end - first, np.int64)
    for b in range(n_user_blocks):
        count_columns(_user_array(plan, b, "indices"), first, counts)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = np.empty(indptr[-1], np.int32)
    ratings = np.empty(indptr[-1], np.float32)
    place = indptr[:-1].copy()
    for b in range(n_user_blocks):
        shard = (_user_array(plan, b, name) for name in ARRAYS)
        transpose_into(*shard, plan.user_bounds[b], first, place, indices, ratings)
    arrays = {"indptr": indptr, "indices": indices, "ratings": ratings}
    return write_arrays(plan.root, shard_folder("train", "items", block), arrays)


def _user_array(plan: Plan, block: int, name: str) -> npt.NDArray[Any]:
    folder = plan.root / shard_folder("train", "users", block)
    return map_array(folder / f"{name}.npy").view(np.ndarray)
