"""Build the user shards from the buckets that ratings were sorted into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask import kernels
from mfdask.ingestion.cutoff import kept_folder
from mfdask.ingestion.given import drop_shared
from mfdask.ingestion.partition import read_bucket, take_values
from mfdask.ingestion.plan import BuildPlan, UserBlock
from mfdask.ingestion.repeats import repeats_among, write_repeats
from mfdask.ingestion.rows import Entries
from mfdask.ratings.splits import GIVEN
from mfdask.shards.store import (
    BESIDE,
    PARTS,
    TIMESTAMPS,
    WEIGHTS,
    FileFacts,
    FolderStore,
    map_array,
    write_arrays,
)

#: A scale with more different ratings than this has no step worth naming.
_MOST_VALUES = 1000
_NO_TIMES = np.empty(0, np.int64)
#: What the arrays of a shard are gathered from.
_COLUMNS = {"indices": "items", "ratings": "ratings", **{name: name for name in BESIDE}}

#: The ratings of a block, a column each; None where there is no such column.
Columns: TypeAlias = dict[str, Any]


def build_user_block(
    plan: BuildPlan,
    block: int,
    starts: list[npt.NDArray[np.int64]],
    user_keys: npt.NDArray[np.uint64] | None,
    item_keys: npt.NDArray[np.uint64] | None,
) -> UserBlock:
    """Sort a block, hold out the test ratings, and write both shards and the repeats.

    Parameters
    ----------
    plan : BuildPlan
    block : int
    starts : list of int64 arrays
        From `fill_buckets`, for each part.
    user_keys, item_keys : uint64 or None
        A key for each row, where the split is by a hash of them (`Split.hashed_sides`).
    """
    columns = bucket_columns(plan, block, starts)
    n_shared = 0
    if plan.split.kind == GIVEN:
        columns, n_shared = drop_shared(columns)
    events = entries_of(columns)
    if plan.split.kind == "time" and not plan.adds_up:
        order = map_array(plan.root / kept_folder(block) / "order.npy").view(np.ndarray)
    else:
        order = sorted_once(plan, block, columns)
    held = held_out_mask(plan, block, order, columns, user_keys, item_keys)
    n_rows = n_rows_of(plan, block)
    repeats = repeats_among(order, events, plan.adds_up)
    n_repeats = None if events.times is None else len(repeats.rows)
    chosen = dict(zip(PARTS, (order[~held], order[held]), strict=True))
    del events, order, held
    parts = gathered(chosen, columns, n_rows)
    files = plan.writer.write_users(block, parts)
    files |= write_repeats(FolderStore(plan.root), block, repeats, n_rows)
    train, test = parts["train"], parts["test"]
    found = describe_block(files, train["ratings"], test["ratings"], train.get(WEIGHTS))
    return found._replace(n_shared=n_shared, n_repeats=n_repeats)


def write_kept(plan: BuildPlan, block: int, starts: list[npt.NDArray[np.int64]]) -> None:
    """Sort a block, drop its duplicates, and write where and when the others are.

    The split `time` needs the times of all blocks before it can cut one.
    """
    columns = bucket_columns(plan, block, starts)
    order = sorted_once(plan, block, columns)
    kept = {"order": order, TIMESTAMPS: take_values(columns[TIMESTAMPS], order)}
    write_arrays(plan.root, kept_folder(block), kept)


def bucket_columns(plan: BuildPlan, block: int, starts: list[npt.NDArray[np.int64]]) -> Columns:
    """Return the ratings of a block as they came, with `users` numbered within the block."""
    columns: Columns = {
        name: read_bucket(plan.root, starts, block, name)
        for name in ("users", "items", "ratings", *BESIDE, "draws")
    }
    columns["users"] -= plan.user_bounds[block]
    return columns


def entries_of(columns: Columns) -> Entries:
    """Return the ratings of a block in the order in which they came."""
    return Entries(*(columns[name] for name in ("users", "items", "ratings", *BESIDE)))


def describe_block(
    files: dict[str, FileFacts],
    train: npt.NDArray[np.float32],
    test: npt.NDArray[np.float32],
    train_weights: npt.NDArray[np.float32] | None = None,
    n_withdrawn: int = 0,
) -> UserBlock:
    """Sum up a block whose shards are written, from the ratings of both."""
    values, n_values = _different(train, test)
    return UserBlock(
        files=files,
        n_train=len(train),
        n_test=len(test),
        train_sum=float(train.sum(dtype=np.float64)),
        values=values,
        n_values=n_values,
        n_withdrawn=n_withdrawn,
        weight_sum=None if train_weights is None else float(train_weights.sum(dtype=np.float64)),
    )


def sorted_once(plan: BuildPlan, block: int, columns: Columns) -> npt.NDArray[np.int32]:
    """Return the places of the ratings, ascending by user and item, the latest of each pair.

    Where values are added up, the ratings become a copy with the sum of a pair in the place of
    each.
    """
    n_rows, n_items = n_rows_of(plan, block), plan.item_bounds[-1]
    users, items, times = columns["users"], columns["items"], columns[TIMESTAMPS]
    order = np.empty(len(users), np.int32)
    kernels.csr.sort_pairs(users, n_rows, items, n_items, np.empty(len(users), np.int64), order)
    if plan.adds_up:
        columns["ratings"] = columns["ratings"].copy()
        kernels.csr.add_repeats(order, users, items, columns["ratings"])
    return order[
        : kernels.csr.keep_latest(order, users, items, _NO_TIMES if times is None else times)
    ]


def n_rows_of(plan: BuildPlan, block: int) -> int:
    """Return the number of rows of a user block."""
    return plan.user_bounds[block + 1] - plan.user_bounds[block]


def gathered(
    chosen: Mapping[str, npt.NDArray[np.int32]], columns: Columns, n_rows: int
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Return the arrays of the shards that some of the ratings make, each in its order.

    Takes the columns out of `columns`: one of a large block is gone before the next is gathered.
    """
    users = columns.pop("users")
    shards = {
        part: {"indptr": kernels.csr.row_starts(users, places, n_rows)}
        for part, places in chosen.items()
    }
    del users
    for name, column in _COLUMNS.items():
        values = columns.pop(column)
        if values is not None:
            for part, places in chosen.items():
                shards[part][name] = take_values(values, places)
    return shards


