"""The ratings of each user in the order of time, training and held-out ones together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mfdask import kernels
from mfdask.downstream.ordering import order_by
from mfdask.errors import InputError
from mfdask.execution import executor
from mfdask.ingestion.repeats import pair_keys, repeats_of
from mfdask.kernels.types import Bools, Float32s, Int32s, Int64s, read_only
from mfdask.shards import Dataset
from mfdask.shards.store import Mask, starts_of_kept

#: Kernels that use all cores go through the users in so many parts.
_CUTS = 64
#: Rows that are looked at together, so that what is made of them lies in a cache.
_RUN = 2**18
#: Seconds of a day, and of a pause that ends a session.
DAY = 86_400
PAUSE = 3600
_LOG = logging.getLogger(__name__)


class Events(NamedTuple):
    """All ratings of a range of users, by user and then by time.

    Attributes
    ----------
    start : int
        Row of the first user.
    indptr : int64 (users + 1,)
        Where each user's events begin.
    items : int32 (events,)
        Item rows.
    ratings : float32 (events,)
    timestamps : int64 (events,)
        Seconds since 1970.
    held_out : bool (events,)
        Whether the rating is of the test part.
    """

    start: int
    indptr: Int64s
    items: Int32s
    ratings: Float32s
    timestamps: Int64s
    held_out: Bools

    @property
    def users(self) -> Int32s:
        """Return the user row of each event, int32 (events,)."""
        rows = np.arange(self.start, self.start + len(self.indptr) - 1, dtype=np.int32)
        return np.repeat(rows, np.diff(self.indptr))

    def only(self, mask: Mask) -> Events:
        """Return some of the events, of the same users; one may end with none."""
        places = np.flatnonzero(mask)
        rest: list[Any] = [array[places] for array in self[2:]]
        return Events(self.start, starts_of_kept(self.indptr, places), *rest)


def parts_of(data: Dataset) -> list[str]:
    """Return the parts that hold ratings: what is held out from a model happened all the same."""
    return ["train", "test"] if data.n_test else ["train"]


def require_timestamps(data: Dataset, job: str) -> None:
    """Refuse a data set without times.

    Raises
    ------
    InputError
    """
    if not data.manifest.has_timestamps:
        raise InputError(
            f"{data.address or data.name}: these ratings have no timestamps, which `mfdask {job}` "
            "needs; ingest a source that has them"
        )


def events_of_block(data: Dataset, block: int) -> Events:
    """Return the events of one block of users; all times are 0 where the source had none.

    Users of equal time keep the order of their item rows, so the result is the same every time.
    """
    parts = parts_of(data)
    shards = [data.shard("users", block, part) for part in parts]
    n = shards[0].n_rows
    users = np.concatenate([np.repeat(np.arange(n), np.diff(shard.indptr)) for shard in shards])
    items = np.concatenate([shard.indices for shard in shards])
    times = [data.timestamps(block, part) for part in parts]
    timestamps = np.concatenate(
        [
            np.zeros(len(shard.indices), np.int64) if time is None else np.asarray(time)
            for shard, time in zip(shards, times, strict=True)
        ]
    )
    order = order_by(users, timestamps, items)
    held_out = np.repeat([part == "test" for part in parts], [len(s.indices) for s in shards])
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(users, minlength=n), out=indptr[1:])
    ratings = np.concatenate([shard.ratings for shard in shards])
    return Events(
        shards[0].start, indptr, items[order], ratings[order], timestamps[order], held_out[order]
    )


def actions_of_block(data: Dataset, block: int) -> tuple[Int64s, Int64s]:
    """Return when each user of a block acted, all repeats of a user and an item among it.

    Returns
    -------
    indptr : int64 (users + 1,)
        Where each user's actions begin.
    timestamps : int64 (actions,)
        Seconds since 1970, in any order within a user.
    """
    parts, log = parts_of(data), repeats_of(data, block)
    if len(parts) == 1 and not len(log.rows):
        shard, own = data.shard("users", block), data.timestamps(block)
        return np.asarray(shard.indptr), np.asarray(own)
    users, times = [log.rows], [np.asarray(log.times)]
    logged = pair_keys(log.rows, log.columns)
    for part in parts:
        shard, own = data.shard("users", block, part), np.asarray(data.timestamps(block, part))
        rows = shard.rows.astype(np.int32)
        if len(logged):
            alone = ~np.isin(pair_keys(rows, shard.indices), logged)
            rows, own = rows[alone], own[alone]
        users.append(rows)
        times.append(own)
    rows = np.concatenate(users)
    first, stop = data.bounds("users")[block : block + 2].tolist()
    rows -= np.int32(first)
    indptr = np.zeros(stop - first + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=stop - first), out=indptr[1:])
    return indptr, np.concatenate(times)[np.argsort(rows, kind="stable")]


def warn_of_lost_repeats(data: Dataset, job: str) -> None:
    """Say that a data set of before has lost its repeats, and which share of its events."""
    counts = data.manifest.counts
    if counts.duplicates and counts.repeat_events is None:
        share = counts.duplicates / (counts.kept + counts.duplicates)
        _LOG.warning(
            "%s: was ingested before repeats were kept: %s of its events (%.1f %%) have been "
            "replaced by later ones, so that `mfdask %s` knows less of the past than there was; "
            "ingest the sources again",
            data.address or data.name,
            f"{counts.duplicates:,}",
            100 * share,
            job,
        )


def all_events(data: Dataset) -> Events:
    """Return the events of all users: 17 bytes a rating."""
    with executor(None, parallel=False) as run:
        blocks = run.map(
            "read", events_of_block, [(data, b) for b in range(data.n_blocks("users"))]
        )
    indptr = np.zeros(data.n_users + 1, np.int64)
    np.cumsum(np.concatenate([np.diff(block.indptr) for block in blocks]), out=indptr[1:])
    columns = [list(block[2:]) for block in blocks]
    del blocks  # each column is held twice by itself
    rest = [np.concatenate([own.pop(0) for own in columns]) for _ in range(len(Events._fields) - 2)]
    return Events(0, indptr, *rest)


def active_days(indptr: Int64s, timestamps: Int64s) -> Int64s:
    """Return on how many different UTC days each user rated anything, int64 (users,).

    Takes the `indptr` and the `timestamps` of `Events`; a user's may be in any order.
    """
    return Activity.of(indptr, timestamps).days[:, -1].astype(np.int64)


class Activity(NamedTuple):
    """The times of users, as what was known of them at some midnights, and at the end.

    Attributes
    ----------
    edges : int64 (midnights,)
        Seconds since 1970, ascending.
    counts, days : int32 (users, midnights + 1)
        How many times before each midnight, and of how many different UTC days.
    last : int64 (users, midnights + 1)
        The last time before each; without meaning where there is none.
    first : int64 (users,)
    """

    edges: Int64s
    counts: Int32s
    days: Int32s
    last: Int64s
    first: Int64s

    @classmethod
    def of(cls, indptr: Int64s, times: Int64s, midnights: Iterable[int] = ()) -> Activity:
        """Go through the times of users.

        Parameters
        ----------
        indptr : int64 (users + 1,)
            Where each user's times begin.
        times : int64 (n,)
            Seconds since 1970, in any order within a user.
        midnights : iterable of int
            Seconds since 1970, of UTC.
        """
        edges = np.unique(np.array([*midnights], np.int64))
        shape, limits = (len(indptr) - 1, len(edges) + 1), np.iinfo(np.int64)
        counts, days = np.zeros((2, *shape), np.int32)
        last, first = np.full(shape, limits.min), np.full(shape[0], limits.max)
        if len(times):
            begin, end = int(times.min()) // DAY, int(times.max()) // DAY + 1
            stretch = np.searchsorted(edges, np.arange(begin, end) * DAY, side="right")
            given = map(read_only, (equal_cuts(indptr), indptr, times))
            own = read_only(stretch.astype(np.int32))
            kernels.dates.describe_times(*given, begin, own, counts, days, last, first)
        for each in (counts, days):  # no day is of two stretches, so they add up
            np.cumsum(each, axis=1, out=each)
        np.maximum.accumulate(last, axis=1, out=last)
        return cls(edges, counts, days, last, first)

    def before(self, midnight: int) -> int:
        """Return the column of a midnight."""
        return int(np.searchsorted(self.edges, midnight))


def equal_cuts(starts: np.ndarray, parts: int = _CUTS) -> Int64s:
    """Cut rows into parts of about equal numbers of values, int64 (parts + 1,).

    Parameters
    ----------
    starts : int (rows + 1,)
        Where each row begins.
    parts : int
        At most.
    """
    wanted = np.linspace(0, starts[-1], min(parts, len(starts) - 1) + 1)
    cuts = np.searchsorted(starts, wanted).astype(np.int64)
    cuts[0], cuts[-1] = 0, len(starts) - 1
    return cuts


def runs_of(n: int) -> Iterator[slice]:
    """Cut rows into runs that are short enough for a cache."""
    for first in range(0, n, _RUN):
        yield slice(first, min(first + _RUN, n))


def user_cuts(events: Events) -> Int64s:
    """Cut users into parts of about equal numbers of events, see `equal_cuts`."""
    return equal_cuts(events.indptr)
