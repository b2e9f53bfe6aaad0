"""Sorted rows that take in entries, against plain dictionaries."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.ingestion.rows import Entries, SortedRows

N_ROWS = 4
PAIRS = st.tuples(st.integers(0, N_ROWS - 1), st.integers(0, 6))
TABLES = st.dictionaries(PAIRS, st.integers(1, 10), max_size=20)


def rows_of(table, has_times):
    entries = entries_of(table, has_times)
    starts = np.searchsorted(entries.rows, np.arange(N_ROWS + 1))
    return SortedRows(starts.astype(np.int64), *entries[1:])


def entries_of(table, has_times):
    pairs = sorted(table)
    rows, columns = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    ratings = np.array([table[pair] / 2 for pair in pairs], np.float32)
    times = np.array([100 * table[pair] for pair in pairs], np.int64) if has_times else None
    return Entries(rows, columns, ratings, times)


def same(found, expected):
    assert (found.times is None) == (expected.times is None)
    for one, other in zip(found, expected, strict=True):
        if other is not None:
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist()


@settings(max_examples=60)
@given(TABLES, TABLES, st.booleans())
def test_put_without_and_changes(old, new, has_times):
    rows = rows_of(old, has_times)
    put = rows.put(entries_of(new, has_times))
    if has_times:  # the larger is the later
        new = {pair: value for pair, value in new.items() if value >= old.get(pair, 0)}
    same(put, rows_of({**old, **new}, has_times))
    assert put is not rows or not new
    changes = rows.changes_to(put)
    expected = {pair: new[pair] / 2 for pair in new if old.get(pair) != new[pair]}
    pairs = zip(changes.rows.tolist(), changes.columns.tolist(), strict=True)
    assert dict(zip(pairs, changes.ratings.tolist(), strict=True)) == expected
    places, there = put.find(*entries_of(new, has_times)[:2])
    assert there.all()
    same(put.entries(places), entries_of(new, has_times))
    left = {pair: old[pair] for pair in old if pair not in new}
    same(put.without(places), rows_of(left, has_times))
    gone = put.changes_to(put.without(places))
    assert np.isnan(gone.ratings).all()
    assert list(zip(gone.rows.tolist(), gone.columns.tolist(), strict=True)) == sorted(new)


@given(TABLES, PAIRS)
def test_find(old, pair):
    rows = rows_of(old, has_times=False)
    (place,), (there,) = rows.find(np.array(pair[:1], np.int32), np.array(pair[1:], np.int32))
    assert there == (pair in old)
    assert place == sum(other < pair for other in old)
