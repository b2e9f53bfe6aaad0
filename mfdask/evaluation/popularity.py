"""The popularity baseline: rank items by their number of ratings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mfdask.evaluation.ranking import Scorer
from mfdask.models.design import Array
from mfdask.shards import Dataset

#: What the baseline is called beside models.
NAME = "popularity"


def popularity_scorer(data: Dataset) -> Scorer:
    """Score each item with its number of training ratings, the same for every user.

    float32 holds counts up to 2**24 exactly: more ratings of one item than users in any data set
    that this system is made for.
    """
    n_train = data.items()["n_train"].to_numpy(np.float32)

    def scores(users: npt.NDArray[np.int64]) -> Array:
        return np.tile(n_train, (len(users), 1))

    return scores
