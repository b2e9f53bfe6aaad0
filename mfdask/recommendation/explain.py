"""Explanations of recommendations: the parts that add up to a score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.models import FactorModel
from mfdask.models.design import Array, Float64s, RowPrior, unknowns
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.fold_in import History, SharesRow, own_equations
from mfdask.recommendation.topn import Rows


class Reasons(NamedTuple):
    """Parts of the scores of some items for one user, in the units of the score.

    For each item, ``score = mean + user_bias + item + sum of its `rated` parts``. For an item that
    nobody has rated, ``mean + user_bias + sum of its `genres` parts`` is the same score, seen from
    the item; its row is one sweep older than the genres' weights, which shows in the fourth digit.

    Attributes
    ----------
    mean : float
        The mean rating.
    user_bias : float
        How much higher than others this user rates; the same for every item.
    items : DataFrame
        `item_id`, `item` (bias weight times its bias, and in a Bayesian model what people at large
        think of it) and `score`.
    rated : DataFrame
        `item_id`, `rated_id` and `part`: what the user's rating of that other item says of their
        taste for this one.
    genres : DataFrame
        `item_id`, `genre` and `part`, for items without ratings in a model with a genre prior; or
        of other features by their names, where the prior follows those.
    basis : str
        What the `rated` parts are.
    """

    mean: float
    user_bias: float
    items: pd.DataFrame
    rated: pd.DataFrame
    genres: pd.DataFrame
    basis: str = "what each rating adds to the score"


def explain(
    model: FactorModel, history: History, item_ids: object, ranking: Ranking | None = None
) -> Reasons:
    """Take the scores of items for a folded-in user apart.

    The user's row is ``A^-1 fidelity sum x_i y_i`` with ``x_i = [1, q_i]``: a sum over the rated
    items, linear in what each rating says beyond mean and item bias, ``y_i``, and in the prior's
    mean where that is not zero. So is the product of its factors with another item's.

    Raises
    ------
    InputError
        If an item is unknown.
    """
    weight = (ranking or Ranking()).weight_for(model)
    rows = known_rows(model, "items", item_ids)
    everybody, shares = _shares_of_row(model, history)
    user = everybody + shares.sum(axis=0)
    factors = model.item_factors[rows].astype(np.float64)
    parts = factors @ shares[:, 1:].T
    own = weight * model.item_bias[rows].astype(np.float64) + factors @ everybody[1:]
    ids = model.items["item_id"]
    rated = pd.DataFrame(
        {
            "item_id": ids.take(np.repeat(rows, len(shares))).array,
            "rated_id": ids.take(np.tile(history.items, len(rows))).array,
            "part": parts.ravel(),
        }
    )
    score = model.mean + user[0] + own + parts.sum(axis=1)
    items = pd.DataFrame({"item_id": ids.take(rows).array, "item": own, "score": score})
    genres = _genres(model, rows, np.append(weight, user[1:]))
    return Reasons(model.mean, float(user[0]), items, rated, genres)


def _shares_of_row(model: FactorModel, history: History) -> tuple[Float64s, Float64s]:
    """Return the parts of a user's bias and factors: the prior's (D,), each rating's (rated, D).

    This inverts the equations of `fold_in`, whose solution is the sum. A Bayesian model's parts are
    those of its draws, side by side.
    """
    if isinstance(model, SharesRow):
        shares = model.shares_of_history(history.items, history.ratings)
        return np.zeros(shares.shape[1]), shares
    parts = [
        _shares_of_draw(unknowns(rows, len(prior.precision)), prior, model, history)
        for rows, prior in model.draws(history.items, history.user)
    ]
    found = np.stack(parts)
    whole = model.join_draws(found).astype(np.float64)
    return whole[0], whole[1:]


def _shares_of_draw(
    items: Array, prior: RowPrior, model: FactorModel, history: History
) -> Float64s:
    """Return the parts of one draw, float64 (1 + rated, D): the prior's first."""
    config, own = own_equations(model, history)
    design = items[own.indices].astype(np.float64)
    if config.unrated_weight:
        beyond = np.ones(own.n_ratings)
        design[:, 0] = 0
    else:
        beyond = own.ratings - model.mean - design[:, 0]
        design[:, 0] = 1
    if own.roots is not None:
        roots = own.roots.astype(np.float64)
        design *= roots[:, None]
        beyond = beyond * roots
    scaled = prior.precision * prior.scale(own.n_ratings, config.reg_scaling)
    system = prior.fidelity * (design.T @ design + prior.unrated_gram()) + scaled
    pulls = np.column_stack([scaled @ prior.first_mean, prior.fidelity * design.T * beyond])
    parts = np.zeros((1 + len(items), len(system)))
    parts[np.append(0, 1 + own.indices)] = np.linalg.solve(system, pulls).T
    return parts


def _genres(model: FactorModel, rows: Rows, user: Float64s) -> pd.DataFrame:
    """Return what each genre or other feature adds to the score of each item without ratings.

    `user` is ``[bias weight, factors]``.
    """
    rows = rows[model.items["n_train"].to_numpy()[rows] == 0]
    shares, worth = np.zeros((len(rows), 0), np.float32), np.zeros(0)
    if model.encoder and model.feature_weights is not None:
        shares = model.encoder.encode(model.described_items.take(rows))
        worth = model.feature_weights @ user
    item, genre = np.nonzero(shares)
    return pd.DataFrame(
        {
            "item_id": model.items["item_id"].take(rows[item]).array,
            "genre": np.array(model.feature_names, object)[genre],
            "part": shares[item, genre] * worth[genre],
        }
    )
