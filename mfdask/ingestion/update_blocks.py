"""Merge new ratings into the sorted blocks of a data set."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mfdask import kernels
from mfdask.errors import InputError
from mfdask.ingestion.blocks import (
    Columns,
    bucket_columns,
    describe_block,
    entries_of,
    held_out_mask,
    sorted_once,
)
from mfdask.ingestion.cutoff import kept_folder
from mfdask.ingestion.plan import LARGEST_BLOCK, UpdatePlan, UserBlock
from mfdask.ingestion.repeats import grown_repeats, no_entries, write_repeats
from mfdask.ingestion.rows import Bools, Entries, SortedRows
from mfdask.ingestion.withdrawals import read_withdrawn
from mfdask.shards.store import (
    ARRAYS,
    BESIDE,
    PARTS,
    REPEATS,
    SCRATCH,
    TIMESTAMPS,
    FileFacts,
    FolderStore,
    map_array,
    shard_folder,
    write_arrays,
)

_Starts: TypeAlias = list[npt.NDArray[np.int64]]
_Keys: TypeAlias = npt.NDArray[np.uint64] | None
_Parts: TypeAlias = dict[str, SortedRows]
_CHANGES = ("rows", "columns", "ratings")


def extend_user_block(
    growth: UpdatePlan, block: int, starts: _Starts, user_keys: _Keys, item_keys: _Keys
) -> UserBlock:
    """Write both shards of a block, or link to those in which nothing changes, and its repeats.

    What changes for training is left in the scratch folder for `extend_item_block`.

    Parameters
    ----------
    growth : UpdatePlan
    block : int
    starts, user_keys, item_keys
        As for `blocks.build_user_block`, of the new ratings; `starts` is empty if there are none.
    """
    old = {part: _stored(growth, part, "users", block) for part in PARTS}
    parts, n_withdrawn = _grown(growth, block, old, starts, user_keys, item_keys)
    if not growth.plan.split.is_by_hash:
        parts = _split_again(growth, block, parts, item_keys)
    _write_changes(growth, block, old["train"].changes_to(parts["train"]))
    files: dict[str, FileFacts] = {}
    for part, rows in parts.items():
        files |= _write(growth, part, "users", block, rows, is_old=rows is old[part])
    train, test = (parts[part] for part in PARTS)
    made = describe_block(files, train.ratings, test.ratings, train.weights, n_withdrawn)
    if not growth.keeps_repeats:
        return made
    repeats = _grown_repeats(growth, block, old, starts)
    n_rows = len(old["train"].starts) - 1
    files |= write_repeats(FolderStore(growth.plan.root), block, repeats, n_rows)
    return made._replace(n_repeats=len(repeats.rows))


def write_kept_times(growth: UpdatePlan, block: int, starts: _Starts) -> None:
    """Write the times of the ratings that a block keeps, for `cutoff.time_cutoff`."""
    old = {part: _stored(growth, part, "users", block) for part in PARTS}
    parts, _ = _grown(growth, block, old, starts, None, None)
    times = np.concatenate([rows.times for rows in parts.values() if rows.times is not None])
    write_arrays(growth.plan.root, kept_folder(block), {TIMESTAMPS: times})


def extend_item_block(growth: UpdatePlan, block: int) -> dict[str, FileFacts]:
    """Write an item shard with the changes that the user blocks left, or link to it."""
    old = _stored(growth, "train", "items", block)
    changes = _read_changes(growth, block)
    gone = np.isnan(changes.ratings)
    places, _ = old.find(*changes.only(gone)[:2])
    # What goes is found first: what comes would move its places.
    rows = old.without(places).put(changes.only(~gone))
    return _write(growth, "train", "items", block, rows, is_old=rows is old)


def _grown(
    growth: UpdatePlan, block: int, old: _Parts, starts: _Starts, user_keys: _Keys, item_keys: _Keys
) -> tuple[_Parts, int]:
    """Return both parts of a block with the new ratings, and how many were withdrawn.

    A split by hash puts every rating where it belongs. With the others a rating stays where it
    was, and a new one is for training, until `_split_again`.
    """
    parts, n_withdrawn = dict(old), 0
    if starts:
        columns = bucket_columns(growth.plan, block, starts)
        if len(columns["users"]) + sum(len(rows.columns) for rows in old.values()) > LARGEST_BLOCK:
            raise InputError("a block would become too large; ingest everything again")
        new, held = _new_entries(growth, block, old, columns, user_keys, item_keys)
        for part, mine in zip(PARTS, (~held, held), strict=True):
            parts[part] = parts[part].put(new.only(mine), growth.plan.adds_up)
    rows, items, until = read_withdrawn(growth.plan, block)
    for part, there in parts.items():
        places = _withdrawn_places(there, rows, items, until)
        parts[part] = there.without(places)
        n_withdrawn += len(places)
    return parts, n_withdrawn


def _grown_repeats(growth: UpdatePlan, block: int, old: _Parts, starts: _Starts) -> Entries:
    """Return the repeats of a block with the new ratings and without the withdrawn ones."""
    log, new = no_entries(), no_entries()
    if f"{shard_folder(REPEATS, 'users', block)}/indptr.npy" in growth.files:
        rows = _stored(growth, REPEATS, "users", block)
        log = Entries(rows.row_numbers, *rows[1:])
    known = []
    if starts:
        new = entries_of(bucket_columns(growth.plan, block, starts))
        for kept in old.values():
            places, there = kept.find(new.rows, new.columns)
            known.append(kept.entries(np.unique(places[there])))
    gone = read_withdrawn(growth.plan, block)
    return grown_repeats(log, known, new, gone, growth.plan.adds_up)


def _new_entries(
    growth: UpdatePlan,
    block: int,
    old: _Parts,
    columns: Columns,
    user_keys: _Keys,
    item_keys: _Keys,
) -> tuple[Entries, Bools]:
    """Return the new rating of each pair, and which go to the test part for now."""
    order = sorted_once(growth.plan, block, columns)
    new = entries_of(columns).only(order)
    if growth.plan.split.is_by_hash:
        return new, held_out_mask(growth.plan, block, order, columns, user_keys, item_keys)
    return new, old["test"].find(new.rows, new.columns)[1]


def _withdrawn_places(
    there: SortedRows,
    rows: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    until: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return the places of what is withdrawn."""
    places, found = there.find(rows, items)
    places, until = places[found], until[found]
    if there.times is not None:
        places = places[there.times[places] <= until]
    return np.unique(places)


