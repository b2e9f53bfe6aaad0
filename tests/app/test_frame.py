"""Addresses, the server and its guard, and what a site shows."""

from __future__ import annotations

import http.client
import logging
import socket
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.app.address import Address, query_string
from mfdask.app.page import AppPage, Card
from mfdask.app.pages import pages_of
from mfdask.app.server import AppServer, ServeOptions
from mfdask.app.site import Shown, Site, shown_of
from mfdask.errors import InputError
from mfdask.models import ALS
from tests.app.serving import page_at, served

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXTS, st.lists(TEXTS, min_size=1), st.integers(-100, 100))
def test_a_state_comes_back_from_its_address(text, texts, number):
    query = query_string({"t": text, "s": texts, "n": number, "none": None, "empty": ""})
    there = parse_qs(query)
    assert set(there) == {"t", "s", "n"}
    address = Address({k: [v.encode() for v in own] for k, own in there.items()})
    assert address.text("t") == text
    assert address.every("s") == texts
    assert address.number("n", 1000, -100, 100) == number
    assert address.troubles == []


@pytest.mark.parametrize("text", [b"x", b"nan", b"inf", b"-1", b"11", b"\xff"])
def test_what_no_number_can_be_is_noted(text):
    address = Address({"n": [text]})
    assert address.number("n", 3, 0, 10) == 3
    assert len(address.troubles) == 1


def test_unknown_choices_are_noted():
    address = Address({"g": [b"a", b"<b>", b"a"], "one": [b"x"]})
    assert address.choices("g", ["a", "b"]) == ["a"]
    assert address.choice("one", ["y"], "y") == "y"
    assert len(address.troubles) == 2


def answer_to(url, **headers):
    """Return status and text of an answer."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request("GET", urlsplit(url).path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_other_hosts_are_refused(small_site):
    with served(small_site, allow_host="app.example.org") as url:
        page = f"{url}/for-you"
        assert answer_to(page)[0] == 200
        assert answer_to(page, Host="app.example.org")[0] == 200
        status, text = answer_to(page, Host="evil.org")
        assert (status, "`allow_host`" in text) == (403, True)
        assert answer_to(page, Origin="http://evil.org")[0] == 403


@pytest.mark.parametrize("protocols", [None, "bokeh", "bokeh, no.token", "bokeh, e30", "other, x"])
def test_a_malformed_websocket_is_one_line_of_the_log(protocols, small_site, caplog):
    asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    asked |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    asked |= {"Sec-WebSocket-Protocol": protocols} if protocols else {}
    with served(small_site) as url, caplog.at_level(logging.WARNING):
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 30) as asks:
            head = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
            asks.sendall(f"GET /for-you/ws HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
            while asks.recv(4096):  # until the server hangs up
                pass
        assert answer_to(f"{url}/for-you")[0] == 200
    (record,) = (record for record in caplog.records if record.levelname != "INFO")
    assert "no page of this app asks so" in record.message
    assert record.exc_info is None


def test_the_root_leads_to_the_first_page_also_below_a_prefix(small_site):
    with served(small_site, prefix="/mf/") as url:
        assert url.endswith("/mf")
        answer = urllib.request.urlopen(f"{url}/", timeout=30)
        assert answer.url == f"{url}/{pages_of(small_site)[0].path}"
        assert b"/mf/static/js/bokeh" in answer.read()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Tornado
def test_a_port_in_use(small_site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"{port}: nobody can listen there"):
            AppServer(small_site, pages_of(small_site), ServeOptions(port=port))


def test_a_model_of_other_data_is_refused(small_site, hostile_site):
    model = small_site.fixed.models["stars"]
    with pytest.raises(InputError, match="was learned from"):
        Shown({"m": model}, hostile_site.fixed.data)
    other = hostile_site.fixed.models["<b>als</b>"]
    with pytest.raises(InputError, match="show it in an app of its own"):
        Shown({"m": model, "n": other}, None)


def test_the_data_set_is_found_by_the_model(small_models, small_data):
    shown = shown_of(small_models, None)
    assert shown.data.fingerprint == shown.models["stars"].data.fingerprint
    assert list(shown.models) == ["stars", "ranks"]
    gone = ALS(n_factors=1, n_sweeps=1).fit(shown.data)
    assert Shown({"m": gone}, None).data is None


class Broken(AppPage):
    """Fails in each way."""

    path, title, intro = "broken", "Broken", ""

    def build(self):
        self.cards = [Card("a", "", self.html("a"))]
        raise InputError("`top` is <b>wrong</b>")

    def actions(self):
        return {"os": self._os, "bug": lambda said: 1 / 0, "fine": lambda said: None}

    def _os(self, said):
        raise FileNotFoundError(2, "gone", "shard.bin")


def test_what_goes_wrong_is_said_on_the_page(small_site, monkeypatch):
    logged = []
    monkeypatch.setattr("mfdask.app.page.logger.exception", lambda *said: logged.append(said))
    page = page_at(Broken, small_site)
    assert "top is &lt;b&gt;wrong&lt;/b&gt;" in page.notice.text
    page.act({"do": "os"})
    assert "shard.bin" in page.notice.text
    page.act({"do": "fine"})
    assert page.notice.text == ""
    page.act({"do": "bug"})
    assert "server&#x27;s log" in page.notice.text
    assert logged == [("page %s", "broken")]
    page.act({"do": "none such"})


def test_nothing_is_published(tmp_path):
    from mfdask.nightly.paths import NightlyPaths

    site = Site(home=NightlyPaths(Path(tmp_path)))
    page = page_at(pages_of(site)[0], site)
    assert "nothing is published yet" in page.notice.text
