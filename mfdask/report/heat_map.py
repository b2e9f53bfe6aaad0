"""Heat maps of a value over two categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from bokeh.models import FactorRange, LinearColorMapper, NoOverlap
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import Figure, add_scale, new_plot, plain
from mfdask.report.parts import label_of_each


class HeatMap(Figure):
    """Cells of two categories, coloured by a value.

    Categories stand in the order in which the table has them, from the left and from the top; what
    the table does not have stays empty.

    Attributes
    ----------
    x, y, value : str
        Columns of the table.
    x_label, y_label, value_label : str
    value_format : str
        Of the scale, see `add_scale`.
    tooltips : sequence of (str, str)
    low, high : float or None
        Ends of the scale; by default those of the values.
    upright : bool
        Whether the categories along the bottom are long, and are written upwards.
    """

    x: str
    y: str
    value: str
    x_label = ""
    y_label = ""
    value_label = ""
    value_format = "0.[00]"
    tooltips: Sequence[tuple[str, str]]
    low: float | None = None
    high: float | None = None
    height = 480
    upright = False

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with its categories as plain text, and as labels."""
        texts: dict[str, Any] = {}
        for name in (self.x, self.y):
            labels = label_of_each(numbers[name])
            texts[name] = [plain(str(text)) for text in numbers[name]]
            texts[f"_{name}"] = [labels[str(text)] for text in numbers[name]]
        return super().columns(numbers) | texts

    def draw(self) -> figure:
        """Return the cells and their scale."""
        self._mapper = LinearColorMapper(palette=theme.SCALE, nan_color="#00000000")
        self._columns, self._lines = FactorRange(), FactorRange()
        look: dict[str, Any] = {"height": self.height, "tooltips": self.tooltips}
        look |= {"x_range": self._columns, "y_range": self._lines}
        plot = new_plot(self.x_label, self.y_label, **look)
        colour: Any = {"field": self.value, "transform": self._mapper}
        cells = plot.rect(f"_{self.x}", f"_{self.y}", 1, 1, source=self.source, fill_color=colour)
        cells.glyph.tags = [{"line_color": "ground"}]
        plot.grid.visible = False
        plot.xaxis.major_label_policy = NoOverlap(min_distance=0 if self.upright else 4)
        plot.xaxis.major_label_orientation = "vertical" if self.upright else "horizontal"
        add_scale(plot, self._mapper, self.value_label, self.value_format)
        return plot

    def follow(self) -> None:
        """Take over categories and ends."""
        self._columns.factors = list(dict.fromkeys(self.source.data[f"_{self.x}"]))
        self._lines.factors = list(dict.fromkeys(self.source.data[f"_{self.y}"]))[::-1]
        values = self._numbers[self.value]
        self._mapper.low = float(values.min()) if self.low is None else self.low
        self._mapper.high = float(values.max()) if self.high is None else self.high
