"""Serve the progress page on a scheduler's web server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from distributed import Scheduler
from tornado.ioloop import IOLoop

from mfdask.watch.events import Fit

if TYPE_CHECKING:
    from bokeh.document import Document

PATH = "/mfdask"
_TAB = PATH.strip("/")


def add_page(scheduler: Scheduler, newest: Callable[[], Fit | None]) -> None:
    """Serve the page from the scheduler's own server.

    Raises
    ------
    LookupError
        If the scheduler has no dashboard.
    """
    from distributed.dashboard.core import BokehApplication  # here: fails where Bokeh does not suit

    served = scheduler.http_application
    dashboard = next((app for app in served.applications if hasattr(app, "app_paths")), None)
    if dashboard is None:
        raise LookupError("the scheduler has no dashboard")
    added = BokehApplication(
        {PATH: partial(_show, newest)},
        scheduler,
        prefix=dashboard.prefix,
        template_variables={"pages": _tabs(scheduler)},
    )
    served.add_application(added)
    added.initialize(IOLoop.current())
    added.start()


def _show(
    newest: Callable[[], Fit | None],
    scheduler: Scheduler,
    extra: dict[str, Any],
    document: Document,
) -> None:
    from mfdask.watch.page import show_document  # here: pandas and plots wait for a reader

    show_document(newest, scheduler, extra["pages"], document)


def _tabs(scheduler: Scheduler) -> list[str]:
    """Return the pages that the dashboard links to, this one among them.

    The list is the dashboard's own, so that its other pages link here too; where a newer Dask keeps
    it elsewhere, only this page has the links.
    """
    try:
        from distributed.dashboard.scheduler import template_variables

        tabs: list[str] = template_variables(scheduler)["pages"]
    except (ImportError, LookupError, TypeError):
        tabs = ["status"]
    if _TAB not in tabs:
        tabs.insert(0, _TAB)
    return tabs
