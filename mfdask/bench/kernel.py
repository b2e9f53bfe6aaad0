"""Benchmark of the row-solving kernel alone: whole sweeps on memory-mapped shards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numba
import numpy as np

from mfdask.bench.rounds import seconds_of
from mfdask.kernels.rows import CHUNKS, Block, chunk_bounds, row_width, solve_rows
from mfdask.kernels.types import read_only
from mfdask.models import ALS
from mfdask.models.design import Array, initial_rows
from mfdask.models.sampling import join_shards
from mfdask.shards import OTHER, SIDES, Dataset


class BareKernel:
    """Shards, factors and priors of both sides, for sweeps of the kernel alone.

    Parameters
    ----------
    data : Dataset
    config : ALS
    """

    def __init__(self, data: Dataset, config: ALS) -> None:
        config = config.resolved(data)
        rule = config.update_config(data.mean)
        self._prior = config.prior("users").compiled(rule.reg_scaling, None)
        self._step = rule.step()
        self._rows = {
            side: initial_rows(n, config.n_factors, config.init_scale, config.seed, side)
            for side, n in (("users", data.n_users), ("items", data.n_items))
        }
        self._starts = {side: data.bounds(side) for side in SIDES}
        self._blocks = {
            side: [_block(data, side, b) for b in range(data.n_blocks(side))] for side in SIDES
        }
        self._chunks = {
            side: [chunk_bounds(block.indptr, CHUNKS, config.n_factors + 1) for block in blocks]
            for side, blocks in self._blocks.items()
        }

    def sweep(self) -> None:
        """Solve all users, then all items, on all threads that Numba may use."""
        stats, bad = np.empty((CHUNKS, 4)), np.empty(CHUNKS, np.int64)
        for side, other in OTHER.items():
            fixed = read_only(self._rows[other])
            starts = self._starts[side]
            for b, block in enumerate(self._blocks[side]):
                out = self._rows[side][starts[b] : starts[b + 1]]
                chunks, current = self._chunks[side][b], read_only(out)
                rule = self._prior, self._step
                solve_rows(block, chunks, fixed, *rule, current, out, stats, bad)

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


def _block(data: Dataset, side: str, block: int) -> Block:
    shard = data.shard(side, block)
    return Block(*map(read_only, (shard.indptr, shard.indices, shard.ratings)))


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
