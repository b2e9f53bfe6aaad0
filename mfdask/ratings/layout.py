"""How a text file is cut into lines and fields, as its first 256 KiB show."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.columns import are_positions
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.records import join_records
from mfdask.ratings.source_file import SourceFile

SAMPLE_BYTES = 2**18
#: The roles whose numbers may have a decimal comma.
DECIMALS = ("rating", "weight")
BOM = b"\xef\xbb\xbf"
DOUBLE_COLON = "::"
_DECLARED = re.compile("sep=(.|\\t)", re.IGNORECASE)  # the first line that Excel writes
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
ESCAPED = ('\\"', '""')  # a quote within quotes as some write it, and as CSV has it
_LINES_SPLIT = 200  # to tell the delimiter
_NUMBER = re.compile(r"\s*[+-]?[0-9]+([.,][0-9]+)?\s*")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+(,[0-9]+)+")


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
    encoding: str = "utf-8"
    comment: str = ""  # what lines begin with that are no rows
    blanks: bool = False  # any number of blanks and tabs is one delimiter, written as a tab
    names: tuple[str, ...] = ()  # of the fields and constants
    escapes: bool = False  # a quote within quotes is written \", and not twice

    def constant(self, role: str) -> str:
        """Return the text that a role has in all lines."""
        return self.constants[self.places[role] - self.n_fields]

    @property
    def quote(self) -> str | bool:
        """The quote character, or False: ``::`` files use none, and titles may hold any."""
        return False if len(self.delimiter) > 1 else '"'

    @property
    def cuts_anywhere(self) -> bool:
        """Whether a line break is one byte, and so a place to cut the file at."""
        return not self.encoding.casefold().replace("_", "-").startswith(("utf-16", "utf-32"))

    def described(self) -> str:
        """Say how lines are read, for people."""
        sign = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}.get(self.delimiter)
        names = dict(enumerate(self.names))
        places = (f"{role} {names.get(place, place)}" for role, place in self.places.items())
        notes = [
            *(["decimal comma"] if self.decimal == "," else []),
            *([self.encoding] if self.encoding != "utf-8" else []),
            *(['\\" for a quote within quotes'] if self.escapes else []),
            *(["line breaks within quotes"] if self.spans_lines else []),
        ]
        between = "blanks" if self.blanks else sign or repr(self.delimiter)
        return "; ".join([f"text, {between} between fields", ", ".join(places), *notes])


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


def sniff_layout(source: SourceFile, options: ReadOptions) -> Sniffed:
    """Find out the layout of a text file.

    Raises
    ------
    InputError
        The file is empty, is no text, or its columns cannot be told apart.
    """
    columns, said = options.columns, options.dialect
    lines, whole, encoding = _sample(source, said.encoding)
    sample = TopLines(lines, said.comment, columns is None or not are_positions(columns))
    if not sample.has_lines:
        raise InputError(f"{source.label} is empty; nothing to read")
    delimiter = said.sign or sample.declared or _delimiter(sample.filled, source.label)
    first, head = sample.head(delimiter)
    if sample.has_header and _lacks_name(first, sample.rows(head), delimiter):
        first = f"row{delimiter}{first}"
    layout = _placed(first, delimiter, columns, source)
    layout = replace(layout, encoding=encoding, comment=said.comment or "")
    lines = sample.rows(head)
    if _escapes(lines, layout):
        layout, lines = replace(layout, escapes=True), [line.replace(*ESCAPED) for line in lines]
    records = join_records(lines)
    layout = replace(layout, header_lines=head, spans_lines=_spans_lines(records, lines, layout))
    rows = [split_line(row, layout) for row in (records if layout.spans_lines else lines)]
    has_rows = not whole or any(line.strip() for line in lines)
    decimal = said.decimal or _decimal(rows, layout, source.label, said.thousands)
    return Sniffed(replace(layout, decimal=decimal), rows, has_rows)


def _sample(source: SourceFile, said: str | None) -> tuple[list[str], bool, str]:
    """Return the whole lines of the file's start, whether they are all, and their encoding."""
    label = source.label
    with source.open() as file:
        data = file.read(SAMPLE_BYTES)
        whole = not file.read(1)
    encoding = said or ("utf-16" if data.startswith(_WIDE_BOMS) else "utf-8")
    if b"\0" in data and encoding == "utf-8":
        raise InputError(
            f"{label} holds NUL bytes, which no table in UTF-8 has; say its `encoding`, such as "
            "utf-16le, or save it as UTF-8 CSV or Parquet"
        )
    text = data.removeprefix(BOM).decode(encoding, "replace")
    if "\n" not in text and "\r" in text.rstrip("\r"):
        raise InputError(f"{label}: its lines end in CR alone; save it with line ends LF or CR LF")
    if not whole:
        text = text[: text.rfind("\n") + 1]
        if not text:
            raise InputError(f"{label}: its first line is longer than 256 KiB; not a ratings file")
    lines = text.split("\n")
    n_bad = sum("\ufffd" in line for line in lines)
    if said is None and n_bad > 1 + len(lines) // 100:
        raise InputError(
            f"{label}: {n_bad:,} of its first {len(lines):,} lines are not UTF-8 text; say its "
            "`encoding`, such as latin-1 or cp1252"
        )
    return lines, whole, encoding


