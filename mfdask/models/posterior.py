"""Gathers a sampler's draws on the way, and makes a model of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.features.file import ItemFeatures
from mfdask.models.design import Array, empty_rows
from mfdask.models.fit import FitResult
from mfdask.models.method import Method
from mfdask.models.model import FactorModel
from mfdask.models.prior import RowPrior
from mfdask.models.samples import Samples
from mfdask.models.sides import SIDES
from mfdask.shards import Dataset


class Posterior:
    """The draws of the sweeps that are kept, written straight into the rows of the model.

    Rows without ratings are drawn like all others while the sampler runs; what is kept of them is
    their prior's mean, which is what is known of them.

    Parameters
    ----------
    data : Dataset
    method : Method
    sweeps : list of int
        The sweeps to keep, ascending.
    features : ItemFeatures or None
        What the items' prior follows.
    """

    def __init__(
        self, data: Dataset, method: Method, sweeps: list[int], features: ItemFeatures | None
    ) -> None:
        self._sweeps = sweeps
        self._k = method.n_factors
        self._drawn = 0
        self._unrated = {
            side: np.flatnonzero(table["n_train"].to_numpy() == 0)
            for side, table in (("users", data.users()), ("items", data.items()))
        }
        # What the means of the unrated rows follow: the one feature 1, where nothing else.
        self._seen: dict[str, Array] = {
            side: np.ones((len(rows), 1), np.float32) for side, rows in self._unrated.items()
        }
        if features:
            self._seen["items"] = features.encode(data, self._unrated["items"])
        draws, d = len(sweeps), self._k + 1
        self._arrays: dict[str, npt.NDArray[Any]] = {"draws-noise": np.empty(draws)}
        for side, n in zip(SIDES, (data.n_users, data.n_items), strict=True):
            self._arrays |= {
                f"draws-{side}": empty_rows(n, draws * self._k),
                f"draws-{side}-biases": np.empty((n, draws), np.float32),
                f"draws-{side}-precisions": np.empty((draws, d, d)),
                f"draws-{side}-weights": np.empty((draws, self._seen[side].shape[1], d)),
            }

    def wants(self, sweep: int) -> bool:
        """Whether the rows after a sweep are to be added."""
        return sweep in self._sweeps

    def add(self, rows: dict[str, Array], priors: dict[str, RowPrior]) -> None:
        """Take one draw of the rows of both sides, and the priors that they were drawn from."""
        s, k = self._drawn, self._k
        self._arrays["draws-noise"][s] = priors["users"].fidelity
        place = slice(2 + s * k, 2 + (s + 1) * k)
        for side, drawn in rows.items():
            prior, unrated = priors[side], self._unrated[side]
            rest = self._seen[side] @ prior.weights
            biases = self._arrays[f"draws-{side}-biases"]
            biases[:, s], biases[unrated, s] = drawn[:, 0], rest[:, 0]
            factors = self._arrays[f"draws-{side}"][:, place]
            factors[:], factors[unrated] = drawn[:, 2 : 2 + k], rest[:, 1:]
            factors /= np.float32(math.sqrt(len(self._sweeps)))
            self._arrays[f"draws-{side}-precisions"][s] = prior.precision
            self._arrays[f"draws-{side}-weights"][s] = prior.weights
        self._drawn += 1

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was gathered, for a checkpoint."""
        return self._arrays

    def load(self, sweep: int, read: Callable[[str], npt.NDArray[Any]]) -> None:
        """Take back what a checkpoint after `sweep` holds."""
        for name, array in self._arrays.items():
            array[:] = read(name)
        self._drawn = sum(kept <= sweep for kept in self._sweeps)

    def model(self, method: Method, data: Dataset, fitted: FitResult) -> FactorModel:
        """Return the model that averages over the draws."""
        found = self._arrays
        samples = Samples(
            found["draws-noise"],
            {side: found[f"draws-{side}-biases"] for side in SIDES},
            {side: found[f"draws-{side}-precisions"] for side in SIDES},
            {side: found[f"draws-{side}-weights"] for side in SIDES},
        )
        for side in SIDES:
            found[f"draws-{side}"][:, 0] = samples.biases[side].mean(axis=1)
        weights = None
        if fitted.features:
            packed = samples.pack(samples.weights["items"])
            weights = np.delete(packed[:, : len(samples) * self._k + 2], 1, axis=1)
        return FactorModel.of_data(
            method,
            data,
            user_rows=found["draws-users"],
            item_rows=found["draws-items"],
            fitted=fitted,
            feature_weights=weights,
            samples=samples,
        )
