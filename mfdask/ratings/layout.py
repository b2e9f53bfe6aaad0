"""How a text file is cut into lines and fields, as its first 256 KiB show."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.records import join_records
from mfdask.ratings.source_file import SourceFile

SAMPLE_BYTES = 2**18
BOM = b"\xef\xbb\xbf"
DOUBLE_COLON = "::"
_DECLARED = re.compile("sep=(.|\\t)", re.IGNORECASE)  # the first line that Excel writes
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")


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
    constants: tuple[str, ...] = ()  # fields that folders tell, behind those of each line

    def constant(self, role: str) -> str:
        """Return the text that a role has in all lines."""
        return self.constants[self.places[role] - self.n_fields]

    @property
    def quote(self) -> str | bool:
        """The quote character, or False: ``::`` files use none, and titles may hold any."""
        return False if self.delimiter == DOUBLE_COLON else '"'


class Sniffed(NamedTuple):
    """What the start of a file shows.

    Attributes
    ----------
    layout : TextLayout
    rows : list of list of str
        The fields of its rows.
    has_rows : bool
        Whether anything follows the header.
    """

    layout: TextLayout
    rows: list[list[str]]
    has_rows: bool


def sniff_layout(source: SourceFile, columns: Mapping[str, str] | None) -> Sniffed:
    """Find out the layout of a text file.

    Raises
    ------
    InputError
        The file is empty, is no text, or its columns cannot be told apart.
    """
    label = source.label
    lines, whole = _sample(source)
    head, delimiter = _head(lines, label)
    layout = _placed(lines[head], delimiter, columns, source)
    if columns is None or not column_choice.are_positions(columns):
        head += 1
    lines = lines[head:]
    records = join_records(lines)
    layout = replace(layout, header_lines=head, spans_lines=_spans_lines(records, lines, layout))
    rows = [split_line(row, layout) for row in (records if layout.spans_lines else lines)]
    has_rows = not whole or any(line.strip() for line in lines)
    return Sniffed(replace(layout, decimal=_decimal(rows, layout)), rows, has_rows)


def _sample(source: SourceFile) -> tuple[list[str], bool]:
    """Return the whole lines of the file's start, and whether they are all of the file."""
    label = source.label
    with source.open() as file:
        data = file.read(SAMPLE_BYTES)
        whole = not file.read(1)
    if b"\0" in data:
        raise InputError(f"{label} is not a UTF-8 text file; save it as UTF-8 CSV or Parquet")
    if b"\n" not in data and b"\r" in data.rstrip(b"\r"):
        raise InputError(f"{label}: its lines end in CR alone; save it with line ends LF or CR LF")
    if not whole:
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            raise InputError(f"{label}: its first line is longer than 256 KiB; not a ratings file")
    return data.removeprefix(BOM).decode("utf-8", "replace").split("\n"), whole


def _head(lines: Sequence[str], label: str) -> tuple[int, str]:
    """Return the number of the first line with fields, and what delimits them."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        raise InputError(f"{label} is empty; nothing to read")
    declared = _DECLARED.fullmatch(lines[filled[0]].strip())
    if declared and len(filled) > 1:
        return filled[1], declared.group(1)
    return filled[0], _delimiter(lines[filled[0]], label)


def _delimiter(line: str, label: str) -> str:
    """Tell the delimiter from one line: the commonest of the usual ones; a tab in a .tsv file."""
    if "\t" in line and ".tsv" in label.casefold():
        return "\t"
    best = max(",\t;|", key=line.count)
    if best in line:
        return best
    if DOUBLE_COLON in line:
        return DOUBLE_COLON
    raise InputError(
        f"{label}: no comma, tab, semicolon, bar or '::' in its first line {line.strip()[:80]!r}; "
        "not a table of ratings"
    )


def _placed(
    line: str, delimiter: str, columns: Mapping[str, str] | None, source: SourceFile
) -> TextLayout:
    """Return the layout of a file whose first line with fields is given."""
    layout = TextLayout(delimiter, 0, {}, 0)
    fields = [field.strip() for field in split_line(line, layout)]
    if columns is not None and column_choice.are_positions(columns):
        places = column_choice.by_position(len(fields), columns, source.label)
        return replace(layout, n_fields=len(fields), places=places)
    told = {name: text for name, text in source.constants.items() if name not in fields}
    places = column_choice.by_name([*fields, *told], columns, source.label)
    return replace(layout, n_fields=len(fields), places=places, constants=tuple(told.values()))


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
    texts = [row[place].strip() for row in rows if len(row) == layout.n_fields > place]
    has_comma = any(map(_COMMA_NUMBER.fullmatch, texts))
    return "," if has_comma and not any("." in text for text in texts) else "."


def split_line(line: str, layout: TextLayout) -> list[str]:
    """Cut one line into its fields."""
    line = line.rstrip("\r\n")
    if layout.quote and '"' in line:
        try:
            return next(csv.reader([line], delimiter=layout.delimiter), [])
        except csv.Error:
            return []
    return line.split(layout.delimiter)
