"""The page *Nights*: what is published, how the nights went, and two releases side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from bokeh.layouts import column
from bokeh.models import FactorRange
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Select
from bokeh.plotting import figure

from mfdask.app.lists import element
from mfdask.app.night_tables import (
    checks_table,
    compared_table,
    release_named,
    releases_table,
    runs_table,
    score_history,
    steps_table,
)
from mfdask.app.page import AppPage, Card
from mfdask.app.table import TableView
from mfdask.errors import InputError
from mfdask.figures.figure import (
    Figure,
    add_hover,
    html_table,
    lift_legend,
    new_plot,
    plain,
)
from mfdask.figures.theme import COLOURS
from mfdask.nightly import journal
from mfdask.nightly.downstream import tables_of
from mfdask.nightly.inbox import n_files
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import published_version

#: Runs whose steps are drawn, the newest.
_RUNS = 30
#: More steps than there are colours of figures.
_OF_STEPS = (*COLOURS, "#8c959f", "#7a5195")


class Nights(AppPage):
    """Releases, the gate, metrics and costs of the nights."""

    path = "nights"
    title = "Nights"
    intro = "What is published, how the last nights went, and why a candidate was refused."

    def build(self) -> None:
        """See `AppPage.build`."""
        if self.site.home is None or not self.site.home.root.is_dir():
            raise InputError("there is no folder of nights here: give `home`")
        home = self.site.home
        lines = journal.read(home.journal)
        self.tables = {
            "runs": TableView(self, "runs", runs_table(lines)),
            "releases": TableView(self, "releases", releases_table(home), filtered=False),
            "checks": TableView(self, "checks", checks_table(lines)),
        }
        self.compared = self.html("compared")
        self.cards = [
            Card("now", "Now", self._now(home), width="wide"),
            Card("runs", "Runs", self.tables["runs"].root, width="wide"),
            *self._figures(home, lines),
            Card("releases", "Releases", self.tables["releases"].root, _RELEASES, "wide"),
            self._compare_card(home),
            Card("checks", "What came in", self.tables["checks"].root, _CHECKS),
        ]
        self._compare()

    def state(self) -> Mapping[str, Any]:
        """See `AppPage.state`."""
        found = {
            key: value for table in self.tables.values() for key, value in table.state().items()
        }
        return found | {name: choice.value for name, choice in self.choices.items()}

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """See `AppPage.actions`."""
        return {key: do for table in self.tables.values() for key, do in table.actions().items()}

    def _now(self, home: NightlyPaths) -> UIElement:
        facts = {"Published": published_version(home) or "nothing yet"}
        try:
            tables = tables_of(home)
        except InputError as error:
            facts["Tables"] = str(error)
        else:
            if tables:
                facts["Tables"] = f"of {tables.version}, made {tables.made:%Y-%m-%d %H:%M} UTC"
        inbox = home.root / "inbox"
        if inbox.is_dir():
            facts["Files in the inbox"] = f"{n_files(inbox):,}"
        if home.state.exists():
            facts["Unfinished"] = "a run goes on, or was interrupted"
        lines = "".join(element("dt", name) + element("dd", fact) for name, fact in facts.items())
        return self.html("now", f'<dl class="facts">{lines}</dl>')

    def _figures(self, home: NightlyPaths, lines: list[journal.Line]) -> list[Card]:
        history, cards = score_history(home), []
        for metric in dict.fromkeys(history["metric"]):
            own = history[history["metric"] == metric].reset_index(drop=True)
            cards.append(Card.of_figure(ScoreHistory(own, str(metric))))
        steps = steps_table(lines[-_RUNS:])
        return [*cards, Card.of_figure(Steps(steps))] if len(steps) else cards

    def _compare_card(self, home: NightlyPaths) -> Card:
        versions = releases_table(home)
        names = versions["version"][versions["state"] != "damaged"].tolist()
        self.choices: dict[str, Select] = {}
        if names:
            for key, title, default in (
                ("first", "First", names[min(1, len(names) - 1)]),
                ("second", "Second", names[0]),
            ):
                options: list[str | tuple[Any, str]] = [*names]
                value = self.address.choice(key, names, default)
                self.choices[key] = self.watch(
                    Select(title=title, value=value, options=options), self._compare
                )
        root = column(*self.choices.values(), self.compared, sizing_mode="stretch_width")
        return Card("compare", "Two releases", root)

    def _compare(self) -> None:
        if not self.choices:
            self.compared.text = element("p", "There are no releases yet.", "soft")
            return
        assert self.site.home is not None
        one, other = (
            release_named(self.site.home, choice.value) for choice in self.choices.values()
        )
        self.compared.text = html_table(compared_table(one, other))


_RELEASES = (
    "RMSE and NDCG are of the gate's slices of the held-out ratings, as they were that night."
)
_CHECKS = "Rows of each night's files, and what the checks of the input measured."


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
