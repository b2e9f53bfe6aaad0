"""Read ratings from text files, with fields between commas, tabs, semicolons, bars or ``::``.

A row is a line, so that a file can be cut at any line end and a bad row be named by its line. Where
the start of a file shows line breaks within quotes, it is cut between records instead, its breaks
are read as spaces, and a bad row is named by the number of its record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from mfdask.errors import InputError
from mfdask.ratings.cleaning import Row, UncleanError, clean
from mfdask.ratings.kinds import Kind, Kinds, sniff_kind
from mfdask.ratings.layout import (
    BOM,
    DECIMALS,
    SAMPLE_BYTES,
    TextLayout,
    plain_text,
    sniff_layout,
    split_line,
)
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import LineFile, LineRange, Reader
from mfdask.ratings.records import (
    LEADING_ZERO,
    count_lines,
    join_lines,
    line_cuts,
    lines_with_zeros,
    record_cuts,
)
from mfdask.ratings.source import Parsed
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import (
    ROLES,
    STRING,
    WHOLE,
    Types,
    plain_pattern,
    wanted_ids,
)

_ONE_BYTE = "\x1f"  # stands for ``::`` and the like: Arrow knows only delimiters of one byte
_FAN_OUT = 16  # pieces that a piece with a bad row is cut into


@dataclass(frozen=True)
class TextFile(LineFile):
    """A text file whose layout, how its lines are cut, is known."""

    row_bytes = 28  # 200948,84432,4.5,1112486027 and the end of the line

    layout: TextLayout

    def described(self) -> str:
        """Say how it is read."""
        return self.layout.described()

    def cuts(self, part_bytes: int) -> list[int]:
        """Cut it at line ends, or behind records of several lines."""
        if self.layout.spans_lines:
            cuts = record_cuts(self.file, part_bytes, self.layout.escapes)
        else:
            cuts = line_cuts(self.file, part_bytes)
        return cuts if self.layout.cuts_anywhere else [0, cuts[-1]]

    def reads(self, begin: int, end: int, types: Types) -> TextRange:
        """Return what reads some of its bytes."""
        return TextRange(self.file, begin, end, types, self.layout)


def _open(file: SourceFile, options: ReadOptions) -> TextFile:
    """Find out the layout and the types of a text file from its first 256 KiB."""
    layout, rows, has_rows = sniff_layout(file, options)
    kinds = sniff_kinds(rows, layout, options, file.label)
    exact = ("auto", "int") if options.exact else ("auto",)
    kept = {role for role in ("user", "item") if wanted_ids(options.ids, role) in exact}
    # Texts of ratings that have a form have its decimal sign, too.
    decimal = layout.decimal if pa.float64() in map(kinds.get, DECIMALS) else "."
    layout = replace(layout, keeps_zeros=frozenset(kept), decimal=decimal)
    return TextFile(file, kinds, has_rows, layout)


def sniff_kinds(
    rows: list[list[str]], layout: TextLayout, options: ReadOptions, label: str
) -> Kinds:
    """Choose how the columns are read, from a sample of rows as fields."""
    rows = [[*row, *layout.constants] for row in rows if len(row) == layout.n_fields]
    kinds: dict[str, Kind] = {}
    for role in (role for role in ROLES if role in layout.places):
        texts = [row[layout.places[role]].strip() for row in rows]
        kinds[role] = sniff_kind(role, texts, options, label, layout.decimal)
    return kinds


@dataclass(frozen=True)
class TextRange(LineRange):
    """Reads one byte range of a text file."""

    layout: TextLayout

    def __call__(self) -> Parsed:
        """Read, check and type the range's rows."""
        data, digest = self.load()
        data = plain_text(data, self.layout, self.file.label)
        header_lines = 0
        if self.begin == 0:
            header_lines = self.layout.header_lines
            data = data[_first_lines(bytes(data[:SAMPLE_BYTES]), header_lines) :]
        if self.layout.spans_lines:
            join_lines(data)
        self._check_zeros(data)
        lines = TextLines(data, self.layout)
        ratings, rejected = clean(lines, self.types, self.file.label, first=header_lines)
        n_read = len(ratings) + len(rejected)
        return Parsed(ratings, rejected, n_read, header_lines + lines.n_lines, digest)

    def _check_zeros(self, data: memoryview) -> None:
        """Refuse ids that would lose their zeros: 0100 is not 100, wherever it stands."""
        layout = self.layout
        roles = {layout.places[r]: r for r in layout.keeps_zeros if self.types[r] == WHOLE}
        if not roles:
            return
        for line in lines_with_zeros(data, layout.delimiter, list(roles)):
            fields = split_line(line, layout)
            if len(fields) != layout.n_fields:
                continue
            for place, role in roles.items():
                if LEADING_ZERO.match(fields[place]):
                    raise InputError(
                        f"{self.file.label}: the {role} id {fields[place]!r} would lose its zeros, "
                        "as the ids at its start are whole numbers; `ids` string keeps them"
                    )


