"""Read ratings from text files, with fields between commas, tabs, semicolons, bars or ``::``.

A row is a line, so that a file can be cut at any line end and a bad row be named by its line. Where
the start of a file shows line breaks within quotes, it is cut between records instead, its breaks
are read as spaces, and a bad row is named by the number of its record.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.cleaning import Row, UncleanError, clean
from mfdask.ratings.records import PIECE, join_lines, join_records, leading_zeros, record_cuts
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.values import (
    ROLES,
    WHOLE,
    Ids,
    Types,
    check_times,
    plain_pattern,
    sniff_id,
    sniff_rating,
    sniff_time,
    wanted_ids,
)

PART_BYTES = 32 * 2**20
_SAMPLE_BYTES = 2**18
#: ``200948,84432,4.5,1112486027`` and the end of the line.
_ROW_BYTES = 28
_BOM = b"\xef\xbb\xbf"
_DOUBLE_COLON = "::"
_ONE_BYTE = "\x1f"  # stands for ``::`` when Arrow reads, as it knows only one-byte delimiters
_DECLARED = re.compile("sep=(.|\\t)", re.IGNORECASE)  # the first line that Excel writes
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")
_FAN_OUT = 16  # pieces that a piece with a bad row is cut into


@dataclass(frozen=True)
class TextLayout:
    """How a line is cut into fields: `places` gives the position of each role."""

    delimiter: str
    n_fields: int
    places: Mapping[str, int]
    header_lines: int
    decimal: str = "."
    spans_lines: bool = False  # quoted fields hold line breaks
    keeps_zeros: frozenset[str] = frozenset()  # roles whose ids must not lose leading zeros

    @property
    def quote(self) -> str | bool:
        """The quote character, or False: ``::`` files use none, and titles may hold any."""
        return False if self.delimiter == _DOUBLE_COLON else '"'


@dataclass(frozen=True)
class TextFile:
    """A text file whose layout is known.

    Attributes
    ----------
    path : Path
        The file, absolute.
    label : str
        Its name for people.
    layout : TextLayout
        How its lines are cut.
    types : dict
        Role to type, as sniffed from the file's start.
    has_rows : bool
        Whether anything follows the header.
    """

    path: Path
    label: str
    layout: TextLayout
    types: Types
    has_rows: bool

    def parts(self, types: Types, part_bytes: int = PART_BYTES) -> list[Part]:
        """Cut the file at line ends into parts of about `part_bytes`, to be read as `types`."""
        find_cuts = record_cuts if self.layout.spans_lines else _line_cuts
        cuts = find_cuts(self.path, part_bytes)
        return [
            Part(
                self.label,
                TextRange(self.path, self.label, begin, end, self.layout, types),
                n_rows=(end - begin) // _ROW_BYTES,
            )
            for begin, end in pairwise(cuts)
        ]


def open_text(
    path: Path,
    label: str,
    columns: Mapping[str, str] | None,
    ids: Ids,
    event_values: Mapping[str, float] | None = None,
) -> TextFile:
    """Find out the layout and the types of a text file from its first 256 KiB.

    Raises
    ------
    InputError
        The file is empty, is no text, or its columns cannot be told apart.
    """
    lines, whole = _sample(path, label)
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        raise InputError(f"{label} is empty; nothing to read")
    head = filled[0]
    declared = _DECLARED.fullmatch(lines[head].strip())
    if declared and len(filled) > 1:
        head = filled[1]
    first = lines[head]
    delimiter = declared.group(1) if declared else _delimiter(first, label)
    layout = TextLayout(delimiter, 0, {}, 0)
    fields = [field.strip() for field in split_line(first, layout)]
    if columns is not None and column_choice.are_positions(columns):
        places = column_choice.by_position(len(fields), columns, label)
        header_lines = head if declared else 0
    else:
        places, header_lines = column_choice.by_name(fields, columns, label), head + 1
    layout = TextLayout(delimiter, len(fields), places, header_lines)
    records = join_records(lines[header_lines:])
    layout = replace(layout, spans_lines=_spans_lines(records, lines[header_lines:], layout))
    rows = [
        split_line(r, layout) for r in (records if layout.spans_lines else lines[header_lines:])
    ]
    has_rows = not whole or any(line.strip() for line in lines[header_lines:])
    layout = replace(layout, decimal=_decimal(rows, layout))
    types = _types(rows, layout, ids, event_values, label)
    kept = {role for role in ("user", "item") if wanted_ids(ids, role) == "auto"}
    return TextFile(
        path.resolve(), label, replace(layout, keeps_zeros=frozenset(kept)), types, has_rows
    )


def _spans_lines(records: list[str], lines: list[str], layout: TextLayout) -> bool:
    """Whether lines joined at their quotes are rows at least as well as single lines are."""
    if not layout.quote or not any('"' in line and line.count('"') % 2 for line in lines):
        return False
    closed = sum(line.count('"') % 2 for line in lines) > 1

    def share(rows: list[str]) -> float:
        filled = [row for row in rows if row.strip()]
        fitting = sum(len(split_line(row, layout)) == layout.n_fields for row in filled)
        return fitting / max(1, len(filled))

    return closed and share(records) >= share(lines)


def _decimal(rows: list[list[str]], layout: TextLayout) -> str:
    """Tell the decimal sign of ratings: a comma where some have one and none has a point."""
    place = layout.places.get("rating")
    if place is None or layout.delimiter == ",":
        return "."
    texts = [row[place].strip() for row in rows if len(row) == layout.n_fields]
    has_comma = any(map(_COMMA_NUMBER.fullmatch, texts))
    return "," if has_comma and not any("." in text for text in texts) else "."


def _types(
    rows: list[list[str]],
    layout: TextLayout,
    ids: Ids,
    event_values: Mapping[str, float] | None,
    label: str,
) -> Types:
    rows = [row for row in rows if len(row) == layout.n_fields]
    types: Types = {}
    for role in (role for role in ROLES if role in layout.places):
        texts = [row[layout.places[role]].strip() for row in rows]
        if role == "rating":
            types[role] = sniff_rating(texts, event_values)
        elif role == "timestamp":
            check_times(texts, label)
            types[role] = sniff_time(texts)
        else:
            types[role] = sniff_id(texts, wanted_ids(ids, role))
    return types


def _sample(path: Path, label: str) -> tuple[list[str], bool]:
    """Return the whole lines of the file's start, and whether they are all of the file."""
    with path.open("rb") as file:
        data = file.read(_SAMPLE_BYTES)
        whole = not file.read(1)
    if b"\0" in data:
        raise InputError(f"{label} is not a UTF-8 text file; save it as UTF-8 CSV or Parquet")
    if b"\n" not in data and b"\r" in data.rstrip(b"\r"):
        raise InputError(f"{label}: its lines end in CR alone; save it with line ends LF or CR LF")
    if not whole:
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            raise InputError(f"{label}: its first line is longer than 256 KiB; not a ratings file")
    return data.removeprefix(_BOM).decode("utf-8", "replace").split("\n"), whole


