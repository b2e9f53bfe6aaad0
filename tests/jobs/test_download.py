"""mfdask download: data sets of the catalogue, fetched ahead of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfdask.jobs import download
from mfdask.ratings.catalogue import NAMES


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names that are asked for; nothing is downloaded."""
    asked: list[str] = []

    def fetch(name: str, cache_dir: Path, **_: object) -> Path:
        asked.append(name)
        cache_dir.mkdir(parents=True, exist_ok=True)
        (cache_dir / f"{name}.zip").write_bytes(b"12345")
        return cache_dir / f"{name}.zip"

    monkeypatch.setattr(download, "fetch", fetch)
    return asked


def test_each_name_once(result_of, fetched: list[str]) -> None:
    files = result_of("download", "ml-100k", "ml-1m", "ml-100k")["files"]
    assert fetched == ["ml-100k", "ml-1m"]
    assert files[0] == {"name": "ml-100k", "file": "data/downloads/ml-100k.zip", "bytes": 5}


def test_all_of_them(result_of, fetched: list[str]) -> None:
    result_of("download", "all")
    assert fetched == list(NAMES)


def test_a_name_that_is_not_there(mfdask, fetched: list[str]) -> None:
    done = mfdask("download", "ml-3m")
    assert done.exit_code == 2
    assert "ml-latest-small" in done.stderr
    assert fetched == []
