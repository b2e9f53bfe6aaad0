"""`AlternatingUpdates`: what the fit loop asks of an estimator, its half-steps, priors and keys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mfdask.convergence import ChainMonitor
from mfdask.errors import InputError
from mfdask.features.encoder import FeatureScale
from mfdask.features.groups import Grouping
from mfdask.features.noise import Noise, UserErrors
from mfdask.features.offsets import GroupSums, Offsets
from mfdask.features.weights import Recency, newest_time
from mfdask.kernels.types import Float64s, Int64s
from mfdask.models.base import Estimator, Sweep
from mfdask.models.design import Array, Regression, RowPrior
from mfdask.models.half_step import UpdateConfig
from mfdask.shards import Dataset, Shard

MAX_FACTORS = 256

UserPrior = Literal["zero", "features", "rated", "features+rated"]
Time = Literal["none", "user-day", "item-period", "user-day,item-period"]
NoiseOf = Literal["user", "one"]
ItemPrior = Literal["zero", "genre", "features", "rated", "genre+rated", "features+rated"]


class Collector(Protocol):
    """Gathers what is to be kept of the sweeps on the way."""

    def wants(self, sweep: int) -> bool:
        """Whether the rows after a sweep are to be added."""

    def add(
        self,
        sweep: int,
        rows: dict[str, Array],
        priors: dict[str, RowPrior],
        offsets: Offsets | None,
        keys: list[Int64s],
        noise: Noise | None,
    ) -> None:
        """Take the rows of both sides after a sweep, their priors, offsets and noise if any.

        `keys` are those of the groups that have an offset.
        """

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was gathered, for a checkpoint."""

    def load(self, sweep: int, read: Callable[[str], npt.NDArray[Any]]) -> None:
        """Take back what a checkpoint after `sweep` holds."""


class AlternatingUpdates(Estimator):
    """An estimator that solves or draws the rows of one side against those of the other, in turn.

    Attributes
    ----------
    n_factors : int
        Length of a factor vector.
    user_prior, item_prior : str
        What the rows of a side are drawn to; several things are joined by ``+``.
    centre : bool
        Take the mean training rating off first.
    seed : int
        Of everything random.
    tolerance : float
        Stop when a sweep lowers the objective by less than this share of it.
    reg_scaling : float
        Power of a row's number of ratings that multiplies its prior.
    init_scale : float
        Standard deviation of the first factors.
    time : str
        What offsets go by: a user's day, an item's period, or both.
    period_days : int
        Length of a period.
    liked : float or None
        Of implicit feedback, ratings from here up are observed.
    half_life : float or None
        Days in which the weight of a rating halves.
    feature_scale : str
        How numbers among the features from files are scaled.
    noise : str or None
        What has a noise precision that is drawn: all ratings one, or each user; None: it is not
        drawn.
    relative_weights : bool
        Whether the weights that ratings have in the data are scaled to a mean of 1.
    """

    uses_weights: ClassVar[bool] = True
    relative_weights: ClassVar[bool] = False

    n_factors: int
    user_prior: UserPrior
    item_prior: ItemPrior
    centre: bool
    seed: int
    tolerance: float
    reg_scaling: float
    init_scale: float
    time: Time = "none"
    period_days: int = 70
    liked: float | None = None
    half_life: float | None = None
    feature_scale: FeatureScale = "deviation"
    noise: NoiseOf | None = None

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """What ratings have an offset in common."""
        days = {"user-day": 1, "item-period": self.period_days}
        return tuple(Grouping(name, days[name]) for name in self.time.split(",") if name in days)

    def check_data(self, data: Dataset) -> None:
        """Refuse ratings without timestamps where offsets or weights go by time."""
        if self.half_life is not None:
            newest_time(data, "half_life")
        if self.groupings and not data.manifest.has_timestamps:
            raise InputError(f"`time` {self.time}: {data.name} has no timestamps; leave it out")

    @property
    def needs_item_features(self) -> bool:
        """Whether the items' prior follows features from a file."""
        return "features" in self.follows("items")

    @property
    def needs_user_features(self) -> bool:
        """Whether the users' prior follows features from a file."""
        return "features" in self.follows("users")

    def follows(self, side: str) -> frozenset[str]:
        """Return what the prior of a side follows: nothing, or some of genre, features, rated."""
        prior = self.user_prior if side == "users" else self.item_prior
        return frozenset(prior.split("+")) - {"zero"}

    @property
    def recency(self) -> Recency | None:
        """How much more users' newest ratings weigh in the rows that a fit ends with."""
        return None

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states which a fit goes through."""

    @abstractmethod
    def update_config(self, mean_rating: float) -> UpdateConfig:
        """Return the equations of the half-steps; the mean is that of the training ratings."""

    def observed(self, shard: Shard) -> Shard:
        """Return a shard of ratings as half-steps take it; see `UpdateConfig.unrated_weight`."""
        return shard

    def learns(self, side: str) -> bool:
        """Whether a side's prior is learned from its rows before each of its half-steps."""
        return False

    @abstractmethod
    def prior(self, side: str) -> RowPrior:
        """Return the prior of a side before anything is learned."""

    def learned_prior(
        self,
        side: str,
        sweep: int,
        sums: Regression,
        noise: Noise | None,
        before: RowPrior,
    ) -> RowPrior:
        """Return the prior of a side for a sweep, with the weights of all its features.

        `sums` are of its rows as they are, which were drawn to `before`; `noise` is that of the
        sweep, None where it is not drawn and at a random start.
        """
        return self.prior(side)

    def noise_by_user(self, sweep: int) -> bool:
        """Whether each user has a noise of their own in a sweep."""
        return False

    def draw_noise(
        self,
        sweep: int,
        squared_error: float,
        n_ratings: int,
        errors: UserErrors | None,
        precision: float,
    ) -> Noise:
        """Return the noise of the training ratings for a sweep.

        `squared_error` is over all of them, by their weights in the sweep before, whose noise had
        the `precision`; `errors` are those of each user, where each has a noise of their own.
        """
        raise NotImplementedError

    @property
    def first_offset_precision(self) -> float:
        """What the offsets' squares are penalised by before any are known."""
        raise NotImplementedError

    def update_offsets(
        self, which: int, sweep: int, sums: GroupSums, fidelity: float, precision: float
    ) -> tuple[Float64s, float]:
        """Return the offsets of a grouping, by its number, and their precision for the next sweep.

        `fidelity` is what a squared error weighs, and `precision` is that of the sweep before.
        """
        raise NotImplementedError

    def key(self, side: str, sweep: int) -> np.uint64 | None:
        """Return the key of the sweep's random numbers, or None where rows are solved for."""
        return None

    def averages(self, sweep: int) -> bool:
        """Whether a sweep's predictions of the test ratings join their running mean."""
        return False

    def monitor(self) -> ChainMonitor | None:
        """Return what judges whether the draws have settled, if there are draws."""
        return None

    def has_enough(self, history: Sequence[Sweep]) -> bool:
        """Whether a fit ends after these sweeps, although it might go on.

        By default where the last lowered the objective by less than `tolerance` of it.
        """
        if self.tolerance == 0 or len(history) < 2:
            return False
        before, after = history[-2].objective, history[-1].objective
        return before - after < self.tolerance * before

    def n_draws(self, n_rows: int) -> int:
        """Return how many draws the model keeps, of so many rows of both sides."""
        return 1
