"""Weights of training ratings: their own, those of their ages, and of a user's newest ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfdask.errors import InputError
from mfdask.features.groups import DAY
from mfdask.kernels.csr import count_newer
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


@dataclass(frozen=True)
class Recency:
    """How much more the newest ratings of a user weigh: ``1 + gain * 2**(-newer / span)``.

    `newer` are the ratings of the same user that are newer. What people choose next is like what
    they chose last; ages in days would not tell, since many rate most of their items in one visit.
    """

    gain: float
    span: float

    def weights(self, indptr: Int64s, times: Int64s) -> Float64s:
        """Return the weights of the ratings of rows of users, float64."""
        newer = np.empty(len(times), np.int32)
        count_newer(np.asarray(indptr), np.asarray(times), newer)
        weights: Float64s = 1 + self.gain * np.exp2(-newer / self.span)
        return weights


@dataclass(frozen=True)
class RatingWeights:
    """What training ratings weigh: what the data set says, times what their ages do.

    Attributes
    ----------
    half_life : float or None
        Days in which a weight halves; None: never.
    newest : int
        Time that ages are counted from, in seconds since 1970.
    scale : float
        What all are multiplied by.
    recency : Recency or None
        What those of blocks of users are multiplied by.
    """

    half_life: float | None = None
    newest: int = 0
    scale: float = 1.0
    recency: Recency | None = None

    @classmethod
    def of(
        cls, data: Dataset, half_life: float | None, relative: bool = False
    ) -> RatingWeights | None:
        """Return the weights of a data set's ratings; None where each weighs 1.

        Parameters
        ----------
        data : Dataset
        half_life : float or None
        relative : bool
            Scale those of the data set to a mean of 1.

        Raises
        ------
        InputError
            If there is a half-life, and there are no timestamps.
        """
        if half_life is None and not data.has_weights:
            return None
        newest = 0 if half_life is None else newest_time(data, "half_life")
        mean = data.manifest.mean_weight if relative else None
        return cls(half_life, newest, 1.0 if mean is None else 1 / mean)

    def of_block(self, data: Dataset, block: int, side: str = "users") -> Float64s:
        """Return the weight of each training rating of a shard, float64."""
        shard = data.shard(side, block)
        weights = np.full(shard.n_ratings, self.scale)
        own = data.weights(block, side=side)
        if own is not None:
            weights *= own
        if self.half_life is None and self.recency is None:
            return weights
        times = data.timestamps(block, side=side)
        assert times is not None
        if self.half_life is not None:
            weights *= age_weights(self.newest - times, self.half_life)
        if self.recency is not None:
            assert side == "users"
            weights *= self.recency.weights(shard.indptr, times)
        return weights

    def total(self, data: Dataset) -> float:
        """Return the sum over all training ratings."""
        return sum(float(self.of_block(data, b).sum()) for b in range(data.n_blocks("users")))

    def means(self, data: Dataset) -> Float64s:
        """Return the mean over each user's training ratings, float64 (n_users,); 0 of none."""
        found = np.zeros(data.n_users)
        for block in range(data.n_blocks("users")):
            shard = data.shard("users", block)
            ends = np.append(0.0, np.cumsum(self.of_block(data, block)))[shard.indptr]
            n = np.maximum(np.diff(shard.indptr), 1)
            found[shard.start : shard.stop] = np.diff(ends) / n
        return found
