"""A check in front of the dashboard and the app: whom a request is for, and which page has sent it.

A page of another site can let a reader's browser ask 127.0.0.1, by a name of its own that is made
to mean this machine (DNS rebinding), or by a websocket. Neither gets past this check.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)


def is_allowed(headers: HTTPHeaders, allowed: Collection[str]) -> bool:
    """Whether a request is for this machine, and from no other site's page.

    This machine goes by its addresses, as localhost, by its own name, and by names in `allowed`.
    """
    host = headers.get("Host")
    if host is not None and not _is_own(_name(f"//{host}"), allowed):
        return False
    origin = headers.get("Origin", headers.get("Sec-Websocket-Origin"))
    if origin is None:
        return True
    return urlsplit(origin).netloc == host or _name(origin) in allowed


def _is_own(name: str, allowed: Collection[str]) -> bool:
    if name in {"localhost", socket.gethostname().lower(), *allowed}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower().rstrip(".")
    except ValueError:  # such as brackets that do not close
        return ""


class Guard(HTTPServerConnectionDelegate):
    """Answers 403 to what `is_allowed` refuses, and hands everything else on to `app`.

    Parameters
    ----------
    app : HTTPServerConnectionDelegate
    allowed : str
        Names of hosts, joined by commas.
    parameter : str
        What those are given by, for the answer.
    """

    def __init__(self, app: HTTPServerConnectionDelegate, allowed: str, parameter: str) -> None:
        names = (name.strip().lower() for name in allowed.split(","))
        self._app, self._allowed = app, frozenset(filter(None, names))
        self._body = f"403: this host is not allowed here; name it in `{parameter}`\n".encode()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> Any:
        """Begin to read a request."""
        inner = self._app.start_request(server_conn, request_conn)
        return _Request(inner, request_conn, self._allowed, self._body)

    def on_close(self, server_conn: object) -> None:
        """Tell the application that a connection has ended."""
        self._app.on_close(server_conn)


class _Request(HTTPMessageDelegate):
    def __init__(
        self,
        inner: HTTPMessageDelegate,
        connection: HTTPConnection,
        allowed: Collection[str],
        body: bytes,
    ) -> None:
        self._inner, self._connection, self._allowed = inner, connection, allowed
        self._body = body
        self._refused = False

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        if isinstance(start_line, RequestStartLine) and not is_allowed(headers, self._allowed):
            self._refused = True
            return None
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Any:
        return None if self._refused else self._inner.data_received(chunk)

    def finish(self) -> None:
        if not self._refused:
            self._inner.finish()
            return
        length = HTTPHeaders({"Content-Length": str(len(self._body)), "Content-Type": "text/plain"})
        answer = ResponseStartLine("HTTP/1.1", 403, "Forbidden")
        self._connection.write_headers(answer, length, self._body)
        self._connection.finish()

    def on_connection_close(self) -> None:
        if not self._refused:
            self._inner.on_connection_close()
