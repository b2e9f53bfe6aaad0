"""Read ratings in blocks, as Netflix published them: ``7:`` and the ratings of item 7 below it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from mfdask.errors import InputError
from mfdask.ratings.cleaning import clean
from mfdask.ratings.layout import TextLayout
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import LineFile, LineRange, Reader
from mfdask.ratings.readers.text import TextLines, sniff_kinds
from mfdask.ratings.source import Parsed
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import Types

_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*[0-9]+:[ \t]*\r?\n[^,:\r\n]+,[^,:\r\n]+,[^,:\r\n]+\r?\n")
_HEAD = re.compile(rb"^([0-9]+):[ \t]*\r?$", re.MULTILINE)
_SAMPLE_BYTES = 2**18
_PROBE_BYTES = 2**20
#: Of a line with its item put in front: ``7,1488844,3,2005-09-06``.
_LAYOUT = TextLayout(",", 4, {"user": 1, "item": 0, "rating": 2, "timestamp": 3}, 0)
_COLUMNS = ("item", "user", "rating", "timestamp")


@dataclass(frozen=True)
class BlockFile(LineFile):
    """A file of blocks whose columns are known."""

    row_bytes = 20

    layout: TextLayout

    def described(self) -> str:
        """Say how it is read."""
        return "blocks of ratings, one for each item"

    def cuts(self, part_bytes: int) -> list[int]:
        """Cut it in front of blocks."""
        size = self.file.size()
        cuts = [0]
        with self.file.open() as opened:
            while cuts[-1] + part_bytes < size:
                cuts.append(_next_block(opened, cuts[-1] + part_bytes, size))
        return cuts if cuts[-1] == size else [*cuts, size]

    def reads(self, begin: int, end: int, types: Types) -> BlockRange:
        """Return what reads some of its bytes."""
        return BlockRange(self.file, begin, end, types, self.layout)


def _open(file: SourceFile, options: ReadOptions) -> BlockFile:
    given = {} if options.columns is None else dict(options.columns)
    left_out = {role for role, name in given.items() if not name}
    if any(name and name != role for role, name in given.items()):
        raise InputError(
            f"{file.label} has blocks of items, as Netflix wrote them; leave out `columns`, its "
            "columns are known"
        )
    places = {role: place for role, place in _LAYOUT.places.items() if role not in left_out}
    layout = replace(_LAYOUT, places=places)
    with file.open() as opened:
        data = opened.read(_SAMPLE_BYTES)
    lines, _ = _with_items(data[: data.rfind(b"\n") + 1])
    rows = [line.split(",") for line in lines.decode("utf-8", "replace").splitlines()]
    kinds = sniff_kinds(rows, layout, options, file.label)
    return BlockFile(file, kinds, bool(rows), layout)


def _next_block(opened: BinaryIO, place: int, size: int) -> int:
    """Return the place of the first block that begins behind `place`."""
    held = b""
    opened.seek(place)
    while block := opened.read(_PROBE_BYTES):
        held += block
        found = re.search(rb"\n[0-9]+:[ \t]*\r?\n", held)
        if found:
            return place + found.start() + 1
        kept = held.rfind(b"\n")
        place, held = place + max(kept, 0), held[max(kept, 0) :]
    return size


def _with_items(data: bytes) -> tuple[bytes, list[int]]:
    """Put its item in front of each line.

    Returns
    -------
    bytes
        The lines without the heads of blocks.
    list of int
        For each head, how many of these lines stand before it.
    """
    data = data.replace(b"\r\n", b"\n")
    heads = list(_HEAD.finditer(data))
    ends = [*(head.start() for head in heads), len(data)]
    lines, before = [data[: ends[0]]], []
    n_before = lines[0].count(b"\n")
    for head, end in zip(heads, ends[1:], strict=True):
        body = data[head.end() + 1 : end].removesuffix(b"\n")
        before.append(n_before)
        if body:
            prefix = head.group(1) + b","
            lines.append(prefix + body.replace(b"\n", b"\n" + prefix) + b"\n")
            n_before += body.count(b"\n") + 1
    return b"".join(lines), before


@dataclass(frozen=True)
class BlockRange(LineRange):
    """Reads some blocks of a file."""

    layout: TextLayout

    def __call__(self) -> Parsed:
        """Read, check and type the rows; they are numbered by their lines."""
        data, digest = self.load()
        body, before = _with_items(bytes(data).removeprefix(b"\xef\xbb\xbf"))
        lines = TextLines(body, self.layout)
        ratings, rejected = clean(lines, self.types, self.file.label)
        if len(rejected):
            heads = np.searchsorted(before, rejected["row"], side="right")
            rejected["row"] += heads
            ratings.index += np.searchsorted(before, ratings.index, side="right")
        n_read = len(ratings) + len(rejected)
        return Parsed(ratings, rejected, n_read, lines.n_lines + len(before), digest)


BLOCKS = Reader((), lambda head: _START.match(head) is not None, _open)
