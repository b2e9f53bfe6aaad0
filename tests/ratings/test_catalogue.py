"""The downloader, against a server on this machine that misbehaves in every way."""

from __future__ import annotations

import fcntl
import hashlib
import io
import random
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.ratings import catalogue


def make_zip(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", content)
    return made.getvalue()


DATA = make_zip(random.Random(1).randbytes(1_000_000))


@dataclass
class Site:
    """What the server serves, and how it misbehaves."""

    url: str = ""
    data: bytes = DATA
    md5: str | None = field(default_factory=lambda: f"MD5 (ml-1m.zip) = {md5(DATA)}\n")
    breaks_off_at: list[int] = field(default_factory=list)  # bytes sent, one for each request
    ignores_range: bool = False
    announced: int | None = None  # a false Content-Length
    status: list[int] = field(default_factory=list)  # errors to answer with first
    requests: list[str] = field(default_factory=list)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/sets/ml-1m.zip.md5" and site.md5 is not None:
                self.answer(200, site.md5.encode())
            elif self.path == "/sets/ml-1m.zip" and site.status:
                self.send_error(site.status.pop(0))
            elif self.path == "/sets/ml-1m.zip":
                self.serve_zip()
            else:
                self.send_error(404)

        def serve_zip(self) -> None:
            asked = self.headers.get("Range", "")
            site.requests.append(asked)
            begin = 0 if site.ignores_range or not asked else int(asked[6:-1])
            if begin >= len(site.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.data)}")
                self.end_headers()
                return
            body = site.data[begin:]
            length = len(body) if site.announced is None else site.announced - begin
            if site.breaks_off_at:
                body = body[: site.breaks_off_at.pop(0)]
            span = f"bytes {begin}-{len(site.data) - 1}/{len(site.data)}"
            self.answer(206 if begin else 200, body, length, span if begin else None)

        def answer(
            self, status: int, body: bytes, length: int | None = None, span: str | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            if span:
                self.send_header("Content-Range", span)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(site))
    site.url = f"http://127.0.0.1:{server.server_port}/sets"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(site: Site, folder: Path) -> Path:
    return catalogue.fetch("ml-1m", folder, base_url=site.url, pause=0.0)


def test_a_plain_download_tells_its_progress_and_happens_once(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = catalogue.fetch(
        "ml-1m",
        tmp_path / "new",
        base_url=site.url + "/",
        progress=lambda stage, done, total, note="": seen.append((stage, done, total)),
    )
    assert path == tmp_path / "new" / "ml-1m.zip"
    assert path.read_bytes() == DATA
    assert seen[-1] == ("download", len(DATA), len(DATA))
    assert [file.name for file in path.parent.iterdir()] == ["ml-1m.zip"]
    assert fetch(site, tmp_path / "new") == path
    assert site.requests == [""]


def test_a_download_that_breaks_off_is_carried_on(site: Site, tmp_path: Path) -> None:
    site.breaks_off_at = [400_000, 0, 300_000]
    assert fetch(site, tmp_path).read_bytes() == DATA
    assert site.requests == ["", "bytes=400000-", "bytes=400000-", "bytes=700000-"]


def test_the_next_call_carries_on_too(site: Site, tmp_path: Path) -> None:
    site.breaks_off_at = [600_000] + [0] * 20
    with pytest.raises(
        InputError, match=r"broke off at 600000 of \d+ bytes.*put it at .*ml-1m\.zip"
    ):
        fetch(site, tmp_path)
    assert (tmp_path / "ml-1m.zip.part").stat().st_size == 600_000
    site.breaks_off_at, site.requests[:] = [], []
    assert fetch(site, tmp_path).read_bytes() == DATA
    assert site.requests == ["bytes=600000-"]


def test_a_server_without_ranges_sends_all_again(site: Site, tmp_path: Path) -> None:
    site.ignores_range = True
    site.breaks_off_at = [400_000]
    assert fetch(site, tmp_path).read_bytes() == DATA
    assert site.requests == ["", "bytes=400000-"]


def test_a_false_length_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.announced = len(DATA) + 1000
    assert fetch(site, tmp_path / "a").read_bytes() == DATA  # as a second request finds out
    site.announced = len(DATA) - 1000
    with pytest.raises(InputError, match=r"could not download .*/ml-1m\.zip"):
        fetch(site, tmp_path / "b")
    assert not (tmp_path / "b" / "ml-1m.zip").exists()


def test_a_wrong_checksum_is_refused(site: Site, tmp_path: Path) -> None:
    site.md5 = f"{md5(b'something else')}  ml-1m.zip\n"
    with pytest.raises(InputError, match="not a zip file with the published MD5"):
        fetch(site, tmp_path)
    assert not (tmp_path / "ml-1m.zip").exists()
    site.md5 = f"{md5(DATA).upper()}  ml-1m.zip\n"
    assert fetch(site, tmp_path).read_bytes() == DATA


def test_without_a_checksum_it_must_at_least_be_a_zip(site: Site, tmp_path: Path) -> None:
    site.md5 = None
    assert fetch(site, tmp_path / "a").read_bytes() == DATA
    site.data = b"<html>log in to this network</html>"
    with pytest.raises(InputError, match="not a zip file"):
        fetch(site, tmp_path / "b")


def test_a_part_of_an_older_version_is_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(b"old" * 1000)
    assert fetch(site, tmp_path).read_bytes() == DATA
    (tmp_path / "ml-1m.zip").unlink()
    (tmp_path / "ml-1m.zip.part").write_bytes(b"longer" * len(DATA))
    assert fetch(site, tmp_path).read_bytes() == DATA


def test_a_complete_part_only_needs_its_name(site: Site, tmp_path: Path) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(DATA)
    assert fetch(site, tmp_path).read_bytes() == DATA
    assert site.requests == [f"bytes={len(DATA)}-"]


def test_passing_errors_are_tried_again_and_others_are_not(site: Site, tmp_path: Path) -> None:
    site.status = [503, 429, 500]
    assert fetch(site, tmp_path / "a").read_bytes() == DATA
    site.status = [404, 404]
    with pytest.raises(
        InputError, match=r"/ml-1m\.zip \(the server answers 404.*by hand.*ml-1m\.zip"
    ):
        fetch(site, tmp_path / "b")
    assert site.status == [404]


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.fetch("ml-32m", tmp_path, base_url="http://127.0.0.1:9/x", pause=0.0)
    message = str(caught.value)
    assert "http://127.0.0.1:9/x/ml-32m.zip" in message
    assert str(tmp_path / "ml-32m.zip") in message
    assert "\n" not in message


def test_a_file_put_there_by_hand_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "ml-20m.zip").write_bytes(DATA)
    found = catalogue.fetch("ml-20m", tmp_path, base_url="http://127.0.0.1:9", pause=0.0)
    assert found.read_bytes() == DATA


def test_one_download_at_a_time_and_never_onto_a_full_disk(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "ml-1m.zip.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="another process"):
            fetch(site, tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(RefusedError, match="free some"):
        fetch(site, tmp_path)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ml-latest-small, ml-100k"):
        catalogue.fetch("ml-2m", tmp_path)
