"""Gram matrices of gathered rows, the inner loop of a sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mfdask.kernels.compiling import borrowing
from mfdask.kernels.simd import (
    HAS_WIDE,
    LANES,
    add,
    add_double,
    add_outer,
    add_rows,
    fma,
    full,
    load,
    mul,
    pairs_6x24,
    pairs_8x16,
    prefetch,
    splat,
    store,
    zero,
    zeros_4x8,
    zeros_4x16,
    zeros_4x24,
    zeros_6x8,
    zeros_6x24,
    zeros_8x8,
    zeros_8x16,
    zeros_8x24,
    zeros_8x32,
)
from mfdask.kernels.types import Float32s, Float64s, Int32s

#: Floats in a tile: 24 KiB, so that it stays in the first-level cache between gather and product.
TILE_FLOATS = 6144
#: Ratings between asking for a row and copying it.
AHEAD = 32
#: Rows between copying one and multiplying it, where both are one pass.
_ROWS_BEFORE = 12


@njit(nogil=True, cache=True, _nrt=False)
def gather(
    fixed: Float32s,
    width: int,
    indices: Int32s,
    ratings: Float32s,
    start: int,
    n: int,
    mean: float,
    tile: Float32s,
) -> None:
    """Copy the design rows of `n` ratings into `tile`, each with its own centred rating in front.

    A design row is ``[bias, 1, factors..., 0...]``; the copy is ``[y, 1, factors..., 0...]`` with
    ``y = rating - mean - bias``.
    """
    final = len(indices) - 1
    for t in range(n):
        ahead = np.int64(indices[min(start + t + AHEAD, final)]) * width
        for line in range(0, width, 16):
            prefetch(fixed, ahead + line)
        source = np.int64(indices[start + t]) * width
        target = t * width
        for v in range(0, width, LANES):
            store(tile, target + v, load(fixed, source + v))
        tile[target] = ratings[start + t] - mean - tile[target]


@njit(nogil=True, cache=True, _nrt=False)
def weigh(tile: Float32s, width: int, roots: Float32s, start: int, n: int) -> None:
    """Multiply the copies of `n` ratings by the roots of their weights."""
    for t in range(n):
        root = splat(roots, start + t)
        for v in range(t * width, (t + 1) * width, LANES):
            store(tile, v, mul(root, load(tile, v)))


@njit(nogil=True, cache=True, _nrt=False)
def gather_weighted(
    fixed: Float32s,
    width: int,
    indices: Int32s,
    roots: Float32s,
    start: int,
    n: int,
    tile: Float32s,
) -> None:
    """Copy the design rows of `n` observations into `tile`, each times the root of its weight.

    The copy is ``root * [1, 0, factors..., 0...]``: what is observed is a 1, and there are no
    biases.
    """
    final = len(indices) - 1
    for t in range(n):
        ahead = np.int64(indices[min(start + t + AHEAD, final)]) * width
        for line in range(0, width, 16):
            prefetch(fixed, ahead + line)
        source = np.int64(indices[start + t]) * width
        target = t * width
        root = splat(roots, start + t)
        for v in range(0, width, LANES):
            store(tile, target + v, mul(root, load(fixed, source + v)))
        tile[target] = roots[start + t]
        tile[target + 1] = np.float32(0.0)


@borrowing
def _add_block(
    tile: Float32s,
    n: int,
    width: int,
    i: int,
    j: int,
    gram: Float32s,
    begin: int,
    base: int,
    sums: Any,
) -> None:
    """Add ``tile[:, i:i+r]' tile[:, j:j+c]`` to the same block of `gram`; `sums`, r x c zeros.

    The type of `sums` says how large the block is: this is compiled for each size that is used.
    """
    for t in range(n):
        sums = add_outer(tile, t * width + i, t * width + j, sums)
    place = i * width + j
    add_rows(gram, begin + place, base + place, width, sums)


@borrowing
def _add_rows_4(
    tile: Float32s, n: int, width: int, i: int, gram: Float32s, begin: int, base: int
) -> None:
    """Add four rows of ``tile' tile``, from `i` on, up to the diagonal."""
    j = np.int64(0)  # as it is later on, or `_add_block` would be compiled for a constant, too
    while i + 4 - j > 16:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_4x24())
        j += 24
    if i + 4 - j > 8:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_4x16())
    elif i + 4 > j:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_4x8())


@borrowing
def _add_rows_6(
    tile: Float32s, n: int, width: int, i: int, gram: Float32s, begin: int, base: int
) -> None:
    """Add six rows of ``tile' tile``, from `i` on, up to the diagonal: a multiple of 8."""
    j = np.int64(0)
    while i + 8 - j > 16:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_6x24())
        j += 24
    while i + 8 > j:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_6x8())
        j += 8


