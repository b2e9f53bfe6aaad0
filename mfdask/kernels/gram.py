"""Gram matrices of gathered rows, the inner loop of a sweep."""

from __future__ import annotations

import numpy as np
from numba import njit

from mfdask.kernels.compiling import inner
from mfdask.kernels.simd import (
    HAS_WIDE,
    LANES,
    add_to,
    fma,
    load,
    load_wide,
    mul,
    prefetch,
    splat,
    splat_wide,
    store,
    zero,
    zero_wide,
)
from mfdask.kernels.types import Float32s, Int32s

#: Floats in a tile: 24 KiB, so that it stays in the first-level cache between gather and product.
TILE_FLOATS = 6144
#: Ratings between asking for a row and copying it.
AHEAD = 16


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@inner
def _add8x8(tile: Float32s, n: int, width: int, i: int, j: int, gram: Float32s, base: int) -> None:
    """Add ``tile[:, i:i+8]' tile[:, j:j+8]`` to the same block of `gram`."""
    a0 = zero()
    b0 = zero()
    c0 = zero()
    d0 = zero()
    e0 = zero()
    f0 = zero()
    g0 = zero()
    h0 = zero()
    for t in range(n):
        p = t * width + i
        q = t * width + j
        x0 = load(tile, q)
        a0 = fma(splat(tile, p), x0, a0)
        b0 = fma(splat(tile, p + 1), x0, b0)
        c0 = fma(splat(tile, p + 2), x0, c0)
        d0 = fma(splat(tile, p + 3), x0, d0)
        e0 = fma(splat(tile, p + 4), x0, e0)
        f0 = fma(splat(tile, p + 5), x0, f0)
        g0 = fma(splat(tile, p + 6), x0, g0)
        h0 = fma(splat(tile, p + 7), x0, h0)
    q = base + i * width + j
    add_to(gram, q, a0)
    q += width
    add_to(gram, q, b0)
    q += width
    add_to(gram, q, c0)
    q += width
    add_to(gram, q, d0)
    q += width
    add_to(gram, q, e0)
    q += width
    add_to(gram, q, f0)
    q += width
    add_to(gram, q, g0)
    q += width
    add_to(gram, q, h0)


@inner
def _add4x8(tile: Float32s, n: int, width: int, i: int, j: int, gram: Float32s, base: int) -> None:
    """Add ``tile[:, i:i+4]' tile[:, j:j+8]`` to the same block of `gram`."""
    a0 = zero()
    b0 = zero()
    c0 = zero()
    d0 = zero()
    for t in range(n):
        p = t * width + i
        q = t * width + j
        x0 = load(tile, q)
        a0 = fma(splat(tile, p), x0, a0)
        b0 = fma(splat(tile, p + 1), x0, b0)
        c0 = fma(splat(tile, p + 2), x0, c0)
        d0 = fma(splat(tile, p + 3), x0, d0)
    q = base + i * width + j
    add_to(gram, q, a0)
    q += width
    add_to(gram, q, b0)
    q += width
    add_to(gram, q, c0)
    q += width
    add_to(gram, q, d0)


@inner
def _add4x16(tile: Float32s, n: int, width: int, i: int, j: int, gram: Float32s, base: int) -> None:
    """Add ``tile[:, i:i+4]' tile[:, j:j+16]`` to the same block of `gram`."""
    a0, a1 = zero(), zero()
    b0, b1 = zero(), zero()
    c0, c1 = zero(), zero()
    d0, d1 = zero(), zero()
    for t in range(n):
        p = t * width + i
        q = t * width + j
        x0 = load(tile, q)
        x1 = load(tile, q + 8)
        s = splat(tile, p)
        a0 = fma(s, x0, a0)
        a1 = fma(s, x1, a1)
        s = splat(tile, p + 1)
        b0 = fma(s, x0, b0)
        b1 = fma(s, x1, b1)
        s = splat(tile, p + 2)
        c0 = fma(s, x0, c0)
        c1 = fma(s, x1, c1)
        s = splat(tile, p + 3)
        d0 = fma(s, x0, d0)
        d1 = fma(s, x1, d1)
    q = base + i * width + j
    add_to(gram, q, a0)
    add_to(gram, q + 8, a1)
    q += width
    add_to(gram, q, b0)
    add_to(gram, q + 8, b1)
    q += width
    add_to(gram, q, c0)
    add_to(gram, q + 8, c1)
    q += width
    add_to(gram, q, d0)
    add_to(gram, q + 8, d1)


