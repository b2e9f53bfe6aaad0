"""A kind of model as another package would bring it: every user is predicted the item's mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mfdask.models.base import Estimator, Model, Sweep
from mfdask.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class ItemMeansModel(Model):
    """Predicts an item's mean rating, shrunken to that of all items."""

    mean: float
    means: np.ndarray  # float32 (n_items,)

    def predict_rows(self, users, items, *, clip=True):
        found = np.append(self.means, np.float32(self.mean))[items]
        return found.clip(self.data.rating_min, self.data.rating_max) if clip else found

    def description(self):
        return {"mean": self.mean}

    def columns(self, side):
        return {"item_mean": pa.array(self.means)} if side == "items" else {}

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ):
        means = tables["items"].pop("item_mean").to_numpy(np.float32)
        return cls(mean=said["mean"], means=means, **tables, **facts)


@dataclass(frozen=True)
class ItemMeans(Estimator):
    """The mean rating of each item, shrunken to that of all items."""

    model_type = ItemMeansModel
    kind = "item-means"

    strength: float = parameter(5.0, "Ratings' worth of the common mean.", above=0)

    def fit(self, data, **options):
        total = np.full(data.n_items, self.strength * data.mean)
        count = np.full(data.n_items, self.strength)
        for block in range(data.n_blocks("items")):
            shard = data.shard("items", block)
            np.add.at(total, shard.rows, shard.ratings.astype(float))
            np.add.at(count, shard.rows, 1)
        means = (total / count).astype(np.float32)
        squared = {part: self._squared(data, part, means) for part in ("train", "test")}
        rmse = {
            part: float(np.sqrt(np.mean(own))) if len(own) else None
            for part, own in squared.items()
        }
        sweep = Sweep(1, float("nan"), rmse["train"], rmse["test"], 0.0, 0.0)
        return ItemMeansModel.of_data(self, data, [sweep], mean=data.mean, means=means)

    @staticmethod
    def _squared(data, part, means):
        shards = [data.shard("users", block, part) for block in range(data.n_blocks("users"))]
        return np.concatenate(
            [np.square(means[s.indices] - s.ratings, dtype=float) for s in shards]
        )
