"""Ratings in tables of typed columns: what all readers share whose files are no text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.cleaning import Row, clean
from mfdask.ratings.kinds import Kind, Kinds, sniff_kind
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.times import time_range
from mfdask.ratings.values import STRING, WHOLE, Types, plain_pattern, wanted_ids

SAMPLE_ROWS = 50_000
_FAN_OUT = 16
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Chunk(Protocol):
    """A piece of a file that is read at once."""

    @property
    def n_rows(self) -> int:
        """How many rows it has."""

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Return columns, and a digest of what the piece holds. Raises `InputError`."""


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table are read.

    Attributes
    ----------
    label : str
        What people call the table.
    names : mapping
        Role to column.
    told : mapping
        Of these columns, those that folders tell: name to the text of all rows.
    """

    label: str
    names: Mapping[str, str]
    told: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> str:
        """Say which column is which."""
        return ", ".join(f"{role} {name}" for role, name in self.names.items())

    @property
    def held(self) -> list[str]:
        """The columns that the table itself holds."""
        return [name for name in self.names.values() if name not in self.told]

    def completed(self, table: pa.Table) -> pa.Table:
        """Add what folders tell."""
        for name in self.names.values():
            if name in self.told:
                table = table.append_column(name, pa.repeat(self.told[name], table.num_rows))
        return table

    def rows(self, table: pa.Table, types: Types) -> TableRows:
        """Bring the columns to numbers and text, as `types` want them.

        Raises
        ------
        InputError
            A column holds bytes that are no text.
        """
        table, columns = self.completed(table), {}
        for role, kind in types.items():
            name = self.names[role]
            array = _plain(table[name].combine_chunks(), name, self.label)
            columns[role] = _as_names(array) if kind == STRING else array
        return TableRows(columns)

    def parse(self, table: pa.Table, types: Types, digest: str) -> Parsed:
        """Check and type the rows of a table; `digest` is what the part is known by.

        Raises
        ------
        InputError
            A column holds bytes that are no text.
        """
        ratings, rejected = clean(self.rows(table, types), types, self.label)
        return Parsed(ratings, rejected, table.num_rows, table.num_rows, digest)


@dataclass(frozen=True)
class TableFile:
    """A file of typed columns, as a `base.OpenedFile`."""

    columns: TableColumns
    kinds: Kinds
    chunks: Sequence[Chunk]

    def described(self) -> str:
        """Say how it is read."""
        return self.columns.described()

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.columns.label

    @property
    def has_rows(self) -> bool:
        """Whether there are any."""
        return any(chunk.n_rows for chunk in self.chunks)

    def parts(self, types: Types, part_bytes: int = 0) -> list[Part]:
        """Make a part of each chunk; `part_bytes` is of no use here."""
        return [
            Part(
                self.label,
                TableChunk(chunk, self.columns, types),
                first_row=0,
                n_rows=chunk.n_rows,
            )
            for chunk in self.chunks
        ]


def open_table(
    file: SourceFile,
    schema: pa.Schema,
    sample: Callable[[Sequence[str]], pa.Table],
    chunks: Sequence[Chunk],
    options: ReadOptions,
) -> TableFile:
    """Find the columns of a file and how they are to be read.

    Parameters
    ----------
    file : SourceFile
    schema : Schema
        Of the file, without the columns that its folders tell.
    sample : callable
        Returns the first rows of some columns.
    chunks : sequence of Chunk
    options : ReadOptions

    Raises
    ------
    InputError
        The file lacks a column, or has one of a type that cannot be an id, a rating or a time.
    """
    label = file.label
    told = {name: text for name, text in file.constants.items() if name not in schema.names}
    header = [*schema.names, *told]
    places = column_choice.by_name(header, options.columns, label)
    names = {role: header[place] for role, place in places.items()}
    columns = TableColumns(label, names, told)
    for role, name in names.items():
        if name not in told:
            check_type(schema.field(name).type, name, role, label)
    rows = columns.completed(sample(columns.held))
    kinds = {
        role: sniff(role, rows[name].combine_chunks(), options, name, label, name not in told)
        for role, name in names.items()
    }
    return TableFile(columns, kinds, chunks)


def table_of_values(columns: Mapping[str, list[Any]]) -> pa.Table:
    """Make a table of Python's values; where a column has several types, of their texts."""
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, TypeError, OverflowError):
            texts = [None if value is None else written(value) for value in values]
            arrays[name] = pa.array(texts, STRING)
        if pa.types.is_null(arrays[name].type):
            arrays[name] = arrays[name].cast(STRING)
    return pa.table(arrays)


