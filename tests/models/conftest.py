"""Small data for models."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse


def random_ratings(n_users, n_items, density, seed):
    """Return a sparse matrix of half-star ratings; some rows and columns may be empty."""
    random = np.random.default_rng(seed)
    matrix = scipy.sparse.random_array(
        (n_users, n_items), density=density, rng=random, format="csr"
    )
    matrix.data = (random.integers(1, 11, matrix.nnz) / 2).astype(np.float32)
    return matrix


@pytest.fixture
def ratings():
    """Return 40 users and 30 items with taste in them, and one empty row on each side."""
    random = np.random.default_rng(5)
    taste = random.normal(size=(40, 2)) @ random.normal(size=(2, 30))
    scores = np.clip(np.round(2 * (3.5 + taste)) / 2, 0.5, 5)
    seen = random.random((40, 30)) < 0.4
    seen[7] = seen[:, 11] = False
    return scipy.sparse.csr_array(np.where(seen, scores, 0).astype(np.float32))
