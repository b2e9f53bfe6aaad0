"""Windows over the ratings of items in the order of time: which there are, and what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Float64s, Int32s, Int64s


@njit(nogil=True, cache=True)
def cut_windows(
    starts: Int32s,
    times: Int32s,
    length: int,
    shift: int,
    least: int,
    first: Int32s,
    last: Int32s,
    row: Int32s,
    start: Int32s,
) -> int:
    """List the windows of all rows that hold at least so many.

    Parameters
    ----------
    starts : int32[n_rows + 1]
    times : int32[n]
        Ascending within a row.
    length : int
        A window is from ``k * length - shift`` to before ``(k + 1) * length - shift``.
    shift : int
        From 0 to before `length`.
    least : int
    first, last, row, start : int32[n // least]
        The begins are filled: places of a window's first time and of the one behind its last, its
        row, and when it begins.

    Returns
    -------
    int
        How many windows there are.
    """
    n = 0
    for this in range(starts.size - 1):
        begin = starts[this]
        while begin < starts[this + 1]:
            when = (times[begin] + shift) // length * length - shift
            end = begin + 1
            while end < starts[this + 1] and times[end] < when + length:
                end += 1
            if end - begin >= least:
                first[n], last[n], row[n], start[n] = begin, end, this, when
                n += 1
            begin = end
    return n


@inner
def _due(first: int, before: Int64s, edges: Int64s, curve: Float64s, until: int) -> float:
    """Return what is due to an item up to a time, see `due_shares`."""
    total = 0.0
    for age in range(edges.size):
        begin = first + edges[age]
        if begin >= until:
            break
        end = until if age + 1 == edges.size else min(first + edges[age + 1], until)
        total += curve[age] * (before[end] - before[begin])
    return total


@njit(nogil=True, parallel=True, cache=True)
def due_shares(
    first: Int64s,
    before: Int64s,
    edges: Int64s,
    curve: Float64s,
    items: Int32s,
    start: Int32s,
    length: int,
    out: Float64s,
) -> None:
    """Say what share of an item's ratings is due to each window.

    Parameters
    ----------
    first : int64[n_items]
        When the item begins.
    before : int64[span + 1]
        Ratings of all items before each time.
    edges : int64[ages]
        From which age on `curve` holds; the first is 0.
    curve : float64[ages]
        Interest in an item, by age.
    items, start : int32[windows]
    length : int
        Of every window.
    out : float64[windows]
        Filled.
    """
    span = before.size - 1
    for k in prange(items.size):
        own = first[items[k]]
        begin, end = min(max(start[k], 0), span), min(max(start[k] + length, 0), span)
        within = _due(own, before, edges, curve, end) - _due(own, before, edges, curve, begin)
        out[k] = within / _due(own, before, edges, curve, span)


@njit(nogil=True, parallel=True, cache=True)
def count_values(first: Int32s, n: Int32s, values: Any, out: Int32s) -> None:
    """Count each value in windows.

    Parameters
    ----------
    first, n : int32[windows]
        A window holds the values from place `first` on.
    values : uint8[n_values]
    out : int32[windows, different values]
        Filled.
    """
    for k in prange(n.size):
        out[k] = 0
        for i in range(first[k], first[k] + n[k]):
            out[k, values[i]] += 1


@njit(nogil=True, parallel=True, cache=True)
def add_tails(
    n: Int32s, expected: Float64s, dispersion: Float64s, least: int, out: Float64s
) -> None:
    """Reckon the chances of `n` or more, and of more than `n`, of counts that are `least` or more.

    Counts are negative binomial. The terms of the distribution are added up, each from the one
    before, from that of `least` on, which is set to 1: no two sums are subtracted, so that small
    chances are as exact as large ones. It takes about ``n + expected + 40 dispersion expected``
    terms, which stay within the range of float64 up to some hundreds of these.

    Parameters
    ----------
    n : int32[windows]
        Not below `least`.
    expected, dispersion : float64[windows]
        Mean ``m`` and ``d`` of a count of variance ``m + d m^2``; finite.
    least : int
    out : float64[windows, 2]
        Filled.
    """
    close = np.finfo(np.float64).eps
    for k in prange(n.size):
        spread = dispersion[k] * expected[k]
        ratio = spread / (1.0 + spread)
        term, total, at, behind = 1.0, 0.0, 0.0, 0.0
        count = least
        while True:
            total += term
            if count == n[k]:
                at = term
            elif count > n[k]:
                behind += term
            step = ratio * (count + 1.0 / dispersion[k]) / (count + 1.0)
            most = max(step, ratio)  # of all steps to come
            left = term * most - close * (1.0 - most) * (at + behind)
            if count >= n[k] and most < 1.0 and left <= 0.0:
                break
            term *= step
            count += 1
        out[k, 0] = (at + behind) / total
        out[k, 1] = behind / total
