"""Separate the good rows of a part from the bad ones, fast where all are good.

A part is first read as a whole, with typed columns. Where that fails, because some row is bad, it
is cut into smaller pieces that are tried in turn; only the small pieces that still fail are read
row by row. So a part with few bad rows costs little more than a clean one, and the reasons come
from one place, `values.row_reader`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.extensions import ExtensionArray

from mfdask.ratings.source import REJECTED_COLUMNS
from mfdask.ratings.values import EXACT_IN_FLOAT64, ROLES, BadValueError, Types, row_reader

ROW_BY_ROW = 512  # rows; below this, reading row by row costs about as much as one more try
_TEXT_KEPT = 500  # characters of a rejected row that are kept


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
    """Consecutive rows that can be read at once, cut into smaller pieces, or read row by row."""

    n_lines: int

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read every row. Raises `UncleanError` or an Arrow error where any row is bad."""

    def split(self) -> Sequence[Piece]:
        """Cut into smaller pieces, in order."""

    def rows(self, types: Types) -> Iterator[Row]:
        """Go through the rows; blank lines are left out, but counted in `Row.place`."""


def clean(piece: Piece, types: Types, file: str, first: int = 0) -> tuple[pd.DataFrame, ...]:
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
    good: list[pd.DataFrame] = []
    bad: list[pd.DataFrame] = []
    for start, small in _pieces(piece, types, first, good):
        _row_by_row(small, types, file, start, good, bad)
    kept = _joined(good) if good else _frame({}, types, first)
    rejected = pd.concat(bad, ignore_index=True) if bad else _rejected([], file)
    return kept, rejected


def _pieces(
    piece: Piece, types: Types, first: int, good: list[pd.DataFrame]
) -> Iterator[tuple[int, Piece]]:
    """Add what can be read at once to `good`; yield, in order, the small pieces that cannot."""
    try:
        good.append(_frame(piece.columns(types), types, first))
        return
    except (UncleanError, pa.ArrowInvalid):
        pass
    if piece.n_lines <= ROW_BY_ROW:
        yield first, piece
        return
    for smaller in piece.split():
        yield from _pieces(smaller, types, first, good)
        first += smaller.n_lines


def _row_by_row(
    piece: Piece,
    types: Types,
    file: str,
    first: int,
    good: list[pd.DataFrame],
    bad: list[pd.DataFrame],
) -> None:
    read = row_reader(types)
    places, kept, rejected = [], [], []
    for row in piece.rows(types):
        reason = row.reason
        if row.texts is not None:
            try:
                kept.append(read(row.texts))
                places.append(first + row.place)
                continue
            except BadValueError as error:
                reason = str(error)
        rejected.append((first + row.place, reason, row.text))
    if kept:
        columns = zip(*kept, strict=True)
        series = {
            ROLES[role]: pd.Series(column, dtype=_dtype(role, types[role]))
            for role, column in zip(types, columns, strict=True)
        }
        good.append(pd.DataFrame(series).set_axis(places, axis=0))
    if rejected:
        bad.append(_rejected(rejected, file))


def _dtype(role: str, value_type: pa.DataType) -> str:
    if role == "rating":
        return "float32"
    return "str" if pa.types.is_large_string(value_type) else "int64"


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return frames[0] if len(frames) == 1 else pd.concat(frames)


def _rejected(rows: list[tuple[int, str, str]], file: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=REJECTED_COLUMNS[1:])
    frame = frame.astype({"row": "int64", "reason": "str", "text": "str"})
    too_long = frame["text"].str.len() > _TEXT_KEPT
    frame["text"] = frame["text"].where(~too_long, frame["text"].str[:_TEXT_KEPT] + "…")
    frame.insert(0, "file", pd.Series([file] * len(frame), dtype="str"))
    return frame


def _frame(columns: dict[str, pa.Array], types: Types, first: int) -> pd.DataFrame:
    """Turn typed columns into a frame of good rows; raises if any row is bad."""
    made: dict[str, np.ndarray | ExtensionArray] = {}
    for role, value_type in types.items():
        array = columns.get(role, pa.array([], value_type))
        if array.null_count:
            raise UncleanError(role)
        if role == "rating":
            made[ROLES[role]] = _ratings(array)
        elif role == "timestamp":
            made[ROLES[role]] = _seconds(array)
        else:
            made[ROLES[role]] = _ids(array)
    length = len(next(iter(made.values())))
    return pd.DataFrame(made, index=pd.RangeIndex(first, first + length), copy=False)


def _ids(array: pa.Array) -> np.ndarray | ExtensionArray:
    if pa.types.is_large_string(array.type):
        if pc.any(pc.equal(pc.binary_length(array), 0)).as_py():
            raise UncleanError("empty id")
        return array.to_pandas().astype("str").array
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64()).to_numpy()
    values = array.to_numpy()
    if not np.all((np.floor(values) == values) & (np.abs(values) < EXACT_IN_FLOAT64)):
        raise UncleanError("not an integer")
    return values.astype(np.int64)


def _ratings(array: pa.Array) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = array.cast(pa.float64()).to_numpy().astype(np.float32)
    if not np.isfinite(values).all():
        raise UncleanError("not finite")
    return values


def _seconds(array: pa.Array) -> np.ndarray:
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.int64()).to_numpy() // 1_000_000_000
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64()).to_numpy()
    values = np.floor(array.to_numpy())
    if not np.all(np.abs(values) < 2.0**63):
        raise UncleanError("not finite")
    return values.astype(np.int64)
