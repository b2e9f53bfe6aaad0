"""Ridge regressions on features that are too many for a matrix: preconditioned conjugate gradients.

The equations ``(F' S F + shift) W = right`` of a side are solved again in each sweep, while the
features `F` and what each row counts, `S`, stay as they are: the leading directions of ``F' S F``
are found once, and each search begins where the other directions are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mfdask.kernels.implicit import rounded
from mfdask.kernels.types import Float32s, Float64s

#: Leading directions that are taken out of a search, and products that they are found by.
_LEADING, _PRODUCTS = 32, 3
#: Eigenvalues below this share of the largest are rounding.
_ROUNDING = 1e-12


class Features(Protocol):
    """Features of the rows of a side, by their products."""

    @property
    def scale(self) -> Float32s:
        """What each row counts, float32 (n, 1)."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    @property
    def diagonal(self) -> Float32s:
        """The diagonal of ``F' S F``, float32 (features, 1)."""

    def times(self, weights: Float32s) -> Float32s:
        """Return the features times `rounded` weights (features, columns), float32 (n, columns)."""

    def transposed(self, values: Float32s) -> Float32s:
        """Return ``F' S V`` of values (n, columns) nearly, float32 (features, columns)."""


@dataclass(frozen=True)
class Preconditioner:
    """Approximate inverses of ``F' S F + shift``, for whatever shift.

    With `T` = `scale`, a search sees ``T (F' S F + shift) T``, whose leading eigenvectors are
    solved for exactly, and all other directions as if they had one eigenvalue: half the least of
    the leading ones.

    Attributes
    ----------
    scale : float32 (features, 1)
        The diagonal and its mean to the power -3/8: between no scaling, which the `shift` asks for,
        and that of the diagonal alone.
    values : float64 (leading,)
        Eigenvalues of ``T F' S F T``, ascending.
    vectors : float32 (features, leading)
        Its eigenvectors, times `scale`.
    gram : float64 (leading, leading)
        The Gram matrix of `vectors`: what they see of a shift.
    """

    scale: Float32s
    values: Float64s
    vectors: Float32s
    gram: Float64s

    @classmethod
    def of(cls, features: Features) -> Preconditioner:
        """Find the leading directions, by products with a few vectors that begin at random."""
        diagonal = features.diagonal
        scale = ((diagonal + max(float(diagonal.mean()), 1e-6)) ** -0.375).astype(np.float32)
        n = features.n_features
        shape = n, min(_LEADING, n)
        vectors = np.random.Generator(np.random.Philox(0)).standard_normal(shape, np.float32)
        begin = vectors
        for _ in range(_PRODUCTS):
            vectors = _orthonormal(vectors)
            image = features.times(rounded(scale * vectors))
            begin, vectors = vectors, scale * features.transposed(image)
        inner = products(begin, vectors)
        values, turn = np.linalg.eigh((inner + inner.T) / 2)
        vectors = scale * (begin @ turn.astype(np.float32))
        return cls(scale, np.maximum(values, 0), vectors, products(vectors, vectors))

    def divide(self, values: Float32s, shift: Float32s) -> Float32s:
        """Return values (features, columns) divided by the matrix, nearly.

        `shift` is float32 (1, columns): what is added to the diagonal, for each column.
        """
        square = self.scale**2
        own = np.diag(self.values) + shift[0, :, None, None] * self.gram
        rest = 1 / (self.values[0] / 2 + shift * square.mean())
        along = (self.vectors.T @ values).T[..., None]
        leading = (np.linalg.inv(own) @ along)[..., 0].T - rest * along[..., 0].T
        divided = self.vectors @ leading.astype(np.float32)
        alike = square * values
        alike *= rest.astype(np.float32)
        divided += alike
        return divided


class Solution(NamedTuple):
    """Where a search is; it is changed in place.

    Attributes
    ----------
    weights : float32 (features, columns)
    away : float32 (n, columns)
        The rows less what their features stand for.
    """

    weights: Float32s
    away: Float32s


class RowFit(NamedTuple):
    """Weights of a side's features, fitted to its rows.

    Attributes
    ----------
    weights : float (features, D)
    means : float32 (n, D)
        What the features of each row stand for; not told where all are dense.
    solved : bool
        Whether the search for them came as near as it was to.
    """

    weights: npt.NDArray[np.floating]
    means: Float32s = np.empty((0, 0), np.float32)
    solved: bool = True

    def mirrored(self, other: RowFit, turn: Float64s) -> RowFit:
        """Return another's weights and means mirrored in these.

        `turn`, float64 (D, D), is what the way between them is multiplied by.
        """
        by = turn.astype(np.float32)
        weights, means = (
            own + (own - others) @ by
            for own, others in ((self.weights, other.weights), (self.means, other.means))
        )
        return RowFit(weights, means.astype(np.float32, copy=False), self.solved)


def conjugate_gradients(
    features: Features,
    preconditioner: Preconditioner,
    shift: Float32s,
    found: Solution,
    tolerance: float,
    most_steps: int,
    noise: Float32s | None = None,
) -> bool:
    """Bring weights closer to ``(F' S F + shift)^-1 (F' S rows + noise)``, each column by itself.

    A step lowers ``sum s (rows - F w)**2 + shift w**2 - 2 noise w``, however few there are. It goes
    along numbers of 16 bits, which products gather as they are: so the rows are away from what the
    weights say, while the gradient is some .2 % from the right one.

    Parameters
    ----------
    features : Features
    preconditioner : Preconditioner
    shift : float32 (features or 1, columns)
        Positive.
    found : Solution
        Where to begin; changed in place.
    tolerance : float
        Share of the error at the beginning, in the norm of the equations and as far as the
        preconditioner tells it, at which to end after two steps or more.
    most_steps : int
    noise : float32 (features, columns), optional

    Returns
    -------
    bool
        Whether it ended there, and not by its last step.
    """
    weights, away = found
    pull = features.transposed(away)
    pull -= shift * weights
    if noise is not None:
        pull += noise
    direction = preconditioner.divide(pull, shift[-1:])
    slope = _dots(pull, direction)
    goal = tolerance**2 * slope
    for taken in range(1, most_steps + 1):
        direction = rounded(direction)
        image = features.times(direction)
        own = shift * direction
        curvature = _dots(image, features.scale * image) + _dots(direction, own)
        step = _ratio(slope, curvature)
        weights += step * direction
        away -= step * image
        if taken == most_steps:
            break
        own += features.transposed(image)
        own *= step
        pull -= own
        divided = preconditioner.divide(pull, shift[-1:])
        before, slope = slope, _dots(pull, divided)
        # A first step leaves most where dense features have a shift of their own.
        if taken > 1 and (slope <= goal).all():
            return True
        direction *= _ratio(slope, before)
        direction += divided
    return False


def _orthonormal(vectors: Float32s) -> Float32s:
    """Return vectors of the same span, float32 (n, at most as many), at right angles."""
    values, turn = np.linalg.eigh(products(vectors, vectors))
    kept = values > _ROUNDING * values[-1]
    return vectors @ (turn[:, kept] / np.sqrt(values[kept])).astype(np.float32)


def _dots(one: Float32s, other: Float32s) -> Float64s:
    """Return the inner product of each column; NumPy adds it up in one order."""
    return np.einsum("nk,nk->k", one, other, dtype=np.float64)


def _ratio(above: Float64s, below: Float64s) -> Float32s:
    """Return a ratio for each column, 0 for one that is solved exactly."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0).astype(np.float32)


def products(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Float64s:
    """Return ``one' other`` in float64."""
    return one.astype(np.float64).T @ other.astype(np.float64)
