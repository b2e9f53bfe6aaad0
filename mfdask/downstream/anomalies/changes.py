"""Changes in time series of residuals: steps, ramps, pulses, and a spread that changes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from mfdask.downstream.anomalies.calibration import alike, share_beyond
from mfdask.kernels import trends as kernel
from mfdask.kernels.types import Float64s, Int64s

#: A series is looked at in so many runs of ratings, of equal length.
BINS = 40
#: Share at either end of an item's ratings in which no step is looked for; a pulse lasts at least
#: as long, and leaves as much.
TRIM = 0.1
#: So many series of chance alone are drawn.
_DRAWN = 10_000
#: Series that are compared with each other, at least: some that changed may be among them.
_LEAST_ROWS = 75
#: Is added to squares, in units of what is usual, before their logarithm is taken.
_SMALL = 0.1
#: The kinds of change.
KINDS = ("step", "ramp", "pulse", "spread")


class Changes(NamedTuple):
    """The likeliest change of each series.

    Attributes
    ----------
    kind : int64 (series,)
        Place in `KINDS`.
    p : float64 (series,)
        Of as large a change of any kind where nothing changes but what usually does.
    first, last : int64 (series,)
        The first rating of the change and the first behind it, counted from the series' begin; of a
        step and a spread both are the first rating behind it.
    size : float64 (series,)
        Stars: of means, of a ramp from end to end; of a spread the change of the deviation.
    """

    kind: Int64s
    p: Float64s
    first: Int64s
    last: Int64s
    size: Float64s


class _Found(NamedTuple):
    """The largest statistic of each series (a squared normal one), and where it is, in runs."""

    square: Float64s
    first: Int64s
    last: Int64s
    size: Float64s


class _Runs(NamedTuple):
    """Sums over the runs before each edge, float64 (series, `BINS` + 1)."""

    weight: Float64s
    total: Float64s

    @classmethod
    def of(cls, edges: Int64s, weights: Float64s, values: Float64s) -> _Runs:
        found = cls(*np.empty((2, *edges.shape)))
        kernel.sum_runs(edges, weights, values, *found)
        return found

    def against(self, weight: Float64s, total: Float64s) -> tuple[Float64s, Float64s]:
        """Return how parts of the series differ from the rest: the squared statistic, and stars."""
        rest = np.maximum(self.weight[:, -1:] - weight, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = total / weight - (self.total[:, -1:] - total) / rest
            square = size**2 * weight * rest / self.weight[:, -1:]
        good = np.isfinite(square)
        return np.where(good, square, 0.0), np.where(good, size, 0.0)


def find_changes(indptr: Int64s, values: Float64s, weights: Float64s) -> Changes:
    """Look for the likeliest change of each series, and how likely it is by chance.

    A step is sought by the largest difference of means before and behind (CUSUM), a pulse by that
    of a stretch against the rest (two breaks), a ramp by weighted regression on the order, a change
    of the spread as a step in the logarithms of squares. All are squared and in units of chance.
    How large the largest of many places is by chance is known from normal series. Real series move
    more, as fans come first and tastes change: by the ratio of the medians, of series of like
    length and of chance, which few changed series hardly move (Devlin & Roeder 1999, genomic
    control). Chances are those of the smallest of three (lasting, pulse, spread), times three.

    Parameters
    ----------
    indptr : int64 (series + 1,)
    values : float64 (values,)
        In the order of time within a series.
    weights : float64 (values,)
        One over the variance of each.
    """
    lengths = np.diff(indptr)
    places = lengths[:, None] * np.arange(BINS + 1) // BINS
    edges = indptr[:-1, None] + places
    runs = _Runs.of(edges, weights, values)
    found = [_step(runs), _ramp(runs), _pulse(runs), _spread(edges, values, weights)]
    squares = _families(*(each.square for each in found))
    families = [chances(*both, lengths) for both in zip(squares, _by_chance(), strict=True)]
    family = np.argmin(families, axis=0)
    ramp = found[1].square > found[0].square
    kind = np.where(family == 0, ramp.astype(np.int64), family + 1)
    rows = np.arange(len(kind))
    first, last, size = (np.stack(x)[kind, rows] for x in list(zip(*found, strict=True))[1:])
    p = np.minimum(3 * np.min(families, axis=0), 1.0)
    return Changes(kind, p, places[rows, first], places[rows, last], size)


def _families(step: Float64s, ramp: Float64s, pulse: Float64s, spread: Float64s) -> list[Float64s]:
    """Put together what is tested together: lasting changes, pulses, and changes of the spread."""
    return [np.maximum(step, ramp), pulse, spread]


@cache
def _by_chance() -> tuple[Float64s, ...]:
    """Return the statistics of each family for normal series, ascending, float64 (`_DRAWN`,)."""
    edges = np.arange(_DRAWN)[:, None] * BINS + np.arange(BINS + 1)
    values = np.random.default_rng(0).normal(size=_DRAWN * BINS)
    runs = _Runs.of(edges, np.ones(len(values)), values)
    step = _step(runs).square  # logarithms of squares are tested for a step too
    found = _families(step, _ramp(runs).square, _pulse(runs).square, step)
    return tuple(np.sort(squares) for squares in found)


def chances(squares: Float64s, by_chance: Float64s, lengths: Int64s) -> Float64s:
    """Return how likely as large a statistic is in a series that moves as is usual, float64.

    Parameters
    ----------
    squares : float64 (series,)
    by_chance : float64 (draws,)
        The same statistic where nothing moves, ascending.
    lengths : int64 (series,)
    """
    p = np.ones(len(squares))
    for rows in alike(lengths, _LEAST_ROWS) if len(squares) else []:
        usual = np.median(squares[rows]) / np.median(by_chance)
        p[rows] = share_beyond(squares[rows] / max(usual, 1.0), by_chance)
    return p


def _step(runs: _Runs) -> _Found:
    """Find the step with the largest statistic."""
    first = round(TRIM * BINS)
    inner = slice(first, BINS - first + 1)
    square, size = runs.against(runs.weight[:, inner], runs.total[:, inner])
    best = np.argmax(square, axis=1)
    rows = np.arange(len(best))
    return _Found(square[rows, best], best + first, best + first, -size[rows, best])


def _pulse(runs: _Runs) -> _Found:
    """Find the stretch that differs most from the rest."""
    n, rows = len(runs.weight), np.arange(len(runs.weight))
    found = _Found(np.zeros(n), np.zeros(n, np.int64), np.full(n, BINS), np.zeros(n))
    for length, weight, total in _stretches(runs):
        square, size = runs.against(weight, total)
        best = np.argmax(square, axis=1)
        better = square[rows, best] > found.square
        at = rows[better], best[better]
        found.square[better], found.size[better] = square[at], size[at]
        found.first[better], found.last[better] = at[1], at[1] + length
    return found


def _stretches(runs: _Runs) -> Iterator[tuple[int, Float64s, Float64s]]:
    """Yield the sums over all stretches of each length."""
    for length in range(round(TRIM * BINS), BINS - round(TRIM * BINS) + 1):
        weight, total = (x[:, length:] - x[:, :-length] for x in runs)
        yield length, weight, total


def _ramp(runs: _Runs) -> _Found:
    """Regress on the order of the runs."""
    weight, total = (np.diff(x, axis=1) for x in runs)
    at = (np.arange(BINS) + 0.5) / BINS
    whole = np.maximum(weight.sum(axis=1), np.finfo(np.float64).tiny)
    away = at - (weight @ at / whole)[:, None]
    known = np.maximum((weight * away**2).sum(axis=1), np.finfo(np.float64).tiny)
    slope = (total * away).sum(axis=1) / known
    n = len(slope)
    return _Found(slope**2 * known, np.zeros(n, np.int64), np.full(n, BINS), slope)


def _spread(edges: Int64s, values: Float64s, weights: Float64s) -> _Found:
    """Find the step of the logarithms of squares; the size is that of the deviation, in stars."""
    logs = np.square(values)
    logs *= weights
    logs += _SMALL
    np.log(logs, out=logs)
    scale = 1.0 / max(float(logs.var()), np.finfo(np.float64).tiny) if len(logs) else 1.0
    total = scale * _Runs.of(edges, logs, logs).weight  # all count alike: no weights are held
    found = _step(_Runs(np.asarray(scale * (edges - edges[:, :1]), np.float64), total))
    at = np.column_stack([edges[:, 0], edges[np.arange(len(edges)), found.first], edges[:, -1]])
    squares = np.diff(_Runs.of(at, values, values).total, axis=1)
    before, behind = np.sqrt(squares / np.maximum(np.diff(at, axis=1), 1)).T
    return found._replace(size=behind - before)
