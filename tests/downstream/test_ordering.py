"""Sorting by several columns is that of NumPy, whether or not they fit into one number."""

from __future__ import annotations

import numpy as np
import pytest

from mfdask.downstream.ordering import order_by


@pytest.mark.parametrize("factor", [1, 2**20, 2**40, 2**61])
def test_the_order_is_that_of_numpy(factor):
    random = np.random.default_rng(0)
    columns = [random.integers(-2, 2, 300).astype(np.int64) * factor for _ in range(2)]
    columns.append(random.integers(0, 5, 300).astype(np.int32))
    assert order_by(*columns).tolist() == np.lexsort(columns[::-1]).tolist()


def test_nothing_is_in_order():
    assert order_by(np.zeros(0, np.int32), np.zeros(0, np.int64)).tolist() == []
