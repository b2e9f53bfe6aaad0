"""Cholesky solver for eight symmetric systems at once: lane `l` of every vector is system `l`.

One small Cholesky factorisation is a chain of short loops that no compiler vectorises; eight of the
same size are one such chain of whole vectors. A system of order `order` is stored with its right-
hand side as one more row: element ``(i, j)``, ``j <= i <= order``, of lane `l` lies at
``((i * (order + 1)) + j) * 8 + l``. Factorising the augmented matrix solves the forward half on the
way.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfdask.kernels.compiling import inner
from mfdask.kernels.simd import LANES, fnma, load, mul, store
from mfdask.kernels.types import Bools, Float32s


@inner
def _finish_4x2(a: Float32s, i: int, j: int, line: int, inverse: Float32s) -> None:
    """Turn elements ``(i..i+3, j..j+1)`` into those of the factor, given all columns before `j`."""
    p = i * line
    q = j * line
    at = j * LANES
    s0, t0 = load(a, p + at), load(a, p + at + LANES)
    s1, t1 = load(a, p + line + at), load(a, p + line + at + LANES)
    s2, t2 = load(a, p + 2 * line + at), load(a, p + 2 * line + at + LANES)
    s3, t3 = load(a, p + 3 * line + at), load(a, p + 3 * line + at + LANES)
    for k in range(0, at, LANES):
        x = load(a, q + k)
        y = load(a, q + line + k)
        w = load(a, p + k)
        s0 = fnma(w, x, s0)
        t0 = fnma(w, y, t0)
        w = load(a, p + line + k)
        s1 = fnma(w, x, s1)
        t1 = fnma(w, y, t1)
        w = load(a, p + 2 * line + k)
        s2 = fnma(w, x, s2)
        t2 = fnma(w, y, t2)
        w = load(a, p + 3 * line + k)
        s3 = fnma(w, x, s3)
        t3 = fnma(w, y, t3)
    scale = load(inverse, at)
    y = load(a, q + line + at)
    s0 = mul(s0, scale)
    s1 = mul(s1, scale)
    s2 = mul(s2, scale)
    s3 = mul(s3, scale)
    store(a, p + at, s0)
    store(a, p + line + at, s1)
    store(a, p + 2 * line + at, s2)
    store(a, p + 3 * line + at, s3)
    scale = load(inverse, at + LANES)
    store(a, p + at + LANES, mul(fnma(s0, y, t0), scale))
    store(a, p + line + at + LANES, mul(fnma(s1, y, t1), scale))
    store(a, p + 2 * line + at + LANES, mul(fnma(s2, y, t2), scale))
    store(a, p + 3 * line + at + LANES, mul(fnma(s3, y, t3), scale))


@inner
def _reduce_4(a: Float32s, i: int, line: int) -> None:
    """Take all columns before `i` off the triangle of four rows from ``(i, i)`` on."""
    p = i * line
    q = p + line
    r = q + line
    s = r + line
    at = i * LANES
    pp = load(a, p + at)
    qp, qq = load(a, q + at), load(a, q + at + LANES)
    rp, rq, rr = load(a, r + at), load(a, r + at + LANES), load(a, r + at + 2 * LANES)
    sp, sq = load(a, s + at), load(a, s + at + LANES)
    sr, ss = load(a, s + at + 2 * LANES), load(a, s + at + 3 * LANES)
    for k in range(0, at, LANES):
        x, y, z, w = load(a, p + k), load(a, q + k), load(a, r + k), load(a, s + k)
        pp = fnma(x, x, pp)
        qp, qq = fnma(y, x, qp), fnma(y, y, qq)
        rp, rq, rr = fnma(z, x, rp), fnma(z, y, rq), fnma(z, z, rr)
        sp, sq, sr, ss = fnma(w, x, sp), fnma(w, y, sq), fnma(w, z, sr), fnma(w, w, ss)
    store(a, p + at, pp)
    store(a, q + at, qp)
    store(a, q + at + LANES, qq)
    store(a, r + at, rp)
    store(a, r + at + LANES, rq)
    store(a, r + at + 2 * LANES, rr)
    store(a, s + at, sp)
    store(a, s + at + LANES, sq)
    store(a, s + at + 2 * LANES, sr)
    store(a, s + at + 3 * LANES, ss)


@inner
def _finish_1(a: Float32s, i: int, j: int, line: int, first: int, inverse: Float32s) -> None:
    """As `_finish_4x2`, for one element, less what columns before `first` take off."""
    p = i * line
    q = j * line
    s = load(a, p + j * LANES)
    for k in range(first * LANES, j * LANES, LANES):
        s = fnma(load(a, p + k), load(a, q + k), s)
    store(a, p + j * LANES, mul(s, load(inverse, j * LANES)))


@inner
def _finish_diagonal(
    a: Float32s, j: int, line: int, first: int, inverse: Float32s, failed: Bools
) -> None:
    """Compute the reciprocal of diagonal element `j`; a pivot that is not positive counts as 1."""
    d = j * line + j * LANES
    s = load(a, d)
    for k in range(first * LANES, j * LANES, LANES):
        x = load(a, j * line + k)
        s = fnma(x, x, s)
    store(a, d, s)
    for lane in range(LANES):
        pivot = a[d + lane]
        good = pivot > np.float32(0.0)
        failed[lane] |= not good
        inverse[j * LANES + lane] = np.float32(1.0) / np.sqrt(pivot if good else np.float32(1.0))


@njit(nogil=True, cache=True)
def factorise(a: Float32s, order: int, inverse: Float32s, failed: Bools) -> None:
    """Replace eight augmented systems by their Cholesky factors.

    Parameters
    ----------
    a : float32[(order + 1)**2 * 8]
        The systems; on return the factors, with the forward solution as row `order`.
    order : int
        Unknowns of each system.
    inverse : float32[order * 8]
        Filled with the reciprocals of the diagonals.
    failed : bool[8]
        Set where a pivot is not positive (or not a number); that lane is then meaningless.
    """
    line = (order + 1) * LANES
    first = i = np.int64(0)  # constants would have all that takes them compiled twice
    while i <= order:
        # Four rows at a time, against all rows above: what is read of these serves four. The rows
        # that do not fill a block are the first and shortest ones.
        rows = 4 if i else 1 + order % 4
        if i:
            for j in range(0, i - 1, 2):
                _finish_4x2(a, i, j, line, inverse)
            if i % 2:
                for row in range(i, i + rows):
                    _finish_1(a, row, i - 1, line, first, inverse)
            _reduce_4(a, i, line)
        for row in range(i, i + rows):
            for j in range(i, row):
                _finish_1(a, row, j, line, i, inverse)
            if row < order:
                _finish_diagonal(a, row, line, i, inverse, failed)
        i += rows


@njit(nogil=True, cache=True)
def substitute(a: Float32s, order: int, inverse: Float32s) -> None:
    """Solve the backward half in place: row `order` of each system becomes its solution."""
    line = (order + 1) * LANES
    answer = order * line
    for j in range(order - 1, -1, -1):
        w = mul(load(a, answer + j * LANES), load(inverse, j * LANES))
        store(a, answer + j * LANES, w)
        for k in range(0, j * LANES, LANES):
            store(a, answer + k, fnma(w, load(a, j * line + k), load(a, answer + k)))