class Head(NamedTuple):
    """The line that has the names, or the first row, and how many lines come before the rows."""

    line: str
    n_lines: int


class TopLines:
    """The lines of a file's start: remarks, a header perhaps, rows."""

    def __init__(self, lines: list[str], comment: str | None, has_header: bool) -> None:
        self.lines = lines
        self.comment = comment
        self.has_header = has_header
        numbers = [n for n, line in enumerate(lines) if line.strip()]
        self.remarks = [n for n in numbers if lines[n].startswith(comment)] if comment else []
        if not comment:
            self.remarks = list(takewhile(lambda n: lines[n].startswith(("#", "%")), numbers))
        rows = [n for n in numbers if n not in set(self.remarks)]
        if not comment and not rows:  # a header, and nothing else
            self.remarks, rows = [], numbers
        found = _DECLARED.fullmatch(lines[rows[0]].strip()) if len(rows) > 1 else None
        self.declared = found[1] if found else None
        self._numbers = rows[1:] if found else rows

    @property
    def has_lines(self) -> bool:
        """Whether there is any but remarks."""
        return bool(self._numbers)

    @property
    def filled(self) -> list[str]:
        """The lines that hold something, from the header on."""
        return [self.lines[number] for number in self._numbers]

    def head(self, delimiter: str) -> Head:
        """Find the header: the first line, or a remark in front of the first row that names it."""
        first = self._numbers[0]
        if not self.has_header:
            return Head(self.lines[first], first)
        layout = TextLayout(delimiter, 0, {}, 0)
        remark = self.lines[self.remarks[-1]].lstrip("#% ") if self.remarks else ""
        fields = split_line(self.lines[first], layout)
        is_row = any(map(_NUMBER.fullmatch, fields))
        if is_row and remark and len(split_line(remark, layout)) == len(fields):
            return Head(remark, first)
        return Head(self.lines[first], first + 1)

    def rows(self, n_lines: int) -> list[str]:
        """Return the lines behind the header; remarks are blank."""
        remarks = set(self.remarks)
        return [
            "" if number in remarks else line
            for number, line in enumerate(self.lines)
            if number >= n_lines
        ]


def _delimiter(lines: Sequence[str], label: str) -> str:
    """Tell the delimiter: of the usual ones that which cuts most lines alike, into most fields."""
    first = lines[0]
    if "\t" in first and ".tsv" in label.casefold():
        return "\t"
    found = [sign for sign in (",", "\t", ";", "|", DOUBLE_COLON) if sign in first]
    if found:
        return max(found, key=lambda sign: _fit(lines[:_LINES_SPLIT], sign))
    for rows in (lines[:_LINES_SPLIT], lines[1:_LINES_SPLIT]):  # the header may lack a name
        share, n_fields = _fit(rows or [""], " ")
        if share > 0.9 and n_fields > 1:
            return " "
    raise InputError(
        f"{label}: no comma, tab, semicolon, bar or '::' in its first line {first.strip()[:80]!r}; "
        "not a table of ratings, or say its `delimiter`"
    )


