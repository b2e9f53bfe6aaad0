"""A scheduler plugin that remembers the newest fits, and shows the progress page of them."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from distributed import Client, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from mfdask.watch.events import TOPIC, Fit, SweepEvent
from mfdask.watch.groups import mend_groups_page
from mfdask.watch.serving import PATH, add_page

logger = logging.getLogger(__name__)

#: Fits that are remembered, since several may run at once.
_FITS = 8
_HALF_STEP = re.compile(r"half_step-(users|items)-\d+-(\d+)-(?:.*-)?(\w+)")


class Watcher(SchedulerPlugin):
    """Listens to a scheduler, and shows the page of what it hears.

    Attributes
    ----------
    fits : dict of str to Fit
        By what their keys end with; the newest comes last.
    """

    name = "mfdask"
    idempotent = True

    def __init__(self) -> None:
        self.fits: dict[str, Fit] = {}

    @property
    def newest(self) -> Fit | None:
        """The fit that began last, of those that have told a sweep if one has."""
        fits = list(self.fits.values())
        return next(reversed([fit for fit in fits if fit.sweeps] or fits), None)

    async def start(self, scheduler: Scheduler) -> None:
        """Put the page on the scheduler's dashboard, and mend one of its own."""
        add_page(scheduler, lambda: self.newest)
        mend_groups_page()

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Note who has solved which block."""
        # Called for every task of every job.
        if type(key) is not str or not key.startswith("half_step-"):
            return
        found = _HALF_STEP.fullmatch(key)
        if found is None:
            return
        side, block, name = found.groups()
        if finish == "forgotten":
            if name in self.fits:
                self.fits[name].alive.discard(key)
            return
        fit = self._fit(name)
        fit.alive.add(key)
        if start == "processing" and finish == "memory":
            fit.solvers[side, int(block)] = kwargs["worker"]

    def log_event(self, topic: str, msg: Any) -> None:
        """Take in what a fit tells."""
        if topic == TOPIC:
            sweeps = [SweepEvent(**said) for said in msg]
            fit = self._fit(sweeps[-1].fit)
            fit.heard = time.time()
            fit.sweeps.extend(sweeps)

    def _fit(self, name: str) -> Fit:
        if name not in self.fits:
            now = time.time()
            self.fits[name] = Fit(began=now, heard=now)
            while len(self.fits) > _FITS:
                del self.fits[next(iter(self.fits))]
        return self.fits[name]


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
