"""Benchmark of the row-solving kernel alone: whole sweeps on memory-mapped shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numba
import numpy as np

from mfdask.bench.machine import gemm_gflops, gemm_seconds
from mfdask.bench.rounds import seconds_of, take_in_turn
from mfdask.kernels.rows import CHUNKS, Block, Prior, Step, chunk_bounds, row_width, solve_rows
from mfdask.kernels.types import Int64s, read_only
from mfdask.models import ALS, IALS
from mfdask.models.design import Array, Unrated, initial_rows
from mfdask.models.sampling import join_shards
from mfdask.progress import Progress, silent
from mfdask.shards import OTHER, SIDES, Dataset, Shard


class HalfStep(NamedTuple):
    """What `solve_rows` is given for a block, and the rows of the block, which it moves."""

    block: Block
    bounds: Int64s
    fixed: Array
    prior: Prior
    step: Step
    rows: Array


class BareKernel:
    """Shards, factors and priors of both sides, for sweeps of the kernel alone.

    Parameters
    ----------
    data : Dataset
    config : ALS or IALS
        Its priors follow nothing and are not learned.
    """

    def __init__(self, data: Dataset, config: ALS | IALS) -> None:
        self._config = config = config.resolved(data)
        self._rule = config.update_config(data.mean)
        self._rows = {
            side: initial_rows(n, config.n_factors, config.init_scale, config.seed, side)
            for side, n in (("users", data.n_users), ("items", data.n_items))
        }
        self._starts = {side: data.bounds(side) for side in SIDES}
        self._blocks = {
            side: [_block(config.observed(data.shard(side, b))) for b in range(data.n_blocks(side))]
            for side in SIDES
        }
        self._chunks = {
            side: [chunk_bounds(block.indptr, CHUNKS, config.n_factors + 1) for block in blocks]
            for side, blocks in self._blocks.items()
        }

    def prior(self, side: str) -> Prior:
        """Return the prior of a side's rows, and what counts beside their ratings."""
        prior, weight = self._config.prior(side), self._rule.unrated_weight
        if weight:
            rows, starts = self._rows[OTHER[side]], self._starts[OTHER[side]]
            blocks = [rows[start:stop] for start, stop in pairwise(starts)]
            each = [Unrated.of(block, self._config.n_factors, weight) for block in blocks]
            prior = replace(prior, unrated=Unrated.total(each))
        return prior.compiled(self._rule.reg_scaling, None)

    def half_steps(self) -> Iterator[HalfStep]:
        """Give what a sweep solves: all users, then all items, which are given the new users."""
        step = self._rule.step()
        for side, other in OTHER.items():
            fixed, prior, starts = (
                read_only(self._rows[other]),
                self.prior(side),
                self._starts[side],
            )
            for b, block in enumerate(self._blocks[side]):
                rows = self._rows[side][starts[b] : starts[b + 1]]
                yield HalfStep(block, self._chunks[side][b], fixed, prior, step, rows)

    def sweep(self) -> None:
        """Solve all users, then all items, on all threads that Numba may use."""
        stats, bad = np.empty((CHUNKS, 4)), np.empty(CHUNKS, np.int64)
        for block, bounds, fixed, prior, step, rows in self.half_steps():
            solve_rows(block, bounds, fixed, prior, step, read_only(rows), rows, stats, bad)

    def rows(self, side: str) -> Array:
        """Return a side's design rows as they are now, float32 (rows, width)."""
        return self._rows[side]

    def seconds(self, sweeps: int, threads: int) -> float:
        """Return the median seconds of a sweep on so many threads."""
        with numba_threads(threads):
            return median(seconds_of(self.sweep) for _ in range(sweeps))


@contextmanager
def numba_threads(threads: int) -> Iterator[None]:
    """Let Numba use so many threads while the block runs, or all it has if these are fewer."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _block(shard: Shard) -> Block:
    roots = () if shard.roots is None else (shard.roots,)
    return Block(*map(read_only, (shard.indptr, shard.indices, shard.ratings, *roots)))


def whole_side(data: Dataset, side: str) -> Block:
    """Return all training ratings of a side as one block; they are copied if there are several."""
    return join_shards([data.shard(side, b) for b in range(data.n_blocks(side))])


def sweep_flops(n_ratings: int, n_rows: int, n_factors: int) -> float:
    """Return the floating-point operations of a sweep, ``D = n_factors + 1``.

    Each rating adds to a symmetric D x D matrix and a vector on either side, ``D(D+1) + 2D``; each
    row, of users and items together, is a Cholesky solution, ``D**3 / 3``.
    """
    d = n_factors + 1
    return 2 * n_ratings * (d * (d + 1) + 2 * d) + n_rows * d**3 / 3


def sweep_bytes(n_ratings: int, n_factors: int) -> int:
    """Return the bytes that a sweep reads at least.

    Twice for each rating: the design row it points to, and its own 8 bytes.
    """
    return 2 * n_ratings * (4 * row_width(n_factors) + 8)


def measure_kernel(
    data: Dataset, config: ALS | IALS, rounds: int, threads: int, progress: Progress = silent
) -> dict[str, Any]:
    """Time bare sweeps on one thread and on so many, in turn with matrix products.

    Returns
    -------
    dict
        ``data``, ``ratings``, ``model``, ``factors``, and ``sweeps``: of each number of threads the
        median `seconds`, `gflops`, and the median of the rounds' `share_of_gemm`.
    """
    bare, flops = (
        BareKernel(data, config),
        sweep_flops(data.n_train, data.n_users + data.n_items, config.n_factors),
    )
    bare.sweep()
    names = {n: "one thread" if n == 1 else f"{n} threads" for n in sorted({1, threads})}
    timed: dict[str, Callable[[], float]] = {}
    for n, name in names.items():
        timed[f"product, {name}"] = partial(gemm_seconds, n)
        timed[name] = partial(bare.seconds, 3, n)
    taken = take_in_turn(timed, rounds, progress)
    return {
        "data": data.name,
        "ratings": data.n_train,
        "model": config.kind,
        "factors": config.n_factors,
        "rounds": taken.seconds,
        "sweeps": {
            name: {
                "seconds": taken.median(name),
                "gflops": flops / taken.median(name) / 1e9,
                "share_of_gemm": flops
                / 1e9
                / gemm_gflops(1.0)
                * taken.ratio(f"product, {name}", name),
            }
            for name in names.values()
        },
    }
