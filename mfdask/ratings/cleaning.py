"""Separate the good rows of a part from the bad ones.

A part is first read as a whole, with typed columns. Where that fails, because some row is bad, it
is cut into smaller pieces that are tried in turn. In a small piece that still fails, the rows that
look plain (`values.plain_pattern`) are read at once, and only the odd ones value by value. So a
part with a few bad rows costs little more than a clean one, one with many a few times as much, and
all reasons come from one place, `values.row_reader`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.extensions import ExtensionArray

from mfdask.ratings.forms import FLOAT32_START
from mfdask.ratings.source import REJECTED_COLUMNS
from mfdask.ratings.times import time_range
from mfdask.ratings.values import (
    EXACT_IN_FLOAT64,
    ROLES,
    STRING,
    BadValueError,
    Types,
    row_reader,
)

SMALL = 8192  # rows; sifting these costs about as much as trying sixteen smaller pieces
_TEXT_KEPT = 500  # characters of a rejected row that are kept


#: Made once: of many small files each has such a table.
_NONE_BAD = pd.DataFrame({"file": [], "row": [], "reason": [], "text": []}).astype(
    {"file": "str", "row": "int64", "reason": "str", "text": "str"}
)

_Column: TypeAlias = np.ndarray | pa.Array  # Arrow for text, NumPy for numbers


class UncleanError(ValueError):
    """Some row of a piece is bad, or missing."""


@dataclass(frozen=True)
class Row:
    """One row as texts: `texts` in the order of the types, or None with the reason why not."""

    place: int
    text: str
    texts: list[str] | None
    reason: str = ""


class Piece(Protocol):
    """Rows that can be read at once, cut into smaller pieces, or sifted."""

    n_lines: int

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read every row. Raises `UncleanError` or an Arrow error where any row is bad."""

    def split(self) -> Sequence[Piece]:
        """Cut into smaller pieces, in order."""

    def sift(self, types: Types) -> tuple[np.ndarray, Piece, Iterator[Row]]:
        """Part the plain rows, with their places, from the odd ones; blank lines are neither."""


