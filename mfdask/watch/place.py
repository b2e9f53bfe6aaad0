"""Where the page is: beside the other pages of a scheduler's dashboard."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from distributed import Client, Scheduler
from tornado.ioloop import IOLoop

from mfdask.watch.watcher import Watcher

if TYPE_CHECKING:
    from bokeh.document import Document

PATH = "/mfdask"
_TAB = PATH.strip("/")

logger = logging.getLogger(__name__)


def show_page(client: Client) -> bool:
    """Put the page on the dashboard of a client's scheduler, unless it is there already.

    Returns
    -------
    bool
        False where that cannot be, which a line in the log says: the scheduler may be another
        machine's, without a dashboard, Bokeh or mfdask, and no job depends on a page.
    """
    try:
        client.register_plugin(Watcher())
    except Exception as error:
        line = " ".join(f"{error}".split())
        logger.warning("the dashboard does without the page %s: %s", PATH, line)
        return False
    return True


async def dask_setup(scheduler: Scheduler) -> None:
    """Show the page from the start, as ``dask scheduler --preload mfdask.watch`` does."""
    await scheduler.register_scheduler_plugin(Watcher(), idempotent=True)


def add_page(scheduler: Scheduler, watcher: Watcher) -> None:
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
        {PATH: partial(_show, watcher)},
        scheduler,
        prefix=dashboard.prefix,
        template_variables={"pages": _tabs(scheduler)},
    )
    served.add_application(added)
    added.initialize(IOLoop.current())
    added.start()


def _show(
    watcher: Watcher, scheduler: Scheduler, extra: dict[str, Any], document: Document
) -> None:
    from mfdask.watch.page import show  # here: pandas and plots wait for a reader

    show(watcher, scheduler, extra["pages"], document)


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