def _split_again(growth: UpdatePlan, block: int, parts: _Parts, item_keys: _Keys) -> _Parts:
    """Move ratings to the side that the split by time puts them on now."""
    train, test = (parts[part] for part in PARTS)
    held_train, held_test = _held_by_time(growth, block, train, test, item_keys)
    out, back = np.flatnonzero(held_train), np.flatnonzero(~held_test)
    return {
        "train": train.without(out).put(test.entries(back)),
        "test": test.without(back).put(train.entries(out)),
    }


def _held_by_time(
    growth: UpdatePlan, block: int, train: SortedRows, test: SortedRows, item_keys: _Keys
) -> tuple[Bools, Bools]:
    """Tell which of the training ratings and which of the others are held out."""
    assert train.times is not None
    assert test.times is not None
    cutoff = growth.plan.cutoff
    if cutoff is not None:
        return train.times >= cutoff, test.times >= cutoff
    columns: Columns = {
        "users": np.concatenate([train.row_numbers, test.row_numbers]),
        "items": np.concatenate([train.columns, test.columns]),
        TIMESTAMPS: np.concatenate([train.times, test.times]),
    }
    # Two runs that ascend: sorting them is merging them.
    order = np.argsort(columns["users"], kind="stable").astype(np.int32)
    held = np.empty(len(order), np.bool_)
    held[order] = held_out_mask(growth.plan, block, order, columns, None, item_keys)
    return held[: len(train.columns)], held[len(train.columns) :]


