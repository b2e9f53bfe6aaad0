"""Recency, frequency and rhythm features of a user's dates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfdask.downstream.events import DAY, Activity
from mfdask.kernels.types import Bools, Float64s, Int64s

#: Days before the cut-off in which ratings are counted.
WINDOWS = (30, 90, 180)
#: The cohort: users with so many active days who were active in the last `ACTIVE_WITHIN` days.
#: Others have left already, or have not yet shown that they would come back.
MIN_ACTIVE_DAYS = 3
ACTIVE_WITHIN = 180

#: The columns of `rfm`, in order.
RFM = (
    "recency_days",
    "active_days",
    "tenure_days",
    *(f"ratings_{days}d" for days in WINDOWS),
    "ratings",
    "gap_ratio",
)


def midnights(cutoff: int) -> list[int]:
    """Return what `rfm` looks at of a cut-off, seconds since 1970."""
    return [cutoff, *(cutoff - window * DAY for window in WINDOWS)]


def rfm(activity: Activity, cutoff: int) -> tuple[Int64s, dict[str, Float64s]]:
    """Return the features at a cut-off of all users of a block who had done anything by then.

    Parameters
    ----------
    activity : Activity
        Which knows of the `midnights`.
    cutoff : int

    Returns
    -------
    rows : int64 (known,)
        Of these users, ascending.
    features : dict of float64 (known,)
        `recency_days` and `tenure_days` since the last and the first rating, `active_days` with a
        rating (of UTC), `ratings_30d`, `ratings_90d` and `ratings_180d` in the last days before the
        cut-off and `ratings` in all; `gap_ratio` is recency against the user's mean time between
        active days: 1 is on time, 5 is long overdue. It is 0 where there is no second day.
    """
    now, *since = map(activity.before, midnights(cutoff))
    rows = np.flatnonzero(activity.counts[:, now])
    days = activity.days[rows, now].astype(np.int64)
    recency, tenure = (
        (cutoff - end[rows]) / DAY for end in (activity.last[:, now], activity.first)
    )
    gaps = (tenure - recency) / np.maximum(days - 1, 1)
    total, *earlier = (activity.counts[rows, k].astype(float) for k in (now, *since))
    return rows, {
        "recency_days": recency,
        "active_days": days.astype(float),
        "tenure_days": tenure,
        **{f"ratings_{w}d": total - n for w, n in zip(WINDOWS, earlier, strict=True)},
        "ratings": total,
        "gap_ratio": np.divide(recency, gaps, out=np.zeros_like(gaps), where=days > 1),
    }


def in_cohort(features: pd.DataFrame) -> Bools:
    """Tell who belongs to the cohort."""
    active = features[f"ratings_{ACTIVE_WITHIN}d"] > 0
    return (active & (features["active_days"] >= MIN_ACTIVE_DAYS)).to_numpy()
