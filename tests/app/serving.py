"""A server of the app in a thread of its own, and pages without one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs

from tornado.ioloop import IOLoop

from mfdask.app.address import Address
from mfdask.app.pages import pages_of
from mfdask.app.server import AppServer, ServeOptions


@contextmanager
def served(site, **options):
    """Serve a site at any free port while the block runs; yield the address of its pages."""
    ready, found = threading.Event(), []

    def run():
        asyncio.set_event_loop(asyncio.new_event_loop())
        try:
            server = AppServer(site, pages_of(site), ServeOptions(port=0, **options))
            found.extend([server, IOLoop.current()])
        finally:
            ready.set()
        server.run()
        IOLoop.current().close(all_fds=True)  # as the end of a process does

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    server, loop = found
    try:
        yield server.url.rpartition("/")[0]
    finally:
        loop.add_callback(loop.stop)
        thread.join()


def page_at(page_type, site, query=""):
    """Return a page as a reader opens it at a query string."""
    given = parse_qs(query)
    return page_type(site, Address({k: [v.encode() for v in own] for k, own in given.items()}))
