"""Read ratings from sparse matrices in Matrix Market's form.

Rows are users and columns are items, and their ids are their numbers, from 1. The columns are
called user, item and rating; a pattern has no ratings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.cleaning import clean
from mfdask.ratings.layout import TextLayout
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import LineFile, LineRange, Reader
from mfdask.ratings.readers.text import TextLines, sniff_kinds
from mfdask.ratings.records import line_cuts
from mfdask.ratings.source import Parsed
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import Types

_MAGIC = b"%%MatrixMarket"
_COLUMNS = {"user": "user", "item": "item"}
_BLANKS = re.compile(rb"[ \t]+")
_EDGES = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)
_BLOCK = 2**22


@dataclass(frozen=True)
class MarketFile(LineFile):
    """A matrix whose columns are known.

    Attributes
    ----------
    layout : TextLayout
    head_lines : int
        Lines before its entries, and the bytes that they take.
    head_bytes : int
    """

    row_bytes = 14

    layout: TextLayout
    head_lines: int
    head_bytes: int

    def described(self) -> str:
        """Say how it is read."""
        return "a sparse matrix"

    @property
    def first_line(self) -> int:
        """The number of the line behind its head."""
        return self.head_lines + 1

    def cuts(self, part_bytes: int) -> list[int]:
        """Cut it at line ends behind its head."""
        begin = self.head_bytes
        return [begin, *(cut for cut in line_cuts(self.file, part_bytes) if cut > begin)]

    def reads(self, begin: int, end: int, types: Types) -> EntryRange:
        """Return what reads some of its bytes."""
        return EntryRange(self.file, begin, end, types, self.layout)


def _open(file: SourceFile, options: ReadOptions) -> MarketFile:
    head = file.head()
    lines = head.split(b"\n")
    place = next((n for n, line in enumerate(lines) if line[:1] != b"%" and line.strip()), 0)
    kind = lines[0].decode("latin-1").casefold().split()
    sizes = lines[place].split()
    if kind[1:3] != ["matrix", "coordinate"] or kind[4:] != ["general"]:
        raise InputError(
            f"{file.label} is no general sparse matrix, of users by items: its head is "
            f"{' '.join(kind)[:80]!r}; write it as coordinate real general"
        )
    if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise InputError(f"{file.label}: no line with its three sizes; fetch it again")
    begin = sum(len(line) + 1 for line in lines[: place + 1])
    _check_length(file, begin, int(sizes[2]))
    layout = _layout(kind[3] == "pattern", options, file.label)
    rows = [_separated(line).decode("utf-8", "replace").split() for line in lines[place + 1 : -1]]
    kinds = sniff_kinds(rows, layout, options, file.label)
    return MarketFile(file, kinds, sizes[2] != b"0", layout, place + 1, begin)


def _layout(is_pattern: bool, options: ReadOptions, label: str) -> TextLayout:
    header = ["user", "item"] if is_pattern else ["user", "item", "rating"]
    given = {**_COLUMNS, **(options.columns or {})}
    places = column_choice.by_name(header, given, label)
    return TextLayout(" ", len(header), places, 0)


def _check_length(file: SourceFile, begin: int, n_entries: int) -> None:
    """Refuse a file that has fewer entries than its head says: it is cut off."""
    found = 0
    with file.open() as opened:
        opened.seek(begin)
        while block := opened.read(_BLOCK):
            found += block.count(b"\n")
            last = block[-1:]
    found += int(file.size() > begin and last != b"\n")
    if found < n_entries:
        raise InputError(
            f"{file.label}: is to have {n_entries:,} entries and has {found:,} lines of them; "
            "fetch it again"
        )


def _separated(data: bytes) -> bytes:
    """Leave one blank between fields, and none around them."""
    return _EDGES.sub(b"", _BLANKS.sub(b" ", data))


@dataclass(frozen=True)
class EntryRange(LineRange):
    """Reads some entries of a matrix."""

    layout: TextLayout

    def __call__(self) -> Parsed:
        """Read, check and type the entries."""
        data, digest = self.load()
        lines = TextLines(_separated(bytes(data)), self.layout)
        ratings, rejected = clean(lines, self.types, self.file.label)
        return Parsed(ratings, rejected, len(ratings) + len(rejected), lines.n_lines, digest)


MATRIX_MARKET = Reader((".mtx",), lambda head: head.startswith(_MAGIC), _open)
