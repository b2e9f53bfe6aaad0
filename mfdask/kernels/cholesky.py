"""Cholesky solver for `SYSTEMS` symmetric systems at once: lane `l` of a vector is system `l`.

One small Cholesky factorisation is a chain of short loops that no compiler vectorises; some of the
same size are one such chain of whole vectors. A system of order `order` is stored with its right-
hand side as one more row: element ``(i, j)``, ``j <= i <= order``, of lane `l` lies at
``((i * (order + 1)) + j) * SYSTEMS + l``. Factorising the augmented matrix solves the forward half
on the way.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfdask.kernels.compiling import borrowing
from mfdask.kernels.simd import SYSTEMS, fnma, inverse_root, load_wide, mul, store
from mfdask.kernels.types import Float32s


@borrowing
def _finish_4x2(a: Float32s, i: int, j: int, line: int, inverse: Float32s) -> None:
    """Turn elements ``(i..i+3, j..j+1)`` into those of the factor, given all columns before `j`."""
    p = i * line
    q = j * line
    at = j * SYSTEMS
    s0, t0 = load_wide(a, p + at), load_wide(a, p + at + SYSTEMS)
    s1, t1 = load_wide(a, p + line + at), load_wide(a, p + line + at + SYSTEMS)
    s2, t2 = load_wide(a, p + 2 * line + at), load_wide(a, p + 2 * line + at + SYSTEMS)
    s3, t3 = load_wide(a, p + 3 * line + at), load_wide(a, p + 3 * line + at + SYSTEMS)
    for k in range(0, at, SYSTEMS):
        x = load_wide(a, q + k)
        y = load_wide(a, q + line + k)
        w = load_wide(a, p + k)
        s0 = fnma(w, x, s0)
        t0 = fnma(w, y, t0)
        w = load_wide(a, p + line + k)
        s1 = fnma(w, x, s1)
        t1 = fnma(w, y, t1)
        w = load_wide(a, p + 2 * line + k)
        s2 = fnma(w, x, s2)
        t2 = fnma(w, y, t2)
        w = load_wide(a, p + 3 * line + k)
        s3 = fnma(w, x, s3)
        t3 = fnma(w, y, t3)
    scale = load_wide(inverse, at)
    y = load_wide(a, q + line + at)
    s0 = mul(s0, scale)
    s1 = mul(s1, scale)
    s2 = mul(s2, scale)
    s3 = mul(s3, scale)
    store(a, p + at, s0)
    store(a, p + line + at, s1)
    store(a, p + 2 * line + at, s2)
    store(a, p + 3 * line + at, s3)
    scale = load_wide(inverse, at + SYSTEMS)
    store(a, p + at + SYSTEMS, mul(fnma(s0, y, t0), scale))
    store(a, p + line + at + SYSTEMS, mul(fnma(s1, y, t1), scale))
    store(a, p + 2 * line + at + SYSTEMS, mul(fnma(s2, y, t2), scale))
    store(a, p + 3 * line + at + SYSTEMS, mul(fnma(s3, y, t3), scale))


@borrowing
def _reduce_4(a: Float32s, i: int, line: int) -> None:
    """Take all columns before `i` off the triangle of four rows from ``(i, i)`` on."""
    p = i * line
    q = p + line
    r = q + line
    s = r + line
    at = i * SYSTEMS
    pp = load_wide(a, p + at)
    qp, qq = load_wide(a, q + at), load_wide(a, q + at + SYSTEMS)
    rp, rq, rr = (
        load_wide(a, r + at),
        load_wide(a, r + at + SYSTEMS),
        load_wide(a, r + at + 2 * SYSTEMS),
    )
    sp, sq = load_wide(a, s + at), load_wide(a, s + at + SYSTEMS)
    sr, ss = load_wide(a, s + at + 2 * SYSTEMS), load_wide(a, s + at + 3 * SYSTEMS)
    for k in range(0, at, SYSTEMS):
        x, y, z, w = (
            load_wide(a, p + k),
            load_wide(a, q + k),
            load_wide(a, r + k),
            load_wide(a, s + k),
        )
        pp = fnma(x, x, pp)
        qp, qq = fnma(y, x, qp), fnma(y, y, qq)
        rp, rq, rr = fnma(z, x, rp), fnma(z, y, rq), fnma(z, z, rr)
        sp, sq, sr, ss = fnma(w, x, sp), fnma(w, y, sq), fnma(w, z, sr), fnma(w, w, ss)
    store(a, p + at, pp)
    store(a, q + at, qp)
    store(a, q + at + SYSTEMS, qq)
    store(a, r + at, rp)
    store(a, r + at + SYSTEMS, rq)
    store(a, r + at + 2 * SYSTEMS, rr)
    store(a, s + at, sp)
    store(a, s + at + SYSTEMS, sq)
    store(a, s + at + 2 * SYSTEMS, sr)
    store(a, s + at + 3 * SYSTEMS, ss)


@borrowing
def _finish_1(a: Float32s, i: int, j: int, line: int, first: int, inverse: Float32s) -> None:
    """As `_finish_4x2`, for one element, less what columns before `first` take off."""
    p = i * line
    q = j * line
    s = load_wide(a, p + j * SYSTEMS)
    for k in range(first * SYSTEMS, j * SYSTEMS, SYSTEMS):
        s = fnma(load_wide(a, p + k), load_wide(a, q + k), s)
    store(a, p + j * SYSTEMS, mul(s, load_wide(inverse, j * SYSTEMS)))


@borrowing
def _finish_diagonal(a: Float32s, j: int, line: int, first: int, inverse: Float32s) -> None:
    """Compute the reciprocal of diagonal element `j`."""
    d = j * line + j * SYSTEMS
    s = load_wide(a, d)
    for k in range(first * SYSTEMS, j * SYSTEMS, SYSTEMS):
        x = load_wide(a, j * line + k)
        s = fnma(x, x, s)
    store(a, d, s)
    store(inverse, j * SYSTEMS, inverse_root(s))


@njit(nogil=True, cache=True, _nrt=False)
def factorise(a: Float32s, order: int, inverse: Float32s) -> None:
    """Replace augmented systems by their Cholesky factors.

    Where a pivot is not above zero, what becomes of that lane is not finite.

    Parameters
    ----------
    a : float32[(order + 1)**2 * SYSTEMS]
        The systems; on return the factors, with the forward solution as row `order`.
    order : int
        Unknowns of each system.
    inverse : float32[order * SYSTEMS]
        Filled with the reciprocals of the diagonals.
    """
    line = (order + 1) * SYSTEMS
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
                _finish_diagonal(a, row, line, i, inverse)
        i += rows


@njit(nogil=True, cache=True, _nrt=False)
def substitute(a: Float32s, order: int, inverse: Float32s) -> None:
    """Solve the backward half in place: row `order` of each system becomes its solution."""
    line = (order + 1) * SYSTEMS
    answer = order * line
    for j in range(order - 1, -1, -1):
        w = mul(load_wide(a, answer + j * SYSTEMS), load_wide(inverse, j * SYSTEMS))
        store(a, answer + j * SYSTEMS, w)
        for k in range(0, j * SYSTEMS, SYSTEMS):
            store(a, answer + k, fnma(w, load_wide(a, j * line + k), load_wide(a, answer + k)))
