"""Figures of two-dimensional embeddings of items and genres."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from bokeh.layouts import column
from bokeh.models import CustomJS, DataRange1d
from bokeh.models.annotations import Legend, LegendItem
from bokeh.models.ui import UIElement
from threadpoolctl import threadpool_limits

from mfdask.embedding import embed
from mfdask.figures.figure import Figure, add_hover, new_plot, plain
from mfdask.figures.theme import COLOURS, MAIN, REST
from mfdask.models import FactorModel
from mfdask.report.parts import chooser, named

#: Items on a map, the most rated ones; t-SNE takes seconds for so many.
MOST_ITEMS = {"direct": 3_000, "pca": 3_000, "tsne": 1_000}
#: Fewer make no picture.
FEWEST_ITEMS = 4
_REST = "others"
_ALL = "all genres"
_RATINGS = ("training ratings", "@n_train{0,0}")

#: What the map of each method shows, and how to read it.
_SHOWN = {
    "direct": ("the two factors", "The axes are the model's two factors."),
    "pca": (
        "the plane of most variance",
        "The axes are the two directions in which the items' factors vary most (principal "
        "components).",
    ),
    "tsne": (
        "neighbours together",
        "Placed by t-SNE, so that items with like factors lie together; distances between groups, "
        "and the axes, mean nothing.",
    ),
}


def placed(model: FactorModel, method: str) -> pd.DataFrame:
    """Return the table of `mfdask.embedding.embed` of the most rated items and their genres."""
    order = np.argsort(-model.items["n_train"].to_numpy(), kind="stable")
    kept = np.sort(order[: MOST_ITEMS[method]])
    items = model.items.iloc[kept].reset_index(drop=True)
    most_rated = replace(model, items=items, item_rows=model.item_rows[kept])
    with threadpool_limits(1, "openmp"):  # on a busy machine its threads wait for each other
        return embed(most_rated, method, min_ratings=1, quick=True)


def coloured_genres(genres: pd.Series) -> list[str]:
    """Return the most frequent genres, in that order: as many as colours can tell apart."""
    counts = Counter(name for own in genres for name in own.split("|") if name)
    return sorted(counts, key=lambda name: (-counts[name], name))[: len(COLOURS)]


def colour_groups(genres: pd.Series, coloured: list[str]) -> list[str]:
    """Return the group of each item: of its coloured genres the least frequent, or ``"others"``.

    The least frequent says most: nearly every second film is a drama.
    """
    of_items = (set(own.split("|")) for own in genres)
    return [next((name for name in reversed(coloured) if name in own), _REST) for own in of_items]


class ItemMap(Figure):
    """Items as points: `item_id, title, genres, n_train, x, y`."""

    wide = True

    def __init__(self, numbers: pd.DataFrame, method: str) -> None:
        self.name = f"item-map-{method}"
        what, how = _SHOWN[method]
        self.title = f"Map of items: {what}"
        self.caption = (
            f"{how} The {len(numbers):,} most rated items; choose a genre to see its "
            "items alone. A colour is that of the least frequent of an item's coloured genres."
        )
        self._palette = dict(zip(coloured_genres(numbers["genres"]), COLOURS, strict=False))
        super().__init__(numbers)

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with a colour and a size for each item."""
        groups = colour_groups(numbers["genres"], list(self._palette))
        return {
            "item_id": numbers["item_id"].astype(str).tolist(),
            "title": named(numbers["item_id"], numbers["title"]),
            "genres": numbers["genres"].tolist(),
            "n_train": numbers["n_train"].to_numpy(),
            "x": numbers["x"].to_numpy(np.float32),
            "y": numbers["y"].to_numpy(np.float32),
            "_colour": [self._palette.get(group, REST) for group in groups],
            "_alpha": np.full(len(numbers), _ALPHA, np.float32),
            "_size": 4 + 6 * np.sqrt(numbers["n_train"].to_numpy() / numbers["n_train"].max()),
        }

    def draw(self) -> UIElement:
        """Return the map below a list of genres."""
        plot = new_plot("", "", height=560, match_aspect=True)
        plot.axis.visible = False
        plot.grid.visible = False
        look = self.filled("_colour", fill_alpha="_alpha", size="_size")
        words = [("", "@title"), ("genres", "@genres"), _RATINGS, ("id", "@item_id")]
        add_hover(plot, plot.scatter("x", "y", **look), words)
        genres = sorted(set(self._numbers["genres"].str.cat(sep="|").split("|")) - {""})
        if not genres:
            return plot
        self._legend(plot)
        choice = chooser("Show", [_ALL, *genres])
        choice.js_on_change("value", CustomJS(args={"source": self.source}, code=_FILTER))
        return column(choice, plot, sizing_mode="stretch_width")

    def _legend(self, plot: Any) -> None:
        """Add a legend of the colours; its glyphs show nothing on the map."""
        items = [
            LegendItem(
                label=plain(name),
                renderers=[plot.scatter([nan], [nan], size=9, fill_color=colour, line_color=None)],
            )
            for name, colour in [*self._palette.items(), (_REST, REST)]
        ]
        plot.add_layout(Legend(items=items, orientation="horizontal", location="left"), "below")


