"""Rows of a side regressed on what they have rated, by conjugate gradients.

The feature matrix is the shards: a row of a side has the feature ``1/sqrt(n)`` for each of the `n`
rows of the other side that it has a training rating with, beside its dense features. Products with
it are passes over the shards of one side, with its transpose over those of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.kernels.implicit import sum_rated
from mfdask.kernels.simd import LANES
from mfdask.kernels.types import Float32s, Float64s, read_only
from mfdask.shards import Shard

#: Length of what is left of the right-hand side, as a share of it, at which a solution will do: for
#: weights that are solved for, and for drawn ones, whose own spread is a hundred times as wide.
FIT_TOLERANCE, DRAW_TOLERANCE = 1e-4, 1e-2
#: Steps of conjugate gradients at most: more are taken only where almost nothing is regularised.
MOST_STEPS = 500


@dataclass(frozen=True)
class RatedRegression:
    """The rows of a side, and what they are regressed on; takes the place of `FeatureSums`.

    Attributes
    ----------
    own, other : list of Shard
        All shards of the side and of the other one.
    dense : float32 (n, n_dense)
        Dense features, the constant 1 where there are no others.
    rows : float32 (n, D)
    root : float32 (n, 1)
        What each rating of a row counts: one over the root of their number.
    scale : float32 (n, 1)
        What multiplies each row's prior; 0 for rows without ratings, which say nothing.
    before : float32 (features, D) or None
        The weights of the sweep before, where a solution begins.
    """

    own: list[Shard]
    other: list[Shard]
    dense: Float32s
    rows: Float32s
    root: Float32s
    scale: Float32s
    before: Float32s | None = None

    @classmethod
    def of(
        cls,
        own: list[Shard],
        other: list[Shard],
        features: list[Float32s | None],
        rows: list[Float32s],
        reg_scaling: float,
        before: Float32s | None = None,
    ) -> RatedRegression:
        """Return the regression of all blocks of a side, of ``[bias, factors]`` in `rows`."""
        n = np.concatenate([np.diff(shard.indptr) for shard in own])[:, None].astype(np.float64)
        parts = [
            np.ones((shard.n_rows, 1), np.float32) if dense is None else dense
            for shard, dense in zip(own, features, strict=True)
        ]
        return cls(
            own,
            other,
            np.concatenate(parts),
            np.concatenate(rows),
            (1 / np.sqrt(np.maximum(n, 1))).astype(np.float32),
            np.where(n > 0, np.maximum(n, 1) ** reg_scaling, 0.0).astype(np.float32),
            before,
        )

    @property
    def n(self) -> int:
        """Number of rated rows."""
        return int(np.count_nonzero(self.scale))

    @property
    def n_dense(self) -> int:
        """Number of dense features, which come first."""
        return self.dense.shape[1]

    @property
    def n_features(self) -> int:
        """Number of all features."""
        return self.n_dense + sum(shard.n_rows for shard in self.other)

    @property
    def square(self) -> Float64s:
        """``W' S W`` of the rows `W`, float64 (D, D)."""
        return _products(self.rows, self.scale * self.rows)

    def times(self, weights: Float32s) -> Float32s:
        """Return the features times weights (features, columns), float32 (n, columns)."""
        sums = _sum_over(self.own, weights[self.n_dense :])[:, : weights.shape[1]]
        sums *= self.root
        sums += self.dense @ weights[: self.n_dense]
        return sums

    def transposed(self, values: Float32s) -> Float32s:
        """Return ``F' S V`` of values (n, columns), float32 (features, columns)."""
        values = self.scale * values
        sums = _sum_over(self.other, self.root * values)[:, : values.shape[1]]
        return np.concatenate([self.dense.T @ values, sums])

    def solve(
        self,
        shift: npt.NDArray[np.floating],
        right: Float32s,
        tolerance: float,
        first: Float32s | None = None,
    ) -> Float32s:
        """Return ``(F' S F + shift)^-1 right``; `shift` fits (features, columns)."""
        columns, width = right.shape[1], _wide(right.shape[1])
        # Columns that only fill up a vector are zero, whatever is added to the matrix for them.
        own = _padded(np.broadcast_to(shift, right.shape), width)
        own[:, columns:] = 1
        # Of the diagonal the root: divided by all of it, popular features are searched last.
        scale = np.sqrt(self._diagonal() + own)

        def product(vectors: Float32s) -> Float32s:
            found = self.transposed(self.times(vectors))
            found += own * vectors
            return found

        begin = _padded(right[:, :0] if first is None else first, width)
        wanted = _padded(right, width)
        return conjugate_gradients(product, scale, wanted, begin, tolerance)[:, :columns]

    def _diagonal(self) -> Float32s:
        """Return the diagonal of ``F' S F``, float32 (features, 1)."""
        weight = _padded(self.scale * self.root**2, LANES)
        dense = np.einsum("nf,nf,nk->fk", self.dense, self.dense, self.scale)
        return np.concatenate([dense, _sum_over(self.other, weight)[:, :1]], dtype=np.float32)

    # ---- what estimators ask for, as of `FeatureSums`

    def fit(self, precision: Float64s, weight_reg: float) -> Float64s:
        """Return the weights that minimise the rows' penalty and their own; see `fit_weights`."""
        own = np.diag(precision)
        shift = np.divide(weight_reg, own, out=np.ones_like(own), where=own > 0)
        right = self.transposed(self.rows) * (own > 0).astype(np.float32)
        return self.solve(shift[None], right, FIT_TOLERANCE, self.before).astype(np.float64)

    def mean(self, strength: Float64s) -> tuple[Float64s, Float64s]:
        """Return the mean of drawn weights (features, D), and the part of `square` it explains."""
        right = self.transposed(self.rows)
        found = self.solve(strength[:, None], right, DRAW_TOLERANCE)
        return found.astype(np.float64), _products(found, right)

    def spread(self, strength: Float64s, random: np.random.Generator) -> Float64s:
        """Return noise (features, D) whose columns have the covariance ``(F'F + strength)^-1``.

        It solves the equations of the mean with noise on the right (Simm et al. 2017): the
        covariance of the right-hand side is the matrix itself. Rows count once each here.
        """
        d = self.rows.shape[1]
        rows = random.standard_normal(self.rows.shape, np.float32)
        right = self.transposed(rows)
        own = random.standard_normal((self.n_features, d), np.float32)
        right += np.sqrt(strength)[:, None].astype(np.float32) * own
        return self.solve(strength[:, None], right, DRAW_TOLERANCE).astype(np.float64)

    def penalty(self, weights: Float64s, precision: Float64s) -> float:
        """Return ``sum s (w - m)' P (w - m)`` over the rated rows."""
        away = self.rows - self.times(weights.astype(np.float32))
        return float(np.sum(precision * _products(away, self.scale * away)))


