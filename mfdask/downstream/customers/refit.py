"""Item factors as of a cut-off: refitted, or taken from the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.origins import Origins, Span, day_of
from mfdask.errors import InputError
from mfdask.kernels.types import Float64s
from mfdask.models import ALS, Ability, FactorModel, Model
from mfdask.models.design import Array
from mfdask.models.factor_model import require_factors
from mfdask.recommendation.topn import check_same_data
from mfdask.shards import Dataset

#: `StudyOptions.as_of`: learn anew at each cut-off, or take the model's items as they are.
AS_OF = ("refit", "fold-in")
#: Of a refit that begins with an earlier one.
WARM_SWEEPS = 4


class FrozenItems(NamedTuple):
    """Names an item side that has not seen beyond a cut-off; small enough to travel with tasks.

    Attributes
    ----------
    rows : str
        An `.npy` file of the items' design rows, in the order of the past's items.
    mean : float
    estimator : ALS
        Whose equations users are solved with.
    noise : float
        Variance of a rating around its prediction, by the training error.
    version : str
        Kind, and a hash of all that the factors depend on.
    """

    rows: str
    mean: float
    estimator: ALS
    noise: float
    version: str


def check_model(model: Model, data: Dataset, origins: Origins, as_of: str) -> None:
    """Refuse a model that cannot serve, or that has seen what it should foretell.

    Raises
    ------
    InputError
        If the model is of another data set or kind, its users' prior follows what they have rated,
        or, for ``fold-in``, its training ratings reach beyond the first cut-off.
    """
    check_same_data(model, data)
    require_factors(model, "a table about users", Ability.SINGLE_VECTORS)
    if model.parameters.get("user_prior", "zero") != "zero":
        raise InputError(
            "`model`: a table about users holds them against one mean, and here each has one by "
            "what they rated or by their features; train a model with `user_prior` zero"
        )
    first, seen = origins.all[0], Span.of(data, ("train",)).last
    if as_of == "fold-in" and seen >= first:
        raise InputError(
            f"`as_of` fold-in: the model was trained on ratings up to {day_of(seen)}, and "
            f"the first cut-off is {day_of(first)}: it has seen the future; use refit, fewer "
            "`origins`, or a model of a data set with a split such as time:0.1"
        )


def refit_warm(
    model: FactorModel, past: Dataset, start: Path | None, client: Client | None
) -> FactorModel:
    """Learn a model again from a past, from the rows of an earlier past's model if there is one.

    Those have seen nothing later, and lie so near that `WARM_SWEEPS` do.
    """
    if start is None:
        return model.refit(past, client=client)
    fitted = model.refitter(WARM_SWEEPS)(past, client=client, start=start)
    assert isinstance(fitted, FactorModel)
    return fitted


def freeze_items(model: FactorModel, rows: Array, version: str, file: Path) -> FrozenItems:
    """Write the item rows and return what names them."""
    assert isinstance(model.estimator, ALS)
    np.save(file, rows)
    error = model.history[-1].train_rmse
    assert error is not None  # a model of single vectors predicts ratings
    noise = error**2
    return FrozenItems(str(file.absolute()), model.mean, model.estimator, noise, version)


def version_of(model: FactorModel, fingerprints: list[str], as_of: str) -> str:
    """Return a name for factors: kind, and a hash of parameters and all data they come from."""
    said = json.dumps([fingerprints, model.parameters], sort_keys=True)
    return f"{model.kind}-{as_of}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


class Frame(NamedTuple):
    """The axes that factors are given in: those of an earlier fit, by its items."""

    items: pd.Index  # raw ids
    factors: Array
    weights: Float64s  # ratings of each item

    @classmethod
    def of(cls, model: FactorModel, rows: Array) -> Frame:
        """Return the axes of a fit whose item rows are given."""
        factors = rows[:, 2 : model.n_factors + 2]
        weights = model.items["n_train"].to_numpy(np.float64)
        return cls(pd.Index(model.items["item_id"]), factors, weights)

    def turn(self, model: FactorModel) -> Array:
        """Return the item rows of a later fit, turned into these axes as well as can be.

        Factors are known up to a rotation only, which each fit chooses anew: without this, a user's
        first factor would mean another thing at every cut-off. The rotation is that of orthogonal
        Procrustes (Schönemann 1966) over the items that both know, weighted by their ratings here.
        Predictions, distances and covariances stay as they are.
        """
        places = model.rows_of("items", self.items)
        both = places >= 0
        old = self.factors[both].astype(np.float64) * self.weights[both, None]
        left, _, right = np.linalg.svd(model.item_factors[places[both]].T.astype(np.float64) @ old)
        rows = model.item_rows.copy()
        rows[:, 2 : model.n_factors + 2] = model.item_factors @ (left @ right)
        return rows
