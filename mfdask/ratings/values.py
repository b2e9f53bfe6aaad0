"""Parse the texts of values, and guess the types of columns.

A ratings table has up to four columns, its *roles*. `Types` says for each role how its texts are
read; the order of its keys is the order of the columns everywhere.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import pyarrow as pa

from mfdask.errors import InputError

#: What ids are; in two words what those of users and of items are.
Ids = Literal["auto", "int", "string", "int,string", "string,int"]
Types = dict[str, pa.DataType]

ROLES = {"user": "user_id", "item": "item_id", "rating": "rating", "timestamp": "timestamp"}

STRING = pa.large_string()
WHOLE = pa.int64()
DECIMAL = pa.float64()  # as a type of ids: whole numbers that were written as 12.0
LOCAL_TIME = pa.timestamp("ns")  # ISO dates without a zone, taken as UTC
ZONED_TIME = pa.timestamp("ns", tz="UTC")  # ISO dates that carry a zone

#: What texts of a column of booleans stand for.
BOOLEANS = {
    written: value
    for text, value in (("true", 1.0), ("false", 0.0))
    for written in (text, text.capitalize(), text.upper())
}

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_FLOAT32_END = 2.0**128 - 2.0**103  # from here on a number rounds to infinity
#: The years 1 to 9999, of which calendars know. Milliseconds of our days are far beyond them.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
EXACT_IN_FLOAT64 = 2**53  # beyond, a number with a point may have lost its last digits
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CANONICAL = re.compile(r"-?(0|[1-9][0-9]*)")  # 007 is a name: as a number it would lose its zeros
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DAY = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
#: Parts of a second, and by what to divide them.
_UNITS = (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
_LATEST_OF_UNIT = 32_503_680_000  # the year 3000, in seconds
_POINTED = re.compile(r"[+-]?[0-9]+\.0*")


class BadValueError(ValueError):
    """A value, and so its row, cannot be used: the reason in words."""


def wanted_ids(ids: Ids, role: str) -> str:
    """Return what the ids of one role are to be."""
    return ids.split(",")[-1 if role == "item" else 0]


def sniff_id(texts: Iterable[str], ids: str) -> pa.DataType:
    """Choose how ids are read, from a sample of their texts; `ids` other than "auto" decides."""
    if ids == "string":
        return STRING
    found = [text for text in map(str.strip, texts) if text]
    if all(map(_CANONICAL.fullmatch, found)):
        return WHOLE
    has_points = any(map(_POINTED.fullmatch, found))
    if ids == "int":
        return DECIMAL if has_points else WHOLE
    whole = (text.rstrip("0").removesuffix(".") if "." in text else text for text in found)
    return DECIMAL if all(map(_CANONICAL.fullmatch, whole)) else STRING


def sniff_rating(texts: Iterable[str], event_values: Mapping[str, float] | None) -> pa.DataType:
    """Choose how ratings are read: as words if words have values, or if all are booleans."""
    found = {text.strip() for text in texts} - {""}
    return STRING if event_values or (found and found <= BOOLEANS.keys()) else pa.float64()


def check_event_values(event_values: Mapping[str, float] | None) -> None:
    """Refuse values of words that cannot be meant.

    Raises
    ------
    InputError
    """
    for word, value in (event_values or {}).items():
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (word.strip() and number and abs(value) < _FLOAT32_END):
            raise InputError(
                f"`event_values` {word}={value}: write WORD=NUMBER,… such as view=1,buy=5"
            )


def sniff_time(texts: Iterable[str]) -> pa.DataType:
    """Choose how timestamps are read: as what most of a sample of their texts can be read."""
    votes = {WHOLE: 0, DECIMAL: 0, LOCAL_TIME: 0, ZONED_TIME: 0}
    for text in texts:
        seen = _time_type(text.strip())
        if seen is not None:
            votes[seen] += 1
    if votes[LOCAL_TIME] + votes[ZONED_TIME] > votes[WHOLE] + votes[DECIMAL]:
        return LOCAL_TIME if votes[LOCAL_TIME] > votes[ZONED_TIME] else ZONED_TIME
    return DECIMAL if votes[DECIMAL] else WHOLE


def check_times(texts: Sequence[str], label: str) -> None:
    """Refuse a sample of times of which all are too late, or days: they count something else.

    Row by row they would be refused as well, but only once all have been read.
    """
    times = [float(text) for text in texts if _time_type(text) in (WHOLE, DECIMAL)]
    first = min(times, default=0)
    if first > LAST_SECOND:
        likely = (own for own in _UNITS if first < own[1] * _LATEST_OF_UNIT)
        unit, divisor = next(likely, _UNITS[-1])
        raise InputError(
            f"{label}: its timestamps begin at {first:.0f}, beyond the year 9999; seconds "
            f"since 1970 are wanted: divide {unit} by {divisor}, or leave them out with "
            "`columns` timestamp="
        )
    if times and all(_DAY.fullmatch(text) for text in map(str.strip, texts) if text):
        raise InputError(
            f"{label}: its timestamps, such as {first:.0f}, are days written as yyyymmdd, not "
            "seconds since 1970; write them as 2022-01-31, or leave them out with `columns` "
            "timestamp="
        )


def _time_type(text: str) -> pa.DataType | None:
    if _INTEGER.fullmatch(text):
        return WHOLE
    try:
        _number(text, "timestamp")
        return DECIMAL
    except BadValueError:
        pass
    try:
        return LOCAL_TIME if datetime.fromisoformat(text).tzinfo is None else ZONED_TIME
    except ValueError:
        return None


def plain_pattern(role: str, value_type: pa.DataType) -> str | None:
    """Return a pattern of texts that are surely good for a role; None if there is no such.

    Stricter than need be: a text that does not match may still be good.
    """
    if role == "rating" and value_type != STRING:
        return r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?"
    if value_type == STRING:
        return r"[!#-+\--9<-{}~]+"  # printable ASCII without quotes, spaces and delimiters
    if role == "timestamp":
        return r"-?[0-9]{1,10}" if value_type in (WHOLE, DECIMAL) else None
    if value_type == WHOLE:
        return r"-?[0-9]{1,18}"
    return r"-?[0-9]{1,15}(?:\.0{0,9})?" if value_type == DECIMAL else None


def row_reader(types: Types) -> Callable[[list[str]], list[int | float | str]]:
    """Return the function that reads a row's texts, in the order of `types`, into values.

    It raises `BadValueError` with the reason for the first value that is of no use. This is the
    slow way, value by value: it defines what is right, the fast ways only repeat it.
    """
    readers = [_reader(role, value_type) for role, value_type in types.items()]
    return lambda texts: [read(text) for read, text in zip(readers, texts, strict=True)]


def _reader(role: str, value_type: pa.DataType) -> Callable[[str], int | float | str]:
    if role == "rating":
        return (lambda text: _present(text, role)) if value_type == STRING else _rating
    if role == "timestamp":
        return _date_seconds if pa.types.is_timestamp(value_type) else _seconds
    if pa.types.is_large_string(value_type):
        return lambda text: _present(text, f"{role} id")
    return lambda text: _int_id(text, role)


def _present(text: str, what: str) -> str:
    if not text:
        raise BadValueError(f"missing {what}")
    return text


def _int_id(text: str, role: str) -> int:
    text = _present(text.strip(), f"{role} id")
    if _INTEGER.fullmatch(text):
        value = int(text)
        if not _INT64_MIN <= value <= _INT64_MAX:
            raise BadValueError(f"{role} id does not fit into 64 bits (ids = string keeps it)")
        return value
    try:
        number = _number(text, role)
    except BadValueError:
        number = math.inf
    if number.is_integer() and abs(number) < EXACT_IN_FLOAT64:  # 1.2e5
        return int(number)
    if number != number:  # how pandas writes a missing number
        raise BadValueError(f"missing {role} id")
    raise BadValueError(f"{role} id is not an integer (ids = string keeps it)")


def _number(text: str, what: str) -> float:
    if text.isascii() and "_" not in text:  # Python would take 1_000, and digits of any script
        try:
            return float(text)
        except ValueError:
            pass
    raise BadValueError(f"{what} is not a number")


def _rating(text: str) -> float:
    value = _number(_present(text.strip(), "rating"), "rating")
    if not abs(value) < _FLOAT32_END:
        raise BadValueError("rating is not finite")
    return value


def _seconds(text: str) -> int:
    text = _present(text.strip(), "timestamp")
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None:
        number = _number(text, "timestamp")
        if not math.isfinite(number):
            raise BadValueError("timestamp is not finite")
        value = math.floor(number)
    if not FIRST_SECOND <= value <= LAST_SECOND:
        raise BadValueError("timestamp is not a second since 1970 of the years 1 to 9999")
    return value


def _date_seconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(_present(text.strip(), "timestamp"))
    except BadValueError:
        raise
    except ValueError:
        raise BadValueError("timestamp is not an ISO date") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1)
