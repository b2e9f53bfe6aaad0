"""Sorted rows in memory, with insertion and removal of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask import kernels

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class SortedRows(NamedTuple):
    """The entries of a block, row by row, columns ascending within a row.

    Attributes
    ----------
    starts : int64 (n_rows + 1,)
    columns : int32 (n,)
    ratings : float32 (n,)
    times : int64 (n,) or None
    weights : float32 (n,) or None
    """

    starts: Int64s
    columns: Int32s
    ratings: Float32s
    times: Int64s | None = None
    weights: Float32s | None = None

    @property
    def row_numbers(self) -> Int32s:
        """The row of each entry, int32 (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))

    def entries(self, places: Any) -> Entries:
        """Return the entries at ascending places."""
        rows = np.searchsorted(self.starts, places, side="right") - 1
        return Entries(rows.astype(np.int32), *_of_each(lambda own: own[places], self[1:]))

    def find(self, rows: Int32s, columns: Int32s) -> tuple[Int64s, Bools]:
        """Return where each pair is or would have to stand, and whether it is there."""
        places = kernels.merge.find_pairs(self.starts, self.columns, rows, columns)
        there = places < self.starts[rows + 1]
        there[there] = self.columns[places[there]] == columns[there]
        return places, there

    def put(self, new: Entries, adds_up: bool = False) -> SortedRows:
        """Return rows with new entries in them, in place of those of the same pairs.

        Parameters
        ----------
        new : Entries
            Ascending by row and column, no pair twice. Where there are times, one that is older
            than what is there is left out.
        adds_up : bool
            Add them to those of the same pairs instead; the later of two times stays.
        """
        places, there = self.find(new.rows, new.columns)
        if adds_up:
            new = self._added(new, places[there], there)
        elif self.times is not None and new.times is not None:
            chosen = ~there
            chosen[there] = new.times[there] >= self.times[places[there]]
            new, places, there = new.only(chosen), places[chosen], there[chosen]
        if not len(places):
            return self
        before = places[~there]
        # What is there moves on by one for each new entry in front of it.
        replaced = places[there] + np.searchsorted(before, places[there], side="right")

        def filled(old: Any, values: Any) -> Any:
            if old is None:
                return None
            out = np.empty(len(old) + len(before), old.dtype)
            kernels.merge.insert_into(old, before, values[~there], out)
            out[replaced] = values[there]
            return out

        added = np.bincount(new.rows[~there], minlength=len(self.starts) - 1)
        starts = self.starts + np.concatenate([[0], np.cumsum(added)])
        return SortedRows(starts, *map(filled, self[1:], new[1:]))

    def _added(self, new: Entries, places: Int64s, there: Bools) -> Entries:
        """Return new entries with what the rows hold of the same pairs in them."""
        sums = new.ratings.astype(np.float64)
        sums[there] += self.ratings[places]
        if self.times is None or new.times is None:
            return new._replace(ratings=sums.astype(np.float32))
        times = new.times.copy()
        times[there] = np.maximum(times[there], self.times[places])
        return new._replace(ratings=sums.astype(np.float32), times=times)

    def without(self, places: Int64s) -> SortedRows:
        """Return rows without the entries at some places, ascending, none twice."""
        if not len(places):
            return self
        starts = self.starts - np.searchsorted(places, self.starts)
        return SortedRows(starts, *_of_each(lambda own: np.delete(own, places), self[1:]))

    def changes_to(self, new: SortedRows) -> Entries:
        """Return what differs in `new`, of as many rows: a rating of NaN is gone."""
        room = len(self.columns) + len(new.columns)  # memory that is not written to costs nothing
        rows, columns = np.empty(room, np.int32), np.empty(room, np.int32)
        ratings = np.empty(room, np.float32)
        n = kernels.merge.changes_into(*self[:3], *new[:3], rows, columns, ratings)
        return Entries(rows[:n], columns[:n], ratings[:n])


class Entries(NamedTuple):
    """Some entries of a block.

    Attributes
    ----------
    rows, columns : int32 (k,)
    ratings : float32 (k,)
    times : int64 (k,) or None
    weights : float32 (k,) or None
    """

    rows: Int32s
    columns: Int32s
    ratings: Float32s
    times: Int64s | None = None
    weights: Float32s | None = None

    def only(self, chosen: Any) -> Entries:
        """Return some of the entries."""
        return Entries(*_of_each(lambda own: own[chosen], self))


def _of_each(change: Callable[[Any], Any], columns: Iterable[Any]) -> Iterator[Any]:
    """Yield each column changed; None where there is none."""
    return (None if own is None else change(own) for own in columns)
