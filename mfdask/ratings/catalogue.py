"""Downloads of public data sets by name, from GroupLens, resumed and checked."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from io import BufferedRandom
from pathlib import Path
from typing import TypeVar

from mfdask.errors import InputError, RefusedError
from mfdask.progress import Progress, silent

BASE_URL = "https://files.grouplens.org/datasets/movielens"
NAMES = ("ml-latest-small", "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m")

_TRIES = 5
_PAUSE = 1.0  # seconds before the second try; doubled for each further one
_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 2**18
_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class _DownloadError(Exception):
    """A download failed."""


class _TryAgainError(_DownloadError):
    """A download failed, and may succeed when tried again."""


def fetch(
    name: str,
    cache_dir: Path,
    *,
    base_url: str = BASE_URL,
    progress: Progress = silent,
    pause: float = _PAUSE,
) -> Path:
    """Return the zip file of a data set, downloaded if it is not in `cache_dir` yet.

    A broken-off download is kept as ``NAME.zip.part`` and carried on with, in this call and the
    next; the file gets its name only once its size and MD5 are right. A file put there by hand is
    taken as it is (its members' checksums are verified when it is unpacked).

    Parameters
    ----------
    name : str
        One of `NAMES`.
    cache_dir : Path
        Made if missing.
    base_url : str
        The folder on the server.
    progress : Progress
        Told the bytes that are there.
    pause : float
        Seconds before the second try, doubled for each further one.

    Returns
    -------
    Path
        ``cache_dir / NAME.zip``.

    Raises
    ------
    InputError
        The name is unknown, the server cannot be reached or does not have the file, or what it
        sends is not what it announced.
    RefusedError
        The disk is too small, or another process is at the same download.
    """
    if name not in NAMES:
        raise InputError(f"no data set {name!r} in the catalogue; it has {', '.join(NAMES)}")
    target = cache_dir / f"{name}.zip"
    if target.exists():
        return target
    cache_dir.mkdir(parents=True, exist_ok=True)
    url = f"{base_url.rstrip('/')}/{name}.zip"
    part = target.with_name(f"{target.name}.part")
    try:
        with _locked(part) as file:
            _fetch_checked(url, file, progress, pause)
            part.rename(target)
    except _DownloadError as error:
        raise InputError(
            f"could not download {url} ({error}); run again to carry on, or fetch it by hand and "
            f"put it at {target}"
        ) from error
    return target


@contextmanager
def _locked(part: Path) -> Iterator[BufferedRandom]:
    with part.open("ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"another process is downloading to {part}; wait until it is done"
            ) from None
        yield file


def _fetch_checked(url: str, file: BufferedRandom, progress: Progress, pause: float) -> None:
    """Download into `file`, carrying on with what it holds, and verify."""
    expected = _retried(lambda: _published_md5(f"{url}.md5"), pause)
    for _ in range(2):  # again from the start: the first time may carry on with an older version
        _retried(lambda: _append(url, file, progress), pause)
        if zipfile.is_zipfile(file) and expected in (None, _md5(file)):
            return
        file.truncate(0)
    raise _DownloadError("what arrives is not a zip file with the published MD5")


def _retried(attempt: Callable[[], _T], pause: float) -> _T:
    """Try up to `_TRIES` times, with pauses that double."""
    for wait in [pause * 2**number for number in range(_TRIES - 1)]:
        try:
            return attempt()
        except _TryAgainError as error:
            _LOG.warning("%s; trying again in %.0f s", error, wait)
        time.sleep(wait)
    return attempt()


@contextmanager
def _opened(url: str, begin: int = 0) -> Iterator[http.client.HTTPResponse]:
    """Ask the server for a file from byte `begin` on; sort failures that may pass from others."""
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        ) as response:
            yield response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500 or error.code in (408, 429):
            raise _TryAgainError(f"the server answers {error.code} {error.reason}") from error
        raise
    except urllib.error.URLError as error:
        raise _TryAgainError(str(error.reason)) from error
    except (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException) as error:
        raise _TryAgainError(f"the connection broke: {error or type(error).__name__}") from error


def _append(url: str, file: BufferedRandom, progress: Progress) -> None:
    """Fetch what is missing of a file, once; what arrives is kept even if the rest does not."""
    have = file.seek(0, os.SEEK_END)
    try:
        with _opened(url, have) as response:
            if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                file.truncate(0)  # the server sends all of it again
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            _check_disk(file, (total or have) - have)
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                progress("download", have, total or have, url.rpartition("/")[2])
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _end_of_range(file, have, error.headers.get("Content-Range", ""))
            return
        raise _DownloadError(f"the server answers {error.code} {error.reason}") from error
    finally:
        file.flush()
    if total is not None and have < total:
        raise _TryAgainError(f"it broke off at {have} of {total} bytes")


def _end_of_range(file: BufferedRandom, have: int, content_range: str) -> None:
    """Nothing lies behind what we have: it is complete, or of another version."""
    if content_range != f"bytes */{have}":
        file.truncate(0)
        raise _TryAgainError("the file on the server is a different one now")


def _check_disk(file: BufferedRandom, needed: int) -> None:
    free = shutil.disk_usage(Path(file.name).parent).free
    if needed > free:
        raise RefusedError(
            f"the download needs {needed / 1e9:.2f} GB, {Path(file.name).parent} has "
            f"{free / 1e9:.2f} GB free; free some"
        )


def _published_md5(url: str) -> str | None:
    """Read a checksum file, "MD5 (x) = hash" or "hash  x"; None if the server has none."""
    try:
        with _opened(url) as response:
            text = response.read(4096).decode("utf-8", "replace")
    except urllib.error.HTTPError:
        text = ""
    found = re.search(r"\b[0-9a-f]{32}\b", text.casefold())
    if found is None:
        _LOG.info("no MD5 at %s; relying on the size and the zip file's own checksums", url)
    return found.group() if found else None


def _md5(file: BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
