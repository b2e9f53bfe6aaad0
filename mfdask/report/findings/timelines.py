"""Figures of the ratings of a few items over time, one small plot each."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
from bokeh.models import DataRange1d, HoverTool, Range1d
from bokeh.models.annotations import BoxAnnotation, Title
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import new_plot, plain
from mfdask.report.findings.ratings import ratings_among
from mfdask.report.parts import named, rule, shortened
from mfdask.report.plot_row import PlotRow
from mfdask.shards import Dataset

_DAY = pd.Timedelta(days=1)
#: Milliseconds across a bar, so that days stand apart.
_BAR = 0.84 * 86_400_000.0
#: What is shown before and after a burst: days at least, and times its length.
_DAYS_AROUND, _TIMES_AROUND = 21, 2


def timeline_table(data: Dataset, flagged: pd.DataFrame, every: Literal["D", "Q"]) -> pd.DataFrame:
    """Return the ratings of flagged items by time.

    Parameters
    ----------
    data : Dataset
    flagged : DataFrame
        `item_id`, each once; ids that are not in the data set are passed over.
    every : {"D", "Q"}
        Days, or quarters.

    Returns
    -------
    DataFrame
        `item_id, title, period` (its first day), `ratings, mean` (stars) for each period with
        ratings; items in the order of `flagged`.
    """
    rows = data.rows_of("items", flagged["item_id"])
    rows = rows[rows >= 0]
    catalogue = data.items().iloc[rows]
    titles = named(catalogue["item_id"], catalogue["title"])
    found = ratings_among(data, items=rows)
    period = found["time"].dt.to_period(every).dt.start_time.rename("period")
    sums = found.groupby(["item", period])["rating"].agg(ratings="size", mean="mean")
    names = pd.DataFrame({"item": rows, "item_id": catalogue["item_id"].array, "title": titles})
    table = names.merge(sums.reset_index(), on="item", sort=False)
    return table[["item_id", "title", "period", "ratings", "mean"]]


def burst_days(marks: pd.DataFrame) -> pd.DataFrame:
    """Return the days of bursts, and those to be seen around them.

    Parameters
    ----------
    marks : DataFrame
        `item_id, window_start, window_end` (UTC), each item once.

    Returns
    -------
    DataFrame
        `item_id`, `start` and `end` of the burst in whole days, `first` and `last` of what is
        around it.
    """
    start = marks["window_start"].dt.tz_localize(None).dt.floor("D")
    end = marks["window_end"].dt.tz_localize(None).dt.floor("D") + _DAY
    around = ((end - start) * _TIMES_AROUND).clip(lower=_DAYS_AROUND * _DAY)
    days = {"start": start, "end": end, "first": start - around, "last": end + around}
    return marks[["item_id"]].assign(**days).reset_index(drop=True)


class Timelines(PlotRow):
    """The table of `timeline_table`, a plot for each item.

    Parameters
    ----------
    numbers : DataFrame
    marks : DataFrame
        `item_id, start, end` of what is to be seen; `end` may equal `start`. Where there are
        `first` and `last`, only the time between them is shown.
    """

    y_label: str

    def __init__(self, numbers: pd.DataFrame, marks: pd.DataFrame) -> None:
        self._marks = marks
        super().__init__(numbers)

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with ids as text and a size for each dot."""
        size = 4 + 10 * (numbers["ratings"] / max(numbers["ratings"].max(), 1)) ** 0.5
        return {
            **super().columns(numbers),
            "_item": numbers["item_id"].astype(str).tolist(),
            "_size": size.to_numpy(),
            "_noon": (numbers["period"] + _DAY / 2).to_numpy(),
        }

    def plots(self) -> list[figure]:
        """Draw a plot for each item."""
        items = self._numbers.drop_duplicates("item_id")
        return list(map(self._plot, items["item_id"], items["title"]))

    def glyphs(self, plot: figure, look: dict[str, Any]) -> None:
        """Draw one item; `look` are options of its glyphs."""
        raise NotImplementedError

    def _plot(self, item: object, title: str) -> figure:
        head = Title(text=plain(shortened(title)), text_font_size="13px")
        plot = new_plot("", self.y_label, height=230, x_axis_type="datetime", title=head)
        for mark in self._marks[self._marks["item_id"] == item].dropna().itertuples():
            _mark(plot, mark)
        self.glyphs(plot, self.filled(theme.MAIN, view=self.view("_item", str(item))))
        tooltips = [("", "@title"), ("from", "@period{%F}"), ("ratings", "@ratings{0,0}")]
        tooltips.append(("mean", "@mean{0.00} stars"))
        plot.add_tools(HoverTool(tooltips=tooltips, formatters={"@period": "datetime"}))
        return plot


def _mark(plot: figure, mark: Any) -> None:
    """Draw a line of `Timelines`' marks: a rule, or what is shaded, and the time around it."""
    left, right = (_milliseconds(moment) for moment in (mark.start, mark.end))
    if right > left:
        look: dict[str, Any] = {"fill_color": theme.OTHER, "fill_alpha": 0.25}
        plot.add_layout(BoxAnnotation(left=left, right=right, line_color=None, **look))
    else:
        rule(plot, left, upright=True)
    if hasattr(mark, "first"):
        plot.x_range = Range1d(start=_milliseconds(mark.first), end=_milliseconds(mark.last))


def _milliseconds(moment: pd.Timestamp) -> float:
    return moment.timestamp() * 1000


class Attacked(Timelines):
    """Daily ratings of items that seem attacked, around the burst."""

    name = "attacked-items"
    title = "Items that seem attacked"
    caption = (
        "Ratings a day of the items with the strongest bursts of extreme ratings; the shaded "
        "stretch is the burst. Hover for the day's mean rating."
    )
    y_label = "ratings a day"

    def glyphs(self, plot: figure, look: dict[str, Any]) -> None:
        """Draw bars."""
        plot.y_range = DataRange1d(start=0)
        # A bar stands at its day's middle: that of midnight would be half a day early.
        plot.vbar("_noon", _BAR, "ratings", **look)


class Drifting(Timelines):
    """Quarterly means of items that are rated otherwise than before."""

    name = "drifting-items"
    title = "Items that are rated otherwise than before"
    caption = (
        "Mean rating a quarter of the items with the surest drift; larger dots hold more ratings. "
        "The dotted line is where the change was found, after taking out who rated when."
    )
    y_label = "mean rating (stars)"

    def glyphs(self, plot: figure, look: dict[str, Any]) -> None:
        """Draw dots."""
        plot.scatter("period", "mean", size="_size", fill_alpha=0.7, **look)
