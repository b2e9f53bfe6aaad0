"""RMSE, MAE and log-likelihood of a model on held-out or training ratings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.models import Ability, Model, require_ability
from mfdask.models.base import SOURCES
from mfdask.shards import SIDES, Dataset

#: A row with n training ratings falls into the last bin that starts at or below n.
BIN_STARTS = np.array([0, 1, 6, 21, 101, 501])


def bin_labels() -> list[str]:
    """Return the bins' names: ``"0"``, ``"1-5"`` … ``"501+"``."""
    ends = [*(BIN_STARTS[1:] - 1).tolist(), None]
    labels = []
    for start, end in zip(BIN_STARTS.tolist(), ends, strict=True):
        labels.append(
            f"{start}+" if end is None else f"{start}" if start == end else f"{start}-{end}"
        )
    return labels


def bin_of(n_train: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Return the bin of each number of training ratings."""
    return np.searchsorted(BIN_STARTS, n_train, side="right") - 1


@dataclass
class ErrorSums:
    """Sums of errors, for one slice of the ratings or for each of several.

    Attributes
    ----------
    n : int64 (slices,)
        Ratings.
    squared, absolute : float64 (slices,)
    """

    n: npt.NDArray[np.int64]
    squared: npt.NDArray[np.float64]
    absolute: npt.NDArray[np.float64]

    @classmethod
    def zeros(cls, slices: int) -> ErrorSums:
        """Return `slices` empty slices."""
        return cls(np.zeros(slices, np.int64), np.zeros(slices), np.zeros(slices))

    def add(self, place: npt.NDArray[np.intp], error: npt.NDArray[np.float64]) -> None:
        """Add each error to the slice it belongs to."""
        slices = len(self.n)
        self.n += np.bincount(place, minlength=slices)
        self.squared += np.bincount(place, error**2, minlength=slices)
        self.absolute += np.bincount(place, np.abs(error), minlength=slices)

    def rmse(self) -> npt.NDArray[np.float64]:
        """Root mean squared error of each slice, NaN where it is empty."""
        return np.sqrt(np.divide(self.squared, self.n, where=self.n > 0, out=_nan(self.n)))

    def mae(self) -> npt.NDArray[np.float64]:
        """Mean absolute error of each slice, NaN where it is empty."""
        return np.divide(self.absolute, self.n, where=self.n > 0, out=_nan(self.n))


def _nan(like: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.full(len(like), np.nan)


@dataclass
class Accuracy:
    """The result of `evaluate`.

    Attributes
    ----------
    raw, clipped : ErrorSums
        Of all ratings, the predictions as they are and kept on the rating scale.
    by_user, by_item : ErrorSums
        Raw errors by the training ratings of the user and of the item, in the bins of
        `bin_labels`.
    by_source : dict of str to int
        How many predictions rest on what (`SOURCES`).
    """

    raw: ErrorSums = field(default_factory=lambda: ErrorSums.zeros(1))
    clipped: ErrorSums = field(default_factory=lambda: ErrorSums.zeros(1))
    by_user: ErrorSums = field(default_factory=lambda: ErrorSums.zeros(len(BIN_STARTS)))
    by_item: ErrorSums = field(default_factory=lambda: ErrorSums.zeros(len(BIN_STARTS)))
    by_source: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))

    @property
    def n(self) -> int:
        """Number of ratings."""
        return int(self.raw.n[0])

    def gaussian_nll(self) -> dict[str, float]:
        """Return the mean negative log-likelihood a rating, for variance 1 and for the fitted one.

        For variance 1 it is ``SSE / 2n + ln(2 pi) / 2``.
        """
        variance = float(self.raw.squared[0]) / self.n
        constant = math.log(2 * math.pi)
        fitted = (constant + math.log(variance) + 1) / 2 if variance > 0 else -math.inf
        return {"unit_variance": (variance + constant) / 2, "fitted_variance": fitted}


def evaluate(model: Model, data: Dataset, part: str = "test") -> Accuracy:
    """Hold a model against the test ratings of a data set, or against its training ratings.

    Ids are matched by their raw values: the model may be of another data set. Of unknown ones only
    the other's bias and the mean are used; `Accuracy.by_source` counts them.

    Raises
    ------
    InputError
        If that part of the data set is empty, or it or the model is not of ratings.
    """
    require_ability(model, Ability.RATINGS, "an error")
    data.require_ratings("an error of predicted ratings")
    aligned = model.align(data)
    user_bin, item_bin = (bin_of(aligned.n_train(side)) for side in SIDES)
    found = Accuracy()
    sources = np.zeros(len(SOURCES), np.int64)
    low, high = model.data.rating_min, model.data.rating_max
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, part)
        raw = aligned.predict(shard, data.timestamps(block, part))
        error = raw.astype(np.float64) - shard.ratings
        clipped = raw.clip(low, high).astype(np.float64) - shard.ratings
        users = shard.rows
        everything = np.zeros(len(error), np.intp)
        found.raw.add(everything, error)
        found.clipped.add(everything, clipped)
        found.by_user.add(user_bin[users], error)
        found.by_item.add(item_bin[shard.indices], error)
        codes = model.sources(aligned.users[users], aligned.items[shard.indices])
        sources += np.bincount(codes, minlength=len(SOURCES))
    if found.n == 0:
        raise InputError(f"{data.name}: no {part} ratings; ingest it with split random:0.1")
    found.by_source = dict(zip(SOURCES, sources.tolist(), strict=True))
    return found
