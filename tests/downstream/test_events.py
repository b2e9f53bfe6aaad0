"""Events are the ratings of both parts, by user and time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mfdask.downstream.events import (
    DAY,
    EVER,
    all_events,
    events_of_block,
    require_timestamps,
    times_within,
)
from mfdask.errors import InputError
from mfdask.shards import Dataset


def _oracle(data):
    lines = []
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            shard, times = data.shard("users", block, part), data.timestamps(block, part)
            users = np.repeat(np.arange(shard.n_rows) + shard.start, np.diff(shard.indptr))
            columns = (users, times, shard.indices, shard.ratings)
            lines += [
                (*line, part == "test") for line in zip(*(c.tolist() for c in columns), strict=True)
            ]
    return sorted(lines)


def test_all_events_are_the_ratings_in_order(small_data):
    data = Dataset.open(small_data)
    found = all_events(data)
    columns = (found.users, found.timestamps, found.items, found.ratings, found.held_out)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == _oracle(data)


def test_blocks_are_cuts_of_the_whole(small_data):
    data = Dataset.open(small_data)
    whole = all_events(data)
    second = events_of_block(data, 1)
    first = whole.indptr[second.start]
    assert np.array_equal(second.items, whole.items[first:])
    assert np.array_equal(second.users, whole.users[first:])


def test_times_within_windows_are_those_of_plain_code():
    random = np.random.default_rng(0)
    indptr = np.concatenate([[0], np.cumsum(random.integers(0, 30, 100))])
    times = random.integers(-3 * DAY, 40 * DAY, indptr[-1])  # some from before 1970
    windows = [EVER, (0, 10 * DAY), (5 * DAY + 7, 9 * DAY), (50 * DAY, 60 * DAY)]
    found = times_within(indptr, times, windows)
    for user, (begin, end) in enumerate(pairwise(indptr)):
        for k, (first, stop) in enumerate(windows):
            own = [t for t in times[begin:end].tolist() if first <= t < stop]
            days = len({t // DAY for t in own})
            wanted = [len(own), days, min(own), max(own)] if own else [0] * 4
            assert found[user, k].tolist() == wanted
    assert not times_within(np.zeros(3, np.int64), times[:0], windows).any()


def test_ratings_without_times_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    data = Dataset.from_csr(sparse.csr_array(np.eye(3)))
    with pytest.raises(InputError, match="no timestamps, which `mfdask churn`"):
        require_timestamps(data, "churn")