def held_out_mask(
    plan: BuildPlan,
    block: int,
    order: npt.NDArray[np.int32],
    columns: Columns,
    user_keys: npt.NDArray[np.uint64] | None,
    item_keys: npt.NDArray[np.uint64] | None,
) -> npt.NDArray[np.bool_]:
    """Tell which of the ratings `order` are held out; they ascend by user and item."""
    first, end = plan.user_bounds[block : block + 2]
    own_keys = None if user_keys is None else user_keys[first:end]
    with np.errstate(over="ignore"):  # hashing wraps around; uncompiled, NumPy would tell
        return _held(plan, order, columns, end - first, own_keys, item_keys)


def _held(
    plan: BuildPlan,
    order: npt.NDArray[np.int32],
    columns: Columns,
    n_rows: int,
    user_keys: npt.NDArray[np.uint64] | None,
    item_keys: npt.NDArray[np.uint64] | None,
) -> npt.NDArray[np.bool_]:
    split, times = plan.split, columns[TIMESTAMPS]
    users, items = columns["users"], columns["items"]
    seed = np.uint64(plan.seed & 0xFFFF_FFFF_FFFF_FFFF)
    held: npt.NDArray[np.bool_]
    if split.kind == "random":
        held = kernels.splits.hold_out_by_hash(
            order, users, items, user_keys, item_keys, seed, split.share
        )
    elif split.kind == "cold-items":
        held = kernels.splits.hold_out_columns_by_hash(order, items, item_keys, seed, split.share)
    elif split.kind in ("user-time", "leave-one-out"):
        n_last = split.n_last(np.bincount(users[order], minlength=n_rows))
        held = kernels.splits.hold_out_last(order, users, items, n_rows, times, item_keys, n_last)
    elif split.kind == "time":
        held = take_values(times, order) >= plan.cutoff
    elif split.is_by_rows:
        held = take_values(columns["draws"], order)
    else:
        held = np.zeros(len(order), np.bool_)
    return held


def _different(*ratings: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    values = np.unique(np.concatenate([_unique(part) for part in ratings]))
    return values if len(values) <= _MOST_VALUES else values[[0, -1]], len(values)


def _unique(ratings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    room = np.empty(len(ratings), np.float32)  # memory that is not written to costs nothing
    return pd.unique(room[: kernels.csr.drop_repeats(ratings, room)])
