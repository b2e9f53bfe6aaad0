"""Weights of ratings by their age."""

from __future__ import annotations

import numpy as np

from mfdask.errors import InputError
from mfdask.features.groups import DAY
from mfdask.kernels.types import Float64s, Int64s
from mfdask.shards import Dataset


def age_weights(ages: Int64s, half_life: float) -> Float64s:
    """Return ``2**(-age / half_life)`` of ages in seconds and a half-life in days, float64."""
    weights: Float64s = np.exp2(-ages / (half_life * DAY))
    return weights


def newest_time(data: Dataset, option: str) -> int:
    """Return the time of the newest training rating, in seconds since 1970.

    Raises
    ------
    InputError
        If there are no timestamps; it names the option that needs them.
    """
    if not data.manifest.has_timestamps:
        raise InputError(f"`{option}`: {data.name} has no timestamps; leave it out")
    times = (data.timestamps(block) for block in range(data.n_blocks("users")))
    return max((int(own.max()) for own in times if own is not None and len(own)), default=0)


def total_weight(data: Dataset, half_life: float, newest: int) -> float:
    """Return the sum of the weights of all training ratings."""
    times = (data.timestamps(block) for block in range(data.n_blocks("users")))
    weights = (age_weights(newest - own, half_life) for own in times if own is not None)
    return sum(float(own.sum()) for own in weights)
