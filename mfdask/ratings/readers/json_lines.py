"""Read ratings from JSON: an object in each line, or one list of objects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from mfdask.errors import InputError
from mfdask.ratings.cleaning import Row, UncleanError, clean
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import LineFile, LineRange, OpenedFile, Reader
from mfdask.ratings.readers.column_types import table_of_values, written
from mfdask.ratings.readers.table_rows import TableRows
from mfdask.ratings.readers.tabular import (
    TableColumns,
    TableFile,
    open_table,
)
from mfdask.ratings.records import count_lines, line_cuts
from mfdask.ratings.source import Parsed
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.times import time_range
from mfdask.ratings.values import STRING, WHOLE, Types

_SAMPLE_BYTES = 2**18
_FAN_OUT = 16
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{\s*[\"'}]|\[\s*\{)")
_BOM = b"\xef\xbb\xbf"
_AS_LINES = "write a line for each row, as pandas does with to_json(orient='records', lines=True)"
#: What `json` raises for what is no JSON, or is too deep.
_NO_JSON = (ValueError, RecursionError)


def _open(file: SourceFile, options: ReadOptions) -> OpenedFile:
    with file.open() as opened:
        data = opened.read(_SAMPLE_BYTES)
        whole = not opened.read(1)
    text = data.removeprefix(_BOM).decode("utf-8", "replace").lstrip()
    if text.startswith("["):
        return _open_list(file, options)
    lines = [line for line in text.split("\n") if line.strip()]
    rows = [row for row in map(_object, lines if whole else lines[:-1]) if row is not None]
    if not rows:
        why = "its lines are Python's dicts" if text.startswith("{'") else "no line is an object"
        raise InputError(f"{file.label} is not JSON lines: {why}; {_AS_LINES}")
    table = _open_table(file, rows, [], options)
    return JsonFile(file, table.kinds, bool(rows), table.columns, _schema(rows))


def _object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except _NO_JSON:
        return None
    return row if isinstance(row, dict) else None


def _open_list(file: SourceFile, options: ReadOptions) -> TableFile:
    """Open a list of objects, which is read as a whole."""
    rows = _list_rows(file)
    return _open_table(file, rows, [JsonList(file, len(rows))], options)


def _list_rows(file: SourceFile) -> list[dict[str, Any]]:
    try:
        with file.open() as opened:
            rows = json.loads(opened.read())
    except _NO_JSON as error:
        raise InputError(f"{file.label} is not whole JSON ({error}); {_AS_LINES}") from error
    if not rows:
        raise InputError(f"{file.label} is an empty list; nothing to read")
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{file.label}: not all of its list are objects; {_AS_LINES}")
    return rows


def _open_table(
    file: SourceFile, rows: list[dict[str, Any]], chunks: list[JsonList], options: ReadOptions
) -> TableFile:
    schema = _schema(rows)
    return open_table(file, schema, lambda names: _table(rows, names), chunks, options)


def _schema(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Return the columns of some objects, with the types that hold most of their values."""
    values: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, set()).add(type(value))
    return pa.schema([(name, _type(kinds - {type(None)})) for name, kinds in values.items()])


def _type(kinds: set[type]) -> pa.DataType:
    if kinds and kinds <= {list, dict}:
        return pa.list_(pa.null())
    if str in kinds or not kinds - {list, dict}:
        return STRING
    if bool in kinds:
        return pa.bool_()
    return pa.float64() if float in kinds else WHOLE


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pa.Table:
    return table_of_values({name: [row.get(name) for row in rows] for name in names})


@dataclass(frozen=True)
class JsonList:
    """A list of objects, as a `tabular.Chunk`."""

    file: SourceFile
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns of all objects."""
        table = _table(_list_rows(self.file), names)
        return table, hashlib.sha256(self.file.read_range(0, self.file.size())).hexdigest()


@dataclass(frozen=True)
class JsonFile(LineFile):
    """JSON lines whose columns are known."""

    row_bytes = 120

    columns: TableColumns
    schema: pa.Schema

    def described(self) -> str:
        """Say how it is read."""
        return f"JSON, {self.columns.described()}"

    def cuts(self, part_bytes: int) -> list[int]:
        """Cut it at line ends."""
        return line_cuts(self.file, part_bytes)

    def reads(self, begin: int, end: int, types: Types) -> JsonRange:
        """Return what reads some of its bytes."""
        return JsonRange(self.file, begin, end, types, self.columns, self.schema)


@dataclass(frozen=True)
class JsonRange(LineRange):
    """Reads one byte range of JSON lines."""

    columns: TableColumns
    schema: pa.Schema

    def __call__(self) -> Parsed:
        """Read, check and type the range's rows."""
        data, digest = self.load()
        if self.begin == 0 and bytes(data[:3]) == _BOM:
            data = data[3:]
        lines = JsonLines(data, self.columns, self.schema)
        ratings, rejected = clean(lines, self.types, self.file.label)
        return Parsed(ratings, rejected, len(ratings) + len(rejected), lines.n_lines, digest)


