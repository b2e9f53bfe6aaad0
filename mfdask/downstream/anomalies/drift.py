"""Detection of items whose ratings change over time, other than by a change of raters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.calibration import false_discovery, tail_share
from mfdask.downstream.anomalies.residuals import Residuals, usual_size
from mfdask.kernels import trends as kernel
from mfdask.kernels.types import Float64s, Int64s

#: Variance of the steps that are looked for: half a star is usual.
SPREAD = 0.25
#: Share at either end of an item's ratings in which no change is looked for.
TRIM = 0.1
#: The trend is measured on the means of so many runs of ratings.
BINS = 40
#: Series are shuffled until so many are there, or so many ratings, and within these rounds.
_SHUFFLED = 100_000
_SHUFFLED_RATINGS = 20_000_000
_ROUNDS = (4, 500)
#: A series is compared with shuffled ones of like length, in so many groups.
_GROUPS = 5
#: Median of a chi-squared variable with one degree of freedom.
_MEDIAN_CHI2 = 0.454936423119572


def drifting_items(
    residuals: Residuals,
    n_items: int,
    *,
    min_ratings: int = 40,
    effect_floor: float = 0.1,
    max_q: float = 0.05,
    seed: int = 42,
) -> pd.DataFrame:
    """Return how much the ratings of each item have moved in time, the surest first.

    The residuals of an item, weighted by their usual size, are held against a single step: the
    evidence is the log of the Bayes factor for one, averaged over its date. Every item moves
    a little, as fans come first and tastes change: how much is usual is estimated from all items,
    and only what goes beyond it is evidence. Chance is what the same item shows with its
    ratings in shuffled order. The Mann-Kendall score and Sen slope of the ratings' binned means
    stand beside it.

    Parameters
    ----------
    residuals : Residuals
        They have the taste and the bias of whoever rates taken out, so an item that other people
        rate now has not moved.
    n_items : int
    min_ratings : int
        Items with fewer are not judged: a step of one star would be lost among them.
    effect_floor : float
        Smaller steps, in stars, are not flagged however sure they are.
    max_q : float
        The share of false ones among the flagged items that is put up with.
    seed : int
        Of the shuffling.

    Returns
    -------
    DataFrame
        One line an item that could be judged: `item` (row), `score` (the evidence), `flagged`,
        `direction` (``"up"`` or ``"down"``), `change` (stars, mean behind the step less mean
        before), `date` (of the first rating behind it, UTC), `n_before`, `n_after`, `trend` (stars
        from first to last rating, by the Sen slope), `trend_z` (Mann-Kendall), `p`, `q`
        (Benjamini-Hochberg), `expected_false_per_1000` (of 1,000 items that move as is usual, how
        many score as high), `reason`.
    """
    series = _Series(residuals, n_items, max(min_ratings, 2))
    background = usual_movement(series.indptr, series.values, series.weights)
    found = np.empty((len(series.items), 4))
    kernel.find_steps(series.indptr, series.values, series.weights, SPREAD, background, TRIM, found)
    evidence = found[:, kernel.EVIDENCE]
    p = _chance(series, evidence, background, seed)
    table = _table(series, found, p)
    table["flagged"] = (table["q"] <= max_q) & (table["change"].abs() >= effect_floor)
    table["reason"] = [_reason(line) for line in table.itertuples()]
    return table.sort_values(["score", "item"], ascending=[False, True], ignore_index=True)


class _Series:
    """The residuals of the items that can be judged, by item and time."""

    def __init__(self, residuals: Residuals, n_items: int, min_ratings: int) -> None:
        counts = np.bincount(residuals.items, minlength=n_items)
        self.items = np.flatnonzero(counts >= min_ratings)
        self.indptr = np.zeros(len(self.items) + 1, np.int64)
        np.cumsum(counts[self.items], out=self.indptr[1:])
        kept = np.flatnonzero((counts >= min_ratings)[residuals.items])
        users, items, times = (
            column[kept] for column in (residuals.users, residuals.items, residuals.timestamps)
        )
        order = kept[np.lexsort((users, times, items))]
        size = usual_size(residuals.users, residuals.items, residuals.error)
        self.values = residuals.error[order].astype(np.float64)
        self.weights = 1.0 / np.square(size[order])
        self.timestamps = residuals.timestamps[order]


def usual_movement(indptr: Int64s, values: Float64s, weights: Float64s) -> float:
    """Return the variance by which halves of an item's ratings usually differ, beyond chance.

    The step in the middle of a series has variance ``1 / I + b``; the median over all series of its
    square tells `b`, and a few items that really changed do not move a median.
    """
    if len(indptr) < 2:
        return 0.0
    middle = (indptr[:-1] + indptr[1:]) // 2
    cuts = np.stack([indptr[:-1], middle], axis=1).reshape(-1)
    halves = np.add.reduceat(weights, cuts).reshape(-1, 2)
    sums = np.add.reduceat(weights * values, cuts).reshape(-1, 2)
    information = halves[:, 0] * halves[:, 1] / halves.sum(axis=1)
    step = sums[:, 1] / halves[:, 1] - sums[:, 0] / halves[:, 0]
    return max(float(np.median(step**2 / _MEDIAN_CHI2 - 1.0 / information)), 0.0)


def _chance(series: _Series, evidence: Float64s, background: float, seed: int) -> Float64s:
    """Return the share of shuffled series of like length with as much evidence.

    A Bayes factor is 1 in the mean where there is nothing, so it reaches `x` with a chance of
    ``1 / x`` at most (Markov): that serves where shuffling would take too long.
    """
    random = np.random.default_rng(seed)
    n = len(evidence)
    if n == 0:
        return evidence
    rounds = min(_SHUFFLED // n, _SHUFFLED_RATINGS // len(series.values))
    shuffled = np.empty((int(np.clip(rounds, *_ROUNDS)), n, 4))
    rows = series.indptr, series.values, series.weights
    for found in shuffled:
        draws = random.random(len(series.values), np.float32)
        kernel.find_steps_shuffled(*rows, draws, SPREAD, background, TRIM, found)
    length = np.diff(series.indptr)
    group = np.searchsorted(np.quantile(length, np.arange(1, _GROUPS) / _GROUPS), length)
    share = np.ones(n)
    for k in range(_GROUPS):
        own = group == k
        share[own] = tail_share(evidence[own], shuffled[:, own, kernel.EVIDENCE].reshape(-1))
    return np.minimum(share, np.exp(-np.maximum(evidence, 0.0)))


def _table(series: _Series, found: Float64s, p: Float64s) -> pd.DataFrame:
    trend = np.empty((len(series.items), 2))
    kernel.find_trends(series.indptr, series.values, BINS, trend)
    place = found[:, kernel.PLACE].astype(np.int64)
    change = found[:, kernel.STEP]
    seconds = series.timestamps[series.indptr[:-1] + place]
    return pd.DataFrame(
        {
            "item": series.items.astype(np.int32),
            "score": found[:, kernel.EVIDENCE],
            "flagged": False,
            "direction": np.where(change > 0, "up", "down"),
            "change": change,
            "date": pd.to_datetime(seconds, unit="s").floor("D"),
            "n_before": place,
            "n_after": np.diff(series.indptr) - place,
            "trend": trend[:, kernel.SLOPE],
            "trend_z": trend[:, kernel.SCORE],
            "p": p,
            "q": false_discovery(p, len(p)),
            "expected_false_per_1000": 1000 * p,
        }
    )


def _reason(line: Any) -> str:
    """Say what was found in one sentence."""
    moved = "rose" if line.change > 0 else "fell"
    return (
        f"ratings {moved} by {abs(line.change):.2f} stars from {line.date:%Y-%m-%d} on "
        f"({line.n_before} before, {line.n_after} since), beyond who rated it and what is usual"
    )
