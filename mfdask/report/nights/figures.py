"""Figures of the nights: scores of the gate over the releases, and times by step."""

from __future__ import annotations

from typing import Any

import pandas as pd
from bokeh.models import FactorRange
from bokeh.models.ui import UIElement
from bokeh.plotting import figure

from mfdask.figures.figure import Figure, add_hover, lift_legend, new_plot, plain
from mfdask.figures.theme import COLOURS, REST

#: More steps than there are colours of figures.
_OF_STEPS = (*COLOURS, REST, "#7a5195")


class ScoreHistory(Figure):
    """One metric over the releases, a line for each slice: `version`, `slice`, `value`."""

    def __init__(self, numbers: pd.DataFrame, metric: str) -> None:
        self.name = f"history-{'rmse' if metric == 'RMSE' else 'lists'}"
        self.title = f"{metric} over the releases"
        self.caption = (
            "On the slices of the held-out ratings that the gate looks at. "
            f"{'Lower' if metric == 'RMSE' else 'Higher'} is better."
        )
        self._metric = metric
        super().__init__(numbers)

    def draw(self) -> UIElement:
        """Return a line for each slice."""
        versions = FactorRange(factors=[*dict.fromkeys(map(_run_of, self._numbers["version"]))])
        ranges: dict[str, Any] = {"x_range": versions}
        plot = new_plot("release of run", self._metric, **ranges)
        for k, (part, own) in enumerate(self._numbers.groupby("slice", sort=False)):
            x, y = [*map(_run_of, own["version"])], own["value"].to_numpy()
            look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "legend_label": str(part)}
            plot.line(x, y, line_width=2, **look)
            dots = plot.scatter(x, y, size=7, **look)
            words = [("release", "@x"), (str(part), "@y{0.0000}")]
            add_hover(plot, dots, words)
        lift_legend(plot)
        plot.legend[0].ncols = 2
        return plot


def _run_of(version: str) -> str:
    """Return the number of the run that has made a release; names begin with it."""
    return plain(version.partition("-")[0].lstrip("0") or version)


class Steps(Figure):
    """Seconds of each step of each run: `run`, `step`, `seconds`."""

    name = "steps"
    title = "Times by step"
    caption = "Seconds of each step of the last runs, from the bottom up in the order of work."

    def draw(self) -> UIElement:
        """Return stacked bars."""
        wide = self._numbers.pivot_table(
            index="run", columns="step", values="seconds", aggfunc="sum", sort=False
        ).fillna(0.0)
        runs = [str(run) for run in wide.index]
        ranges: dict[str, Any] = {"x_range": FactorRange(factors=runs)}
        plot: figure = new_plot("run", "seconds", **ranges)
        data = {"run": runs, **{str(step): wide[step].to_numpy() for step in wide}}
        names = [str(step) for step in wide]
        bars = plot.vbar_stack(
            names, x="run", width=0.8, source=data, line_color=None,
            fill_color=[_OF_STEPS[k % len(_OF_STEPS)] for k in range(len(names))],
            legend_label=names,
        )  # fmt: skip
        for bar, step in zip(bars, names, strict=True):
            add_hover(plot, bar, [("run", "@run"), (step, f"@{{{step}}}{{0.0}} s")])
        lift_legend(plot)
        plot.legend[0].ncols = 4
        return plot
