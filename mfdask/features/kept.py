"""What a model keeps of the features that its priors follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.features.encoder import FeatureEncoder
from mfdask.features.file import FeaturesOf, SideFeatures
from mfdask.kernels.types import Float32s
from mfdask.shards import Dataset

_WEIGHTS, _COLUMNS = "user_feature_weights.parquet", "user_features.parquet"


@dataclass(frozen=True, eq=False)
class UserFeatures:
    """Features of a model's users, and what each stands for.

    Attributes
    ----------
    encoder : FeatureEncoder
    weights : float32 (features, n_factors + 1)
        Bias and factors.
    table : DataFrame
        The columns that are encoded, one line a user of the model.
    """

    encoder: FeatureEncoder
    weights: Float32s
    table: pd.DataFrame

    def of_row(self, row: int) -> Float32s:
        """Return the features of a user, float32 (1, features); -1 for an unknown one."""
        return self.encoder.encode(self.table.iloc[[row]] if row >= 0 else pd.DataFrame(index=[0]))

    def given_again(self, ids: pd.Series) -> SideFeatures:
        """Return what `fit` takes to learn the model again; `ids` are those of its users."""
        return SideFeatures("users", self.encoder, known=self.table.set_axis(pd.Index(ids)))

    def write(self, folder: Path, ids: pd.Series) -> None:
        """Write the columns by id, and the weights of their features."""
        self.table.set_axis(ids).reset_index().to_parquet(folder / _COLUMNS, index=False)
        named = {"feature": self.encoder.names}
        columns = {f"w{place:02d}": own for place, own in enumerate(self.weights.T)}
        pq.write_table(pa.table(named | columns), folder / _WEIGHTS)

    @classmethod
    def read(cls, folder: Path, said: Mapping[str, Any] | None) -> UserFeatures | None:
        """Read them, if there are any; `said` is what the encoder's `to_dict` returned."""
        if said is None:
            return None
        encoder = FeatureEncoder.from_dict(said)
        weights = pd.read_parquet(folder / _WEIGHTS)
        if encoder.names != weights.pop("feature").tolist():
            raise ValueError(f"{_WEIGHTS} is of other features")
        columns = pd.read_parquet(folder / _COLUMNS).iloc[:, 1:]
        return cls(encoder, np.ascontiguousarray(weights.to_numpy(np.float32)), columns)


def learned_features(
    features: FeaturesOf, weights: Mapping[str, Float32s], data: Dataset
) -> dict[str, Any]:
    """Return what a model of a data set keeps of features, and of their weights, by side."""
    found: dict[str, Any] = {}
    if "items" in features:
        own = features["items"]
        found |= {"encoder": own.encoder, "item_features": own.own_table(data)}
        found["feature_weights"] = weights["items"]
    if "users" in features:
        own = features["users"]
        found["user_features"] = UserFeatures(own.encoder, weights["users"], own.table(data))
    return found
