"""Where a sweep's time goes: the parts of the row solver, timed on one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit

from mfdask.bench.kernel import BareKernel, numba_threads, sweep_bytes, sweep_flops
from mfdask.bench.machine import copy_rate, gemm_gflops, gemm_seconds
from mfdask.bench.rounds import processor_seconds_of, take_in_turn
from mfdask.kernels.cholesky import factorise, substitute
from mfdask.kernels.compiling import borrowing
from mfdask.kernels.gram import add_gram
from mfdask.kernels.rows import (  # private, since Python cannot call them: compiled loops can
    Block,
    Prior,
    Step,
    _account,
    _accumulate,
    _assemble,
    _assemble_right,
    _move,
    _own,
    _scale,
    _turn_solutions,
    _Work,
    _work,
    row_width,
)
from mfdask.kernels.simd import SYSTEMS
from mfdask.kernels.types import Float32s, read_only
from mfdask.models import ALS, IALS
from mfdask.progress import Progress, silent
from mfdask.shards import SIDES, Dataset

#: Parts of a sweep. Each is what a sweep of it and all before takes beyond one without it; where
#: rows are copied while others are multiplied, gathering may be next to nothing.
PARTS = ("products", "gathering", "assembling", "solving", "accounting")
#: Their numbers in the compiled loop.
_PRODUCTS, _, _ASSEMBLING, _SOLVING, _ACCOUNTING = range(len(PARTS))


@borrowing
def _multiply(block: Block, row: int, width: int, d: int, work: _Work, lane: int) -> None:
    """Do the products of `_accumulate` alone, on whatever lies in the tile."""
    start, stop = block.indptr[row], block.indptr[row + 1]
    while start < stop:
        n = min(len(work.tile) // width, stop - start)
        base = lane * width * width
        add_gram(work.tile, n, width, d + 1, work.grams, base, base)
        start += n


@njit(nogil=True, cache=True)
def _run_parts(
    last: int,
    block: Block,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
) -> None:
    """Do the parts up to `last` for every row of a block, with the kernels of `solve_rows`."""
    work = _work(len(prior.precision), out.shape[1], prior.unrated)
    work.tile[:] = np.float32(1.0)
    _run_groups(last, block, fixed, prior, step, current, out, work)


@borrowing
def _run_groups(
    last: int,
    block: Block,
    fixed: Float32s,
    prior: Prior,
    step: Step,
    current: Float32s,
    out: Float32s,
    work: _Work,
) -> None:
    d, width = len(prior.precision), out.shape[1]
    flat, before, after = fixed.reshape(-1), current.reshape(-1), out.reshape(-1)
    for group in range(0, len(out), SYSTEMS):
        rows = min(SYSTEMS, len(out) - group)
        for lane in range(rows):
            if last == _PRODUCTS:
                _multiply(block, group + lane, width, d, work, lane)
            else:
                row = group + lane
                _accumulate(block, row, flat, width, d, step, work, lane)
                work.scales[lane] = _scale(block, row, prior)
        if last >= _ASSEMBLING:
            _assemble(prior, width, d, work)
            for lane in range(rows):
                pull = prior.pull[_own(prior.pull, group + lane)]
                _assemble_right(prior, pull, width, d, work, lane)
        if last >= _SOLVING:
            factorise(work.system, d, work.inverse)
            substitute(work.system, d, work.inverse)
        if last >= _ACCOUNTING:
            _turn_solutions(d, width, work)
            for lane in range(rows):
                row, scale = group + lane, work.scales[lane]
                _move(step.damping, before, after, row * width, width, work, lane)
                _account(prior, scale, prior.mean[_own(prior.mean, row)], width, work, lane)


def _run_sweep(bare: BareKernel, last: int) -> None:
    """Do the parts up to `last` of a sweep; the rows stay as they are."""
    for half in bare.half_steps():
        given, out = read_only(half.rows), np.empty_like(half.rows)
        _run_parts(last, half.block, half.fixed, half.prior, half.step, given, out)


def _prepare(bare: BareKernel) -> None:
    """Do what comes before the rows of either side."""
    for side in SIDES:
        bare.prior(side)


def _timed(bare: BareKernel) -> dict[str, Callable[[], float]]:
    """Return what is timed: the product, whole sweeps, and sweeps up to each part."""
    calls: dict[str, Callable[[], None]] = {
        "sweep": bare.sweep,
        "priors": partial(_prepare, bare),
        **{name: partial(_run_sweep, bare, last) for last, name in enumerate(PARTS)},
    }
    for call in calls.values():
        call()  # compiles
    own = {name: partial(processor_seconds_of, call) for name, call in calls.items()}
    return {"gemm": partial(gemm_seconds, 1, clock="process_time"), **own}


def measure_parts(
    data: Dataset, config: ALS | IALS, rounds: int, progress: Progress = silent
) -> dict[str, Any]:
    """Time the parts of a bare sweep, and hold each against what this machine can do.

    Parameters
    ----------
    data : Dataset
    config : ALS or IALS
        Without weights by age, offsets and features.
    rounds : int
        In each, everything is timed once, in turn.
    progress : Progress, optional

    Returns
    -------
    dict
        ``gflops`` of the matrix product and ``gigabytes_per_second`` of copying, on one thread and
        by processor seconds, as all here; ``sweep``, its seconds on one thread, and its
        ``share_of_gemm``; ``rounds``; and ``parts``, for each its `seconds`, `gflop`, `gigabytes`
        and `bound`: the least seconds that these allow.
    """
    bare = BareKernel(data, config)
    with numba_threads(1):
        taken = take_in_turn(_timed(bare), rounds, progress)
    gflops, rate = gemm_gflops(min(taken.seconds["gemm"])), copy_rate()
    seconds = {"priors": taken.median("priors")}
    for before, name in pairwise(("priors", *PARTS)):
        seconds[name] = taken.difference(name, before)
    work = part_work(data.n_train, data.n_users + data.n_items, config)
    return {
        "gflops": gflops,
        "gigabytes_per_second": rate,
        "share_of_gemm": (work["products"][0] + work["solving"][0])
        / gflops
        / 1e9
        / taken.median("sweep"),
        "sweep": taken.median("sweep"),
        "rounds": taken.seconds,
        "parts": {
            name: {
                "seconds": seconds[name],
                "gflop": flops / 1e9,
                "gigabytes": size / 1e9,
                "bound": max(flops / gflops, size / rate) / 1e9,
            }
            for name, (flops, size) in work.items()
        },
    }


def part_work(n_ratings: int, n_rows: int, config: ALS | IALS) -> dict[str, tuple[float, float]]:
    """Return the floating-point operations and the bytes of memory of each part, at least.

    Operations are those of `sweep_flops`, and few others: a rating is centred or weighted, a row
    has its matrices added up, and accounts for its errors and its penalty by a quadratic form each.
    Bytes are those of `sweep_bytes`, and the rows before and after; what lies in a cache is none.
    """
    k, width = config.n_factors, row_width(config.n_factors)
    d, implicit = k + 1, isinstance(config, IALS)
    side = 4 * n_rows * width
    return {
        "priors": (2.0 * n_rows * k * k, side) if implicit else (0.0, 0.0),
        "products": (sweep_flops(n_ratings, 0, k), 0.0),
        "gathering": (2.0 * n_ratings * (d if implicit else 2), sweep_bytes(n_ratings, k)),
        "assembling": (3.0 * n_rows * (d * (d + 1) / 2 + d), 0.0),
        "solving": (sweep_flops(0, n_rows, k), 0.0),
        "accounting": (4.0 * n_rows * d * d, 2 * side),
    }
