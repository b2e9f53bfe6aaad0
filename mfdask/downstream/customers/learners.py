"""The scikit-learn estimators that churn and lifetime value are predicted with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from mfdask.downstream.customers.rfm import RFM
from mfdask.kernels.types import Float64s

Predictor = Callable[[pd.DataFrame], Float64s]
#: Takes features, labels and weights.
Learner = Callable[[pd.DataFrame, Float64s, Float64s], Predictor]

#: Many small steps of small trees, which do no harm to a few hundred users either.
_BOOSTING = {
    "max_iter": 150,
    "learning_rate": 0.05,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
    "early_stopping": False,
    "random_state": 0,
}
#: As many as the estimators have.
_MOST_BINS = 255
#: Counts, times and distances: their logarithms are nearer to a straight line.
_SKEWED = frozenset((*RFM, "drift"))


def logistic(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn a probability by logistic regression on standardised features."""
    if np.ptp(label) == 0:
        return partial(_constant, value=label[0])
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    fit = partial(estimator.fit, logisticregression__sample_weight=weight)
    _alone(fit, _straightened(features), label)
    return lambda later: estimator.predict_proba(_straightened(later))[:, 1]


def boosted_chance(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn a probability by boosted trees."""
    if np.ptp(label) == 0:
        return partial(_constant, value=label[0])
    estimator, bins = HistGradientBoostingClassifier(**_BOOSTING), _Bins(features)
    _alone(estimator.fit, bins.of(features), label, weight)
    return lambda later: _alone(estimator.predict_proba, bins.of(later))[:, 1]


def boosted_amount(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn a mean by boosted trees with Poisson deviance, which keeps it above zero."""
    if not label.any():  # of which there is no logarithm
        return partial(_constant, value=0.0)
    estimator = HistGradientBoostingRegressor(loss="poisson", **_BOOSTING)
    bins = _Bins(features)
    _alone(estimator.fit, bins.of(features), label, weight)
    return lambda later: _alone(estimator.predict, bins.of(later))


class _Bins:
    """The bins of features that trees are grown on, by quantiles.

    The estimators bin for themselves, but with weights they look up each quantile anew: that is
    most of the time of a fit. What comes in so many different numbers they take as it is.
    """

    def __init__(self, features: pd.DataFrame) -> None:
        shares = np.linspace(0, 1, _MOST_BINS + 1)[1:-1]
        values = features.to_numpy(np.float64)
        self._edges = [np.unique(np.quantile(column, shares)) for column in values.T]

    def of(self, features: pd.DataFrame) -> Float64s:
        """Return the bin of each value, float64 (users, features)."""
        columns = zip(self._edges, features.to_numpy(np.float64).T, strict=True)
        bins = [np.searchsorted(edges, values, side="right") for edges, values in columns]
        return np.column_stack(bins).astype(np.float64)


def as_told(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn nothing: the only feature is the prediction."""
    return lambda later: later.iloc[:, 0].to_numpy(np.float64)


def _alone(call: Callable[..., Any], *args: Any) -> Any:
    """Call in one thread: for trees, and products, this small several wait for each other."""
    with threadpool_limits(1):
        return call(*args)


def _constant(later: pd.DataFrame, value: float) -> Float64s:
    return np.full(len(later), value, np.float64)


def _straightened(features: pd.DataFrame) -> Float64s:
    """Return the features as numbers, skewed ones as ``log(1 + x)``."""
    columns = [np.log1p(features[name]) if name in _SKEWED else features[name] for name in features]
    return np.column_stack(columns).astype(np.float64)