def written(value: object) -> str:
    """Write a value as cleaning reads it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def table_digest(table: pa.Table) -> str:
    """Return the SHA-256 of the values of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def check_type(value_type: pa.DataType, name: str, role: str, label: str) -> None:
    """Raise `InputError` if a column's type cannot be that of its role."""
    if pa.types.is_dictionary(value_type):
        value_type = value_type.value_type
    usable = _is_text(value_type) or _is_number(value_type)
    if role == "timestamp":
        usable = usable or pa.types.is_timestamp(value_type) or pa.types.is_date(value_type)
    if role == "rating":
        usable = usable or pa.types.is_boolean(value_type)
    if not usable:
        raise InputError(
            f"{label}: column {name!r} has type {value_type} and cannot be the {role}; choose "
            f"another with `columns` {role}=NAME"
        )


def _is_text(value_type: pa.DataType) -> bool:
    return (
        pa.types.is_string(value_type)
        or pa.types.is_large_string(value_type)
        or pa.types.is_string_view(value_type)
        or pa.types.is_binary(value_type)
        or pa.types.is_large_binary(value_type)
        or _is_uuid(value_type)
    )


def _is_uuid(value_type: pa.DataType) -> bool:
    return value_type in (pa.uuid(), pa.binary(16))


def _is_number(value_type: pa.DataType) -> bool:
    return (
        pa.types.is_integer(value_type)
        or pa.types.is_floating(value_type)
        or pa.types.is_decimal(value_type)
    )


def sniff(
    role: str,
    array: pa.Array,
    options: ReadOptions,
    name: str,
    label: str,
    is_typed: bool = True,
) -> Kind:
    """Choose how a column is read.

    Parameters
    ----------
    role : str
    array : Array
        The column's first rows.
    options : ReadOptions
    name, label : str
        The column and the file, for messages.
    is_typed : bool
        Whether a text is one because somebody wanted it so: then its numbers are names.
    """
    value_type = array.type
    if pa.types.is_dictionary(value_type):
        value_type = value_type.value_type
    plain = _plain(array, name, label)
    if role in ("user", "item"):
        wanted = wanted_ids(options.ids, role)
        exact = wanted == "auto" or (wanted == "int" and options.exact)
        if exact and ((is_typed and _is_text(value_type)) or _are_too_large(plain)):
            return STRING
        if wanted != "string" and not pa.types.is_large_string(plain.type):
            return WHOLE
    elif role == "timestamp" and pa.types.is_temporal(value_type):
        return WHOLE
    texts = ["" if value is None else str(value) for value in plain.to_pylist()]
    return sniff_kind(role, texts, options, label)


def _are_too_large(ids: pa.Array) -> bool:
    """Whether some numbers do not fit into 64 bits with a sign."""
    largest = pc.max(ids).as_py() if ids.type == pa.uint64() else None
    return largest is not None and largest >= 2**63


def _plain(array: pa.Array, name: str, label: str) -> pa.Array:
    """Bring any column to int64, float64 or text; moments in time to whole seconds."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(array.type):
        return _whole_seconds(array)
    if pa.types.is_boolean(array.type):
        return array.cast(STRING)
    if _is_uuid(array.type):
        held = array.storage if isinstance(array, pa.ExtensionArray) else array
        return pa.array([b and str(UUID(bytes=b)) for b in held.to_pylist()], STRING)
    if _is_text(array.type):
        try:
            text = array.cast(STRING)
            text.validate(full=True)  # a careless writer may have said of any bytes that they are
        except pa.ArrowInvalid:
            raise InputError(
                f"{label}: column {name!r} holds bytes that are not UTF-8 text; write it as text"
            ) from None
        return text
    if pa.types.is_decimal(array.type) and array.type.scale == 0:
        return array.cast(STRING)  # a float would make one of two long ids
    if pa.types.is_integer(array.type) and array.type != pa.uint64():
        return array.cast(WHOLE)
    if pa.types.is_integer(array.type):
        return array  # may hold ids that do not fit: cleaning finds them
    return array.cast(pa.float64())


def _whole_seconds(array: pa.Array) -> pa.Array:
    """Round moments down to seconds since 1970, before 1970 too (Arrow's division would not)."""
    per_second = _PER_SECOND[array.type.unit]
    counts = array.cast(WHOLE)
    seconds = pc.divide(counts, per_second)
    rounded_up = pc.greater(pc.multiply(seconds, per_second), counts)
    return pc.if_else(rounded_up, pc.subtract(seconds, 1), seconds)


def _as_names(array: pa.Array) -> pa.Array:
    """Write numeric ids as text; whole numbers without a point, even if they came as floats."""
    if not pa.types.is_floating(array.type):
        return array.cast(STRING)
    array = pc.if_else(pc.is_nan(array), None, array)
    is_whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0**63))
    whole = pc.if_else(is_whole, array, None).cast(WHOLE).cast(STRING)
    return pc.coalesce(whole, array.cast(STRING))


