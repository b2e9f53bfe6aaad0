"""The part of the page *Nights* that publishes another release, where that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bokeh.layouts import column
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Select

from mfdask.app.lists import button, element
from mfdask.app.page import AppPage
from mfdask.errors import InputError
from mfdask.nightly.by_hand import publish_by_hand
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current, promote, published_version
from mfdask.report.nights.tables import all_releases

#: Where the metrics of the nights go unless their configuration names another place.
_METRICS = "metrics.prom"


class Publishing:
    """A choice of release, and buttons that ask before they do anything.

    Nothing here is reached by an address: it takes a click, on a page that this server has sent.

    Parameters
    ----------
    page : AppPage
    home : NightlyPaths
    done : callable
        Called when another release is published.

    Attributes
    ----------
    root : UIElement
    """

    def __init__(self, page: AppPage, home: NightlyPaths, done: Callable[[], None]) -> None:
        self._home, self._done = home, done
        self._asked: tuple[str, str] | None = None
        self._html = page.html("publishing")
        versions = self._others()
        self.choice: Select = page.watch(
            Select(title="Release", options=versions, value=versions[0] if versions else ""),
            self._ask_nothing,
        )
        self.root: UIElement = column(self.choice, self._html, sizing_mode="stretch_width")
        self._ask_nothing()

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """Return what answers the buttons."""
        return {
            "promote-ask": lambda said: self._ask("promote", self.choice.value),
            "rollback-ask": lambda said: self._ask("rollback", self._before()),
            "publish-no": lambda said: self._ask_nothing(),
            "publish-yes": lambda said: self._publish(said.get("version", "")),
        }

    def _others(self) -> list[Any]:
        """Return the releases that are not published, and refused candidates, the newest first."""
        found = all_releases(self._home).items()
        return [version for version, (_, state) in found if state != "published"][::-1]

    def _offer(self) -> None:
        """List the releases again, after one was published."""
        versions = self._others()
        self.choice.options = versions
        self.choice.value = versions[0] if versions else ""
        self._ask_nothing()

    def _before(self) -> str:
        release = current(self._home)
        before = release.facts["before"] if release else None
        if before is None:
            raise InputError("there is no release before the published one: choose one to publish")
        return str(before)

    def _ask(self, how: str, version: str) -> None:
        if not version:
            raise InputError("there is no other release here")
        self._asked = how, version
        refused = all_releases(self._home).get(version, (None, ""))[1] == "refused"
        warning = " The gate has refused it." if refused else ""
        question = (
            f"Publish {version} in place of {published_version(self._home) or 'nothing'}? "
            f"Whoever reads the published model has it at once.{warning}"
        )
        yes = button(f"Publish {version}", "publish-yes", data_version=version)
        self._html.text = element("p", question) + f"<p>{yes}{button('No', 'publish-no')}</p>"

    def _ask_nothing(self) -> None:
        self._asked = None
        off = {} if self.choice.value else {"disabled": ""}
        publish = button("Publish this one…", "promote-ask", **off)
        back = button("Roll back to the one before…", "rollback-ask")
        self._html.text = f"<p>{publish}{back}</p>"

    def _publish(self, version: str) -> None:
        """Publish what was asked about, and nothing else: somebody may have published meanwhile."""
        if self._asked is None or self._asked[1] != version:
            raise InputError("this was not asked here: choose a release, and confirm it")
        how, _ = self._asked
        if how == "rollback" and self._before() != version:
            self._ask_nothing()
            raise InputError("another release was published meanwhile: load the page again")
        metrics = _METRICS if (self._home.root / _METRICS).exists() else ""
        try:
            _, trouble = publish_by_hand(self._home, partial(promote, version=version), metrics)
        finally:
            self._offer()
        self._done()
        if trouble:
            raise InputError(f"{version} is published, but {trouble}")
