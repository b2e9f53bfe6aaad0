"""The frame of a page: its cards, its address, what a reader does, and what goes wrong."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar, Literal, TypeVar

import numba
import pandas as pd
from bokeh.document import Document
from bokeh.models import InlineStyleSheet
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Div, Select, TextInput
from jinja2 import Template

from mfdask.app.address import Address, query_string
from mfdask.app.site import Site
from mfdask.errors import MfdaskError
from mfdask.figures import ground
from mfdask.figures.figure import Figure
from mfdask.figures.ground import asset
from mfdask.report.page import to_csv

T = TypeVar("T")
logger = logging.getLogger(__name__)

_PACKAGE = "mfdask.app"
#: Does what takes seconds, one after the other: the machine has other work.
_POOL = ThreadPoolExecutor(1, "app")
#: Milliseconds between a reader's move on a map and what follows it.
_MOMENT = 120
#: What a browser may do for a page: run and show what this server sends, and talk to it alone.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Card:
    """A part of a page, under a heading.

    Attributes
    ----------
    name : str
        Of small letters, digits and hyphens, unique on the page.
    title : str
        Plain text; empty for none.
    root : UIElement
    caption : str
        Plain text.
    width : str
        ``"wide"``: the whole width of the page; ``"half"`` or ``"narrow"``, a third, where there is
        room for that.
    """

    name: str
    title: str
    root: UIElement
    caption: str = ""
    width: Literal["wide", "half", "narrow"] = "half"

    @classmethod
    def of_figure(cls, figure: Figure) -> Card:
        """Return the card of a figure."""
        width: Literal["wide", "half"] = "wide" if figure.wide else "half"
        return cls(figure.name, figure.title, figure.root, figure.caption, width)


class AppPage(ABC):
    """A page as one reader has it.

    Attributes
    ----------
    path : str
        The last part of its address.
    title, intro : str
        Plain text; the title also stands in the list of pages.
    cards : list of Card
        Made by `build`.
    did : TextInput
        Hidden: what the reader has done last, as JSON; a page's script writes it.
    query : TextInput
        Hidden: the query string that the browser is to show.
    file : TextInput
        Hidden: name and text of a file that the browser is to save, as JSON.
    """

    path: ClassVar[str]
    title: ClassVar[str]
    intro: ClassVar[str]

    def __init__(self, site: Site, address: Address, document: Document | None = None) -> None:
        self.site, self.address, self._document = site, address, document
        self._sheet = InlineStyleSheet(css=asset(_PACKAGE, "parts.css"))
        self.widget_sheet = InlineStyleSheet(css=asset(_PACKAGE, "widgets.css"))
        self.did, self.query, self.file = (TextInput(visible=False) for _ in range(3))
        self.notice = self.html("notice")
        self.cards: list[Card] = []
        self._notices: list[str] = []
        self._n_files = 0
        self._waiting: list[Callable[[], None]] = []
        self.guarded(self.build)
        self._notices = [*address.troubles, *self._notices]
        self._show_notices()
        self.did.on_change("value", lambda name, old, new: self.act(json.loads(new)))

    @abstractmethod
    def build(self) -> None:
        """Make the cards, in the state that the address says.

        Raises
        ------
        MfdaskError, OSError
            If there is nothing to show; the page says why.
        """

    def state(self) -> Mapping[str, Any]:
        """Return what differs from a fresh page, for the address."""
        return {}

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """Return what answers elements with ``data-do``, by the name that they give there."""
        return {}

    def act(self, said: dict[str, str]) -> None:
        """Answer what a reader has done with an element of the page."""
        action = self.actions().get(said.get("do", ""))
        if action is not None:
            self.do(lambda: action(said))

    def do(self, change: Callable[[], None]) -> None:
        """Change the page, and its address with it."""
        self._notices = []
        self.guarded(change)
        self._show_notices()
        self.query.value = query_string(self.state())

    def offer(self, name: str, table: pd.DataFrame) -> None:
        """Let the reader save a table as CSV; texts that are formulas elsewhere are none there."""
        self._n_files += 1
        said = {"name": f"{name}.csv", "text": to_csv(table), "number": self._n_files}
        self.file.value = json.dumps(said)

    def guarded(self, work: Callable[[], None]) -> None:
        """Run a part of the work; what goes wrong is said on the page."""
        try:
            work()
        except (MfdaskError, OSError) as error:
            self._notices.append(str(error))
            if self._is_outdated():
                self._notices.append("Another release is published by now: load the page again.")
        except Exception:
            logger.exception("page %s", self.path)
            self._notices.append("This has failed; what went wrong is in the server's log.")

    def later(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do what takes seconds in a thread, and then change the page by what came of it.

        Other readers are served meanwhile; without a browser it is done at once.
        """
        document = self._document
        if document is None or document.session_context is None or not _kernels_share_threads():
            then(work())
            return

        def finish(done: Future[T]) -> None:
            document.add_next_tick_callback(lambda: self.do(lambda: then(done.result())))

        _POOL.submit(work).add_done_callback(finish)

    def soon(self, change: Callable[[], None]) -> None:
        """Change the page in a moment, once for all that asks for it until then."""
        if self._document is None or self._document.session_context is None:
            self.do(change)
        elif change not in self._waiting:
            self._waiting.append(change)
            self._document.add_timeout_callback(lambda: self._change_waiting(change), _MOMENT)

    def _change_waiting(self, change: Callable[[], None]) -> None:
        self._waiting.remove(change)
        self.do(change)

    def _is_outdated(self) -> bool:
        """Whether another release is published than the one that this page was made from."""
        shown = getattr(self, "shown", None)
        try:
            return shown is not None and self.site.now() is not shown
        except (MfdaskError, OSError):
            return True

    def html(self, name: str, text: str = "") -> Div:
        """Return a place for HTML, in the style of the page; what is shown must be escaped."""
        return Div(
            name=name,
            text=text,
            disable_math=True,
            stylesheets=[self._sheet],
            sizing_mode="stretch_width",
            margin=0,
        )

    def model_choice(self, models: Sequence[str], change: Callable[[], None]) -> Select:
        """Return a list to choose a model from, hidden where there is one."""
        name = self.address.choice("model", models, models[0])
        options: list[str | tuple[Any, str]] = [*models]
        select = Select(title="Model", value=name, options=options, visible=len(models) > 1)
        watched: Select = self.watch(select, change)
        return watched

    def watch(self, widget: Any, change: Callable[[], None], value: str = "value") -> Any:
        """Dress a widget, and follow its value; return it."""
        widget.stylesheets = [self.widget_sheet]
        widget.margin = (0, 0, 14, 0)
        widget.on_change(value, lambda name, old, new: self.do(change))
        return widget

    def _show_notices(self) -> None:
        lines = "".join(f"<p><bdi>{escape(line)}</bdi></p>" for line in self._notices)
        self.notice.text = f'<div class="notice" role="alert">{lines}</div>' if lines else ""