#: Opacity of a point that is meant, and (in the script) of one that is not.
_ALPHA = 0.75
_FILTER = f"""
const alpha = source.data._alpha
const genres = source.data.genres
for (let i = 0; i < alpha.length; i++) {{
  const meant = cb_obj.value == {_ALL!r} || genres[i].split("|").includes(cb_obj.value)
  alpha[i] = meant ? {_ALPHA} : 0.04
}}
source.change.emit()
"""


class GenreMap(Figure):
    """Genres as points: `title, n_train, x, y`."""

    name = "genre-map"
    title = "Map of genres"
    wide = True
    caption = (
        "Genres on the first map above: by what the model has learned for each, or else by the "
        "mean of its items. Larger points have more ratings. Genres that lie together are liked by "
        "the same people. A name that finds no room is shown on hover."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with sizes and labels."""
        share = numbers["n_train"] / max(numbers["n_train"].max(), 1)
        return {
            **super().columns(numbers),
            "_name": [plain(name) for name in numbers["title"]],
            "_size": (8 + 24 * np.sqrt(share)).to_numpy(),
            **{key: [value] * len(numbers) for key, value in _UNPLACED.items()},
        }

    def draw(self) -> UIElement:
        """Return the map."""
        plot = new_plot("first axis of the map", "second axis of the map", height=420)
        plot.x_range, plot.y_range = (DataRange1d(range_padding=0.15) for _ in range(2))
        look = self.filled(MAIN, fill_alpha=0.5, line_color=MAIN, size="_size")
        points = plot.scatter("x", "y", **look)
        where = {"x_offset": "_right", "y_offset": "_down", "text_align": "_align"}
        self.write(plot, "x", "y", "_label", "ink", text_baseline="middle", **where)
        add_hover(plot, points, [("genre", "@title"), _RATINGS])
        ranges = {"x": plot.x_range, "y": plot.y_range}
        place = CustomJS(args={"source": self.source, "plot": plot, **ranges}, code=_PLACE_NAMES)
        for each in (plot.x_range, plot.y_range):
            each.js_on_change("start", place)
            each.js_on_change("end", place)
        plot.js_on_change("inner_width", place)
        return plot


#: Where names are written, before the browser has told how much room there is.
_UNPLACED = {"_label": "", "_right": 0.0, "_down": 0.0, "_align": "center"}
#: Writes each name beside its point where it hides no other name, the most rated genres first: it
#: is told again whenever the plot's size or ends change.
_PLACE_NAMES = """
if (plot.properties.inner_width.is_unset) return
const { inner_width: wide, inner_height: high } = plot
const span = (range, value) => (value - range.start) / (range.end - range.start)
const data = source.data
const points = [...data._name.keys()].map((k) => {
  const r = data._size[k] / 2
  return { x: span(x, data.x[k]) * wide, y: (1 - span(y, data.y[k])) * high, r }
})
const around = (at, r) => ({ left: at.x - r, right: at.x + r, top: at.y - r, bottom: at.y + r })
const meet = (a, b) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
const inside = (a) => a.left >= 0 && a.right <= wide && a.top >= 0 && a.bottom <= high
const dots = points.map((point) => around(point, point.r))
const taken = []
const choices = (k) => {
  const { x, y, r } = points[k], half = 3.4 * data._name[k].length + 2
  const box = (across, down) => ({
    left: x + across - half, right: x + across + half, top: y + down - 8, bottom: y + down + 8,
  })
  return [
    { box: box(0, -r - 9), right: 0, down: -r - 9, align: "center" },
    { box: box(0, r + 9), right: 0, down: r + 9, align: "center" },
    { box: box(r + 3 + half, 0), right: r + 5, down: 0, align: "left" },
    { box: box(-r - 3 - half, 0), right: -r - 5, down: 0, align: "right" },
  ].filter(({ box }) => inside(box) && !taken.some((other) => meet(box, other)))
}
const order = [...points.keys()].sort((a, b) => data.n_train[b] - data.n_train[a])
for (const k of order) {
  const free = choices(k)
  const best = free.find(({ box }) => !dots.some((dot, j) => j !== k && meet(box, dot))) ?? free[0]
  data._label[k] = best ? data._name[k] : ""
  if (!best) continue
  data._right[k] = best.right
  data._down[k] = best.down
  data._align[k] = best.align
  taken.push(best.box)
}
source.change.emit()
"""