def clean(
    piece: Piece, types: Types, file: str, first: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read `piece` into good and rejected rows, the two frames of `Parsed`.

    Parameters
    ----------
    piece : Piece
        The rows.
    types : dict
        Role to type, see `values`.
    file : str
        The file's name, for the rejected rows.
    first : int
        The number of the piece's first line or row.
    """
    sieve = _Sieve(types)
    sieve.take(piece, first)
    return sieve.ratings(), sieve.rejected(file)


class _Sieve:
    """Gathers good rows, as pieces of columns, and bad rows."""

    def __init__(self, types: Types) -> None:
        self.types = types
        self.read_row = row_reader(types)
        self.places: list[np.ndarray | range] = []
        self.columns: dict[str, list[_Column]] = {role: [] for role in types}
        self.bad: list[tuple[int, str, str]] = []

    def take(self, piece: Piece, first: int) -> None:
        """Read a piece that begins with row `first`, at once if possible."""
        try:
            columns = _checked(piece.columns(self.types), self.types)
        except (UncleanError, pa.ArrowInvalid):
            if piece.n_lines <= SMALL:
                self._take_sifted(piece, first)
                return
        else:
            self._add(range(first, first + piece.n_lines), columns)
            return
        for smaller in piece.split():
            self.take(smaller, first)
            first += smaller.n_lines

    def _add(self, places: range | np.ndarray, columns: dict[str, _Column]) -> None:
        self.places.append(places)
        for role, values in columns.items():
            self.columns[role].append(values)

    def _take_sifted(self, piece: Piece, first: int) -> None:
        plain_places, plain, odd = piece.sift(self.types)
        self._add(first + plain_places, _checked(plain.columns(self.types), self.types))
        places: list[int] = []
        kept: list[list[int | float | str]] = []
        for row in odd:
            reason = row.reason
            if row.texts is not None:
                try:
                    kept.append(self.read_row(row.texts))
                    places.append(first + row.place)
                    continue
                except BadValueError as error:
                    reason = str(error)
            self.bad.append((first + row.place, reason, row.text))
        columns = {
            role: _column([row[place] for row in kept], role, self.types)
            for place, role in enumerate(self.types)
        }
        self._add(np.array(places, np.int64), columns)

    def ratings(self) -> pd.DataFrame:
        """Return the good rows, numbered by their places."""
        columns = {ROLES[role]: _joined(pieces) for role, pieces in self.columns.items()}
        if len(self.places) == 1 and isinstance(self.places[0], range):
            index: pd.Index = pd.RangeIndex(self.places[0])
        else:
            index = pd.Index(np.concatenate(self.places), dtype=np.int64)
        frame = pd.DataFrame(columns, index=index, copy=False)
        # Odd rows that turned out good came behind the plain ones of their piece.
        return frame if index.is_monotonic_increasing else frame.sort_index()

    def rejected(self, file: str) -> pd.DataFrame:
        """Return the bad rows, with the reason for each."""
        if not self.bad:
            return _NONE_BAD.copy()
        frame = pd.DataFrame(self.bad, columns=REJECTED_COLUMNS[1:])
        frame = frame.astype({"row": "int64", "reason": "str", "text": "str"})
        too_long = frame["text"].str.len() > _TEXT_KEPT
        frame["text"] = frame["text"].where(~too_long, frame["text"].str[:_TEXT_KEPT] + "…")
        frame.insert(0, "file", pd.Series([file] * len(frame), dtype="str"))
        return frame


def _column(values: Sequence[int | float | str], role: str, types: Types) -> _Column:
    """Make a piece of a column of values that were read one by one."""
    if pa.types.is_large_string(types[role]):
        return pa.array(values, types[role])
    return np.array(values, np.float32 if role in ("rating", "weight") else np.int64)


def _joined(pieces: list[_Column]) -> np.ndarray | ExtensionArray:
    if isinstance(pieces[0], pa.Array):
        return pa.chunked_array(pieces).to_pandas().astype("str").array
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _checked(columns: dict[str, pa.Array], types: Types) -> dict[str, _Column]:
    """Bring typed columns into their final types; raises if any row is bad."""
    made = {}
    for role, value_type in types.items():
        array = columns.get(role, pa.array([], value_type))
        if array.null_count:
            raise UncleanError(role)
        if role == "timestamp" and value_type != STRING:
            made[role] = _seconds(array, value_type)
        elif role == "rating" and value_type != STRING:
            made[role] = _floats(array)
        elif role == "weight":
            made[role] = _weights(array)
        else:
            made[role] = _ids(array)
    return made


def _ids(array: pa.Array) -> _Column:
    if pa.types.is_large_string(array.type):
        if pc.any(pc.equal(pc.binary_length(array), 0)).as_py():
            raise UncleanError("empty id")
        return array
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64()).to_numpy()
    values = array.to_numpy()
    if not np.all((np.floor(values) == values) & (np.abs(values) < EXACT_IN_FLOAT64)):
        raise UncleanError("not an integer")
    return values.astype(np.int64)


def _floats(array: pa.Array) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = array.cast(pa.float64()).to_numpy().astype(np.float32)
    if not np.isfinite(values).all():
        raise UncleanError("not finite")
    return values


def _weights(array: pa.Array) -> np.ndarray:
    values = _floats(array)
    if not (values >= FLOAT32_START).all():
        raise UncleanError("not above 0")
    return values


def _seconds(array: pa.Array, kind: pa.DataType) -> np.ndarray:
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.int64()).to_numpy() // 1_000_000_000
    if pa.types.is_floating(array.type):
        values = np.floor(array.to_numpy())
    else:
        values = array.cast(pa.int64()).to_numpy()
    first, last, per_second = time_range(kind)
    if not np.all((values >= first) & (values <= last)):
        raise UncleanError("not finite, or no time")
    values = values.astype(np.int64, copy=False)
    return values if per_second == 1 else values // per_second
