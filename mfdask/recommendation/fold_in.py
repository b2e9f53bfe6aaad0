"""Fold-in: the vector of a user whom the model has not seen, solved from their ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.kernels.topn import Rated
from mfdask.models import FactorModel
from mfdask.models.design import Array, empty_rows, pack, unknowns
from mfdask.models.half_step import UpdateConfig, half_step, read_only
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.topn import best_of_rows, tiles_of
from mfdask.shards import Shard


@dataclass(frozen=True, eq=False)
class History:
    """All that a person has rated.

    Attributes
    ----------
    items : int32 (ratings,)
        Rows of the model's items, ascending.
    ratings : float32 (ratings,)
    """

    items: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]

    @classmethod
    def of(cls, model: FactorModel, ratings: Mapping[Any, float]) -> History:
        """Return the history of ratings by raw item id.

        Raises
        ------
        InputError
            If there is none, an item is unknown, or a rating is off the model's scale.
        """
        if not ratings:
            raise InputError("an empty history: give at least one rated item")
        low, high = model.data.rating_min, model.data.rating_max
        for item, rating in ratings.items():
            if not low <= rating <= high:  # not a number either
                raise InputError(
                    f"item {item}, rated {rating:g}: ratings here go from {low:g} to {high:g}"
                )
        items = known_rows(model, "items", ratings)
        order = np.argsort(items)
        return cls(items[order], np.array(list(ratings.values()), np.float32)[order])


def fold_in(model: FactorModel, history: History) -> Array:
    """Return the design row that training would give this user, the items held still.

    float32 (1, width). Bias and factors are solved together, without damping, whichever way the
    fit went to its solution; for a Bayesian model in each of its draws.

    Raises
    ------
    InputError
        If the equations have no solution.
    """
    rule, shard = own_equations(model, history)
    n_factors = rule.n_factors
    nobody = empty_rows(1, n_factors)
    rows = [
        half_step(shard, fixed, nobody, rule, prior).rows
        for fixed, prior in model.draws(history.items)
    ]
    joined = model.join_draws(np.stack([unknowns(row, n_factors + 1) for row in rows]))
    return pack(joined[:, 0], joined[:, 1:])


def own_equations(model: FactorModel, history: History) -> tuple[UpdateConfig, Shard]:
    """Return the half-step that solves a user's row, and their ratings as it takes them.

    These point to places in the history. What implicit feedback does not observe is left out.
    """
    estimator: Any = model.estimator
    config: UpdateConfig = estimator.update_config(model.mean)
    n = len(history.items)
    places, ends = np.arange(n, dtype=np.int32), np.array([0, n], np.int64)
    shard: Shard = estimator.observed(Shard("users", 0, 0, ends, places, history.ratings))
    return replace(config, mean_rating=model.mean, alternating=False, damping=1.0), shard


def recommend_new(
    model: FactorModel, history: History, ranking: Ranking | None = None
) -> pd.DataFrame:
    """Return the best items for a new user; what they have rated is left out.

    Returns
    -------
    DataFrame
        `rank`, `item_id`, `title`, `year` and `genres` where the model has them, `n_train`, and
        `score`, see `Ranking`; the index is the item's row.
    """
    ranking = ranking or Ranking()
    row = fold_in(model, history)
    rated = Rated(*map(read_only, (np.array([0, len(history.items)], np.int64), history.items)))
    tiles = tiles_of(model, ranking)
    best, items = best_of_rows(row, model.n_factors, tiles, rated, ranking.top)
    found = items[0][items[0] >= 0]
    table = model.items.loc[found].copy()
    table.insert(0, "rank", np.arange(1, len(found) + 1))
    table["score"] = best[0, : len(found)] + np.float32(model.mean) + row[0, 0]
    return table
