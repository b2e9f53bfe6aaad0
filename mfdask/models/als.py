"""The ALS estimator: alternating least squares with biases, and with priors from item features."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mfdask.features.encoder import FeatureScale
from mfdask.features.file import FeaturesOf
from mfdask.features.kept import learned_features
from mfdask.features.noise import Noise
from mfdask.features.offsets import GroupSums
from mfdask.kernels.types import Float32s, Float64s
from mfdask.models.base import Ability, Estimator
from mfdask.models.design import Array, Regression, RowPrior, pack, ridge
from mfdask.models.factor_model import FactorModel
from mfdask.models.fit import FitResult, MatrixFactorization
from mfdask.models.half_step import UpdateConfig
from mfdask.models.registry import Kind
from mfdask.models.updates import MAX_FACTORS, ItemPrior, Time, UserPrior
from mfdask.parameters import parameter
from mfdask.shards import SIDES, Dataset

#: Where some of the regularisation is given, the rest of it: what the paper found by a grid search
#: on 32 million real ratings.
_BY_HAND = {"factor_reg": 0.05, "bias_reg": 0.015, "reg_scaling": 0.0}
#: Regularisation where none is given. Products of factors are ratings: on a scale twice as wide
#: they are twice as large, so that the factors' part is for each unit of the width of the scale.
_OF_WIDTH, _BIAS_REG, _REG_SCALING = 0.0025, 0.005, 0.2
#: The best of 120 trials on a validation part of ml-latest-small's.
_SMALL = {
    "n_factors": 20,
    "n_sweeps": 20,
    "fidelity": 0.002,
    "factor_reg": 0.006,
    "bias_reg": 0.0026,
    "item_factor_reg": 0.021,
    "item_bias_reg": 0.0037,
    "reg_scaling": 0.18,
}


@dataclass(frozen=True)
class ALS(MatrixFactorization):
    """Regularised matrix factorisation with biases, learned by alternating least squares.

    The objective is ``fidelity/2 * sum (r - r_hat)**2 + factor_reg/2 * (sum |p|**2 + sum |q|**2) +
    bias_reg/2 * (sum b_u**2 + sum b_i**2)`` with ``r_hat = mean + b_u + b_i + p . q``; only the
    ratios to `fidelity` matter for the solution. Items may have strengths of their own. Where they
    are drawn to their features, `q` and `b_i` there are less what the features say, and
    ``weight_reg/2 * sum W**2`` of the features' weights joins. Where there are offsets by time,
    they are taken off the ratings, and ``time_reg/2 * sum a**2`` joins. With a half-life, or where
    ratings have weights, each squared error counts by the weight of its rating.

    Examples
    --------
    >>> from mfdask import ALS, Dataset
    >>> model = ALS(n_factors=40, n_sweeps=10).fit(Dataset.open("data/ml-32m"))  # doctest: +SKIP
    """

    presets: ClassVar = {"small": _SMALL, "large": _BY_HAND}
    #: A night stops sweeping once it gains nothing: a warm start pays by ending sooner.
    unattended: ClassVar = {"n_sweeps": 60, "tolerance": 0.0005}

    n_factors: int = parameter(
        20,
        "Length of a factor vector; 0 learns biases alone.",
        "factors",
        at_least=0,
        at_most=MAX_FACTORS,
        tunable=True,
    )
    n_sweeps: int = parameter(
        20,
        "Sweeps, at most; a sweep solves all users, then all items.",
        "sweeps",
        at_least=1,
        tunable=True,
    )
    fidelity: float = parameter(
        0.002,
        "Weight of a squared error, as in the paper: the larger, the less regularisation.",
        "lambda",
        above=0,
        tunable=True,
    )
    factor_reg: float | None = parameter(
        None,
        f"Regularisation of the factors; auto: {_OF_WIDTH:g} times the width of the rating scale, "
        f"or {_BY_HAND['factor_reg']:g} where gamma or reg-scaling is given.",
        "tau",
        at_least=0,
        none="auto",
        tunable=True,
    )
    bias_reg: float | None = parameter(
        None,
        f"Regularisation of the biases; auto: {_BIAS_REG:g}, or {_BY_HAND['bias_reg']:g} where tau "
        "or reg-scaling is given.",
        "gamma",
        at_least=0,
        none="auto",
        tunable=True,
    )
    item_factor_reg: float | None = parameter(
        None,
        "Regularisation of item factors.",
        "item-tau",
        at_least=0,
        none="tau",
        tunable=True,
    )
    item_bias_reg: float | None = parameter(
        None,
        "Regularisation of item biases.",
        "item-gamma",
        at_least=0,
        none="gamma",
        tunable=True,
    )
    user_prior: UserPrior = parameter(
        "zero",
        "What users are drawn around: zero, or what features from a file, or the items they rated, "
        "say of them; both are joined by +.",
    )
    item_prior: ItemPrior = parameter(
        "zero",
        "What items are drawn around: zero, or what genres, features from a file, or the users who "
        "rated them say; two are joined by +.",
    )
    feature_scale: FeatureScale = parameter(
        "deviation",
        "Numbers in files of features, less their mean, are divided by their deviation or their "
        "range; none: they are taken as they are.",
    )
    weight_reg: float = parameter(
        0.05,
        "Regularisation of the weights of genres, features, or what is rated.",
        above=0,
        tunable=True,
    )
    time: Time = parameter(
        "none",
        "Solve for an offset of each user's day, of each item's period, or of both; the ratings "
        "must have timestamps.",
    )
    time_reg: float = parameter(
        0.03, "Regularisation of the offsets of days and periods.", above=0, tunable=True
    )
    period_days: int = parameter(70, "Length of an item's period, in days.", at_least=1)
    half_life: float | None = parameter(
        None,
        "A rating weighs half as much for each so many days that it is older than the newest "
        "training rating.",
        above=0,
        none="no",
    )
    update: Literal["joint", "alternating"] = parameter(
        "joint",
        "joint: bias and factors of a row together; alternating: bias first (Algorithm 1).",
    )
    reg_scaling: float | None = parameter(  # type: ignore[assignment]
        None,
        "Tau and gamma grow with this power of a row's number of ratings (1: ALS-WR); auto: "
        f"{_REG_SCALING:g}, or {_BY_HAND['reg_scaling']:g} where tau or gamma is given.",
        none="auto",
        at_least=0,
        at_most=1,
        tunable=True,
    )
    damping: float = parameter(
        1.0,
        "Share of the way to its solution that a row moves in a sweep; the paper's alpha. Above 1, "
        "such as 1.5, the objective falls in fewer sweeps.",
        above=0,
        at_most=1.9,
        tunable=True,
    )
    centre: bool = parameter(
        True, "Learn deviations from the mean training rating; else the biases carry it."
    )
    init_scale: float = parameter(0.1, "Standard deviation of the first factors.", above=0)
    tolerance: float = parameter(
        0.0, "Stop when a sweep lowers the objective by a smaller share than this.", at_least=0
    )
    seed: int = parameter(42, "Seed of the first factors, and of all draws.", at_least=0)

    @property
    def kind(self) -> str:
        """Return what items follow, else ``"als"``, or ``"bias"`` where there are no factors."""
        described = self.follows("items") - {"rated"}
        if described:
            return min(described)
        return "als" if self.n_factors else "bias"

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do: all but tell deviations, and what there are no factors for."""
        found = {*super().abilities, Ability.BIASES, Ability.NEW_USERS, Ability.OBJECTIVE}
        if self.n_factors:
            found |= {Ability.FACTORS, Ability.SINGLE_VECTORS}
        if self.follows("items") - {"rated"}:
            found.add(Ability.NEW_ITEMS)
        return frozenset(found)

    def point_estimate(self, most_sweeps: int | None = None) -> Estimator:
        """Return itself, with fewer sweeps."""
        return replace(self, n_sweeps=min(self.n_sweeps, most_sweeps or self.n_sweeps))

    def resolved(self, data: Dataset) -> ALS:
        """Return itself with a regularisation: what is given, or else what suits the scale."""
        width = data.rating_max - data.rating_min
        own = {"factor_reg": _OF_WIDTH * width, "bias_reg": _BIAS_REG, "reg_scaling": _REG_SCALING}
        given = {name: value for name in own if (value := getattr(self, name)) is not None}
        return replace(self, **{**(_BY_HAND if given else own), **given})

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states: not those that say when to stop."""
        named = asdict(self)
        del named["n_sweeps"], named["tolerance"]
        return named

    def update_config(self, mean_rating: float) -> UpdateConfig:
        """Return the equations of the half-steps; of a `resolved` estimator alone."""
        assert self.reg_scaling is not None
        return UpdateConfig(
            n_factors=self.n_factors,
            mean_rating=mean_rating if self.centre else 0.0,
            reg_scaling=self.reg_scaling,
            alternating=self.update == "alternating",
            damping=self.damping,
        )

    def learns(self, side: str) -> bool:
        """Whether a side's prior is learned from its rows: where it follows features."""
        return bool(self.follows(side))

    def prior(self, side: str) -> RowPrior:
        """Return the prior of rows that are drawn to zero; of a `resolved` estimator alone."""
        bias_reg, factor_reg = self.bias_reg, self.factor_reg
        assert factor_reg is not None
        assert bias_reg is not None
        if side == "items":
            bias_reg = bias_reg if self.item_bias_reg is None else self.item_bias_reg
            factor_reg = factor_reg if self.item_factor_reg is None else self.item_factor_reg
        precision = ridge(self.n_factors, bias_reg, factor_reg)
        return RowPrior(self.fidelity, precision, np.zeros((1, len(precision))))

    def learned_prior(
        self,
        side: str,
        sweep: int,
        sums: Regression,
        noise: Noise | None,
        before: RowPrior,
    ) -> RowPrior:
        """Return the prior with weights that suit the rows: the best, or nearer to them."""
        plain = self.prior(side)
        found = sums.fit(plain.precision, self.weight_reg)
        own = self.weight_reg * float(np.square(found.weights, dtype=np.float64).sum())
        penalty = float(np.sum(plain.precision * sums.scatter(found))) + own
        return plain.around(found, sums.n_dense, penalty)

    @property
    def first_offset_precision(self) -> float:
        """What the offsets' squares are penalised by."""
        return self.time_reg

    def update_offsets(
        self, which: int, sweep: int, sums: GroupSums, fidelity: float, precision: float
    ) -> tuple[Float64s, float]:
        """Return the offsets that the objective is least at."""
        return sums.mean(fidelity, precision), precision

    def model(
        self, data: Dataset, result: FitResult, features: FeaturesOf, collector: None
    ) -> FactorModel:
        """Return the model of the last sweep's rows."""
        weights = {side: _float32(result.priors[side].weights) for side in features}
        model = FactorModel.of_data(
            self,
            data,
            result.history,
            mean=self.update_config(data.mean).mean_rating,
            user_rows=result.rows["users"].copy(),  # what a worker sends cannot be written to
            item_rows=result.rows["items"].copy(),
            **learned_features(features, weights, data),
            shared={
                side: _float32(result.priors[side].weights[0])
                for side in SIDES
                if "rated" in self.follows(side)
            },
            rated_rows=_design(result.priors["users"].rated),
            offsets=result.offsets,
        )
        # Their rows lie on the prior of the sweep before; what is learned last is what counts.
        for side, table in (("users", model.users), ("items", model.items)):
            unrated = np.flatnonzero(table["n_train"].to_numpy() == 0)
            if side in features:
                own = features[side].encode(data, unrated) @ weights[side]
                model.rows(side)[unrated] = pack(own[:, 0], own[:, 1:])
            elif side in model.shared:
                model.rows(side)[unrated] = model.cold_start_row(side)
        return model

    def objective(self, model: FactorModel, squared_error: float) -> float:
        """Return the objective of a model whose squared error over the training ratings is given.

        That of the last sweep in the model's history, from which it is taken where a prior follows
        what is rated, that of users features, or ratings have weights: the model does not keep who
        rated what, or when.
        """
        is_weighted = self.half_life is not None or model.data.mean_weight is not None
        if model.shared or model.user_features or is_weighted:
            return model.history[-1].objective
        total = self.fidelity * squared_error
        if model.feature_weights is not None:
            weights = model.feature_weights.astype(np.float64)
            total += self.weight_reg * float(np.square(weights).sum())
        for own in model.offsets:
            total += self.time_reg * float(np.square(own.values, dtype=np.float64).sum())
        means = {"items": model.rows_of_new_items(model.described_items)}
        for side in ("users", "items"):
            total += self._penalty(model, side, means.get(side))
        return total / 2

    def _penalty(self, model: FactorModel, side: str, means: Float32s | None) -> float:
        """Return ``sum s (w - m)' P (w - m)`` over the rows of a side."""
        d = self.n_factors + 1
        rows, table = model.rows(side), model.users if side == "users" else model.items
        away = rows if means is None else rows - means
        scale = np.maximum(table["n_train"].to_numpy(), 1.0) ** self.reg_scaling
        own = np.delete(away[:, : d + 1], 1, axis=1).astype(np.float64)
        return float(scale @ (np.square(own) @ np.diag(self.prior(side).precision)))


def _float32(values: npt.NDArray[np.floating]) -> Float32s:
    return values.astype(np.float32)


def _design(rows: Array | None) -> Float32s | None:
    return None if rows is None else pack(rows[:, 0], rows[:, 1:])


_UNKNOWING = {"user_prior": "zero", "item_prior": "zero"}
PLAIN = Kind("als", ALS, "biases and factors")
BIAS = Kind("bias", ALS, "biases alone", {**_UNKNOWING, "n_factors": 0})
GENRE = Kind("genre", ALS, "als, items drawn towards what genres say", {"item_prior": "genre"})
FEATURES = Kind("features", ALS, "towards what a file says", {"item_prior": "features"})
