"""Sorting by several columns at once."""

from __future__ import annotations

import itertools

import numpy as np

from mfdask.kernels.types import Int64s

_MOST = np.iinfo(np.int64).max
#: Rows that are sorted at a time where one number does not hold the columns of all and their place.
_RUN = 2**18


def order_by(*columns: np.ndarray) -> Int64s:
    """Return the order that is ascending by whole numbers, int64 (rows,); equal rows as they came.

    It is that of `numpy.lexsort`, the first column leading. Columns are put into one number each
    row, which is sorted in a fraction of the time. Where they do not fit, rows are put in order by
    the first column, and then sorted in runs of some of its values: these fit, or lie in a cache.

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
    if rows * n >= _MOST and n > _RUN and spans[0] > 1 and len(columns) > 1:
        return _in_runs(*columns)
    if rows >= _MOST:
        return np.lexsort(columns[::-1])
    key = np.zeros(n, np.int64)
    for column, low, span in zip(columns, lows, spans, strict=True):
        key *= span
        key += column
        key -= low
    if rows * n >= _MOST:
        return _stable(key)
    key *= n  # the place makes them different, so that any sort is stable
    key += np.arange(n)
    key.sort()
    key %= n
    return key


def _stable(key: Int64s) -> Int64s:
    """Return the order of numbers; equal ones are put as they came after a sort that is faster."""
    order = np.argsort(key)
    key = key[order]
    same = np.flatnonzero(key[1:] == key[:-1])
    tied = np.union1d(same, same + 1)
    order[tied] = order[tied][np.lexsort((order[tied], key[tied]))]
    return order


def _in_runs(*columns: np.ndarray) -> Int64s:
    """Return the order by all columns, from that by the first one."""
    order = order_by(columns[0])
    leading = columns[0][order]
    cuts = np.unique(np.append(np.searchsorted(leading, leading[::_RUN]), len(order)))
    if len(cuts) == 2:  # nearly all rows are of one value
        cuts = np.insert(cuts, 1, np.searchsorted(leading, leading[0], side="right"))
    for first, last in itertools.pairwise(cuts.tolist()):
        own = order[first:last]
        order[first:last] = own[order_by(*(column[own] for column in columns))]
    return order
