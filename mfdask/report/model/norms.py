"""Figures of the lengths of item factors (polarity), and of lengths against popularity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, DataRange1d, LogColorMapper
from bokeh.models.ui import UIElement

from mfdask.figures.figure import (
    Figure,
    ListFigure,
    TableFigure,
    add_hover,
    add_scale,
    lift_legend,
    new_plot,
)
from mfdask.figures.theme import MAIN, OTHER, SCALE
from mfdask.models import FactorModel
from mfdask.recommendation import polarity
from mfdask.report.parts import labels_of, named

_PER_DECADE, _HEIGHTS = 16, 40


def polarity_table(model: FactorModel, min_ratings: int, top: int = 10) -> pd.DataFrame:
    """Return `tastes` ("differ" or "agree"), `item_id` (text), `title, genres, ratings, polarity`.

    The `top` items that divide people most, then those that divide them least, see
    `mfdask.recommendation.polarity`.
    """
    most, least = polarity(model, top=top, min_ratings=min_ratings)
    both = pd.concat([most.assign(tastes="differ"), least.assign(tastes="agree")])
    columns = ["tastes", "item_id", "title", "genres", "ratings", "polarity"]
    both["item_id"] = both["item_id"].astype(str)  # an id is no number to be set in thousands
    return both.rename(columns={"n_train": "ratings"})[columns].reset_index(drop=True)


class PolarityTable(TableFigure):
    """The table of `polarity_table`."""

    name = "polarity-table"
    title = "Items on which tastes differ, and agree"
    wide = True

    def __init__(self, numbers: pd.DataFrame, min_ratings: int) -> None:
        self.caption = (
            "Polarity is the length of an item's factors: how far taste moves the score of a user "
            "with factors of length 1, in stars where scores are ratings. Of items with "
            f"{min_ratings:,} training ratings or more."
        )
        super().__init__(numbers)


class Polarity(ListFigure):
    """The same table as a picture."""

    name = "polarity"
    title = "Polarity"
    caption = "The items of the table, those on which tastes differ most on top."

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with labels and colours."""
        titles = named(numbers["item_id"], numbers["title"])
        return {
            **super().columns(numbers),
            "_title": titles,
            "_label": labels_of(titles),
            "_colour": np.where(numbers["tastes"] == "differ", OTHER, MAIN).tolist(),
        }

    def draw(self) -> UIElement:
        """Return a bar for each item."""
        height = 90 + 22 * len(self._numbers)
        plot = new_plot("polarity", "", height=height, y_range=self.lines)
        plot.x_range = DataRange1d(start=0)
        plot.ygrid.grid_line_color = None
        look = self.filled("_colour", legend_field="tastes")
        bars = plot.hbar("_label", 0.6, "polarity", **look)
        lift_legend(plot)
        words = [("", "@_title"), ("polarity", "@polarity{0.000}"), ("genres", "@genres")]
        add_hover(plot, bars, [*words, ("training ratings", "@ratings{0,0}")])
        return plot

    def follow(self) -> None:
        """Take over the titles, the highest polarity on top."""
        order = self._numbers["polarity"].reset_index(drop=True).sort_values(kind="stable").index
        self.lines.factors = [self.source.data["_label"][k] for k in order]


def norms_table(model: FactorModel) -> pd.DataFrame:
    """Return how many items have so many ratings and factors of such a length.

    Returns
    -------
    DataFrame
        `ratings_from, ratings_to` (training ratings, sixteen bins a decade), `norm_from, norm_to`
        (forty bins) and `items`, for cells that are not empty; `median_norm` of all items
        with so many ratings.
    """
    counts = model.items["n_train"].to_numpy()
    norm = np.sqrt(np.square(model.item_factors, dtype=np.float64).sum(axis=1))[counts > 0]
    counts = counts[counts > 0]
    across = np.floor(_PER_DECADE * np.log10(counts)).astype(np.int64)
    step = max(norm.max(), 1e-9) / _HEIGHTS
    up = np.minimum(np.floor(norm / step), _HEIGHTS - 1).astype(np.int64)
    cells = pd.DataFrame({"across": across, "up": up, "norm": norm})
    median = cells.groupby("across")["norm"].median()
    found = cells.groupby(["across", "up"]).size().rename("items").reset_index()
    return pd.DataFrame(
        {
            "ratings_from": 10 ** (found["across"] / _PER_DECADE),
            "ratings_to": 10 ** ((found["across"] + 1) / _PER_DECADE),
            "norm_from": found["up"] * step,
            "norm_to": (found["up"] + 1) * step,
            "items": found["items"],
            "median_norm": found["across"].map(median),
        }
    )


class Norms(Figure):
    """Lengths of factors by number of ratings: the table of `norms_table`."""

    name = "norm-popularity"
    title = "Length of factors against popularity"
    caption = (
        "Items by their number of training ratings and the length of their factors; the line is "
        "the median. Where little is known of an item, regularisation keeps its factors near zero, "
        "or near what its genres stand for."
    )

    def draw(self) -> UIElement:
        """Return the cells and the median."""
        x_label, y_label = "training ratings of the item (log scale)", "length of factors"
        plot = new_plot(x_label, y_label, x_axis_type="log", height=480)
        self._mapper = LogColorMapper(palette=SCALE, low=1)
        look = self.filled({"field": "items", "transform": self._mapper})
        cells = plot.quad("ratings_from", "ratings_to", "norm_to", "norm_from", **look)
        self._medians = ColumnDataSource({"x": [], "y": []})
        look = {"line_color": OTHER, "line_width": 3, "legend_label": "median"}
        plot.line("x", "y", source=self._medians, **look)
        lift_legend(plot)
        words = [
            ("items", "@items{0,0}"),
            ("ratings", "@ratings_from{0,0} to @ratings_to{0,0}"),
            ("length", "@norm_from{0.000} to @norm_to{0.000}"),
            ("median length", "@median_norm{0.000}"),
        ]
        add_hover(plot, cells, words)
        add_scale(plot, self._mapper, "items")
        return plot

    def follow(self) -> None:
        """Take over the medians and the end of the scale."""
        self._mapper.high = int(self._numbers["items"].max())
        line = self._numbers.drop_duplicates("ratings_from").sort_values("ratings_from")
        middle = np.sqrt((line["ratings_from"] * line["ratings_to"]).to_numpy())
        self._medians.data = {"x": middle, "y": line["median_norm"].to_numpy()}
