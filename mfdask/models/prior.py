"""What a row is drawn to: a Gaussian whose mean may follow the row's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.kernels import rows as kernel
from mfdask.models.design import Array

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RowPrior:
    """Prior of the rows ``w = [bias, factors]`` of a side, with ``D = n_factors + 1`` places.

    Attributes
    ----------
    fidelity : float
        What a squared error weighs against this prior: the paper's lambda, or the precision of the
        ratings' noise.
    precision : float64 (D, D)
        Symmetric, positive semi-definite.
    weights : float64 (features, D)
        A row's mean is its features times these; a row without features has the one feature 1.
    """

    fidelity: float
    precision: Float64s
    weights: Float64s

    def compiled(self, reg_scaling: float, features: Array | None) -> kernel.Prior:
        """Return the prior of a block's rows, `features` float32 (rows, features), for the kernel.

        Without features all rows share the mean ``weights[0]``.
        """
        d = len(self.precision)
        padded = np.zeros((d, kernel.row_width(d - 1)), np.float32)
        padded[:, :d] = self.precision
        mean = self.weights if features is None else features @ self.weights
        pull = mean @ self.precision
        return kernel.Prior(
            np.float32(self.fidelity),
            padded,
            mean.astype(np.float32),
            pull.astype(np.float32),
            reg_scaling,
        )


def ridge(n_factors: int, bias_reg: float, factor_reg: float) -> Float64s:
    """Return the precision of plain regularisation: `bias_reg`, then `factor_reg`, diagonal."""
    return np.diag([bias_reg] + [factor_reg] * n_factors)


class FeatureSums(NamedTuple):
    """What the rows of a block say of the prior that they share; blocks add up.

    Attributes
    ----------
    n : int
        Rated rows.
    gram : float64 (features, features)
        ``F' S F``, where `S` is what multiplies each row's prior.
    cross : float64 (features, D)
        ``F' S W``.
    square : float64 (D, D)
        ``W' S W``.
    """

    n: int
    gram: Float64s
    cross: Float64s
    square: Float64s

    @classmethod
    def total(cls, blocks: Sequence[FeatureSums]) -> FeatureSums:
        """Add blocks up, in their order."""
        n, gram, cross, square = (sum(parts[1:], parts[0]) for parts in zip(*blocks, strict=True))
        return cls(n, gram, cross, square)


def feature_gram(
    features: Array | None, n_ratings: npt.NDArray[np.int64], reg_scaling: float
) -> Float64s:
    """Return ``F' S F`` of a block's rated rows, float64 (features, features).

    It is the same in every sweep, and of many features most of the work of `feature_sums`.
    """
    seen, scale = _rated(features, n_ratings, reg_scaling)
    return seen.T @ (scale * seen)


def feature_sums(
    features: Array | None,
    gram: Float64s,
    rows: Array,
    n_ratings: npt.NDArray[np.int64],
    d: int,
    reg_scaling: float,
) -> FeatureSums:
    """Return a block's sums over its rated rows, whose `gram` is that of `feature_gram`.

    Without features each row has the one feature 1. An unrated row lies on its prior wherever that
    moves, so it says nothing of where that is.
    """
    seen, scale = _rated(features, n_ratings, reg_scaling)
    own = unknowns(rows[n_ratings > 0], d).astype(np.float64)
    return FeatureSums(len(own), gram, seen.T @ (scale * own), own.T @ (scale * own))


def _rated(
    features: Array | None, n_ratings: npt.NDArray[np.int64], reg_scaling: float
) -> tuple[Float64s, Float64s]:
    """Return the features of a block's rated rows, and what multiplies each row's prior."""
    rated = n_ratings > 0
    scale = n_ratings[rated, None].astype(np.float64) ** reg_scaling
    seen = np.ones((len(scale), 1)) if features is None else features[rated].astype(np.float64)
    return seen, scale


def fit_weights(sums: FeatureSums, precision: Float64s, weight_reg: float) -> Float64s:
    """Return the weights that minimise the rows' penalty and their own, float64 (features, D).

    For a diagonal precision, ``W[:, k] = (P_kk F'SF + eta I)^-1 P_kk F'SW[:, k]`` is exact.
    """
    eta = weight_reg * np.eye(len(sums.gram))
    own = np.diag(precision)
    weights = np.empty_like(sums.cross)
    for strength in np.unique(own):  # the bias has one, all factors another: two systems
        alike = own == strength
        weights[:, alike] = np.linalg.solve(
            strength * sums.gram + eta, strength * sums.cross[:, alike]
        )
    return weights


def unknowns(rows: Array, d: int) -> Array:
    """Return ``[bias, factors]`` of design rows, float32 (n, D)."""
    return np.delete(rows[:, : d + 1], 1, axis=1)
