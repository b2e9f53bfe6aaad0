"""What a Bayesian model keeps of its draws, beside the factors that lie in its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mfdask.kernels.samples import DrawnSide, spread_pairs
from mfdask.models.design import Array, pack
from mfdask.models.half_step import read_only
from mfdask.models.prior import RowPrior

if TYPE_CHECKING:
    from mfdask.models.model import FactorModel

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Samples:
    """The draws of a Bayesian model: `S` of them, of `D = K + 1` places a row.

    Attributes
    ----------
    noise_precision : float64 (S,)
        Of the ratings around their predictions.
    biases : dict of float32 (n, S)
        Biases of each side's rows, a column a draw.
    precisions : dict of float64 (S, D, D)
        What the rows of a side were drawn with.
    weights : dict of float64 (S, features, D)
        What the features of a side stand for; the one feature 1 where it has none.
    """

    noise_precision: Float64s
    biases: dict[str, Array]
    precisions: dict[str, Float64s]
    weights: dict[str, Float64s]

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self.noise_precision)

    def prior(self, side: str, sample: int) -> RowPrior:
        """Return what the rows of a side were drawn to."""
        return RowPrior(
            float(self.noise_precision[sample]),
            self.precisions[side][sample],
            self.weights[side][sample],
        )

    def pack(self, drawn: npt.NDArray[np.floating]) -> Array:
        """Return rows ``[bias, factors]`` of all draws, (S, n, D), as design rows of all together.

        float32 (n, width). The factors are divided by the root of S, so that the inner product of
        two rows is the mean of the draws' inner products.
        """
        scaled = drawn[:, :, 1:] / math.sqrt(len(drawn))
        factors = scaled.transpose(1, 0, 2).reshape(drawn.shape[1], -1)
        return pack(drawn[:, :, 0].mean(axis=0).astype(np.float32), factors.astype(np.float32))

    def rows(
        self, model: FactorModel, side: str, sample: int, rows: npt.NDArray[np.integer]
    ) -> Array:
        """Return design rows of one draw, float32 (len(rows), width of one draw)."""
        whole = model.user_rows if side == "users" else model.item_rows
        k = model.n_factors // len(self)
        place = 2 + sample * k
        factors = whole[rows, place : place + k] * np.float32(math.sqrt(len(self)))
        return pack(self.biases[side][rows, sample], factors)

    def deviations(
        self, model: FactorModel, users: npt.NDArray[np.int32], items: npt.NDArray[np.int32]
    ) -> Array:
        """Return standard deviations; see `FactorModel.predict_std`."""
        out = np.empty(len(users), np.float32)
        spread_pairs(
            read_only(_placed(users, len(model.user_rows))),
            read_only(_placed(items, len(model.item_rows))),
            self._side(model, "users"),
            self._side(model, "items"),
            float(np.mean(1 / self.noise_precision)),
            out,
        )
        return out

    def _side(self, model: FactorModel, side: str) -> DrawnSide:
        """Return a side for the kernel, with one row more for ids that nobody has rated."""
        users = side == "users"
        rows = model.user_rows if users else model.item_rows
        unrated = (model.users if users else model.items)["n_train"].to_numpy() == 0
        by_genre = not users and model.coding is not None and model.coding.of_genres
        nobody = 0.0 if by_genre else self.weights[side][:, 0, 0]
        biases = np.vstack([self.biases[side], np.broadcast_to(nobody, (1, len(self)))])
        return DrawnSide(
            read_only(np.concatenate([rows, model.cold_start_row(side)])),
            read_only(biases.astype(np.float32)),
            read_only(np.append(unrated, True)),
            read_only(np.linalg.inv(self.precisions[side])),
        )


def _placed(rows: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.int32]:
    """Return row numbers with those of unknown ids at the end."""
    return np.where(rows < 0, n, rows).astype(np.int32)
