"""Similar items by cosine, and the items with the longest and shortest factors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError, require
from mfdask.models import FactorModel, Model
from mfdask.models.factor_model import require_factors
from mfdask.recommendation.candidates import known_rows

#: How many items a comparison should be among, and how many ratings they should have, at best.
_ENOUGH_ITEMS = 100
_LADDER = (1000, 500, 200, 100, 50, 20, 10, 5, 1)
#: Ratings that look-alikes need at most, by default: a direction needs fewer than a length.
_FOR_COSINE = 100


def enough_ratings(model: Model, at_most: int = _LADDER[0]) -> int:
    """Return the training ratings that an item must have to be spoken of.

    The highest rung of a ladder from 1,000 (or `at_most`) down that a hundred items reach: with few
    ratings factors are short, and lists are of oddities.
    """
    counts = model.items["n_train"].to_numpy()
    rungs = (rung for rung in _LADDER if rung <= at_most)
    return next((rung for rung in rungs if (counts >= rung).sum() >= _ENOUGH_ITEMS), 1)


def least_alike(model: Model) -> int:
    """Return the training ratings that look-alikes have at least, by default."""
    return enough_ratings(model, _FOR_COSINE)


def similar(
    model: Model, item_id: object, *, top: int = 10, min_ratings: int | None = None
) -> pd.DataFrame:
    """Return the items whose factors point most nearly the same way.

    Parameters
    ----------
    model : Model
    item_id : raw id
    top : int
    min_ratings : int, optional
        Training ratings that the others must have; by default 100, or fewer where less than a
        hundred items have as many, see `least_alike`.

    Returns
    -------
    DataFrame
        The item table's columns and `cosine`, from 1 down; ties by row.

    Raises
    ------
    InputError
        If the item is unknown or without factors.
    """
    require(top >= 1, "top", top, "1 or more")
    require((min_ratings or 0) >= 0, "min_ratings", min_ratings, "0 or more")
    model = require_factors(model, "a list of similar items")
    (row,) = known_rows(model, "items", [item_id]).tolist()
    norm = _norms(model)
    if norm[row] == 0:
        raise InputError(
            f"item {item_id}: the model has learned no factors for it, so nothing is like it"
        )
    least = least_alike(model) if min_ratings is None else min_ratings
    good = _rated_enough(model, least) & (norm > 0)
    good[row] = False
    others = np.flatnonzero(good)
    products = model.item_factors[others].astype(np.float64) @ model.item_factors[row]
    cosine = products / (norm[others] * norm[row])
    order = np.argsort(-cosine, kind="stable")[:top]
    return model.items.iloc[others[order]].assign(cosine=cosine[order])


def polarity(
    model: Model, *, top: int = 10, min_ratings: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the items that divide people most, and those that divide them least.

    An item's polarity is the length of its factors: how far taste moves its ratings, in stars for a
    user of factors of length 1. Few ratings make short factors, so items of fewer than
    `min_ratings` are left out; by default of fewer than `enough_ratings`.

    Returns
    -------
    most, least : DataFrame
        The item table's columns and `polarity`, the most telling first; no item is in both.

    Raises
    ------
    InputError
        If the model has no factors, or no item has so many ratings.
    """
    require(top >= 1, "top", top, "1 or more")
    require((min_ratings or 0) >= 0, "min_ratings", min_ratings, "0 or more")
    model = require_factors(model, "polarity")
    norm = _norms(model)
    fewest = enough_ratings(model) if min_ratings is None else min_ratings
    rows = np.flatnonzero(_rated_enough(model, fewest))
    order = rows[np.argsort(-norm[rows], kind="stable")]
    table = model.items.iloc[order].assign(polarity=norm[order])
    half = (len(table) + 1) // 2
    most, least = table.iloc[:half], table.iloc[half:].iloc[::-1]
    return most.head(top), least.head(top)


def _norms(model: FactorModel) -> npt.NDArray[np.float64]:
    """Return the length of each item's factors."""
    return np.sqrt(np.square(model.item_factors, dtype=np.float64).sum(axis=1))


def _rated_enough(model: Model, min_ratings: int) -> npt.NDArray[np.bool_]:
    n_train = model.items["n_train"].to_numpy()
    wanted = f"{n_train.max()} or less, the most training ratings of an item"
    require(min_ratings <= n_train.max(), "min_ratings", min_ratings, wanted)
    return np.asarray(n_train >= min_ratings)
