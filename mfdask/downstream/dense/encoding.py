"""Encodings of predicted ratings as float32, float16 or uint8, and their largest errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mfdask.errors import InputError, require
from mfdask.kernels.types import Int32s
from mfdask.models import FactorModel
from mfdask.models.design import Array, swap_bias_columns

#: What predictions can be stored as.
DTYPES = ("float32", "float16", "uint8")
_HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Encoding:
    """A stored value ``v`` stands for the rating ``offset + scale * v``.

    Attributes
    ----------
    dtype : str
        One of `DTYPES`. A float is the rating itself; the 256 values of a byte divide the rating
        scale evenly, and its two ends are exact.
    low, high : float
        Rating scale; predictions are kept on it.

    Raises
    ------
    InputError
        If there is no such type, or it does not reach as far as the ratings.
    """

    dtype: str
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse what cannot be stored."""
        require(self.dtype in DTYPES, "dtype", self.dtype, " or ".join(DTYPES))
        if self.dtype == "float16" and max(-self.low, self.high) > _HALF_MAX:
            raise InputError(
                f"`dtype` float16: ratings here go from {self.low:g} to {self.high:g}, and it ends "
                f"at {_HALF_MAX:,.0f}; give float32 or uint8"
            )

    @property
    def packed(self) -> bool:
        """Whether a rating is stored as a byte."""
        return self.dtype == "uint8"

    @property
    def scale(self) -> float:
        """Ratings that a stored unit stands for."""
        return (self.high - self.low) / 255 or 1.0 if self.packed else 1.0

    @property
    def offset(self) -> float:
        """Rating that a stored zero stands for."""
        return self.low if self.packed else 0.0

    @property
    def limits(self) -> Array:
        """Lowest and highest value that `user_vectors` may lead to, float32 (2,)."""
        # A byte's last half unit is cut off, see `_lift`.
        return np.array([0.0, 255.5] if self.packed else [self.low, self.high], np.float32)

    @property
    def _lift(self) -> float:
        """Added to a value in units, so that cutting it off rounds it."""
        return 0.5 if self.packed else 0.0

    def user_vectors(self, model: FactorModel, rows: Int32s) -> Array:
        """Return vectors whose products with `item_vectors` are predictions in stored units.

        float32 (rows, n_factors + 2); whoever stores them as bytes cuts off, and so rounds.
        """
        vectors = model.user_rows[rows, : model.n_factors + 2].astype(np.float64)
        vectors[:, 0] += model.mean - self.offset
        vectors /= self.scale
        vectors[:, 0] += self._lift
        return vectors.astype(np.float32)

    def max_error(self, model: FactorModel) -> float:
        """Return the most by which a stored value may differ from the exact prediction, in ratings.

        Half a unit of what is stored, and the rounding of a float32 sum of d terms: d times half a
        unit in the last place of the sum of their sizes, which the lengths of the factors bound.
        """
        half = {
            "uint8": self.scale / 2,
            "float16": float(np.spacing(np.float16(max(-self.low, self.high)))) / 2,
            "float32": 0.0,
        }[self.dtype]
        size = (
            np.abs(model.user_bias + (model.mean - self.offset)).max()
            + np.abs(model.item_bias).max()
            + _longest(model.user_factors) * _longest(model.item_factors)
            + self._lift * self.scale
        )
        return half + (model.n_factors + 5) * 2.0**-24 * float(size)


def item_vectors(model: FactorModel, rows: Int32s) -> Array:
    """Return what faces `Encoding.user_vectors`, float32 (rows, n_factors + 2)."""
    return swap_bias_columns(model.item_rows[rows])[:, : model.n_factors + 2]


def _longest(factors: Array) -> float:
    """Return the length of the longest vector."""
    return math.sqrt(float(np.square(factors, dtype=np.float64).sum(axis=1).max()))
