"""Figures of several plots side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from bokeh.models import BasicTicker, CDSView, DatetimeTicker, GroupFilter
from bokeh.models.layouts import Row
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import Figure

#: Narrower plots go below each other.
_NARROW = 280


class PlotRow(Figure):
    """A row of plots that goes on below where the page is narrow; they are made of the numbers."""

    wide = True
    root: Row

    @abstractmethod
    def plots(self) -> Iterable[figure]:
        """Return the plots of the numbers as they are."""

    def draw(self) -> Row:
        """Return an empty row: what is in it is not known before `follow`."""
        return Row(sizing_mode="stretch_width", styles={"flex-wrap": "wrap"})

    def follow(self) -> None:
        """Draw the plots anew."""
        plots = list(self.plots())
        for plot in plots:
            plot.update(min_width=_NARROW, styles={"flex": f"1 1 {_NARROW}px"})
            for axis in plot.xaxis:
                if isinstance(axis.ticker, BasicTicker | DatetimeTicker):
                    axis.ticker.desired_num_ticks = 4
        self.root.children = [*plots]
        theme.dress(self.root)

    def view(self, column: str, text: str) -> CDSView:
        """Return the lines of the source with a text in a column."""
        return CDSView(filter=GroupFilter(column_name=column, group=text))