def _delimiter(line: str, label: str) -> str:
    """Tell the delimiter from one line: the commonest of the usual ones; a tab in a .tsv file."""
    if "\t" in line and ".tsv" in label.casefold():
        return "\t"
    best = max(",\t;|", key=line.count)
    if best in line:
        return best
    if _DOUBLE_COLON in line:
        return _DOUBLE_COLON
    raise InputError(
        f"{label}: no comma, tab, semicolon, bar or '::' in its first line {line.strip()[:80]!r}; "
        "not a table of ratings"
    )


def split_line(line: str, layout: TextLayout) -> list[str]:
    """Cut one line into its fields."""
    line = line.rstrip("\r\n")
    if layout.quote and '"' in line:
        try:
            return next(csv.reader([line], delimiter=layout.delimiter), [])
        except csv.Error:
            return []
    return line.split(layout.delimiter)


def _line_cuts(path: Path, part_bytes: int) -> list[int]:
    """Return where parts begin, and the end of the file: each just behind a line break."""
    size = path.stat().st_size
    cuts = [0]
    with path.open("rb") as file:
        while cuts[-1] + part_bytes < size:
            cuts.append(_next_line(file, cuts[-1] + part_bytes - 1, size))
    return cuts if cuts[-1] == size else [*cuts, size]


