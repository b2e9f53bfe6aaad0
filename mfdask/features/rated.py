"""Rows of a side regressed on what they have rated.

The feature matrix is the shards: a row of a side has the feature ``1/sqrt(n)`` for each of the `n`
rows of the other side that it has a training rating with, beside its dense features. Products with
it are passes over the shards of one side, with its transpose over those of the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.features.equations import (
    Preconditioner,
    RowFit,
    Solution,
    conjugate_gradients,
    products,
)
from mfdask.kernels.implicit import sum_rated, upper_halves
from mfdask.kernels.simd import LANES
from mfdask.kernels.types import Float32s, Float64s, read_only
from mfdask.shards import Shard

#: Share of its error that a search for the mean of drawn weights ends with, and one for the draw
#: itself, which goes on from that mean. Weights that are mirrored in the mean are twice as far off.
MEAN_TOLERANCE = DRAW_TOLERANCE = 0.1
#: Steps of a draw's searches at most: far more than are taken where features are scaled alike.
DRAW_STEPS = 200
#: Steps of a search for weights that go on from those of the sweep before.
FIT_STEPS = 1


@dataclass(frozen=True)
class RatedFeatures:
    """What the rows of a side are regressed on; the same in all sweeps.

    Attributes
    ----------
    own, other : sequence of Shard
        All shards of the side and of the other one.
    dense : float32 (n, n_dense)
        Dense features, the constant 1 where there are no others.
    root : float32 (n, 1)
        What each rating of a row counts: one over the root of their number.
    scale : float32 (n, 1)
        What multiplies each row's prior; 0 for rows without ratings, which say nothing.
    """

    own: Sequence[Shard]
    other: Sequence[Shard]
    dense: Float32s
    root: Float32s
    scale: Float32s

    @classmethod
    def of(
        cls,
        reg_scaling: float,
        own: Sequence[Shard],
        other: Sequence[Shard],
        features: Sequence[Float32s | None],
    ) -> RatedFeatures:
        """Return the features of all blocks of a side."""
        n = np.concatenate([np.diff(shard.indptr) for shard in own])[:, None].astype(np.float64)
        parts = [
            np.ones((shard.n_rows, 1), np.float32) if dense is None else dense
            for shard, dense in zip(own, features, strict=True)
        ]
        root = (1 / np.sqrt(np.maximum(n, 1))).astype(np.float32)
        scale = np.where(n > 0, np.maximum(n, 1) ** reg_scaling, 0.0).astype(np.float32)
        return cls(own, other, np.concatenate(parts), root, scale)

    @property
    def n_dense(self) -> int:
        """Number of dense features, which come first."""
        return self.dense.shape[1]

    @property
    def n_features(self) -> int:
        """Number of all features."""
        return self.n_dense + sum(shard.n_rows for shard in self.other)

    @property
    def diagonal(self) -> Float32s:
        """The diagonal of ``F' S F``, float32 (features, 1)."""
        weight = self.scale * self.root**2
        dense = np.einsum("nf,nf,nk->fk", self.dense, self.dense, self.scale)
        return np.concatenate([dense, _sum_over(self.other, weight)], dtype=np.float32)

    def times(self, weights: Float32s) -> Float32s:
        """Return the features times `rounded` weights (features, columns), float32 (n, columns)."""
        sums = _sum_over(self.own, weights[self.n_dense :])
        sums *= self.root
        sums += self.dense @ weights[: self.n_dense]
        return sums

    def transposed(self, values: Float32s) -> Float32s:
        """Return ``F' S V`` of values (n, columns) nearly, float32 (features, columns)."""
        values = self.scale * values
        dense = self.dense.T @ values
        values *= self.root
        return np.concatenate([dense, _sum_over(self.other, values)])


