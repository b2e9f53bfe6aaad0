"""Rows of a table as cleaning takes them: the good ones at once, the odd ones one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfdask.ratings.cleaning import Row
from mfdask.ratings.times import time_range
from mfdask.ratings.values import WHOLE, Types, plain_pattern

_FAN_OUT = 16


class TableRows:
    """Rows of a table whose columns are numbers or text, as a `cleaning.Piece`."""

    def __init__(self, arrays: dict[str, pa.Array]) -> None:
        self.arrays = arrays
        self.n_lines = len(next(iter(arrays.values())))

    def columns(self, types: Types) -> dict[str, pa.Array]:
        """Read texts as the types say, numbers as they are. Raises where a text does not fit."""
        return {
            role: _typed(array, types[role]) if pa.types.is_large_string(array.type) else array
            for role, array in self.arrays.items()
        }

    def split(self) -> list[TableRows]:
        """Cut into sixteen pieces, or into single rows."""
        step = max(1, -(-self.n_lines // _FAN_OUT))
        return [
            TableRows({role: array.slice(begin, step) for role, array in self.arrays.items()})
            for begin in range(0, self.n_lines, step)
        ]

    def sift(self, types: Types) -> tuple[np.ndarray, TableRows, Iterator[Row]]:
        """Part the plain rows from the odd ones."""
        is_plain = np.ones(self.n_lines, bool)
        for role, array in self.arrays.items():
            is_plain &= _are_plain(array, role, types[role])
        places, odd = np.flatnonzero(is_plain), np.flatnonzero(~is_plain)
        return places, self._take(places), self._take(odd)._texts(types, odd)

    def _take(self, places: np.ndarray) -> TableRows:
        return TableRows({role: array.take(places) for role, array in self.arrays.items()})

    def _texts(self, types: Types, places: np.ndarray) -> Iterator[Row]:
        """Go through the rows, values written as text, missing ones as an empty text."""
        columns = [self.arrays[role].to_pylist() for role in types]
        for place, values in zip(places.tolist(), zip(*columns, strict=True), strict=True):
            texts = ["" if value is None else str(value) for value in values]
            yield Row(place, ",".join(texts), texts)


def _typed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read texts; those of counts of time as numbers."""
    return array.cast(WHOLE if pa.types.is_duration(kind) else kind)


def _are_plain(array: pa.Array, role: str, value_type: pa.DataType) -> np.ndarray:
    """Tell which values are surely good."""
    if pa.types.is_large_string(array.type):
        pattern = plain_pattern(role, value_type)
        if pattern is None:
            return np.zeros(len(array), bool)
        found = pc.match_substring_regex(array, f"^(?:{pattern})$")
    elif role == "timestamp":
        first, last, _ = time_range(value_type)
        counts = array.cast(pa.float64(), safe=False)
        # Half, as a float may be a little off.
        found = pc.and_(pc.greater_equal(counts, float(first)), pc.less(counts, last / 2))
    elif pa.types.is_integer(array.type):
        found = pc.less(array, pa.scalar(2**62, array.type))
    else:
        found = pc.less(pc.abs(array), 2.0**53)
        if role in ("user", "item"):
            found = pc.and_(found, pc.equal(pc.floor(array), array))
    if role == "weight" and not pa.types.is_large_string(array.type):
        found = pc.and_(found, pc.greater(array.cast(pa.float64(), safe=False), 1e-30))
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)