def _next_line(file: BinaryIO, place: int, size: int) -> int:
    """Return the place behind the first line break at or after `place`."""
    file.seek(place)
    while block := file.read(2**16):
        found = block.find(b"\n")
        if found >= 0:
            return place + found + 1
        place += len(block)
    return size


@dataclass(frozen=True)
class TextRange:
    """Reads one byte range of a text file: the `read` of a `Part`."""

    path: Path
    label: str
    begin: int
    end: int
    layout: TextLayout
    types: Types

    def __call__(self) -> Parsed:
        """Read, check and type the range's rows.

        Raises
        ------
        InputError
            The file is gone, or shorter than it was when it was opened.
        """
        data = self._bytes()
        digest = hashlib.sha256(data).hexdigest()
        header_lines = 0
        if self.begin == 0:
            header_lines = self.layout.header_lines
            data = data[_first_lines(bytes(data[:_SAMPLE_BYTES]), header_lines) :]
        if self.layout.spans_lines:
            join_lines(data)
        self._check_zeros(data)
        lines = TextLines(data, self.layout)
        ratings, rejected = clean(lines, self.types, self.label, first=header_lines)
        n_read = len(ratings) + len(rejected)
        return Parsed(ratings, rejected, n_read, header_lines + lines.n_lines, digest)

    def _check_zeros(self, data: memoryview) -> None:
        """Refuse ids that would lose their zeros: 0100 is not 100, wherever it stands."""
        layout = self.layout
        roles = [role for role in layout.keeps_zeros if self.types[role] == WHOLE]
        if not roles or not len(places := leading_zeros(data, layout.delimiter)):
            return
        text, delimiter = bytes(data), layout.delimiter.encode()
        places_of = {layout.places[role]: role for role in roles}
        for place in places.tolist():
            begin = text.rfind(b"\n", 0, place) + 1
            role = places_of.get(text.count(delimiter, begin, place))
            line = text[begin : text.find(b"\n", place) + 1 or None].decode("utf-8", "replace")
            fields = split_line(line, layout) if role else []
            if role and len(fields) == layout.n_fields:
                raise InputError(
                    f"{self.label}: the {role} id {fields[layout.places[role]]!r} would lose its "
                    "zeros, as the ids at its start are whole numbers; `ids` string keeps them"
                )

    def _bytes(self) -> memoryview:
        # NumPy asks for huge pages: reading into a bytes object takes three times as long.
        data = np.empty(self.end - self.begin, np.uint8).data
        try:
            with self.path.open("rb") as file:
                file.seek(self.begin)
                n_read = file.readinto(data)
        except FileNotFoundError:
            n_read = 0
        if n_read < len(data):
            raise InputError(f"{self.label} became shorter while it was read; start again")
        return data


def _first_lines(data: bytes, n_lines: int) -> int:
    """Return how many bytes the first lines take, with the mark that some editors put first."""
    place = len(_BOM) if data.startswith(_BOM) else 0
    for _ in range(n_lines):
        place = data.find(b"\n", place) + 1 or len(data)
    return place


def _count_breaks(data: bytes | memoryview) -> int:
    """Count line breaks: piece by piece, in cache, is six times as fast as `bytes.count`."""
    values = np.frombuffer(data, np.uint8)
    pieces = (values[begin : begin + PIECE] for begin in range(0, len(values), PIECE))
    return sum(int(np.count_nonzero(piece == ord("\n"))) for piece in pieces)


