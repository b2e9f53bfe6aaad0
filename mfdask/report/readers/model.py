"""The report for who trains models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfdask.evaluation.accuracy import bin_labels, evaluate
from mfdask.figures.figure import Section
from mfdask.models import Ability, Model
from mfdask.report.readers.summary import summary_section
from mfdask.shards import Dataset

_RMSE = "test RMSE (stars)"


def model_summary(models: Mapping[str, Model], data: Dataset) -> Section:
    """Return how well models predict what was held out, against the mean of all ratings."""
    mean = _rmse_of_mean(data) if _has_test_ratings(data) else None
    columns = {name: _numbers(model, data) for name, model in models.items()}
    if mean is not None:
        columns["the mean alone"] = {_RMSE: mean}
    return summary_section(_verdict(columns, mean), columns)


def _verdict(columns: Mapping[str, Mapping[str, Any]], mean: float | None) -> str:
    measured = {
        name: numbers[_RMSE] for name, numbers in columns.items() if numbers.get(_RMSE) is not None
    }
    measured.pop("the mean alone", None)
    if not measured or mean is None:
        return (
            "No error can be told here: nothing is held out, or these models only rank. "
            "`mfdask evaluate` measures lists."
        )
    best = min(measured, key=lambda name: measured[name])
    line = (
        f"{best} predicts held-out ratings to {measured[best]:.4f} stars (RMSE), "
        f"{1 - measured[best] / mean:.0%} less than the mean of all ratings does ({mean:.4f})."
    )
    if len(measured) > 1:
        worst = max(measured, key=lambda name: measured[name])
        line += f" The worst of the {len(measured)} models, {worst}, has {measured[worst]:.4f}."
    return line


def _numbers(model: Model, data: Dataset) -> dict[str, Any]:
    last = model.history[-1] if model.history else None
    numbers: dict[str, Any] = {
        "kind": model.kind,
        "factors": model.parameters.get("n_factors"),
        "sweeps": None if last is None else last.sweep,
        "training ratings": model.data.n_train,
        "train RMSE (stars)": None if last is None else last.train_rmse,
    }
    if not (_has_test_ratings(data) and model.can(Ability.RATINGS)):
        return numbers | {"test AUC": None if last is None else last.test_auc}
    found = evaluate(model, data)
    numbers |= {_RMSE: float(found.raw.rmse()[0]), "test MAE (stars)": float(found.raw.mae()[0])}
    labels = bin_labels()
    for which, sums in (("users", found.by_user), ("items", found.by_item)):
        for k in (0, len(labels) - 1):
            if sums.n[k]:
                what = f"test RMSE, {which} with {labels[k]} training ratings"
                numbers[what] = float(sums.rmse()[k])
    return numbers


def _has_test_ratings(data: Dataset) -> bool:
    return data.n_test > 0 and data.feedback == "ratings"


def _rmse_of_mean(data: Dataset) -> float:
    """Return the error of the mean training rating on the held-out ratings."""
    squared = 0.0
    for block in range(data.n_blocks("users")):
        error = data.shard("users", block, "test").ratings.astype(np.float64) - data.mean
        squared += float(np.square(error).sum())
    return float(np.sqrt(squared / data.n_test))
