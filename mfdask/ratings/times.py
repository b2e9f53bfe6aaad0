"""What times a column has: counts since 1970, ISO dates, or dates in other forms (`dates`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mfdask.errors import InputError
from mfdask.ratings.dates import Dates, date_shape, dates_of

WHOLE = pa.int64()  # seconds since 1970, of any time
DECIMAL = pa.float64()
LOCAL_TIME = pa.timestamp("ns")  # ISO dates without a zone, taken as UTC
ZONED_TIME = pa.timestamp("ns", tz="UTC")  # ISO dates that carry a zone

#: The years 1 to 9999, of which calendars know.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Unit = Literal["s", "ms", "us", "ns"]
#: What counts of time are in, and how many make a second.
PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NAMES: dict[Unit, str] = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"
}  # fmt: skip
#: From 1973 on a count of seconds shows by its size that it is one, and one of parts of a second
#: from 1978 on, behind the last second that there is, up to the year 3000.
_SECONDS_SHOW, _PARTS_SHOW = 10**8, LAST_SECOND + 1
_LATEST = 32_503_680_000
_DAYS = 30_000, 60_000  # from 1900 on: of the years 1982 to 2064
_ENOUGH = 20  # counts that show a habit, such as 0 for no time
#: Counts that stand for no time where all others are of our days.
NO_TIMES = (0, -1)

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DAY = r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3])[0-5][0-9]"
#: Digits that are dates and no counts, and their form.
_DIGIT_DATES = {
    "%Y": re.compile(r"(?:19|20)[0-9]{2}"),
    "%Y%m%d": re.compile(_DAY),
    "%Y%m%d%H%M": re.compile(_DAY + _CLOCK),
    "%Y%m%d%H%M%S": re.compile(_DAY + _CLOCK + "[0-5][0-9]"),
}
_FEW = 0.01  # share of counts that may be mistakes
FORMS = (
    "seconds, ms, us or ns since 1970, ISO dates such as 2022-01-31T18:00:00Z, and dates such as "
    "31.01.2022 18:00, 1/31/2022 6:00 PM and Jan 31, 2022"
)


TimeKind: TypeAlias = pa.DataType | Dates


def check_format(given: str | None) -> None:
    """Refuse a form of times that cannot be meant.

    Raises
    ------
    InputError
    """
    if given is None or given in PER_SECOND:
        return
    try:
        pd.to_datetime(pd.Index(["x"]), format=given, errors="coerce")
    except ValueError as error:
        raise InputError(
            f"`timestamp_format` {given}: {error}; write s, ms, us, ns or a form such as %d.%m.%Y"
        ) from None
    if "%" not in given:
        raise InputError(
            f"`timestamp_format` {given}: write s, ms, us, ns or a form such as %d.%m.%Y"
        )


def sniff_times(texts: Sequence[str], label: str, given: str | None = None) -> TimeKind:
    """Choose how times are read, from a sample of their texts.

    Parameters
    ----------
    texts : sequence of str
    label : str
        The file, for messages.
    given : str, optional
        A unit or a form that is known.

    Returns
    -------
    DataType or Dates
        A duration is a count of its unit.

    Raises
    ------
    InputError
        The texts are of no form that is read, or it cannot be told which of two is meant. Row by
        row they would be refused as well, but only once all have been read.
    """
    texts = [text for text in map(str.strip, texts) if text]
    if given is not None:
        return _given(texts, label, given)
    kinds = {text: _kind(text) for text in set(texts)}
    votes = Counter(kinds[text] for text in texts)
    numbers, moments = votes[WHOLE] + votes[DECIMAL], votes[LOCAL_TIME] + votes[ZONED_TIME]
    if votes[None] > max(numbers, moments):
        shapes = [shape for text in texts if kinds[text] is None and (shape := date_shape(text))]
        if len(shapes) > max(numbers, moments):
            return dates_of(shapes, texts[0], label)
        if not numbers + moments:
            raise InputError(_no_form(texts[0], label))
    if moments > numbers:
        return LOCAL_TIME if votes[LOCAL_TIME] > votes[ZONED_TIME] else ZONED_TIME
    counts = [float(text) for text in texts if kinds[text] in (WHOLE, DECIMAL)]
    _check_digits([text for text in texts if kinds[text] is not None], label)
    unit = _unit(counts, label)
    if unit is None or (unit == "s" and votes[DECIMAL]):
        return DECIMAL if votes[DECIMAL] else WHOLE
    return pa.duration(unit)


def _given(texts: Sequence[str], label: str, given: str) -> TimeKind:
    if given == "s":  # of any time, zero too
        return DECIMAL if DECIMAL in set(map(_kind, set(texts))) else WHOLE
    if given in PER_SECOND:
        return pa.duration(given)
    dates = Dates((given,))
    if texts and not dates.read(pd.Index(list(texts[:1000]), dtype="str"))[1].any():
        raise InputError(
            f"{label}: `timestamp_format` {given} reads none of its first timestamps, such as "
            f"{texts[0]!r}"
        )
    return dates


def _kind(text: str) -> pa.DataType | None:
    if _INTEGER.fullmatch(text):
        return WHOLE
    try:
        if text.isascii() and "_" not in text:  # Python would take 1_000, and digits of any script
            float(text)
            return DECIMAL
    except ValueError:
        pass
    try:
        return LOCAL_TIME if datetime.fromisoformat(text).tzinfo is None else ZONED_TIME
    except ValueError:
        return None


def _check_digits(texts: Sequence[str], label: str) -> None:
    """Refuse numbers that are dates: as seconds they would all be of one day in 1970."""
    for form, digits in _DIGIT_DATES.items():
        if len(texts) >= (_ENOUGH if form == "%Y" else 1) and all(map(digits.fullmatch, texts)):
            raise InputError(
                f"{label}: its timestamps, such as {texts[0]}, look like dates of the form {form}, "
                f"not like seconds since 1970; say `timestamp_format` {form}, or s if they are "
                "seconds, or leave them out with `columns` timestamp="
            )


def _unit(counts: Sequence[float], label: str) -> Unit | None:
    """Tell what counts are in; None where their size does not show it."""
    values = np.array(counts)
    own = values[~np.isin(values, NO_TIMES)]
    if not len(own):
        if len(counts) >= _ENOUGH:
            raise InputError(_no_times(counts[0], label))
        return None
    if len(own) >= _ENOUGH and np.all((own >= _DAYS[0]) & (own < _DAYS[1])):
        raise InputError(
            f"{label}: its timestamps, such as {own[0]:g}, look like days as spreadsheets count "
            "them; write them as dates, or say `timestamp_format` s if they are seconds"
        )
    shares = {unit: np.mean(_shows(own, unit)) for unit in PER_SECOND}
    unit = max(shares, key=lambda unit: shares[unit])
    if len(own) < _ENOUGH:
        return unit if unit != "s" and shares[unit] == 1 else None
    if shares[unit] >= 1 - _FEW:
        return unit
    if sum(shares.values()) < 1:
        return None
    examples = {unit: own[_shows(own, unit)] for unit in shares if shares[unit]}
    listed = " and ".join(f"{found[0]:.0f} ({_NAMES[u]})" for u, found in examples.items())
    raise InputError(
        f"{label}: its timestamps are in several units, such as {listed}; write all in one, or "
        "leave them out with `columns` timestamp="
    )


def _no_times(count: float, label: str) -> str:
    return (
        f"{label}: all its timestamps are {count:.0f}, which is no time; leave them out with "
        "`columns` timestamp=, or say `timestamp_format` s if they are right"
    )


def _shows(counts: npt.NDArray[np.float64], unit: Unit) -> npt.NDArray[np.bool_]:
    """Tell which counts can be in no other unit."""
    n = PER_SECOND[unit]
    if unit == "s":
        return (counts >= _SECONDS_SHOW) & (counts <= LAST_SECOND)
    return (counts >= _PARTS_SHOW * n / 1000) & (counts < _LATEST * n)


class TimeRange(NamedTuple):
    """Counts that are times, from `first` to `last`, of which `per_second` make a second."""

    first: int
    last: int
    per_second: int


def time_range(kind: pa.DataType) -> TimeRange:
    """Return the counts that are surely times where all are of a kind.

    Those in seconds are of any time, or, as a duration, not zero or before 1970; those in parts of
    a second are such that they cannot be in another unit.
    """
    if not pa.types.is_duration(kind):
        return TimeRange(FIRST_SECOND, LAST_SECOND, 1)
    n = PER_SECOND[kind.unit]
    first = 1 if kind.unit == "s" else _PARTS_SHOW * n // 1000
    return TimeRange(first, min(LAST_SECOND * n, 2**63 - 1), n)


def plain_counts(kind: pa.DataType) -> str | None:
    """Return a pattern of texts that are surely counts of a kind; None if there is no such."""
    if kind in (WHOLE, DECIMAL):
        return r"-?[0-9]{1,10}"
    if not pa.types.is_duration(kind):
        return None
    digits = len(str(10**9 * PER_SECOND[kind.unit]))  # from 2001 on
    return rf"[1-9][0-9]{{{digits - 1}}}"


def bad_count(count: int, kind: pa.DataType) -> str | None:
    """Say why a count is no time; None where it is one."""
    if pa.types.is_duration(kind):
        if count in NO_TIMES:
            return f"missing timestamp ({count})"
        if kind.unit != "s":
            first, last, _ = time_range(kind)
            mixed = f"timestamp is not in {_NAMES[kind.unit]}, as the first of the file are"
            return None if first <= count <= last else mixed
    if FIRST_SECOND <= count <= LAST_SECOND:
        return None
    return "timestamp is not a second since 1970 of the years 1 to 9999"


def date_seconds(text: str) -> int:
    """Return the second since 1970 of an ISO date. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(seconds=1)


def _no_form(example: str, label: str) -> str:
    return (
        f"{label}: its timestamps, such as {example!r}, are of no form that is read: {FORMS}; say "
        "`timestamp_format` with the signs of strptime, or leave them out with `columns` timestamp="
    )