class TextLines:
    """The lines of a byte string, as a `cleaning.Piece`."""

    def __init__(self, data: bytes | memoryview, layout: TextLayout) -> None:
        self.data = data
        self.layout = layout
        self.n_lines = _count_breaks(data) + (len(data) > 0 and data[-1] != ord("\n"))

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read all lines with Arrow. Raises where a line is bad, or blank, or counted wrongly."""
        if not self.data:
            return {}
        layout = self.layout
        data, delimiter = self.data, layout.delimiter
        if delimiter == _DOUBLE_COLON:
            data, delimiter = bytes(data).replace(b"::", _ONE_BYTE.encode()), _ONE_BYTE
        names = [str(place) for place in range(layout.n_fields)]
        wanted = [names[layout.places[role]] for role in types]
        table = pacsv.read_csv(
            pa.BufferReader(data),
            # One block, one thread: Dask runs parts side by side, and one chunk needs no copy.
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=min(len(data), 2**30), column_names=names
            ),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, quote_char=layout.quote),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted,
                column_types=dict(zip(wanted, types.values(), strict=True)),
                null_values=[""],
                decimal_point=layout.decimal,
                strings_can_be_null=True,
            ),
        )
        if table.num_rows != self.n_lines:
            raise UncleanError("blank lines, or a line break within quotes")
        return {role: _one_chunk(table[name]) for role, name in zip(types, wanted, strict=True)}

    def split(self) -> list[TextLines]:
        """Cut at line ends into pieces of about a sixteenth."""
        pieces, begin = [], 0
        data = bytes(self.data)
        step = max(1, len(data) // _FAN_OUT)
        while begin < len(data):
            end = data.find(b"\n", begin + step - 1) + 1 or len(data)
            pieces.append(TextLines(data[begin:end], self.layout))
            begin = end
        return pieces

    def sift(self, types: Types) -> tuple[np.ndarray, TextLines, Iterator[Row]]:
        """Part the plain lines from the odd ones."""
        is_plain = _plain_line(self.layout, types)
        places: list[int] = []
        plain: list[bytes] = []
        odd: list[tuple[int, bytes]] = []
        for number, line in enumerate(bytes(self.data).removesuffix(b"\n").split(b"\n")):
            if is_plain(line):
                places.append(number)
                plain.append(line)
            else:
                odd.append((number, line))
        found = TextLines(b"\n".join(plain), self.layout)
        return np.array(places, np.int64), found, self._rows(odd, types)

    def _rows(self, lines: list[tuple[int, bytes]], types: Types) -> Iterator[Row]:
        places = [self.layout.places[role] for role in types]
        decimal_place = self.layout.places.get("rating") if self.layout.decimal == "," else None
        for number, line in lines:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                yield Row(number, line.decode("utf-8", "backslashreplace"), None, "not UTF-8 text")
                continue
            text = text.rstrip("\r")
            if not text.strip():
                continue
            fields = split_line(text, self.layout)
            if len(fields) == self.layout.n_fields:
                if self.layout.quote and text.count('"') % 2:
                    yield Row(number, text, None, "a quote is not closed in its line")
                    continue
                if decimal_place is not None:
                    fields[decimal_place] = fields[decimal_place].replace(",", ".", 1)
                yield Row(number, text, [fields[place] for place in places])
            else:
                yield Row(number, text, None, _wrong_count(len(fields), self.layout.n_fields))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    # `combine_chunks` copies even where there is nothing to combine.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _plain_line(layout: TextLayout, types: Types) -> Callable[[bytes], object]:
    """Return a test for lines that are surely good; without quotes and beyond ASCII at least."""
    fields = [rf"[^{re.escape(layout.delimiter[0])}\"\r\x80-\xff]*"] * layout.n_fields
    for role, value_type in types.items():
        pattern = plain_pattern(role, value_type)
        if pattern is None:
            return lambda line: False
        fields[layout.places[role]] = pattern
    return re.compile(
        (re.escape(layout.delimiter).join(fields) + "\r?").encode("latin-1")
    ).fullmatch


def _wrong_count(found: int, expected: int) -> str:
    if found < expected:
        return f"cut-off line: {found} fields, {expected} expected"
    return f"too many fields: {found}, {expected} expected"
