"""The one row solver: every half-step of every model is a call of `solve_rows`.

For each row it solves ``(fidelity * sum x x' + scale * P) w = fidelity * sum x y + scale * P m``
with ``x = [1, factors of the other side]`` and ``y = rating - mean - bias of the other side``. The
unknown ``w = [bias, factors]`` has ``D = n_factors + 1`` places; ``P`` (`precision`) and ``m``
(`mean`) are the row's Gaussian prior, ``scale = max(n, 1)**scaling``. A noisy step draws ``w`` from
the Gaussian with that solution as its mean and the inverse of that matrix as its covariance. With
weights, each term of either sum is multiplied by that of its rating.

Implicit feedback has the same equations with ``y = 1``, weights of the sums' terms, and no bias.
What was not observed counts as well, as a rating of 0: the sum of ``x x'`` over all rows of the
other side (`Prior.unrated`) is where each row's sums begin, and their number joins `n`.

A side is kept as *design rows*, float32 of shape ``(n, width)``: ``[bias, 1, factors..., 0...]``,
padded to a multiple of 8, so that what one half-step writes is what the next one gathers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from mfdask.kernels.cholesky import factorise, substitute
from mfdask.kernels.compiling import borrowing, inner
from mfdask.kernels.gram import (
    TILE_FLOATS,
    _in_one_pass,
    add_gram,
    add_quadratic,
    gather,
    gather_and_add,
    gather_weighted,
    weigh,
)
from mfdask.kernels.random import normal, stream
from mfdask.kernels.simd import (
    LANES,
    SYSTEMS,
    add,
    add_double,
    fma,
    full,
    full_wide,
    load,
    load_wide,
    mul,
    splat_wide,
    store,
    sub,
    transpose,
    zero,
)
from mfdask.kernels.types import Float32s, Float64s, Int64s, read_only

#: Pieces that a shard's rows are cut into: enough for any number of threads to share evenly.
CHUNKS = 128

#: Multiplications up to which one thread solves a block, in some twenty milliseconds: sharing them
#: out among all threads takes seconds to compile.
FEW = 500_000_000

#: Columns of the statistics that `solve_rows` fills, one row a chunk, float64.
SSE, PENALTY, MOVED, NORM = range(4)

#: Roots of weights where all ratings weigh 1.
ALL_ALIKE = read_only(np.empty(0, np.float32))


class Block(NamedTuple):
    """Rows of ratings in CSR form."""

    indptr: Any  # int64 (rows + 1,)
    indices: Any  # int32 (ratings,), rows of the other side
    ratings: Any  # float32 (ratings,)
    roots: Any = ALL_ALIKE  # float32 (ratings,), of the ratings' weights; (0,) where each is 1


class Prior(NamedTuple):
    """Gaussian prior of the rows."""

    fidelity: Any  # float32, the paper's lambda
    precision: Any  # float32 (D, width), symmetric and padded with zeros
    mean: Any  # float32 (1, D) for all rows, or (rows, D)
    pull: Any  # float32, of the shape of `mean`: precision times mean
    scaling: Any  # float64, power of the row's number of ratings that multiplies the prior
    unrated: Any  # float32 (width * width,), what each row's Gram matrix begins with
    n_unrated: Any  # float64, what is added to the row's number of ratings


class Step(NamedTuple):
    """Parameters of a row's update."""

    mean_rating: Any  # float32
    alternating: Any  # bool: bias first, given the old factors; then the factors, given the bias
    damping: Any  # float32 in (0, 2): share of the way to the solution
    noisy: Any  # bool: draw from the row's posterior in place of its mean
    key: Any  # uint64, of the random numbers
    first_row: Any  # int64, number of the block's first row on its side
    implicit: Any  # bool: each rating is a weighted 1, and rows have no bias


