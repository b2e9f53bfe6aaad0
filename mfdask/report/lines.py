"""Curves: a line for each of several series, and its points to hover on."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from mfdask.report.figure import Figure, new_plot, plain
from mfdask.report.parts import colours_of, diagonal, hover_on


class Lines(Figure):
    """Lines over a common axis.

    The table has a line for each point. Where there is a column `best`, points of which it is true
    are stars.

    Attributes
    ----------
    x, y : str
        Columns with the place of each point.
    series : str
        Column with the line that each point belongs to.
    hue : str
        Column that decides the colour; empty: the series.
    x_label, y_label : str
    tooltips : list of (str, str)
    options : dict
        Of the plot.
    legend : str
        Where it lies; there is one where there are several lines.
    diagonal : bool
        Whether to show where y equals x.
    """

    x: str
    y: str
    series: str = "model"
    hue: str = ""
    x_label: str
    y_label: str
    tooltips: ClassVar[list[tuple[str, str]]]
    options: ClassVar[dict[str, Any]] = {}
    legend: str = "top_right"
    diagonal: bool = False

    def dashed(self, points: pd.DataFrame) -> bool:
        """Whether the line through these points is dashed."""
        return False

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with a colour and a marker for each point."""
        best = numbers["best"].to_numpy(bool) if "best" in numbers else np.zeros(len(numbers), bool)
        return {
            **super().columns(numbers),
            "_colour": self._colours(numbers).tolist(),
            "_marker": np.where(best, "star", "circle").tolist(),
            "_size": np.where(best, 16, 5),
        }

    def draw(self) -> UIElement:
        """Return lines, points, and a legend where there is more than one line."""
        self._lines = ColumnDataSource(self._paths(self._numbers))
        plot = new_plot(self.x_label, self.y_label, **self.options)
        if self.diagonal:
            diagonal(plot)
        several = len(self._lines.data["label"]) > 1
        plot.multi_line(
            "xs", "ys", source=self._lines, line_color="colour", line_dash="dash", line_width=2,
            **({"legend_field": "label"} if several else {}),
        )  # fmt: skip
        points = plot.scatter(
            self.x, self.y, source=self.source, marker="_marker", size="_size",
            fill_color="_colour", line_color="_colour",
        )  # fmt: skip
        hover_on(plot, points, self.tooltips)
        if several:
            plot.legend[0].location = self.legend
        self.mark(plot)
        return plot

    def mark(self, plot: figure) -> None:
        """Add what else a figure shows; nothing here."""

    def update(self, numbers: pd.DataFrame) -> None:
        """Show other numbers."""
        super().update(numbers)
        self._lines.data = self._paths(numbers)

    def _colours(self, numbers: pd.DataFrame) -> pd.Series:
        names = numbers[self.hue or self.series].astype(str)
        return names.map(colours_of(names))

    def _paths(self, numbers: pd.DataFrame) -> dict[str, list[Any]]:
        """Return a list of values for each line."""
        lines = numbers.assign(_colour=self._colours(numbers)).groupby(self.series, sort=False)
        return {
            "xs": [points[self.x].to_numpy() for _, points in lines],
            "ys": [points[self.y].to_numpy() for _, points in lines],
            "label": [plain(str(name)) for name, _ in lines],
            "colour": [points["_colour"].iloc[0] for _, points in lines],
            "dash": ["dashed" if self.dashed(points) else "solid" for _, points in lines],
        }
