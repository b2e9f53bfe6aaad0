"""Figures of ratings over time (UTC)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from bokeh.models import BasicTicker, DataRange1d, NumeralTickFormatter
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import Figure, lift_legend, new_plot
from mfdask.report.data.facts import PARTS, Facts
from mfdask.report.heat_map import HeatMap

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class RatingsPerMonth(Figure):
    """Ratings by calendar month."""

    name = "ratings-per-month"
    title = "Ratings per month"
    caption = "Ratings by calendar month (UTC), training and held-out ones on top of each other."
    wide = True

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        months = {}
        for part in PARTS:
            times = facts.times(facts.parts[part])
            months[part] = times["n"].groupby(times["hour"].dt.to_period("M")).sum()
        table = pd.DataFrame(months)
        every = pd.period_range(table.index.min(), table.index.max(), freq="M")
        table = table.reindex(every).fillna(0).astype(np.int64)
        return cls(table.rename_axis("month").reset_index().astype({"month": "str"}))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the numbers, with where each month begins and ends."""
        starts = numbers["month"].to_numpy("datetime64[M]")
        ends = {"left": starts, "right": starts + 1}
        edges = {name: when.astype("datetime64[ms]") for name, when in ends.items()}
        top = numbers["train"] + numbers["test"]
        return super().columns(numbers) | edges | {"top": top.to_numpy()}

    def draw(self) -> figure:
        """Return a bar a month."""
        tooltips = [("month", "@month"), ("training", "@train{0,0}"), ("held-out", "@test{0,0}")]
        axes: dict[str, Any] = {"x_axis_type": "datetime", "y_range": DataRange1d(start=0)}
        plot = new_plot("month", "ratings a month", tooltips=tooltips, **axes)
        train, test = self.filled(theme.MAIN), self.filled(theme.OTHER)
        plot.quad("left", "right", "train", 0, legend_label="training", **train)
        plot.quad("left", "right", "top", "train", legend_label="held-out", **test)
        plot.xgrid.visible = False
        lift_legend(plot)
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
        return plot


class MeanPerYear(Figure):
    """The mean rating by year."""

    name = "mean-per-year"
    title = "Mean rating per year"
    caption = (
        "Mean of the ratings given in each year (UTC). A step often means that the scale has "
        "changed, not the taste."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        times = facts.times(facts.all)
        years = times[["n", "sum"]].groupby(times["hour"].dt.year).sum()
        means = years["sum"] / years["n"]
        return cls(pd.DataFrame({"year": years.index, "n": years["n"], "mean": means.array}))

    def draw(self) -> figure:
        """Return a line through the years."""
        tooltips = [("year", "@year"), ("mean", "@mean{0.000}"), ("ratings", "@n{0,0}")]
        plot = new_plot("year", "mean rating (stars)", tooltips=tooltips)
        plot.line("year", "mean", source=self.source, color=theme.MAIN, line_width=2)
        plot.scatter("year", "mean", source=self.source, color=theme.MAIN, size=7)
        plot.xaxis.ticker = BasicTicker(min_interval=1)
        plot.xaxis.formatter = NumeralTickFormatter(format="0")
        return plot


class WeekdayHour(HeatMap):
    """Ratings by weekday and hour."""

    name = "weekday-hour"
    title = "Ratings by weekday and hour"
    caption = "Share of all ratings given on each weekday in each hour (UTC)."
    x, y, value = "hour", "weekday", "share"
    x_label, value_label = "hour of the day (UTC)", "share of ratings"
    value_format = "0.[00]%"
    height = 320
    low = 0
    tooltips = ("when", "@weekday, @hour h"), ("ratings", "@n{0,0} (@share{0.00%})")

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        times = facts.times(facts.all)
        counts = np.zeros((len(_DAYS), 24), np.int64)
        np.add.at(counts, (times["hour"].dt.day_of_week, times["hour"].dt.hour), times["n"])
        n = counts.ravel()
        days, hours = np.repeat(_DAYS, 24), np.tile(np.arange(24), len(_DAYS))
        return cls(pd.DataFrame({"weekday": days, "hour": hours, "n": n, "share": n / n.sum()}))
