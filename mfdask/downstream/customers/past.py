"""Data sets of the ratings before a cut-off, of all users or of some.

Rows are ranked anew, by what users and items had gathered before the cut-off, so that not even the
order of rows, nor the blocks that they are cut into, tells of what came later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mfdask import kernels
from mfdask.downstream.events import parts_of
from mfdask.execution import Executor
from mfdask.ingestion.blocks import gathered
from mfdask.ingestion.repeats import (
    joined,
    no_entries,
    one_a_pair,
    repeated,
    repeats_of,
    write_repeats,
)
from mfdask.ingestion.rows import Entries
from mfdask.kernels.csr import sort_pairs
from mfdask.kernels.types import Bools, Float32s, Int32s, Int64s, read_only
from mfdask.shards import Counts, Dataset
from mfdask.shards.bounds import block_bounds, default_blocks
from mfdask.shards.refs import dataset_ref
from mfdask.shards.store import BESIDE, REPEATS, SIDES, WEIGHTS, FolderStore
from mfdask.shards.writer import DatasetWriter, Files

#: Disk that a rating takes in a past: in a user shard with its time, and in an item shard.
BYTES_PER_RATING = 24
#: Ratings that factors are learned from: more cost time in proportion, and no accuracy that shows.
MOST_RATINGS = 8_000_000
_PARTS = ("train",)


class HistoryAsOf(NamedTuple):
    """Users that are looked at, and items, with ratings before a cut-off.

    Attributes
    ----------
    cutoff : int
        Seconds since 1970.
    rows : dict
        For each side, the rows of the data set that had any, most-rated first, ties by id.
    counts : dict
        For each side, how many ratings these had, in the same order.
    """

    cutoff: int
    rows: dict[str, Int64s]
    counts: dict[str, Int64s]

    def places(self, side: str, n_rows: int) -> Int32s:
        """Return the new row of each of the data set's rows, -1 where it had no rating."""
        places = np.full(n_rows, -1, np.int32)
        places[self.rows[side]] = np.arange(len(self.rows[side]), dtype=np.int32)
        return places


def chosen_users(n_ratings: Int64s, needed: Bools, ids: pd.Series) -> Bools:
    """Choose users with about `MOST_RATINGS` together: those needed, and others by their ids.

    A hash of the ids draws the others evenly, and nearly the same ones at each cut-off.

    Parameters
    ----------
    n_ratings : int64 (users,)
        Before the cut-off.
    needed : bool (users,)
    ids : Series

    Returns
    -------
    bool (users,)
    """
    if n_ratings.sum() <= MOST_RATINGS:
        return n_ratings > 0
    order = np.argsort(pd.util.hash_pandas_object(ids, index=False).to_numpy(), kind="stable")
    others = np.where(needed, 0, n_ratings)[order]
    within = np.cumsum(others) <= MOST_RATINGS - n_ratings[needed].sum()
    chosen = needed.copy()
    chosen[order[within & (others > 0)]] = True
    return chosen


def histories_as_of(
    data: Dataset, cutoffs: tuple[int, ...], run: Executor, chosen: list[Bools] | None = None
) -> list[HistoryAsOf]:
    """Count the ratings before each cut-off; one pass over the data set for all of them.

    Parameters
    ----------
    data : Dataset
    cutoffs : tuple of int
    run : Executor
    chosen : list of bool (users,), optional
        Whose ratings count at each cut-off; by default all.
    """
    source, bounds = dataset_ref(run, data), data.bounds("users").tolist()
    those = np.ones((len(cutoffs), data.n_users), bool) if chosen is None else np.array(chosen)
    cuts = enumerate(pairwise(bounds))
    arguments = [(source, block, cutoffs, those[:, a:b]) for block, (a, b) in cuts]
    counted = run.results(run.submit_each("count", _count_block, arguments))
    counts = {
        "users": np.concatenate([users for users, _ in counted], axis=1),
        "items": np.sum([items for _, items in counted], axis=0),
    }
    ids = {"users": data.users()["user_id"], "items": data.items()["item_id"]}
    by_id = {side: np.argsort(np.argsort(pd.Index(column))) for side, column in ids.items()}
    found = []
    for k, cutoff in enumerate(cutoffs):
        order = {side: np.lexsort((by_id[side], -counts[side][k])) for side in SIDES}
        rows = {side: order[side][: np.count_nonzero(counts[side][k])] for side in SIDES}
        found.append(HistoryAsOf(cutoff, rows, {s: counts[s][k][rows[s]] for s in SIDES}))
    return found


def _count_block(
    data: Dataset, block: int, cutoffs: tuple[int, ...], chosen: Bools
) -> tuple[Int64s, Int64s]:
    """Return the ratings of each user and of each item before each cut-off, in a user block."""
    first, stop = data.bounds("users")[block : block + 2].tolist()
    users = np.zeros((len(cutoffs), stop - first), np.int64)
    items = np.zeros((len(cutoffs), data.n_items), np.int64)
    known = read_only(np.array(cutoffs, np.int64)), read_only(np.ascontiguousarray(chosen))
    for own in _shards(data, block):
        kernels.pasts.count_before(*own.when, *own.logged, *known, users, items)
    log = repeats_of(data, block)
    for k, cutoff in enumerate(cutoffs if len(log.rows) else ()):
        there = (np.asarray(log.times) < cutoff) & chosen[k][log.rows - first]
        ratings = _values(log.only(there), data)
        users[k] += np.bincount(ratings.rows - first, minlength=stop - first)
        items[k] += np.bincount(ratings.columns, minlength=data.n_items)
    return users, items


