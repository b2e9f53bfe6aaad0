"""Base classes of figures: a table of numbers, its Bokeh source and its Bokeh root."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.properties import value
from bokeh.models import (
    ColumnDataSource,
    CustomJSTickFormatter,
    FactorRange,
    HoverTool,
    InlineStyleSheet,
    LinearAxis,
    LogAxis,
    Plot,
)
from bokeh.models.annotations import ColorBar, Title
from bokeh.models.formatters import NumeralTickFormatter, TickFormatter
from bokeh.models.mappers import ColorMapper
from bokeh.models.renderers import GlyphRenderer
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Div
from bokeh.plotting import figure

from mfdask.figures import theme

#: Signs of a word that stays in one line, and of a text that gets a wide column.
_WHOLE, _LONG = 26, 60
#: How axes write numbers: thousands apart, and no more decimals than there are.
_NUMBER = "0,0.[000000]"
_SHORT = """
const size = Math.abs(tick)
const [part, sign] = size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""]
return (tick / part).toLocaleString("en", { maximumFractionDigits: part > 1 ? 1 : 3 }) + sign
"""


class Figure(ABC):
    """A picture of a table of numbers.

    Attributes
    ----------
    name : str
        Of small letters, digits and hyphens, and unique on a page: ``"rating-histogram"``.
    title, caption : str
        Plain text; the caption says how to read the picture.
    wide : bool
        Whether it needs the whole width of a page.
    source : ColumnDataSource
        What the glyphs read.
    root : UIElement
        What Bokeh shows: ``bokeh.io.show(figure.root)``.
    """

    name: str
    title: str
    caption: str
    wide: bool = False

    def __init__(self, numbers: pd.DataFrame) -> None:
        self._numbers = numbers
        self.source = ColumnDataSource(self.columns(numbers))
        self.root = self.draw()
        self.follow()
        theme.dress(self.root)

    @property
    def is_picture(self) -> bool:
        """Whether it is drawn: a table is text."""
        return any(isinstance(model, Plot) for model in self.root.references())

    def table(self) -> pd.DataFrame:
        """Return the numbers behind the picture."""
        return self._numbers

    def update(self, numbers: pd.DataFrame) -> None:
        """Show other numbers in place, as a live page does."""
        self._numbers = numbers
        self.source.data = self.columns(numbers)
        self.follow()

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return what the glyphs read: the columns of the table, unless a figure needs others."""
        return {str(name): values_of(numbers[name]) for name in numbers}

    @abstractmethod
    def draw(self) -> UIElement:
        """Return the picture of `self.source`; called once."""

    def follow(self) -> None:  # noqa: B027
        """Set what does not follow the source by itself: categories, and the ends of a scale."""

    def filled(self, colour: Any, **options: Any) -> dict[str, Any]:
        """Return the options of glyphs of the source that are filled, without lines around them."""
        return {"source": self.source, "fill_color": colour, "line_color": None, **options}

    def write(self, plot: figure, x: str, y: str, text: str, ink: str = "", **options: Any) -> None:
        """Write texts of the source into a plot, in a colour that follows the ground, or another.

        `ink` is one of `theme.LIGHT`; if it is left out, the options say ``text_color``.
        """
        font = {"text_font": value(theme.FONT), "text_font_size": "12px"}
        written = plot.text(x, y, text, **{"source": self.source, **font, **options})
        written.glyph.tags = [{"text_color": ink}] if ink else []


class TableFigure(Figure):
    """Numbers to be read: an HTML table."""

    root: Div

    def draw(self) -> Div:
        """Return an empty place for the table."""
        sheet = InlineStyleSheet(css=_TABLE_CSS)
        return Div(disable_math=True, stylesheets=[sheet], sizing_mode="stretch_width")

    def follow(self) -> None:
        """Write the numbers."""
        self.root.text = html_table(self._numbers)


class ListFigure(Figure):
    """A picture with a line for each of several things, the first of the table on top.

    Attributes
    ----------
    label : str
        Column of `source` with what stands beside each line.
    """

    label: str

    @cached_property
    def lines(self) -> FactorRange:
        """The lines, for the ``y_range`` of the plot."""
        return FactorRange()

    def follow(self) -> None:
        """Take over the lines."""
        self.lines.factors = list(dict.fromkeys(self.source.data[self.label]))[::-1]


@dataclass
class Missing:
    """Stands for a figure whose inputs are not there.

    Attributes
    ----------
    name, title : str
        Of the figure.
    why : str
        One sentence in plain text.
    """

    name: str
    title: str
    why: str


@dataclass(frozen=True)
class Section:
    """Figures that belong together, under a heading.

    Attributes
    ----------
    name : str
        Of small letters, digits and hyphens.
    title, intro : str
        Plain text.
    parts : sequence of Figure or Missing
    """

    name: str
    title: str
    intro: str
    parts: Sequence[Figure | Missing]


