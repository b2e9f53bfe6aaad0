"""Figures of a search for parameters, from the tables of `mfdask tune`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from bokeh.layouts import column
from bokeh.models import LinearColorMapper, NumeralTickFormatter
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from mfdask.errors import InputError
from mfdask.figures.figure import Figure, add_hover, new_plot
from mfdask.figures.theme import MAIN, OTHER, SCALE
from mfdask.report.parts import rule
from mfdask.report.plot_row import PlotRow
from mfdask.report.tables import read_parquet

#: Columns of a table of trials that are no parameters of the search.
_FACTS = {
    "trial", "state", "validation_rmse", "train_rmse", "sweeps", "seconds", "error", "best_so_far",
}  # fmt: skip
#: Parameters that a grid is over.
_GRID = ["lambda", "tau", "gamma"]
#: A grid with more values of one parameter than this is no grid but draws.
_MOST_VALUES = 12


def read_trials(file: Path) -> pd.DataFrame:
    """Read a table of trials, in the order in which they were made.

    Raises
    ------
    InputError
        If the file is not there or is no such table.
    """
    table = read_parquet(file, "table of trials")
    others = [name for name in map(str, table) if name.startswith("validation_")]
    if others and "validation_rmse" not in table:
        raise InputError(f"{file}: of the objective {others[0][11:]}; searches by rmse are shown")
    missing = [name for name in ("trial", "state", "validation_rmse") if name not in table]
    if missing:
        raise InputError(
            f"{file}: no table of trials, it has no {', '.join(missing)}; give one that "
            "`mfdask tune` wrote"
        )
    return table.sort_values("trial", ignore_index=True)


def searched(trials: pd.DataFrame) -> list[str]:
    """Return the parameters of which several values were tried.

    Not the sweeps: the column of that name tells how many a trial came to.
    """
    names = [name for name in map(str, trials) if name not in _FACTS]
    return [name for name in names if trials[name].nunique() > 1]


def is_grid(trials: pd.DataFrame) -> bool:
    """Whether lambda, tau and gamma were varied, over few values each."""
    varied = set(_GRID) <= set(searched(trials))
    return varied and bool(trials[_GRID].nunique().max() <= _MOST_VALUES)


def history_of(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with `best_so_far`: the least validation RMSE of complete ones up to each.

    Without those that failed. Trials that were given up early have the RMSE of their last sweep.
    """
    kept = trials[trials["validation_rmse"].notna()].reset_index(drop=True)
    complete = kept["validation_rmse"].where(kept["state"] == "complete")
    return kept.assign(best_so_far=complete.cummin().ffill())


def factors_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return `factors`, `validation_rmse`, `train_rmse` and `difference` to the next smaller."""
    kept = trials[trials["state"] == "complete"].sort_values("factors", ignore_index=True)
    table = kept[["factors", "validation_rmse", "train_rmse"]].astype({"factors": "int64"})
    return table.assign(difference=table["validation_rmse"].diff())


def facets_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return `lambda, tau, gamma, state` and `validation_rmse`, least first where one has several.

    A line for each point: the best of the trials that share it.
    """
    kept = trials[trials["validation_rmse"].notna()].sort_values("validation_rmse", kind="stable")
    kept = kept.drop_duplicates(_GRID).sort_values(_GRID, ignore_index=True)
    return kept[[*_GRID, "state", "validation_rmse"]]


class TrialHistory(Figure):
    """Trials in their order: the table of `history_of`."""

    name = "trial-history"
    caption = (
        "Validation RMSE of each trial in its turn; the line is the best so far, and the star the "
        "best of all. Crosses were given up early, at the error of their last sweep."
    )

    def __init__(self, numbers: pd.DataFrame) -> None:
        self.title = f"Trials over {', '.join(searched(numbers)) or 'one point'}"
        super().__init__(numbers)

    def columns(self, numbers: pd.DataFrame) -> dict[str, object]:
        """Return the table, with a marker for each trial."""
        complete = numbers["state"] == "complete"
        rmse = numbers["validation_rmse"].where(complete)
        best = rmse == rmse.min()
        return {
            **super().columns(numbers),
            "_marker": np.select([best, complete], ["star", "circle"], "x").tolist(),
            "_size": np.where(best, 16, 7),
            "_colour": np.where(complete, MAIN, OTHER).tolist(),
        }

    def draw(self) -> UIElement:
        """Return the plot."""
        plot = new_plot("trial", "validation RMSE (stars)")
        plot.step(
            "trial", "best_so_far", source=self.source, mode="after", line_color=MAIN, line_width=2
        )
        look = self.filled("_colour", fill_alpha=0.6, line_color="_colour")
        points = plot.scatter("trial", "validation_rmse", marker="_marker", size="_size", **look)
        words = [("trial", "@trial, @state"), ("validation RMSE", "@validation_rmse{0.0000}")]
        searches = [(name, f"@{{{name}}}") for name in searched(self._numbers)]
        add_hover(plot, points, words + searches)
        return plot


