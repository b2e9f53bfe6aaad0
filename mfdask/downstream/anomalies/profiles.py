"""Profile features of shilling research: what the detector of this project is held against."""

from __future__ import annotations

import numpy.typing as npt
import pandas as pd

#: Which end of a feature is suspicious: 1 the large values, -1 the small ones.
SUSPICIOUS = {
    "rdma": 1,
    "wdma": 1,
    "deg_sim": 1,
    "mean_var": -1,
    "fmtd": 1,
    "hv": 1,
    "mud": -1,
    "varselect": -1,
}


def profile_features(
    users: npt.NDArray,
    items: npt.NDArray,
    ratings: npt.NDArray,
    n_users: int,
    n_items: int,
    direction: str = "push",
) -> pd.DataFrame:
    """Return a row for each user row, with the columns of `SUSPICIOUS`; NaN without ratings.

    ``SUSPICIOUS[name] * features[name]`` is a score: the larger, the more suspicious.
    """
    raise NotImplementedError
