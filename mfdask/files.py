"""Atomic files and folders, file locks, checksums and disk space."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfdask.errors import InputError, MfdaskError, NoSpaceError, RefusedError

#: Codes of an `OSError` that say that no more can be written: disk, quota or limit of a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: What may stand in the place of an output, by the kind that `stat` tells.
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def from_home(text: str) -> Path:
    """Return a path whose leading ``~`` or ``~user`` is that home, where there is one.

    `Path.expanduser` fails where there is none, as with ``~$book.xlsx``, which Excel leaves behind.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111


def file_place(target: Path) -> Path:
    """Return where a file is to be written: what `target` names in the end, if it is a link.

    Raises
    ------
    InputError
        If something is there that is no regular file, such as a device: it must not be replaced.
    """
    return _place(target, stat.S_IFREG, "give the name of a file")


def folder_place(target: Path) -> Path:
    """Return where a folder is to be written: what `target` names in the end, if it is a link.

    Raises
    ------
    InputError
        If something is there that is no folder.
    """
    return _place(target, stat.S_IFDIR, "give the name of a folder")


def _place(target: Path, wanted: int, mend: str) -> Path:
    try:
        kind = stat.S_IFMT(target.stat().st_mode)
    except FileNotFoundError:
        kind = wanted  # nothing is there, or a link that names nothing yet
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{target}: is a link to itself; {mend}") from error
    if kind != wanted:
        raise InputError(f"{target}: is {_KINDS.get(kind, 'something else')}; {mend}")
    return target.resolve() if target.is_symlink() else target


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield a fresh folder beside `target`, and put it in its place once the block has ended well.

    A folder already at `target` is replaced; on any error it stays, and the fresh one goes. A link
    stays, and what it names is replaced.

    Raises
    ------
    InputError
        If something else than a folder is there.
    """
    target = folder_place(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        replace_folder(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a fresh name beside `target`, and rename what is there once the block has ended well.

    A file already at `target` is replaced; on any error it stays, and the fresh one goes. A link
    stays, and what it names is replaced.

    Raises
    ------
    InputError
        If something else than a regular file is there.
    """
    target = file_place(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.partial")
    try:
        yield fresh
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def replace_folder(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of `target`; what was there before goes.

    Where the system can exchange two names at once (Linux can), there is no instant without a
    folder at `target`. A link there stays, and what it names is replaced.

    Raises
    ------
    InputError
        If something else than a folder is there.
    """
    target = folder_place(target)
    if not target.exists():
        fresh.rename(target)
        return
    if not _exchange(fresh, target):
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        fresh.rename(target)
        fresh = old
    shutil.rmtree(fresh)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


@contextmanager
def file_lock(target: Path, doing: str) -> Iterator[None]:
    """Hold the lock of `target` while the block runs; it falls with the process that held it.

    Raises
    ------
    RefusedError
        If another process holds it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target.with_name(f".{target.name}.lock")
    with place.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A holder removes its file at the end: a lock on a file that is gone holds nothing.
            held = place.exists() and os.path.samestat(os.fstat(file.fileno()), place.stat())
        except BlockingIOError:
            held = False
        if not held:
            raise RefusedError(
                f"{target}: another process is {doing} it; wait for it, or write elsewhere"
            )
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def crc32(path: Path) -> int:
    """Return the CRC-32 of a file's bytes."""
    total = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total = zlib.crc32(piece, total)
    return total


def with_checksum(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be written as JSON with a checksum of itself, `crc32`."""
    return document | {"crc32": _json_crc32(json.loads(json.dumps(document)))}


def check_checksum(document: dict[str, Any]) -> None:
    """Take the checksum out of what was read from JSON; that of an older version has none.

    Raises
    ------
    ValueError
        If the rest does not match it.
    """
    if document.pop("crc32", None) not in (None, _json_crc32(document)):
        raise ValueError("it does not match its checksum")


def _json_crc32(document: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())


def free_bytes(path: Path) -> int:
    """Return the bytes free where `path` lies, or would lie."""
    while not path.exists():
        path = path.parent
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def is_of_a_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a disk is full."""
    while error is not None:
        full = isinstance(error, OSError) and error.errno in FULL
        if full or isinstance(error, NoSpaceError):
            return True
        error = error.__cause__ or error.__context__
    return False


def require_space(target: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk of `target` cannot hold.

    Raises
    ------
    NoSpaceError
        If fewer than `needed` bytes are free there.
    """
    free = free_bytes(target)
    if free < needed:
        raise NoSpaceError(
            f"{target}: {what} needs {needed / 2**20:,.0f} MiB of disk and {free / 2**20:,.0f} MiB "
            "are free; free some, or write elsewhere"
        )


def check_place(out: Path, mark: str, holds: str, name: str = "out") -> None:
    """Refuse a place that holds anything but what a folder with the file `mark` does.

    The message calls the place by the `name` of its parameter.

    Raises
    ------
    InputError
    """
    if out.exists() and not (out / mark).exists():
        raise InputError(f"{out}: is there already and holds no {holds}; give another `{name}`")


def resolve_link(path: Path) -> Path:
    """Return what a link names now, since it may be moved on while files behind it are read."""
    return path.resolve() if path.is_symlink() else path


@contextmanager
def reading_url(place: str, missing: str) -> Iterator[None]:
    """Turn errors of fsspec and its drivers, at a URL, into what a user can mend.

    Parameters
    ----------
    place : str
        The URL; its secrets are left out.
    missing : str
        How to mend it where nothing is there.
    """
    try:
        yield
    except MfdaskError:
        raise
    except ImportError as error:
        name = str(getattr(error.__cause__, "name", None))
        known = name in str(error)  # a module may go by another name than its package
        how = f"needs the package {name}; pip install {name}" if known else error
        raise InputError(f"{place}: {how}") from error
    except Exception as error:  # each driver has errors of its own
        # A server that does not answer is a file that is not found, too, for some drivers.
        if isinstance(error, FileNotFoundError) and not _unreachable(error.__cause__):
            raise InputError(f"{place}: is not there; {missing}") from error
        if isinstance(error, OSError) and error.errno in FULL:
            raise NoSpaceError(f"{place}: no space left on the disk for a local copy") from error
        first = error.__cause__ if _unreachable(error.__cause__) else error
        line = str(first).strip().partition("\n")[0]
        raise InputError(
            f"{place}: cannot be read ({type(first).__name__}: {line}); check the URL, the "
            "network, and the credentials that fsspec is told of"
        ) from error


def _unreachable(cause: BaseException | None) -> bool:
    return isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
