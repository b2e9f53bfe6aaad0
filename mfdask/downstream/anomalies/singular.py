"""Leading singular vectors of a sparse matrix of users and items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator, svds

from mfdask.downstream.events import Events, equal_cuts
from mfdask.kernels.sparse import multiply_sparse
from mfdask.kernels.types import Float32s


def leading_vectors(
    events: Events, values: Float32s, n_items: int, k: int
) -> tuple[Float32s, Float32s]:
    """Return the largest singular values and their right vectors, by ARPACK.

    Parameters
    ----------
    events : Events
        Which users have rated which items.
    values : float32 (ratings,)
        Not all 0.
    n_items : int
    k : int
        Fewer than users and than items.

    Returns
    -------
    sizes : float32 (k,)
        Ascending.
    vectors : float32 (k, items)
    """
    shape = len(events.indptr) - 1, n_items
    by_user = scipy.sparse.csr_array((values, events.items, events.indptr), shape=shape)
    by_item = by_user.tocsc()  # its arrays are those of the transpose, by row
    matrix = LinearOperator(shape, _product(by_user), _product(by_item), dtype=np.dtype(np.float32))
    # The start is fixed, and not orthogonal to what is looked for: the same vectors every time.
    start = np.random.default_rng(0).random(min(shape)).astype(np.float32)
    _, sizes, vectors = svds(matrix, k=k, v0=start)
    return sizes.astype(np.float32), vectors


def _product(matrix: Any) -> Callable[[Float32s], Float32s]:
    """Return what multiplies a vector by a matrix, given by row, or by its transpose."""
    cuts = equal_cuts(matrix.indptr)

    def product(vector: Float32s) -> Float32s:
        found = np.empty(len(matrix.indptr) - 1, np.float32)
        multiply_sparse(matrix.indptr, matrix.indices, matrix.data, cuts, vector.ravel(), found)
        return found

    return product
