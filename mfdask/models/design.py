"""Design rows (biases and factors of a side in one array) and their Gaussian prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mfdask.cores import one_blas_thread
from mfdask.features.equations import RowFit, products
from mfdask.kernels import rows as kernel
from mfdask.kernels.rows import row_width
from mfdask.kernels.types import Float64s

Array = npt.NDArray[np.float32]

#: Of the weights of the features, as a share of the rows' own precision: the prior's beta_0.
_WEIGHT_PRECISION = 2.0
#: Cache lines are 64 bytes: rows that start on one touch the fewest.
_LINE = 16
#: Rows whose Gram matrix is one product: some MiB of them in float64.
_GRAM_ROWS = 4096
#: What a client and a worker take before there are any rows.
_PROCESSES = 400 * 2**20


def empty_rows(n: int, n_factors: int) -> Array:
    """Return `n` design rows on a cache-line boundary, all zero but for the one in place 1."""
    rows = aligned(n, row_width(n_factors))
    rows[:] = 0.0
    rows[:, 1] = 1.0
    return rows


def aligned(n: int, width: int) -> Array:
    """Return an array on a cache-line boundary, its values not yet set.

    NumPy asks for huge pages when it is not asked for zeros: far fewer faults at first touch.
    """
    store = np.empty(n * width + _LINE, np.float32)
    skip = -(store.ctypes.data // 4) % _LINE
    return store[skip : skip + n * width].reshape(n, width)


def training_bytes(n_rows: int, n_factors: int, draws: int = 1) -> int:
    """Return what a fit holds in memory at least: a fit in one place, its ratings left out.

    The worker has the rows of the last state, of the next one, and of a side joined; the client
    the last ones and the model.
    """
    samples = n_rows * 4 * n_factors * (draws - 1)
    return _PROCESSES + 5 * n_rows * 4 * row_width(n_factors) + samples


def pack(bias: Array, factors: Array) -> Array:
    """Return design rows ``[bias, 1, factors..., 0...]``.

    Parameters
    ----------
    bias : float32 (n,)
    factors : float32 (n, n_factors)

    Returns
    -------
    float32 (n, width)
    """
    n_factors = factors.shape[1]
    rows = empty_rows(len(factors), n_factors)
    rows[:, 0] = bias
    rows[:, 2 : n_factors + 2] = factors
    return rows


def join(blocks: list[Array]) -> Array:
    """Return the rows of consecutive blocks as one side; a single block is handed on as it is."""
    if len(blocks) == 1:
        return blocks[0]
    rows = aligned(sum(map(len, blocks)), blocks[0].shape[1])
    np.concatenate(blocks, out=rows)
    return rows


def initial_rows(n: int, n_factors: int, scale: float, seed: int, side: str) -> Array:
    """Return rows with zero bias and normal factors that depend on (seed, side, row) only.

    The generator runs through the rows in order, so cutting them into blocks changes nothing, and
    rows appended later leave the earlier ones as they were.
    """
    rows = empty_rows(n, n_factors)
    random = np.random.Generator(np.random.Philox([seed, ("users", "items").index(side)]))
    rows[:, 2 : n_factors + 2] = scale * random.standard_normal((n, n_factors), dtype=np.float32)
    return rows


def swap_bias_columns(rows: Array) -> Array:
    """Return ``[1, bias, factors..., 0...]``: times a design row it gives biases plus factors."""
    turned = rows.copy()
    turned[:, 0], turned[:, 1] = rows[:, 1], rows[:, 0]
    return turned


class Unrated(NamedTuple):
    """Rows of the other side that count as ratings of 0, besides a row's own ratings.

    Attributes
    ----------
    n : float
        Their number, times the weight of one.
    gram : float64 (n_factors, n_factors)
        The Gram matrix of their factors, times the weight of one.
    """

    n: float
    gram: Float64s

    @classmethod
    def of(cls, rows: Array, n_factors: int, weight: float) -> Unrated:
        """Return all rows of a block."""
        gram = np.zeros((n_factors, n_factors))
        for start in range(0, len(rows), _GRAM_ROWS):
            own = rows[start : start + _GRAM_ROWS, 2 : n_factors + 2].astype(np.float64)
            gram += own.T @ own
        return cls(weight * len(rows), weight * gram)

    @classmethod
    def total(cls, blocks: Sequence[Unrated]) -> Unrated:
        """Add blocks up, in their order."""
        n, gram = (sum(parts[1:], parts[0]) for parts in zip(*blocks, strict=True))
        return cls(n, gram)


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
    penalty : float or None
        Of weights that minimise an objective: twice what they, and the rated rows around them, add
        to it.
    unrated : Unrated or None
        What counts as ratings of 0 for every row.
    rated : float32 (rows of the other side, D) or None
        What having rated each of them adds to a row's mean, times one over the root of how many a
        row has rated.
    means : float32 (rows, D) or None
        The rows' means, where they follow what is rated.
    rated_precision : float
        Of the weights in `rated` when they are drawn next, as a share of `precision`.
    solved : bool
        Whether the search for the weights came as near to them as it was to.
    """

    fidelity: float
    precision: Float64s
    weights: Float64s
    penalty: float | None = None
    unrated: Unrated | None = None
    rated: Array | None = None
    means: Array | None = None
    rated_precision: float = 2.0
    solved: bool = True

    @property
    def first_mean(self) -> Float64s:
        """The mean of the first row: of all, where they follow nothing."""
        own = self.weights if self.means is None else self.means
        return own[0].astype(np.float64)

    def around(self, fit: RowFit, n_dense: int, penalty: float | None = None) -> RowPrior:
        """Return the prior of rows around what their features say, so many of which are dense."""
        dense = fit.weights[:n_dense].astype(np.float64)
        if n_dense == len(fit.weights):
            return replace(self, weights=dense, penalty=penalty)
        rated = fit.weights[n_dense:].astype(np.float32)
        around = replace(self, weights=dense, means=fit.means, penalty=penalty)
        return replace(around, rated=rated, solved=fit.solved)

    def of_user(self, rated: Array | None, features: Array | None = None) -> RowPrior:
        """Return the prior of one row alone.

        Parameters
        ----------
        rated : float32 (rated, D), optional
            Weights of what it rated, where its mean follows that.
        features : float32 (1, features), optional
            Its features, where its mean follows any.
        """
        if rated is None and features is None:
            return self
        mean = self.weights[:1] if features is None else features @ self.weights
        if rated is not None:
            mean = mean + rated.sum(axis=0, dtype=np.float64) / np.sqrt(max(len(rated), 1))
        return replace(self, means=mean.astype(np.float32))

    def of_rows(self, start: int, stop: int) -> RowPrior:
        """Return the prior of some rows of the side."""
        if self.means is None:
            return self
        return replace(self, means=self.means[start:stop], rated=None)

    def scale(self, n_ratings: npt.ArrayLike, reg_scaling: float) -> Float64s:
        """Return what multiplies the precision for rows of so many ratings."""
        n = np.asarray(n_ratings, np.float64) + (self.unrated.n if self.unrated else 0.0)
        scale: Float64s = np.maximum(n, 1.0) ** reg_scaling
        return scale

    def unrated_gram(self) -> Float64s:
        """Return what every row's ``sum x x'`` begins with, float64 (D, D)."""
        gram = np.zeros_like(self.precision)
        if self.unrated:
            gram[1:, 1:] = self.unrated.gram
        return gram

    def compiled(self, reg_scaling: float, features: Array | None) -> kernel.Prior:
        """Return the prior of a block's rows, `features` float32 (rows, features), for the kernel.

        Without features all rows share the mean ``weights[0]``.
        """
        d = len(self.precision)
        width = kernel.row_width(d - 1)
        padded = np.zeros((d, width), np.float32)
        padded[:, :d] = self.precision
        unrated = np.zeros((width, width), np.float32)
        unrated[1 : d + 1, 1 : d + 1] = self.unrated_gram()
        if self.means is not None:
            mean: npt.NDArray[Any] = self.means
        else:
            mean = self.weights if features is None else features @ self.weights
        with one_blas_thread():
            pull = mean @ self.precision
        return kernel.Prior(
            np.float32(self.fidelity),
            padded,
            mean.astype(np.float32),
            pull.astype(np.float32),
            reg_scaling,
            unrated.ravel(),
            self.unrated.n if self.unrated else 0.0,
        )


