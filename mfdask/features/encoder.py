"""Encoding of genres and other columns of a table as numeric features of items or users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.kernels.types import Float32s

#: Features at most whose weights are solved anew in each sweep by a full matrix.
MAX_FEATURES = 1024
#: Numbers of all features of a side at most, where their weights are searched for: 512 MiB.
MAX_NUMBERS = 2**27
#: Names of the feature that is 1 for all.
EVERY_ITEM, EVERY_USER = "every item", "every user"
#: How numbers are scaled: less their mean, over their deviation or their range; or not at all.
FeatureScale = Literal["deviation", "range", "none"]


@dataclass(frozen=True)
class Shares:
    """A column of values joined by ``|``: a feature each, one over the number of an item's values.

    Values that are not among `values` are left out; an item without any is all zeros.
    """

    column: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, column: pd.Series) -> Shares:
        """Take all values of a column, sorted."""
        values = sorted(set(_split(_texts(column).drop_duplicates())) - {""})
        return cls(str(column.name), tuple(values))

    @property
    def names(self) -> list[str]:
        """Return the features' names."""
        return [f"{self.column}={value}" for value in self.values]

    def encode(self, items: pd.DataFrame) -> Float32s:
        """Return the shares, float32 (items, values)."""
        # Many items have the same text, each of which is read once.
        text, kinds = pd.factorize(_texts(items[self.column]))
        pieces = _split(pd.Series(kinds, dtype="str"))
        places = pd.Index(self.values, dtype="str").get_indexer(pd.Index(pieces))
        flags = np.zeros((len(kinds), len(self.values)), np.float32)
        known = places >= 0
        flags[pieces.index.to_numpy()[known], places[known]] = 1
        flags /= np.maximum(flags.sum(axis=1, keepdims=True), 1)
        return flags[text]


@dataclass(frozen=True)
class Number:
    """A column of numbers: one feature, less `mean` and over `deviation`; 0 where it is missing.

    Both are 0 and 1 where numbers are taken as they are, and `deviation` may be a range.
    """

    column: str
    mean: float
    deviation: float

    @classmethod
    def of(cls, column: pd.Series, scale: FeatureScale = "deviation") -> Number:
        """Scale by those that have the number."""
        values = _numbers(column)
        if scale == "none":
            return cls(str(column.name), 0.0, 1.0)
        values = values[~np.isnan(values)]
        width = np.ptp if scale == "range" else np.std
        deviation = float(width(values)) if len(values) else 0.0
        mean = float(values.mean()) if len(values) else 0.0
        return cls(str(column.name), mean, deviation or 1.0)  # a constant tells nothing: zeros

    @property
    def names(self) -> list[str]:
        """Return the feature's name, in a list."""
        return [self.column]

    def encode(self, items: pd.DataFrame) -> Float32s:
        """Return the numbers, float32 (items, 1)."""
        values = (_numbers(items[self.column]) - self.mean) / self.deviation
        return np.nan_to_num(values).astype(np.float32)[:, None]