def _kernels_share_threads() -> bool:
    """Whether kernels may run in two threads at once: one of Numba's layers ends the process."""
    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:  # none has run yet
        return False


def fill_document(
    page_type: type[AppPage], pages: Sequence[type[AppPage]], site: Site, document: Document
) -> None:
    """Fill a document that Bokeh's server has begun for a reader."""
    context: Any = document.session_context
    page = page_type(site, Address(context.request.arguments if context else {}), document)
    roots: dict[str, UIElement] = {
        "notice": page.notice,
        "did": page.did,
        "query": page.query,
        "file": page.file,
    }
    roots |= {card.name: card.root for card in page.cards}
    for name, root in roots.items():
        root.name = name
        document.add_root(root)
    document.title = f"{page.title}: mfdask"
    document.template = Template(asset(_PACKAGE, "page.html"))
    roles = {k: v for root in roots.values() for k, v in ground.roles_by_id(root).items()}
    document.template_variables.update(
        policy=_POLICY,
        style=ground.style() + asset(_PACKAGE, "page.css"),
        script=ground.script() + asset(_PACKAGE, "page.js"),
        roles=json.dumps(roles),
        page=page,
        tabs=[(each.path, each.title) for each in pages],
        notes=as_of(site),
    )


def as_of(site: Site) -> list[str]:
    """Return what is shown, and as of when; nothing where that cannot be read."""
    try:
        return site.now().notes
    except (MfdaskError, OSError):
        return []  # the page says why
