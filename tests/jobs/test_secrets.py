"""Secrets in URLs: used where a data set is opened, and neither printed nor stored."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pytest
from fsspec.spec import AbstractFileSystem

from mfdask.errors import InputError, without_secrets
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef

SIGNED = "X-Signature=topsecret&X-Expires=60"


class Signed(AbstractFileSystem):
    """Files over something like HTTP: paths are whole URLs, and those without a signature fail."""

    protocol = "signed"
    folder = Path()

    @classmethod
    def _strip_protocol(cls, path):
        return path

    def _found(self, url):
        parts = urlsplit(url)
        if parts.query != SIGNED:
            raise PermissionError(f"403, message='Forbidden', url={url!r}")
        return self.folder / parts.path.lstrip("/")

    def cat_file(self, path, **how):
        return self._found(path).read_bytes()

    def get_file(self, rpath, lpath, **how):
        Path(lpath).write_bytes(self.cat_file(rpath))


@pytest.fixture
def host(small_data, tmp_path, monkeypatch):
    monkeypatch.setenv("MFDASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Signed, "folder", Path(small_data).parent)
    fsspec.register_implementation("signed", Signed, clobber=True)
    return "signed://files.example.org"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/d?X-Sig=a%2Fb&c=d", "https://h/d?***"),
        ("s3://key:secret@bucket/d", "s3://***@bucket/d"),
        ("no 'https://u:p@h:8/d/m.json?s=1': 403", "no 'https://***@h:8/d/m.json?***': 403"),
        ("https://h/d?s=1, https://u@h/e", "https://h/d?***, https://***@h/e"),
        ("https://h/d?s=a,b;c)d", "https://h/d?***"),
        ("https://u:p?a@h/d", "https://***@h/d"),
        ("https://u:p/a#b@h/d", "https://***@h/d"),
        ("https://h/d", "https://h/d"),
        ("me@example.org?x=1", "me@example.org?x=1"),
    ],
)
def test_what_is_secret_of_a_url(text, shown):
    assert without_secrets(text) == shown


def test_a_signed_url_keeps_its_query_where_it_is_opened(host, small_data, caplog):
    url = f"{host}/{Path(small_data).name}?{SIGNED}"
    with caplog.at_level(logging.INFO, "mfdask"):
        data = Dataset.open(url, verify=True)
        again = DatasetRef.of(data).open()
    assert again.fingerprint == Dataset.open(small_data).fingerprint
    assert "fetched" in caplog.text
    assert "topsecret" not in caplog.text + repr(data) + repr(DatasetRef.of(data))


def test_a_wrong_secret_is_not_told(host, small_data):
    for url in (f"{host}/nothing?{SIGNED}", f"{host}/d?sig=topsecret"):
        with pytest.raises(InputError) as refused:
            Dataset.open(url)
        assert "topsecret" not in str(refused.value)
        assert f"{host}/" in str(refused.value)


def test_jobs_print_and_store_no_secret(host, small_data, mfdask, tmp_path):
    url = f"{host}/{Path(small_data).name}?{SIGNED}"
    jobs = [
        ("inspect", url),
        ("inspect", url, "--json"),
        ("report", "--data", url, "--figures", "statistics"),
        ("inspect", host.replace("//", "//me:topsecret@") + "/nothing"),
        ("ingest", "https://me:topsecret@files.example.org/ratings.csv"),
        ("embed", "s3://me:topsecret@files.example.org/m"),
    ]
    for job in jobs:
        done = mfdask(*job)
        assert done.exit_code == (2 if "me:" in str(job) else 0), done.output
        assert "topsecret" not in done.output
    for file in tmp_path.rglob("*"):
        assert "topsecret" not in file.name
        assert file.is_dir() or b"topsecret" not in file.read_bytes()
