"""Bootstrap intervals over users, with the same draws for every model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError

Floats = npt.NDArray[np.float64]

#: Share of the resamples that an interval holds.
LEVEL = 0.95

#: Weights held at a time: 32 MiB.
_CELLS = 1 << 22


def resampled_ratios(top: Floats, bottom: Floats, resamples: int, seed: int) -> Floats:
    """Return ratios of sums over users that are drawn with replacement.

    A mean over ratings or over users is such a ratio, so one draw of users serves all metrics of
    all models, and their differences are those of the same users (a paired bootstrap). Whole users
    are drawn because the ratings of one user are not independent.

    Parameters
    ----------
    top : float64 (models, users, metrics)
    bottom : float64 (users, metrics)
        The same for each model.
    resamples : int
    seed : int

    Returns
    -------
    float64 (resamples, models, metrics)
        NaN where a resample has nothing at the bottom.

    Raises
    ------
    InputError
        If `resamples` is below 1.
    """
    if resamples < 1:
        raise InputError(f"{resamples} resamples: give at least 1; 1000 is usual")
    parts = [
        ratios(weights @ top, weights @ bottom).swapaxes(0, 1)
        for weights in resampled_weights(bottom.shape[0], resamples, seed)
    ]
    return np.concatenate(parts)


def ratios(top: Floats, bottom: Floats) -> Floats:
    """Return ``top / bottom``, NaN where `bottom` is 0."""
    bottom = np.broadcast_to(bottom, top.shape)
    return np.divide(top, bottom, where=bottom > 0, out=np.full(top.shape, np.nan))


def resampled_weights(n_users: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each user is drawn, a few resamples at a time: (resamples, users)."""
    random = np.random.default_rng(seed)
    size = max(1, _CELLS // n_users)
    for first in range(0, resamples, size):
        drawn = [
            np.bincount(random.integers(n_users, size=n_users), minlength=n_users)
            for _ in range(min(size, resamples - first))
        ]
        yield np.array(drawn, np.float64)


def intervals(samples: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the interval that holds `LEVEL` of the samples along the first axis.

    NaN samples are left out; where all are NaN, so are the ends.
    """
    flat = pd.DataFrame(samples.reshape(len(samples), -1))
    ends = flat.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2]).to_numpy()
    return ends[0].reshape(samples.shape[1:]), ends[1].reshape(samples.shape[1:])
