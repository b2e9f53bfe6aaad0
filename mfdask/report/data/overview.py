"""Statistics of a data set: ratings by value, the most active users, the split."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import pandas as pd
from bokeh.models import DataRange1d, NumeralTickFormatter
from bokeh.plotting import figure
from bokeh.transform import dodge

from mfdask.figures import theme
from mfdask.figures.figure import Figure, ListFigure, TableFigure, lift_legend, new_plot
from mfdask.report.data.facts import PARTS, Counted, Facts
from mfdask.report.parts import labels_of, measures_table

#: Users who are shown by name, and bars that still have room for their numbers.
_MOST_ACTIVE = 20
_LABELLED = 20


class Statistics(TableFigure):
    """The numbers that every paper starts with."""

    name = "statistics"
    title = "Statistics"
    caption = (
        "Training and held-out ratings together. Averages, medians and sparsity (the share of all "
        "pairs of a user and an item without a rating) are over the items with a rating."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        users, items = (side["n"][side["n"] > 0] for side in (facts.users, facts.items))
        n = int(users.sum())
        lines = {
            "ratings": n,
            "users": len(users),
            "items with a rating": len(items),
            "items in the catalogue": facts.data.n_items,
            "ratings a user, mean": n / len(users),
            "ratings a user, median": float(users.median()),
            "ratings an item, mean": n / len(items),
            "ratings an item, median": float(items.median()),
            "sparsity (%)": 100 * (1 - n / (len(users) * len(items))),
            **_moments(facts, facts.all),
        }
        return cls(measures_table("statistic", {"value": lines}))


class RatingHistogram(Figure):
    """How often each rating is given."""

    name = "rating-histogram"
    title = "Ratings by value"
    caption = "How often each rating is given; the number above a bar is its count."

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        n = facts.all.item_levels.sum(axis=0)
        values = facts.levels.values
        return cls(pd.DataFrame({"rating": values, "n": n, "share": n / n.sum()}))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the numbers, with those to be written above the bars."""
        few = len(numbers) <= _LABELLED
        texts = [short(n) if few else "" for n in numbers["n"]]
        return super().columns(numbers) | {"text": texts}

    def draw(self) -> figure:
        """Return the bars."""
        values = self._numbers["rating"]
        tooltips = [("rating", "@rating{0.[00]}"), ("ratings", "@n{0,0} (@share{0.0%})")]
        room = DataRange1d(start=0, range_padding=0.2)  # for the number above the highest bar
        plot = new_plot("rating (stars)", "ratings", height=440, tooltips=tooltips, y_range=room)
        bar_width = 0.86 * (values.diff().min() if len(values) > 1 else 1.0)
        plot.vbar("rating", bar_width, "n", **self.filled(theme.MAIN))
        above = {"y_offset": -4, "text_align": "center", "text_font_size": "11px"}
        self.write(plot, "rating", "n", "text", "soft", **above)
        plot.xgrid.visible = False
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
        if len(values) <= _LABELLED:
            plot.xaxis.ticker = values.tolist()
        return plot


