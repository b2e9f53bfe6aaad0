"""Line figures: a line for each of several series, with points to hover over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource
from bokeh.models.ui import UIElement

from mfdask.figures.figure import Figure, add_hover, lift_legend, new_plot, plain
from mfdask.report.parts import colours_of, rule


class LineFigure(Figure):
    """Lines over a common axis.

    The table has a line for each point. Where there is a column `best`, points of which it is true
    are stars.

    Parameters
    ----------
    numbers : DataFrame
    hues : sequence of str
        Names that get the first colours, in this order, whether or not they are here: so that a
        model has one colour in all figures.

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
    level : float or None
        A value of y to draw a line at.
    """

    x: str = "sweep"
    y: str
    series: str = "model"
    hue: str = ""
    x_label: str = "sweep"
    y_label: str
    tooltips: ClassVar[list[tuple[str, str]]]
    options: ClassVar[dict[str, Any]] = {}
    level: float | None = None

    def __init__(self, numbers: pd.DataFrame, hues: Sequence[str] = ()) -> None:
        self._hues = tuple(hues)
        super().__init__(numbers)

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
        self._lines = ColumnDataSource(self._paths())
        plot = new_plot(self.x_label, self.y_label, **self.options)
        if self.level is not None:
            rule(plot, self.level, upright=False)
        several = len(self._lines.data["label"]) > 1
        label: dict[str, Any] = {"legend_field": "label"} if several else {}
        look: dict[str, Any] = {"line_color": "colour", "line_dash": "dash", "line_width": 2}
        plot.multi_line("xs", "ys", source=self._lines, **look, **label)
        look = self.filled("_colour", line_color="_colour", marker="_marker", size="_size")
        points = plot.scatter(self.x, self.y, **look)
        add_hover(plot, points, self.tooltips)
        if several:
            lift_legend(plot)
        return plot

    def follow(self) -> None:
        """Draw the lines anew."""
        self._lines.data = self._paths()

    def _colours(self, numbers: pd.DataFrame) -> pd.Series:
        names = numbers[self.hue or self.series].astype(str)
        return names.map(colours_of([*self._hues, *names]))

    def _paths(self) -> dict[str, Any]:
        """Return a list of values for each line."""
        colours = self._colours(self._numbers)
        lines = self._numbers.assign(_colour=colours).groupby(self.series, sort=False)
        return {
            "xs": [points[self.x].to_numpy() for _, points in lines],
            "ys": [points[self.y].to_numpy() for _, points in lines],
            "label": [plain(str(name)) for name, _ in lines],
            "colour": [points["_colour"].iloc[0] for _, points in lines],
            "dash": ["dashed" if self.dashed(points) else "solid" for _, points in lines],
        }
