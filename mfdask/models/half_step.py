"""One half-step on one block: the task that training consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.kernels import rows as kernel
from mfdask.kernels.predict import predict_pairs
from mfdask.models.design import Array, aligned, swap_bias_columns
from mfdask.models.prior import RowPrior
from mfdask.shards import Shard


@dataclass(frozen=True)
class UpdateConfig:
    """The equations of a half-step: what is taken off the ratings, and how a row moves.

    Attributes
    ----------
    n_factors : int
    mean_rating : float
        Taken off every rating.
    reg_scaling : float
        Power of a row's number of ratings that multiplies its prior.
    alternating : bool
        Bias first, then factors (the paper's Algorithm 1), in place of both at once.
    damping : float
        Share of the way to the solution that a row moves, in (0, 1].
    """

    n_factors: int
    mean_rating: float
    reg_scaling: float
    alternating: bool
    damping: float

    def step(self, key: np.uint64 | None = None, first_row: int = 0) -> kernel.Step:
        """Return how the rows of a block move; with a key they are drawn."""
        return kernel.Step(
            np.float32(self.mean_rating),
            self.alternating,
            np.float32(self.damping),
            key is not None,
            np.uint64(0) if key is None else key,
            first_row,
        )


class BlockUpdate(NamedTuple):
    """A block after its half-step.

    Attributes
    ----------
    rows : float32 (rows, width)
        Design rows.
    totals : float64 (4,)
        Sums over the block: squared training error, penalty ``(w - m)' P (w - m)``, squared
        length of the move, squared length of the rows.
    """

    rows: Array
    totals: npt.NDArray[np.float64]


def read_only(array: Any) -> Any:
    """Return a plain read-only view: the kernels are compiled for this kind of array alone."""
    view = np.asarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


def half_step(
    shard: Shard,
    fixed: Array,
    current: Array,
    rule: UpdateConfig,
    prior: RowPrior,
    features: Array | None = None,
    key: np.uint64 | None = None,
) -> BlockUpdate:
    """Solve every row of a shard against the other side.

    Parameters
    ----------
    shard : Shard
    fixed : float32 (rows of the other side, width)
        Its design rows.
    current : float32 (rows of the shard, width)
        The shard's design rows before the step; left as they are.
    rule : UpdateConfig
    prior : RowPrior
    features : float32 (rows of the shard, features), optional
        What the prior's mean follows.
    key : uint64, optional
        Draw each row from its posterior, with random numbers that depend on this and the row alone.

    Returns
    -------
    BlockUpdate

    Raises
    ------
    InputError
        If a row's system cannot be solved; it names the row.
    ValueError
        If the arrays' shapes do not fit each other.
    """
    width = kernel.row_width(rule.n_factors)
    if current.shape != (shard.n_rows, width) or fixed.shape[1:] != (width,):
        raise ValueError(  # the kernel checks nothing, and would write beyond its arrays
            f"rows of shape {current.shape} and {fixed.shape} do not fit {shard.n_rows} rows of "
            f"{rule.n_factors} factors"
        )
    block = kernel.Block(*map(read_only, (shard.indptr, shard.indices, shard.ratings)))
    out = aligned(shard.n_rows, width)
    bounds = kernel.chunk_bounds(block.indptr, kernel.CHUNKS, rule.n_factors + 1)
    stats = np.empty((kernel.CHUNKS, 4))
    bad = np.empty(kernel.CHUNKS, np.int64)
    own = prior.compiled(rule.reg_scaling, features)
    step = rule.step(key, shard.start)
    kernel.solve_rows(
        block, bounds, read_only(fixed), own, step, read_only(current), out, stats, bad
    )
    if bad.max() >= 0:
        _refuse(shard, int(bad[bad >= 0][0]))
    return BlockUpdate(out, stats.sum(axis=0))


def _refuse(shard: Shard, row: int) -> None:
    n = int(shard.indptr[row + 1] - shard.indptr[row])
    raise InputError(
        f"{shard.side} row {shard.start + row} ({n} ratings) has no finite solution: its equations "
        "are not positive definite; raise --tau and --gamma above zero, or check its ratings"
    )


def squared_error(shard: Shard, user_rows: Array, item_rows: Array, mean: float) -> float:
    """Return the summed squared error on a user shard whose `user_rows` are given, float64."""
    error = predict_shard(shard, user_rows, item_rows, mean) - shard.ratings
    return float(np.square(error, dtype=np.float64).sum())


def predict_shard(shard: Shard, user_rows: Array, item_rows: Array, mean: float) -> Array:
    """Return the prediction for each rating of a user shard, float32, in the shard's order."""
    users = np.repeat(np.arange(shard.n_rows, dtype=np.int32), np.diff(shard.indptr))
    return pair_predictions(users, shard.indices, user_rows, item_rows, mean)


def pair_predictions(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    user_rows: Array,
    item_rows: Array,
    mean: float,
) -> Array:
    """Return the prediction for pairs of row numbers, float32 (pairs,)."""
    out = np.empty(len(users), np.float32)
    predict_pairs(
        read_only(users), read_only(items),
        read_only(swap_bias_columns(user_rows)), read_only(item_rows), np.float32(mean), out,
    )  # fmt: skip
    return out
