"""Dates in other forms than ISO's: what form a text has, and its second since 1970."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError

_MOST_FORMS = 4  # of one column; more are mistakes
_TIME = re.compile(
    r"(?<![0-9])[0-9]{1,2}:[0-9]{2}(?P<second>:[0-9]{2}(?P<part>\.[0-9]{1,6})?)?"
    r"(?P<half>(?P<blank> ?)[AaPp][Mm]\b)?"
)
_TOKEN = re.compile(r"[A-Za-z]+|[0-9]+")
_ZONE = re.compile(r"[+-][0-9]{2}:?[0-9]{2}(?![0-9])")
_LITERALS = ("T", "Z", "UTC", "GMT")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_LONG_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip
_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_LONG_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_WORDS = {
    word.casefold(): sign
    for words, sign in (
        (_LONG_MONTHS, "%B"), (_MONTHS, "%b"), (_LONG_WEEKDAYS, "%A"), (_WEEKDAYS, "%a"),
    )
    for word in words
}  # fmt: skip
_FIRST, _SECOND = "{first}", "{second}"  # two numbers, one the day, one the month


@dataclass(frozen=True)
class Dates:
    """Dates in one or some forms, as a `forms.ValueForm`; without a zone they are taken as UTC.

    Attributes
    ----------
    formats : tuple of str
        As `strptime` takes them, tried in turn.
    """

    formats: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why a text is none of them."""
        return f"timestamp is not of the form {' or '.join(self.formats)}"

    def read(self, texts: pd.Index) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the seconds since 1970 of texts, and which are dates."""
        texts = texts.str.strip()
        seconds, known = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
        for form in self.formats:
            rest = np.flatnonzero(~known)
            moments = pd.to_datetime(texts[rest], format=form, errors="coerce", utc=True)
            good = np.asarray(moments.notna())
            whole = np.asarray(moments.floor("s").as_unit("s").asi8)
            seconds[rest[good]], known[rest[good]] = whole[good], True
        return seconds, known


class Shape(NamedTuple):
    """The form of one date; `numbers` are the two that may be day and month in either order."""

    form: str
    numbers: tuple[int, int] | None


def date_shape(text: str) -> Shape | None:
    """Tell the form of a date; None where it is none that is known."""
    text = re.sub(r"\s+", " ", text)
    if "%" in text or "{" in text:
        return None
    time = _TIME.search(text)
    before, after = (text[: time.start()], text[time.end() :]) if time else (text, "")
    zone = _ZONE.search(after)
    behind = ""
    if zone:
        after, behind = after[: zone.start()], after[zone.end() :]
    pieces = [before, after, behind]
    tokens = [token for piece in pieces for token in _TOKEN.findall(piece)]
    signs, numbers = _signs(tokens)
    if signs is None:
        return None
    given = iter(signs)
    made = [_TOKEN.sub(lambda found: next(given), piece) for piece in pieces]
    return Shape(made[0] + _time_form(time) + made[1] + ("%z" if zone else "") + made[2], numbers)


def _time_form(time: re.Match[str] | None) -> str:
    if time is None:
        return ""
    second = (":%S" if time["second"] else "") + (".%f" if time["part"] else "")
    return f"%I:%M{second}{time['blank']}%p" if time["half"] else f"%H:%M{second}"


def _signs(tokens: Sequence[str]) -> tuple[list[str] | None, tuple[int, int] | None]:
    """Return what stands in the place of each word and number of a date."""
    signs = [_WORDS.get(token.casefold(), "") for token in tokens]
    words = [n for n, token in enumerate(tokens) if token.isalpha() and not signs[n]]
    for n in words:
        if tokens[n] not in _LITERALS:
            return None, None
        signs[n] = tokens[n]
    years = [n for n, token in enumerate(tokens) if token.isdecimal() and len(token) == 4]
    small = [n for n, token in enumerate(tokens) if token.isdecimal() and len(token) <= 2]
    n_numbers = sum(token.isdecimal() for token in tokens)
    if len(years) > 1 or len(years) + len(small) < n_numbers:
        return None, None
    if years:
        signs[years[0]] = "%Y"
    else:
        if not small:
            return None, None
        signs[small.pop()] = "%y"
    if any(sign in ("%b", "%B") for sign in signs):
        if len(small) != 1:
            return None, None
        signs[small[0]] = "%d"
        return signs, None
    if len(small) != 2:
        return None, None
    if years and years[0] < small[0]:
        signs[small[0]], signs[small[1]] = "%m", "%d"
        return signs, None
    signs[small[0]], signs[small[1]] = _FIRST, _SECOND
    return signs, (int(tokens[small[0]]), int(tokens[small[1]]))


def dates_of(shapes: Sequence[Shape], example: str, label: str) -> Dates:
    """Choose the forms of a column of dates.

    Parameters
    ----------
    shapes : sequence of Shape
        Of its first texts.
    example, label : str
        A text of it and the file, for messages.

    Raises
    ------
    InputError
        Day and month may be meant in either order.
    """
    common = [form for form, _ in Counter(shape.form for shape in shapes).most_common(_MOST_FORMS)]
    pairs = [shape.numbers for shape in shapes if shape.numbers]
    first, second = _order(pairs, common[0], example, label) if pairs else ("%d", "%m")
    return Dates(tuple(f.replace(_FIRST, first).replace(_SECOND, second) for f in common))


def _order(
    pairs: Sequence[tuple[int, int]], form: str, example: str, label: str
) -> tuple[str, str]:
    """Tell whether the day or the month comes first."""
    day_first = any(first > 12 for first, _ in pairs)
    month_first = any(second > 12 for _, second in pairs)
    if day_first != month_first:
        return ("%d", "%m") if day_first else ("%m", "%d")
    if not day_first and _FIRST + "." in form:  # with points the day comes first everywhere
        return "%d", "%m"
    likely = [
        form.replace(_FIRST, first).replace(_SECOND, second)
        for first, second in (("%d", "%m"), ("%m", "%d"))
    ]
    seen = (
        "some have the day first, others the month"
        if day_first
        else ("day or month may come first in those at its start")
    )
    raise InputError(
        f"{label}: its timestamps, such as {example!r}, can be read in two ways: {seen}; say "
        f"`timestamp_format` '{likely[0]}' or '{likely[1]}'"
    )
