"""Popularity: every user is offered the items that most people have rated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from mfdask.errors import InputError
from mfdask.kernels.types import Float32s, Int32s
from mfdask.models.base import Ability, Aligned, Estimator, Model, Score, Sweep
from mfdask.models.sampling import check_liked, least_liked
from mfdask.parameters import parameter
from mfdask.shards import Dataset

_COLUMN = "n_counted"
_DAY = 86_400


@dataclass(frozen=True, kw_only=True, repr=False)
class PopularityModel(Model):
    """Scores an item by its number of ratings, the same for every user.

    Attributes
    ----------
    counts : float32 (items,)
        float32 holds whole numbers up to 2**24 exactly.
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
    """The number of ratings of each item, of all time or of the last days."""

    model_type = PopularityModel
    begins_afresh = True
    days: float | None = parameter(
        None,
        "Count the ratings of so many last days before the newest training rating alone.",
        above=0,
        none="all",
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
            If there are no timestamps where days are counted, or nothing is liked.
        """
        began = time.perf_counter()
        check_liked(self.liked, data)
        since = self._since(data)
        counts = np.zeros(data.n_items, np.int64)
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block)
            counted = shard.ratings >= least_liked(self.liked)
            if since is not None:
                counted &= _times(data, block) > since
            counts += np.bincount(shard.indices[counted], minlength=data.n_items)
        sweep = Sweep(1, float("nan"), None, None, 0.0, time.perf_counter() - began)
        return PopularityModel.of_data(self, data, [sweep], counts=counts.astype(np.float32))

    def _since(self, data: Dataset) -> float | None:
        """Return the second before the first that counts; None: all count."""
        if self.days is None:
            return None
        blocks = [_times(data, block) for block in range(data.n_blocks("users"))]
        newest = max((int(times.max()) for times in blocks if len(times)), default=0)
        return newest - self.days * _DAY


def _times(data: Dataset, block: int) -> np.ndarray:
    times = data.timestamps(block)
    if times is None:
        raise InputError(f"`days`: {data.name} has no timestamps; leave it out")
    return times
