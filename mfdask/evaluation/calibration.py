"""Coverage of a Bayesian model's intervals on held-out ratings."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.accuracy import bin_labels, bin_of
from mfdask.models import Model
from mfdask.shards import Dataset

#: Shares of the ratings that the intervals are meant to hold.
INTERVALS = (0.5, 0.8, 0.95)


def measure_calibration(model: Model, data: Dataset, part: str = "test") -> pd.DataFrame:
    """Return how many held-out ratings lie within central intervals around their predictions.

    An interval is normal, with the standard deviation of `Model.predict_std`. Ratings of
    users and items that the model has no row for are left out.

    Returns
    -------
    DataFrame
        `users` ("all", or a bin of training ratings of the user), `n`, `interval` (what is meant)
        and `covered` (what is found), one line a slice with ratings and interval.

    Raises
    ------
    InputError
        If the model is not a Bayesian one, or no rating is left.
    """
    users, items, ratings, times = _pairs(model, data, part)
    if not len(ratings):
        raise InputError(
            f"{data.name}: no {part} ratings of users and items that the model knows; give the "
            "data set that it was learned from"
        )
    predicted = model.predict_rows(users, items, clip=False)
    predicted += model.offsets_at(users, items, times)
    away = np.abs(predicted - ratings) / model.predict_std(users, items, times)
    bins = bin_of(model.users["n_train"].to_numpy()[users])
    lines = []
    for label, here in [("all", bins >= 0)] + [(s, bins == b) for b, s in enumerate(bin_labels())]:
        for interval in INTERVALS:
            covered = away[here] <= NormalDist().inv_cdf((1 + interval) / 2)
            lines.append((label, len(covered), interval, covered.mean() if len(covered) else 0.0))
    found = pd.DataFrame(lines, columns=["users", "n", "interval", "covered"])
    return found[found["n"] > 0].reset_index(drop=True)


def _pairs(
    model: Model, data: Dataset, part: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the model's rows, rating and time of each pair that it has rows for."""
    users = model.rows_of("users", data.users()["user_id"])
    items = model.rows_of("items", data.items()["item_id"])
    blocks = range(data.n_blocks("users"))
    shards = [data.shard("users", block, part) for block in blocks]
    found = np.concatenate([users[shard.rows] for shard in shards])
    other = np.concatenate([items[shard.indices] for shard in shards])
    ratings = np.concatenate([shard.ratings for shard in shards])
    known = (found >= 0) & (other >= 0)
    every = [data.timestamps(block, part) for block in blocks]
    times = [own for own in every if own is not None]
    dated = np.concatenate(times)[known] if times else None
    return found[known], other[known], ratings[known], dated
