"""Fold-in: the vector of a user whom the model has not seen, solved from their ratings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.kernels.topn import Rated
from mfdask.kernels.types import Float32s, Float64s, Int32s, read_only
from mfdask.models import Ability, FactorModel, Model, require_ability
from mfdask.models.design import Array, empty_rows, pack, swap_bias_columns, unknowns
from mfdask.models.half_step import UpdateConfig, half_step
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.rerank import Reranker
from mfdask.recommendation.topn import best_of_rows, best_scored, tiles_among
from mfdask.shards import Dataset, Shard


@dataclass(frozen=True, eq=False)
class History:
    """All that a person has rated.

    Attributes
    ----------
    items : int32 (ratings,)
        Rows of the model's items, ascending.
    ratings : float32 (ratings,)
    weights : float32 (ratings,) or None
        How much each counts, as in a fit; None where each weighs 1.
    times : int64 (ratings,) or None
        Seconds since 1970; None where nobody knows what was rated last.
    user : int or str, optional
        Raw id of whose ratings they are: a model that follows features of users knows theirs by it.
    """

    items: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None = None
    times: npt.NDArray[np.int64] | None = None
    user: Any = None

    @classmethod
    def of_user(cls, data: Dataset, row: int) -> History:
        """Return the training ratings of a row of a data set."""
        block = int(np.searchsorted(data.bounds("users"), row, side="right")) - 1
        shard = data.shard("users", block)
        own = slice(*shard.indptr[row - shard.start : row - shard.start + 2])
        weights, times = data.weights(block), data.timestamps(block)
        return cls(
            items=np.array(shard.indices[own]),
            ratings=np.array(shard.ratings[own]),
            weights=None if weights is None else np.array(weights[own]),
            times=None if times is None else np.array(times[own]),
            user=data.users()["user_id"].iloc[row],
        )

    @classmethod
    def of(cls, model: Model, ratings: Mapping[Any, float]) -> History:
        """Return the history of ratings by raw item id.

        Raises
        ------
        InputError
            If there is none, an item is unknown, or a rating is off the model's scale.
        """
        if not ratings:
            raise InputError("an empty history: give at least one rated item")
        low, high = model.data.scale
        scale = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} up"
        for item, rating in ratings.items():
            if not (low <= rating <= high and math.isfinite(rating)):
                raise InputError(f"item {item}, rated {rating:g}: ratings here go from {scale}")
        items = known_rows(model, "items", ratings)
        order = np.argsort(items)
        return cls(items[order], np.array(list(ratings.values()), np.float32)[order])


@runtime_checkable
class ScoresHistory(Protocol):
    """A model that scores items from what a person has rated, without a row of theirs."""

    def scores_of_history(self, items: Int32s, ratings: Float32s) -> Float32s:
        """Return the score of every item of the model, float32 (n_items,).

        Parameters
        ----------
        items : int32 (rated,)
            Rows of what the person has rated, ascending.
        ratings : float32 (rated,)
        """


@runtime_checkable
class SharesRow(Protocol):
    """A factor model that solves a new user's row in a way of its own."""

    def shares_of_history(self, items: Int32s, ratings: Float32s) -> Float64s:
        """Return what each rating adds to the row ``[bias, factors]``, float64 (rated, D)."""


