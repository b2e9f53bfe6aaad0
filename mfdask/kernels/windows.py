"""Windows over the ratings of items in the order of time: which there are, and what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from mfdask.kernels.compiling import inner
from mfdask.kernels.types import Bools, Float64s, Int32s, Int64s, UInt8s

#: Of a row's life, what is taken to lie outside of a window at least.
_LEAST_REST = 1e-9


@njit(nogil=True, parallel=True, cache=True)
def count_marked(starts: Int32s, marked: Bools, out: Int32s) -> None:
    """Count what is marked in each row.

    Parameters
    ----------
    starts : int32[n_rows + 1]
    marked : bool[n]
    out : int32[n_rows]
        Filled.
    """
    for row in prange(out.size):
        n = 0
        for i in range(starts[row], starts[row + 1]):
            n += marked[i]
        out[row] = n


@njit(nogil=True, parallel=True, cache=True)
def count_windows(
    starts: Int32s, times: Int32s, length: int, shift: int, least: int, counts: Int64s
) -> None:
    """Count the windows of each row that hold at least so many.

    Parameters
    ----------
    starts : int32[n_rows + 1]
    times : int32[n]
        Ascending within a row.
    length, shift, least : int
        See `find_windows`.
    counts : int64[n_rows]
        Added to.
    """
    for row in prange(counts.size):
        i, stop = starts[row], starts[row + 1]
        while i < stop:
            behind = (times[i] + shift) // length * length - shift + length
            n = 0
            while i < stop and times[i] < behind:
                n += 1
                i += 1
            counts[row] += n >= least


@inner
def _due(first: int, before: Int64s, edges: Int64s, curve: Float64s, until: int) -> float:
    """Return what is due to a row up to a time, see `find_windows`."""
    total = 0.0
    for age in range(edges.size):
        begin = first + edges[age]
        if begin >= until:
            break
        end = until if age + 1 == edges.size else min(first + edges[age + 1], until)
        total += curve[age] * (before[end] - before[begin])
    return total


@inner
def _place(times: Int32s, low: int, high: int, wanted: int) -> int:
    """Return the first place from `low` on, up to `high`, with a time that is not before."""
    while low < high:
        middle = (low + high) // 2
        if times[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, parallel=True, cache=True)
def find_windows(
    cuts: Int64s,
    starts: Int32s,
    times: Int32s,
    other_starts: Int32s,
    other_times: Int32s,
    born: Int64s,
    before: Int64s,
    edges: Int64s,
    curve: Float64s,
    length: int,
    shift: int,
    least: int,
    first: Int32s,
    n: Int32s,
    row: Int32s,
    start: Int32s,
    expected: Float64s,
    vague: Float64s,
    counts: Int64s,
) -> None:
    """List the windows of all rows that hold at least so many times, and what is expected of them.

    Parameters
    ----------
    cuts : int64[parts + 1]
        Where the rows are cut into parts of about equal numbers of times.
    starts : int32[n_rows + 1]
    times : int32[n_times]
        Ascending within a row.
    other_starts : int32[n_rows + 1]
    other_times : int32[n_others]
        The same of others, which tell how many are usual.
    born : int64[n_rows]
        When a row begins.
    before : int64[span + 1]
        Times of all rows before each time.
    edges : int64[ages]
        From which age on `curve` holds; the first is 0.
    curve : float64[ages]
        Interest in a row, by age.
    length : int
        A window is from ``k * length - shift`` to before ``(k + 1) * length - shift``.
    shift : int
        From 0 to before `length`.
    least : int
    first, n, row, start : int32[n_times // least]
        Filled from ``starts[cuts[part]] // least`` on for each part: place of a window's first
        time, how many there are, its row, and when it begins.
    expected, vague : float64[n_times // least]
        Filled so too: how many are to be expected, by the larger of what the rest of the row's life
        and what others meanwhile make likely, and its relative variance.
    counts : int64[parts]
        Filled: windows of each part.
    """
    span = before.size - 1
    for part in prange(counts.size):
        begin = starts[cuts[part]] // least
        k = begin
        for this in range(cuts[part], cuts[part + 1]):
            i, stop = starts[this], starts[this + 1]
            total, whole, known = stop - i, 0.0, other_starts[this]
            if total >= least:
                whole = _due(born[this], before, edges, curve, span)
            while stop - i >= least:
                when = (times[i] + shift) // length * length - shift
                place = i
                while i < stop and times[i] < when + length:
                    i += 1
                own = i - place
                if own < least:
                    continue
                low, high = max(when, 0), min(when + length, span)
                due = _due(born[this], before, edges, curve, high)
                due = (due - _due(born[this], before, edges, curve, low)) / whole
                # A row whose whole life lies in the window is due all: nothing can be told.
                due /= max(1.0 - due, _LEAST_REST)
                known = _place(other_times, known, other_starts[this + 1], when)
                behind = _place(other_times, known, other_starts[this + 1], when + length)
                seen = behind - known
                rest = other_starts[this + 1] - other_starts[this] - seen
                outside, usual, spread = total - own + 0.5, seen / (rest + 0.5), 0.0
                if usual > due:
                    spread = 1 / (seen + 0.5) + 1 / (rest + 0.5)
                first[k], n[k], row[k], start[k] = place, own, this, when
                expected[k], vague[k] = outside * max(due, usual), 1 / outside + spread
                k += 1
        counts[part] = k - begin


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
def compare_values(
    first: Int32s,
    n: Int32s,
    rows: Int32s,
    start: Int64s,
    stop: Int64s,
    values: UInt8s,
    of_rows: Int32s,
    before: Int64s,
    usual: Float64s,
    ratio: Float64s,
    common: Bools,
) -> None:
    """Hold the values in windows against those of the row elsewhere, and those of all meanwhile.

    Parameters
    ----------
    first, n : int32[windows]
        A window holds the values from place `first` on.
    rows : int32[windows]
    start, stop : int64[windows]
        When a window begins and ends; there may be nothing before or behind.
    values : uint8[n_values]
    of_rows : int32[n_rows, different values]
        How often each value is in each row.
    before : int64[span + 1, different values]
        How often each value is given before each time.
    usual : float64[different values]
        Values that either of both is taken together with.
    ratio : float64[windows]
        Filled with the smaller of both log likelihood ratios.
    common : bool[windows, different values]
        Filled: whether a value is more common in the window than in either.
    """
    size, span = usual.size, before.shape[0] - 1
    for k in prange(n.size):
        own, found = np.zeros(size, np.int64), np.zeros(2)
        for i in range(first[k], first[k] + n[k]):
            own[values[i]] += 1
        begin, end = min(max(start[k], 0), span), min(max(stop[k], 0), span)
        totals = np.zeros(2)
        for value in range(size):
            totals[0] += of_rows[rows[k], value]
            totals[1] += before[end, value] - before[begin, value]
        for value in range(size):
            share = own[value] / n[k]
            common[k, value] = True
            for which in range(2):
                others = before[end, value] - before[begin, value]
                if which == 0:
                    others = np.int64(of_rows[rows[k], value])
                rest = max(totals[which] - n[k], 0.0) + usual.sum()
                expected = (max(others - own[value], 0) + usual[value]) / rest
                if own[value] > 0:
                    found[which] += own[value] * (np.log(share) - np.log(expected))
                if share <= expected:
                    common[k, value] = False
        ratio[k] = min(found[0], found[1])


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