class ActiveUsers(ListFigure):
    """The users with most ratings."""

    name = "active-users"
    title = "The 20 most active users"
    label = "label"
    caption = (
        "Ratings of the users with most of them. Users far above the others are often programs, or "
        "several people."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        users = facts.users.nlargest(_MOST_ACTIVE, "n").query("n > 0")
        means = [float(facts.ratings_of(row)[1].mean(dtype=np.float64)) for row in users.index]
        total = int(facts.users["n"].sum())
        table = {"user_id": users["user_id"], "n": users["n"], "share": users["n"] / total}
        return cls(pd.DataFrame(table | {"mean": means}).reset_index(drop=True))

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the numbers, with ids as text, whole and as they fit beside a bar."""
        ids = [str(user) for user in numbers["user_id"]]
        return super().columns(numbers) | {"user_id": ids, "label": labels_of(ids)}

    def draw(self) -> figure:
        """Return the bars."""
        tooltips = [
            ("user", "@user_id"),
            ("ratings", "@n{0,0} (@share{0.00%} of all)"),
            ("mean rating", "@mean{0.00}"),
        ]
        ranges: dict[str, Any] = {"y_range": self.lines, "x_range": DataRange1d(start=0)}
        plot = new_plot("ratings", "user id", height=420, tooltips=tooltips, **ranges)
        plot.hbar("label", 0.8, "n", **self.filled(theme.MAIN))
        plot.ygrid.visible = False
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
        return plot


class SplitTable(TableFigure):
    """Training and held-out ratings, side by side."""

    name = "split"
    title = "Training and held-out ratings"
    caption = (
        "What a model learns from, and what it is measured on. Users and items without a training "
        "rating are known by nothing but the mean, or by their genres."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        return cls(measures_table("what", {part: _part(facts, part) for part in PARTS}))


class SplitRatings(Figure):
    """Values of training and held-out ratings."""

    name = "split-ratings"
    title = "Ratings by value, training against held-out"
    caption = (
        "Share of each part's ratings. A random split leaves the two alike; one by time shows how "
        "ratings have changed."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        table: dict[str, Any] = {"rating": facts.levels.values}
        for part in PARTS:
            n = facts.parts[part].item_levels.sum(axis=0)
            table |= {f"n_{part}": n, part: n / max(1, n.sum())}
        return cls(pd.DataFrame(table))

    def draw(self) -> figure:
        """Return pairs of bars."""
        values = self._numbers["rating"]
        step = values.diff().min() if len(values) > 1 else 1.0
        tooltips = [
            ("rating", "@rating{0.[00]}"),
            ("training", "@train{0.0%} (@n_train{0,0})"),
            ("held-out", "@test{0.0%} (@n_test{0,0})"),
        ]
        options: dict[str, Any] = {"tooltips": tooltips, "y_range": DataRange1d(start=0)}
        plot = new_plot("rating (stars)", "share of the part's ratings", height=400, **options)
        sides = {"training": (theme.MAIN, -0.21 * step), "held-out": (theme.OTHER, 0.21 * step)}
        for part, (label, (colour, shift)) in zip(PARTS, sides.items(), strict=True):
            look = self.filled(colour, legend_label=label)
            plot.vbar(dodge("rating", shift), 0.4 * step, part, **look)
        plot.xgrid.visible = False
        lift_legend(plot)
        plot.yaxis.formatter = NumeralTickFormatter(format="0%")
        if len(values) <= _LABELLED:
            plot.xaxis.ticker = values.tolist()
        return plot


def short(n: int) -> str:
    """Write a count in few letters: 950, 26.8k, 7.8M."""
    if n < 10_000:
        return f"{n:,}"
    return f"{n / 1e3:.1f}k" if n < 999_950 else f"{n / 1e6:,.1f}M"


def _part(facts: Facts, part: str) -> dict[str, Any]:
    counted = facts.parts[part]
    n = int(counted.item_levels.sum())
    here = {"users": facts.users, "items": facts.items}
    here = {side: table[table[f"n_{part}"] > 0] for side, table in here.items()}
    alone = {side: table["n"] == table[f"n_{part}"] for side, table in here.items()}
    return {
        "ratings": n,
        "share of all": n / int(facts.all.item_levels.sum()),
        **{side: len(table) for side, table in here.items()},
        **{f"{side} in no other part": int(only.sum()) for side, only in alone.items()},
        **_moments(facts, counted),
    }


def _moments(facts: Facts, counted: Counted) -> dict[str, Any]:
    """Return mean and deviation of ratings, and where there are times the first and last day."""
    n = int(counted.item_levels.sum())
    mean = deviation = math.nan
    if n:
        mean = float(counted.item_sums.sum()) / n
        square = float(counted.squares) / n - (mean - facts.data.mean) ** 2
        deviation = math.sqrt(max(0.0, square))
    lines = {"mean rating": mean, "standard deviation": deviation}
    if facts.first_hour is None:
        return lines
    hours = facts.times(counted)["hour"]
    return lines | {"first rating": _day(hours.min()), "last rating": _day(hours.max())}


def _day(moment: Any) -> str:
    return "" if pd.isna(moment) else f"{moment:%Y-%m-%d}"
