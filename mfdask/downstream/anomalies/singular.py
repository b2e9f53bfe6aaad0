"""Leading singular vectors of a sparse matrix of users and items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mfdask.downstream.events import Events, equal_cuts
from mfdask.kernels.sparse import WIDTH, multiply_gram
from mfdask.kernels.types import Float32s, Float64s

#: A block is multiplied so often, in parts with sums of their own. The ninth vector of choices and
#: the eighth of tastes are then found up to an angle of .001 in real ratings and synthetic ones.
_PASSES, _PARTS = 10, 8
#: What is as small against a block lies in the space that was there before, but for rounding.
_ROUNDING = 1e-5


def leading_vectors(
    events: Events, values: Float32s, per_user: Float32s, per_item: Float32s, k: int
) -> tuple[Float64s, Float64s]:
    """Return the largest singular values and their right vectors.

    By a block Krylov method (Musco and Musco, NIPS 2015): the matrix times its transpose is applied
    to some vectors at once, again and again, and all that came out is searched for the singular
    ones. A pass for a block takes little longer than one for a vector would, and there are few.

    Parameters
    ----------
    events : Events
        Which users have rated which items.
    values : float32 (ratings,), or float32 (0,)
        Not all 0. Empty: each is 1.
    per_user, per_item : float32 (users,), float32 (items,)
        What each row and column of these is taken times.
    k : int
        Fewer than users and than items.

    Returns
    -------
    sizes : float64 (k,)
        Ascending.
    vectors : float64 (k, items)
    """
    gram = _gram(events, values, per_user, per_item)
    n_items, width = len(per_item), min(WIDTH, len(per_item))
    room = np.empty((n_items, min(_PASSES * width, n_items)))
    # The start is fixed: the same vectors every time.
    block = _beside(room[:, :0], np.random.default_rng(0).normal(size=(n_items, width)))
    between = np.zeros((room.shape[1],) * 2)  # the part above the diagonal is enough
    size = 0
    while block.shape[1] and size < room.shape[1]:
        block = block[:, : room.shape[1] - size]
        own = slice(size, size + block.shape[1])
        size, room[:, own] = own.stop, block
        image = gram(block)
        between[:size, own] = room[:, :size].T @ image
        block = _beside(room[:, :size], image)
    squares, turn = np.linalg.eigh(between[:size, :size], UPLO="U")
    return np.sqrt(np.maximum(squares[-k:], 0.0)), (room[:, :size] @ turn[:, -k:]).T


def _gram(
    events: Events, values: Float32s, per_user: Float32s, per_item: Float32s
) -> Callable[[Float64s], Float64s]:
    """Return what multiplies a block of vectors of items by the matrix and its transpose."""
    cuts, scale = equal_cuts(events.indptr, _PARTS), per_item[:, None]
    weights, room = np.square(per_user), np.empty((len(cuts) - 1, len(scale), WIDTH), np.float32)

    def product(block: Float64s) -> Float64s:
        given = np.zeros((len(block), WIDTH), np.float32)
        given[:, : block.shape[1]] = block * scale
        multiply_gram(cuts, events.indptr, events.items, values, weights, given, room)
        return np.asarray(room.sum(axis=0, dtype=np.float64) * scale)[:, : block.shape[1]]

    return product


def _beside(basis: Float64s, block: Float64s) -> Float64s:
    """Return an orthonormal basis of what a block adds to another basis."""
    least = (_ROUNDING * np.linalg.norm(block)) ** 2
    for _ in range(2):  # rounding in the first leaves some
        block = block - basis @ (basis.T @ block)
    squares, turn = np.linalg.eigh(block.T @ block)
    kept = squares > least
    return np.asarray(block @ (turn[:, kept] / np.sqrt(squares[kept])))
