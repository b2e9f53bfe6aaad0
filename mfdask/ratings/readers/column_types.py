"""Columns of any type of Arrow: which role they may have, and their values as numbers or text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from mfdask.errors import InputError
from mfdask.ratings.kinds import Kind, sniff_kind
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.values import STRING, WHOLE, wanted_ids

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def check_type(value_type: pa.DataType, name: str, role: str, label: str) -> None:
    """Raise `InputError` if a column's type cannot be that of its role."""
    if pa.types.is_dictionary(value_type):
        value_type = value_type.value_type
    usable = _is_text(value_type) or _is_number(value_type)
    if role == "timestamp":
        usable = usable or pa.types.is_timestamp(value_type) or pa.types.is_date(value_type)
    if role in ("rating", "split"):
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


def column_kind(
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
    plain = plain_values(array, name, label)
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


def plain_values(array: pa.Array, name: str, label: str) -> pa.Array:
    """Bring any column to int64, float64 or text; moments in time to whole seconds.

    Raises
    ------
    InputError
        It holds bytes that are no text.
    """
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


def as_names(array: pa.Array) -> pa.Array:
    """Write numeric ids as text; whole numbers without a point, even if they came as floats."""
    if not pa.types.is_floating(array.type):
        return array.cast(STRING)
    array = pc.if_else(pc.is_nan(array), None, array)
    is_whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0**63))
    whole = pc.if_else(is_whole, array, None).cast(WHOLE).cast(STRING)
    return pc.coalesce(whole, array.cast(STRING))


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