def row_width(n_factors: int) -> int:
    """Floats in a design row: ``[bias, 1, factors...]``, padded to whole vectors."""
    return -(-(n_factors + 2) // LANES) * LANES


def chunk_bounds(indptr: Int64s, chunks: int, d: int) -> Int64s:
    """Cut rows into `chunks` contiguous pieces of about equal work, int64 (chunks + 1,).

    A row costs its ratings, and the solving of one system of `d` unknowns: measured, as much as
    some four ratings an unknown.
    """
    work = indptr + 4 * d * np.arange(len(indptr))
    return np.searchsorted(work, np.arange(chunks + 1) * work[-1] // chunks)


class _Work(NamedTuple):
    """Work arrays of one thread; as many rows share them as a wide vector has lanes."""

    tile: Any  # float32, gathered design rows
    grams: Any  # float32 ((SYSTEMS + 1) * width * width,), each row's Gram matrix, and `unrated`
    turned: Any  # float32 (width * SYSTEMS,), one row of the matrices, or their solutions
    system: Any  # float32 ((D**2 + D + width) * SYSTEMS,), see `kernels.cholesky`
    inverse: Any  # float32 (D * SYSTEMS,), reciprocal diagonals of their factors
    scales: Any  # float32 (SYSTEMS,), what multiplies each row's prior
    v: Any  # float32 (width,), zero from D + 1 on
    sums: Any  # float64 (4 * 8,), statistics, eight sums of each


@inner
def _work(d: int, width: int, unrated: Float32s) -> _Work:
    size = width * width
    grams = np.empty((SYSTEMS + 1) * size, np.float32)
    grams[: SYSTEMS * size] = np.float32(0.0)
    grams[SYSTEMS * size :] = unrated
    # Behind the last row lie zeros, up to the width of a design row.
    system = np.empty((d * (d + 1) + width) * SYSTEMS, np.float32)
    system[:] = np.float32(0.0)
    scales = np.empty(SYSTEMS, np.float32)
    scales[:] = np.float32(0.0)
    v = np.empty(width, np.float32)
    v[:] = np.float32(0.0)  # as what pads a row
    sums = np.empty((NORM + 1) * LANES)
    sums[:] = 0.0
    return _Work(
        np.empty(max(TILE_FLOATS // width, LANES) * width, np.float32),
        grams,
        np.empty(width * SYSTEMS, np.float32),
        system,
        np.empty(d * SYSTEMS, np.float32),
        scales,
        v,
        sums,
    )


@borrowing
def _accumulate(
    block: Block,
    row: int,
    fixed: Float32s,
    width: int,
    d: int,
    step: Step,
    work: _Work,
    lane: int,
) -> None:
    """Fill one row's augmented Gram matrix ``[y, x]' [y, x]``, a tile of ratings at a time."""
    base = lane * width * width
    begin = SYSTEMS * width * width  # what was not rated; then what the tiles before have made
    start = block.indptr[row]
    stop = block.indptr[row + 1]
    most = len(work.tile) // width
    weighted = step.implicit or len(block.roots) > 0
    mean = step.mean_rating
    while True:
        n = min(most, stop - start)
        given = block.indices, block.ratings, start, n, mean, work.tile
        if not weighted and _in_one_pass(d + 1):
            gather_and_add(fixed, *given, work.grams, begin, base)
        else:
            if step.implicit:
                gather_weighted(fixed, width, block.indices, block.roots, start, n, work.tile)
            else:
                gather(fixed, width, *given)
                if weighted:
                    weigh(work.tile, width, block.roots, start, n)
            add_gram(work.tile, n, width, d + 1, work.grams, begin, base)
        start += n
        begin = base
        if start == stop:
            break


@borrowing
def _assemble(prior: Prior, width: int, d: int, work: _Work) -> None:
    """Write the matrices of the systems: data and prior."""
    precision = prior.precision.reshape(-1)
    scales = load_wide(work.scales, 0)
    fidelity = full_wide(np.float32(prior.fidelity))
    size = width * width
    for i in range(d):
        for j in range(0, i + 2, LANES):
            for lane in range(0, SYSTEMS, LANES):
                source = lane * size + (i + 1) * width + j
                transpose(work.grams, source, size, work.turned, j * SYSTEMS + lane, SYSTEMS)
        for j in range(i + 1):
            data = mul(fidelity, load_wide(work.turned, (j + 1) * SYSTEMS))
            own = mul(scales, splat_wide(precision, i * width + j))
            store(work.system, (i * (d + 1) + j) * SYSTEMS, add(data, own))


@borrowing
def _assemble_right(
    prior: Prior, pull: Float32s, width: int, d: int, work: _Work, lane: int
) -> None:
    """Write one lane's right-hand side, the last row of its system."""
    base = lane * width * width
    for i in range(d):
        value = prior.fidelity * work.grams[base + (i + 1) * width] + work.scales[lane] * pull[i]
        work.system[(d * (d + 1) + i) * SYSTEMS + lane] = value


@borrowing
def _fix_bias(system: Float32s, d: int, lane: int, row: Float32s) -> None:
    """Solve for the bias given the current factors, and leave a system for the factors alone."""
    top = d * (d + 1)
    rest = system[top * SYSTEMS + lane]
    for k in range(1, d):
        rest -= system[k * (d + 1) * SYSTEMS + lane] * row[k + 1]
    bias = rest / system[lane]
    for k in range(1, d):
        system[(top + k) * SYSTEMS + lane] -= system[k * (d + 1) * SYSTEMS + lane] * bias
        system[k * (d + 1) * SYSTEMS + lane] = np.float32(0.0)
    system[lane] = np.float32(1.0)
    system[top * SYSTEMS + lane] = bias


@borrowing
def _disturb(system: Float32s, d: int, lane: int, key: np.uint64) -> None:
    """Add normal noise to the forward solution ``L^-1 b``, so that the backward half draws.

    ``L^-T (L^-1 b + e)`` has mean ``A^-1 b`` and covariance ``A^-1`` for ``A = L L'``.
    """
    forward = d * (d + 1) * SYSTEMS + lane
    for k in range(d):
        system[forward + k * SYSTEMS] += np.float32(normal(key, k))


@borrowing
def _turn_solutions(d: int, width: int, work: _Work) -> None:
    """Lay the solutions out as design rows: eight floats of each, then the next eight."""
    system, answer = work.system, d * (d + 1) * SYSTEMS
    store(system, answer - SYSTEMS, load_wide(system, answer))  # biases
    store(system, answer, full_wide(np.float32(1.0)))
    store(system, answer + d * SYSTEMS, full_wide(np.float32(0.0)))
    for place in range(0, width, LANES):
        for lane in range(0, SYSTEMS, LANES):
            source = answer + (place - 1) * SYSTEMS + lane
            target = (place // LANES * SYSTEMS + lane) * LANES
            transpose(system, source, SYSTEMS, work.turned, target, LANES)


@borrowing
def _move(
    damping: float, current: Float32s, out: Float32s, start: int, width: int, work: _Work, lane: int
) -> None:
    """Move one row to its solution, and leave ``[1, -bias, -factors..., 0...]`` in `v`."""
    share = full(np.float32(damping))
    moved, norm = zero(), zero()
    for place in range(0, width, LANES):
        old = load(current, start + place)
        way = sub(load(work.turned, place * SYSTEMS + lane * LANES), old)
        new = add(old, mul(share, way))
        change = sub(new, old)
        moved, norm = fma(change, change, moved), fma(new, new, norm)
        store(out, start + place, new)
        store(work.v, place, sub(zero(), new))
    work.v[0] = np.float32(1.0)
    work.v[1] = -out[start]
    add_double(work.sums, MOVED * LANES, moved)
    add_double(work.sums, NORM * LANES, norm)


@borrowing
def _account(prior: Prior, scale: float, m: Float32s, width: int, work: _Work, lane: int) -> None:
    """Add a row's squared errors and its penalty to the sums, given its ``[1, -row]``."""
    d = len(prior.precision)
    v, sums = work.v, work.sums
    base, one = lane * width * width, np.float32(1.0)
    add_quadratic(work.grams, base, width, v, d + 1, one, sums, SSE * LANES)
    for k in range(d):
        v[k] = -v[k + 1] - m[k]
    v[d] = np.float32(0.0)
    begin = np.int64(0)  # a constant would have `add_quadratic` compiled for it, too
    precision = prior.precision.reshape(-1)
    add_quadratic(precision, begin, width, v, d, scale, sums, PENALTY * LANES)


@borrowing
def _first_bad(first: int, stop: int, out: Float32s) -> int:
    """Return the first row that is not finite, or -1."""
    for row in range(first, stop):
        for value in out[row]:
            if not np.isfinite(value):
                return row
    return -1


@borrowing
def _scale(block: Block, row: int, prior: Prior) -> float:
    """Return what multiplies a row's prior."""
    n = block.indptr[row + 1] - block.indptr[row] + prior.n_unrated
    return np.float32(max(n, 1.0) ** prior.scaling)  # type: ignore[return-value]


@borrowing
def _own(shared: Float32s, row: int) -> int:
    """Return where a row's own prior mean is, or the one that all rows share."""
    return row if len(shared) > 1 else 0


@borrowing
def _solve_groups(
    first: int,
    stop: int,
    block: Block,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
    work: _Work,
) -> None:
    """Solve rows ``first`` to ``stop``, as many at a time as there are systems."""
    d = len(prior.precision)
    width = out.shape[1]
    flat, before, after = fixed.reshape(-1), current.reshape(-1), out.reshape(-1)
    for group in range(first, stop, SYSTEMS):
        rows = min(SYSTEMS, stop - group)
        for lane in range(rows):
            row = group + lane
            _accumulate(block, row, flat, width, d, step, work, lane)
            work.scales[lane] = _scale(block, row, prior)
        _assemble(prior, width, d, work)
        for lane in range(rows):
            row = group + lane
            _assemble_right(prior, prior.pull[_own(prior.pull, row)], width, d, work, lane)
            if step.alternating:
                _fix_bias(work.system, d, lane, current[row])
        factorise(work.system, d, work.inverse)
        if step.noisy:
            for lane in range(rows):
                key = stream(step.key, step.first_row + group + lane)
                _disturb(work.system, d, lane, key)
        substitute(work.system, d, work.inverse)
        _turn_solutions(d, width, work)
        for lane in range(rows):
            row, scale = group + lane, work.scales[lane]
            _move(step.damping, before, after, row * width, width, work, lane)
            _account(prior, scale, prior.mean[_own(prior.mean, row)], width, work, lane)


@njit(nogil=True, cache=True)
def _solve_chunk(
    first: int,
    stop: int,
    block: Block,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
    stats: Float64s,
) -> int:
    """Solve rows ``first`` to ``stop``; return the first bad row, or -1."""
    d = len(prior.precision)
    work = _work(d, out.shape[1], prior.unrated)
    _solve_groups(first, stop, block, fixed, prior, step, current, out, work)
    for kind in range(NORM + 1):
        for lane in range(kind * LANES, (kind + 1) * LANES):
            stats[kind] += work.sums[lane]
    stats[NORM] -= stop - first  # each row has a 1 in front of its factors
    return -1 if np.isfinite(stats[NORM]) else _first_bad(first, stop, out)


def solve_rows(
    block: Block,
    bounds: Int64s,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
    stats: Float64s,
    bad: Int64s,
) -> None:
    """Solve every row of a block.

    Parameters
    ----------
    block : Block
    bounds : int64 (chunks + 1,)
        From `chunk_bounds`; chunks are what threads share.
    fixed : float32 (rows of the other side, width)
        Design rows of the side held still.
    prior : Prior
    step : Step
    current : float32 (rows, width)
        The rows as they are.
    out : float32 (rows, width)
        Filled with the rows as they have become; may be `current` itself.
    stats : float64 (chunks, 4)
        Filled with `SSE`, `PENALTY`, `MOVED` and `NORM` sums of each chunk.
    bad : int64 (chunks,)
        Filled with the first row of each chunk whose system could not be solved, or -1.
    """
    d = len(prior.precision)
    work = (block.indptr[-1] + 4 * d * (len(block.indptr) - 1)) * d * d
    solve = _solve_alone if work <= FEW else _solve_together
    solve(block, bounds, fixed, prior, step, current, out, stats, bad)


def _solve_alone(
    block: Block,
    bounds: Int64s,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
    stats: Float64s,
    bad: Int64s,
) -> None:
    stats[:] = 0.0
    bad[:] = -1
    for c in np.flatnonzero(np.diff(bounds)).tolist():
        first, stop = int(bounds[c]), int(bounds[c + 1])
        bad[c] = _solve_chunk(first, stop, block, fixed, prior, step, current, out, stats[c])


@njit(nogil=True, parallel=True, cache=True)
def _solve_together(
    block: Block,
    bounds: Int64s,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
    stats: Float64s,
    bad: Int64s,
) -> None:
    for c in prange(len(bounds) - 1):
        stats[c] = 0.0
        bad[c] = _solve_chunk(
            bounds[c], bounds[c + 1], block, fixed, prior, step, current, out, stats[c]
        )
