"""Popularity: every user is offered the items that most people have rated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mfdask.features.groups import DAY
from mfdask.features.weights import age_weights, newest_time
from mfdask.kernels.types import Float32s, Int32s
from mfdask.models.base import Ability, Aligned, Estimator, Model, Score, Sweep
from mfdask.models.sampling import check_liked, least_liked
from mfdask.parameters import parameter
from mfdask.shards import Dataset

_COLUMN = "n_counted"


@dataclass(frozen=True, kw_only=True, repr=False)
class PopularityModel(Model):
    """Scores an item by its number of ratings, the same for every user.

    Attributes
    ----------
    counts : float32 (items,)
        Weighted by age where there is a half-life. float32 holds whole numbers up to 2**24 exactly.
    """

    counts: Float32s

    def predict_rows(self, users: Int32s, items: Int32s, *, clip: bool = True) -> Float32s:
        """Return the counts of items, 0 of an unknown one."""
        return np.append(self.counts, np.float32(0))[items]

    def scores_of_history(self, items: Int32s, ratings: Float32s) -> Float32s:
        """Return the score of every item for somebody new, float32 (items,)."""
        return self.counts.copy()

    def align(self, data: Dataset) -> Aligned:
        """Return the model in the order of a data set's rows."""
        return _AlignedCounts(self, data)

    def columns(self, side: str) -> dict[str, pa.Array]:
        """Return the counts of the items."""
        return {_COLUMN: pa.array(self.counts)} if side == "items" else {}

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ) -> Self:
        """Read a model from its folder."""
        counts = tables["items"].pop(_COLUMN).to_numpy(np.float32)
        return cls(counts=counts, users=tables["users"], items=tables["items"], **facts)


class _AlignedCounts(Aligned):
    def scores(self, rows: np.ndarray) -> Float32s:
        """Return the counts, once for each user."""
        own = self.model.predict_rows(self.items, self.items)
        return np.tile(own, (len(rows), 1))


@dataclass(frozen=True)
class Popularity(Estimator):
    """The number of ratings of each item, of all time or of the last days, or weighted by age."""

    model_type = PopularityModel
    begins_afresh = True
    days: float | None = parameter(
        None,
        "Count the ratings of so many last days before the newest training rating alone.",
        above=0,
        none="all",
    )
    half_life: float | None = parameter(
        None,
        "A rating counts half as much for each so many days that it is older than the newest "
        "training rating.",
        above=0,
        none="no",
    )
    liked: float | None = parameter(None, "Count ratings this high and higher alone.", none="all")

    @property
    def kind(self) -> str:
        """Name of the kind of model."""
        return "popularity"

    @property
    def score(self) -> Score:
        """What its models predict."""
        return Score.COUNT

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do."""
        return frozenset({Ability.NEW_USERS})

    def fit(self, data: Dataset, **options: Any) -> PopularityModel:
        """Count; no option has any effect.

        Raises
        ------
        InputError
            If there are no timestamps where ages count, or nothing is liked.
        """
        began = time.perf_counter()
        check_liked(self.liked, data)
        newest = self._newest(data)
        counts = np.zeros(data.n_items)
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block)
            weights = (shard.ratings >= least_liked(self.liked)).astype(np.float64)
            if newest is not None:
                times = data.timestamps(block)
                assert times is not None
                weights *= self._weights(newest - times)
            counts += np.bincount(shard.indices, weights, minlength=data.n_items)
        sweep = Sweep(1, float("nan"), None, None, 0.0, time.perf_counter() - began)
        return PopularityModel.of_data(self, data, [sweep], counts=counts.astype(np.float32))

    def _newest(self, data: Dataset) -> int | None:
        """Return the time of the newest training rating; None where no age counts."""
        option = "days" if self.days is not None else "half_life"
        if getattr(self, option) is None:
            return None
        return newest_time(data, option)

    def _weights(self, ages: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return what ratings of these ages, in seconds, count."""
        weights = np.ones(len(ages))
        if self.half_life is not None:
            weights = age_weights(ages, self.half_life)
        return weights if self.days is None else weights * (ages < self.days * DAY)
