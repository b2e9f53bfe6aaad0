"""What a fit can be told."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mfdask.errors import InputError
from mfdask.models.half_step import StepRule
from mfdask.models.prior import RowPrior, ridge

MAX_FACTORS = 256


@dataclass(frozen=True)
class Parameters:
    """Parameters of regularised matrix factorisation with biases.

    The objective is ``fidelity/2 * sum (r - r_hat)**2 + factor_reg/2 * (sum |p|**2 + sum |q|**2) +
    bias_reg/2 * (sum b_u**2 + sum b_i**2)`` with ``r_hat = mean + b_u + b_i + p . q``; only the
    ratios to `fidelity` matter for the solution.

    Parameters
    ----------
    n_factors : int
        Length of a factor vector, 0 to 256; 0 learns biases alone.
    n_sweeps : int
        A sweep is one user half-step and one item half-step.
    fidelity, factor_reg, bias_reg : float
        The paper's lambda, tau and gamma.
    update : {"joint", "alternating"}
        Solve bias and factors of a row together, or bias first and then factors (the paper's
        Algorithm 1).
    item_prior : {"zero", "genre"}
        What item rows are drawn to: zero, or the weighted mean of their genres (weights learned).
    weight_reg : float
        Regularisation of those weights.
    reg_scaling : float
        Regularisation is multiplied by the row's number of ratings to this power: 0 is the paper,
        1 is ALS-WR (Zhou et al. 2008).
    damping : float
        Share of the way to its solution that a row moves, in (0, 1]; the paper's alpha.
    centre : bool
        Take the mean training rating off first; without it the biases carry it.
    init_scale : float
        Standard deviation of the first factors.
    tolerance : float
        Stop when a sweep lowers the objective by less than this share of it; 0 never stops early.
    seed : int

    Raises
    ------
    InputError
        If a parameter is out of its range.
    """

    n_factors: int = 20
    n_sweeps: int = 20
    fidelity: float = 0.002
    factor_reg: float = 0.05
    bias_reg: float = 0.015
    item_prior: Literal["zero", "genre"] = "zero"
    weight_reg: float = 0.05
    update: Literal["joint", "alternating"] = "joint"
    reg_scaling: float = 0.0
    damping: float = 1.0
    centre: bool = True
    init_scale: float = 0.1
    tolerance: float = 0.0
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse parameters that cannot be meant."""
        _require(0 <= self.n_factors <= MAX_FACTORS, "--factors", self.n_factors, "0 to 256")
        _require(self.n_sweeps >= 1, "--sweeps", self.n_sweeps, "1 or more")
        _require(_positive(self.fidelity), "--lambda", self.fidelity, "a number above 0")
        _require(_at_least_zero(self.factor_reg), "--tau", self.factor_reg, "0 or more")
        _require(_at_least_zero(self.bias_reg), "--gamma", self.bias_reg, "0 or more")
        _require(
            self.item_prior in ("zero", "genre"), "item_prior", self.item_prior, "zero or genre"
        )
        _require(_positive(self.weight_reg), "--weight-reg", self.weight_reg, "a number above 0")
        _require(
            self.update in ("joint", "alternating"), "--update", self.update, "joint or alternating"
        )
        _require(0 <= self.reg_scaling <= 1, "--reg-scaling", self.reg_scaling, "0 to 1")
        _require(0 < self.damping <= 1, "--damping", self.damping, "above 0, at most 1")
        _require(_positive(self.init_scale), "init_scale", self.init_scale, "a number above 0")
        _require(_at_least_zero(self.tolerance), "--tolerance", self.tolerance, "0 or more")
        _require(0 <= self.seed < 2**63, "--seed", self.seed, "a whole number from 0 up")

    @property
    def kind(self) -> str:
        """Return ``"genre"``, ``"als"``, or ``"bias"`` where there are no factors."""
        if self.item_prior == "genre":
            return "genre"
        return "als" if self.n_factors else "bias"

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name, as `model.json` keeps them."""
        return asdict(self)

    def prior(self) -> RowPrior:
        """Return the prior of rows that are drawn to zero."""
        precision = ridge(self.n_factors, self.bias_reg, self.factor_reg)
        return RowPrior(precision, np.zeros((1, len(precision))))

    def rule(self, mean_rating: float) -> StepRule:
        """Return the equations of this model's half-steps."""
        return StepRule(
            n_factors=self.n_factors,
            mean_rating=mean_rating if self.centre else 0.0,
            fidelity=self.fidelity,
            reg_scaling=self.reg_scaling,
            alternating=self.update == "alternating",
            damping=self.damping,
        )


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _at_least_zero(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _require(good: bool, option: str, value: object, wanted: str) -> None:
    if not good:
        raise InputError(f"{option} {value}: give {wanted}")
