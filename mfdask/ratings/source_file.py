"""A file of a source: where it lies, and what people call it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote

import numpy as np

from mfdask.errors import InputError

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_HEAD = 2**16  # bytes in which a reader recognises its form


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes
    ----------
    path : Path
        Absolute.
    label : str
        Its name for people.
    name : str
        The last part of its path, in small letters; the form of file may be told by its end.
    constants : mapping
        Columns that its folders tell, such as ``user=7/``: name to the text of all rows.
    """

    path: Path
    label: str
    name: str
    constants: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> BinaryIO:
        """Open it for reading, at its first byte."""
        return cast("BinaryIO", self.path.open("rb"))

    def size(self) -> int:
        """Return its size in bytes.

        Raises
        ------
        InputError
            There is no such file.
        """
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            raise InputError(f"{self.path} does not exist; check the spelling") from None

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
        SourceFile(path.resolve(), label, path.name.casefold(), _told(path))
        for path, label in zip(paths, labels, strict=True)
    ]


def _told(path: Path) -> dict[str, str]:
    """Return the columns that the folders of a path tell: ``user=7/day=2020-01-01/``."""
    pairs = [part.partition("=") for part in path.parts[:-1]]
    return {unquote(name): _value(text) for name, sign, text in pairs if sign and name}


def _value(text: str) -> str:
    return "" if text == _NO_VALUE else unquote(text)


def printable(name: str) -> str:
    """Return the name of a file as text, with escapes for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
