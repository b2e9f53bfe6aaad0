"""The kernels that sort ratings, against Python's own sorting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.kernels.csr import (
    count_columns,
    count_newer,
    counting_order,
    drop_repeats,
    gather_into,
    keep_latest,
    row_starts,
    sort_pairs,
    transpose_into,
)
from mfdask.kernels.splits import (
    _mix,
    hold_out_by_hash,
    hold_out_columns_by_hash,
    hold_out_last,
)
from mfdask.ratings.splits import Split

unhurried = settings(deadline=None)  # the first call of a kernel compiles it
ROWS, COLUMNS = 4, 5
LAST_ONE = "leave-one-out"
TRIPLES = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1), st.integers(-2, 2)),
    max_size=30,
)


def columns_of(triples):
    rows, columns, times = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    return rows.astype(np.int32), columns.astype(np.int32), times.copy()


def sorted_pairs(rows, columns):
    order = np.empty(len(rows), np.int32)
    sort_pairs(rows, ROWS, columns, COLUMNS, np.empty(len(rows), np.int64), order)
    return order


@unhurried
@given(st.lists(st.integers(0, 6), max_size=30))
def test_counting_order_is_a_stable_sort(keys):
    order, starts = counting_order(np.array(keys, np.int32), 7)
    assert order.tolist() == sorted(range(len(keys)), key=keys.__getitem__)
    assert starts.tolist() == [sum(key < k for key in keys) for k in range(8)]


@unhurried
@given(TRIPLES, st.booleans())
def test_the_latest_of_each_pair_stays(triples, has_times):
    rows, columns, times = columns_of(triples)
    order = sorted_pairs(rows, columns)
    assert order.tolist() == sorted(range(len(triples)), key=lambda i: (rows[i], columns[i], i))
    n = keep_latest(order, rows, columns, times if has_times else times[:0])
    latest = {}
    for i, (row, column, time) in enumerate(triples):
        last = latest.get((row, column))
        if last is None or not has_times or time >= triples[last][2]:
            latest[row, column] = i
    assert order[:n].tolist() == [latest[pair] for pair in sorted(latest)]


@unhurried
@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_dropping_repeats_keeps_every_value(values):
    ratings = np.array(values, np.float32)
    room = np.empty(len(ratings), np.float32)
    kept = room[: drop_repeats(ratings, room)].tolist()
    assert list(dict.fromkeys(kept)) == list(dict.fromkeys(ratings.tolist()))


def test_of_few_values_few_are_kept():
    stars = np.random.default_rng(0).integers(1, 11, 10_000).astype(np.float32) / 2
    assert drop_repeats(stars, np.empty_like(stars)) == 10


@pytest.mark.parametrize("n_columns", [1, 2, 300, 5000, 2**20, 2**31 - 1])
def test_long_rows_and_wide_columns(n_columns):
    draw = np.random.default_rng(1)
    rows = (7 * draw.random(20_000) ** 8).astype(np.int32)  # some rows short, some long
    columns = draw.integers(0, n_columns, 20_000, dtype=np.int32)
    columns[::3] = n_columns - 1
    order = np.empty(20_000, np.int32)
    sort_pairs(rows, 8, columns, n_columns, np.empty(20_000, np.int64), order)
    assert order.tolist() == np.lexsort((columns, rows)).tolist()


@unhurried
@given(TRIPLES, st.integers(0, COLUMNS), st.integers(0, COLUMNS))
def test_transposing_a_range_of_columns(triples, one, other):
    rows, columns, times = columns_of(triples)
    order = sorted_pairs(rows, columns)
    order = order[: keep_latest(order, rows, columns, times)]
    first, last = sorted((one, other))
    starts, columns_in_order = row_starts(rows, order, ROWS), columns[order]
    values = times[order].astype(np.float32)
    counts = np.zeros(last - first, np.int64)
    count_columns(columns_in_order, first, counts)
    place = np.cumsum(counts) - counts
    out_rows, out_values = np.empty(counts.sum(), np.int32), np.empty(counts.sum(), np.float32)
    transpose_into(
        starts, columns_in_order, values, 10, first, place, out_rows, out_values
    )  # fmt: skip
    chosen = sorted((columns[i], rows[i], times[i]) for i in order if first <= columns[i] < last)
    assert out_rows.tolist() == [10 + row for _, row, _ in chosen]
    assert out_values.tolist() == [value for _, _, value in chosen]


@unhurried
@given(TRIPLES)
def test_counting_the_newer_ones_of_a_row(triples):
    rows, _, times = columns_of(sorted(triples))
    starts, newer = np.searchsorted(rows, np.arange(ROWS + 1)), np.empty(len(rows), np.int32)
    count_newer(starts, times, newer)
    for i, (row, time) in enumerate(zip(rows, times, strict=True)):
        assert newer[i] == ((rows == row) & (times > time)).sum()


@unhurried
@given(TRIPLES, st.sampled_from(["user-time:0.1", "user-time:0.29", "user-time:0.99", LAST_ONE]))
def test_the_last_of_each_row_are_held_out(triples, split):
    rows, columns, times = columns_of(triples)
    places = counting_order(rows, ROWS)[0]
    keys = np.arange(columns.max(initial=0) + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        ranks = np.argsort(np.argsort([_mix(key) for key in keys]))
        n_last = Split.parse(split).n_last(np.bincount(rows, minlength=ROWS))
        held = hold_out_last(places, rows, columns, ROWS, times, keys, n_last)
    share = Split.parse(split).share
    expected = set()
    for row in range(ROWS):
        own = sorted(
            (i for i in range(len(rows)) if rows[i] == row),
            key=lambda i: (times[i], ranks[columns[i]], i),
        )
        last = len(own) >= 2 if split == LAST_ONE else math.floor(share * len(own) + 1e-9)
        expected |= set(own[len(own) - last :])
    assert set(places[held].tolist()) == expected


def test_the_hash_is_that_of_all_times_and_holds_out_the_share():
    n = 400
    rows, columns = (grid.ravel().astype(np.int32) for grid in np.indices((n, n)))
    row_keys, column_keys = np.arange(n, dtype=np.uint64), np.arange(7, 7 + n, dtype=np.uint64)
    places = np.arange(n * n, dtype=np.int32)
    with np.errstate(over="ignore"):
        held = hold_out_by_hash(
            places, rows, columns, row_keys, column_keys, np.uint64(42), 0.3
        )  # fmt: skip
    share = held.reshape(n, n)
    assert abs(held.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / n**2)
    assert np.abs(share.mean(axis=0) - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / n)
    assert np.abs(share.mean(axis=1) - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / n)
    # Were the hash to change, ratings would change sides with a new version of mfdask.
    assert np.flatnonzero(held)[:8].tolist() == [7, 11, 14, 15, 18, 20, 21, 22]


def splitmix(z):
    """Return the hash of the kernels, in Python's own integers."""
    whole = 2**64 - 1
    z = (z + 0x9E3779B97F4A7C15) & whole
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & whole
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & whole
    return z ^ (z >> 31)


