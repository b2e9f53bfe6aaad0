"""Repeats: every event of the pairs of user and item that occur more than once.

A model learns from one value of a pair. What a user did, and when, is all of these events; without
them a later event would take an earlier one out of the past.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mfdask.ingestion.rows import Bools, Entries, Int32s, Int64s
from mfdask.shards.dataset import Dataset
from mfdask.shards.store import REPEATS, TIMESTAMPS, WEIGHTS, FileFacts, FolderStore

_Keys: TypeAlias = npt.NDArray[np.int64]


def pair_keys(rows: Any, columns: Any) -> _Keys:
    """Return a number for each pair, which ascends with row and column, int64 (n,)."""
    return (np.asarray(rows).astype(np.int64) << 32) + columns


def no_entries() -> Entries:
    """Return no entries, with times."""
    nothing = np.empty(0, np.int32)
    return Entries(nothing, nothing, np.empty(0, np.float32), np.empty(0, np.int64))


def joined(parts: list[Entries]) -> Entries:
    """Return entries with times, one after the other; with weights where they have any."""
    filled = [part for part in parts if len(part.rows)] or parts[:1]
    joint: list[Any] = [
        None if own[0] is None else np.concatenate(own) for own in zip(*filled, strict=True)
    ]
    return Entries(*joint)


def one_a_pair(events: Entries, adds_up: bool) -> Entries:
    """Return one entry of each pair: the latest with its value, or the sum of all.

    Parameters
    ----------
    events : Entries
        Ascending by row, column and time.
    adds_up : bool
        Whether values are added up, in float64.
    """
    return _merged(events, np.diff(pair_keys(*events[:2])) != 0, adds_up)


def repeated(events: Entries, adds_up: bool) -> Entries:
    """Return the events of pairs that occur at more than one second, by row, column and time.

    Rows of a pair in the same second are one event: the last of them, or their sum.

    Parameters
    ----------
    events : Entries
        With times; of a pair's events in a second, the later taken in come behind.
    adds_up : bool
    """
    order = np.lexsort((_times(events), events.columns, events.rows))  # stable
    events = events.only(order)
    keys = pair_keys(*events[:2])
    single = _merged(events, (np.diff(keys) != 0) | (np.diff(_times(events)) != 0), adds_up)
    _, place, n = np.unique(pair_keys(*single[:2]), return_inverse=True, return_counts=True)
    return single.only(n[place] > 1)


def _merged(events: Entries, is_new: Bools, adds_up: bool) -> Entries:
    """Return one entry of each run of events; `is_new` (n - 1,) tells which begin a run."""
    if not len(events.rows):
        return events
    starts = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    merged = events.only(np.append(starts[1:], len(events.rows)) - 1)
    if not adds_up:
        return merged
    sums = np.add.reduceat(events.ratings.astype(np.float64), starts)
    return merged._replace(ratings=sums.astype(np.float32))


def _times(events: Entries) -> Int64s:
    assert events.times is not None
    return events.times


def repeats_among(kept: Int32s, events: Entries, adds_up: bool) -> Entries:
    """Return the repeats among the rows of a block that was read.

    Parameters
    ----------
    kept : int32 (n_kept,)
        Places of the rows that stay, one of each pair, ascending by pair.
    events : Entries
        All rows, with the values that they came with.
    adds_up : bool
    """
    if events.times is None or len(kept) == len(events.rows):
        return no_entries()
    dropped = np.ones(len(events.rows), np.bool_)
    dropped[kept] = False
    keys = pair_keys(*events[:2])
    again = np.searchsorted(keys[kept], np.unique(keys[dropped]))
    dropped[kept[again]] = True  # with what stays of the same pairs
    return repeated(events.only(np.flatnonzero(dropped)), adds_up)


def grown_repeats(
    old: Entries, known: list[Entries], new: Entries, gone: tuple[Any, Any, Any], adds_up: bool
) -> Entries:
    """Return the repeats of a block that takes in new rows and loses withdrawn ones.

    Parameters
    ----------
    old : Entries
        Its repeats as they are.
    known : list of Entries
        What it keeps of the pairs of the new rows.
    new : Entries
        The new rows, in the order in which they came.
    gone : tuple
        Row, column and last second of each withdrawal.
    adds_up : bool
        Then a pair is withdrawn as a whole, where no event of it is later.
    """
    logged = pair_keys(*old[:2])
    alone = [own.only(~np.isin(pair_keys(*own[:2]), logged)) for own in known]
    events = repeated(joined([old, *alone, new]), adds_up)
    rows, columns, until = gone
    keys, withdrawn = pair_keys(*events[:2]), pair_keys(rows, columns)
    order = np.lexsort((until, withdrawn))
    withdrawn, until = withdrawn[order], until[order]
    # The latest withdrawal of each pair, and whether there is one.
    place = np.searchsorted(withdrawn, keys, side="right") - 1
    named = place >= 0
    named[named] = withdrawn[place[named]] == keys[named]
    times = _times(events)
    if adds_up and len(keys):
        times = times[np.searchsorted(keys, keys, side="right") - 1]
    named[named] = times[named] <= until[place[named]]
    return repeated(events.only(~named), adds_up)


def write_repeats(
    store: FolderStore, block: int, events: Entries, n_rows: int
) -> dict[str, FileFacts]:
    """Write the repeats of a user block as a shard whose pairs occur several times, if any."""
    if not len(events.rows):
        return {}
    (store.path / REPEATS).mkdir(exist_ok=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(events.rows, minlength=n_rows))])
    arrays: dict[str, npt.NDArray[Any]] = {
        "indptr": starts.astype(np.int64),
        "indices": events.columns,
        "ratings": events.ratings,
        TIMESTAMPS: _times(events),
    }
    if events.weights is not None:
        arrays[WEIGHTS] = events.weights
    return store.write_shard(REPEATS, "users", block, arrays)


def repeats_of(data: Dataset, block: int) -> Entries:
    """Return the repeats of a user block, by row of the data set, item row and time."""
    shard, times = data.shard("users", block, REPEATS), data.timestamps(block, REPEATS)
    if not shard.n_ratings or times is None:
        return no_entries()
    columns = shard.indices, shard.ratings, times, data.weights(block, REPEATS)
    plain: list[Any] = [None if own is None else np.asarray(own) for own in columns]
    return Entries(shard.rows.astype(np.int32), *plain)
