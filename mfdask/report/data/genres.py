"""Figures of genres: their frequencies, co-occurrence and ratings."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from bokeh.models import DataRange1d, NumeralTickFormatter
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import ListFigure, lift_legend, new_plot
from mfdask.report.data.facts import Facts, means_of
from mfdask.report.heat_map import HeatMap
from mfdask.report.parts import label_of_each, labels_of

#: Genres that are shown: those of most items.
_MOST_GENRES = 30
#: Release years are taken together until there are no more periods than this.
_MOST_PERIODS = 30
#: Items that a period must have for its shares to say something.
_FEWEST = 10


class GenreFrequencies(ListFigure):
    """How many items and ratings each genre has."""

    name = "genre-frequencies"
    title = "Genres"
    label = "_genre"
    caption = (
        "Share of the catalogue's items that carry each genre, and of the ratings that go to them. "
        "Items have several genres, so shares add up to more than one."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        names, member = _members(facts)
        items, ratings = member.sum(axis=0), facts.items["n"].to_numpy() @ member
        table = {
            "genre": names,
            "items": items,
            "item_share": items / len(member),
            "ratings": ratings,
            "rating_share": ratings / facts.items["n"].sum(),
            "mean": means_of(facts.all.item_sums @ member, ratings),
        }
        return cls(pd.DataFrame(table))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the numbers, with a label for each genre."""
        return super().columns(numbers) | {"_genre": labels_of(numbers["genre"])}

    def draw(self) -> figure:
        """Return two points a genre, and what lies between."""
        tooltips = [
            ("genre", "@genre"),
            ("items", "@items{0,0} (@item_share{0.0%})"),
            ("ratings", "@ratings{0,0} (@rating_share{0.0%})"),
            ("mean rating", "@mean{0.00}"),
        ]
        ranges: dict[str, Any] = {"y_range": self.lines, "x_range": DataRange1d(start=0)}
        plot = new_plot("share", "", height=620, tooltips=tooltips, **ranges)
        between = plot.segment(
            "item_share", "_genre", "rating_share", "_genre", source=self.source, line_width=3
        )
        between.glyph.tags = [{"line_color": "line"}]
        for part, colour in (("item", theme.MAIN), ("rating", theme.OTHER)):
            look = self.filled(colour, size=11, legend_label=f"of {part}s")
            plot.scatter(f"{part}_share", "_genre", **look)
        plot.ygrid.visible = False
        lift_legend(plot)
        plot.xaxis.formatter = NumeralTickFormatter(format="0%")
        return plot