@dataclass(frozen=True)
class RatedRegression:
    """The rows of a side regressed on what they have rated; takes the place of `FeatureSums`.

    Attributes
    ----------
    features : RatedFeatures
    preconditioner : Preconditioner
        Of the features.
    rows : float32 (n, D)
    before : RowFit or None
        The weights of the sweep before, where a solution begins.
    """

    features: RatedFeatures
    preconditioner: Preconditioner
    rows: Float32s
    before: RowFit | None = None

    @property
    def n(self) -> int:
        """Number of rated rows."""
        return int(np.count_nonzero(self.features.scale))

    @property
    def n_dense(self) -> int:
        """Number of dense features, which come first."""
        return self.features.n_dense

    @property
    def n_features(self) -> int:
        """Number of all features."""
        return self.features.n_features

    def fit(self, precision: Float64s, weight_reg: float) -> RowFit:
        """Return weights nearer to those that minimise the rows' penalty and their own.

        A step from the weights of the sweep before: rows and weights take turns anyway, and each
        step lowers what they minimise together.
        """
        own = np.diag(precision)
        shift = np.divide(weight_reg, own, out=np.ones_like(own), where=own > 0)[None]
        begin = self.before or self._nothing
        away = (self.rows - begin.means) * (own > 0).astype(np.float32)  # no prior, no mean
        return self._solve(_padded(shift, 1), begin, away, 0.0, FIT_STEPS)

    def mean(self, strength: Float64s) -> RowFit:
        """Return the mean of drawn weights, nearly."""
        shift = strength[:, None].astype(np.float32)
        return self._solve(shift, self._nothing, self.rows, MEAN_TOLERANCE, DRAW_STEPS)

    def draw(
        self, mean: RowFit, strength: Float64s, root: Float64s, random: np.random.Generator
    ) -> RowFit:
        """Draw weights around their mean, of the precision ``F'F + strength`` and ``root root'``.

        The search for the mean goes on with noise on the right (Simm et al. 2017): the covariance
        of the right-hand side is the matrix itself. Rows count once each here.
        """
        spread = np.linalg.inv(root).astype(np.float32)
        shift = strength[:, None].astype(np.float32)
        away = random.standard_normal(self.rows.shape, np.float32) @ spread
        away += self.rows - mean.means
        noise = random.standard_normal((self.n_features, len(spread)), np.float32) @ spread
        noise *= np.sqrt(shift)
        drawn = self._solve(shift, mean, away, DRAW_TOLERANCE, DRAW_STEPS, noise)
        return drawn._replace(solved=mean.solved and drawn.solved)

    def pull(self, fit: RowFit, precision: Float64s) -> tuple[float, float]:
        """Return ``tr(P M' S Y)`` and ``tr(P M' S M)`` of a precision `P` (D, D).

        `M` is what the weights of what is rated say of the rows, and `Y` are the rows less what the
        dense features say.
        """
        dense = self._dense(fit)
        said = fit.means - dense
        weighed = self.features.scale * (said @ precision.astype(np.float32))
        along, own = (
            float(np.einsum("nd,nd", weighed, by, dtype=np.float64))
            for by in (self.rows - dense, said)
        )
        return along, own

    def stretched(self, fit: RowFit, by: float) -> RowFit:
        """Return a fit whose weights of what is rated are so many times as large."""
        weights, dense = fit.weights.copy(), self._dense(fit)
        weights[self.n_dense :] *= np.float32(by)
        return RowFit(weights, dense + np.float32(by) * (fit.means - dense), fit.solved)

    def _dense(self, fit: RowFit) -> Float32s:
        """Return what the dense features say of the rows, float32 (n, D)."""
        weights = fit.weights[: self.n_dense].astype(np.float32)
        dense: Float32s = self.features.dense @ weights
        return dense

    @property
    def _nothing(self) -> RowFit:
        """Weights of zero."""
        weights = np.zeros((self.n_features, self.rows.shape[1]), np.float32)
        return RowFit(weights, np.zeros_like(self.rows))

    def scatter(self, fit: RowFit) -> Float64s:
        """Return ``sum s (w - m)(w - m)'`` of the rows around their means."""
        away = self.rows - fit.means
        return products(away, self.features.scale * away)

    def _solve(
        self,
        shift: Float32s,
        begin: RowFit,
        away: Float32s,
        tolerance: float,
        most_steps: int,
        noise: Float32s | None = None,
    ) -> RowFit:
        """Search from some weights, from whose means the rows are so far away."""
        d, features = self.rows.shape[1], self.features
        found = Solution(_padded(begin.weights), _padded(away))
        own = None if noise is None else _padded(noise)
        equations = features, self.preconditioner, shift
        solved = conjugate_gradients(*equations, found, tolerance, most_steps, own)
        means = begin.means + (away - found.away[:, :d])
        return RowFit(found.weights[:, :d], means, solved or tolerance == 0)


def draw_rated_precision(
    weights: npt.NDArray[np.floating], precision: Float64s, random: np.random.Generator
) -> float:
    """Draw what the weights' precision is as a share of the rows': Simm et al. (2017).

    From ``Gamma(1/2 + F D/2, rate 1/2 + tr(W P W')/2)``, of weights `W` (F, D).
    """
    own = float(np.sum(precision * products(weights, weights)))
    return float(random.gamma((1 + weights.size) / 2) / ((1 + own) / 2))


def draw_stretch(
    along: float, own: float, rated_precision: float, random: np.random.Generator
) -> float:
    """Draw what the weights of what is rated are to be multiplied by, given the rows.

    Their precision goes with them, divided by its square: given the weights alone it would hardly
    move, since there are so many of them (Yu and Meng 2011). The rows ask for a normal number, of
    the mean ``along / own`` and the variance ``1 / own``; the rest, the precision's prior, is taken
    as Metropolis and Hastings say.

    Parameters
    ----------
    along, own : float
        From `RatedRegression.pull`.
    rated_precision : float
        What the weights were drawn with.
    random : numpy.random.Generator
    """
    if own <= 0:
        return 1.0
    drawn = random.normal(along / own, 1 / math.sqrt(own))
    if drawn <= 0:
        return 1.0
    likelier = rated_precision / 2 * (1 - drawn**-2) - 2 * math.log(drawn)
    return drawn if random.exponential() > -likelier else 1.0


def _padded(values: npt.NDArray[Any], fill: float = 0.0) -> Float32s:
    """Return values with columns behind, as many as make whole vectors."""
    width = -(-values.shape[1] // LANES) * LANES
    padded = np.full((len(values), width), fill, np.float32)
    padded[:, : values.shape[1]] = values
    return padded


def _sum_over(shards: Sequence[Shard], values: Float32s) -> Float32s:
    """Return the sums of the other side's `rounded` values over what each row has rated.

    The gathered rows are more than a core's cache holds, and what a pass waits for: they have 16
    bits.
    """
    columns = values.shape[1]
    values = np.ascontiguousarray(_padded(values) if columns % LANES else values)
    gathered = read_only(upper_halves(values))
    out = np.empty((sum(shard.n_rows for shard in shards), values.shape[1]), np.float32)
    begin = 0
    for shard in shards:
        own = out[begin : begin + shard.n_rows]
        sum_rated(read_only(shard.indptr), read_only(shard.indices), gathered, own)
        begin += shard.n_rows
    return out[:, :columns]