@borrowing
def _add_rows_8(
    tile: Float32s, n: int, width: int, i: int, gram: Float32s, begin: int, base: int
) -> None:
    """Add eight rows of ``tile' tile``, from `i` on, up to the diagonal: a multiple of 8."""
    j = np.int64(0)
    while i + 8 - j > 24 and i + 8 - j != 40:  # 24 and 16 are faster than 32 and 8
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_8x32())
        j += 32
    if i + 8 - j > 16:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_8x24())
        j += 24
    if i + 8 > j:
        _add_block(tile, n, width, i, j, gram, begin, base, zeros_8x16())


@njit(nogil=True, cache=True, _nrt=False)
def add_gram(
    tile: Float32s, n: int, width: int, order: int, gram: Float32s, begin: int, base: int
) -> None:
    """Add ``tile' tile`` to a matrix: its rows below `order`, each up to the diagonal at least.

    `tile` holds `n` rows of `width` floats, a multiple of 8. The matrix, `width` x `width` floats,
    is read from `begin` on in `gram`, and written from `base` on, which may be the same: a row's
    matrix need not be filled before its first tile. Blocks of 8 x 8 that the diagonal cuts are
    computed whole. Every sum is of one lane, in the order of the rows: the blocks' sizes change no
    bit of it.
    """
    _add_block(tile, n, width, np.int64(0), np.int64(0), gram, begin, base, zeros_8x8())
    i = np.int64(8)
    while i < order:
        # Registers of sixteen lanes are as many again: eight rows read each value half as often.
        if HAS_WIDE and order - i > 6:
            _add_rows_8(tile, n, width, i, gram, begin, base)
            i += 8
        elif HAS_WIDE and order - i > 4:
            _add_rows_6(tile, n, width, i, gram, begin, base)
            i += 6
        else:
            _add_rows_4(tile, n, width, i, gram, begin, base)
            i += 4


@borrowing
def _in_one_pass(order: int) -> bool:
    """Return whether all blocks of so many rows fit into registers: see `gather_and_add`."""
    return HAS_WIDE and 16 < order <= 22


@borrowing
def _copy_24(
    fixed: Float32s,
    indices: Int32s,
    ratings: Float32s,
    rating: int,
    mean: float,
    tile: Float32s,
    target: int,
) -> None:
    """Do as `gather` for one rating's row of 24 floats: loads before stores, and no loops."""
    ahead = np.int64(indices[min(rating + AHEAD, len(indices) - 1)]) * 24
    prefetch(fixed, ahead)
    prefetch(fixed, ahead + 16)
    source = np.int64(indices[rating]) * 24
    first, second, third = load(fixed, source), load(fixed, source + 8), load(fixed, source + 16)
    store(tile, target, first)
    store(tile, target + 8, second)
    store(tile, target + 16, third)
    tile[target] = ratings[rating] - mean - fixed[source]


@njit(nogil=True, cache=True, _nrt=False)
def gather_and_add(
    fixed: Float32s,
    indices: Int32s,
    ratings: Float32s,
    start: int,
    n: int,
    mean: float,
    tile: Float32s,
    gram: Float32s,
    begin: int,
    base: int,
) -> None:
    """Do as `gather` and `add_gram` for rows of 24 floats, of which 22 are in use at most.

    A row is copied while an earlier one is multiplied, so that neither waits for the other: 28
    registers of 32 hold all blocks. The sums are the same to the bit.
    """
    width = np.int64(24)
    for t in range(min(n, _ROWS_BEFORE)):
        _copy_24(fixed, indices, ratings, start + t, mean, tile, t * width)
    first, second, third = zeros_8x8(), pairs_8x16(), pairs_6x24()
    for t in range(n):
        later = t + _ROWS_BEFORE
        if later < n:
            _copy_24(fixed, indices, ratings, start + later, mean, tile, later * width)
        at = t * width
        first = add_outer(tile, at, at, first)
        second = add_outer(tile, at + 8, at, second)
        third = add_outer(tile, at + 16, at, third)
    add_rows(gram, begin, base, width, first)
    add_rows(gram, begin + 8 * width, base + 8 * width, width, second)
    add_rows(gram, begin + 16 * width, base + 16 * width, width, third)


@njit(nogil=True, cache=True, _nrt=False)
def add_quadratic(
    matrix: Float32s,
    base: int,
    width: int,
    v: Float32s,
    n: int,
    scale: float,
    sums: Float64s,
    place: int,
) -> None:
    """Add ``scale * v' A v`` to eight sums, for the symmetric `A` of `n` rows.

    Its lower triangle lies in `matrix`, rows `width` floats apart from `base` on, and blocks of
    8 x 8 that the diagonal cuts lie there whole. `v` holds `width` float32, zero from `n` on.
    What lies below such a block counts twice, in place of what lies above the diagonal.
    """
    total = zero()
    for j in range(0, n, LANES):
        within, below = zero(), zero()
        for i in range(j, min(j + LANES, n)):
            within = fma(splat(v, i), load(matrix, base + i * width + j), within)
        for i in range(j + LANES, n):
            below = fma(splat(v, i), load(matrix, base + i * width + j), below)
        total = fma(load(v, j), add(within, add(below, below)), total)
    add_double(sums, place, mul(full(np.float32(scale)), total))
