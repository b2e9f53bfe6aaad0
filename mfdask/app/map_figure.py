"""The figures of the map: items in a plane, and what its axes mean."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.properties import value
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.models import ColumnDataSource, Range1d, TapTool, WheelZoomTool
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from mfdask.app.places import Places, View
from mfdask.figures import theme
from mfdask.figures.figure import Figure, add_hover, new_plot, plain
from mfdask.figures.theme import COLOURS, OTHER

_HEIGHT = 560
#: Pixels of a plot whose width no browser has told yet.
_WIDTH = 900
#: Titles take the place of genres where fewer than this share of the items are in the window.
_NEAR = 0.6


class Plane(Figure):
    """What is drawn of a window on the plane, see `Places.circles`.

    Attributes
    ----------
    plot : figure
    chosen, near, path, names : ColumnDataSource
        The item that was clicked, those like it, a user's path, and titles or genres.
    """

    name = "plane"
    title = "Items"
    caption = (
        "A small circle is an item, a larger one several that lie close together, in the colour of "
        "most of them. Drag to move, and zoom in to see titles; a click on an item shows what is "
        "like it."
    )
    wide = True

    def __init__(self, places: Places, titles: pd.Series) -> None:
        self._places, self._titles = places, titles
        self.chosen, self.near = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
        self.path = ColumnDataSource({"x": [], "y": [], "when": [], "end": []})
        self.names = ColumnDataSource({"x": [], "y": [], "label": []})
        self.genres = ColumnDataSource({"x": [], "y": [], "label": []})
        super().__init__(places.circles(places.whole(), titles))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with a colour, a size and a text for each circle."""
        many = np.sqrt(numbers["n"] / max(numbers["n"].max(), 1))
        words = [
            title if n == 1 else f"{n:,} items, the most rated: {title}"
            for n, title in zip(numbers["n"], numbers["title"], strict=True)
        ]
        return {
            **super().columns(numbers),
            "_colour": [colour_of(self._places, group) for group in numbers["group"]],
            "_size": np.where(numbers["n"] == 1, 7.0, 6 + 20 * many),
            "_words": words,
        }

    def draw(self) -> UIElement:
        """Return the map."""
        ranges: dict[str, Any] = {"x_range": Range1d(), "y_range": Range1d()}
        self.plot = plot = new_plot("", "", height=_HEIGHT, **ranges)
        plot.axis.visible = False
        plot.grid.visible = False
        self._lines(plot)
        look = self.filled("_colour", fill_alpha=0.7, size="_size")
        circles: Any = plot.scatter("x", "y", **look)
        circles.nonselection_glyph = circles.selection_glyph = None
        add_hover(plot, circles, [("", "@_words")])
        tapped: list[Any] = [circles]
        plot.add_tools(TapTool(renderers=tapped), WheelZoomTool())
        self._texts(plot)
        self.look_at(self._places.whole())
        return plot

    def _lines(self, plot: figure) -> None:
        ring: dict[str, Any] = {"fill_color": None, "line_width": 2}
        plot.scatter("x", "y", source=self.near, size=13, line_color=OTHER, **ring)
        marked = plot.scatter("x", "y", source=self.chosen, size=18, **ring)
        marked.glyph.tags = [{"line_color": "ink"}]
        line = plot.line("x", "y", source=self.path, line_width=2)
        steps = plot.scatter("x", "y", source=self.path, size=9)
        line.glyph.tags = [{"line_color": "ink"}]
        steps.glyph.tags = [{"line_color": "ink", "fill_color": "ground"}]
        add_hover(plot, steps, [("liked until", "@when")])

    def _texts(self, plot: figure) -> None:
        font = {"text_font": value(theme.FONT), "text_align": "center"}
        look: dict[str, Any] = {**font, "text_font_size": "12px", "y_offset": -7}
        titles = plot.text("x", "y", "label", source=self.names, **look)
        look |= {"text_font_size": "13px", "y_offset": 0, "text_baseline": "middle"}
        genres = plot.text("x", "y", "label", source=self.genres, **look)
        dates = plot.text("x", "y", "end", source=self.path, **look | {"y_offset": -14})
        for texts in (titles, genres, dates):
            texts.glyph.tags = [{"text_color": "ink", "background_fill_color": "ground"}]
            texts.glyph.background_fill_alpha = 0.7

    def legend(self) -> str:
        """Return what the colours mean, as HTML."""
        names = enumerate(self._places.groups)
        return "".join(
            f'<span class="key" style="--key: {colour_of(self._places, k)}">'
            f"<bdi>{escape(name)}</bdi></span>"
            for k, name in names
        )

    def take(self, places: Places) -> None:
        """Show other places of the same items."""
        self._places = places
        for source in (self.chosen, self.near):
            source.data = {"x": [], "y": []}
        self.look_at(places.whole())

    def look_at(self, view: View) -> None:
        """Show a window."""
        self.plot.x_range.update(start=view.left, end=view.right)
        self.plot.y_range.update(start=view.bottom, end=view.top)

    @property
    def view(self) -> View:
        """The window that is shown."""
        along: Any = self.plot.x_range
        up: Any = self.plot.y_range
        return View(along.start, along.end, up.start, up.end)

    def redraw(self) -> None:
        """Draw what is in the window: genres by name while it is large, then titles."""
        view = self.view
        self.update(self._places.circles(view, self._titles))
        width, height = self._size()
        near = len(self._places.inside(view)) < _NEAR * len(self._places.rows)
        items = self._places.labels(view, self._titles, width, height)
        genres = self._places.genre_labels(view, width, height)
        labels, genres = (items, _NO_LABELS) if near else (_NO_LABELS, genres)
        for source, table in ((self.names, labels), (self.genres, genres)):
            texts = [plain(str(text)) for text in table["label"]]
            source.data = {"x": table["x"].to_numpy(), "y": table["y"].to_numpy(), "label": texts}

    def _size(self) -> tuple[float, float]:
        """Return the pixels of the window, as far as a browser has told them."""
        try:
            return self.plot.inner_width, self.plot.inner_height
        except UnsetValueError:
            return _WIDTH, _HEIGHT

    def go(self, path: pd.DataFrame) -> None:
        """Draw a user's path, see `path_of_user`; its ends are named."""
        ends = [day if k in (0, len(path) - 1) else "" for k, day in enumerate(path["when"])]
        self.path.data = {**super().columns(path), "end": ends}

    def mark(self, rows: np.ndarray[Any, Any], source: ColumnDataSource) -> None:
        """Put rings around items, by their rows in the model; those not on the map get none."""
        at = np.flatnonzero(np.isin(self._places.rows, rows))
        source.data = {"x": self._places.x[at], "y": self._places.y[at]}


_NO_LABELS = pd.DataFrame({"x": [], "y": [], "label": []})


def colour_of(places: Places, group: int) -> str:
    """Return the colour of a group; the last is that of all genres without one."""
    coloured = group < len(COLOURS) and places.groups[group] != "others"
    return COLOURS[group] if coloured else theme.REST
