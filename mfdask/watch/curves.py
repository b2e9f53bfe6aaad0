"""The figures of the progress page."""

from __future__ import annotations

from typing import Any

import pandas as pd
from bokeh.models import (
    AdaptiveTicker,
    BasicTicker,
    ColumnDataSource,
    DataRange1d,
    HoverTool,
    NumeralTickFormatter,
)
from bokeh.models.annotations import LegendItem
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.ui import UIElement
from bokeh.plotting import figure
from bokeh.transform import dodge

from mfdask.figures.figure import (
    Figure,
    ListFigure,
    TableFigure,
    lift_legend,
    new_plot,
    plain,
    short_counts,
)
from mfdask.figures.theme import COLOURS, MAIN, OTHER

_HEIGHT = 240
#: Of the plot of shards: axis and legend, and each worker.
_AROUND, _ROW = 86, 44


class SweepErrors(Figure):
    """Training and test error: see `sweeps_table`."""

    name = "rmse"
    title = "RMSE by sweep"
    caption = (
        "Root mean squared error of unclipped predictions: dashed for the ratings learned from, "
        "solid for the held-out ones, if there are any. After its burn-in, the test error of a "
        "Bayesian model is that of its mean prediction so far."
    )

    def draw(self) -> UIElement:
        """Return two lines; the test error has none where nothing is held out."""
        plot = _by_sweep("RMSE (stars)")
        _curve(plot, self.source, "test_rmse", MAIN, legend_label="test")
        train = _curve(
            plot, self.source, "train_rmse", OTHER, legend_label="train", line_dash="dashed"
        )
        _hover(plot, train, ("train", "@train_rmse{0.0000}"), ("test", "@test_rmse{0.0000}"))
        first = plot.legend[0].items[0]
        assert isinstance(first, LegendItem)
        self._test = first
        lift_legend(plot)
        return plot

    def follow(self) -> None:
        """Name the test error in the legend only where there is one."""
        self._test.visible = bool(self._numbers["test_rmse"].notna().any())


class Speed(Figure):
    """Ratings read a second: see `sweeps_table`."""

    name = "speed"
    title = "Ratings a second"
    caption = (
        "Training ratings read in a sweep, divided by its seconds. A sweep reads each twice, once "
        "for its user and once for its item; its seconds include the scoring of held-out ratings. "
        "The first sweep also reads the shards and may compile."
    )

    def draw(self) -> UIElement:
        """Return a line from zero."""
        plot = _by_sweep("ratings a second", y_range=DataRange1d(start=0))
        plot.yaxis.formatter = short_counts()
        points = _curve(plot, self.source, "speed", MAIN)
        _hover(plot, points, ("ratings a second", "@speed{0,0}"), ("seconds", "@seconds{0.000}"))
        return plot


class Traffic(Figure):
    """Bytes that workers have sent each other: see `traffic_table`."""

    name = "traffic"
    title = "Bytes moved by sweep"
    caption = (
        "What workers have sent to other workers, a colour for each sender: rows of factors, and "
        "small sums; ratings never move. It is counted when a sweep ends, and the next one has "
        "begun by then."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with the ends and the colour of each bar, stacked within a sweep."""
        top = numbers.groupby("sweep", sort=False)["bytes"].cumsum()
        code, _ = pd.factorize(numbers["worker"])
        return {
            **super().columns(numbers),
            "worker": [plain(name) for name in numbers["worker"]],
            "_top": top.to_numpy(),
            "_bottom": (top - numbers["bytes"]).to_numpy(),
            "_colour": [COLOURS[k % len(COLOURS)] for k in code],
        }

    def draw(self) -> UIElement:
        """Return stacked bars."""
        plot = _by_sweep("bytes", y_range=DataRange1d(start=0, min_interval=1))
        plot.yaxis.formatter = NumeralTickFormatter(format="0.[0] b")
        plot.yaxis.ticker = AdaptiveTicker(base=1024, mantissas=[2**k for k in range(10)])
        look = self.filled("_colour", legend_field="worker")
        plot.vbar("sweep", width=0.8, bottom="_bottom", top="_top", **look)
        words = [("sweep", "@sweep"), ("worker", "@worker"), ("sent", "@bytes{0.0 b}")]
        plot.add_tools(HoverTool(tooltips=words))
        lift_legend(plot)
        return plot


class Shards(ListFigure):
    """Who solves which blocks: see `shards_table`."""

    name = "shards"
    title = "Shards a worker"
    label = "worker"
    caption = (
        "Blocks of users and of items that each worker has solved last. A block tends to stay "
        "where its rows are; when a worker dies, others take over its blocks."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with workers as they are written on the axis."""
        workers = [plain(name) for name in numbers["worker"]]
        return {**super().columns(numbers), "worker": workers}

    def draw(self) -> UIElement:
        """Return two bars for each worker."""
        ranges: dict[str, Any] = {"y_range": self.lines, "x_range": DataRange1d(start=0)}
        self._plot = new_plot("blocks", "worker", **ranges)
        self._plot.toolbar_location = None
        self._plot.xaxis.ticker = _whole_numbers()
        for side, shift, colour in (("users", 0.19, MAIN), ("items", -0.19, OTHER)):
            place = dodge("worker", shift, self.lines)
            look = self.filled(colour, legend_label=side)
            self._plot.hbar(place, right=side, height=0.34, **look)
        words = [("worker", "@worker"), ("blocks of users", "@users"), ("of items", "@items")]
        self._plot.add_tools(HoverTool(tooltips=words))
        self._plot.ygrid.visible = False
        lift_legend(self._plot)
        return self._plot

    def follow(self) -> None:
        """Make room for the workers there are, the first one above."""
        super().follow()
        self._plot.height = _AROUND + _ROW * max(1, len(self.lines.factors))


class Tasks(TableFigure):
    """What the scheduler has in hand: see `tasks_table`."""

    name = "tasks"
    title = "Tasks"
    caption = "What the scheduler has in hand now, of whatever job, by the name of the work."
    wide = True

    def follow(self) -> None:
        """Write the numbers, or that there are none."""
        super().follow()
        if self._numbers.empty:
            self.root.text = "none"


def _by_sweep(y_label: str, **options: Any) -> figure:
    sweeps = DataRange1d(range_padding=0.02)
    plot = new_plot("sweep", y_label, height=_HEIGHT, x_range=sweeps, **options)
    plot.toolbar_location = None
    plot.xaxis.ticker = _whole_numbers()
    return plot


def _whole_numbers() -> BasicTicker:
    return BasicTicker(min_interval=1, num_minor_ticks=0)


def _curve(
    plot: figure, source: ColumnDataSource, name: str, colour: str, **options: Any
) -> GlyphRenderer:
    """Draw a line and its points, so that a first sweep can be seen alone; return the points."""
    plot.line("sweep", name, source=source, line_color=colour, line_width=2, **options)
    return plot.scatter("sweep", name, source=source, size=4, color=colour)


def _hover(plot: figure, points: GlyphRenderer, *words: tuple[str, str]) -> None:
    """Show the numbers of the sweep that the mouse is above or below."""
    tooltips = [("sweep", "@sweep"), *words]
    plot.add_tools(HoverTool(tooltips=tooltips, renderers=[points], mode="vline"))
