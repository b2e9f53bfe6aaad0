"""Sorting by several columns is that of NumPy, whether or not they fit into one number."""

from __future__ import annotations

import numpy as np
import pytest

from mfdask.downstream import ordering
from mfdask.downstream.ordering import order_by


@pytest.mark.parametrize("factor", [1, 2**20, 2**40, 2**61])
def test_the_order_is_that_of_numpy(factor):
    random = np.random.default_rng(0)
    columns = [random.integers(-2, 2, 300).astype(np.int64) * factor for _ in range(2)]
    columns.append(random.integers(0, 5, 300).astype(np.int32))
    assert order_by(*columns).tolist() == np.lexsort(columns[::-1]).tolist()


@pytest.mark.parametrize("values", [1, 2, 30, 300])
@pytest.mark.parametrize("factor", [2**52, 2**61])
def test_many_rows_are_sorted_in_runs(monkeypatch, values, factor):
    monkeypatch.setattr(ordering, "_RUN", 16)
    random = np.random.default_rng(1)
    leading = random.integers(0, values, 300).astype(np.int32)
    second = random.integers(-2, 2, 300) * factor
    columns = [leading, second, random.integers(0, 5, 300).astype(np.int32)]
    wanted = np.lexsort(columns[::-1]).tolist()
    assert order_by(*columns).tolist() == wanted
    columns[0] = np.minimum(leading, 1) // np.arange(1, 301).clip(max=2)  # nearly all are 0
    assert order_by(*columns).tolist() == np.lexsort(columns[::-1]).tolist()


def test_nothing_is_in_order():
    assert order_by(np.zeros(0, np.int32), np.zeros(0, np.int64)).tolist() == []