def values_of(column: pd.Series) -> Any:
    """Return a column as Bokeh can send it: numbers as an array, all else as a list."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.to_numpy()
    return column.astype(object).tolist()


def new_plot(
    x_label: str,
    y_label: str,
    *,
    height: int = 320,
    tooltips: Sequence[tuple[str, str]] | None = None,
    **options: Any,
) -> figure:
    """Return an empty plot of the width of its place; the page around it can still be scrolled.

    Parameters
    ----------
    x_label, y_label : str
        With the unit, ``"ratings a user"``; empty for none.
    height : int
        Pixels.
    tooltips : sequence of (str, str), optional
        As Bokeh's ``HoverTool`` takes them. Never write ``{safe}``: titles are text.
    options
        Of `bokeh.plotting.figure`, such as ``x_axis_type="log"``.
    """
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,reset,save",
        active_drag=None,
        toolbar_location="below",
        x_axis_label=x_label or None,
        y_axis_label=y_label or None,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    for axis in plot.axis:
        if type(axis) in (LinearAxis, LogAxis):  # an axis of dates is a linear one, too
            axis.formatter = NumeralTickFormatter(format=_NUMBER)
    if tooltips is not None:
        plot.add_tools(HoverTool(tooltips=list(tooltips)))
    return plot


def add_hover(plot: figure, glyphs: GlyphRenderer, tooltips: Sequence[tuple[str, str]]) -> None:
    """Show tooltips over some of a plot's glyphs, as with `new_plot`."""
    plot.add_tools(HoverTool(tooltips=list(tooltips), renderers=[glyphs]))


def short_counts() -> TickFormatter:
    """Return how an axis writes large counts in little room: 950, 26.8k, 7.8M."""
    return CustomJSTickFormatter(code=_SHORT)


def add_scale(plot: figure, mapper: ColorMapper, label: str, written: str = "") -> None:
    """Show what a plot's colours mean: a bar to the right, and its label above it.

    `written` is how its numbers look, as Bokeh's ``NumeralTickFormatter`` takes it; by default as
    `short_counts` has them.
    """
    numbers = NumeralTickFormatter(format=written) if written else short_counts()
    plot.add_layout(ColorBar(color_mapper=mapper, formatter=numbers), "right")
    plot.add_layout(Title(text=label, align="right"), "above")


def lift_legend(plot: figure) -> None:
    """Put the legend of a plot in a line above it, where it hides nothing."""
    (legend,) = plot.legend
    legend.update(orientation="horizontal", padding=0, margin=2, spacing=16)
    plot.add_layout(legend, "above")


def plain(text: str) -> str:
    r"""Return text that Bokeh does not take for TeX: it would between ``$$``, ``\[`` or ``\(``.

    For titles, ids and genres as categories, axis labels or legend entries; tooltips need it not.
    """
    broken = text.replace("$$", "$\u2060$")
    return broken.replace("\\[", "\\\u2060[").replace("\\(", "\\\u2060(")


def html_table(table: pd.DataFrame) -> str:
    """Return a table as HTML of texts; columns with numbers stand to the right."""
    kinds = [
        "number" if any(isinstance(value, Number) for value in table[name].dropna()) else "text"
        for name in table
    ]
    head = _row("th", [str(name).replace("_", " ") for name in table], kinds)
    lines = table.astype(object).itertuples(index=False)
    body = "".join(_row("td", map(cell_words, line), kinds) for line in lines)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, texts: Iterable[str], kinds: list[str]) -> str:
    cells = (
        f'<{tag} class="{kind}{_room(text)}"><bdi>{escape(text)}</bdi></{tag}>'
        for kind, text in zip(kinds, texts, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _room(text: str) -> str:
    """Return the class of a cell that is not to be broken, such as a date, or needs much room."""
    if len(text) <= _WHOLE and " " not in text:
        return " whole"
    return " long" if len(text) > _LONG else ""


def cell_words(value: Any) -> str:
    """Return a value of a table as a person reads it; nothing for what is missing."""
    if pd.isna(value):
        return ""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:
            return f"{value:.2g}"
        written = f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.0f}"
        return written.rstrip("0").rstrip(".") if "." in written else written
    return f"{value:,}" if isinstance(value, int) else str(value)


# The page's colours reach into Bokeh's shadow trees as CSS variables; elsewhere the text keeps
# the colour of what is around it.
_TABLE_CSS = """
:host { font: 14px/1.45 system-ui, sans-serif; color: var(--ink, inherit); overflow-x: auto; }
.bk-clearfix { display: block; width: 100%; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line, #d8dee4); }
th { font-weight: 500; color: var(--soft, inherit); vertical-align: bottom; }
.text { text-align: start; } .number { text-align: end; font-variant-numeric: tabular-nums; }
.whole { white-space: nowrap; } .long { min-width: 30ch; }
tr:last-child td { border-bottom: 0; }
"""
