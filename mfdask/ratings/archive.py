"""Safe unpacking of archives, once.

What is unpacked lies in a folder (or file) whose name carries a checksum of the content, so that
it can be taken again without a look inside, and never for another archive of the same name.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mfdask.errors import InputError, RefusedError
from mfdask.files import crc32
from mfdask.progress import Progress, silent

_BLOCK = 2**20
#: What reading a damaged zip file raises: `zipfile` itself, and what it hands bytes on to.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
#: The same of an `OSError`: bzip2's has no code, a place is before the start, a name is junk.
_DAMAGED_CODES = (None, errno.EINVAL, errno.ENAMETOOLONG)


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
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            target = cache_dir / f"{path.stem}-{_checksum(members):08x}"
            if target.exists():
                return target
            for member in members:
                _check_member(member, path)
            total = sum(member.file_size for member in members)
            with _scratch(cache_dir, total, path) as scratch:
                _extract(archive, members, scratch / "folder", total, progress)
                _publish(scratch / "folder", target)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _DAMAGED_CODES:
            raise
        raise InputError(f"{path} is not a whole zip file ({error}); fetch it again") from error
    return target


def _checksum(members: list[zipfile.ZipInfo]) -> int:
    table = "\n".join(f"{member.filename} {member.file_size} {member.CRC}" for member in members)
    return zlib.crc32(table.encode("utf-8", "replace"))


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    has_drive = ":" in name.parts[0] if name.parts else True
    if name.is_absolute() or ".." in name.parts or has_drive:
        raise InputError(
            f"{path} holds {member.filename!r}, which would be written outside its folder; not "
            "unpacked, fetch the file from a source you trust"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{path} holds a symbolic link, {member.filename!r}; not unpacked")
    if member.flag_bits & 0x1:
        raise InputError(f"{path} is encrypted; unpack it by hand and give the folder")


def _extract(
    archive: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    folder: Path,
    total: int,
    progress: Progress,
) -> None:
    folder.mkdir()
    done = 0
    for member in members:
        place = folder / PurePosixPath(member.filename.replace("\\", "/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as packed, place.open("wb") as plain:
            while block := packed.read(_BLOCK):
                plain.write(block)
                done += len(block)
                progress("unpack", done, total, place.name)


def unpack_gzip(path: Path, cache_dir: Path) -> Path:
    """Unpack a gzip file into a file below `cache_dir`, unless it is there already.

    Returns
    -------
    Path
        The file, named after the gzip file, its size and its checksum.

    Raises
    ------
    InputError
        It is no gzip file, or is damaged or cut off.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4))
        end = file.read(4)
    if not is_gzip or size < 18:
        raise InputError(f"{path} is not a gzip file; fetch it again, or drop the .gz")
    (plain_size,) = struct.unpack("<I", end)
    # Not the checksum at its end: of several members that is the last one's alone.
    target = cache_dir / f"{path.stem}-{size:x}-{crc32(path):08x}"
    if target.exists():
        return target
    try:
        with _scratch(cache_dir, plain_size, path) as scratch, gzip.open(path) as packed:
            with (scratch / "file").open("wb") as plain:
                shutil.copyfileobj(packed, plain, _BLOCK)
            _publish(scratch / "file", target)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is not a whole gzip file ({error}); fetch it again") from error
    return target


@contextmanager
def _scratch(cache_dir: Path, needed: int, path: Path) -> Iterator[Path]:
    """Give a folder to work in, with `needed` bytes free, that is gone afterwards."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise RefusedError(
            f"{path} needs {needed / 1e9:.2f} GB unpacked, {cache_dir} has {free / 1e9:.2f} GB "
            "free; free some, or unpack it elsewhere and give the folder"
        )
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=cache_dir) as scratch:
        yield Path(scratch)


def _publish(scratch: Path, target: Path) -> None:
    """Rename into place; if another process was faster, its copy is as good."""
    try:
        scratch.rename(target)
    except OSError:
        if not target.exists():
            raise
