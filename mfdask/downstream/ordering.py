"""Sorting by several columns at once."""

from __future__ import annotations

import numpy as np

from mfdask.kernels.types import Int64s

_MOST = np.iinfo(np.int64).max


def order_by(*columns: np.ndarray) -> Int64s:
    """Return the order that is ascending by whole numbers, int64 (rows,); equal rows as they came.

    It is that of `numpy.lexsort`, the first column leading. Columns are put into one number each
    row, which is sorted in a fraction of the time; only where they do not fit are they sorted one
    after the other.

    Parameters
    ----------
    *columns : int (rows,)
        The one that leads first.
    """
    n = len(columns[0])
    if not n:
        return np.zeros(0, np.int64)
    lows = [int(column.min()) for column in columns]
    spans = [int(column.max()) - low + 1 for column, low in zip(columns, lows, strict=True)]
    rows = np.prod([float(span) for span in spans])  # in floating point: nothing overflows
    if rows >= _MOST:
        return np.lexsort(columns[::-1])
    key = np.zeros(n, np.int64)
    for column, low, span in zip(columns, lows, spans, strict=True):
        key *= span
        key += column
        key -= low
    if rows * n >= _MOST:
        return np.argsort(key, kind="stable")
    key *= n  # the place makes them different, so that any sort is stable
    key += np.arange(n)
    key.sort()
    key %= n
    return key