def _fit(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """Return the share of lines that have as many fields as the first, and how many that is."""
    layout = TextLayout("\t" if delimiter == " " else delimiter, 0, {}, 0, blanks=delimiter == " ")
    first, *counts = (len(split_line(line, layout)) for line in lines)
    return round(sum(n == first for n in counts) / max(1, len(counts)), 1), first


def _lacks_name(first: str, lines: Sequence[str], delimiter: str) -> bool:
    """Whether rows have one more field than the header: R writes their names, and no head."""
    rows = [line for line in lines if line.strip()][:_LINES_SPLIT]
    found = {_fit([row], delimiter)[1] for row in rows}
    return found == {1 + _fit([first], delimiter)[1]}


def _placed(
    line: str, delimiter: str, columns: Mapping[str, str] | None, source: SourceFile
) -> TextLayout:
    """Return the layout of a file whose first line with fields is given."""
    if delimiter == " ":
        line, delimiter, blanks = "\t".join(line.split()), "\t", True
    else:
        blanks = False
    layout = TextLayout(delimiter, 0, {}, 0, blanks=blanks)
    fields = [field.strip() for field in split_line(line, layout)]
    if columns is not None and are_positions(columns):
        places = column_choice.by_position(len(fields), columns, source.label)
        return replace(layout, n_fields=len(fields), places=places)
    told = {name: text for name, text in source.constants.items() if name not in fields}
    places = column_choice.by_name([*fields, *told], columns, source.label)
    return replace(
        layout,
        n_fields=len(fields),
        places=places,
        constants=tuple(told.values()),
        names=(*fields, *told),
    )


def _escapes(lines: list[str], layout: TextLayout) -> bool:
    r"""Whether lines have as many fields as the first one only if they write quotes as \"."""
    escaped = [line for line in lines if ESCAPED[0] in line] if layout.quote else []
    fields = [(split_line(e, layout), split_line(e.replace(*ESCAPED), layout)) for e in escaped]
    n_fits = [sum(len(own) == layout.n_fields for own in way) for way in zip(*fields, strict=True)]
    return bool(escaped) and n_fits[0] < n_fits[1]


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


def _decimal(rows: list[list[str]], layout: TextLayout, label: str, thousands: str | None) -> str:
    """Tell the decimal sign of numbers: a comma where some have one and none has a point."""
    places = [layout.places[role] for role in DECIMALS if role in layout.places]
    if not places or thousands == ",":
        return "."
    if thousands == ".":
        return ","
    fields = [row for row in rows if len(row) == layout.n_fields]
    held = [place for place in places if place < layout.n_fields]
    texts = [row[place].strip() for row in fields for place in held]
    with_comma = list(filter(_COMMA_NUMBER.fullmatch, texts))
    if not with_comma or any("." in text for text in texts):
        return "."
    if all(map(_THOUSANDS.fullmatch, with_comma)):
        raise InputError(
            f"{label}: its ratings, such as {with_comma[0]!r}, may be thousands or have a decimal "
            "comma; say `thousands` , or `decimal` ,"
        )
    return ","


def split_line(line: str, layout: TextLayout) -> list[str]:
    """Cut one line into its fields."""
    line = line.rstrip("\r\n")
    if layout.blanks:
        line = "\t".join(line.split())
    if layout.quote and '"' in line:
        try:
            return next(csv.reader([line], delimiter=layout.delimiter), [])
        except csv.Error:
            return []
    return line.split(layout.delimiter)


def plain_text(data: memoryview, layout: TextLayout, label: str) -> memoryview:
    """Bring bytes of a file to UTF-8, with blank lines for remarks and tabs for blanks.

    Raises
    ------
    InputError
        They are no text of the encoding.
    """
    if layout.encoding == "utf-8" and not (layout.comment or layout.blanks or layout.escapes):
        return data
    held = bytes(data)
    if layout.encoding != "utf-8":
        try:
            held = held.decode(layout.encoding).encode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{label} is not text of this encoding ({error}); say another `encoding`"
            ) from None
    if layout.escapes:
        held = held.replace(ESCAPED[0].encode(), ESCAPED[1].encode())
    if layout.comment:
        held = re.sub(rb"(?m)^" + re.escape(layout.comment.encode()) + rb"[^\r\n]*", b"", held)
    if layout.blanks:
        held = re.sub(rb"[ \t]+", b"\t", re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", held))
    return memoryview(bytearray(held))
