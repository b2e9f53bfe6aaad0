"""Correlations of rows, against each pair taken by itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tests.trials.similarity import Compressed, correlate


def compressed(matrix):
    return Compressed(matrix.indptr.astype(np.int64), matrix.indices, matrix.data)


def naive(one, other, common):
    """Correlate two dense rows in which NaN is nothing."""
    both = ~np.isnan(one) & ~np.isnan(other)
    size = np.sqrt((one[both] ** 2).sum() * (other[both] ** 2).sum())
    return one[both] @ other[both] / size * min(both.sum(), common) / common if size > 0 else 0.0


@pytest.mark.parametrize(("first", "n"), [(0, 12), (5, 4), (11, 1), (3, 0)])
def test_correlations_are_those_of_each_pair(first, n):
    random = np.random.default_rng(1)
    dense = np.where(random.random((12, 9)) < 0.5, random.normal(size=(12, 9)), np.nan)
    dense[2] = np.nan
    dense[4, ~np.isnan(dense[4])] = 0.0  # ratings that are all the user's mean
    rows, columns = np.nonzero(~np.isnan(dense))
    matrix = sparse.csr_array((dense[rows, columns], (rows, columns)), shape=dense.shape)
    found = np.empty((n, 12))
    correlate(compressed(matrix), compressed(matrix.tocsc()), first, 5, found)
    for k in range(n):
        for other in range(12):
            same = other == first + k
            wanted = -np.inf if same else naive(dense[first + k], dense[other], 5)
            assert found[k, other] == pytest.approx(wanted, abs=1e-12)
