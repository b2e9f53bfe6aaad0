"""What a fit can be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from mfdask.errors import InputError
from mfdask.models.half_step import UpdateConfig
from mfdask.models.prior import FeatureSums, RowPrior, fit_weights, ridge

MAX_FACTORS = 256

ItemPrior = Literal["zero", "genre", "features"]


@dataclass(frozen=True)
class Parameters:
    """Parameters of regularised matrix factorisation with biases.

    The objective is ``fidelity/2 * sum (r - r_hat)**2 + factor_reg/2 * (sum |p|**2 + sum |q|**2) +
    bias_reg/2 * (sum b_u**2 + sum b_i**2)`` with ``r_hat = mean + b_u + b_i + p . q``; only the
    ratios to `fidelity` matter for the solution. Items may have strengths of their own.

    Parameters
    ----------
    n_factors : int
        Length of a factor vector, 0 to 256; 0 learns biases alone.
    n_sweeps : int
        A sweep is one user half-step and one item half-step.
    fidelity, factor_reg, bias_reg : float
        The paper's lambda, tau and gamma.
    item_factor_reg, item_bias_reg : float, optional
        Tau and gamma of the items; by default those of the users.
    update : {"joint", "alternating"}
        Solve bias and factors of a row together, or bias first and then factors (the paper's
        Algorithm 1).
    item_prior : {"zero", "genre", "features"}
        What item rows are drawn to: zero, or the weighted sum of their genres or of other features
        from a file (weights learned).
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
    item_factor_reg: float | None = None
    item_bias_reg: float | None = None
    item_prior: ItemPrior = "zero"
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
        require(0 <= self.n_factors <= MAX_FACTORS, "--factors", self.n_factors, "0 to 256")
        require(self.n_sweeps >= 1, "--sweeps", self.n_sweeps, "1 or more")
        require(_positive(self.fidelity), "--lambda", self.fidelity, "a number above 0")
        require(_at_least_zero(self.factor_reg), "--tau", self.factor_reg, "0 or more")
        require(_at_least_zero(self.bias_reg), "--gamma", self.bias_reg, "0 or more")
        for option, own in (
            ("--item-tau", self.item_factor_reg),
            ("--item-gamma", self.item_bias_reg),
        ):
            require(own is None or _at_least_zero(own), option, own, "0 or more")
        require_item_prior(self.item_prior)
        require(_positive(self.weight_reg), "--weight-reg", self.weight_reg, "a number above 0")
        require(
            self.update in ("joint", "alternating"), "--update", self.update, "joint or alternating"
        )
        require(0 <= self.reg_scaling <= 1, "--reg-scaling", self.reg_scaling, "0 to 1")
        require(0 < self.damping <= 1, "--damping", self.damping, "above 0, at most 1")
        require(_positive(self.init_scale), "init_scale", self.init_scale, "a number above 0")
        require(_at_least_zero(self.tolerance), "--tolerance", self.tolerance, "0 or more")
        require(0 <= self.seed < 2**63, "--seed", self.seed, "a whole number from 0 up")

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Parameters:
        """Return the parameters that a model says it was fitted with; names unknown here pass."""
        known = {field.name for field in fields(Parameters)}
        return Parameters(**{name: value for name, value in said.items() if name in known})

    @property
    def kind(self) -> str:
        """Return what items follow, else ``"als"``, or ``"bias"`` where there are no factors."""
        if self.item_prior != "zero":
            return self.item_prior
        return "als" if self.n_factors else "bias"

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name, as `model.json` keeps them."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states: not those that say when to stop."""
        named = asdict(self)
        del named["n_sweeps"], named["tolerance"]
        return named

    def learns(self, side: str) -> bool:
        """Whether a side's prior is learned from its rows: where it follows features."""
        return side == "items" and self.item_prior != "zero"

    def prior(self, side: str) -> RowPrior:
        """Return the prior of rows that are drawn to zero."""
        bias_reg, factor_reg = self.bias_reg, self.factor_reg
        if side == "items":
            bias_reg = self.bias_reg if self.item_bias_reg is None else self.item_bias_reg
            factor_reg = self.factor_reg if self.item_factor_reg is None else self.item_factor_reg
        precision = ridge(self.n_factors, bias_reg, factor_reg)
        return RowPrior(self.fidelity, precision, np.zeros((1, len(precision))))

    def learned_prior(
        self, side: str, sweep: int, sums: FeatureSums, squared_error: float | None, n_ratings: int
    ) -> RowPrior:
        """Return the prior with the weights that suit the rows best."""
        plain = self.prior(side)
        weights = fit_weights(sums, plain.precision, self.weight_reg)
        return RowPrior(plain.fidelity, plain.precision, weights)

    def key(self, side: str, sweep: int) -> np.uint64 | None:
        """Rows are solved for, not drawn."""
        return None

    def averages(self, sweep: int) -> bool:
        """Each sweep's predictions stand for themselves."""
        return False

    def rule(self, mean_rating: float) -> UpdateConfig:
        """Return the equations of this model's half-steps."""
        return UpdateConfig(
            n_factors=self.n_factors,
            mean_rating=mean_rating if self.centre else 0.0,
            reg_scaling=self.reg_scaling,
            alternating=self.update == "alternating",
            damping=self.damping,
        )


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _at_least_zero(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def require(good: bool, option: str, value: object, wanted: str) -> None:
    """Refuse the value of an option, and say what is wanted.

    Raises
    ------
    InputError
        Unless it is good.
    """
    if not good:
        raise InputError(f"{option} {value}: give {wanted}")


def require_item_prior(value: str) -> None:
    """Refuse an item prior that there is none of.

    Raises
    ------
    InputError
    """
    priors = get_args(ItemPrior)
    require(value in priors, "--item-prior", value, " or ".join(priors))