class JsonLines:
    """Lines of JSON, as a `cleaning.Piece`."""

    def __init__(self, data: bytes | memoryview, table: TableColumns, schema: pa.Schema) -> None:
        self.data = data
        self.table = table
        self.schema = schema
        self.n_lines = count_lines(data)

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read all lines with Arrow. Raises where one is bad, or blank."""
        if not self.data:
            return {}
        schema = pa.schema([self.schema.field(name) for name in self.table.held])
        table = pajson.read_json(
            pa.BufferReader(self.data),
            read_options=pajson.ReadOptions(use_threads=False, block_size=len(self.data) + 1),
            parse_options=pajson.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
        if table.num_rows != self.n_lines:
            raise UncleanError("blank lines, or several objects in one")
        try:
            return self.table.rows(table, types).columns(types)
        except InputError as error:  # some text is not UTF-8
            raise UncleanError(str(error)) from error

    def split(self) -> list[JsonLines]:
        """Cut at line ends into pieces of about a sixteenth."""
        pieces, begin = [], 0
        data = bytes(self.data)
        step = max(1, len(data) // _FAN_OUT)
        while begin < len(data):
            end = data.find(b"\n", begin + step - 1) + 1 or len(data)
            pieces.append(JsonLines(data[begin:end], self.table, self.schema))
            begin = end
        return pieces

    def sift(self, types: Types) -> tuple[np.ndarray, TableRows, Iterator[Row]]:
        """Part the plain rows, whose values are of the right types, from the odd ones."""
        places: list[int] = []
        plain: list[list[Any]] = []
        odd: list[Row] = []
        are_plain = [_plain_test(role, kind) for role, kind in types.items()]
        for number, line in enumerate(bytes(self.data).removesuffix(b"\n").split(b"\n")):
            if not line.strip():
                continue
            row = self._row(number, line, types)
            if isinstance(row, Row):
                odd.append(row)
            elif all(test(value) for test, value in zip(are_plain, row, strict=True)):
                places.append(number)
                plain.append(row)
            else:
                text = line.decode().rstrip("\r")
                odd.append(
                    Row(number, text, ["" if value is None else written(value) for value in row])
                )
        arrays = {
            role: pa.array([row[place] for row in plain], _plain_type(role, kind))
            for place, (role, kind) in enumerate(types.items())
        }
        return np.array(places, np.int64), TableRows(arrays), iter(odd)

    def _row(self, number: int, line: bytes, types: Types) -> list[Any] | Row:
        """Return the values of a line in the order of the types, or why there are none."""
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError:
            return Row(number, line.decode("utf-8", "backslashreplace"), None, "not UTF-8 text")
        except _NO_JSON:
            row = None
        if not isinstance(row, dict):
            return Row(number, line.decode().rstrip("\r"), None, "not an object of JSON")
        values = []
        for role in types:
            name = self.table.names[role]
            value = self.table.told[name] if name in self.table.told else row.get(name)
            if isinstance(value, list | dict):
                what = f"{role} id" if role in ("user", "item") else role
                return Row(number, line.decode().rstrip("\r"), None, f"{what} is a list or object")
            values.append(value)
        return values


def _plain_type(role: str, kind: pa.DataType) -> pa.DataType:
    """Return the type of values that are plain."""
    if kind == STRING:
        return kind
    return pa.float64() if role in ("rating", "weight") else WHOLE


def _plain_test(role: str, kind: pa.DataType) -> Any:
    """Return a test for values that are surely good."""
    if kind == STRING:
        return lambda value: type(value) is str and value and value.isascii()
    if role == "rating":
        return lambda value: type(value) in (int, float) and abs(value) < 1e30
    if role == "weight":
        return lambda value: type(value) in (int, float) and 1e-30 < value < 1e30
    if role == "timestamp":
        first, last, _ = time_range(kind)
        return lambda value: type(value) is int and first <= value <= last
    return lambda value: type(value) is int and abs(value) < 2**62


JSON = Reader((".jsonl", ".ndjson", ".json"), lambda head: _START.match(head) is not None, _open)
