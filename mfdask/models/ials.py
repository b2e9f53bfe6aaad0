"""Implicit-feedback ALS: a preference between every user and every item, to rank by.

Hu, Koren and Volinsky (2008), with the regularisation of Rendle et al. (2021, "Revisiting the
performance of iALS on item recommendation benchmarks").
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from mfdask.errors import InputError, require
from mfdask.features.file import FeaturesOf
from mfdask.features.weights import Recency
from mfdask.kernels.types import Float32s
from mfdask.models.base import Ability, Score
from mfdask.models.design import RowPrior, ridge
from mfdask.models.factor_model import FactorModel
from mfdask.models.fit import FitResult, MatrixFactorization
from mfdask.models.half_step import UpdateConfig
from mfdask.models.registry import Kind
from mfdask.models.updates import MAX_FACTORS, ItemPrior, UserPrior
from mfdask.parameters import parameter
from mfdask.shards import Dataset, Shard

#: Standard deviation of the length of a first factor vector.
_FIRST_LENGTH = 0.1


@dataclass(frozen=True)
class IALS(MatrixFactorization):
    """Matrix factorisation of implicit feedback, learned by alternating least squares.

    What a user has rated (played, bought) is a preference of 1, all else one of 0, and the scores
    ``s = p . q`` minimise ``sum c (s - 1)**2`` over the observed pairs, ``+ unrated_weight *
    sum s**2`` over all pairs, ``+ factor_reg * sum (n + unrated_weight * m)**reg_scaling * |w|**2``
    over the rows `w` of both sides: `n` are the row's observations, `m` the rows of the other side,
    and `c` is the weight of an observation, times that of its rating where the data have any, and
    that of its age. A score ranks items for a user, and is no rating.

    After the last sweep users are solved once more against the items as they are then. There their
    newest ratings weigh more, where there are timestamps: a list is of what comes next.

    Examples
    --------
    >>> from mfdask import IALS, Dataset
    >>> model = IALS(liked=4.0).fit(Dataset.open("data/ml-32m"))  # doctest: +SKIP
    """

    #: Small: the best of a few on validation parts of ml-latest-small's. Large: published for ten
    #: million and more (Rendle et al. 2021, ML20M), where K is 256 to 2048.
    presets: ClassVar = {
        "small": {"liked": 4.0, "unrated_weight": 0.1},
        "large": {"n_factors": 256, "factor_reg": 0.003, "unrated_weight": 0.1, "n_sweeps": 16},
    }

    n_factors: int = parameter(
        192, "Length of a factor vector.", "factors", at_least=1, at_most=MAX_FACTORS, tunable=True
    )
    n_sweeps: int = parameter(
        12,
        "Sweeps, at most; a sweep solves all users, then all items.",
        "sweeps",
        at_least=1,
        tunable=True,
    )
    factor_reg: float | None = parameter(
        None,
        "Regularisation of the factors; auto: 0.7 divided by the cube root of the number of "
        "training ratings, 0.01 at most.",
        "tau",
        above=0,
        none="auto",
        tunable=True,
    )
    unrated_weight: float = parameter(
        0.3, "Weight of a pair as a preference of 0; a rated one counts 1.", above=0, tunable=True
    )
    reg_scaling: float = parameter(
        1.0,
        "Tau grows with this power of a row's number of ratings.",
        at_least=0,
        at_most=1,
        tunable=True,
    )
    liked: float | None = parameter(
        None,
        "Ratings from this up are observed, lower ones are not.",
        none="all",
        tunable=True,
    )
    weighting: Literal["one", "rating", "log"] = parameter(
        "one",
        "An observed rating or count r weighs 1, 1 + weight r, or 1 + weight ln(1 + r).",
    )
    weight: float = parameter(
        1.0, "How fast weights grow with rating or count.", above=0, tunable=True
    )
    half_life: float | None = parameter(
        None,
        "An observed rating weighs half as much for each so many days that it is older than the "
        "newest training rating.",
        above=0,
        none="no",
    )
    recency_gain: float = parameter(
        9.0,
        "How much more than 1 the newest rating of a user weighs when their final row is solved, "
        "where there are timestamps; 0: all alike.",
        at_least=0,
        tunable=True,
    )
    recency_span: float = parameter(
        5.0, "So many newer ratings of the same user halve that.", above=0, tunable=True
    )
    tolerance: float = parameter(
        0.0, "Stop when a sweep lowers the objective by a smaller share than this.", at_least=0
    )
    seed: int = parameter(42, "Seed of the first factors.", at_least=0)

    kind = "ials"
    score = Score.PREFERENCE
    user_prior: UserPrior = "zero"
    item_prior: ItemPrior = "zero"
    centre = False

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its models can do."""
        return super().abilities | {Ability.FACTORS, Ability.NEW_USERS, Ability.OBJECTIVE}

    @property
    def init_scale(self) -> float:  # type: ignore[override]
        """Standard deviation of the first factors."""
        return float(_FIRST_LENGTH / math.sqrt(self.n_factors))

    def resolved(self, data: Dataset) -> IALS:
        """Return itself with a regularisation: what is given, or else what suits the size.

        Published ones, found on 1, 10 and 34 million pairs, are .007, .003 and .002 (Rendle et al.
        2021: ML1M, ML20M, MSD).
        """
        if self.factor_reg is not None:
            return self
        return replace(self, factor_reg=min(0.01, 0.7 * data.n_train ** (-1 / 3)))

    def identity(self) -> dict[str, Any]:
        """Return the parameters that shape the states: not those that say when to stop."""
        named = asdict(self)
        for at_the_end in ("n_sweeps", "tolerance", "recency_gain", "recency_span"):
            del named[at_the_end]
        return named

    @property
    def recency(self) -> Recency | None:
        """How much more users' newest ratings weigh in the rows that a fit ends with."""
        return Recency(self.recency_gain, self.recency_span) if self.recency_gain else None

    def check_data(self, data: Dataset) -> None:
        """Refuse ratings none of which is observed, or that cannot weigh."""
        super().check_data(data)
        scale = f"{data.rating_min:g} to {data.rating_max:g}"
        if self.liked is not None:
            wanted = f"{data.rating_max:g} or less: the ratings of {data.name} are {scale}"
            require(self.liked <= data.rating_max, "liked", self.liked, wanted)
        lowest = data.rating_min if self.liked is None else max(self.liked, data.rating_min)
        if lowest < 0 and (self.liked is None or self.weighting != "one"):
            raise InputError(
                f"{data.name}: ratings are {scale}, and below 0 none is a preference or a count; "
                "give `liked` 0 or more to leave them out"
            )

    def update_config(self, mean_rating: float) -> UpdateConfig:
        """Return the equations of the half-steps."""
        return UpdateConfig(
            n_factors=self.n_factors,
            mean_rating=0.0,
            reg_scaling=self.reg_scaling,
            alternating=False,
            damping=1.0,
            unrated_weight=self.unrated_weight,
        )

    def observed(self, shard: Shard) -> Shard:
        """Return the ratings that are liked, with weights times those that the shard has."""
        if self.liked is not None:
            shard = shard.only(shard.ratings >= np.float32(self.liked))
        roots = np.sqrt(self.weights(shard.ratings))
        return replace(shard, roots=roots if shard.roots is None else roots * shard.roots)

    def weights(self, ratings: Float32s) -> Float32s:
        """Return what observed ratings or counts weigh, float32."""
        if self.weighting == "one":
            return np.ones(len(ratings), np.float32)
        grown = ratings if self.weighting == "rating" else np.log1p(ratings)
        return np.float32(1.0) + np.float32(self.weight) * grown

    def prior(self, side: str) -> RowPrior:
        """Return the prior of rows that are drawn to zero; of a `resolved` estimator alone.

        Both halves of an objective are doubled, since this one is not halved. The bias is 0 in any
        case.
        """
        assert self.factor_reg is not None
        precision = ridge(self.n_factors, 1.0, 2 * self.factor_reg)
        return RowPrior(2.0, precision, np.zeros((1, len(precision))))

    def model(
        self, data: Dataset, result: FitResult, features: FeaturesOf, collector: None
    ) -> FactorModel:
        """Return the model of the last sweep's rows."""
        if not result.rows["items"][:, 2:].any():
            raise InputError(f"{data.name}: no training rating is `liked`, which is {self.liked:g}")
        return FactorModel.of_data(
            self,
            data,
            result.history,
            mean=0.0,
            user_rows=result.rows["users"],
            item_rows=result.rows["items"].copy(),  # what a worker sends cannot be written to
        )

    def objective(self, model: FactorModel, squared_error: float) -> float:
        """Return the objective of the last sweep; errors of ratings are no part of it."""
        return model.history[-1].objective


IMPLICIT = Kind("ials", IALS, "preferences from all that is rated, to rank by")