class GenreCooccurrence(HeatMap):
    """How probable one genre is, given another."""

    name = "genre-cooccurrence"
    title = "Genres that go together"
    caption = (
        "P(B | A): of the catalogue's items with genre A (a line), the share that carries genre B "
        "(a column) too. Not symmetric: a rare genre may hardly ever come without a common one."
    )
    wide = True
    x, y, value = "genre", "given", "probability"
    x_label, y_label, value_label = "genre B", "genre A", "P(B | A)"
    tooltips = ("P(@genre | @given)", "@probability{0.000}"), ("items with both", "@both{0,0}")
    low, high = 0, 1
    height = 600
    upright = True

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        names, member = _members(facts)
        both = member.T @ member
        given, genre = np.indices(both.shape).reshape(2, -1)
        table = {
            "given": np.array(names, object)[given],
            "genre": np.array(names, object)[genre],
            "both": both[given, genre],
            "probability": both[given, genre] / both[given, given],
        }
        return cls(pd.DataFrame(table))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table; a genre given itself is no news, and its cell stays empty."""
        others = numbers["probability"].where(numbers["given"] != numbers["genre"])
        return super().columns(numbers) | {"probability": others.to_numpy()}


class GenreRatings(ListFigure):
    """How the ratings of each genre are spread."""

    name = "genre-ratings"
    title = "Ratings by genre"
    label = "_genre"
    caption = (
        "How the ratings of each genre are spread over the scale, from the genre with the highest "
        "mean to the one with the lowest; every line has the same scale."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        names, member = _members(facts)
        counts = member.T @ facts.all.item_levels
        n = counts.sum(axis=1)
        shares = counts / np.maximum(n, 1)[:, None]
        means = means_of(facts.all.item_sums @ member, n)
        order = np.argsort(-means, kind="stable")[: (n > 0).sum()]  # missing means come last
        values = facts.levels.values
        table = {
            "genre": np.repeat(np.array(names, object)[order], len(values)),
            "rating": np.tile(values, len(order)),
            "n": counts[order].ravel(),
            "share": shares[order].ravel(),
            "mean": np.repeat(means[order], len(values)),
        }
        return cls(pd.DataFrame(table))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the numbers, with where each bar stands on its genre's line."""
        labels = label_of_each(numbers["genre"])
        genres = [labels[name] for name in numbers["genre"]]
        heights = 0.9 * numbers["share"] / numbers["share"].max() - 0.45
        bars = {
            "bottom": [(genre, -0.45) for genre in genres],
            "top": list(zip(genres, heights.tolist(), strict=True)),
        }
        return super().columns(numbers) | bars | {"_genre": genres}

    def draw(self) -> figure:
        """Return a row of bars for each genre."""
        values = self._numbers["rating"]
        step = np.diff(np.unique(values)).min() if values.nunique() > 1 else 1.0
        tooltips = [
            ("genre", "@genre (mean @mean{0.00})"),
            ("rating", "@rating{0.[00]}"),
            ("ratings", "@n{0,0} (@share{0.0%})"),
        ]
        plot = new_plot("rating (stars)", "", height=620, tooltips=tooltips, y_range=self.lines)
        plot.vbar("rating", 0.9 * step, "top", "bottom", **self.filled(theme.MAIN))
        plot.xgrid.visible = False
        return plot


class GenreYears(HeatMap):
    """Genres through the years of release."""

    name = "genre-years"
    title = "Genres by year of release"
    wide = True
    x, y, value = "period", "genre", "share"
    value_label, value_format = "share of items", "0%"
    low = 0
    height = 520
    upright = True
    tooltips = (
        ("genre", "@genre"),
        ("from", "@period"),
        ("items", "@n{0,0} of @items{0,0} (@share{0.0%})"),
    )

    def __init__(self, numbers: pd.DataFrame, years: int) -> None:
        self.x_label = "year of release" if years == 1 else f"release, {years} years from"
        self.caption = (
            "Share of the catalogue's items of a time that carry each genre; times with fewer "
            f"than {_FEWEST} items are left out."
        )
        super().__init__(numbers)

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        names, member = _members(facts)
        known = facts.items["year"].notna().to_numpy()
        released = facts.items["year"][known].to_numpy(np.int64)
        span = int(released.max() - released.min())
        years = next(y for y in (1, 2, 5, 10, 20, 50, 100, 10**5) if span / y < _MOST_PERIODS - 1)
        periods, place = np.unique(released // years * years, return_inverse=True)
        counts = np.zeros((len(periods), len(names)), np.int64)
        np.add.at(counts, place, member[known])
        items = np.bincount(place)
        kept = items >= min(_FEWEST, items.max())
        periods, items, counts = periods[kept], items[kept], counts[kept]
        table = {
            "period": np.tile(periods, len(names)),
            "genre": np.repeat(names, len(periods)),
            "n": counts.T.ravel(),
            "items": np.tile(items, len(names)),
            "share": (counts.T / items).ravel(),
        }
        return cls(pd.DataFrame(table), years)


def _members(facts: Facts) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the genres of most items, the first first, and which items carry them.

    Membership is int64 (items, genres) of 0 and 1.
    """
    carried = facts.items["genres"].str.split("|").explode()
    lines = pd.DataFrame({"item": carried.index, "genre": carried.array}).drop_duplicates()
    n_items = lines["genre"][lines["genre"] != ""].value_counts(sort=False).sort_index()
    names = n_items.sort_values(ascending=False, kind="stable").index[:_MOST_GENRES].tolist()
    places = pd.Index(names).get_indexer(lines["genre"])
    member = np.zeros((len(facts.items), len(names)), np.int64)
    member[lines["item"].to_numpy()[places >= 0], places[places >= 0]] = 1
    return names, member
