"""Two-dimensional embeddings of items and genres, by their factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError, require
from mfdask.models import FactorModel, Model
from mfdask.models.design import Array
from mfdask.models.factor_model import require_factors

METHODS = ("direct", "pca", "tsne")
#: Neighbours that t-SNE looks at, where there are enough items.
_PERPLEXITY = 30.0
#: Half of t-SNE's steps, and wider groups of points that count as one: the map of 1,500 items takes
#: 2.6 in place of 7.0 seconds, and its divergence is 1.541 in place of 1.529.
_QUICK = {"max_iter": 500, "angle": 0.8}


def embed(
    model: Model,
    method: str = "pca",
    *,
    min_ratings: int = 1,
    seed: int = 42,
    quick: bool = False,
) -> pd.DataFrame:
    """Place items and genres in a plane by their factors.

    A genre has the factors that a genre model has learned for it, else the mean of its items'
    factors, and is placed like an item.

    Parameters
    ----------
    model : Model
    method : {"direct", "pca", "tsne"}
        The factors themselves, where there are two; the plane in which the items vary most; or
        t-SNE, which keeps neighbours together and takes minutes for tens of thousands of items.
    min_ratings : int
        Leave out items with fewer training ratings. A genre's mean rests on the others alone.
    seed : int
        Of t-SNE.
    quick : bool
        Whether t-SNE may end before it is quite done: a picture shows no difference.

    Returns
    -------
    DataFrame
        `kind` ("item" or "genre"), `item_id` (missing for a genre), `title` (of a genre its name),
        `genres`, `n_train` (training ratings; of a genre those of its items here), `x`, `y`
        (float32).

    Raises
    ------
    InputError
        If the model has too few factors for the method, too few items are left, or scikit-learn is
        missing.
    """
    model = require_factors(model, "a picture of the items")
    needed = "two factors" if method == "direct" else "two factors or more"
    require(method in METHODS, "method", method, " or ".join(METHODS))
    require(min_ratings >= 0, "min_ratings", min_ratings, "0 or more")
    if model.n_factors < 2 or (method == "direct" and model.n_factors > 2):
        raise InputError(
            f"`method` {method}: needs a model with {needed}, this one has {model.n_factors}; "
            f"train one with {2 if method == 'direct' else 20}"
        )
    kept = (model.items["n_train"] >= min_ratings).to_numpy()
    if kept.sum() < 4:
        raise InputError(
            f"`min_ratings` {min_ratings}: leaves {kept.sum()} of {len(kept):,} items, too few for "
            "a picture; give a smaller number"
        )
    items = model.items[kept].reset_index(drop=True)
    factors = model.item_factors[kept]
    genres, genre_factors = _genres(model, items, factors)
    placed = _place(method, factors, genre_factors, seed, quick)
    table = pd.concat([_items(items), genres], ignore_index=True)
    return table.assign(x=placed[:, 0], y=placed[:, 1])


def _items(items: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of the items."""
    columns = items[["item_id", "title", "genres", "n_train"]].copy()
    if pd.api.types.is_integer_dtype(columns["item_id"].dtype):
        columns["item_id"] = columns["item_id"].astype("Int64")  # a genre's is missing
    columns.insert(0, "kind", "item")
    return columns


def _genres(
    model: FactorModel, items: pd.DataFrame, factors: Array
) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """Return the lines of the genres, and their factors."""
    names = sorted(set(items["genres"].str.cat(sep="|").split("|")) - {""})
    flags = items["genres"].str.get_dummies("|").reindex(columns=names)
    member = flags.to_numpy(np.float32)
    lines = pd.DataFrame(
        {
            "kind": "genre",
            "item_id": pd.Series([pd.NA] * len(names), dtype=_items(items)["item_id"].dtype),
            "title": pd.Series(names, dtype="str"),
            "genres": pd.Series(names, dtype="str"),
            "n_train": member.T.astype(np.int64) @ items["n_train"].to_numpy(np.int64),
        }
    )
    if model.feature_weights is not None and set(names) <= set(model.feature_names):
        places = [model.feature_names.index(name) for name in names]
        return lines, model.feature_weights[places, 1:]
    return lines, (member.T @ factors) / member.sum(axis=0)[:, None]


def _place(
    method: str, items: Array, genres: Array, seed: int, quick: bool
) -> npt.NDArray[np.float32]:
    """Return the plane's coordinates of items and then genres, float32 (n, 2)."""
    points = np.concatenate([items, genres])
    if method == "direct":
        return points
    from sklearn import decomposition, manifold  # here: its import takes a second

    if method == "pca":
        # In float64 by the covariance: exact, and the same whatever the number of items.
        pca = decomposition.PCA(2, svd_solver="covariance_eigh").fit(items.astype(np.float64))
        return pca.transform(points.astype(np.float64)).astype(np.float32)
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    given: dict[str, Any] = _QUICK if quick else {}
    tsne = manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed, **given)
    return tsne.fit_transform(points).astype(np.float32)
