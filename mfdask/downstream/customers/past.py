"""Data sets of the ratings before a cut-off.

Rows are ranked anew, by what users and items had gathered before the cut-off, so that not even the
order of rows, nor the blocks that they are cut into, tells of what came later.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.events import parts_of
from mfdask.execution import Executor
from mfdask.ingestion.blocks import gathered
from mfdask.ingestion.repeats import (
    joined,
    one_a_pair,
    pair_keys,
    repeated,
    repeats_of,
    write_repeats,
)
from mfdask.ingestion.rows import Entries
from mfdask.kernels.csr import sort_pairs
from mfdask.kernels.types import Bools, Int32s, Int64s
from mfdask.shards import Counts, Dataset
from mfdask.shards.bounds import block_bounds, default_blocks
from mfdask.shards.refs import dataset_ref
from mfdask.shards.store import BESIDE, SIDES, FolderStore
from mfdask.shards.writer import DatasetWriter, Files

#: Disk that a rating takes in a past: in a user shard with its time, and in an item shard.
BYTES_PER_RATING = 24
_PARTS = ("train",)


class HistoryAsOf(NamedTuple):
    """Users and items with ratings before a cut-off.

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


def histories_as_of(data: Dataset, cutoffs: tuple[int, ...], run: Executor) -> list[HistoryAsOf]:
    """Count the ratings before each cut-off; one pass over the data set for all of them."""
    source = dataset_ref(run, data)
    arguments = [(source, block, cutoffs) for block in range(data.n_blocks("users"))]
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


def _count_block(data: Dataset, block: int, cutoffs: tuple[int, ...]) -> tuple[Int64s, Int64s]:
    """Return the ratings of each user and of each item before each cut-off, in a user block."""
    first, stop = data.bounds("users")[block : block + 2].tolist()
    adds_up = data.manifest.repeats != "latest"
    log, alone = _events(data, block, np.ones(stop - first, bool))
    times = np.asarray(alone.times)
    period = np.searchsorted(cutoffs, times, side="right")  # ratings count from there on
    users = _up_to_each(alone.rows - np.int32(first), period, len(cutoffs), stop - first)
    items = _up_to_each(alone.columns, period, len(cutoffs), data.n_items)
    for k, cutoff in enumerate(cutoffs):
        ratings = one_a_pair(log.only(np.asarray(log.times) < cutoff), adds_up)
        users[k] += np.bincount(ratings.rows - first, minlength=stop - first)
        items[k] += np.bincount(ratings.columns, minlength=data.n_items)
    return users, items


def _up_to_each(rows: Int32s, period: Int64s, n_periods: int, n_rows: int) -> Int64s:
    """Return how often each row occurs up to each period, int64 (periods, rows)."""
    counts = np.bincount(period * n_rows + rows, minlength=(n_periods + 1) * n_rows)
    return counts.reshape(-1, n_rows)[:n_periods].cumsum(axis=0)


def _events(data: Dataset, block: int, users: Bools) -> tuple[Entries, Entries]:
    """Return the log of pairs with several events of some users of a block, and other ratings."""
    log, start = repeats_of(data, block), int(data.bounds("users")[block])
    log = log.only(users[log.rows - start])
    logged = pair_keys(log.rows, log.columns)
    return log, joined([_not_logged(data, block, part, users, logged) for part in parts_of(data)])


def _not_logged(data: Dataset, block: int, part: str, users: Bools, logged: Int64s) -> Entries:
    """Return the ratings of some users of a shard whose pairs are not in the log."""
    shard = data.shard("users", block, part)
    lengths = np.diff(shard.indptr)
    places = np.flatnonzero(np.repeat(users, lengths))
    rows = np.repeat(np.flatnonzero(users).astype(np.int32), lengths[users])
    weights = data.weights(block, part)
    found = Entries(
        rows + np.int32(shard.start),
        shard.indices[places],
        shard.ratings[places],
        np.asarray(data.timestamps(block, part))[places],
        None if weights is None else weights[places],
    )
    if not len(logged):
        return found
    return found.only(~np.isin(pair_keys(found.rows, found.columns), logged))


def _before(data: Dataset, block: int, cutoff: int, users: Bools) -> tuple[Entries, Entries]:
    """Return the ratings of some users of a block at a cut-off, and the repeats among them.

    Of a pair with several events the rating is what those before the cut-off make it.
    """
    adds_up = data.manifest.repeats != "latest"
    log, ratings = (own.only(np.asarray(own.times) < cutoff) for own in _events(data, block, users))
    return joined([ratings, one_a_pair(log, adds_up)]), repeated(log, adds_up)


def write_past(data: Dataset, known: HistoryAsOf, folder: Path, run: Executor) -> Dataset:
    """Write the data set of all ratings before a cut-off, both parts of `data` in one.

    Ids are those of `data`; users and items without a rating before the cut-off are not in it.

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
    given, blocks = (source, writer, places, known.cutoff), range(len(bounds["users"]) - 1)
    handles = run.submit_each(f"{name}-users", _write_users, [(*given, b) for b in blocks])
    for side, rows in known.rows.items():
        tables[side] = tables[side].iloc[rows].assign(n_read=known.counts[side])
    counts = Counts(n, n, 0, 0, n, 0, *map(len, tables.values()))
    like = replace(data.manifest, name=f"{data.name}-past", counts=counts, split="none", seed=0)
    manifest = writer.write_rest(run, f"{name}-items", run.results(handles), tables, like)
    facts = repr([(name, asdict(fact)) for name, fact in manifest.files.items()])
    return writer.finish(replace(manifest, fingerprint=sha256(facts.encode()).hexdigest()))


def _write_users(
    data: Dataset, writer: DatasetWriter, places: dict[str, Int32s], cutoff: int, block: int
) -> Files:
    """Write one new user shard, gathered from those of its users in all old ones."""
    first, stop = writer.bounds["users"][block : block + 2]
    mine = (places["users"] >= first) & (places["users"] < stop)
    cuts = data.bounds("users")
    found = [
        [_placed(own, places, first) for own in _before(data, old, cutoff, mine[begin:end])]
        for old, (begin, end) in enumerate(pairwise(cuts.tolist()))
    ]
    ratings, log = (joined(list(each)) for each in zip(*found, strict=True))
    order, room = np.empty(len(ratings.rows), np.int32), np.empty(len(ratings.rows), np.int64)
    n_items = writer.bounds["items"][-1]
    sort_pairs(ratings.rows, stop - first, ratings.columns, n_items, room, order)
    columns = dict(zip(("users", "items", "ratings", *BESIDE), ratings, strict=True))
    files = writer.write_users(block, gathered({"train": order}, columns, stop - first))
    assert isinstance(writer.store, FolderStore)
    log = repeated(log, data.manifest.repeats != "latest")  # in the order of the new rows
    return files | write_repeats(writer.store, block, log, stop - first)


def _placed(own: Entries, places: dict[str, Int32s], first: int) -> Entries:
    """Return the entries of a new block, with its rows."""
    rows = places["users"][own.rows] - np.int32(first)
    return own._replace(rows=rows, columns=places["items"][own.columns])
