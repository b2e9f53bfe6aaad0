"""Items whose ratings have changed, for the same people's taste."""

from __future__ import annotations

import pandas as pd

from mfdask.downstream.anomalies.residuals import Residuals


def drifting_items(
    residuals: Residuals,
    n_items: int,
    *,
    min_ratings: int = 20,
    effect_floor: float = 0.1,
    q: float = 0.05,
    seed: int = 42,
) -> pd.DataFrame:
    """Return how much the residuals of each item have moved in time, the surest first.

    Returns
    -------
    DataFrame
        One line an item that could be judged: `item` (row), `score`, `flagged`, `direction`
        (``"up"`` or ``"down"``), `change` (stars), `slope_per_year`, `date`, `p`, `q`, `n_ratings`,
        `expected_false_per_1000`, `reason`.
    """
    raise NotImplementedError
