"""Data sets at a URL, such as ``s3://bucket/data/ml-32m``: whatever fsspec opens.

Shards are mapped into memory, which only files of the machine itself can be. So each machine keeps
a mirror: a folder below `cache_folder`, into which a file is fetched when a process first uses it.
A worker thereby fetches the shards that it solves and no others. The manifest is read at the URL
every time, since it tells a data set from another that took its place, which gets a mirror of its
own.

What a file system must be told (region, endpoint, credentials) fsspec and its drivers take from
their own configuration files and environment variables, on each machine that reads.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TypeGuard

from fsspec.core import url_to_fs

from mfdask.errors import InputError, NoSpaceError, RefusedError, without_secrets
from mfdask.files import FULL, crc32, from_home, reading_url
from mfdask.shards.manifest import FILE_NAME, Manifest
from mfdask.shards.store import FileFacts, FolderStore

#: Names another place for the mirrors.
CACHE_VARIABLE = "MFDASK_CACHE"
#: Seconds after which a mirror that nobody has opened makes room: a nightly data set leaves one a
#: night.
UNUSED = 7 * 86_400

_MISSING = "give the URL of a folder that `mfdask ingest` made and that was copied there as a whole"
_LOG = logging.getLogger(__name__)


def is_url(place: Path | str) -> TypeGuard[str]:
    """Whether a place is a URL and no path."""
    return isinstance(place, str) and "://" in place


def cache_folder() -> Path:
    """Return the folder of the mirrors: `MFDASK_CACHE`, or ``mfdask`` where users' caches are.

    Raises
    ------
    InputError
        If the account has no home.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return from_home(chosen).absolute()
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "mfdask"
    if not (home := from_home("~")).is_absolute():
        raise InputError(f"this account has no home; name a folder in {CACHE_VARIABLE}")
    return home / ".cache" / "mfdask"


def without_query(url: str) -> str:
    """Return a URL to print, and to name files by."""
    return without_secrets(url).partition("?")[0].rstrip("/")


class RemoteStore(FolderStore):
    """The files of a data set at a URL, as they come into the mirror.

    Parameters
    ----------
    url : str

    Attributes
    ----------
    path : Path
        The mirror.
    url : str
        Without what is secret of it.
    opened_by : str
        The URL as it was given.
    manifest : Manifest
        As it is at the URL now.

    Raises
    ------
    InputError
        If there is no data set, it cannot be read, or the mirror cannot be written.
    RefusedError
        If the disk has no room for the mirror.
    """

    def __init__(self, url: str) -> None:
        self.url = without_query(url)
        self.opened_by = url.rstrip("/")
        with _reading(f"{self.url}/{FILE_NAME}"):
            self._system, self._root = url_to_fs(url)
            self._system.invalidate_cache()  # drivers may remember what was there before
            text = self._system.cat_file(self._place(FILE_NAME))
        self.manifest = Manifest.parse(text, self.url)
        with _writing(self.url):
            super().__init__(_mirror(self.manifest, self.url))

    def file(self, name: str) -> Path:
        """Return a file of the mirror, and fetch it first where it is not there.

        Raises
        ------
        InputError
            If it cannot be fetched, or what comes is not what the manifest says.
        RefusedError
            If the disk has no room for it.
        """
        file = self.path / name
        # A power cut can leave a file with its name and without its bytes.
        if not (file.is_file() and file.stat().st_size == self.manifest.files[name].bytes):
            self._fetch(name)
        return file

    def check(self, name: str, facts: FileFacts) -> None:
        """Compare a file's checksum, and fetch the file again if this disk has spoilt it."""
        if crc32(self.file(name)) != facts.crc32:
            self._fetch(name)

    def _place(self, name: str) -> str:
        """Return where a file lies, as the file system is to be asked; a signature goes along."""
        signed = "://" in self._root  # as roots are over HTTP
        root, mark, query = self._root.partition("?") if signed else (self._root, "", "")
        return f"{root.rstrip('/')}/{name}{mark}{query}"

    def _fetch(self, name: str) -> None:
        """Bring a file into the mirror, whole and checked; others may fetch the same one."""
        place, target = f"{self.url}/{name}", self.path / name
        fresh = target.with_name(f".{uuid.uuid4().hex}.partial")
        began = time.perf_counter()
        with _writing(self.url):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with _reading(place):
                    self._system.get_file(self._place(name), str(fresh))
                _compare(FileFacts.of(fresh), self.manifest.files[name], place)
                fresh.replace(target)
            finally:
                fresh.unlink(missing_ok=True)
        _LOG.info("fetched %s in %.1f s", place, time.perf_counter() - began)


def _mirror(manifest: Manifest, url: str) -> Path:
    """Return the folder that mirrors a data set; the first time, make it and room for it."""
    if not all(_is_inside(name) for name in manifest.files):
        raise InputError(f"{url}/{FILE_NAME}: names files outside of its folder; ingest again")
    # The fingerprint does not tell how the blocks are cut, the files do.
    files = {name: asdict(facts) for name, facts in manifest.files.items()}
    said = json.dumps([manifest.fingerprint, files], sort_keys=True)
    mirror = cache_folder() / f"mirror-{hashlib.sha256(said.encode()).hexdigest()}"
    if not mirror.exists():
        _drop_unused(mirror.parent)
    mirror.mkdir(parents=True, exist_ok=True)
    os.utime(mirror)
    return mirror


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _drop_unused(cache: Path) -> None:
    """Drop the mirrors that nobody has opened for long; what is mapped of them stays mapped."""
    for mirror in cache.glob("mirror-" + "[0-9a-f]" * 64):
        with suppress(FileNotFoundError):  # another process may be dropping it, too
            if mirror.stat().st_mtime < time.time() - UNUSED:
                shutil.rmtree(mirror, ignore_errors=True)


def _compare(found: FileFacts, wanted: FileFacts, place: str) -> None:
    """Refuse a file that is not what the manifest says."""
    if found != wanted:
        raise InputError(
            f"{place}: {found.bytes:,} bytes with CRC-32 {found.crc32:08x} in place of "
            f"{wanted.bytes:,} with {wanted.crc32:08x}; damaged, or replaced while it was being "
            "read: start again, and if that does not help copy the data set there again"
        )


@contextmanager
def _writing(url: str) -> Iterator[None]:
    """Turn errors in making the mirror into what a user can mend."""
    try:
        yield
    except OSError as error:
        _refuse_full(url, error)
        raise InputError(
            f"{url}: its local copy cannot be written ({error}); let {CACHE_VARIABLE} name a "
            "folder that can"
        ) from error


@contextmanager
def _reading(place: str) -> Iterator[None]:
    """Turn errors of fsspec and its drivers into what a user can mend."""
    try:
        with reading_url(place, _MISSING):
            yield
    except NoSpaceError as error:
        _refuse_full(place, error.__cause__)
        raise


def _refuse_full(place: str, error: BaseException | None) -> None:
    if isinstance(error, OSError) and error.errno in FULL:
        raise RefusedError(
            f"{place}: no space left on the disk for a local copy in {cache_folder()}; free some, "
            f"or let {CACHE_VARIABLE} name a folder on another disk"
        ) from error
