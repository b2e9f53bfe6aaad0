"""The section on one model: its figures, or why one is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd

from mfdask.figures.figure import Figure, Missing, Section
from mfdask.models import Ability, FactorModel, Model
from mfdask.recommendation.neighbours import enough_ratings
from mfdask.report.model import axes, examples, genres, item_map, norms, residuals
from mfdask.report.parts import slug
from mfdask.shards import Dataset

Parts = Iterator[Figure | Missing]
#: Where items and genres are, by the method of a map.
Places = dict[str, pd.DataFrame]
#: Features whose place along the axes of the map is shown.
_FEATURES = 12
_BIASES_ALONE = "This model has biases alone; train one with factors."


def model_sections(
    models: Mapping[str, Model], data: Dataset, names: Collection[str] = ()
) -> dict[str, Callable[[], Section]]:
    """Return what makes the section of each model, by what it is of.

    Items are placed on their maps from now on, in the background: t-SNE takes seconds, and leaves
    Python to whoever draws the sections before. With the `names` of the figures that are wanted,
    that is done only where a map is among them; a section that is made nevertheless has all.
    """
    pool, alone = ThreadPoolExecutor(1), len(models) == 1
    wanted = not names or any("map" in name for name in names)
    places = {
        name: pool.submit(_places, model)
        for name, model in models.items()
        if wanted and isinstance(model, FactorModel) and not _why_no_map(model)
    }
    pool.shutdown(wait=False)
    return {
        f"model {name}": partial(
            model_section, model, data, name, alone=alone, places=places.get(name)
        )
        for name, model in models.items()
    }


def model_section(
    model: Model,
    data: Dataset,
    name: str,
    *,
    alone: bool = True,
    places: Future[Places] | None = None,
) -> Section:
    """Return the figures of what a model has learned.

    Parameters
    ----------
    model : Model
    data : Dataset
        Whose held-out ratings it is held against; ids are matched by their raw values.
    name : str
        What the model goes by on the page.
    alone : bool
        Whether no other model is on the page; else the names of figures end in the model's.
    places : Future, optional
        Of the items on its maps, if somebody has begun to place them.
    """
    if isinstance(model, FactorModel):
        parts = _parts_of_factors(model, data, places)
    else:
        parts = [*_residuals(model, data), *_examples(model)]
    if not alone:
        for part in parts:
            part.name += f"-{slug(name)}"
    n_factors = model.parameters.get("n_factors")
    size = "" if n_factors is None else f" with {n_factors} factors"
    intro = (
        f"A model of kind {model.kind}{size}, learned from "
        f"{model.data.n_train:,} ratings of {model.data.name}."
    )
    return Section(f"model-{slug(name)}", f"Model {name}", intro, parts)


def _parts_of_factors(
    model: FactorModel, data: Dataset, places: Future[Places] | None
) -> list[Figure | Missing]:
    others = [*_norms(model), *_residuals(model, data), *_examples(model), *_genres(model)]
    if why := _why_no_map(model):
        return [Missing("item-map", "Map of items", why), *others]
    return [*_maps(model, places.result() if places else _places(model)), *others]


def _why_no_map(model: FactorModel) -> str:
    """Return why there are no maps of the items; empty if there are."""
    n_rated, why = int((model.items["n_train"] > 0).sum()), ""
    if model.n_factors < 2:
        why = f"two factors or more; this model has {model.n_factors}."
    elif n_rated < item_map.FEWEST_ITEMS:
        why = f"{item_map.FEWEST_ITEMS} rated items or more; here are {n_rated}."
    return f"A map needs {why}" if why else ""


def _places(model: FactorModel) -> Places:
    """Return where items and genres are by each method, that of the map of genres first."""
    methods = ["direct"] if model.n_factors == 2 else ["pca", "tsne"]
    return {method: item_map.placed(model, method) for method in methods}


def _maps(model: FactorModel, places: Places) -> Parts:
    for method, table in places.items():
        items = table[table["kind"] == "item"].drop(columns="kind")
        yield item_map.ItemMap(items.reset_index(drop=True), method)
    (first, *_) = places.values()
    yield _axes(model, first[first["kind"] == "item"])
    genres_there = first[first["kind"] == "genre"]
    if len(genres_there):
        columns = ["title", "n_train", "x", "y"]
        yield item_map.GenreMap(genres_there[columns].reset_index(drop=True))
    else:
        yield Missing(item_map.GenreMap.name, item_map.GenreMap.title, "The items have no genres.")


def _axes(model: FactorModel, items: pd.DataFrame) -> Figure:
    """Return what the axes of the first map mean."""
    known = model.items.iloc[model.rows_of("items", items["item_id"].tolist())]
    x, y = (items[name].to_numpy(np.float64) for name in ("x", "y"))
    return axes.AxesMeaning(axes.meaning_of_axes(x, y, known).head(_FEATURES))


def _norms(model: FactorModel) -> Parts:
    if not model.can(Ability.FACTORS):
        yield Missing("polarity", "Polarity, and norm against popularity", _BIASES_ALONE)
        return
    least = enough_ratings(model)
    table = norms.polarity_table(model, least)
    yield norms.PolarityTable(table, least)
    yield norms.Polarity(table)
    yield norms.Norms(norms.norms_table(model))


def _residuals(model: Model, data: Dataset) -> Parts:
    if not data.n_test:
        why = "Nothing is held out, and residuals of ratings learned from are too small."
        yield Missing("residuals", residuals.Distribution.title, why)
        return
    if not model.can(Ability.RATINGS):
        why = f"A model that predicts ratings has them; this one ranks by its {model.score}."
        yield Missing("residuals", residuals.Distribution.title, why)
        return
    distribution, slices = residuals.residual_tables(model, data)
    yield residuals.Distribution(distribution)
    yield residuals.Slices(slices)


def _examples(model: Model) -> Parts:
    if isinstance(model, FactorModel) and not model.can(Ability.FACTORS):
        yield Missing("new-users", "Offers to somebody new", _BIASES_ALONE)
        return
    if not model.can(Ability.NEW_USERS):
        why = f"A model of kind {model.kind} takes in no users that it has not seen."
        yield Missing("new-users", "Offers to somebody new", why)
        return
    made = examples.examples(model, enough_ratings(model))
    if not made:
        why = "There are too few items: who loves some has nothing left to be offered."
        yield Missing("new-users", "Offers to somebody new", why)
    yield from made


def _genres(model: FactorModel) -> Parts:
    if model.feature_weights is None:
        why = "This model has learned nothing of genres; train one of kind genre."
        yield Missing(genres.GenreWorth.name, genres.GenreWorth.title, why)
        return
    yield genres.GenreWorth(genres.worth_table(model))
    cold = genres.cold_table(model)
    if len(cold):
        yield genres.ColdItems(cold)
        bars = genres.cold_parts_table(model, cold)
        if len(bars):
            yield genres.ColdParts(bars)
    else:
        why = "Every item with genres has been rated."
        yield Missing(genres.ColdItems.name, genres.ColdItems.title, why)
