"""Bring new ratings into the blocks of a data set: merged, never sorted again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.kernels.csr import keep_latest, sort_pairs
from mfdask.kernels.merge import changes_into, merge_order, stay
from mfdask.shards.blocks import (
    NO_TIMES,
    PARTS,
    Columns,
    bucket_columns,
    describe_block,
    hold_out,
    n_rows_of,
    sorted_once,
    split_arrays,
    write_parts,
)
from mfdask.shards.cutoff import kept_folder
from mfdask.shards.partition import gather
from mfdask.shards.plan import LARGEST_BLOCK, Growth, UserBlock
from mfdask.shards.store import (
    ARRAYS,
    SCRATCH,
    TIMESTAMPS,
    FileFacts,
    map_array,
    shard_folder,
    write_arrays,
)
from mfdask.shards.withdrawals import read_withdrawn

_Int32s = npt.NDArray[np.int32]
_CHANGES = ("rows", "columns", "ratings")
_NO_ROWS: _Int32s = np.empty(0, np.int32)


class Merged(NamedTuple):
    """A user block with the new ratings in it.

    Attributes
    ----------
    columns : dict
        Training ratings, then held-out ones, then new ones.
    order : int32 array
        Places of those that stay, ascending by user and item.
    n_train, n_old : int
        How many were for training, and how many were there.
    n_withdrawn : int
    """

    columns: Columns
    order: _Int32s
    n_train: int
    n_old: int
    n_withdrawn: int


def extend_user_block(
    growth: Growth,
    block: int,
    starts: list[npt.NDArray[np.int64]],
    user_keys: npt.NDArray[np.uint64] | None,
    item_keys: npt.NDArray[np.uint64] | None,
) -> UserBlock:
    """Write both shards of a block, or link to them if nothing in them changes.

    What changes for training is left in the scratch folder for `extend_item_block`.

    Parameters
    ----------
    growth : Growth
    block : int
    starts, user_keys, item_keys
        As for `blocks.build_user_block`, of the new ratings; `starts` is empty if there are none.
    """
    plan = growth.plan
    merged = _merged(growth, block, starts)
    columns, order = merged.columns, merged.order
    held = hold_out(plan, block, order, columns, user_keys, item_keys)
    parts = split_arrays(plan, block, order, held, columns)
    _write_changes(growth, block, parts["train"])
    if _is_unchanged(growth, block, merged, held):
        files = _link(growth, [shard_folder(part, "users", block) for part in PARTS])
    else:
        files = write_parts(plan, block, parts)
    return describe_block(files, parts, merged.n_withdrawn)


def write_kept_times(growth: Growth, block: int, starts: list[npt.NDArray[np.int64]]) -> None:
    """Write the times of the ratings that a block keeps, for `cutoff.time_cutoff`."""
    merged = _merged(growth, block, starts)
    times = gather(merged.columns[TIMESTAMPS], merged.order)
    write_arrays(growth.plan.root, kept_folder(block), {TIMESTAMPS: times})


def extend_item_block(growth: Growth, block: int) -> dict[str, FileFacts]:
    """Write an item shard with the changes that the user blocks left, or link to it."""
    plan = growth.plan
    first, end = plan.item_bounds[block : block + 2]
    starts, users, ratings = _stored(growth, "train", "items", block, end - first)
    new_users, new_rows, new_ratings = _read_changes(growth, first, end)
    if not len(new_rows) and _same_rows(growth, "items", block):
        return _link(growth, [shard_folder("train", "items", block)])
    rows = np.concatenate([_row_numbers(starts), new_rows - np.int32(first)])
    users = np.concatenate([users, new_users])
    ratings = np.concatenate([ratings, new_ratings])
    new_order = np.empty(len(new_rows), np.int32)
    n_old = starts[-1]
    if len(new_rows):
        room = np.empty(len(new_rows), np.int64)
        sort_pairs(rows[n_old:], end - first, new_users, plan.user_bounds[-1], room, new_order)
    order = _merge(np.arange(n_old, dtype=np.int32), new_order + np.int32(n_old), rows, users)
    order = order[: keep_latest(order, rows, users, NO_TIMES)]
    order = order[~np.isnan(gather(ratings, order))]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[order], minlength=end - first))])
    arrays = {
        "indptr": indptr.astype(np.int64),
        "indices": gather(users, order),
        "ratings": gather(ratings, order),
    }
    return write_arrays(plan.root, shard_folder("train", "items", block), arrays)


def _merged(growth: Growth, block: int, starts: list[npt.NDArray[np.int64]]) -> Merged:
    """Bring the new ratings of a user block among the old ones; the latest of a pair stays."""
    plan = growth.plan
    old = [_old_columns(growth, part, block) for part in PARTS]
    pieces = [*old, bucket_columns(plan, block, starts)] if starts else old
    columns: Columns = {
        name: None if pieces[0][name] is None else np.concatenate([piece[name] for piece in pieces])
        for name in ("users", "items", "ratings", TIMESTAMPS)
    }
    users, items, times = columns["users"], columns["items"], columns[TIMESTAMPS]
    times = NO_TIMES if times is None else times
    if len(users) > LARGEST_BLOCK:
        raise InputError(f"a block of {len(users):,} ratings is too large; ingest all again")
    n_train, n_test = (len(piece["items"]) for piece in old)
    order = np.arange(n_train + n_test, dtype=np.int32)
    order = _merge(order[:n_train], order[n_train:], users, items)
    if len(users) > n_train + n_test:
        new = sorted_once(plan, block, pieces[-1]) + np.int32(n_train + n_test)
        order = _merge(order, new, users, items)
        order = order[: keep_latest(order, users, items, times)]
    stays = stay(order, users, items, times, *read_withdrawn(plan, block))
    n_withdrawn = len(stays) - int(stays.sum())
    if n_withdrawn:
        order = order[stays]
    return Merged(columns, order, n_train, n_train + n_test, n_withdrawn)


def _merge(first: _Int32s, second: _Int32s, rows: _Int32s, columns: _Int32s) -> _Int32s:
    order = np.empty(len(first) + len(second), np.int32)
    merge_order(first, second, rows, columns, order)
    return order


def _old_columns(growth: Growth, part: str, block: int) -> Columns:
    """Return the ratings of a shard of the old data set, with `users` within the block."""
    n_rows = n_rows_of(growth.plan, block)
    starts, items, ratings = _stored(growth, part, "users", block, n_rows)
    times = None
    if growth.has_timestamps:
        times = _old_array(growth, part, "users", block, TIMESTAMPS, NO_TIMES)
    return {
        "users": _row_numbers(starts), "items": items, "ratings": ratings, TIMESTAMPS: times
    }  # fmt: skip


def _stored(
    growth: Growth, part: str, side: str, block: int, n_rows: int
) -> tuple[npt.NDArray[np.int64], _Int32s, npt.NDArray[np.float32]]:
    """Return the arrays of a shard of the old data set, with empty rows behind up to `n_rows`."""
    empty: list[npt.NDArray[Any]] = [np.zeros(1, np.int64), _NO_ROWS, np.empty(0, np.float32)]
    starts, columns, ratings = (
        _old_array(growth, part, side, block, name, nothing)
        for name, nothing in zip(ARRAYS, empty, strict=True)
    )
    return np.pad(starts, (0, n_rows + 1 - len(starts)), mode="edge"), columns, ratings


def _old_array(
    growth: Growth, part: str, side: str, block: int, name: str, nothing: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Map an array of the old data set; `nothing` for a block that it does not have."""
    if block >= len(growth.old_bounds[side]) - 1:
        return nothing
    path = growth.data / shard_folder(part, side, block) / f"{name}.npy"
    return map_array(path).view(np.ndarray)