def _first_lines(data: bytes, n_lines: int) -> int:
    """Return how many bytes the first lines take, with the mark that some editors put first."""
    place = len(BOM) if data.startswith(BOM) else 0
    for _ in range(n_lines):
        place = data.find(b"\n", place) + 1 or len(data)
    return place


class TextLines:
    """The lines of a byte string, as a `cleaning.Piece`."""

    def __init__(self, data: bytes | memoryview, layout: TextLayout) -> None:
        self.data = data
        self.layout = layout
        self.n_lines = count_lines(data)

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read all lines with Arrow. Raises where a line is bad, or blank, or counted wrongly."""
        if not self.data:
            return {}
        layout = self.layout
        data, delimiter = self.data, layout.delimiter
        if len(delimiter.encode()) > 1:
            data = bytes(data).replace(delimiter.encode(), _ONE_BYTE.encode())
            delimiter = _ONE_BYTE
        names = [str(place) for place in range(layout.n_fields)]
        held = [role for role in types if layout.places[role] < layout.n_fields]
        wanted = [names[layout.places[role]] for role in held]
        table = pacsv.read_csv(
            pa.BufferReader(data),
            # One block, one thread: Dask runs parts side by side, and one chunk needs no copy.
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=min(len(data), 2**30), column_names=names
            ),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, quote_char=layout.quote),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted,
                column_types={names[layout.places[role]]: types[role] for role in held},
                null_values=[""],
                decimal_point=layout.decimal,
                strings_can_be_null=True,
            ),
        )
        if table.num_rows != self.n_lines:
            raise UncleanError("blank lines, or a line break within quotes")
        columns = {role: _one_chunk(table[name]) for role, name in zip(held, wanted, strict=True)}
        for role in types.keys() - columns.keys():
            text = pa.scalar(layout.constant(role), STRING)
            columns[role] = pa.repeat(text, table.num_rows).cast(types[role])
        return columns

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
        numbers = [role for role in DECIMALS if types.get(role) == pa.float64()]
        decimals = [self.layout.places[r] for r in numbers] if self.layout.decimal == "," else []
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
                fields = [*fields, *self.layout.constants]
                for place in decimals:
                    fields[place] = fields[place].replace(",", ".", 1)
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
        if layout.places[role] >= layout.n_fields and pattern is not None:
            pattern = pattern if re.fullmatch(pattern, layout.constant(role)) else None
        if pattern is None:
            return lambda line: False
        if layout.places[role] < layout.n_fields:
            fields[layout.places[role]] = pattern
    return re.compile(
        (re.escape(layout.delimiter).join(fields) + "\r?").encode("latin-1")
    ).fullmatch


def _wrong_count(found: int, expected: int) -> str:
    if found < expected:
        return f"cut-off line: {found} fields, {expected} expected"
    return f"too many fields: {found}, {expected} expected"


TEXT = Reader((".csv", ".tsv", ".txt", ".dat", ".data", ".tab", ".inter"), lambda head: True, _open)