@inner
def _add4x24(tile: Float32s, n: int, width: int, i: int, j: int, gram: Float32s, base: int) -> None:
    """Add ``tile[:, i:i+4]' tile[:, j:j+24]`` to the same block of `gram`."""
    a0, a1, a2 = zero(), zero(), zero()
    b0, b1, b2 = zero(), zero(), zero()
    c0, c1, c2 = zero(), zero(), zero()
    d0, d1, d2 = zero(), zero(), zero()
    for t in range(n):
        p = t * width + i
        q = t * width + j
        x0 = load(tile, q)
        x1 = load(tile, q + 8)
        x2 = load(tile, q + 16)
        s = splat(tile, p)
        a0 = fma(s, x0, a0)
        a1 = fma(s, x1, a1)
        a2 = fma(s, x2, a2)
        s = splat(tile, p + 1)
        b0 = fma(s, x0, b0)
        b1 = fma(s, x1, b1)
        b2 = fma(s, x2, b2)
        s = splat(tile, p + 2)
        c0 = fma(s, x0, c0)
        c1 = fma(s, x1, c1)
        c2 = fma(s, x2, c2)
        s = splat(tile, p + 3)
        d0 = fma(s, x0, d0)
        d1 = fma(s, x1, d1)
        d2 = fma(s, x2, d2)
    q = base + i * width + j
    add_to(gram, q, a0)
    add_to(gram, q + 8, a1)
    add_to(gram, q + 16, a2)
    q += width
    add_to(gram, q, b0)
    add_to(gram, q + 8, b1)
    add_to(gram, q + 16, b2)
    q += width
    add_to(gram, q, c0)
    add_to(gram, q + 8, c1)
    add_to(gram, q + 16, c2)
    q += width
    add_to(gram, q, d0)
    add_to(gram, q + 8, d1)
    add_to(gram, q + 16, d2)


@inner
def _add4x32(tile: Float32s, n: int, width: int, i: int, j: int, gram: Float32s, base: int) -> None:
    """Add ``tile[:, i:i+4]' tile[:, j:j+32]`` to the same block of `gram`, by wide vectors."""
    a0, a1 = zero_wide(), zero_wide()
    b0, b1 = zero_wide(), zero_wide()
    c0, c1 = zero_wide(), zero_wide()
    d0, d1 = zero_wide(), zero_wide()
    for t in range(n):
        p = t * width + i
        q = t * width + j
        x0 = load_wide(tile, q)
        x1 = load_wide(tile, q + 16)
        s = splat_wide(tile, p)
        a0 = fma(s, x0, a0)
        a1 = fma(s, x1, a1)
        s = splat_wide(tile, p + 1)
        b0 = fma(s, x0, b0)
        b1 = fma(s, x1, b1)
        s = splat_wide(tile, p + 2)
        c0 = fma(s, x0, c0)
        c1 = fma(s, x1, c1)
        s = splat_wide(tile, p + 3)
        d0 = fma(s, x0, d0)
        d1 = fma(s, x1, d1)
    q = base + i * width + j
    add_to(gram, q, a0)
    add_to(gram, q + 16, a1)
    q += width
    add_to(gram, q, b0)
    add_to(gram, q + 16, b1)
    q += width
    add_to(gram, q, c0)
    add_to(gram, q + 16, c1)
    q += width
    add_to(gram, q, d0)
    add_to(gram, q + 16, d1)


#: A machine without wide vectors has nothing more to compile.
_widest = _add4x32 if HAS_WIDE else _add4x24


@njit(nogil=True, cache=True)
def add_gram(tile: Float32s, n: int, width: int, order: int, gram: Float32s, base: int) -> None:
    """Add ``tile' tile`` to `gram`: its rows below `order`, each up to the diagonal at least.

    `tile` holds `n` rows of `width` floats, a multiple of 8; `gram`, from `base` on, `width` x
    `width` floats. Blocks that the diagonal cuts are computed whole.
    """
    _add8x8(tile, n, width, 0, 0, gram, base)
    for i in range(8, order, 4):
        columns = i + 4
        j = np.int64(0)  # as it is later on, or `_add4x24` would be compiled for a constant, too
        while HAS_WIDE and columns - j > 16 and width - j >= 32:
            _widest(tile, n, width, i, j, gram, base)
            j += 32
        while columns - j > 16:
            _add4x24(tile, n, width, i, j, gram, base)
            j += 24
        if columns - j > 8:
            _add4x16(tile, n, width, i, j, gram, base)
        elif columns > j:
            _add4x8(tile, n, width, i, j, gram, base)


@njit(nogil=True, cache=True)
def quadratic(
    matrix: Float32s, base: int, width: int, v: Float32s, n: int, scratch: Float32s
) -> float:
    """``v' A v`` for the symmetric `A` of `n` rows whose lower triangle lies in `matrix`.

    Rows are `width` floats apart from `base` on; `v` and `scratch` hold `width` floats at least.
    Row `i` contributes ``v[i] * (2 v[0] A[i, 0] + ... + v[i] A[i, i])``: `scratch` holds that
    bracket's weights, grown by one place a row.
    """
    scratch[:width] = np.float32(0.0)
    total = zero()
    for i in range(n):
        scratch[i] = v[i]
        row = base + i * width
        inner = zero()
        for j in range(0, i + 1, LANES):
            inner = fma(load(matrix, row + j), load(scratch, j), inner)
        total = fma(splat(v, i), inner, total)
        scratch[i] = np.float32(2.0) * v[i]
    store(scratch, 0, total)
    answer = np.float64(0.0)
    for lane in range(LANES):
        answer += scratch[lane]
    return answer