class _Source(NamedTuple):
    """The ratings of a user shard, and the log of its block, as plain arrays for the kernels."""

    indptr: Int64s
    indices: Int32s
    ratings: Float32s
    times: Int64s
    weights: Float32s
    log_indptr: Int64s
    log_indices: Int32s

    @property
    def when(self) -> tuple[Int64s, Int32s, Int64s]:
        return self.indptr, self.indices, self.times

    @property
    def logged(self) -> tuple[Int64s, Int32s]:
        return self.log_indptr, self.log_indices


def _shards(data: Dataset, block: int) -> Iterator[_Source]:
    """Yield the shards of all parts of a block of users."""
    log = data.shard("users", block, REPEATS)
    for part in parts_of(data):
        shard, weights = data.shard("users", block, part), data.weights(block, part)
        columns = (
            *(shard.indptr, shard.indices, shard.ratings, data.timestamps(block, part)),
            np.empty(0, np.float32) if weights is None else weights,
            *(log.indptr, log.indices),
        )
        yield _Source(*map(read_only, columns))


def _values(log: Entries, data: Dataset) -> Entries:
    """Return the rating that some events of pairs with several make of each pair."""
    return one_a_pair(log, _adds_up(data))


def _adds_up(data: Dataset) -> bool:
    return data.manifest.repeats != "latest"


def write_past(data: Dataset, known: HistoryAsOf, folder: Path, run: Executor) -> Dataset:
    """Write the data set of the ratings before a cut-off, both parts of `data` in one.

    Ids are those of `data`; users and items without such a rating are not in it.

    Parameters
    ----------
    data : Dataset
        On disk, with times.
    known : HistoryAsOf
    folder : Path
        Where it goes; must not be there.
    run : Executor
        Where the blocks are written.
    """
    n = int(known.counts["users"].sum())
    bounds = {side: block_bounds(known.counts[side], default_blocks(n)) for side in SIDES}
    writer = DatasetWriter(FolderStore.create(folder, _PARTS), bounds, _PARTS)
    tables = {"users": data.users(), "items": data.items()}
    places = {side: known.places(side, len(table)) for side, table in tables.items()}
    name, source = f"past-{known.cutoff}", dataset_ref(run, data)
    sizes = np.add.reduceat(known.counts["users"], bounds["users"][:-1]).tolist()
    given, blocks = (source, writer, places, known.cutoff, sizes), range(len(sizes))
    handles = run.submit_each(f"{name}-users", _write_users, [(*given, b) for b in blocks])
    for side, rows in known.rows.items():
        tables[side] = tables[side].iloc[rows].assign(n_read=known.counts[side])
    counts = Counts(n, n, 0, 0, n, 0, *map(len, tables.values()))
    like = replace(data.manifest, name=f"{data.name}-past", counts=counts, split="none", seed=0)
    manifest = writer.write_rest(run, f"{name}-items", run.results(handles), tables, like)
    facts = repr([(name, asdict(fact)) for name, fact in manifest.files.items()])
    return writer.finish(replace(manifest, fingerprint=sha256(facts.encode()).hexdigest()))


def _write_users(
    data: Dataset,
    writer: DatasetWriter,
    places: dict[str, Int32s],
    cutoff: int,
    n_ratings: list[int],
    block: int,
) -> Files:
    """Write one new user shard, gathered from those of its users in all old ones."""
    first, stop = writer.bounds["users"][block : block + 2]
    columns, logs = _room(n_ratings[block], data), []
    n = 0
    for old, (begin, end) in enumerate(pairwise(data.bounds("users").tolist())):
        rows = places["users"][begin:end] - np.int32(first)
        rows[(rows < 0) | (rows >= stop - first)] = -1
        numbers = read_only(rows), read_only(places["items"])
        for own in _shards(data, old):
            n = kernels.pasts.take_before(*own, cutoff, *numbers, n, *columns.values())
        log = repeats_of(data, old)
        if len(log.rows):
            log = log.only((np.asarray(log.times) < cutoff) & (rows[log.rows - begin] >= 0))
            ratings, *again = (
                own._replace(rows=rows[own.rows - begin], columns=places["items"][own.columns])
                for own in (_values(log, data), repeated(log, _adds_up(data)))
            )
            for column, values in zip(columns.values(), ratings, strict=True):
                if values is not None:
                    column[n : n + len(values)] = values
            n += len(ratings.rows)
            logs += again
    order, room = np.empty(n, np.int32), np.empty(n, np.int64)
    n_items = writer.bounds["items"][-1]
    sort_pairs(columns["users"], stop - first, columns["items"], n_items, room, order)
    del room
    if not data.manifest.has_weights:
        columns[WEIGHTS] = None
    files = writer.write_users(block, gathered({"train": order}, columns, stop - first))
    assert isinstance(writer.store, FolderStore)
    # In the order of the new rows.
    log = repeated(joined(logs), _adds_up(data)) if logs else no_entries()
    return files | write_repeats(writer.store, block, log, stop - first)


def _room(n: int, data: Dataset) -> dict[str, Any]:
    """Return room for so many ratings: the columns of `Entries`."""
    types = {"users": np.int32, "items": np.int32, "ratings": np.float32, **BESIDE}
    columns = {name: np.empty(n, kind) for name, kind in types.items()}
    return columns if data.manifest.has_weights else columns | {WEIGHTS: np.empty(0, np.float32)}
