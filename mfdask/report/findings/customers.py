"""Figures of the accuracy of churn and lifetime-value predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import DataRange1d, FactorRange
from bokeh.models.annotations import Slope
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from mfdask.downstream.metric_names import METRIC_NAMES
from mfdask.figures.figure import Figure, add_hover, lift_legend, new_plot, plain
from mfdask.figures.theme import MAIN
from mfdask.report.parts import rule
from mfdask.report.plot_row import PlotRow
from mfdask.report.tables import Absent, read_table

#: Bands of risk and of value, and how their lines are drawn.
_BANDS = {"high": "solid", "medium": "dashed", "middle": "dashed", "low": "dotted"}
_BARS = (
    "Bars are 95 % intervals over users drawn anew; of Brier score, RMSE and MAE, less is better."
)


def metrics_of(table: Path) -> list[Figure]:
    """Return a figure of the metrics in the evaluation beside a table, and one of any gains.

    Raises
    ------
    Absent
        If there is no evaluation.
    """
    columns = ("model", "features", "metric", "value", "low", "high")
    found = read_table(table.with_name(f"{table.stem}.evaluation.parquet"), columns)
    gain = found["features"].str.startswith("gain")
    figures: list[Figure] = [Metrics(found[~gain].reset_index(drop=True))]
    if gain.any():
        figures.append(Gains(found[gain].reset_index(drop=True)))
    return figures


def deciles_figures(table: Path) -> list[Figure]:
    """Return the figures of `deciles_of`.

    Raises
    ------
    Absent
        As there.
    """
    deciles = deciles_of(table)
    return [Lift(deciles), Foretold(deciles)]


def survival_figures(table: Path) -> list[Figure]:
    """Return the figure of who is still active, by week.

    Raises
    ------
    Absent
        If there are no curves beside the table.
    """
    file = table.with_name(f"{table.stem}.survival.parquet")
    found = read_table(file, ("band", "users", "week", "active"))
    wide = found.pivot(index="week", columns="band", values="active")
    bands = [band for band in _BANDS if band in wide]
    return [Survival(wide[bands].reset_index().rename_axis(columns=None))]


def deciles_of(table: Path) -> pd.DataFrame:
    """Return predictions and what came, by deciles of the predictions, the highest first.

    From the file of deciles beside the table, which are of all tested cut-offs, or else from the
    labels of the table itself.

    Returns
    -------
    DataFrame
        `tenth` (from 1), `users`, `predicted` and `actual` (means), `lift`: the actual mean over
        that of all.

    Raises
    ------
    Absent
        If neither is there.
    """
    beside = table.with_name(f"{table.stem}.deciles.parquet")
    if beside.exists():
        columns = ["users", "predicted", "actual"]
        found = read_table(beside, columns)[columns]
    else:
        found = _by_decile(_scored(table))
    overall = np.average(found["actual"], weights=found["users"])
    found.insert(0, "tenth", np.arange(1, len(found) + 1))
    return found.assign(lift=found["actual"] / overall if overall else np.nan)


def _scored(table: Path) -> pd.DataFrame:
    """Return `score`, under whatever name a table has it, and `label`."""
    found = read_table(table, ("label",))
    names = [name for name in ("p_churn", "expected_value", "score") if name in found]
    if not names:
        raise Absent(f"{table.name} has no p_churn, and no expected_value.")
    return found.rename(columns={names[0]: "score"})


def _by_decile(table: pd.DataFrame) -> pd.DataFrame:
    known = table[table["label"].notna() & table["score"].notna()]
    if known.empty:
        raise Absent(
            "What came is not known yet: the horizon of this table has not passed. Give one of an "
            "earlier cut-off."
        )
    ordered = known.sort_values("score", ascending=False, kind="stable")
    tenth = np.arange(len(ordered)) * 10 // len(ordered)
    grouped = ordered.astype({"label": "float64"}).groupby(tenth)
    found = grouped.agg(
        users=("score", "size"), predicted=("score", "mean"), actual=("label", "mean")
    )
    return found.reset_index(drop=True)


class Metrics(PlotRow):
    """Metrics with their intervals, a plot for each: `model, features, metric, value, low, high`.

    Attributes
    ----------
    gains : bool
        Whether the values are differences: then lines are named by the model, and zero is marked.
    """

    name = "metrics"
    title = "how well it is foretold"
    caption = f"Means over the tested cut-offs, each learned from earlier ones. {_BARS}"
    gains = False

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with a name for each line."""
        names = numbers["model"] if self.gains else numbers["model"] + ", " + numbers["features"]
        return {**super().columns(numbers), "_name": [plain(name) for name in names]}

    def plots(self) -> list[figure]:
        """Draw a plot for each metric."""
        names = list(dict.fromkeys(self.source.data["_name"]))
        return [self._plot(str(metric), names) for metric in self._numbers["metric"].unique()]

    def _plot(self, metric: str, names: list[str]) -> figure:
        lines, height = FactorRange(factors=names[::-1]), 110 + 26 * len(names)
        name = METRIC_NAMES.get(metric, metric)
        plot = new_plot(plain(name), "", height=height, y_range=lines)
        look = self.filled(MAIN, view=self.view("metric", metric))
        plot.hbar("_name", 0.2, left="low", right="high", fill_alpha=0.5, **look)
        dots = plot.scatter("value", "_name", size=9, **look)
        if self.gains:
            rule(plot, 0, upright=True)
        interval = ("95 %", "@low{0.0000} to @high{0.0000}")
        add_hover(
            plot,
            dots,
            [("", "@_name"), (name, "@value{0.0000}"), interval],
        )
        return plot