@dataclass(frozen=True)
class FeatureEncoder:
    """How the columns of a table of items, or of users, become features.

    Attributes
    ----------
    columns : tuple of Shares and Number
    of_genres : bool
        The features are shares of genres alone, and have their names. They add up to one, so that
        what all items have in common needs no feature of its own, as it does otherwise.
    every : str
        Name of that feature.
    """

    columns: tuple[Shares | Number, ...]
    of_genres: bool = False
    every: str = EVERY_ITEM

    @classmethod
    def genres(cls, names: Sequence[str]) -> FeatureEncoder:
        """Return the coding of genres that are known by name."""
        return cls((Shares("genres", tuple(names)),), of_genres=True)

    @classmethod
    def genres_of(cls, items: pd.DataFrame) -> FeatureEncoder:
        """Learn the genres of a table of items.

        Raises
        ------
        InputError
            If no item has one.
        """
        found = Shares.of(items["genres"]) if "genres" in items else None
        if found is None or not found.values:
            raise InputError("the items have no genres; a genre prior needs a catalogue with them")
        return cls((found,), of_genres=True)

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        scale: FeatureScale = "deviation",
        every: str = EVERY_ITEM,
        is_searched: bool = False,
    ) -> FeatureEncoder:
        """Learn the coding of a table that has nothing but columns of features.

        Parameters
        ----------
        table : DataFrame
            One line an item, or a user.
        scale : {"deviation", "range", "none"}
            How numbers are scaled.
        every : str
            Name of the feature that all have: ``every item`` or ``every user``.
        is_searched : bool
            Whether their weights are searched for by conjugate gradients, which need no full matrix
            of features by features: then there may be more than `MAX_FEATURES`.

        Raises
        ------
        InputError
            If a column is neither text nor finite numbers, or there are no features or too many.
        """
        columns: list[Shares | Number] = []
        for name in table:
            numeric = pd.api.types.is_numeric_dtype(table[name].dtype)
            columns.append(Number.of(table[name], scale) if numeric else Shares.of(table[name]))
        sizes = {column.column: len(column.names) for column in columns}
        if not sum(sizes.values()):
            one = every.removeprefix("every ")
            raise InputError(
                f"the {one} features say nothing of any {one}; give a column that does"
            )
        most = MAX_NUMBERS // max(len(table), 1) if is_searched else MAX_FEATURES
        if 1 + sum(sizes.values()) > most:
            largest = max(sizes, key=lambda name: sizes[name])
            more = "" if is_searched else ", or join `rated` to the prior, which takes more"
            raise InputError(
                f"{1 + sum(sizes.values()):,} features, and {most:,} are the most: column "
                f"{largest!r} alone has {sizes[largest]:,} values; leave out rare ones{more}"
            )
        return cls(tuple(columns), every=every)

    @property
    def names(self) -> list[str]:
        """Return the features' names: ``Drama``, or ``every item``, ``tag=space``, ``budget``."""
        names = [name for column in self.columns for name in column.names]
        if self.of_genres:
            return [name.removeprefix("genres=") for name in names]
        return [self.every, *names]

    def encode(self, items: pd.DataFrame) -> Float32s:
        """Return the features of the lines of a table, float32 (lines, features).

        A column that the table lacks is missing for all.

        Raises
        ------
        InputError
            If a column is not of the kind that was learned.
        """
        parts = [] if self.of_genres else [np.ones((len(items), 1), np.float32)]
        for column in self.columns:
            if column.column in items:
                parts.append(column.encode(items))
            else:
                parts.append(np.zeros((len(items), len(column.names)), np.float32))
        return np.concatenate(parts, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON has it."""
        columns = [asdict(column) for column in self.columns]
        return {"of_genres": self.of_genres, "every": self.every, "columns": columns}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> FeatureEncoder:
        """Return the encoder of what `to_dict` has returned.

        Raises
        ------
        KeyError, TypeError
            If it tells of none.
        """
        columns = tuple(
            Shares(column["column"], tuple(column["values"]))
            if "values" in column
            else Number(**column)
            for column in said["columns"]
        )
        return cls(columns, said["of_genres"], said.get("every", EVERY_ITEM))


def _texts(column: pd.Series) -> pd.Series:
    """Return a column of texts, empty where they are missing.

    Raises
    ------
    InputError
        If the column is not text.
    """
    known = column.dropna()
    if len(known) and not pd.api.types.is_string_dtype(known):
        raise InputError(f"feature {column.name!r}: neither numbers nor text; leave it out")
    return column.astype("str").fillna("").reset_index(drop=True)


def _split(texts: pd.Series) -> pd.Series:
    """Return the values of all texts one by one; the index is the text's place."""
    return texts.str.split("|").explode()


def _numbers(column: pd.Series) -> npt.NDArray[np.float64]:
    """Return a column's numbers, NaN where one is missing.

    Raises
    ------
    InputError
        If it is not one of finite numbers.
    """
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise InputError(f"feature {column.name!r}: numbers are wanted, not text")
    values = column.to_numpy(np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise InputError(f"feature {column.name!r}: a number is infinite; leave it empty")
    return values
