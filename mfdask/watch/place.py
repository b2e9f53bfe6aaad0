"""Add the progress page to a scheduler's dashboard."""

from __future__ import annotations

import logging

from distributed import Client, Scheduler

from mfdask.watch.serving import PATH
from mfdask.watch.watcher import Watcher

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
