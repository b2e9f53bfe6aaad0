"""What the trials of a search are scored by: the RMSE, or a metric of ranked lists."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mfdask.errors import InputError
from mfdask.evaluation import RankingPlan, measure_ranking, scorer_of
from mfdask.evaluation.list_metrics import NAMES, OF_RANKS
from mfdask.models import Ability, Estimator, Model
from mfdask.shards import Dataset

RMSE, AUC = "rmse", "auc"
FORMS = f"rmse, auc, or {', '.join(OF_RANKS)} of lists of a length, such as ndcg@10"


@dataclass(frozen=True)
class TuningObjective:
    """A figure of the validation part.

    Attributes
    ----------
    metric : str
    k : int or None
        Length of the lists; None for `RMSE` and `AUC`.
    threshold : float or None
        Of relevant ratings, where lists are measured; see `RankingPlan`.
    """

    metric: str = RMSE
    k: int | None = None
    threshold: float | None = None

    @classmethod
    def parse(cls, text: str, threshold: float | None) -> TuningObjective:
        """Read ``ndcg@10`` and its like.

        Raises
        ------
        InputError
        """
        metric, _, length = text.partition("@")
        if text in (RMSE, AUC):
            return cls(text, None, threshold)
        if metric not in OF_RANKS or not length.isdecimal() or not int(length):
            raise InputError(f"`objective` {text}: give {FORMS}")
        return cls(metric, int(length), threshold)

    @classmethod
    def default(cls, estimator: Estimator) -> str:
        """Return the objective for models of a kind, unless another is asked for."""
        return RMSE if Ability.RATINGS in estimator.abilities else "ndcg@10"

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return self.metric if self.k is None else f"{self.metric}@{self.k}"

    @property
    def label(self) -> str:
        """What people call it."""
        name = NAMES.get(self.metric, self.metric.upper())
        return name if self.k is None else f"{name} at {self.k}"

    @property
    def of_ratings(self) -> bool:
        """Whether it is the error of predicted ratings, and the smaller the better."""
        return self.metric == RMSE

    @property
    def plan(self) -> RankingPlan:
        """How lists are measured."""
        return RankingPlan((self.k or 1,), self.threshold)

    def check(self, estimator: Estimator, data: Dataset) -> None:
        """Refuse the RMSE of models that predict no ratings, and lists that `data` cannot have.

        Raises
        ------
        InputError
        """
        if self.of_ratings and Ability.RATINGS not in estimator.abilities:
            raise InputError(
                f"`objective` rmse: a model of kind {estimator.kind} predicts no ratings; "
                "give another such as ndcg@10"
            )
        if not self.of_ratings:
            self.plan.check(data)

    def of(self, model: Model, data: Dataset) -> float | None:
        """Return the figure of a model that was just learned, on the test part of its data.

        Raises
        ------
        InputError
            If it is an AUC, and for nobody is there an item that is not relevant.
        """
        if self.of_ratings:
            return model.history[-1].test_rmse
        if not data.n_test:
            return None
        scorer = scorer_of(model.align(data), data)
        found = measure_ranking(scorer, data, self.plan).means()[self.metric]
        if math.isnan(found):
            raise InputError(
                f"`objective` {self}: {data.name} leaves nothing to rank below what is relevant; "
                "give a higher `threshold`, or another objective such as ndcg@10"
            )
        return found