class Gains(Metrics):
    """What more features gain, with its intervals."""

    name = "gains"
    title = "what the factors add"
    caption = (
        "What all features do beyond dates alone. Where a bar holds zero, no difference can be "
        f"told. {_BARS}"
    )
    gains = True


class Lift(Figure):
    """What came by deciles of the predictions: the table of `deciles_of`."""

    name = "lift"
    title = "lift by deciles"
    caption = (
        "Users by deciles of what was predicted for them, the highest first: what came, against "
        "the mean of all (the dotted line)."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with the deciles as categories."""
        return {**super().columns(numbers), "_tenth": numbers["tenth"].astype(str).tolist()}

    def draw(self) -> UIElement:
        """Return a bar for each tenth."""
        x_label, tenths = (
            "tenth of the users, highest predictions first",
            self.source.data["_tenth"],
        )
        plot = new_plot(x_label, "times the mean of all", x_range=tenths)
        plot.y_range = DataRange1d(start=0)
        plot.xgrid.visible = False
        bars = plot.vbar("_tenth", 0.8, "lift", **self.filled(MAIN))
        rule(plot, 1, upright=False)
        add_hover(plot, bars, _TENTH_TOOLTIPS)
        return plot


class Foretold(Figure):
    """Predicted against actual means: the table of `deciles_of`."""

    name = "calibration"
    title = "predicted and actual"
    caption = (
        "Each dot is a tenth of the users: the mean of what was predicted for them, and of what "
        "came. On the dotted line both are the same."
    )

    def draw(self) -> UIElement:
        """Return the dots and the line on which they should lie."""
        plot = new_plot("predicted (mean of the tenth)", "actual (mean of the tenth)")
        line = Slope(gradient=1, y_intercept=0, line_dash="dotted", tags=[{"line_color": "soft"}])
        plot.add_layout(line)
        plot.line("predicted", "actual", source=self.source, line_color=MAIN, line_width=2)
        dots = plot.scatter("predicted", "actual", size=9, **self.filled(MAIN))
        add_hover(plot, dots, _TENTH_TOOLTIPS)
        return plot


class Survival(Figure):
    """Probability of being active: `week` and a column for each band."""

    name = "survival"
    title = "who is still active"
    caption = (
        "The mean probability that users have not left for good, so many weeks after the cut-off, "
        "by the bands of the table."
    )

    def draw(self) -> UIElement:
        """Return a line for each band."""
        plot = new_plot("weeks after the cut-off", "probability of being active")
        plot.y_range = DataRange1d(start=0, end=1)
        for band, dash in _BANDS.items():
            if band in self.source.data:
                look: dict[str, Any] = {"line_color": MAIN, "line_dash": dash, "line_width": 2}
                line = plot.line("week", band, source=self.source, legend_label=band, **look)
                tips = [(band, f"@{band}{{0.000}}"), ("week", "@week")]
                add_hover(plot, line, tips)
        lift_legend(plot)
        return plot


_TENTH_TOOLTIPS = [
    ("tenth", "@tenth (@users{0,0} users)"),
    ("predicted", "@predicted{0.000}"),
    ("actual", "@actual{0.000}"),
    ("times the mean", "@lift{0.00}"),
]
