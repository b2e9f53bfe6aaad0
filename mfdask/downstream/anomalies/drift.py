"""Detection of items whose ratings change over time, other than by a change of raters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.calibration import false_discovery
from mfdask.downstream.anomalies.changes import KINDS, Changes, find_changes
from mfdask.downstream.anomalies.residuals import Residuals, user_variance
from mfdask.downstream.ordering import order_by
from mfdask.kernels import trends as kernel
from mfdask.kernels.types import Float64s, Int64s

#: The trend is measured on the means of so many runs of ratings.
BINS = 40
#: Ratings' worth of the common variance that is mixed into each item's own.
_SHRINK = 50.0
#: What each way that a change may go is called: of means, and of the spread.
_WAYS = (("down", "up"), ("together", "apart"))


def drifting_items(
    residuals: Residuals,
    n_items: int,
    *,
    min_ratings: int = 40,
    effect_floor: float = 0.1,
    max_q: float = 0.05,
) -> pd.DataFrame:
    """Return how much the ratings of each item have changed in time, the surest first.

    The residuals of an item, weighted by one over the variances of their user and of their item,
    are searched for a step, a ramp, a pulse and a change of their spread, see `find_changes`. Every
    item moves a little, as fans come first and tastes change: how much is usual is learned from all
    items of like number of ratings. The Mann-Kendall score and Sen slope of the ratings' binned
    means stand beside it.

    Parameters
    ----------
    residuals : Residuals
        They have the taste and the bias of whoever rates taken out, so an item that other people
        rate now has not moved.
    n_items : int
    min_ratings : int
        Items with fewer are not judged: a step of one star would be lost among them.
    effect_floor : float
        Smaller changes, in stars, are not flagged however sure they are.
    max_q : float
        The share of false ones among the flagged items that is put up with.

    Returns
    -------
    DataFrame
        One line an item that could be judged: `item` (row), `score` (``-log10 p``), `flagged`,
        `kind` (``"step"``, ``"ramp"``, ``"pulse"`` or ``"spread"``), `direction` (``"up"`` or
        ``"down"``, of a spread ``"apart"`` or ``"together"``), `change` (stars, see `Changes`),
        `date` (of the first rating of the change, UTC), `until` (of the last one of a pulse, else
        missing), `n_before`, `n_after` (ratings before that date, and from it on), `trend` (stars
        from first to last rating, by the Sen slope), `trend_z` (Mann-Kendall), `p`, `q`
        (Benjamini-Hochberg), `expected_false_per_1000` (of 1,000 items that move as is usual, how
        many score as high), `reason`.
    """
    series = _Series(residuals, n_items, max(min_ratings, 2))
    table = _table(series, find_changes(series.indptr, series.values, series.weights))
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
        kept = np.flatnonzero((counts >= min_ratings)[residuals.items]).astype(np.int32)
        # Ratings lie by user: those of an item at the same time stay in this order.
        order = kept[order_by(residuals.items[kept], residuals.timestamps[kept])]
        del kept
        variance = user_variance(residuals.users, residuals.error)[order]
        self.values = residuals.error[order].astype(np.float64)
        noise = _noise(self.indptr, self.values, variance)
        variance *= np.repeat(noise, np.diff(self.indptr))
        self.weights = np.divide(1.0, variance, out=variance)
        self._order, self._timestamps = order, residuals.timestamps

    def times(self, places: Int64s) -> Int64s:
        """Return when the values at some places were given, in seconds."""
        return self._timestamps[self._order[places]]


def _noise(indptr: Int64s, values: Float64s, variances: Float64s) -> Float64s:
    """Return the variance of each series but for its changes, float64 (series,).

    Half the mean square of successive differences (von Neumann 1941), in units of the values' own
    variances: a change adds to it only where it begins and ends, so that no item hides its change
    in a variance made large by it.
    """
    total, n = np.empty(len(indptr) - 1), np.diff(indptr)
    kernel.sum_successive(indptr, values, variances, total)
    return np.asarray((total + _SHRINK) / (n - 1 + _SHRINK))


def _table(series: _Series, found: Changes) -> pd.DataFrame:
    trend = np.empty((len(series.items), 2))
    kernel.find_trends(series.indptr, series.values, BINS, trend)
    begin, length = series.indptr[:-1], np.diff(series.indptr)
    pulse, spread = (found.kind == KINDS.index(kind) for kind in ("pulse", "spread"))
    date, until = (
        pd.Series(pd.to_datetime(series.times(begin + place), unit="s", utc=True)).dt.floor("D")
        for place in (np.minimum(found.first, length - 1), found.last - 1)
    )
    return pd.DataFrame(
        {
            "item": series.items.astype(np.int32),
            "score": -np.log10(np.maximum(found.p, np.finfo(np.float64).tiny)),
            "flagged": False,
            "kind": np.array(KINDS)[found.kind],
            "direction": np.array(_WAYS)[spread.astype(int), (found.size > 0).astype(int)],
            "change": found.size,
            "date": date,
            "until": until.where(pulse),
            "n_before": found.first,
            "n_after": length - found.first,
            "trend": trend[:, kernel.SLOPE],
            "trend_z": trend[:, kernel.SCORE],
            "p": found.p,
            "q": false_discovery(found.p, len(found.p)),
            "expected_false_per_1000": 1000 * found.p,
        }
    )


def _reason(line: Any) -> str:
    """Say what was found in one sentence."""
    if line.kind == "spread":
        more = "more" if line.direction == "apart" else "less"
        moved = f"opinions differ by {abs(line.change):.2f} stars {more}"
    else:
        moved = f"ratings {'rose' if line.change > 0 else 'fell'} by {abs(line.change):.2f} stars"
        moved += " little by little" if line.kind == "ramp" else ""
    when = f"from {line.date:%Y-%m-%d} on"
    if line.kind == "pulse":
        when = f"from {line.date:%Y-%m-%d} to {line.until:%Y-%m-%d} only"
    return (
        f"{moved} {when} ({line.n_before} ratings before, {line.n_after} since), beyond who rated "
        "it and what is usual"
    )