def fold_in(model: FactorModel, history: History) -> Array:
    """Return the design row that training would give this user, the items held still.

    float32 (1, width). A model may solve it in a way of its own (`SharesRow`). Else, bias and
    factors are solved together, without damping, whichever way the fit went to its solution; for a
    Bayesian model in each of its draws.

    Raises
    ------
    InputError
        If the equations have no solution.
    """
    if isinstance(model, SharesRow):
        row = model.shares_of_history(history.items, history.ratings).sum(axis=0, keepdims=True)
        return pack(row[:, 0].astype(np.float32), row[:, 1:].astype(np.float32))
    rule, shard = own_equations(model, history)
    n_factors = rule.n_factors
    nobody = empty_rows(1, n_factors)
    rows = [
        half_step(shard, fixed, nobody, rule, prior).rows
        for fixed, prior in model.draws(history.items, history.user)
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
    weights: npt.NDArray[np.floating[Any]] = np.ones(n)
    if history.weights is not None:
        mean = model.data.mean_weight if estimator.relative_weights else None
        weights = history.weights / (1.0 if mean is None else mean)
    if history.times is not None and estimator.recency is not None:
        weights = weights * estimator.recency.weights(ends, history.times)
    roots = None if (weights == 1).all() else np.sqrt(weights).astype(np.float32)
    shard: Shard = estimator.observed(Shard("users", 0, 0, ends, places, history.ratings, roots))
    return replace(config, mean_rating=model.mean, alternating=False, damping=1.0), shard


def predict_new(model: Model, history: History, item_ids: Any) -> Float32s:
    """Return the predictions of items for somebody new, float32 (items,).

    Stars are kept on the model's scale. An item that a model does not know is predicted as one that
    nobody has rated, or is missing.

    Raises
    ------
    InputError
        If the model takes in no users that it has not seen.
    """
    require_ability(model, Ability.NEW_USERS, "predictions for somebody new")
    places = model.rows_of("items", item_ids)
    if isinstance(model, FactorModel):
        rows = np.concatenate([model.item_rows, model.cold_start_row("items")])[places]
        found = rows @ swap_bias_columns(fold_in(model, history))[0] + np.float32(model.mean)
    else:
        assert isinstance(model, ScoresHistory)
        scores = model.scores_of_history(history.items, history.ratings)
        found = np.append(scores, np.float32(np.nan))[places]
    if model.can(Ability.RATINGS):
        found = found.clip(model.data.rating_min, model.data.rating_max)
    return found


def recommend_new(model: Model, history: History, ranking: Ranking | None = None) -> pd.DataFrame:
    """Return the best items for a new user; what they have rated is left out.

    Returns
    -------
    DataFrame
        `rank`, `item_id`, `title`, `year` and `genres` where the model has them, `n_train`, and
        `score`, see `Ranking`; the index is the item's row.

    Raises
    ------
    InputError
        If the model takes in no users that it has not seen.
    """
    ranking = ranking or Ranking()
    require_ability(model, Ability.NEW_USERS, "a list for somebody new")
    candidates, reranker = ranking.candidates(model), Reranker.of(model, ranking)
    rated = Rated(*map(read_only, (np.array([0, len(history.items)], np.int64), history.items)))
    best_among = _new_user(model, history, rated, ranking)
    if reranker is None:
        best, items = best_among(candidates, ranking.top)
    else:
        wanted = zip((candidates, reranker.candidates), reranker.lengths(ranking.top), strict=True)
        lists = [best_among(rows, n) for rows, n in wanted if n]
        best, items = reranker.choose(lists, rated, ranking.top)
    found = items[0][items[0] >= 0]
    table = model.items.loc[found].copy()
    table.insert(0, "rank", np.arange(1, len(found) + 1))
    table["score"] = best[0, : len(found)]
    return table


def _new_user(
    model: Model, history: History, rated: Rated, ranking: Ranking
) -> Callable[[Int32s, int], tuple[Array, Int32s]]:
    """Return what finds the best of some items for somebody new, as `Search.best` for one user."""
    if isinstance(model, FactorModel):
        row, factors = fold_in(model, history), model

        def by_factors(candidates: Int32s, top: int) -> tuple[Array, Int32s]:
            tiles = tiles_among(factors, ranking, candidates)
            best, items = best_of_rows(row, factors.n_factors, tiles, rated, top)
            return best + (np.float32(factors.mean) + row[0, 0]), items

        return by_factors
    assert isinstance(model, ScoresHistory)
    scores = model.scores_of_history(history.items, history.ratings)[None]
    return lambda candidates, top: best_scored(scores[:, candidates], candidates, rated, top)
