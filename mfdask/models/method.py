"""What the fit loop asks of a way to learn."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mfdask.models.half_step import UpdateConfig
from mfdask.models.prior import FeatureSums, RowPrior


class Method(Protocol):
    """Decides what each half-step draws its rows to, and when the loop ends."""

    @property
    def kind(self) -> str:
        """Short name, as `model.json` and the progress bar have it."""

    @property
    def item_prior(self) -> str:
        """What item rows are drawn to: ``"zero"``, ``"genre"`` or ``"features"``."""

    @property
    def n_factors(self) -> int:
        """Length of a factor vector."""

    @property
    def n_sweeps(self) -> int:
        """Sweeps, at most."""

    @property
    def tolerance(self) -> float:
        """Stop when a sweep lowers the objective by less than this share of it."""

    @property
    def reg_scaling(self) -> float:
        """Power of a row's number of ratings that multiplies its prior."""

    @property
    def init_scale(self) -> float:
        """Standard deviation of the first factors."""

    @property
    def seed(self) -> int:
        """Of everything random."""

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name."""

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states which a fit goes through."""

    def rule(self, mean_rating: float) -> UpdateConfig:
        """Return the equations of the half-steps."""

    def learns(self, side: str) -> bool:
        """Whether a side's prior is learned from its rows before each of its half-steps."""

    def prior(self, side: str) -> RowPrior:
        """Return the prior of a side before anything is learned."""

    def learned_prior(
        self, side: str, sweep: int, sums: FeatureSums, squared_error: float | None, n_ratings: int
    ) -> RowPrior:
        """Return the prior of a side for a sweep.

        `sums` are of its rows as they are, `squared_error` is over the `n_ratings` training
        ratings; None at a random start.
        """

    def key(self, side: str, sweep: int) -> np.uint64 | None:
        """Return the key of the sweep's random numbers, or None where rows are solved for."""

    def averages(self, sweep: int) -> bool:
        """Whether a sweep's predictions of the test ratings join their running mean."""
