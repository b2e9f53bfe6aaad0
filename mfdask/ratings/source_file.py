"""A file of a source: where it lies, and what people call it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from mfdask.errors import InputError
from mfdask.files import atomic_file, reading_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_HEAD = 2**16  # bytes in which a reader recognises its form


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes
    ----------
    path : Path or str
        Absolute, or as `system` knows it.
    label : str
        Its name for people.
    name : str
        The last part of its path, in small letters; the form of file may be told by its end.
    constants : mapping
        Columns that its folders tell, such as ``user=7/``: name to the text of all rows.
    system : fsspec.AbstractFileSystem, optional
        Where it lies, if not on this machine.
    """

    path: Path | str
    label: str
    name: str
    constants: Mapping[str, str] = field(default_factory=dict)
    system: AbstractFileSystem | None = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it for reading, at its first byte.

        Raises
        ------
        InputError
            Its file system fails, here or while it is open.
        """
        if self.system is None:
            with Path(self.path).open("rb") as file:
                yield file
            return
        failed: Exception | None = None
        with reading_url(self.label, "check the URL"), self.system.open(self.path, "rb") as file:
            try:
                yield cast("BinaryIO", file)
            except (pa.ArrowException, ValueError) as error:  # of what was read, not of reading
                failed = error
        if failed is not None:
            raise failed

    def size(self) -> int:
        """Return its size in bytes.

        Raises
        ------
        InputError
            There is no such file, or nobody knows its size.
        """
        if self.system is None:
            try:
                return Path(self.path).stat().st_size
            except FileNotFoundError:
                raise InputError(f"{self.path} does not exist; check the spelling") from None
        with reading_url(self.label, "check the URL"):
            size = self.system.size(self.path)
        if size is None:
            raise InputError(f"{self.label}: the server does not tell its size; download it first")
        return int(size)

    def local(self, cache_dir: Path) -> Path:
        """Return the file on this machine: itself, or a copy that is made once.

        A copy lies in a folder named by what the file system tells of the file, so that another
        version of it is fetched anew.
        """
        if self.system is None:
            return Path(self.path)
        with reading_url(self.label, "check the URL"):
            version = self.system.ukey(self.path)
            name = hashlib.sha256(
                f"{str(self.path).partition('?')[0]} {version}".encode()
            ).hexdigest()
            target = cache_dir / f"url-{name[:16]}" / self.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(target) as fresh:
                    self.system.get_file(self.path, str(fresh))
        return target

    def head(self) -> bytes:
        """Return its first 64 KiB."""
        with self.open() as file:
            return file.read(_HEAD)

    def read_range(self, begin: int, end: int) -> memoryview:
        """Return the bytes from `begin` to before `end`; they may be written to.

        Raises
        ------
        InputError
            The file is gone, or shorter than it was when it was opened.
        """
        # NumPy asks for huge pages: reading into a bytes object takes three times as long.
        data = np.empty(end - begin, np.uint8).data
        try:
            with self.open() as file:
                file.seek(begin)
                n_read = cast("BufferedReader", file).readinto(data)
        except FileNotFoundError:
            n_read = 0
        if n_read < len(data):
            raise InputError(f"{self.label} became shorter while it was read; start again")
        return data


def source_files(paths: Sequence[Path]) -> list[SourceFile]:
    """Give files labels that tell them apart: their names, with folders if some are alike."""
    labels = [printable(path.name) for path in paths]
    if len(set(labels)) < len(labels):
        shared = os.path.commonpath(paths)
        labels = [printable(str(path.relative_to(shared))) for path in paths]
    return [
        SourceFile(path.resolve(), label, path.name.casefold(), told_by_folders(path))
        for path, label in zip(paths, labels, strict=True)
    ]


def told_by_folders(path: PurePath) -> dict[str, str]:
    """Return the columns that the folders of a path tell: ``user=7/day=2020-01-01/``."""
    pairs = [part.partition("=") for part in path.parts[:-1]]
    return {unquote(name): _value(text) for name, sign, text in pairs if sign and name}


def _value(text: str) -> str:
    return "" if text == _NO_VALUE else unquote(text)


def printable(name: str) -> str:
    """Return the name of a file as text, with escapes for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
