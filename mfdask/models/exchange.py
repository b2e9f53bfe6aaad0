"""Which rows of a side travel to the blocks of the other: all, or those that a block uses.

A half-step on a block reads the other side's rows wherever its ratings point. *Whole*: the side is
joined once and goes to every worker. *Needed*: each block of the side hands every block of the
other the rows that it uses, in a parcel, as in Spark's ALS. A block's ratings are then numbered
by the rows in its parcels, which are the same rows in the same order: the model is the same, bit
for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.kernels.rows import row_width
from mfdask.models.half_step import ShardRef, needed_rows
from mfdask.models.runner import Runner
from mfdask.models.sides import OTHER, SIDES
from mfdask.shards import Dataset

ExchangeMode = Literal["auto", "whole", "needed"]

#: What a task costs the scheduler, and what goes from one worker to another in a second: figures
#: of the size that is met, for telling which way is the cheaper (`docs/scaling.md`).
TASK_SECONDS = 1e-3
BYTES_PER_SECOND = 1e9

_Int32s = npt.NDArray[np.int32]


class Traffic(NamedTuple):
    """What a side costs to hand over, once, in either way.

    Attributes
    ----------
    whole, needed : float
        Bytes that workers get from each other.
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


def traffic(
    side_rows: int, n_factors: int, n_blocks: int, used: Sequence[int], n_workers: int
) -> Traffic:
    """Return what handing over a side costs, its blocks spread evenly over the workers.

    Whole, all but one share of the side comes together on one worker, and the other workers get
    all of it. In parcels, each block of the other side gets the rows that it uses, but for those
    that lie where it does.

    Parameters
    ----------
    side_rows : int
        Rows of the side.
    n_factors : int
    n_blocks : int
        Blocks of the side.
    used : sequence of int
        How many of its rows each block of the other side uses.
    n_workers : int
    """
    row = 4 * row_width(n_factors)
    away = (n_workers - 1) / n_workers
    return Traffic(
        whole=side_rows * row * (away + n_workers - 1),
        needed=sum(used) * row * away,
        parcels=n_blocks * len(used),
    )


@dataclass(frozen=True)
class Reach:
    """What the blocks of a side are given of the other side.

    Attributes
    ----------
    pieces : list of list of handles of int32 arrays, or None
        ``pieces[b][c]``: the rows of the other side's block `c` that block `b` uses, from 0; None
        where whole sides travel.
    """

    pieces: list[list[Any]] | None = None

    @property
    def packed(self) -> bool:
        """Whether ratings are numbered by the rows that arrive."""
        return self.pieces is not None


def reaches(run: Runner, data: Dataset, n_factors: int, mode: ExchangeMode) -> dict[str, Reach]:
    """Return what the blocks of each side are given, as `mode` says or as it pays.

    Raises
    ------
    InputError
        If there is no such mode.
    """
    if mode not in get_args(ExchangeMode):
        raise InputError(f"--exchange {mode}: give {', '.join(get_args(ExchangeMode))}")
    if mode == "whole" or run.n_workers == 0 or (mode == "auto" and run.n_workers == 1):
        return {side: Reach() for side in SIDES}
    return {side: _reach(run, data, side, n_factors, mode) for side in SIDES}


def _reach(run: Runner, data: Dataset, side: str, n_factors: int, mode: ExchangeMode) -> Reach:
    bounds = data.bounds(OTHER[side]).tolist()
    n_blocks = len(bounds) - 1
    needs = [
        run.submit(f"needs-{side}-{b}", cut_needs, run.shard(data, side, b), bounds)
        for b in range(data.n_blocks(side))
    ]
    if mode == "auto":
        used = [
            run.submit(f"used-{side}-{b}", count_needs, pieces) for b, pieces in enumerate(needs)
        ]
        counts = [run.result(count) for count in used]
        if not traffic(bounds[-1], n_factors, n_blocks, counts, run.n_workers).prefers_needed:
            return Reach()
    return Reach(
        [
            [run.submit(f"piece-{side}-{b}-{c}", getitem, pieces, c) for c in range(n_blocks)]
            for b, pieces in enumerate(needs)
        ]
    )


def cut_needs(shard: ShardRef, bounds: list[int]) -> list[_Int32s]:
    """Return the rows that a block uses of each block of the other side, counted from its first."""
    rows = needed_rows(shard)
    places = np.searchsorted(rows, bounds)
    return [
        rows[begin:end] - np.int32(first)
        for (begin, end), first in zip(itertools.pairwise(places), bounds[:-1], strict=True)
    ]


def count_needs(pieces: list[_Int32s]) -> int:
    """Return how many rows a block uses."""
    return sum(map(len, pieces))
