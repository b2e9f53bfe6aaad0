"""Safe unpacking of archives, once.

What is unpacked lies in a folder (or file) whose name carries a checksum of the content, so that
it can be taken again without a look inside, and never for another archive of the same name.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa

from mfdask.errors import InputError, MfdaskError, RefusedError
from mfdask.files import crc32
from mfdask.progress import Progress, silent

_BLOCK = 2**20
#: What reading a damaged archive raises: its module itself, and what it hands bytes on to.
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError,
    NotImplementedError, IndexError,
)  # fmt: skip
#: The same of an `OSError`: that of bzip2, gzip or zstd has no code, a place is before the start, a
#: name is junk.
_DAMAGED_CODES = (None, errno.EINVAL, errno.ENAMETOOLONG)


class _Codec(NamedTuple):
    """A way to compress one file: its name, the first bytes, and what opens it."""

    name: str
    start: bytes
    open: Callable[[Path], Any]


#: Ends of names of compressed files.
CODECS = {
    ".gz": _Codec("gzip", b"\x1f\x8b", gzip.open),
    ".bz2": _Codec("bzip2", b"BZh", bz2.open),
    ".xz": _Codec("xz", b"\xfd7zXZ\0", lzma.open),
    ".zst": _Codec(
        "zstd", b"\x28\xb5\x2f\xfd", lambda path: pa.CompressedInputStream(path, "zstd")
    ),
}
_TARS = (".tar", ".tgz", ".tbz2", ".txz", *(f".tar{end}" for end in CODECS))


class _Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: PurePath) -> bool:
    """Tell by its name whether a file holds others."""
    return path.name.casefold().endswith((".zip", *_TARS))


def unpack_archive(path: Path, cache_dir: Path, progress: Progress = silent) -> Path:
    """Unpack a zip or tar file into a folder below `cache_dir`, unless it is there already.

    Parameters and errors are those of `unpack_zip`.
    """
    unpack = unpack_zip if path.name.casefold().endswith(".zip") else _unpack_tar
    return unpack(path, cache_dir, progress)


def _unpack_tar(path: Path, cache_dir: Path, progress: Progress) -> Path:
    """Unpack a tar file, compressed or not."""
    target = cache_dir / f"{path.name.casefold().partition('.tar')[0]}-{_file_checksum(path)}"
    if target.exists():
        return target
    with _explained(path, "tar"), _opened_tar(path) as archive:
        found = []
        for member in archive:
            _check_tar_member(member, path)
            if member.isfile():
                found.append(member)
        members = [_Member(m.name, m.size, partial(_extracted, archive, m)) for m in found]
        _unpack(members, target, path, progress)
    return target


@contextmanager
def _opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    if not path.name.casefold().endswith(".zst"):
        with tarfile.open(path) as archive:
            yield archive
        return
    with tempfile.TemporaryFile() as plain:  # members are read twice: zstd goes only forward
        with CODECS[".zst"].open(path) as packed:
            _copy(packed, plain, path, Path(tempfile.gettempdir()))
        plain.seek(0)
        with tarfile.open(fileobj=plain) as archive:
            yield archive


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(member))  # None for folders alone


def _check_tar_member(member: tarfile.TarInfo, path: Path) -> None:
    _check_name(member.name, path)
    if not (member.isfile() or member.isdir()):
        raise InputError(f"{path} holds a link or device, {member.name!r}; not unpacked")


def _unpack(members: list[_Member], target: Path, path: Path, progress: Progress) -> None:
    """Write members into a folder that appears as a whole."""
    total = sum(member.size for member in members)
    with _scratch(target.parent, total, path) as scratch:
        _extract(members, scratch / "folder", total, progress)
        _publish(scratch / "folder", target)


@contextmanager
def _explained(path: Path, form: str) -> Iterator[None]:
    """Turn what reading a damaged archive raises into what a user can mend."""
    try:
        yield
    except MfdaskError:  # says itself what is wrong
        raise
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _DAMAGED_CODES:
            raise
        line = " ".join(str(error).split())
        raise InputError(f"{path} is not a whole {form} file ({line}); fetch it again") from error


def unpack_zip(path: Path, cache_dir: Path, progress: Progress = silent) -> Path:
    """Unpack a zip file into a folder below `cache_dir`, unless it is there already.

    Parameters
    ----------
    path : Path
        The zip file.
    cache_dir : Path
        Made if missing.
    progress : Progress
        Told the bytes that are unpacked.

    Returns
    -------
    Path
        The folder, named after the zip file and a checksum of its table of contents.

    Raises
    ------
    InputError
        It is no zip file, is damaged or encrypted, or a member's path leaves the folder.
    RefusedError
        There is not enough free disk for what it holds.
    """
    with _explained(path, "zip"), zipfile.ZipFile(path) as archive:
        found = [member for member in archive.infolist() if not member.is_dir()]
        target = cache_dir / f"{path.stem}-{_checksum(found):08x}"
        if target.exists():
            return target
        for member in found:
            _check_member(member, path)
        members = [_Member(m.filename, m.file_size, partial(archive.open, m)) for m in found]
        _unpack(members, target, path, progress)
    return target


def _checksum(members: list[zipfile.ZipInfo]) -> int:
    table = "\n".join(f"{member.filename} {member.file_size} {member.CRC}" for member in members)
    return zlib.crc32(table.encode("utf-8", "replace"))


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    _check_name(member.filename, path)
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{path} holds a symbolic link, {member.filename!r}; not unpacked")
    if member.flag_bits & 0x1:
        raise InputError(f"{path} is encrypted; unpack it by hand and give the folder")


def _check_name(name: str, path: Path) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    has_drive = ":" in parts.parts[0] if parts.parts else True
    if parts.is_absolute() or ".." in parts.parts or has_drive:
        raise InputError(
            f"{path} holds {name!r}, which would be written outside its folder; not "
            "unpacked, fetch the file from a source you trust"
        )


def _extract(members: Iterable[_Member], folder: Path, total: int, progress: Progress) -> None:
    folder.mkdir()
    done = 0
    for member in members:
        place = folder / PurePosixPath(member.name.replace("\\", "/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as packed, place.open("wb") as plain:
            while block := packed.read(_BLOCK):
                plain.write(block)
                done += len(block)
                progress("unpack", done, total, place.name)


def unpack_file(path: Path, cache_dir: Path) -> Path:
    """Unpack one compressed file into a file below `cache_dir`, unless it is there already.

    Parameters
    ----------
    path : Path
        Its name ends in one of `CODECS`.
    cache_dir : Path
        Made if missing.

    Returns
    -------
    Path
        The file, named after the compressed one, its size and its checksum.

    Raises
    ------
    InputError
        It is of another form than its name says, or is damaged or cut off.
    RefusedError
        There is not enough free disk for what it holds.
    """
    end = path.suffix.casefold()
    codec = CODECS[end]
    with path.open("rb") as file:
        if not file.read(len(codec.start)) == codec.start:
            raise InputError(
                f"{path} is not a {codec.name} file; fetch it again, or drop the {end}"
            )
    target = cache_dir / f"{path.stem}-{_file_checksum(path)}"
    if target.exists():
        return target
    with _explained(path, codec.name), _scratch(cache_dir, 0, path) as scratch:
        with codec.open(path) as packed, (scratch / "file").open("wb") as plain:
            _copy(packed, plain, path, cache_dir)
        _publish(scratch / "file", target)
    return target


def _file_checksum(path: Path) -> str:
    # Not the checksum at a gzip file's end: of several members that is the last one's alone.
    return f"{path.stat().st_size:x}-{crc32(path):08x}"


def _copy(packed: Any, plain: IO[bytes], path: Path, folder: Path) -> None:
    """Copy what is unpacked, of a size that nobody knows, as long as `folder` has room."""
    free, done = shutil.disk_usage(folder).free, 0
    while block := packed.read(_BLOCK):
        done += len(block)
        if done > free:
            raise _no_room(path, done, folder, free)
        plain.write(block)


@contextmanager
def _scratch(cache_dir: Path, needed: int, path: Path) -> Iterator[Path]:
    """Give a folder to work in, with `needed` bytes free, that is gone afterwards."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise _no_room(path, needed, cache_dir, free)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=cache_dir) as scratch:
        yield Path(scratch)


def _no_room(path: Path, needed: int, folder: Path, free: int) -> RefusedError:
    return RefusedError(
        f"{path} needs {needed / 1e9:.2f} GB unpacked, {folder} has {free / 1e9:.2f} GB "
        "free; free some, or unpack it elsewhere and give the folder"
    )


def _publish(scratch: Path, target: Path) -> None:
    """Rename into place; if another process was faster, its copy is as good."""
    try:
        scratch.rename(target)
    except OSError:
        if not target.exists():
            raise