@unhurried
@given(
    st.lists(st.integers(0, COLUMNS - 1), max_size=30),
    st.lists(st.integers(0, 2**64 - 1), min_size=COLUMNS, max_size=COLUMNS),
    st.integers(0, 2**64 - 1),
    st.sampled_from([0.05, 0.5, 0.99]),
)
def test_whole_columns_are_held_out_by_their_key_and_the_seed(columns, keys, seed, share):
    places = np.arange(len(columns), dtype=np.int32)[::-1].copy()
    with np.errstate(over="ignore"):
        held = hold_out_columns_by_hash(
            places, np.array(columns, np.int32), np.array(keys, np.uint64), np.uint64(seed), share
        )  # fmt: skip
    drawn = [splitmix(splitmix(seed) ^ key) < share * 2**64 for key in keys]
    assert held.tolist() == [drawn[columns[place]] for place in places.tolist()]


def test_about_the_share_of_the_columns_is_held_out():
    n = 40_000
    keys = np.arange(n, dtype=np.uint64)
    columns = np.arange(n, dtype=np.int32)
    with np.errstate(over="ignore"):
        held = hold_out_columns_by_hash(columns, columns, keys, np.uint64(42), 0.05)
    assert abs(held.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n)
    # Were the hash to change, items would change sides with a new version of mfdask.
    assert np.flatnonzero(held)[:8].tolist() == [33, 52, 53, 55, 98, 102, 133, 145]


def test_gathering():
    out = np.empty(3, np.float32)
    gather_into(np.array([1, 2, 3], np.float32), np.array([2, 2, 0], np.int32), out)
    assert out.tolist() == [3, 3, 1]