class Regression(Protocol):
    """The rated rows `W` of a side regressed on features `F`: what a prior is learned from.

    `S` is what multiplies each row's prior. Features that are kept as numbers come first.
    """

    @property
    def n(self) -> int:
        """Rated rows."""

    @property
    def n_dense(self) -> int:
        """Features that are kept as numbers."""

    @property
    def n_features(self) -> int:
        """All features."""

    @property
    def before(self) -> RowFit | None:
        """The weights of the sweep before, where new ones go on from them."""

    def fit(self, precision: Float64s, weight_reg: float) -> RowFit:
        """Return weights that lower the rows' penalty and their own."""

    def mean(self, strength: Float64s) -> RowFit:
        """Return the mean of drawn weights."""

    def draw(
        self, mean: RowFit, strength: Float64s, root: Float64s, random: np.random.Generator
    ) -> RowFit:
        """Draw weights around a mean, of the precision ``F' S F + strength`` and ``root root'``."""

    def scatter(self, fit: RowFit) -> Float64s:
        """Return ``sum s (w - m)(w - m)'`` over the rated rows, float64 (D, D)."""


def ridge(n_factors: int, bias_reg: float, factor_reg: float) -> Float64s:
    """Return the precision of plain regularisation: `bias_reg`, then `factor_reg`, diagonal."""
    return np.diag([bias_reg] + [factor_reg] * n_factors)


