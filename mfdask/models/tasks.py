"""The tasks that a fit submits: plain functions of shards, blocks and priors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.features.file import ItemFeatures
from mfdask.kernels.rows import SSE
from mfdask.models.checkpoint import load_array
from mfdask.models.design import Array, join
from mfdask.models.half_step import (
    BlockUpdate,
    UpdateConfig,
    half_step,
    predict_shard,
    squared_error,
)
from mfdask.models.mapped import ShardRef, open_shard
from mfdask.models.prior import FeatureSums, RowPrior, feature_gram, feature_sums
from mfdask.models.store import count_factors, load_side
from mfdask.shards import Dataset, Shard

if TYPE_CHECKING:
    from mfdask.models.method import Method

Float64s = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]


#: Rows of the other side: joined, or what each of its blocks has sent.
Rows = Array | list[BlockUpdate] | list[Array]


class Tested(NamedTuple):
    """A block's test ratings, predicted.

    Attributes
    ----------
    squared : float
        Squared error of this sweep's predictions, or of their running mean where one is kept.
    sums : float32 (ratings,) or None
        Predictions added up over the sweeps that are kept.
    n : int
        Sweeps added up.
    """

    squared: float
    sums: Array | None
    n: int

    def arrays(self, block: int) -> dict[str, npt.NDArray[Any]]:
        """Return the running mean of a block for a checkpoint."""
        assert self.sums is not None
        return {f"tested-{block}": self.sums, f"tested-{block}-n": np.array(self.n)}


class Totals(NamedTuple):
    """A sweep in numbers: the sums of `solve_rows` for each side, and the squared test error."""

    users: Float64s
    items: Float64s
    test_squared: float
    fidelity: float


def encode_items(features: ItemFeatures, source: Dataset | str, start: int, stop: int) -> Array:
    """Return the features of a block of items, float32 (items, features)."""
    return features.encode(open_dataset(source), slice(start, stop))


def open_dataset(source: Dataset | str) -> Dataset:
    """Return a data set, or open the one at an address."""
    return source if isinstance(source, Dataset) else Dataset.open(source)


def check_start(path: Path, n_factors: int) -> None:
    """Refuse to start from a model with other factors.

    Raises
    ------
    InputError
        Also if there is no model.
    """
    found = count_factors(path)
    if found != n_factors:
        raise InputError(
            f"{path}: has {found} factors and this fit {n_factors}; give --factors {found}, or "
            "start from another model"
        )


def warm_rows(path: str, source: Dataset | str, side: str, rows: Array) -> Array:
    """Put the rows of a model, by raw id, in place of those of `rows` that it knows."""
    data, (ids, known) = open_dataset(source), load_side(path, side)
    wanted = (data.users() if side == "users" else data.items()).iloc[:, 0]
    found = ids.get_indexer(pd.Index(wanted))
    warm = rows.copy()
    warm[found >= 0] = known[found[found >= 0]]
    return warm


def start_totals(squared_errors: list[float]) -> Totals:
    """Return what is known of a sweep that this fit has not done."""
    items = np.zeros(4)
    items[SSE] = sum(squared_errors)
    return Totals(np.zeros(4), items, 0.0, 0.0)


def load_tested(folder: str, block: int) -> Tested:
    """Return the running mean of a block from a checkpoint."""
    n = int(load_array(folder, f"tested-{block}-n"))
    return Tested(0.0, load_array(folder, f"tested-{block}"), n)


def take_rows(block: BlockUpdate, rows: Int32s) -> Array:
    """Return the rows of a block that are used elsewhere."""
    return block.rows[rows]


def arrived(rows: Rows) -> Array:
    """Return the rows of the other side, as a block's ratings point to them."""
    if isinstance(rows, list):
        return join([part.rows if isinstance(part, BlockUpdate) else part for part in rows])
    return rows


def cut(rows: Array, start: int, stop: int) -> BlockUpdate:
    """Return a block of a whole side."""
    return BlockUpdate(rows[start:stop], np.zeros(4))


def move(
    shard: Shard | ShardRef,
    fixed: Rows,
    before: BlockUpdate,
    rule: UpdateConfig,
    prior: RowPrior,
    features: Array | None,
    key: np.uint64 | None,
) -> BlockUpdate:
    """Do a half-step on a block."""
    return half_step(open_shard(shard), arrived(fixed), before.rows, rule, prior, features, key)


def join_blocks(blocks: list[BlockUpdate]) -> Array:
    """Return the blocks of a side as one."""
    return join([block.rows for block in blocks])


def gram_of(shard: Shard | ShardRef, features: Array | None, reg_scaling: float) -> Float64s:
    """Return what a block's features add to every sweep's sums."""
    return feature_gram(features, np.diff(open_shard(shard).indptr), reg_scaling)


def sum_features(
    shard: Shard | ShardRef,
    features: Array | None,
    gram: Float64s,
    block: BlockUpdate,
    d: int,
    reg_scaling: float,
) -> FeatureSums:
    """Return what a block's rows say of the prior that they share."""
    n_ratings = np.diff(open_shard(shard).indptr)
    return feature_sums(features, gram, block.rows, n_ratings, d, reg_scaling)


def learn_prior(
    method: Method,
    side: str,
    sweep: int,
    sums: list[FeatureSums],
    totals: Totals | None,
    n_ratings: int,
) -> RowPrior:
    """Return a side's prior for a sweep."""
    squared = None if totals is None else float(totals.items[SSE])
    return method.learned_prior(side, sweep, FeatureSums.total(sums), squared, n_ratings)


def totals_of(block: BlockUpdate) -> Float64s:
    """Return a block's sums without its rows."""
    return block.totals


def add_up(
    users: list[BlockUpdate] | list[Float64s],
    items: list[BlockUpdate] | list[Float64s],
    tested: list[Tested | None],
    prior: RowPrior,
) -> Totals:
    """Return a sweep in numbers."""
    moved = [
        np.sum([part.totals if isinstance(part, BlockUpdate) else part for part in side], axis=0)
        for side in (users, items)
    ]
    squared = sum(block.squared for block in tested if block)
    return Totals(moved[0], moved[1], squared, prior.fidelity)


def squared_error_of(
    shard: Shard | ShardRef, users: BlockUpdate, items: Rows, mean: float
) -> float:
    """Return a block's squared error."""
    return squared_error(open_shard(shard), users.rows, arrived(items), mean)


def predict_test(
    shard: Shard | ShardRef,
    users: BlockUpdate,
    items: Rows,
    mean: float,
    averaged: tuple[float, float] | None,
    before: Tested | None,
) -> Tested:
    """Predict a block's test ratings.

    With `averaged`, the ends of the rating scale, each prediction is clipped to it and joins the
    running mean.
    """
    own, rows = open_shard(shard), arrived(items)
    if averaged is None:
        return Tested(squared_error(own, users.rows, rows, mean), None, 0)
    sums = predict_shard(own, users.rows, rows, mean).clip(*averaged)
    n = 1
    if before is not None and before.sums is not None:
        sums, n = sums + before.sums, n + before.n
    error = sums / np.float32(n) - own.ratings
    return Tested(float(np.square(error, dtype=np.float64).sum()), sums, n)
