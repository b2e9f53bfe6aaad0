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
#: Counts, times and distances: their logarithms are nearer to a straight line.
_SKEWED = frozenset((*RFM, "drift"))


def logistic(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn a probability by logistic regression on standardised features."""
    if np.ptp(label) == 0:
        return partial(_constant, value=label[0])
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    estimator.fit(_straightened(features), label, logisticregression__sample_weight=weight)
    return lambda later: estimator.predict_proba(_straightened(later))[:, 1]


def boosted_chance(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn a probability by boosted trees."""
    if np.ptp(label) == 0:
        return partial(_constant, value=label[0])
    estimator = HistGradientBoostingClassifier(**_BOOSTING)
    _alone(estimator.fit, features.to_numpy(np.float64), label, weight)
    return lambda later: _alone(estimator.predict_proba, later.to_numpy(np.float64))[:, 1]


def boosted_amount(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn a mean by boosted trees with Poisson deviance, which keeps it above zero."""
    if not label.any():  # of which there is no logarithm
        return partial(_constant, value=0.0)
    estimator = HistGradientBoostingRegressor(loss="poisson", **_BOOSTING)
    _alone(estimator.fit, features.to_numpy(np.float64), label, weight)
    return lambda later: _alone(estimator.predict, later.to_numpy(np.float64))


def as_told(features: pd.DataFrame, label: Float64s, weight: Float64s) -> Predictor:
    """Learn nothing: the only feature is the prediction."""
    return lambda later: later.iloc[:, 0].to_numpy(np.float64)


def _alone(call: Callable[..., Any], *args: Any) -> Any:
    """Call in one thread: trees this small keep several waiting for each other."""
    with threadpool_limits(1, "openmp"):
        return call(*args)


def _constant(later: pd.DataFrame, value: float) -> Float64s:
    return np.full(len(later), value, np.float64)


def _straightened(features: pd.DataFrame) -> Float64s:
    """Return the features as numbers, skewed ones as ``log(1 + x)``."""
    columns = [np.log1p(features[name]) if name in _SKEWED else features[name] for name in features]
    return np.column_stack(columns).astype(np.float64)
