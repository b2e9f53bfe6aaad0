"""The dashboard answers to its own hosts, and to no other site's pages."""

import asyncio
import http.client
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.websocket import websocket_connect

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.watch.guard import is_allowed


@pytest.mark.parametrize(
    ("host", "origin", "good"),
    [
        ("127.0.0.1:8787", None, True),
        ("localhost:8787", "http://localhost:8787", True),
        ("[::1]:8787", "http://[::1]:8787", True),
        ("192.168.1.7:8787", None, True),
        (None, None, True),
        ("night.example.org", "https://night.example.org", True),
        ("localhost:8000", "https://night.example.org:444", True),  # behind a proxy
        ("evil.example.org:8787", None, False),
        ("night.example.org.evil.org", None, False),
        ("localhost.evil.org:8787", None, False),
        ("[127.0.0.1", None, False),
        ("", None, False),
        ("127.0.0.1:8787", "http://evil.example.org", False),
        ("127.0.0.1:8787", "http://6.6.6.6", False),
        ("127.0.0.1:8787", "http://127.0.0.1:9999", False),
        ("127.0.0.1:8787", "null", False),
        ("127.0.0.1:8787", "", False),
    ],
)
def test_hosts_and_origins(host, origin, good):
    headers = HTTPHeaders()
    for name, value in (("Host", host), ("Origin", origin)):
        if value is not None:
            headers[name] = value
    assert is_allowed(headers, {"night.example.org"}) is good


@pytest.fixture(scope="module")
def dashboard():
    config = ClusterConfig(
        threads=1, dashboard_address="127.0.0.1:0", dashboard_allow="a.org, B.org"
    )
    with open_cluster(config) as own:
        yield urlsplit(own.dashboard_link).netloc


def status_of(address, method="GET", path="/status", **headers):
    body = b"x" * 100_000 if method == "POST" else None
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.request("GET", "/health")  # the connection goes on
        after = connection.getresponse()
        after.read()
        assert after.status == 200
    return answer.status


def test_requests_for_other_hosts_are_refused(dashboard):
    for host in (dashboard, f"localhost:{dashboard.split(':')[1]}", "a.org", "b.org:80"):
        assert status_of(dashboard, Host=host) == 200
    for path in ("/status", "/mfdask", "/info/main/workers.html", "/metrics", "/none"):
        assert status_of(dashboard, path=path, Host="evil.org") == 403
    assert status_of(dashboard, "POST", Host="evil.org") == 403
    assert status_of(dashboard, Origin="http://evil.org") == 403


@pytest.mark.parametrize("path", ["/mfdask/ws", "/status/ws", "/eventstream"])
def test_websockets_of_other_origins_are_refused(path, dashboard):
    async def opened(**headers):
        request = HTTPRequest(f"ws://{dashboard}{path}", headers=headers)
        try:
            (await websocket_connect(request)).close()
        except HTTPClientError as error:
            return error.code
        return 101

    assert asyncio.run(opened(Origin="http://evil.org")) == 403
    assert asyncio.run(opened(Host="evil.org", Origin="http://evil.org")) == 403
    assert asyncio.run(opened(Origin=f"http://{dashboard}")) == 101
