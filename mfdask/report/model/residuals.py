"""Figures of held-out residuals: their distribution, and RMSE by activity and popularity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from bokeh.models import DataRange1d, NumeralTickFormatter
from bokeh.models.ui import UIElement
from scipy.special import ndtr

from mfdask.evaluation.accuracy import BIN_STARTS, bin_labels, bin_of
from mfdask.figures.figure import Figure, lift_legend, new_plot
from mfdask.figures.theme import MAIN, OTHER
from mfdask.models import Model
from mfdask.report.heat_map import HeatMap
from mfdask.shards import SIDES, Dataset

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Bins across the rating scale's width; residuals reach that far either way.
_BINS_OF_SCALE = 45
#: Held-out ratings of a cell whose error can be told.
_MANY = 30


def residual_tables(model: Model, data: Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold a model against the held-out ratings of a data set, block by block.

    Residuals are ratings less unclipped predictions, in stars.

    Returns
    -------
    distribution : DataFrame
        See `distribution_table`.
    slices : DataFrame
        See `slices_table`.
    """
    width = max(data.rating_max - data.rating_min, 1e-9)
    edges = np.linspace(-width, width, 2 * _BINS_OF_SCALE + 1)
    bins, shape = len(edges) - 1, (len(BIN_STARTS), len(BIN_STARTS))
    counts, n = np.zeros(bins, np.int64), np.zeros(shape, np.int64)
    total, squared = np.zeros(shape), np.zeros(shape)
    aligned = model.align(data)
    user_bin, item_bin = (bin_of(aligned.n_train(side)) for side in SIDES)
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        predicted = aligned.predict(shard, data.timestamps(block, "test"))
        error = shard.ratings - predicted.astype(np.float64)
        cell = user_bin[shard.rows] * len(BIN_STARTS) + item_bin[shard.indices]
        place = np.clip(np.searchsorted(edges, error, side="right") - 1, 0, bins - 1)
        counts += np.bincount(place, minlength=bins)
        n += np.bincount(cell, minlength=n.size).reshape(shape)
        total += np.bincount(cell, error, n.size).reshape(shape)
        squared += np.bincount(cell, error**2, n.size).reshape(shape)
    mean = total.sum() / n.sum()
    deviation = np.sqrt(squared.sum() / n.sum() - mean**2)
    return distribution_table(edges, counts, mean, deviation), slices_table(n, total, squared)


def distribution_table(edges: Floats, counts: Ints, mean: float, deviation: float) -> pd.DataFrame:
    """Return `residual_from, residual_to, n, share` and `normal`.

    The bins reach from minus to plus the width of the scale; what lies beyond is in the end bins.
    `normal` is the share that a normal distribution of this mean and deviation has there.
    """
    below = ndtr((edges - mean) / (deviation if deviation > 0 else 1e-9))
    table = {"residual_from": edges[:-1], "residual_to": edges[1:], "n": counts}
    share = counts / counts.sum()
    return pd.DataFrame({**table, "share": share, "normal": np.diff(below)})


def slices_table(n: Ints, total: Floats, squared: Floats) -> pd.DataFrame:
    """Return `item_ratings, user_ratings, n, rmse, mean_residual` of the slices with ratings.

    Heavy users first, and items from the rarest; the arguments are number, sum and sum of squares
    of the residuals, (users' bins, items' bins), the bins being those of
    `mfdask.evaluation.accuracy.bin_labels`.
    """
    labels = bin_labels()
    lines = [
        (labels[i], labels[u], n[u, i], np.sqrt(squared[u, i] / n[u, i]), total[u, i] / n[u, i])
        for u in reversed(range(len(labels)))
        for i in range(len(labels))
        if n[u, i]
    ]
    columns = ["item_ratings", "user_ratings", "n", "rmse", "mean_residual"]
    return pd.DataFrame(lines, columns=columns)


class Distribution(Figure):
    """The table of `distribution_table`."""

    name = "residuals"
    title = "Held-out residuals"
    caption = (
        "Rating less unclipped prediction, for ratings that the model has not seen. The line is a "
        "normal distribution of the same mean and variance: where the bars have the longer tail "
        "to the left, some ratings are far lower than anybody would have thought."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with the middle of each bin."""
        middle = (numbers["residual_from"] + numbers["residual_to"]) / 2
        return {**super().columns(numbers), "_middle": middle.to_numpy()}

    def draw(self) -> UIElement:
        """Return the histogram and the curve."""
        words = [
            ("residual", "@residual_from{+0.0} to @residual_to{+0.0} stars"),
            ("ratings", "@n{0,0} (@share{0.00%})"),
            ("normal", "@normal{0.00%}"),
        ]
        plot = new_plot("residual (stars)", "share of held-out ratings", height=360, tooltips=words)
        plot.y_range = DataRange1d(start=0)
        look = self.filled(MAIN, fill_alpha=0.7, legend_label="residuals")
        plot.quad("residual_from", "residual_to", "share", 0, **look)
        look = {"line_color": OTHER, "line_width": 2.5, "legend_label": "normal distribution"}
        plot.line("_middle", "normal", source=self.source, **look)
        lift_legend(plot)
        plot.yaxis.formatter = NumeralTickFormatter(format="0%")
        return plot


class Slices(HeatMap):
    """The table of `slices_table`."""

    name = "residual-slices"
    title = "Error by user activity and item popularity"
    caption = (
        "Root mean squared error of the held-out ratings, by how many training ratings their user "
        "and their item have. Cells with few held-out ratings do not set the ends of the scale; "
        "the tooltip has their number and the mean residual."
    )
    x, y, value = "item_ratings", "user_ratings", "rmse"
    x_label, y_label = "training ratings of the item", "training ratings of the user"
    value_label = "RMSE"
    tooltips = (
        ("user, item", "@user_ratings, @item_ratings training ratings"),
        ("RMSE", "@rmse{0.000} stars"),
        ("mean residual", "@mean_residual{+0.000} stars"),
        ("held-out ratings", "@n{0,0}"),
    )
    height = 360

    def follow(self) -> None:
        """Let cells with enough ratings set the ends of the scale."""
        many = self._numbers.loc[self._numbers["n"] >= _MANY, "rmse"]
        if len(many):
            self.low, self.high = float(many.min()), float(many.max())
        super().follow()
