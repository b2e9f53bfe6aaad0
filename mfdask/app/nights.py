"""The page *Nights*: what is published, how the nights went, and two releases side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bokeh.layouts import column
from bokeh.models.widgets import Select

from mfdask.app.lists import element
from mfdask.app.page import AppPage, Card
from mfdask.app.publishing import Publishing
from mfdask.app.table import TableView
from mfdask.errors import InputError
from mfdask.figures.figure import html_table
from mfdask.nightly import journal
from mfdask.nightly.downstream import tables_of
from mfdask.nightly.inbox import n_files
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import published_version
from mfdask.report.nights.figures import ScoreHistory, Steps
from mfdask.report.nights.tables import (
    checks_table,
    compared_table,
    release_named,
    releases_table,
    runs_table,
    score_history,
    steps_table,
)

#: Runs whose steps are drawn, the newest.
_RUNS = 30


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
        self.facts = self.html("now", self._facts(home))
        self.publishing = Publishing(self, home, self._follow) if self.site.allow_promote else None
        self.cards = [
            Card("now", "Now", self.facts, width="wide"),
            *self._publish_card(),
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
        own = {} if self.publishing is None else self.publishing.actions()
        tables = self.tables.values()
        return {**{key: do for table in tables for key, do in table.actions().items()}, **own}

    def _publish_card(self) -> list[Card]:
        if self.publishing is None:
            return []
        return [Card("publish", "Publish another release", self.publishing.root, _PUBLISH, "wide")]

    def _follow(self) -> None:
        """Show what is published now."""
        assert self.site.home is not None
        self.facts.text = self._facts(self.site.home)
        self.tables["releases"].take(releases_table(self.site.home))

    def _facts(self, home: NightlyPaths) -> str:
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
        return f'<dl class="facts">{lines}</dl>'

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
_PUBLISH = (
    "As `mfdask models promote` and `rollback` do. Files that a later release took in stay in "
    "taken/: put them back into the inbox if their ratings are wanted."
)
_CHECKS = "Rows of each night's files, and what the checks of the input measured."