class FeatureSums(NamedTuple):
    """Sums over the rows of a block that the shared prior is fitted from; blocks add up.

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

    @property
    def n_features(self) -> int:
        """Number of features, all of them dense."""
        return len(self.gram)

    @property
    def n_dense(self) -> int:
        """Number of features that are kept as numbers: all."""
        return len(self.gram)

    @property
    def before(self) -> None:
        """Nothing: it takes one solution to learn all weights."""

    def fit(self, precision: Float64s, weight_reg: float) -> RowFit:
        """Return the weights that minimise the rows' penalty and their own; see `fit_weights`."""
        return RowFit(fit_weights(self, precision, weight_reg))

    def mean(self, strength: Float64s) -> RowFit:
        """Return the mean of drawn weights."""
        return RowFit(np.linalg.solve(self.gram + np.diag(strength), self.cross))

    def draw(
        self, mean: RowFit, strength: Float64s, root: Float64s, random: np.random.Generator
    ) -> RowFit:
        """Draw weights around a mean, of the precision ``gram + strength`` and ``root root'``."""
        noise = random.standard_normal(self.cross.shape)
        own = np.linalg.cholesky(self.gram + np.diag(strength))
        spread = np.linalg.solve(own.T, noise)
        return RowFit(mean.weights + np.linalg.solve(root.T, spread.T).T)

    def scatter(self, fit: RowFit) -> Float64s:
        """Return ``sum s (w - m)(w - m)'`` over the rated rows, float64 (D, D)."""
        weights = fit.weights.astype(np.float64)
        cross = weights.T @ self.cross
        scatter: Float64s = self.square - cross - cross.T + weights.T @ self.gram @ weights
        return scatter


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


def draw_row_prior(
    sums: Regression,
    random: np.random.Generator,
    rated_precision: float = _WEIGHT_PRECISION,
    mirrored: Float64s | None = None,
) -> tuple[Float64s, RowFit]:
    """Draw the precision (D, D) and the feature weights (features, D) of a side from its rows.

    With the one feature 1 this is the Normal-Wishart posterior of Bishop (2006), eq. 2.234 on, with
    ``beta_0 = 2``, ``nu_0 = D``, ``W_0 = I`` and ``m_0 = 0``; with more it is that of a regression
    of the rows on the features, whose weights have the precision ``beta_0`` times the rows'; those
    of what is rated have one of their own in its place.

    With `mirrored`, float64 (D, D), the precision that the weights before were drawn with, the new
    ones are those mirrored in their mean, scaled as the precisions say. What such weights differ
    from their mean by, in units of their spread, is normal whatever rows and precisions are, and
    with its sign turned as likely: so this is a step that leaves their distribution as it is (Adler
    1981), for the search for the mean alone.
    """
    strength = np.full(sums.n_features, _WEIGHT_PRECISION)
    strength[sums.n_dense :] = rated_precision
    mean = sums.mean(strength)
    d = mean.weights.shape[1]
    scatter = (
        np.eye(d) + sums.scatter(mean) + products(mean.weights, strength[:, None] * mean.weights)
    )
    precision = _draw_wishart(d + sums.n, (scatter + scatter.T) / 2, random)
    root = np.linalg.cholesky(precision).astype(np.float64)
    if sums.before and mirrored is not None:
        by = np.linalg.solve(root.T, np.linalg.cholesky(mirrored).T).T
        return precision, mean.mirrored(sums.before, by)
    return precision, sums.draw(mean, strength, root, random)


def _draw_wishart(
    degrees: int, inverse_scale: Float64s, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw a precision matrix of mean ``degrees * inverse_scale^-1``, by Bartlett's way."""
    d = len(inverse_scale)
    bartlett = np.tril(random.standard_normal((d, d)), -1)
    np.fill_diagonal(bartlett, np.sqrt(random.chisquare(degrees - np.arange(d))))
    # With inverse_scale = C C', C^-T is a root of the scale matrix.
    root = np.linalg.solve(np.linalg.cholesky(inverse_scale).T, bartlett)
    return root @ root.T


def unknowns(rows: Array, d: int) -> Array:
    """Return ``[bias, factors]`` of design rows, float32 (n, D)."""
    return np.delete(rows[:, : d + 1], 1, axis=1)
