"""Forms of values that are read through their different texts: words, and numbers with words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError

FLOAT32_END = 2.0**128 - 2.0**103  # from here on a number rounds to infinity
FLOAT32_START = 2.0**-126  # below, a number loses its digits or rounds to 0
_DIGITS = r"[+-]?(?:[0-9]+(?:[.,][0-9]+)?|[.][0-9]+)"
#: ``5 stars``, ``5/5``, ``4.0 out of 5 stars``.
_STARS = re.compile(
    rf"\s*({_DIGITS})\s*(?:(?:/|out of)\s*({_DIGITS}))?\s*(?:stars?|points?|\u2605)?\s*",
    re.IGNORECASE,
)
#: What follows each sign between thousands.
_THREE_DIGITS = re.compile(r"\d{3}(?!\d)")
#: What texts of a column of booleans stand for.
BOOLEANS = {
    written: value
    for text, value in (("true", 1.0), ("false", 0.0))
    for written in (text, text.capitalize(), text.upper())
}


#: Words of a column that tells the rows of the test part.
_SPLITS = {"0": 0.0, "1": 1.0, "train": 0.0, "training": 0.0, "test": 1.0, "testing": 1.0}


class ValueForm(Protocol):
    """A way to read the different texts of a column."""

    @property
    def reason(self) -> str:
        """Why a text has no value."""

    def read(self, texts: pd.Index) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return the values of different texts, and which have one."""


@dataclass(frozen=True)
class WordValues:
    """Words in the place of numbers, each with its value."""

    values: Mapping[str, float]
    reason: str = "event has no value"

    def read(self, texts: pd.Index) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the values of words, and which have one."""
        of_words = [self.values.get(str(word).strip(), np.nan) for word in texts]
        values = np.array(of_words, np.float32)
        return values, ~np.isnan(values)


#: How a column tells the rows of the test part.
SPLIT = WordValues(_SPLITS | BOOLEANS, "split is neither train nor test")


@dataclass(frozen=True)
class Numbers:
    """Numbers with words or signs about them.

    Attributes
    ----------
    out_of : float or None
        The largest, as ``4/5`` and ``4 out of 5`` name it.
    decimal, thousands : str
        Signs within them; no `thousands`: none.
    """

    out_of: float | None = None
    decimal: str = "."
    thousands: str = ""

    @property
    def reason(self) -> str:
        """Why a text has no value."""
        scale = "" if self.out_of is None else f", or not out of {self.out_of:g}"
        return f"rating is not a number{scale}"

    def read(self, texts: pd.Index) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the numbers in texts, and which have one."""
        values = np.array([self._value(str(text)) for text in texts], np.float32)
        return values, ~np.isnan(values)

    def _value(self, text: str) -> float:
        value, out_of = self.parts(text)
        fits = out_of is None or self.out_of is None or out_of == self.out_of
        return value if fits and abs(value) < FLOAT32_END else math.nan

    def parts(self, text: str) -> tuple[float, float | None]:
        """Return the number of a text, nan where there is none, and what it is out of."""
        if self.thousands:
            if not all(map(_THREE_DIGITS.match, text.split(self.thousands)[1:])):
                return math.nan, None  # 4.5 is no 45
            text = text.replace(self.thousands, "")
        if self.decimal != ".":
            text = text.replace(self.decimal, ".")
        found = _STARS.fullmatch(text)
        if found is None or any("," in part for part in found.groups() if part):
            return math.nan, None
        return float(found[1]), None if found[2] is None else float(found[2])


def sniff_numbers(texts: Iterable[str], form: Numbers, label: str) -> Numbers | None:
    """Return the form of ratings in a sample; None where they are plain numbers.

    Raises
    ------
    InputError
        No text has a number in it, or some are out of 5 and others out of 10.
    """
    different = sorted({text for text in map(str.strip, texts) if text})
    plain = [text for text in different if _is_plain(text, form.decimal)]
    read = {text: form.parts(text) for text in different}
    written = [text for text in different if not math.isnan(read[text][0])]
    if different and not plain and not written:
        raise InputError(_no_number(different, label))
    if not form.thousands and len(written) - len(plain) <= len(different) / 2:
        return None
    scales = {out_of for _, out_of in read.values() if out_of is not None}
    if len(scales) > 1:
        raise InputError(
            f"{label}: some of its ratings are out of {min(scales):g}, others out of "
            f"{max(scales):g}; bring them to one scale"
        )
    return Numbers(next(iter(scales), None), form.decimal, form.thousands)


def _is_plain(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _no_number(texts: Sequence[str], label: str) -> str:
    shown = ", ".join(map(repr, texts[:3]))
    return (
        f"{label}: its ratings are no numbers ({shown}{' …' if len(texts) > 3 else ''}); say what "
        "each word is worth with `event_values` such as like=1,love=2, choose another column with "
        "`columns` rating=NAME, or leave them out with `columns` rating="
    )