def _stored(growth: UpdatePlan, part: str, side: str, block: int) -> SortedRows:
    """Map a shard of the old data set, with the new rows of the block behind, still empty."""
    bounds = growth.bounds(side)
    n_rows = bounds[block + 1] - bounds[block]
    kinds: dict[str, Any] = {"indices": np.int32, "ratings": np.float32, **BESIDE}
    there = [*ARRAYS, *(growth.beside if side == "users" else [])]
    is_new = block >= len(growth.old_bounds[side]) - 1
    folder = growth.data / shard_folder(part, side, block)

    def stored(name: str, nothing: npt.NDArray[Any]) -> Any:
        return nothing if is_new else map_array(folder / f"{name}.npy").view(np.ndarray)

    starts = stored("indptr", np.zeros(1, np.int64))
    whole = np.pad(starts, (0, n_rows + 1 - len(starts)), mode="edge")
    columns: list[Any] = [
        stored(name, np.empty(0, kind)) if name in there else None for name, kind in kinds.items()
    ]
    return SortedRows(whole, *columns)


def _write_changes(growth: UpdatePlan, block: int, changes: Entries) -> None:
    """Leave what changes in the training ratings of a block, with user rows of the data set."""
    rows = changes.rows + np.int32(growth.plan.user_bounds[block])
    arrays = dict(zip(_CHANGES, (rows, changes.columns, changes.ratings), strict=True))
    write_arrays(growth.plan.root, _changes_folder(block), arrays)


def _read_changes(growth: UpdatePlan, block: int) -> Entries:
    """Return the changes of an item block: rows are its items, columns are users."""
    first, end = growth.plan.item_bounds[block : block + 2]
    n_users = growth.plan.user_bounds[-1]
    found = []
    for user_block in range(len(growth.plan.user_bounds) - 1):
        folder = growth.plan.root / _changes_folder(user_block)
        users, items, ratings = (map_array(folder / f"{name}.npy") for name in _CHANGES)
        here = (items >= first) & (items < end)
        found.append((items[here] - np.int32(first), users[here], ratings[here]))
    changes = Entries(*(np.concatenate(values) for values in zip(*found, strict=True)))
    order = np.empty(len(changes.rows), np.int32)
    if len(order):
        room = np.empty(len(order), np.int64)
        kernels.csr.sort_pairs(changes.rows, end - first, changes.columns, n_users, room, order)
    return changes.only(order)


def _changes_folder(block: int) -> str:
    return f"{SCRATCH}/changes-{block:04d}"


def _write(
    growth: UpdatePlan, part: str, side: str, block: int, rows: SortedRows, is_old: bool
) -> dict[str, FileFacts]:
    """Write a shard, or link to that of the old data set if it is the same."""
    folder = shard_folder(part, side, block)
    bounds, old_bounds = growth.bounds(side), growth.old_bounds[side]
    if is_old and bounds[block : block + 2] == old_bounds[block : block + 2]:
        return _link(growth, folder)
    arrays: dict[str, Any] = dict(zip((*ARRAYS, *BESIDE), rows, strict=True))
    there = {name: values for name, values in arrays.items() if values is not None}
    return write_arrays(growth.plan.root, folder, there)


def _link(growth: UpdatePlan, folder: str) -> dict[str, FileFacts]:
    """Take a shard of the old data set as it is, and return what is known of its files."""
    (growth.plan.root / folder).mkdir(exist_ok=True)
    files = {n: facts for n, facts in growth.files.items() if n.startswith(f"{folder}/")}
    for name in files:
        _link_file(growth.data / name, growth.plan.root / name)
    return files


def _link_file(old: Path, new: Path) -> None:
    """Make a second name for a file; copy it where there can be none."""
    new.unlink(missing_ok=True)  # a task may run twice
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