def _row_numbers(starts: npt.NDArray[np.int64]) -> _Int32s:
    return np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))


def _write_changes(growth: Growth, block: int, train: dict[str, npt.NDArray[Any]]) -> None:
    """Leave what changes in the training ratings of a block, by user row and item row."""
    plan = growth.plan
    old = _stored(growth, "train", "users", block, n_rows_of(plan, block))
    room = len(old[1]) + len(train["indices"])  # never touched, so never there, beyond what is used
    rows, columns = np.empty(room, np.int32), np.empty(room, np.int32)
    ratings = np.empty(room, np.float32)
    n = changes_into(*old, *(train[name] for name in ARRAYS), rows, columns, ratings)
    changes = (rows[:n] + np.int32(plan.user_bounds[block]), columns[:n], ratings[:n])
    write_arrays(plan.root, _changes_folder(block), dict(zip(_CHANGES, changes, strict=True)))


def _read_changes(
    growth: Growth, first: int, end: int
) -> tuple[_Int32s, _Int32s, npt.NDArray[np.float32]]:
    """Return the user rows, item rows and ratings of all changes in a range of items."""
    found = []
    for block in range(len(growth.plan.user_bounds) - 1):
        folder = growth.plan.root / _changes_folder(block)
        users, items, ratings = (map_array(folder / f"{name}.npy") for name in _CHANGES)
        here = (items >= first) & (items < end)
        found.append((users[here], items[here], ratings[here]))
    users, items, ratings = (np.concatenate(values) for values in zip(*found, strict=True))
    return users, items, ratings


def _changes_folder(block: int) -> str:
    return f"{SCRATCH}/changes-{block:04d}"


def _is_unchanged(growth: Growth, block: int, merged: Merged, held: npt.NDArray[np.bool_]) -> bool:
    """Tell whether a block's shards would be written just as they are."""
    return (
        len(merged.columns["users"]) == merged.n_old
        and merged.n_withdrawn == 0
        and _same_rows(growth, "users", block)
        and np.array_equal(held, merged.order >= merged.n_train)
    )


def _same_rows(growth: Growth, side: str, block: int) -> bool:
    plan = growth.plan
    bounds = {"users": plan.user_bounds, "items": plan.item_bounds}[side]
    return bounds[block : block + 2] == growth.old_bounds[side][block : block + 2]


def _link(growth: Growth, folders: list[str]) -> dict[str, FileFacts]:
    """Take shards of the old data set as they are, and return what is known of their files."""
    linked = {}
    for folder in folders:
        (growth.plan.root / folder).mkdir(exist_ok=True)
        for name, facts in growth.files.items():
            if name.startswith(f"{folder}/"):
                _link_file(growth.data / name, growth.plan.root / name)
                linked[name] = facts
    return linked


def _link_file(old: Path, new: Path) -> None:
    """Make a second name for a file; copy it where there can be none."""
    new.unlink(missing_ok=True)  # a task may run twice
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
