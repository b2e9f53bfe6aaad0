"""Read ratings in blocks, as Netflix published them: ``7:`` and the ratings of item 7 below it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mfdask.errors import InputError
from mfdask.ratings.cleaning import clean
from mfdask.ratings.kinds import Kinds
from mfdask.ratings.layout import TextLayout
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import Reader
from mfdask.ratings.readers.text import TextLines, sniff_kinds
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import Types

_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*[0-9]+:[ \t]*\r?\n[^,:\r\n]+,[^,:\r\n]+,[^,:\r\n]+\r?\n")
_HEAD = re.compile(rb"^([0-9]+):[ \t]*\r?$", re.MULTILINE)
_SAMPLE_BYTES = 2**18
_PROBE_BYTES = 2**20
_ROW_BYTES = 20
#: Of a line with its item put in front: ``7,1488844,3,2005-09-06``.
_LAYOUT = TextLayout(",", 4, {"user": 1, "item": 0, "rating": 2, "timestamp": 3}, 0)
_COLUMNS = ("item", "user", "rating", "timestamp")


@dataclass(frozen=True)
class NetflixFile:
    """A file of blocks, as a `base.OpenedFile`."""

    file: SourceFile
    layout: TextLayout
    kinds: Kinds
    has_rows: bool

    def described(self) -> str:
        """Say how it is read."""
        return "blocks of ratings, one for each item"

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.file.label

    def parts(self, types: Types, part_bytes: int) -> list[Part]:
        """Cut the file in front of blocks."""
        return [
            Part(
                self.label,
                BlockRange(self.file, begin, end, self.layout, types),
                n_rows=(end - begin) // _ROW_BYTES,
            )
            for begin, end in pairwise(_cuts(self.file, part_bytes))
        ]


def _open(file: SourceFile, options: ReadOptions) -> NetflixFile:
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
    return NetflixFile(file, layout, kinds, bool(rows))


def _cuts(file: SourceFile, part_bytes: int) -> list[int]:
    """Return where parts begin, each in front of a block, and the end of the file."""
    size = file.size()
    cuts = [0]
    with file.open() as opened:
        while cuts[-1] + part_bytes < size:
            cuts.append(_next_block(opened, cuts[-1] + part_bytes, size))
    return cuts if cuts[-1] == size else [*cuts, size]


def _next_block(opened: object, place: int, size: int) -> int:
    """Return the place of the first block that begins behind `place`."""
    held = b""
    opened.seek(place)  # type: ignore[attr-defined]
    while block := opened.read(_PROBE_BYTES):  # type: ignore[attr-defined]
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
    lines, before = [data[: heads[0].start()] if heads else data], []
    n_before = lines[0].count(b"\n")
    for head, following in pairwise([*heads, None]):
        end = len(data) if following is None else following.start()
        body = data[head.end() + 1 : end].removesuffix(b"\n")  # type: ignore[union-attr]
        before.append(n_before)
        if body:
            prefix = head.group(1) + b","  # type: ignore[union-attr]
            lines.append(prefix + body.replace(b"\n", b"\n" + prefix) + b"\n")
            n_before += body.count(b"\n") + 1
    return b"".join(lines), before


@dataclass(frozen=True)
class BlockRange:
    """Reads some blocks of a file: the `read` of a `Part`."""

    file: SourceFile
    begin: int
    end: int
    layout: TextLayout
    types: Types

    def __call__(self) -> Parsed:
        """Read, check and type the rows; they are numbered by their lines."""
        data = bytes(self.file.read_range(self.begin, self.end))
        digest = hashlib.sha256(data).hexdigest()
        body, before = _with_items(data.removeprefix(b"\xef\xbb\xbf"))
        lines = TextLines(body, self.layout)
        ratings, rejected = clean(lines, self.types, self.file.label)
        if len(rejected):
            heads = np.searchsorted(before, rejected["row"], side="right")
            rejected["row"] += heads
            ratings.index += np.searchsorted(before, ratings.index, side="right")
        n_read = len(ratings) + len(rejected)
        return Parsed(ratings, rejected, n_read, lines.n_lines + len(before), digest)


NETFLIX = Reader((), lambda head: _START.match(head) is not None, _open)