class FactorSweep(Figure):
    """Validation error by the number of factors: the table of `factors_table`."""

    name = "factor-sweep"
    title = "How many factors"
    caption = (
        "Above, the validation RMSE with so many factors; below, its difference to the next "
        "smaller number: bars below zero are gains."
    )
    tooltips: ClassVar = [
        ("factors", "@factors"),
        ("validation RMSE", "@validation_rmse{0.00000}"),
        ("train RMSE", "@train_rmse{0.00000}"),
        ("difference", "@difference{+0.00000}"),
    ]

    def columns(self, numbers: pd.DataFrame) -> dict[str, object]:
        """Return the table, with the numbers of factors as categories."""
        return {**super().columns(numbers), "_factors": numbers["factors"].astype(str).tolist()}

    def draw(self) -> UIElement:
        """Return both plots."""
        places = self.source.data["_factors"]
        errors = new_plot("", "validation RMSE (stars)", height=220, x_range=places)
        errors.line("_factors", "validation_rmse", source=self.source, line_color=MAIN)
        look = self.filled(MAIN, line_color=MAIN, size=8)
        points = errors.scatter("_factors", "validation_rmse", **look)
        steps = new_plot("factors", "difference (stars)", height=180, x_range=errors.x_range)
        bars = steps.vbar("_factors", 0.6, "difference", **self.filled(OTHER))
        steps.yaxis.formatter = NumeralTickFormatter(format="0.0000")
        rule(steps, 0, upright=False, dash="solid")
        for plot, glyph in ((errors, points), (steps, bars)):
            add_hover(plot, glyph, self.tooltips)
            plot.xgrid.grid_line_color = None
        return column(errors, steps, sizing_mode="stretch_width")


class Facets(PlotRow):
    """Validation error over tau and gamma, one plot a lambda: the table of `facets_table`."""

    name = "tuning-facets"
    title = "Validation RMSE over τ and γ, for each λ"  # noqa: RUF001
    caption = (
        "Each cell is one trial; darker is better, and one scale serves all plots. Hatched trials "
        "were given up early, at the error of their last sweep."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, object]:
        """Return the table, with categories, labels and inks for the cells."""
        rmse = numbers["validation_rmse"]
        # Where the scale is light, black can be read, and white elsewhere.
        light = rmse > rmse.min() + 0.55 * (rmse.max() - rmse.min())
        return {
            **super().columns(numbers),
            **{f"_{name}": [f"{value:g}" for value in numbers[name]] for name in _GRID},
            "_label": [f"{value:.4f}" for value in rmse],
            "_ink": np.where(light, "#000000", "#ffffff").tolist(),
            "_hatch": np.where(numbers["state"] == "complete", " ", "/").tolist(),
        }

    def plots(self) -> Iterable[figure]:
        """Draw a plot for each lambda."""
        rmse = self._numbers["validation_rmse"]
        mapper = LinearColorMapper(palette=SCALE, low=rmse.min(), high=rmse.max())
        for value, cells in self._numbers.groupby("lambda"):
            yield self._plot(f"{value:g}", cells, mapper)

    def _plot(self, value: str, cells: pd.DataFrame, mapper: LinearColorMapper) -> figure:
        ranges: dict[str, Any] = {
            "x_range": _places(cells["tau"]),
            "y_range": _places(cells["gamma"]),
        }
        labels = "tau (τ)", "gamma (γ)"  # noqa: RUF001
        plot = new_plot(*labels, height=240, title=f"λ = {value}", **ranges)
        plot.grid.visible = False
        own = self.view("_lambda", value)
        hatch = {"hatch_pattern": "_hatch", "hatch_color": "_ink", "hatch_alpha": 0.25}
        colour = {"field": "validation_rmse", "transform": mapper}
        drawn = plot.rect("_tau", "_gamma", 1, 1, **self.filled(colour, view=own, **hatch))
        centred = {"text_align": "center", "text_baseline": "middle", "text_font_size": "11px"}
        self.write(plot, "_tau", "_gamma", "_label", view=own, text_color="_ink", **centred)
        point = ("lambda, tau, gamma", "@lambda, @tau, @gamma")
        add_hover(plot, drawn, [point, ("validation RMSE", "@_label"), ("", "@state")])
        return plot


def _places(values: pd.Series) -> list[str]:
    """Return the categories of an axis, ascending."""
    return [f"{value:g}" for value in sorted(values.unique())]
