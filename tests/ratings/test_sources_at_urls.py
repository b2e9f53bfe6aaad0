"""Ratings at URLs: read where they are, and no secret told."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from distributed import Client
from fsspec.implementations.memory import MemoryFileSystem

from mfdask.errors import InputError
from mfdask.ingestion.build import ingest
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset

from . import forms
from .test_cleaning import read
from .test_readers import SMALL


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """Return an empty file system in memory."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


def put(system: MemoryFileSystem, path: Path, place: str) -> None:
    system.pipe_file(place, path.read_bytes())


def ratings(url: str, folder: Path, **options: object) -> pd.DataFrame:
    source = open_source(url, cache_dir=folder / "cache", **options)
    return read(source)[0].reset_index(drop=True)


@pytest.mark.parametrize("form", forms.ANY)
def test_every_form(memory: MemoryFileSystem, tmp_path: Path, form: str) -> None:
    path = forms.ANY[form](SMALL, tmp_path)
    put(memory, path, f"/bucket/{path.name}")
    found = ratings(f"memory://bucket/{path.name}", tmp_path, part_bytes=9, **forms.options(form))
    pd.testing.assert_frame_equal(found, SMALL)


@pytest.mark.parametrize("name", ["r.csv.gz", "r.csv.zst", "a.zip", "a.tar.gz"])
def test_what_is_packed_is_fetched_once(
    memory: MemoryFileSystem, tmp_path: Path, name: str
) -> None:
    text = forms.csv(SMALL, tmp_path).read_bytes()
    packed = tmp_path / name
    if name.startswith("r."):
        packed.write_bytes(forms.COMPRESSED[packed.suffix](text))
    else:
        (forms.zipped if name.endswith(".zip") else forms.tar)(packed, {"in/r.csv": text})
    put(memory, packed, f"/bucket/{name}")
    for _ in range(2):
        pd.testing.assert_frame_equal(ratings(f"memory://bucket/{name}", tmp_path), SMALL)
    assert len(list((tmp_path / "cache").glob("url-*"))) == 1
    put(memory, forms.zipped(tmp_path / "b.zip", {"r.csv": text[:40]}), "/bucket/a.zip")
    if name == "a.zip":  # another version of it
        assert len(ratings("memory://bucket/a.zip", tmp_path)) < len(SMALL)


@pytest.mark.parametrize("text", ["memory://b/logs/*.csv", "memory://b/logs", "memory://b/h"])
def test_globs_and_folders(memory: MemoryFileSystem, tmp_path: Path, text: str) -> None:
    for number in range(2):
        SMALL[number::2].to_csv(tmp_path / "p.csv", index=False)
        put(memory, tmp_path / "p.csv", f"/b/logs/part-{number}.csv")
    memory.pipe_file("/b/logs/_SUCCESS", b"")
    folder = forms.hive(SMALL, tmp_path)
    for path in folder.rglob("*.csv"):
        put(memory, path, f"/b/h/{path.relative_to(folder)}")
    found = ratings(text, tmp_path)
    order = forms.COLUMNS[:2]
    pd.testing.assert_frame_equal(
        found[forms.COLUMNS].sort_values(order, ignore_index=True),
        SMALL.sort_values(order, ignore_index=True),
    )


@pytest.mark.parametrize("text", ["memory://b/none.csv", "memory://b/*.csv", "nowhere://b/r.csv"])
def test_nothing_there(memory: MemoryFileSystem, tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"none\.csv: is not there|b/\*\.csv matches no|nowhere"):
        ratings(text, tmp_path)


class Handler(SimpleHTTPRequestHandler):
    """Serves files, in ranges, to those who know the key."""

    def do_GET(self) -> None:
        """Send a file, or a part of it."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Send what there is to know of a file."""
        self._send(with_body=False)

    def _send(self, with_body: bool) -> None:
        path, _, query = self.path.partition("?")
        file = Path(self.directory) / path.lstrip("/")
        if query != "key=topsecret" or not file.is_file():
            self.send_error(403)
            return
        data = file.read_bytes()
        begin, end = 0, len(data)
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or end - 1) + 1, end)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.end_headers()
        if with_body:
            self.wfile.write(data[begin:end])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a folder on a server of this machine."""
    pytest.importorskip("aiohttp")
    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "www"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_is_down_is_not_a_file_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/r.csv"
    with pytest.raises(InputError, match=r"cannot be read \(.*[Cc]onnect") as error:
        open_source(url, cache_dir=tmp_path)
    assert "is not there" not in str(error.value)


def test_workers_read_at_a_server_and_no_secret_is_told(
    host: str, client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for form in ("csv", "parquet"):
        forms.ANY[form](SMALL, tmp_path / "www")
    with caplog.at_level(logging.DEBUG, "mfdask"):
        for name in ("r.csv", "r.parquet"):
            source = open_source(f"{host}/{name}?key=topsecret", cache_dir=tmp_path / "cache")
            assert (source.name, source.origin) == ("r", name)
            ingest(source, tmp_path / "d", client=client, overwrite=True)
            assert Dataset.open(tmp_path / "d").manifest.counts.kept == len(SMALL)
        gone = pickle.loads(pickle.dumps(source))
        (tmp_path / "www" / "r.parquet").unlink()
        with pytest.raises(InputError) as error:
            gone.parts[0].read()
        with pytest.raises(InputError) as refused:
            open_source(f"{host}/r.csv?key=topsecret2", cache_dir=tmp_path / "cache")
    told = [caplog.text, str(error.value), str(refused.value), repr(source)]
    written = [file.read_bytes() for file in (tmp_path / "d").rglob("*") if file.is_file()]
    assert not any("topsecret" in text for text in told[:3])
    assert not any(b"topsecret" in data for data in written)
