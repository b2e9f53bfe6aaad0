"""Bars of the parts that a prediction is the sum of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.properties import value
from bokeh.models.annotations import LabelSet
from bokeh.models.ui import UIElement

from mfdask.figures import theme
from mfdask.figures.figure import ListFigure, add_hover, new_plot, plain
from mfdask.report.parts import colours_of, labels_of, rule


def stacked(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `rank` and `part` with `left` and `right`: where each part begins and ends.

    Parts above zero, and those below, are added up from zero within a rank.
    """
    outer = table.groupby([table["rank"], table["part"] >= 0])["part"].cumsum()
    inner = outer - table["part"]
    return table.assign(left=np.minimum(inner, outer), right=np.maximum(inner, outer))


_OTHERS = "others"


class StackedParts(ListFigure):
    """A table of `stacked`: also `title`, the same within a rank, and `because` of each part.

    Attributes
    ----------
    x_label : str
    tooltips : sequence of (str, str)
    """

    wide = True
    label = "_label"
    x_label: str
    tooltips: Sequence[tuple[str, str]]

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with labels and colours."""
        first = numbers.drop_duplicates("rank")
        labels = dict(zip(first["rank"], labels_of(first["title"]), strict=True))
        lines = numbers["rank"].map(labels).tolist()
        weight = numbers["part"].abs().groupby(numbers["because"], sort=False).sum()
        apart = weight.nlargest(len(theme.COLOURS)).index  # as many as colours can tell
        kept = numbers["because"].where(numbers["because"].isin(apart), _OTHERS)
        colours = colours_of(weight.index[weight.index.isin(apart)]) | {_OTHERS: theme.REST}
        return {
            **super().columns(numbers),
            "_label": lines,
            "_bar": [(line, -0.14) for line in lines],
            "_over": [(line, 0.32) for line in lines],
            "_title": np.where(numbers["rank"].duplicated(), "", lines).tolist(),
            "_because": [plain(name) for name in kept],
            "_colour": kept.map(colours).tolist(),
            "_sum": numbers.groupby("rank")["part"].transform("sum").to_numpy(),
        }

    def draw(self) -> UIElement:
        """Return the parts of each line, side by side."""
        height = 150 + 50 * self._numbers["rank"].nunique()
        plot = new_plot(self.x_label, "", height=height, y_range=self.lines)
        plot.yaxis.visible = plot.ygrid.visible = False
        look = self.filled("_colour", legend_field="_because")
        bars = plot.hbar("_bar", 0.44, left="left", right="right", **look)
        sums = plot.scatter("_sum", "_bar", source=self.source, size=7, line_color=None)
        sums.glyph.tags = [{"fill_color": "ink"}]
        # Beside the bars, titles would leave these no room on a phone.
        place: dict[str, Any] = {"x": 0, "x_units": "screen", "y": "_over", "text": "_title"}
        font: dict[str, Any] = {
            "text_font": value(theme.FONT),
            "text_font_size": "12px",
            "text_baseline": "middle",
        }
        ink = [{"text_color": "ink"}]
        plot.add_layout(LabelSet(source=self.source, tags=ink, **place, **font))
        rule(plot, 0, upright=True, dash="solid")
        plot.legend[0].update(location="left", margin=0, padding=0)
        plot.add_layout(plot.legend[0], "below")
        add_hover(plot, bars, self.tooltips)
        return plot
