"""Serve the pages to browsers, with Bokeh's server behind a check of who asks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.ws import WSHandler
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import RedirectHandler

from mfdask.app.page import AppPage, fill_document
from mfdask.app.site import Site
from mfdask.errors import InputError
from mfdask.parameters import Parametrised, parameter
from mfdask.watch.guard import Guard

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServeOptions(Parametrised):
    """Where the app listens, and whom it answers."""

    address: str = parameter(
        "127.0.0.1",
        "Address to listen at: this machine alone by default, 0.0.0.0 for its whole network.",
    )
    port: int = parameter(
        5006, "Port to listen at; 0 takes any free one.", at_least=0, at_most=65535
    )
    allow_host: str = parameter(
        "",
        "Names of hosts by which browsers may ask for the app, beside localhost, this machine's "
        "name and addresses; joined by commas.",
        metavar="HOST,…",
    )
    prefix: str = parameter("", "Path that a reverse proxy serves the app under, such as /mfdask.")


class _Socket(WSHandler):
    """What a page talks to; whoever asks without the token of a page is one line of the log."""

    def log_exception(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        """Say who has asked, and what was wrong."""
        _LOG.warning("%s: no page of this app asks so (%s)", self._request_summary(), error)


class AppServer:
    """A running server of pages.

    Attributes
    ----------
    url : str
        Of the first page.
    """

    def __init__(
        self, site: Site, pages: Sequence[type[AppPage]], options: ServeOptions | None = None
    ) -> None:
        options = options or ServeOptions()
        try:
            sockets = bind_sockets(options.port, options.address)
        except OSError as error:
            raise InputError(
                f"`port` {options.port}: nobody can listen there at {options.address} "
                f"({error.strerror or error}); give another `port` or `address`"
            ) from None
        served = {
            f"/{page.path}": Application(FunctionHandler(partial(fill_document, page, pages, site)))
            for page in pages
        }
        port = sockets[0].getsockname()[1]
        prefix = f"/{options.prefix.strip('/')}".rstrip("/")
        first = f"{prefix}/{pages[0].path}"
        app = BokehTornado(
            served,
            prefix=prefix,
            extra_websocket_origins=["*"],  # the guard checks them
            extra_patterns=[("/?", RedirectHandler, {"url": first, "permanent": False})],
            use_index=False,
        )
        for rule in app.wildcard_router.rules:
            if rule.target is WSHandler:
                rule.target = _Socket
        http = HTTPServer(Guard(app, options.allow_host, "allow_host"))
        http.add_sockets(sockets)
        self._server = BaseServer(IOLoop.current(), app, http)
        self._server.start()
        host = f"[{options.address}]" if ":" in options.address else options.address
        self.url = f"http://{host}:{port}{first}"

    def run(self) -> None:
        """Answer until somebody interrupts it."""
        try:
            self._server.io_loop.start()
        finally:
            self.stop()

    def stop(self) -> None:
        """Let go of the readers and of the port."""
        self._server.stop(wait=False)
