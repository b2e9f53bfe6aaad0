"""The figure of which ratings were given when, of a source that is looked at."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from bokeh.models import Rect
from bokeh.plotting import figure

from mfdask.report.heat_map import HeatMap

#: Different ratings with a line of their own; of more, the range is cut into so many.
MOST_VALUES = 12


class RatingsByMonth(HeatMap):
    """Ratings by value and calendar month: `month`, `rating`, `n`, `share`."""

    name = "ratings-by-month"
    title = "Ratings by value and month"
    caption = (
        "A column is a calendar month (UTC), a line a rating, the best on top; the colour is the "
        "share of the month's ratings. A stretch that looks unlike the others is worth a look: "
        "another scale, times that were misread, or ratings that stand for none."
    )
    wide = True
    x, y, value = "month", "rating", "share"
    x_label, y_label, value_label = "month", "rating", "share of the month"
    value_format = "0%"
    tooltips = (("month", "@month"), ("rating", "@rating"), ("ratings", "@n{0,0}"))
    low = 0.0

    def draw(self) -> figure:
        """Return the cells without lines between them: there are hundreds of months."""
        plot = super().draw()
        for cells in plot.select(Rect):
            cells.update(line_color=None, tags=[])
        return plot

    @classmethod
    def of(cls, cells: pd.DataFrame) -> Self:
        """Make it of `Survey.cells`, with every month between the first and the last."""
        of_lines = cells.assign(rating=_lines(cells["rating"]))
        counted = of_lines.groupby(["month", "rating"], observed=True)["n"].sum()
        months = cells["month"]
        each = pd.period_range(months.min(), months.max(), freq="M").astype(str)
        lines = counted.index.unique("rating").sort_values(ascending=False)
        every = pd.MultiIndex.from_product([each, lines], names=["month", "rating"])
        n = counted.reindex(every).fillna(0).astype(np.int64)
        share = n / n.groupby("month").transform("sum").replace(0, np.nan)
        found = pd.DataFrame({"n": n, "share": share}).reset_index()
        return cls(found.astype({"rating": "str"}))


def _lines(ratings: pd.Series) -> pd.Series:
    """Return the line of each rating: itself, or the middle of its stretch where there are many."""
    if ratings.nunique() <= MOST_VALUES:
        return ratings.map("{:g}".format).astype(
            pd.CategoricalDtype([f"{value:g}" for value in sorted(ratings.unique())], ordered=True)
        )
    return pd.cut(ratings, MOST_VALUES)
