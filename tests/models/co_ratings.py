"""A kind of model that only ranks: by how many people have rated an item beside those of a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mfdask.models.base import Ability, Estimator, Model, Score, Sweep


@dataclass(frozen=True, kw_only=True)
class CoRatingsModel(Model):
    """Adds up, over the items of a user, how many people have rated both."""

    together: np.ndarray  # float32 (n_items, n_items)
    rated: list[np.ndarray]  # rows of each user's items

    def scores_of_history(self, items, ratings):
        return self.together[items].sum(axis=0)

    def predict_rows(self, users, items, *, clip=True):
        users, items = self.checked_pairs(users, items)
        scores = [self.scores_of_history(self.rated[user], None) for user in range(len(self.users))]
        scores.append(np.zeros(len(self.items), np.float32))  # of nobody
        return np.stack(scores)[users, items]

    def columns(self, side):
        if side == "users":
            return {"rated": pa.array(self.rated)}
        return {"together": pa.array(list(self.together))}

    @classmethod
    def read(
        cls, folder: Path, said: Mapping[str, Any], tables: dict[str, pd.DataFrame], **facts: Any
    ):
        together = np.stack(tables["items"].pop("together"))
        rated = list(tables["users"].pop("rated"))
        return cls(together=together, rated=rated, **tables, **facts)


@dataclass(frozen=True)
class CoRatings(Estimator):
    """How many people have rated two items."""

    model_type = CoRatingsModel
    kind = "co-ratings"
    score = Score.PREFERENCE
    abilities = frozenset({Ability.NEW_USERS})

    def fit(self, data, **options):
        matrix = np.zeros((data.n_users, data.n_items), np.float32)
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block)
            matrix[shard.rows, shard.indices] = 1
        together = matrix.T @ matrix
        np.fill_diagonal(together, 0)
        rated = [np.flatnonzero(row).astype(np.int32) for row in matrix]
        sweep = Sweep(1, float("nan"), None, None, 0.0, 0.0)
        return CoRatingsModel.of_data(self, data, [sweep], together=together, rated=rated)
