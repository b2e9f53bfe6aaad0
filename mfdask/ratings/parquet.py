"""Read ratings from Parquet files, a part for each row group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mfdask.errors import InputError
from mfdask.ratings import columns as column_choice
from mfdask.ratings.cleaning import Row, clean
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.values import (
    FIRST_SECOND,
    STRING,
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

_SAMPLE_ROWS = 50_000
_FAN_OUT = 16
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file whose columns are known: `names` gives the column of each role."""

    path: Path
    label: str
    names: Mapping[str, str]
    types: Types
    has_rows: bool

    def parts(self, types: Types, part_bytes: int = 0) -> list[Part]:
        """Make a part of each row group; `part_bytes` is of no use here."""
        with pq.ParquetFile(self.path) as file:
            groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
        return [
            Part(
                self.label,
                RowGroup(self.path, self.label, number, self.names, types),
                first_row=0,
                n_rows=group.num_rows,
            )
            for number, group in enumerate(groups)
        ]


def open_parquet(
    path: Path,
    label: str,
    columns: Mapping[str, str] | None,
    ids: Ids,
    event_values: Mapping[str, float] | None = None,
) -> ParquetFile:
    """Find the columns of a Parquet file and how they are to be read.

    Raises
    ------
    InputError
        The file is not Parquet, or cut off, or lacks a column, or has one of a type that cannot be
        an id, a rating or a time.
    """
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            places = column_choice.by_name(header, columns, label)
            names = {role: header[place] for role, place in places.items()}
            for role, name in names.items():
                check_type(file.schema_arrow.field(name).type, name, role, label)
            batches = file.iter_batches(_SAMPLE_ROWS, columns=list(names.values()))
            empty = file.schema_arrow.empty_table().select(list(names.values()))
            sample = next(batches, empty)
            n_rows = file.metadata.num_rows
    except PermissionError:
        raise
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        raise _unreadable(label, error) from error
    types = {
        role: sniff(role, sample[name], ids, name, label, event_values)
        for role, name in names.items()
    }
    return ParquetFile(path.resolve(), label, names, types, n_rows > 0)


def _unreadable(label: str, error: Exception) -> InputError:
    return InputError(
        f"{label} is not a whole Parquet file ({str(error).splitlines()[0]}); fetch it again"
    )


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
    )


def _is_number(value_type: pa.DataType) -> bool:
    return (
        pa.types.is_integer(value_type)
        or pa.types.is_floating(value_type)
        or pa.types.is_decimal(value_type)
    )


def sniff(
    role: str,
    array: pa.Array,
    ids: Ids,
    name: str,
    label: str,
    event_values: Mapping[str, float] | None = None,
) -> pa.DataType:
    """Choose how a column is read, from a sample of it; its name and the file's are for errors."""
    plain = _plain(array, name, label)
    is_text = pa.types.is_large_string(plain.type)
    texts = [text for text in plain.to_pylist() if text] if is_text else []
    if role == "rating":
        return sniff_rating(texts, event_values)
    if role == "timestamp":
        check_times(texts if is_text else [str(pc.min(plain).as_py())], label)
        return sniff_time(texts) if is_text else WHOLE
    wanted = wanted_ids(ids, role)
    return sniff_id(texts, wanted) if is_text or wanted == "string" else WHOLE


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
class RowGroup:
    """Reads one row group of a Parquet file: the `read` of a `Part`."""

    path: Path
    label: str
    group: int
    names: Mapping[str, str]
    types: Types

    def __call__(self) -> Parsed:
        """Read, check and type the group's rows.

        Raises
        ------
        InputError
            The file is gone or damaged.
        """
        try:
            with pq.ParquetFile(self.path) as file:
                digest = _digest(self.path, file.metadata.row_group(self.group))
                table = file.read_row_group(
                    self.group, columns=list(self.names.values()), use_threads=False
                )
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(self.label, error) from error
        return parse_table(table, self.names, self.types, self.label, digest)


def parse_table(
    table: pa.Table, names: Mapping[str, str], types: Types, label: str, digest: str
) -> Parsed:
    """Check and type the rows of a table.

    Parameters
    ----------
    table : Table
    names : mapping
        Role to column.
    types : mapping
        Role to what it is read as.
    label, digest : str
        The part's name for people, and what it is known by.

    Raises
    ------
    InputError
        A column holds bytes that are no text.
    """
    columns = {}
    for role, kind in types.items():
        name = names[role]
        array = _plain(table[name].combine_chunks(), name, label)
        columns[role] = _as_names(array) if kind == STRING else array
    ratings, rejected = clean(TableRows(columns), types, label)
    return Parsed(ratings, rejected, table.num_rows, table.num_rows, digest)


def _digest(path: Path, group: pq.RowGroupMetaData) -> str:
    """Hash the bytes of a row group, as they lie in the file."""
    chunks = [group.column(number) for number in range(group.num_columns)]
    begin = min(_chunk_begin(chunk) for chunk in chunks)
    end = max(_chunk_begin(chunk) + chunk.total_compressed_size for chunk in chunks)
    with path.open("rb") as file:
        file.seek(begin)
        return hashlib.sha256(file.read(end - begin)).hexdigest()


def _chunk_begin(chunk: pq.ColumnChunkMetaData) -> int:
    return chunk.dictionary_page_offset or chunk.data_page_offset


class TableRows:
    """Rows of a table whose columns are numbers or text, as a `cleaning.Piece`."""

    def __init__(self, arrays: dict[str, pa.Array]) -> None:
        self.arrays = arrays
        self.n_lines = len(next(iter(arrays.values())))

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read texts as the types say, numbers as they are. Raises where a text does not fit."""
        return {
            role: array.cast(types[role]) if pa.types.is_large_string(array.type) else array
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


def _are_plain(array: pa.Array, role: str, value_type: pa.DataType) -> np.ndarray:
    """Tell which values are surely good."""
    if pa.types.is_large_string(array.type):
        pattern = plain_pattern(role, value_type)
        if pattern is None:
            return np.zeros(len(array), bool)
        found = pc.match_substring_regex(array, f"^(?:{pattern})$")
    elif role == "timestamp":
        found = pc.less(pc.abs(array.cast(pa.float64(), safe=False)), float(-FIRST_SECOND))
    elif pa.types.is_integer(array.type):
        found = pc.less(array, pa.scalar(2**62, array.type))
    else:
        found = pc.less(pc.abs(array), 2.0**53)
        if role in ("user", "item"):
            found = pc.and_(found, pc.equal(pc.floor(array), array))
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
