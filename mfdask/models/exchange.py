"""Exchange of factors between blocks: the whole side, or only the rows that a block uses.

A half-step on a block reads the other side's rows wherever its ratings point. *Whole*: every worker
gets every block of the other side, once. *Needed*: the blocks to solve are divided into as many
groups as there are workers, and each block of the other side makes a parcel for each group, of the
rows that it uses (the in- and out-blocks of Spark's ALS). The ratings are then numbered by the rows
in their parcels, which are the same rows in the same order: so is the model, bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import getitem
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.kernels.rows import row_width
from mfdask.shards import OTHER, SIDES, Dataset
from mfdask.shards.refs import DatasetRef, NeededRowsRef

ExchangeMode = Literal["auto", "whole", "needed"]

#: What a task costs the scheduler, and what goes from one worker to another in a second: figures
#: of the size that is met, for telling which way is the cheaper (`docs/scaling.md`).
TASK_SECONDS = 1e-3
BYTES_PER_SECOND = 1e9


class ExchangeCost(NamedTuple):
    """Bytes that one exchange of a side takes, in either way.

    Attributes
    ----------
    whole, needed : float
        Bytes that a worker gets from the others.
    parcels : int
        Tasks that the second way takes and the first does not.
    """

    whole: float
    needed: float
    parcels: int

    @property
    def prefers_needed(self) -> bool:
        """Whether the bytes that parcels save are worth their tasks."""
        saved = (self.whole - self.needed) / BYTES_PER_SECOND
        return saved > self.parcels * TASK_SECONDS


def exchange_cost(
    n_rows: int, n_factors: int, n_blocks: int, used: Sequence[int], n_workers: int
) -> ExchangeCost:
    """Return what it costs to hand over a side whose blocks are spread evenly over the workers.

    Parameters
    ----------
    n_rows, n_blocks : int
        Rows and blocks of the side.
    n_factors : int
    used : sequence of int
        How many of the rows each group of blocks uses.
    n_workers : int
    """
    away = (n_workers - 1) / n_workers * 4 * row_width(n_factors)
    return ExchangeCost(n_rows * away, sum(used) / len(used) * away, n_blocks * len(used))


@dataclass(frozen=True)
class BlockPlacement:
    """Workers of the blocks of a side, and the rows of the other side that each block gets.

    Attributes
    ----------
    groups : list of range
        Blocks that share a worker; none where all run in one place.
    homes : list of str
        The worker of each group.
    pieces : list of list of handles of int32 arrays
        ``pieces[g][c]``: the rows that group `g` uses of the other side's block `c`, from 0; none
        where whole sides travel.
    """

    groups: list[range] = field(default_factory=list)
    homes: list[str] = field(default_factory=list)
    pieces: list[list[Any]] = field(default_factory=list)

    def home(self, block: int) -> str | None:
        """Return the worker of a block, if it has one."""
        return self.homes[self._group(block)] if self.groups else None

    def packed(self, block: int) -> range | None:
        """Return the group whose parcels a block is given, if there are parcels."""
        return self.groups[self._group(block)] if self.pieces else None

    def _group(self, block: int) -> int:
        return next(g for g, group in enumerate(self.groups) if block in group)


def place_blocks(
    run: Executor, data: Dataset, n_factors: int, mode: ExchangeMode
) -> dict[str, BlockPlacement]:
    """Return where blocks are solved and what they are given, as `mode` says or as it pays.

    Raises
    ------
    InputError
        If there is no such mode.
    """
    if mode not in get_args(ExchangeMode):
        raise InputError(f"`exchange` must be {' or '.join(get_args(ExchangeMode))}, not {mode!r}")
    if not run.workers or (len(run.workers) == 1 and mode != "needed"):
        return {side: BlockPlacement() for side in SIDES}
    return {side: _place_side(run, data, side, n_factors, mode) for side in SIDES}


def _place_side(
    run: Executor, data: Dataset, side: str, n_factors: int, mode: ExchangeMode
) -> BlockPlacement:
    groups = group_blocks(data.n_blocks(side), len(run.workers))
    whole = BlockPlacement(groups, run.workers[: len(groups)])

    def pays(used: Sequence[int]) -> bool:
        return expected(data, side, n_factors, used, len(run.workers)).prefers_needed

    # Where empty parcels would not pay, nobody need look what they would hold.
    if mode == "whole" or (mode == "auto" and not pays([0] * len(groups))):
        return whole
    needs = _cut_needs(run, data, side, groups)
    if mode == "auto" and not pays(_count(run, side, needs)):
        return whole
    others = range(_n_other_blocks(data, side))
    pieces: list[list[Any]] = [
        run.submit_each(f"piece-{side}-{g}", getitem, zip(repeat(cut), others))
        for g, cut in enumerate(needs)
    ]
    return replace(whole, pieces=pieces)


def used_rows(run: Executor, data: Dataset, side: str) -> list[int]:
    """Return how many rows of the other side each worker's blocks of a side use."""
    groups = group_blocks(data.n_blocks(side), len(run.workers))
    return _count(run, side, _cut_needs(run, data, side, groups))


def expected(
    data: Dataset, side: str, n_factors: int, used: Sequence[int], n_workers: int
) -> ExchangeCost:
    """Return what it costs to hand the other side over to a side's blocks; see `exchange_cost`."""
    n_rows = int(data.bounds(OTHER[side])[-1])
    return exchange_cost(n_rows, n_factors, _n_other_blocks(data, side), used, n_workers)


def _n_other_blocks(data: Dataset, side: str) -> int:
    return data.n_blocks(OTHER[side])


def _cut_needs(run: Executor, data: Dataset, side: str, groups: list[range]) -> list[Any]:
    bounds, source = data.bounds(OTHER[side]).tolist(), DatasetRef.of(data)
    needed = [NeededRowsRef(source, side, group) for group in groups]
    each = [(rows, bounds) for rows in needed]
    return run.submit_each(f"needs-{side}", cut_needs, each, run.workers.__getitem__)


def _count(run: Executor, side: str, needs: list[Any]) -> list[int]:
    return run.results(run.submit_each(f"used-{side}", count_needs, zip(needs)))


def group_blocks(n_blocks: int, n_workers: int) -> list[range]:
    """Divide blocks evenly among workers, neighbours together; no group is empty."""
    n_groups = min(n_blocks, n_workers)
    bounds = [n_blocks * g // n_groups for g in range(n_groups + 1)]
    return [range(*pair) for pair in itertools.pairwise(bounds)]


def cut_needs(rows: npt.NDArray[np.int32], bounds: list[int]) -> list[npt.NDArray[np.int32]]:
    """Return the rows that a group uses of each block of the other side, counted from its first."""
    places = np.searchsorted(rows, bounds)
    return [
        rows[begin:end] - np.int32(first)
        for (begin, end), first in zip(itertools.pairwise(places), bounds[:-1], strict=True)
    ]


def count_needs(pieces: list[npt.NDArray[np.int32]]) -> int:
    """Return how many rows a group uses."""
    return sum(map(len, pieces))
