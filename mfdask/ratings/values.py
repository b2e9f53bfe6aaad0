"""Parse the texts of values, and guess the types of columns.

A ratings table has up to six columns, its *roles*. `Types` says for each role how its texts are
read; the order of its keys is the order of the columns everywhere.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import pyarrow as pa

from mfdask.errors import InputError
from mfdask.ratings.forms import FLOAT32_END, FLOAT32_START
from mfdask.ratings.times import bad_count, date_seconds, plain_counts, time_range

#: What ids are; in two words what those of users and of items are.
Ids = Literal["auto", "int", "string", "int,string", "string,int"]
Types = dict[str, pa.DataType]

#: The roles, and the columns that they become. `split` tells the test rows, and `weight` how much a
#: rating counts in a fit; both are there only where they are asked for.
ROLES = {
    "user": "user_id",
    "item": "item_id",
    "rating": "rating",
    "timestamp": "timestamp",
    "split": "held_out",
    "weight": "weight",
}

STRING = pa.large_string()
WHOLE = pa.int64()
DECIMAL = pa.float64()  # as a type of ids: whole numbers that were written as 12.0

#: Words that databases and programs write in the place of an id that is missing.
NO_IDS = frozenset({"NULL", "null", r"\N", "<NA>", "NaN", "nan", "None"})

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
EXACT_IN_FLOAT64 = 2**53  # beyond, a number with a point may have lost its last digits
_CANONICAL = re.compile(r"-?(0|[1-9][0-9]*)")  # 007 is a name: as a number it would lose its zeros
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+,[0-9]+")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_POINTED = re.compile(r"[+-]?[0-9]+\.0*")


class BadValueError(ValueError):
    """A value, and so its row, cannot be used: the reason in words."""


class NoIntegerError(BadValueError):
    """An id that is a name, or too long, among numbers."""


def wanted_ids(ids: Ids, role: str) -> str:
    """Return what the ids of one role are to be."""
    return ids.split(",")[-1 if role == "item" else 0]


def sniff_id(texts: Iterable[str], ids: str) -> pa.DataType:
    """Choose how ids are read, from a sample of their texts; `ids` other than "auto" decides."""
    if ids == "string":
        return STRING
    found = [text for text in map(str.strip, texts) if text and text not in NO_IDS]
    if all(map(_CANONICAL.fullmatch, found)):
        fit = ids == "int" or all(_INT64_MIN <= int(text) <= _INT64_MAX for text in found)
        return WHOLE if fit else STRING
    has_points = any(map(_POINTED.fullmatch, found))
    if ids == "int":
        return DECIMAL if has_points else WHOLE
    whole = (text.rstrip("0").removesuffix(".") if "." in text else text for text in found)
    return DECIMAL if all(map(_CANONICAL.fullmatch, whole)) else STRING


def check_event_values(event_values: Mapping[str, float] | None) -> None:
    """Refuse values of words that cannot be meant.

    Raises
    ------
    InputError
    """
    for word, value in (event_values or {}).items():
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (word.strip() and number and abs(value) < FLOAT32_END):
            raise InputError(
                f"`event_values` {word}={value}: write WORD=NUMBER,… such as view=1,buy=5"
            )


def plain_pattern(role: str, value_type: pa.DataType) -> str | None:
    """Return a pattern of texts that are surely good for a role; None if there is no such.

    Stricter than need be: a text that does not match may still be good.
    """
    if role == "rating" and value_type != STRING:
        return r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?"
    if role == "weight":
        return r"(?:[1-9][0-9]{0,8}(?:\.[0-9]{1,9})?|0\.[0-9]{0,8}[1-9])"
    if value_type == STRING:
        return r"[!#-+\--9<-{}~]+"  # printable ASCII without quotes, spaces and delimiters
    if role == "timestamp":
        return plain_counts(value_type)
    if value_type == WHOLE:
        return r"-?[0-9]{1,18}"
    return r"-?[0-9]{1,15}(?:\.0{0,9})?" if value_type == DECIMAL else None


def row_reader(types: Types) -> Callable[[list[str]], list[int | float | str]]:
    """Return the function that reads a row's texts, in the order of `types`, into values.

    It raises `BadValueError` with the reason for the first value that is of no use. This is the
    slow way, value by value: it defines what is right, the fast ways only repeat it.
    """
    readers = [_reader(role, value_type) for role, value_type in types.items()]

    def read(texts: list[str]) -> list[int | float | str]:
        values: list[int | float | str] = []
        name = None
        for of_role, text in zip(readers, texts, strict=True):
            try:
                values.append(of_role(text))
            except NoIntegerError as error:
                name = name or error
        if name is not None:  # last: the row is good but for it
            raise name
        return values

    return read


def _reader(role: str, value_type: pa.DataType) -> Callable[[str], int | float | str]:
    if role == "rating":
        return (lambda text: _present(text, role)) if value_type == STRING else _rating
    if role == "weight":
        return _weight
    if pa.types.is_large_string(value_type):
        return lambda text: _present(text, f"{role} id" if role in ("user", "item") else role)
    if role == "timestamp":
        if pa.types.is_timestamp(value_type):
            return _date_seconds
        return lambda text: _seconds(text, value_type)
    return lambda text: _int_id(text, role)


#: The reason why a rating with a comma is bad where those at the start have none.
COMMA = "rating has a decimal comma (decimal = , reads it)"


def other_kinds(role: str) -> tuple[str, ...]:
    """Return the reasons that say that a column is of another kind than its start."""
    return (COMMA,) if role == "rating" else (no_integer(role), too_large(role))


def no_integer(role: str) -> str:
    """Return the reason why an id that is a name is bad among numbers."""
    return f"{role} id is not an integer (ids = string keeps it)"


def too_large(role: str) -> str:
    """Return the reason why an id that is too long is bad among numbers."""
    return f"{role} id does not fit into 64 bits (ids = string keeps it)"


def _present(text: str, what: str) -> str:
    if not text:
        raise BadValueError(f"missing {what}")
    return text


def _int_id(text: str, role: str) -> int:
    text = text.strip()
    text = _present("" if text in NO_IDS else text, f"{role} id")
    if _INTEGER.fullmatch(text):
        value = int(text)
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise NoIntegerError(too_large(role))
        return value
    try:
        number = _number(text, role)
    except BadValueError:
        number = math.inf
    if number.is_integer() and abs(number) < EXACT_IN_FLOAT64:  # 1.2e5
        return int(number)
    raise NoIntegerError(no_integer(role))


def _number(text: str, what: str) -> float:
    if text.isascii() and "_" not in text:  # Python would take 1_000, and digits of any script
        try:
            return float(text)
        except ValueError:
            pass
    raise BadValueError(f"{what} is not a number")


def _rating(text: str) -> float:
    text = _present(text.strip(), "rating")
    if _COMMA_NUMBER.fullmatch(text):
        raise BadValueError(COMMA)
    value = _number(text, "rating")
    if not abs(value) < FLOAT32_END:
        raise BadValueError("rating is not finite")
    return value


def _weight(text: str) -> float:
    value = _number(_present(text.strip(), "weight"), "weight")
    if not abs(value) < FLOAT32_END:
        raise BadValueError("weight is not finite")
    if value < FLOAT32_START:
        raise BadValueError("weight is not above 0")
    return value


def _seconds(text: str, kind: pa.DataType) -> int:
    text = _present(text.strip(), "timestamp")
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None:
        number = _number(text, "timestamp")
        if not math.isfinite(number):
            raise BadValueError("timestamp is not finite")
        value = math.floor(number)
    reason = bad_count(value, kind)
    if reason:
        raise BadValueError(reason)
    return value // time_range(kind).per_second


def _date_seconds(text: str) -> int:
    text = _present(text.strip(), "timestamp")
    try:
        return date_seconds(text)
    except ValueError:
        raise BadValueError("timestamp is not an ISO date") from None
