"""Conditions on the columns of items, such as ``genres has Comedy``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.features.file import FeatureFile, read_features
from mfdask.models import Model

Mask = npt.NDArray[np.bool_]

_OPERATOR = re.compile(r"\s*(<=|>=|!=|=|<|>|has\b|lacks\b)\s*(.*\S)\s*$", re.IGNORECASE)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_OF_TEXTS = ("has", "lacks", "=", "!=")


def item_table(model: Model, catalogue: Path | None = None) -> pd.DataFrame:
    """Return what is known of a model's items, in row order.

    Parameters
    ----------
    model : Model
    catalogue : Path, optional
        A CSV or Parquet file of item ids and more columns, which go before those of the model;
        missing for items that the file lacks.

    Raises
    ------
    InputError
        If it is no such file, or none of its ids is an item's.
    """
    items = model.items
    if catalogue is None:
        return items
    ids = pd.Index(items["item_id"])
    read = read_features(FeatureFile.at(catalogue), pd.api.types.is_integer_dtype(ids.dtype))
    if not ids.isin(read.index).any():
        raise InputError(
            f"{catalogue}: none of its {len(read):,} ids in column {read.index.name!r} is an item "
            "of the model; give a CSV or Parquet file of its items"
        )
    extra = read.reindex(ids).reset_index(drop=True)
    return pd.concat([items.drop(columns=extra.columns, errors="ignore"), extra], axis=1)


def items_where(items: pd.DataFrame, conditions: Sequence[str]) -> tuple[Any, ...]:
    """Return the ids of the items that meet all conditions.

    Parameters
    ----------
    items : DataFrame
        `item_id` and other columns, see `item_table`.
    conditions : sequence of str
        Each is ``COLUMN OPERATOR VALUE``. Numbers are compared by ``=``, ``!=``, ``<``, ``<=``,
        ``>`` and ``>=``. A text may be ``=`` or ``!=`` another, or, as a list joined by ``|`` such
        as genres, it ``has`` or ``lacks`` one; upper and lower case are the same. What is missing
        meets ``!=`` and ``lacks`` alone.

    Raises
    ------
    InputError
        If one is no condition, or no item meets all of them.
    """
    masks = [Condition.parse(text, items.columns).holds(items) for text in conditions]
    good = reduce(np.logical_and, masks, np.ones(len(items), np.bool_))
    if not good.any():
        counts = (f"{text!r} {own.sum():,}" for text, own in zip(conditions, masks, strict=True))
        raise InputError(
            f"`where`: no item of {len(items):,} meets all conditions, each by itself is met by: "
            f"{', '.join(counts)}; ask for less"
        )
    return tuple(items["item_id"][good].tolist())


@dataclass(frozen=True)
class Condition:
    """A column, an operator, and a value."""

    column: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str, columns: Iterable[Any]) -> Condition:
        """Read a condition on one of some columns, whose names may have spaces in them.

        Raises
        ------
        InputError
        """
        names = sorted(map(str, columns), key=len, reverse=True)
        for name in names:
            rest = text.strip().removeprefix(name)
            found = _OPERATOR.match(rest)
            if rest != text.strip() and found:
                return cls(name, found[1].lower(), found[2])
        raise InputError(
            f'`where` "{text}": write COLUMN OPERATOR VALUE, such as "genres has Comedy" or '
            f'"year >= 1990"; the operators are has, lacks, {", ".join(_COMPARE)}, and the columns '
            f"{', '.join(sorted(names))}"
        )

    def holds(self, items: pd.DataFrame) -> Mask:
        """Return which items meet it, bool (items,).

        Raises
        ------
        InputError
            If operator or value are none for the values of the column.
        """
        values = items[self.column]
        if pd.api.types.is_numeric_dtype(values.dtype):
            return self._of_numbers(values.to_numpy(np.float64, na_value=np.nan))
        return self._of_texts(values.astype("str").fillna("").str.casefold())

    def _of_numbers(self, values: npt.NDArray[np.float64]) -> Mask:
        if self.operator not in _COMPARE:
            raise self._error(f"is a number; compare it by {', '.join(_COMPARE)}")
        try:
            value = float(self.value)
        except ValueError:
            raise self._error(f"is a number, which {self.value!r} is not") from None
        found: Mask = _COMPARE[self.operator](values, value)
        return found

    def _of_texts(self, values: pd.Series) -> Mask:
        if self.operator not in _OF_TEXTS:
            raise self._error(f"is a text; use {', '.join(_OF_TEXTS)}")
        wanted = self.value.casefold()
        if self.operator in ("=", "!="):
            found = (values == wanted).to_numpy(np.bool_)
        else:
            among = ("|" + values + "|").str.contains(f"|{wanted}|", regex=False)
            found = among.to_numpy(np.bool_)
        return found if self.operator in ("=", "has") else ~found

    def _error(self, trouble: str) -> InputError:
        text = f"{self.column} {self.operator} {self.value}"
        return InputError(f'`where` "{text}": {self.column} {trouble}')
