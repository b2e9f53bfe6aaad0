"""Accounts that more than one person seems to use."""

from __future__ import annotations

import pandas as pd

from mfdask.downstream.anomalies.residuals import Residuals
from mfdask.downstream.events import Events


def suspected_sharing(
    events: Events,
    n_items: int,
    residuals: Residuals | None = None,
    *,
    false_alarms: float = 0.01,
    seed: int = 42,
) -> pd.DataFrame:
    """Return how much each account looks like that of two people, the likeliest first.

    Returns
    -------
    DataFrame
        One line a user who could be judged: `user` (row), `score`, `flagged`,
        `dispersion_percentile`, `bic_gain`, `handover` (UTC date), `handover_p`, `n_sessions`,
        `active_days`, `residual_support`, `expected_false_per_1000`, `reason`.
    """
    raise NotImplementedError
