"""Figures of items by popularity and mean rating, and of the densest part of the matrix."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from bokeh.models import DataRange1d, LinearColorMapper, LogColorMapper, NumeralTickFormatter
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import Figure, add_scale, new_plot
from mfdask.report.data.facts import Facts

#: Cells of a decade of popularity, and of the rating scale.
_A_DECADE = 8
_MEANS = 36
#: Users and items of the corner.
_USERS, _ITEMS = 60, 150


class PopularityMean(Figure):
    """Items by number and mean of their ratings."""

    name = "popularity-mean"
    title = "Popular items against well-rated ones"
    caption = (
        "Items by the number of their ratings and the mean of these, counted in cells. Means of "
        "few ratings are far apart by chance alone: the picture narrows to the right."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        rated = facts.items[facts.items["n"] > 0]
        logs, means = np.log10(rated["n"].to_numpy(np.float64)), rated["mean"].to_numpy()
        low, high = facts.data.rating_min, facts.data.rating_max
        # Edges lie between the rating values, so that none of these falls onto one.
        margin = (high - low or 1.0) / (2 * _MEANS)
        across = np.arange(np.floor(logs.max() * _A_DECADE) + 2) / _A_DECADE
        up = np.linspace(low - margin, high + margin, _MEANS + 2)
        counts, _, _ = np.histogram2d(logs, means, bins=(across, up))
        x, y = np.nonzero(counts)
        table = {
            "ratings_from": 10 ** across[x],
            "ratings_to": 10 ** across[x + 1],
            "mean_from": up[y],
            "mean_to": up[y + 1],
            "items": counts[x, y].astype(np.int64),
        }
        return cls(pd.DataFrame(table))

    def draw(self) -> figure:
        """Return the cells."""
        tooltips = [
            ("ratings", "@ratings_from{0,0} to @ratings_to{0,0}"),
            ("mean", "@mean_from{0.00} to @mean_to{0.00}"),
            ("items", "@items{0,0}"),
        ]
        options: dict[str, Any] = {"height": 420, "tooltips": tooltips, "x_axis_type": "log"}
        plot = new_plot("ratings of the item", "mean rating (stars)", **options)
        self._mapper = LogColorMapper(palette=theme.SCALE)
        look = self.filled({"field": "items", "transform": self._mapper})
        plot.quad("ratings_from", "ratings_to", "mean_to", "mean_from", **look)
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
        add_scale(plot, self._mapper, "items in a cell")
        return plot

    def follow(self) -> None:
        """Take over the ends of the scale."""
        self._mapper.low, self._mapper.high = 1, max(2, int(self._numbers["items"].max()))


class DensestCorner(Figure):
    """Ratings of the most active users for the most rated items."""

    name = "densest-corner"
    title = "The densest corner"
    caption = (
        "Ratings of the most active users (lines) for the most rated items (columns); empty cells "
        "have no rating. Nowhere is the table fuller than here."
    )
    wide = True

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        users = facts.users.nlargest(_USERS, "n").index.to_numpy()
        items = facts.items.nlargest(_ITEMS, "n").index.to_numpy()
        ranks = pd.Series(np.arange(1, len(items) + 1), index=items)
        lines = []
        for rank, user in enumerate(users.tolist(), 1):
            rated, ratings = facts.ratings_of(user)
            there = np.isin(rated, items)
            columns = {"item_rank": ranks[rated[there]].to_numpy(), "rating": ratings[there]}
            lines.append(pd.DataFrame({"user_rank": rank} | columns))
        table = pd.concat(lines, ignore_index=True).sort_values(["user_rank", "item_rank"])
        user, item = users[table["user_rank"] - 1], items[table["item_rank"] - 1]
        table.insert(1, "user_id", facts.users["user_id"].take(user).array)
        table.insert(3, "item_id", facts.items["item_id"].take(item).array)
        table.insert(4, "title", facts.items["title"].take(item).array)
        return cls(table.reset_index(drop=True))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the numbers, with ids as text."""
        ids = {name: [str(one) for one in numbers[name]] for name in ("user_id", "item_id")}
        return super().columns(numbers) | ids

    def draw(self) -> figure:
        """Return the cells."""
        users, items = ("user", "@user_id"), ("item", "@title (@item_id)")
        tooltips = [users, items, ("rating", "@rating{0.[00]}")]
        x, y = DataRange1d(range_padding=0), DataRange1d(flipped=True, range_padding=0)
        options: dict[str, Any] = {"height": 480, "tooltips": tooltips, "x_range": x, "y_range": y}
        plot = new_plot("item, by rank", "user, by rank", **options)
        self._mapper = LinearColorMapper(palette=theme.SCALE)
        look = self.filled({"field": "rating", "transform": self._mapper})
        plot.rect("item_rank", "user_rank", width=1, height=1, **look)
        plot.grid.visible = False
        add_scale(plot, self._mapper, "rating (stars)")
        return plot

    def follow(self) -> None:
        """Take over the ends of the scale."""
        ratings = self._numbers["rating"]
        self._mapper.low, self._mapper.high = float(ratings.min()), float(ratings.max())
