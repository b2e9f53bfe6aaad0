"""Figures of a genre model: what genres are worth, and predictions of items never rated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from bokeh.models.ui import UIElement

from mfdask.figures.figure import ListFigure, TableFigure, add_hover, new_plot
from mfdask.figures.theme import MAIN
from mfdask.models import FactorModel
from mfdask.report.model.stacked import StackedParts, stacked
from mfdask.report.parts import labels_of, named, rule


def worth_table(model: FactorModel) -> pd.DataFrame:
    """Return what each genre is worth to a new item of that genre alone, the best one last.

    Returns
    -------
    DataFrame
        `genre`; `bias` (stars, the same for everybody); `taste`: the standard deviation over users
        of what their factors make of the genre's; `low` and `high`: bias less, and plus, `taste`.
    """
    assert model.feature_weights is not None
    bias, factors = model.feature_weights[:, 0].astype(np.float64), model.feature_weights[:, 1:]
    spread = (model.user_factors @ factors.T).std(axis=0, dtype=np.float64)
    table = pd.DataFrame({"genre": model.feature_names, "bias": bias, "taste": spread})
    table["low"], table["high"] = table["bias"] - spread, table["bias"] + spread
    return table.sort_values("bias", kind="stable", ignore_index=True)


def cold_table(model: FactorModel, top: int = 12) -> pd.DataFrame:
    """Return never-rated items with what their prediction rests on.

    Returns
    -------
    DataFrame
        `item_id, title, genres`, `prediction` for a user without leanings (stars) and `because`:
        the mean, and each genre's part. The items are evenly spread over all predictions, the
        highest first.
    """
    assert model.encoder is not None
    assert model.feature_weights is not None
    cold = model.items[(model.items["n_train"] == 0) & (model.items["genres"] != "")]
    shares = model.encoder.encode(cold)
    parts = shares * model.feature_weights[:, 0]
    prediction = model.mean + parts.sum(axis=1)
    order = np.argsort(-prediction, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(top, len(order))).astype(int))]
    table = cold.iloc[chosen][["item_id", "title", "genres"]].reset_index(drop=True)
    table["item_id"] = table["item_id"].astype(str)  # an id is no number to be set in thousands
    names, reasons = model.feature_names, []
    for k in chosen:
        own = [f"{parts[k, g]:+.2f} {names[g]}" for g in np.flatnonzero(shares[k])]
        reasons.append(" ".join([f"mean {model.mean:.2f}", *own]))
    return table.assign(prediction=prediction[chosen], because=reasons)


def cold_parts_table(model: FactorModel, items: pd.DataFrame) -> pd.DataFrame:
    """Return what each genre adds to the prediction of never-rated items.

    Parameters
    ----------
    model : FactorModel
    items : DataFrame
        As `cold_table` has them.

    Returns
    -------
    DataFrame
        `rank` (from 1), `item_id, title, prediction`, `because` (a genre), its `part` (stars), and
        `left` and `right`, see `stacked`.
    """
    assert model.encoder is not None
    assert model.feature_weights is not None
    parts = model.encoder.encode(items) * model.feature_weights[:, 0]
    line, genre = np.nonzero(parts)
    named_items = named(items["item_id"], items["title"])
    table = pd.DataFrame({"rank": line + 1, "item_id": items["item_id"].to_numpy()[line]})
    table["title"] = np.array(named_items, object)[line]
    table["prediction"] = items["prediction"].to_numpy()[line]
    table["because"] = np.array(model.feature_names, object)[genre]
    return stacked(table.assign(part=parts[line, genre].astype(np.float64)))


class ColdParts(StackedParts):
    """The table of `cold_parts_table`."""

    name = "cold-parts"
    title = "What genres add to items that nobody has rated"
    caption = (
        "The items of the table, the highest prediction on top: what each of an item's genres adds "
        "to the mean, or takes from it; the dot is their sum."
    )
    x_label = "stars above or below the mean"
    tooltips = (
        ("item", "@title"),
        ("genre", "@because"),
        ("part", "@part{+0.000} stars"),
        ("prediction", "@prediction{0.00} stars"),
    )


class GenreWorth(ListFigure):
    """The table of `worth_table`."""

    name = "genre-worth"
    title = "What a genre alone foretells"
    wide = True
    caption = (
        "A new item of one genre is predicted the mean rating plus what stands here: the dot for a "
        "user without leanings, the bar for two users of three. A long bar is a genre on which "
        "tastes differ."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with short labels as plain text."""
        return {**super().columns(numbers), "_genre": labels_of(numbers["genre"])}

    def draw(self) -> UIElement:
        """Return a dot with a bar for each genre."""
        x_label, height = "stars above or below the mean rating", 80 + 20 * len(self._numbers)
        plot = new_plot(x_label, "", height=height, y_range=self.lines)
        rule(plot, 0, upright=True)
        plot.hbar("_genre", 0.22, left="low", right="high", **self.filled(MAIN, fill_alpha=0.5))
        dots = plot.scatter("bias", "_genre", **self.filled(MAIN, line_color=MAIN, size=9))
        bias, taste = "@bias{+0.000} stars", ("taste, standard deviation", "@taste{0.000} stars")
        add_hover(plot, dots, [("genre", "@genre"), ("for everybody", bias), taste])
        return plot

    def follow(self) -> None:
        """Take over the genres, the best one on top."""
        self.lines.factors = list(self.source.data["_genre"])


class ColdItems(TableFigure):
    """The table of `cold_table`."""

    name = "cold-items"
    title = "Items that nobody has rated"
    caption = (
        "Predicted by genre alone, for a user without leanings: each genre of an item adds its "
        "share. A user's own leanings towards the genres are added to that."
    )
    wide = True
