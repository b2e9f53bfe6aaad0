"""Ids become rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.ratings.ids import count_ids, encode, rank_ids

ANY_INTEGER = st.integers(-(2**63), 2**63 - 1)
LISTS = st.lists(st.integers(-4, 4)) | st.lists(ANY_INTEGER) | st.lists(st.text(max_size=2))


def column(values):
    return pd.Series(values, dtype="str" if values and isinstance(values[0], str) else "int64")


@settings(deadline=None)
@given(LISTS)
def test_encoding_keeps_the_ids(values):
    encoded = encode(column(values))
    assert list(encoded) == values
    assert sorted(encoded.categories) == sorted(set(values))


@pytest.mark.parametrize("ids", [[2**63 - 1, -(2**63)], [5, 5, 5], [-7, 100, -7]])
def test_encoding_of_wide_and_narrow_ranges(ids):
    assert encode(column(ids)).tolist() == ids


@settings(deadline=None)
@given(LISTS.filter(bool), st.data())
def test_rows_ascend_by_count_then_id(values, data):
    cut = data.draw(st.integers(0, len(values)))
    parts = [pd.Series(encode(column(values)[part])) for part in (slice(cut), slice(cut, None))]
    ranked = rank_ids([count_ids(part) for part in parts])
    counts = {one: values.count(one) for one in values}
    expected = sorted(counts, key=lambda one: (-counts[one], one))
    assert ranked.ids.tolist() == expected
    assert ranked.counts.tolist() == [counts[one] for one in expected]
    for part, rows in zip(parts, ranked.rows, strict=True):
        assert rows.dtype == np.int32
        assert [expected[row] for row in rows[part.cat.codes]] == part.tolist()
