"""Metrics of predictions for weighted users, as a bootstrap needs them.

Each function prepares one cut-off's predictions and returns one that takes the weights of many
resamples: sorting is done once, and a resample costs a few sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from mfdask.kernels import curves as kernel
from mfdask.kernels.types import Float64s

#: Takes weights, float64 (resamples, predictions), returns the metrics, float64 (resamples,
#: metrics); NaN where one is not defined.
Measure = Callable[[Float64s], Float64s]

CHURN_METRICS = ("roc_auc", "pr_auc", "top_decile_lift", "brier")
VALUE_METRICS = ("gini", "rmse", "mae", "ratio")

#: Probabilities are kept this far from 0 and 1 before their logarithms are taken.
EDGE = 1e-6
#: Share of the users whose lift is told.
_TOP = 0.1
#: Of the line that probabilities are recalibrated by, around none.
PRIOR_DEVIATION = 0.5


class _Ranked:
    """Predictions from the highest down; equal ones form one step."""

    def __init__(self, label: Float64s, score: Float64s) -> None:
        self._order = np.argsort(-score, kind="stable")
        ordered = score[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self._label = label

    def walk(self, weights: Float64s) -> Float64s:
        """Return what `walk_curves` tells of each resample, float64 (resamples, columns)."""
        found = np.empty((len(weights), kernel.COLUMNS))
        kernel.walk_curves(self._order, self._ends, self._label, weights, _TOP, found)
        return found


def churn_measure(label: Float64s, score: Float64s) -> Measure:
    """Return what computes `CHURN_METRICS` of probabilities `score` for labels of 0 and 1.

    Area under the ROC curve; average precision; the share of churners in the tenth with the highest
    scores against that in all (ties shared out evenly); mean squared error.
    """
    ranked = _Ranked(label, score)
    squared = (label - score) ** 2

    def measure(weights: Float64s) -> Float64s:
        n, hits, area, precision, top = ranked.walk(weights).T
        with np.errstate(divide="ignore", invalid="ignore"):
            auc = (area - hits**2 / 2) / (hits * (n - hits))
            found = [auc, precision / hits, top / (_TOP * hits), weights @ squared / n]
        both = (hits > 0) & (hits < n)
        return np.where(both[:, None], np.column_stack(found), np.nan)

    return measure


def value_measure(label: Float64s, score: Float64s) -> Measure:
    """Return what computes `VALUE_METRICS` of predicted amounts.

    The Gini coefficient of the labels ordered by prediction, against that in their own order (1 is
    a perfect order, 0 a random one); root mean squared and mean absolute error; the sum of the
    predictions against that of the labels.
    """
    ranked, ideal = _Ranked(label, score), _Ranked(label, label)
    error = score - label

    def measure(weights: Float64s) -> Float64s:
        n, amount, area = ranked.walk(weights).T[: kernel.AREA + 1]
        best = ideal.walk(weights)[:, kernel.AREA]
        with np.errstate(divide="ignore", invalid="ignore"):
            gini, most = (each / (amount * n) - 0.5 for each in (area, best))
            order = np.where(most > 0, gini / most, np.nan)
            ratio = weights @ score / amount
        errors = np.sqrt(weights @ error**2 / n), weights @ np.abs(error) / n
        found = np.column_stack([order, *errors, ratio])
        found[~(amount > 0), :: len(VALUE_METRICS) - 1] = np.nan
        return found

    return measure


class Recalibration(NamedTuple):
    """A line that log-odds are moved by: ``intercept + slope * log-odds`` (Cox 1958).

    A slope of 1 is right, below 1 too sure, above 1 not sure enough. An intercept above 0 with a
    slope of 1 says that more happened than was told.
    """

    intercept: float = 0.0
    slope: float = 1.0

    def apply(self, score: Float64s) -> Float64s:
        """Return the probabilities moved."""
        odds = logit(np.clip(score, EDGE, 1 - EDGE))
        moved: Float64s = expit(self.intercept + self.slope * odds)
        return moved


def calibrate(label: Float64s, score: Float64s) -> Recalibration:
    """Return the line by which scores become what happened.

    Each of its numbers has a normal prior around (0, 1) with a standard deviation of
    `PRIOR_DEVIATION`: a few users leave scores nearly as they are.
    """
    odds = logit(np.clip(score, EDGE, 1 - EDGE))
    design = np.column_stack([np.ones_like(odds), odds])
    prior, strength = np.array([0.0, 1.0]), np.eye(2) / PRIOR_DEVIATION**2
    line = prior.copy()
    for _ in range(50):
        chance = expit(design @ line)
        hessian = design.T @ (design * (chance * (1 - chance))[:, None]) + strength
        slope = design.T @ (label - chance) - strength @ (line - prior)
        step = np.clip(np.linalg.solve(hessian, slope), -1, 1)
        line += step
        if np.abs(step).max() < 1e-8:
            break
    return Recalibration(*line.tolist())


def calibration_slope(label: Float64s, score: Float64s) -> float:
    """Return the slope of a logistic regression of the labels on the scores' log-odds.

    1 is right, below 1 too sure, above 1 not sure enough (Cox 1958). Newton's method; NaN where
    the scores tell the labels apart completely, or there is but one of either.
    """
    odds = logit(np.clip(score, EDGE, 1 - EDGE))
    design = np.column_stack([np.ones_like(odds), odds])
    if np.ptp(label) == 0 or np.ptp(odds) < EDGE:
        return float("nan")
    weights = np.array([0.0, 1.0])
    for _ in range(50):
        chance = expit(design @ weights)
        hessian = design.T @ (design * (chance * (1 - chance))[:, None])
        if np.linalg.cond(hessian) > 1e12:
            return float("nan")
        step = np.linalg.solve(hessian, design.T @ (label - chance))
        weights += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            return float(weights[1])
    return float("nan")


def by_decile(label: Float64s, score: Float64s) -> list[dict[str, float]]:
    """Return mean prediction and mean label of each tenth, the highest predictions first."""
    deciles = np.array_split(np.argsort(-score, kind="stable"), 10)
    return [
        {
            "users": len(rows),
            "predicted": float(score[rows].mean()),
            "actual": float(label[rows].mean()),
        }
        for rows in deciles
        if len(rows)
    ]
