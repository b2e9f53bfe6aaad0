"""Training tasks: a half-step on one block, its score, and sums over blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.features.noise import Noise, UserErrors, with_noise
from mfdask.features.offsets import GroupSums, Offsets, without_offsets
from mfdask.features.weights import RatingWeights
from mfdask.kernels import rows as kernel
from mfdask.kernels.predict import predict_pairs
from mfdask.kernels.rows import SSE
from mfdask.kernels.types import Float64s, Int32s, read_only
from mfdask.models.design import (
    Array,
    FeatureSums,
    RowPrior,
    Unrated,
    aligned,
    feature_gram,
    feature_sums,
    join,
    swap_bias_columns,
)
from mfdask.shards import Dataset, Shard


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
        Share of the way to the solution that a row moves, in (0, 2): its part of the objective, a
        quadratic form, then falls or stays.
    unrated_weight : float
        Of each pair of a user and an item, as a rating of 0. Above 0 ratings are *observations*: 1
        each, whatever their values, by their weights in the shard; rows have no bias.
    """

    n_factors: int
    mean_rating: float
    reg_scaling: float
    alternating: bool
    damping: float
    unrated_weight: float = 0.0

    def step(self, key: np.uint64 | None = None, first_row: int = 0) -> kernel.Step:
        """Return how the rows of a block move; with a key they are drawn."""
        return kernel.Step(
            np.float32(self.mean_rating),
            self.alternating,
            np.float32(self.damping),
            key is not None,
            np.uint64(0) if key is None else key,
            first_row,
            self.unrated_weight > 0,
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
    roots = kernel.ALL_ALIKE if shard.roots is None else read_only(shard.roots)
    indptr, indices, ratings = map(read_only, (shard.indptr, shard.indices, shard.ratings))
    block = kernel.Block(indptr, indices, ratings, roots)
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
        _refuse(shard, int(bad[bad >= 0][0]), prior)
    return BlockUpdate(out, stats.sum(axis=0))


def _refuse(shard: Shard, row: int, prior: RowPrior) -> None:
    n = int(shard.indptr[row + 1] - shard.indptr[row])
    least = prior.precision.diagonal().min()
    lost = 0 < least < np.finfo(np.float32).eps * prior.fidelity  # beside the squared errors
    mend = "lower `fidelity`" if lost else "raise `factor_reg` and `bias_reg` above 0"
    raise InputError(
        f"{shard.side} row {shard.start + row} ({n} ratings) has no finite solution: its equations "
        f"are not positive definite; {mend}, or check its ratings"
    )


def squared_error(shard: Shard, user_rows: Array, item_rows: Array, mean: float) -> float:
    """Return the summed squared error, by weight, on a user shard of given `user_rows`, float64."""
    error = predict_shard(shard, user_rows, item_rows, mean) - shard.ratings
    if shard.roots is not None:
        error *= shard.roots
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
    pairs = read_only(users), read_only(items)
    rows = read_only(swap_bias_columns(user_rows)), read_only(item_rows)
    predict_pairs(*pairs, *rows, np.float32(mean), out)
    return out


# ---- what else a fit submits

#: Rows of the other side: joined, or what each of its blocks has sent.
Rows = Array | list[BlockUpdate] | list[Array]


class BlockScore(NamedTuple):
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
    """A sweep in numbers: the sums of `solve_rows` for each side, and the squared test error.

    `penalty` is that of offsets.
    """

    users: Float64s
    items: Float64s
    test_squared: float
    fidelity: float
    penalty: float = 0.0

    @classmethod
    def of_errors(cls, squared_errors: list[float], fidelity: float = 0.0) -> Totals:
        """Return what is known of a sweep that this fit has not done."""
        items = np.zeros(4)
        items[SSE] = sum(squared_errors)
        return cls(np.zeros(4), items, 0.0, fidelity)


def cut_block(rows: Array, start: int, stop: int) -> BlockUpdate:
    """Return a block of a whole side."""
    return BlockUpdate(rows[start:stop], np.zeros(4))


def take_rows(block: BlockUpdate, rows: Int32s) -> Array:
    """Return the rows of a block that are used elsewhere."""
    return block.rows[rows]


def join_blocks(blocks: list[BlockUpdate]) -> Array:
    """Return the blocks of a side as one."""
    return join([block.rows for block in blocks])


def _received(rows: Rows) -> Array:
    """Return the rows of the other side, as a block's ratings point to them."""
    if isinstance(rows, list):
        return join([part.rows if isinstance(part, BlockUpdate) else part for part in rows])
    return rows


def _with_noise(shard: Shard, noise: Rows | None) -> Shard:
    """Return a shard whose ratings weigh as what it was given of the users' noise says."""
    return shard if noise is None else with_noise(shard, _received(noise)[:, 0])


def update_block(
    shard: Shard,
    fixed: Rows,
    before: BlockUpdate,
    config: UpdateConfig,
    prior: RowPrior,
    features: Array | None,
    key: np.uint64 | None,
    groups: list[Int32s] | None,
    offsets: Offsets | None,
    noise: Rows | None,
) -> BlockUpdate:
    """Do a half-step on a block whose ratings are less their offsets; see `half_step`."""
    shard = _with_noise(without_offsets(shard, groups, offsets), noise)
    own = prior.of_rows(shard.start, shard.start + shard.n_rows)
    return half_step(shard, _received(fixed), before.rows, config, own, features, key)


def block_gram(shard: Shard, features: Array | None, reg_scaling: float) -> Float64s:
    """Return what a block's features add to every sweep's sums."""
    return feature_gram(features, np.diff(shard.indptr), reg_scaling)


def block_sums(
    shard: Shard,
    features: Array | None,
    gram: Float64s,
    block: BlockUpdate,
    d: int,
    reg_scaling: float,
) -> FeatureSums:
    """Return what a block's rows say of the prior that they share."""
    return feature_sums(features, gram, block.rows, np.diff(shard.indptr), d, reg_scaling)


def observed_block(estimator: Any, shard: Shard) -> Shard:
    """Return what an estimator of implicit feedback takes a block's ratings for."""
    return estimator.observed(shard)


def weighted_block(data: Dataset, shard: Shard, weights: RatingWeights) -> Shard:
    """Return a shard of training ratings with their weights."""
    own = weights.of_block(data, shard.block, shard.side)
    return replace(shard, roots=np.sqrt(own).astype(np.float32))


def unrated_block(block: BlockUpdate, config: UpdateConfig) -> Unrated:
    """Return a block's rows as ratings of 0 for every row of the other side."""
    return Unrated.of(block.rows, config.n_factors, config.unrated_weight)


def with_unrated(prior: RowPrior, blocks: list[Unrated]) -> RowPrior:
    """Return a prior beside which all rows of the other side count."""
    return replace(prior, unrated=Unrated.total(blocks))


def group_sums(
    shard: Shard,
    users: BlockUpdate,
    items: Rows,
    mean: float,
    groups: list[Int32s],
    offsets: Offsets,
    which: int,
    noise: Rows | None,
) -> GroupSums:
    """Return what rows and all other offsets leave over of a block, for the groups of one kind."""
    shard = _with_noise(shard, noise)
    predicted = predict_shard(shard, users.rows, _received(items), mean)
    predicted += offsets.of_ratings(groups, but=which)
    return GroupSums.of(groups[which], shard.ratings - predicted, shard.roots)


def update_offsets(
    estimator: Any,
    which: int,
    sweep: int,
    sums: list[GroupSums],
    prior: RowPrior,
    before: Offsets,
) -> Offsets:
    """Solve or draw the offsets of one kind."""
    total = GroupSums.joined(sums, len(before.values[which]))
    precision = before.precisions[which]
    return before.replaced(
        which, *estimator.update_offsets(which, sweep, total, prior.fidelity, precision)
    )


def user_errors(
    shard: Shard,
    users: BlockUpdate,
    items: Rows,
    mean: float,
    groups: list[Int32s] | None,
    offsets: Offsets | None,
) -> UserErrors:
    """Return what a block's ratings are away from their predictions, for each user."""
    shard = without_offsets(shard, groups, offsets)
    predicted = predict_shard(shard, users.rows, _received(items), mean)
    return UserErrors.of(shard, predicted - shard.ratings)


def draw_noise(
    estimator: Any,
    sweep: int,
    totals: Totals | None,
    n_ratings: int,
    errors: list[UserErrors],
) -> Noise | None:
    """Draw the noise for a sweep, from the errors of all blocks of users or their sum."""
    if totals is None:
        return None
    own = UserErrors.joined(errors) if errors else None
    squared = float(totals.items[SSE])
    noise: Noise = estimator.draw_noise(sweep, squared, n_ratings, own, totals.fidelity)
    return noise


def noise_roots(noise: Noise) -> Array:
    """Return the roots of what the users' ratings weigh, as rows of one column."""
    return noise.roots


def totals_of(block: BlockUpdate) -> Float64s:
    """Return a block's sums without its rows."""
    return block.totals


def add_up(
    users: list[BlockUpdate] | list[Float64s],
    items: list[BlockUpdate] | list[Float64s],
    scores: list[BlockScore | None],
    prior: RowPrior,
    offsets: Offsets | None,
) -> Totals:
    """Return a sweep in numbers."""
    moved = [
        np.sum([part.totals if isinstance(part, BlockUpdate) else part for part in side], axis=0)
        for side in (users, items)
    ]
    squared = sum(block.squared for block in scores if block)
    penalty = offsets.penalty if offsets else 0.0
    return Totals(moved[0], moved[1], squared, prior.fidelity, penalty)


def block_error(shard: Shard, users: BlockUpdate, items: Rows, mean: float) -> float:
    """Return a block's squared error."""
    return squared_error(shard, users.rows, _received(items), mean)


def predict_followed(
    shard: Shard, users: BlockUpdate, items: Rows, mean: float, places: npt.NDArray[np.int64]
) -> Array:
    """Return the predictions of some of a block's ratings, float32 (places,)."""
    rows = users.rows[np.searchsorted(shard.indptr, places, "right") - 1]
    each = np.arange(len(places), dtype=np.int32)
    return pair_predictions(each, each, rows, _received(items)[shard.indices[places]], mean)


def score_block(
    shard: Shard,
    users: BlockUpdate,
    items: Rows,
    mean: float,
    averaged: tuple[float, float] | None,
    before: BlockScore | None,
    groups: list[Int32s] | None,
    offsets: Offsets | None,
) -> BlockScore:
    """Predict a block's test ratings.

    With `averaged`, the ends of the rating scale, each prediction is clipped to it and joins the
    running mean.
    """
    rows, own = _received(items), without_offsets(shard, groups, offsets)
    if averaged is None:
        return BlockScore(squared_error(own, users.rows, rows, mean), None, 0)
    predicted = predict_shard(shard, users.rows, rows, mean)
    if offsets and groups:
        predicted += offsets.of_ratings(groups)
    sums = predicted.clip(*averaged)
    n = 1
    if before is not None and before.sums is not None:
        sums, n = sums + before.sums, n + before.n
    error = sums / np.float32(n) - shard.ratings
    return BlockScore(float(np.square(error, dtype=np.float64).sum()), sums, n)