def conjugate_gradients(
    product: Callable[[Float32s], Float32s],
    scale: Float32s,
    right: Float32s,
    found: Float32s,
    tolerance: float,
) -> Float32s:
    """Solve for all columns at once, float32 (n, columns), each by a search of its own.

    Parameters
    ----------
    product : callable
        Multiplies the symmetric positive definite matrix with columns.
    scale : float32 (n, 1) or (n, columns)
        What the search divides by, positive.
    right, found : float32 (n, columns)
        The right-hand sides, and where to begin; `found` is changed in place.
    tolerance : float
        Length of what is left of a right-hand side, as a share of it, at which to end.

    Raises
    ------
    InputError
        If a column is not solved in `MOST_STEPS`.
    """
    left = right - product(found) if found.any() else right.copy()
    goal = tolerance**2 * _dots(right, right)
    direction = left / scale
    slope = _dots(left, direction)
    for _ in range(MOST_STEPS):
        if (_dots(left, left) <= goal).all():
            return found
        image = product(direction)
        step = _ratio(slope, _dots(direction, image))
        found += step * direction
        left -= step * image
        scaled = left / scale
        before, slope = slope, _dots(left, scaled)
        direction *= _ratio(slope, before)
        direction += scaled
    raise InputError(
        f"the weights of what is rated are not found in {MOST_STEPS} steps of conjugate gradients: "
        "next to nothing regularises them; raise `weight_reg`, or leave the prior `rated` out"
    )


def _dots(one: Float32s, other: Float32s) -> Float64s:
    """Return the inner product of each column; NumPy adds it up in one order."""
    return np.einsum("nk,nk->k", one, other, dtype=np.float64)


def _ratio(above: Float64s, below: Float64s) -> Float32s:
    """Return a ratio for each column, 0 for one that is solved exactly."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0).astype(np.float32)


def _products(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Float64s:
    """Return ``one' other`` in float64."""
    return one.astype(np.float64).T @ other.astype(np.float64)


def _wide(columns: int) -> int:
    return -(-columns // LANES) * LANES


def _padded(values: npt.NDArray[Any], width: int) -> Float32s:
    """Return values with columns of zeros behind, as many as make whole vectors."""
    padded = np.zeros((len(values), width), np.float32)
    padded[:, : values.shape[1]] = values
    return padded


def _sum_over(shards: list[Shard], values: Float32s) -> Float32s:
    """Return the sums of the other side's values over what each row has rated."""
    width = _wide(values.shape[1])
    values = np.ascontiguousarray(_padded(values, width) if values.shape[1] < width else values)
    out = np.empty((sum(shard.n_rows for shard in shards), width), np.float32)
    begin = 0
    for shard in shards:
        own = out[begin : begin + shard.n_rows]
        indptr, indices = read_only(shard.indptr), read_only(shard.indices)
        sum_rated(indptr, indices, read_only(values), own)
        begin += shard.n_rows
    return out
