"""Figures of the distribution of ratings over users and items."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from bokeh.models import NumeralTickFormatter
from bokeh.plotting import figure

from mfdask.figures import theme
from mfdask.figures.figure import Figure, TableFigure, add_hover, lift_legend, new_plot
from mfdask.report.data.facts import Facts, Ints
from mfdask.report.heavy_tail import Comparison, Sample
from mfdask.report.parts import measures_table

#: Points of a curve, evenly spread over the logarithm.
_POINTS = 300
_ONE = {"users": "user", "items": "item"}


class Degrees(Figure):
    """The share of users, or items, with at least so many ratings, and two laws for it."""

    def __init__(self, numbers: pd.DataFrame, side: str, fit: Comparison | None) -> None:
        self.side = side
        self.name = f"{_ONE[side]}-degrees"
        self.title = f"Ratings of each {_ONE[side]}"
        self.caption = f"Share of the {side} with at least so many ratings. {_fitted(fit)}"
        super().__init__(numbers)

    @classmethod
    def of(cls, facts: Facts, side: str) -> Self:
        """Make it for a side of a data set, ``"users"`` or ``"items"``."""
        fit = facts.tails[side]
        return cls(degree_curve(facts.counts(side), fit), side, fit)

    def draw(self) -> figure:
        """Return the points and both curves."""
        tooltips = [
            ("ratings", "@ratings{0,0} or more"),
            (self.side, "@share{0.[0000]%} (@n{0,0} with exactly so many)"),
            ("power law", "@power_law{0.[0000]%}"),
            ("log-normal", "@log_normal{0.[0000]%}"),
        ]
        x_label = f"ratings of the {_ONE[self.side]}"
        y_label = f"share of {self.side} with at least so many"
        plot = new_plot(x_label, y_label, x_axis_type="log", y_axis_type="log")
        look = self.filled(theme.MAIN, size=5, legend_label=self.side)
        add_hover(plot, plot.scatter("ratings", "share", **look), tooltips)
        laws = ("power_law", "power law", theme.OTHER), ("log_normal", "log-normal", theme.THIRD)
        for law, label, colour in laws:
            dash = "solid" if law == "power_law" else "dashed"
            line: dict[str, Any] = {"line_color": colour, "line_dash": dash, "line_width": 2.5}
            plot.line("ratings", law, source=self.source, legend_label=label, **line)
        lift_legend(plot)
        plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
        plot.yaxis.formatter = NumeralTickFormatter(format="0.[0000]%")
        return plot


class DegreeFits(TableFigure):
    """The two laws in numbers."""

    name = "degree-fits"
    title = "Power law or log-normal"
    caption = (
        "Both are fitted by maximum likelihood to the counts from x_min up, where a power law "
        "suits them best (Clauset, Shalizi and Newman 2009). The log-likelihood ratio is that of "
        "the power law less that of the log-normal; p says how probable one this far from zero is "
        "by chance (Vuong's test)."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        sides = {side: _in_numbers(facts.tails[side]) for side in _ONE}
        return cls(measures_table("measure", sides))


class RankFrequency(Figure):
    """Ratings by rank."""

    name = "rank-frequency"
    title = "Ratings by rank"
    caption = (
        "Users and items from the one with most ratings to the one with fewest, both axes "
        "logarithmic: a straight line is Zipf's law, a drop at the end a tail of the rarely rated."
    )

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """Make it for a data set."""
        sides = {side: pd.Series(np.sort(facts.counts(side))[::-1]) for side in _ONE}
        table = pd.DataFrame(sides, dtype=np.float64)
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        # The last of either side is no round number, and shows how far it reaches.
        ranks = np.union1d(_spread(len(table)), [len(counts) for counts in sides.values()])
        return cls(table.iloc[ranks - 1].reset_index(drop=True))

    def draw(self) -> figure:
        """Return one line a side."""
        plot = new_plot("rank", "ratings", height=460, x_axis_type="log", y_axis_type="log")
        for side, colour in zip(_ONE, (theme.MAIN, theme.OTHER), strict=True):
            look: dict[str, Any] = {"source": self.source, "color": colour}
            plot.line("rank", side, line_width=2, legend_label=side, **look)
            points = plot.scatter("rank", side, size=3, **look)
            tooltips = [(_ONE[side], "rank @rank{0,0}"), ("ratings", f"@{side}{{0,0}}")]
            add_hover(plot, points, tooltips)
        lift_legend(plot)
        plot.axis.formatter = NumeralTickFormatter(format="0,0")
        return plot


def degree_curve(counts: Ints, fit: Comparison | None) -> pd.DataFrame:
    """Return the shares of counts that reach each value, and what both laws say of it.

    Returns
    -------
    DataFrame
        `ratings` (the value), `n` (how often it occurs), `share`, `power_law` and `log_normal` (of
        the same whole as `share`; missing below the start of the fits).
    """
    sample = Sample.of(counts)
    shares = sample.at_least()
    kept = np.unique(np.searchsorted(sample.values, _spread(int(sample.values[-1]))))
    table = pd.DataFrame({"ratings": sample.values, "n": sample.n, "share": shares}).astype(
        {"ratings": np.int64, "n": np.int64}
    )
    table[["power_law", "log_normal"]] = np.nan
    if fit is not None:
        tail = sample.values >= fit.power_law.start
        values, whole = sample.values[tail], shares[tail][0]
        table.loc[tail, "power_law"] = fit.power_law.at_least(values) * whole
        table.loc[tail, "log_normal"] = fit.log_normal.at_least(values) * whole
    return table.iloc[kept].reset_index(drop=True)


def _spread(n: int) -> Ints:
    """Return numbers from 1 to `n`, all of the first ones, and later ones ever more sparsely."""
    return np.unique(np.rint(np.geomspace(1, n, _POINTS)).astype(np.int64))


def _fitted(fit: Comparison | None) -> str:
    if fit is None:
        return "There are too few that differ to fit a law to them."
    law = fit.power_law
    return (
        f"The power law that suits them best begins at {law.start:,.0f} ratings ({fit.n:,} have as "
        f"many) and has exponent {law.exponent:.3f} ± {fit.exponent_error:.3f}. Against a "
        f"log-normal of the same range the log-likelihood ratio is {fit.ratio:,.1f} "
        f"(p = {fit.p:.2g}): {fit.verdict}."
    )


def _in_numbers(fit: Comparison | None) -> dict[str, object]:
    if fit is None:
        return {"verdict": "too few that differ"}
    return {
        "x_min (ratings)": int(fit.power_law.start),
        "counts from x_min up": fit.n,
        "power law: exponent": fit.power_law.exponent,
        "power law: standard error": fit.exponent_error,
        "power law: KS distance": fit.power_law.distance,
        "log-normal: mu": fit.log_normal.mu,
        "log-normal: sigma": fit.log_normal.sigma,
        "log-likelihood ratio": fit.ratio,
        "the same, normalised": fit.normalised,
        "p": fit.p,
        "verdict": fit.verdict,
    }
