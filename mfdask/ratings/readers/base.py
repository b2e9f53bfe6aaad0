"""What every reader of a form of file is and returns."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

from mfdask.ratings.kinds import Kinds
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import Types


class OpenedFile(Protocol):
    """A file whose columns are known, and no row of which is read yet."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def kinds(self) -> Kinds:
        """Role to kind, as its start shows them; roles that it lacks are not there."""

    def described(self) -> str:
        """Say how it is read, for people."""

    @property
    def has_rows(self) -> bool:
        """Whether there is anything but a header."""

    def parts(self, types: Types, part_bytes: int) -> list[Part]:
        """Cut the file into parts to be read as `types`, of about `part_bytes` if it can."""


@dataclass(frozen=True)
class LineRange(ABC):
    """Reads the bytes of a file from `begin` to before `end`: the `read` of a `Part`."""

    file: SourceFile
    begin: int
    end: int
    types: Types

    @abstractmethod
    def __call__(self) -> Parsed:
        """Read, check and type the rows.

        Raises
        ------
        InputError
            The file is gone, or shorter than it was when it was opened.
        """

    def load(self) -> tuple[memoryview, str]:
        """Return the bytes, which may be written to, and their SHA-256."""
        data = self.file.read_range(self.begin, self.end)
        return data, hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class LineFile(ABC):
    """A file that can be cut between its lines: what all forms of text share of an `OpenedFile`.

    Attributes
    ----------
    file : SourceFile
    kinds : mapping
        Role to kind, as sniffed from the file's start.
    has_rows : bool
        Whether anything follows the header.
    """

    #: What a row takes about, in bytes.
    row_bytes: ClassVar[int]

    file: SourceFile
    kinds: Kinds
    has_rows: bool

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.file.label

    @property
    def first_line(self) -> int:
        """The number of the first line that parts hold."""
        return 1

    @abstractmethod
    def cuts(self, part_bytes: int) -> list[int]:
        """Return the bytes at which parts of about `part_bytes` begin, and the last one's end."""

    @abstractmethod
    def reads(self, begin: int, end: int, types: Types) -> LineRange:
        """Return what reads the bytes from `begin` to before `end` as `types`."""

    def parts(self, types: Types, part_bytes: int) -> list[Part]:
        """Cut the file into parts to be read as `types`."""
        return [
            Part(
                self.label,
                self.reads(begin, end, types),
                first_row=self.first_line,
                n_rows=max(1, (end - begin) // self.row_bytes),
            )
            for begin, end in pairwise(self.cuts(part_bytes))
        ]


@dataclass(frozen=True)
class Reader:
    """A form of file: how it is told from others, and how it is opened.

    Attributes
    ----------
    suffixes : tuple of str
        Ends of names, in small letters.
    matches : callable
        Tells the form by a file's first 64 KiB.
    open : callable
        Finds out the columns of a file. Raises `InputError` if it is damaged or holds no ratings.
    is_queried : bool
        Whether a query says what is read of a file.
    """

    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    open: Callable[[SourceFile, ReadOptions], OpenedFile]
    is_queried: bool = False

    def recognises(self, name: str, head: bytes) -> bool:
        """Tell whether a file of a name and a start is of this form."""
        return name.endswith(self.suffixes) or self.matches(head)
