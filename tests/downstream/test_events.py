"""Events are the ratings of both parts, by user and time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mfdask.downstream.events import (
    DAY,
    Activity,
    all_events,
    events_of_block,
    require_timestamps,
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


def test_activity_is_that_of_plain_code():
    random = np.random.default_rng(0)
    indptr = np.concatenate([[0], np.cumsum(random.integers(0, 30, 100))])
    times = random.integers(-3 * DAY, 40 * DAY, indptr[-1])  # some from before 1970
    midnights = [20 * DAY, 0, 50 * DAY, 5 * DAY, 0]
    found = Activity.of(indptr, times, midnights)
    for user, (begin, end) in enumerate(pairwise(indptr)):
        for stop in midnights:
            own, k = [t for t in times[begin:end].tolist() if t < stop], found.before(stop)
            assert found.counts[user, k] == len(own)
            assert found.days[user, k] == len({t // DAY for t in own})
            assert not own or found.last[user, k] == max(own)
        assert found.counts[user, -1] == end - begin
        assert begin == end or found.first[user] == times[begin:end].min()
    assert not Activity.of(np.zeros(3, np.int64), times[:0], midnights).counts.any()


def test_ratings_without_times_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    data = Dataset.from_csr(sparse.csr_array(np.eye(3)))
    with pytest.raises(InputError, match="no timestamps, which `mfdask churn`"):
        require_timestamps(data, "churn")
