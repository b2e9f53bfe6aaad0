"""The section on one model: its figures, or why one is missing."""

from __future__ import annotations

from collections.abc import Iterator

from mfdask.figures.figure import Figure, Missing, Section
from mfdask.models import Ability, FactorModel, Model
from mfdask.report.model import examples, genres, item_map, norms, residuals
from mfdask.report.parts import slug
from mfdask.shards import Dataset

Parts = Iterator[Figure | Missing]
_BIASES_ALONE = "This model has biases alone; train one with factors."


def model_section(model: Model, data: Dataset, name: str, *, alone: bool = True) -> Section:
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
    """
    parts = list(_residuals(model, data))
    if isinstance(model, FactorModel):
        own = [*_maps(model), *_norms(model)]
        parts = [*own, *parts, *_examples(model), *_genres(model)]
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


def _maps(model: FactorModel) -> Parts:
    n_rated, why = int((model.items["n_train"] > 0).sum()), ""
    if model.n_factors < 2:
        why = f"two factors or more; this model has {model.n_factors}."
    elif n_rated < item_map.FEWEST_ITEMS:
        why = f"{item_map.FEWEST_ITEMS} rated items or more; here are {n_rated}."
    if why:
        yield Missing("item-map", "Map of items", f"A map needs {why}")
        return
    methods = ["direct"] if model.n_factors == 2 else ["pca", "tsne"]
    tables = [item_map.placed(model, method) for method in methods]
    for method, table in zip(methods, tables, strict=True):
        items = table[table["kind"] == "item"].drop(columns="kind")
        yield item_map.ItemMap(items.reset_index(drop=True), method)
    places = tables[0][tables[0]["kind"] == "genre"]
    if len(places):
        columns = ["title", "n_train", "x", "y"]
        yield item_map.GenreMap(places[columns].reset_index(drop=True))
    else:
        yield Missing(item_map.GenreMap.name, item_map.GenreMap.title, "The items have no genres.")


def _norms(model: FactorModel) -> Parts:
    if not model.can(Ability.FACTORS):
        yield Missing("polarity", "Polarity, and norm against popularity", _BIASES_ALONE)
        return
    least = norms.enough_ratings(model)
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


def _examples(model: FactorModel) -> Parts:
    if not model.can(Ability.FACTORS):
        yield Missing("new-users", "Offers to somebody new", _BIASES_ALONE)
        return
    if not model.can(Ability.NEW_USERS):
        why = f"A model of kind {model.kind} takes in no users that it has not seen."
        yield Missing("new-users", "Offers to somebody new", why)
        return
    made = examples.examples(model, norms.enough_ratings(model))
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
    else:
        why = "Every item with genres has been rated."
        yield Missing(genres.ColdItems.name, genres.ColdItems.title, why)
