"""The progress page: figures and texts, updated each second."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from html import escape

import pandas as pd
from bokeh.document import Document
from bokeh.models import InlineStyleSheet
from bokeh.models.widgets import Div
from distributed import Scheduler
from jinja2 import Template

from mfdask.figures import ground
from mfdask.figures.figure import Figure
from mfdask.figures.ground import asset
from mfdask.watch import tables
from mfdask.watch.curves import Shards, Speed, SweepErrors, Tasks, Traffic
from mfdask.watch.events import Fit
from mfdask.watch.words import words_of

_MILLISECONDS = 1000


class Page:
    """The progress page of a scheduler.

    Attributes
    ----------
    told : Div
        The words. It has the class ``"anew"`` once there are numbers for other figures: then the
        reader's browser is to ask for another page.
    parts : list of Figure
        Those for which there are numbers; and the tasks, always.
    """

    def __init__(self, newest: Callable[[], Fit | None], scheduler: Scheduler) -> None:
        self._newest, self._scheduler = newest, scheduler
        sheet = InlineStyleSheet(css=_WORDS_CSS)
        self.told = Div(
            name="told",
            disable_math=True,
            stylesheets=[sheet],
            sizing_mode="stretch_width",
            margin=0,
        )
        self.parts = [kind(numbers) for kind, numbers in self._read().items()]
        for part in self.parts:
            part.root.name = part.name
        self.update()

    def update(self) -> None:
        """Show what is known now."""
        numbers = self._read()
        if list(numbers) == [type(part) for part in self.parts]:
            for part in self.parts:
                if not numbers[type(part)].equals(part.table()):
                    part.update(numbers[type(part)])
        else:
            self.told.css_classes = ["anew"]
        words = words_of(self._newest(), time.time())
        self.told.text = (
            f"<h1><bdi>{escape(words.title)}</bdi></h1><p>{escape(words.line)}</p>"
            f'<p class="soft">{escape(words.as_of)}</p>'
        )

    def _read(self) -> dict[type[Figure], pd.DataFrame]:
        fit, names = self._newest(), tables.worker_names(self._scheduler)
        sweeps = tables.sweeps_table(fit)
        numbers: dict[type[Figure], pd.DataFrame] = {
            SweepErrors: sweeps,
            Speed: sweeps,
            Traffic: tables.traffic_table(fit, names),
            Shards: tables.shards_table(fit, names),
            Tasks: tables.tasks_table(self._scheduler),
        }
        return {kind: table for kind, table in numbers.items() if len(table) or kind is Tasks}


def show_document(
    newest: Callable[[], Fit | None], scheduler: Scheduler, tabs: Sequence[str], document: Document
) -> None:
    """Fill a document that Bokeh's server has begun for a reader.

    Parameters
    ----------
    newest : callable
        Returns the fit to show.
    scheduler : distributed.Scheduler
    tabs : sequence of str
        The dashboard's pages, to link to.
    document : Document
    """
    page = Page(newest, scheduler)
    roots = [page.told, *(part.root for part in page.parts)]
    for root in roots:
        document.add_root(root)
    document.title = "mfdask: training"
    document.template = Template(asset("mfdask.watch", "page.html"))
    document.template_variables.update(
        style=ground.style() + asset("mfdask.watch", "page.css"),
        script=ground.script() + asset("mfdask.watch", "page.js"),
        roles=json.dumps({k: v for root in roots for k, v in ground.roles_by_id(root).items()}),
        parts=page.parts,
        tabs=tabs,
    )
    document.add_periodic_callback(page.update, _MILLISECONDS)


# As in the tables of figures: the page's colours reach into Bokeh's shadow trees as variables.
_WORDS_CSS = """
:host { font: 16px/1.55 var(--font); color: var(--ink); }
.bk-clearfix { display: block; }
h1 { margin: 0 0 4px; font-size: 32px; line-height: 1.2; font-weight: 650; letter-spacing: -0.02em;
  overflow-wrap: anywhere; }
p { margin: 0; }
.soft { color: var(--soft); }
"""