@dataclass(frozen=True)
class TableChunk:
    """Reads one chunk of a file: the `read` of a `Part`."""

    chunk: Chunk
    columns: TableColumns
    types: Types

    def __call__(self) -> Parsed:
        """Read, check and type the chunk's rows.

        Raises
        ------
        InputError
            The file is gone or damaged.
        """
        table, digest = self.chunk.load(self.columns.held)
        return self.columns.parse(table, self.types, digest)


class TableRows:
    """Rows of a table whose columns are numbers or text, as a `cleaning.Piece`."""

    def __init__(self, arrays: dict[str, pa.Array]) -> None:
        self.arrays = arrays
        self.n_lines = len(next(iter(arrays.values())))

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read texts as the types say, numbers as they are. Raises where a text does not fit."""
        return {
            role: _typed(array, types[role]) if pa.types.is_large_string(array.type) else array
            for role, array in self.arrays.items()
        }

    def split(self) -> list[TableRows]:
        """Cut into sixteen pieces, or into single rows."""
        step = max(1, -(-self.n_lines // _FAN_OUT))
        return [
            TableRows({role: array.slice(begin, step) for role, array in self.arrays.items()})
            for begin in range(0, self.n_lines, step)
        ]

    def sift(self, types: Types) -> tuple[np.ndarray, TableRows, Iterator[Row]]:
        """Part the plain rows from the odd ones."""
        is_plain = np.ones(self.n_lines, bool)
        for role, array in self.arrays.items():
            is_plain &= _are_plain(array, role, types[role])
        places, odd = np.flatnonzero(is_plain), np.flatnonzero(~is_plain)
        return places, self._take(places), self._take(odd)._texts(types, odd)

    def _take(self, places: np.ndarray) -> TableRows:
        return TableRows({role: array.take(places) for role, array in self.arrays.items()})

    def _texts(self, types: Types, places: np.ndarray) -> Iterator[Row]:
        """Go through the rows, values written as text, missing ones as an empty text."""
        columns = [self.arrays[role].to_pylist() for role in types]
        for place, values in zip(places.tolist(), zip(*columns, strict=True), strict=True):
            texts = ["" if value is None else str(value) for value in values]
            yield Row(place, ",".join(texts), texts)


def _typed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read texts; those of counts of time as numbers."""
    return array.cast(WHOLE if pa.types.is_duration(kind) else kind)


def _are_plain(array: pa.Array, role: str, value_type: pa.DataType) -> np.ndarray:
    """Tell which values are surely good."""
    if pa.types.is_large_string(array.type):
        pattern = plain_pattern(role, value_type)
        if pattern is None:
            return np.zeros(len(array), bool)
        found = pc.match_substring_regex(array, f"^(?:{pattern})$")
    elif role == "timestamp":
        first, last, _ = time_range(value_type)
        counts = array.cast(pa.float64(), safe=False)
        # Half, as a float may be a little off.
        found = pc.and_(pc.greater_equal(counts, float(first)), pc.less(counts, last / 2))
    elif pa.types.is_integer(array.type):
        found = pc.less(array, pa.scalar(2**62, array.type))
    else:
        found = pc.less(pc.abs(array), 2.0**53)
        if role in ("user", "item"):
            found = pc.and_(found, pc.equal(pc.floor(array), array))
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
