"""Figures of fits by sweep: objective, errors, seconds, noise, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import ClassVar

import numpy as np
import pandas as pd

from mfdask.models import Model
from mfdask.report.lines import LineFigure

_MODEL_AND_SWEEP = [("model", "@model"), ("sweep", "@sweep")]


def history_table(models: Mapping[str, Model]) -> pd.DataFrame:
    """Return the sweeps of all models: `model`, and the fields of `Sweep` as columns.

    Errors are NaN where there are none.
    """
    lines = [{"model": name, **asdict(s)} for name, model in models.items() for s in model.history]
    numbers = ["train_rmse", "test_rmse", "test_auc", "fidelity", "rhat"]
    return pd.DataFrame(lines).astype(dict.fromkeys(numbers, "float64"))


def errors_table(history: pd.DataFrame) -> pd.DataFrame:
    """Return the errors of a history, a line for each curve and sweep.

    Returns
    -------
    DataFrame
        `model`, `sweep`, `ratings` ("train" or "test"), `rmse`, `curve` (model and ratings) and
        `best`: the sweep of each model with the smallest test RMSE, or train RMSE where nothing was
        held out.
    """
    names = {"train_rmse": "train", "test_rmse": "test"}
    long = (
        history.rename(columns=names)
        .melt(["model", "sweep"], list(names.values()), var_name="ratings", value_name="rmse")
        .dropna(subset="rmse")
        .reset_index(drop=True)
    )
    long["curve"] = long["model"] + ", " + long["ratings"]
    held = set(long.loc[long["ratings"] == "test", "model"])
    judged = long[(long["ratings"] == "test") | ~long["model"].isin(held)]
    return long.assign(best=long.index.isin(judged.groupby("model")["rmse"].idxmin()))


def running_table(models: Mapping[str, Model]) -> pd.DataFrame:
    """Return `model, sweep, test_rmse` of the sweeps of Bayesian models after their burn-in."""
    history = history_table(models)[["model", "sweep", "test_rmse"]].dropna()
    burn_in = {name: model.parameters.get("burn_in", 0) for name, model in models.items()}
    return history[history["sweep"] > history["model"].map(burn_in)].reset_index(drop=True)


def noise_table(history: pd.DataFrame) -> pd.DataFrame:
    """Return `model, sweep, precision` (a squared star) and `deviation` (stars)."""
    table = history[["model", "sweep"]].assign(precision=history["fidelity"])
    return table.assign(deviation=1 / np.sqrt(table["precision"]))


def calibration_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `measure_calibration` with `beyond`: covered less meant, in points."""
    return found.assign(beyond=100 * (found["covered"] - found["interval"]))


class Objective(LineFigure):
    """What alternating least squares minimises: `model, sweep, objective`."""

    name = "objective"
    title = "Objective by sweep"
    caption = (
        "The regularised objective after each sweep, all terms included. It falls until further "
        "sweeps bring nothing. Models with other parameters minimise other sums: compare the "
        "shapes of their curves, not the heights."
    )
    y, y_label = "objective", "objective (log scale)"
    tooltips: ClassVar = [*_MODEL_AND_SWEEP, ("objective", "@objective{0,0.000}")]
    options: ClassVar = {"y_axis_type": "log"}


class TrainingErrors(LineFigure):
    """Errors on the ratings learned from and on those held out: see `errors_table`."""

    name = "errors"
    title = "Train and test RMSE by sweep"
    wide = True
    caption = (
        "Root mean squared error of unclipped predictions: dashed for the ratings learned from, "
        "solid for the held-out ones. A star marks each model's best sweep. Where a test curve "
        "rises while its train curve falls, the model over-fits. After its burn-in, the test error "
        "of a Bayesian model is that of its mean prediction so far."
    )
    y, series, hue = "rmse", "curve", "model"
    y_label = "RMSE (stars)"
    tooltips: ClassVar = [*_MODEL_AND_SWEEP, ("ratings", "@ratings"), ("RMSE", "@rmse{0.0000}")]

    def dashed(self, points: pd.DataFrame) -> bool:
        """Whether a curve is of training ratings."""
        return bool((points["ratings"] == "train").all())


class TrainingAUC(LineFigure):
    """How well models that rank tell held-out items from others: `model, sweep, test_auc`."""

    name = "auc"
    title = "AUC of held-out ratings by sweep"
    wide = True
    caption = (
        "The chance that a held-out item of a user is scored above another that they have not "
        "rated, after each sweep. Where the curve falls, further sweeps fit what is known too well."
    )
    y, y_label = "test_auc", "AUC"
    tooltips: ClassVar = [*_MODEL_AND_SWEEP, ("AUC", "@test_auc{0.0000}")]


class Seconds(LineFigure):
    """How long the sweeps took: `model, sweep, seconds`."""

    name = "sweep-seconds"
    title = "Time of each sweep"
    caption = (
        "Seconds from the end of one sweep to the end of the next, its scoring of the held-out "
        "ratings included. The first one also compiles and reads the shards."
    )
    y, y_label = "seconds", "seconds a sweep (log scale)"
    tooltips: ClassVar = [*_MODEL_AND_SWEEP, ("seconds", "@seconds{0.000}")]
    options: ClassVar = {"y_axis_type": "log"}


class RunningError(LineFigure):
    """The test error of a Bayesian model's mean prediction so far: `model, sweep, test_rmse`."""

    name = "running-rmse"
    title = "Running RMSE of the mean prediction"
    caption = (
        "Held-out error of the mean of all predictions since the end of the burn-in. It falls as "
        "draws are added; once it is flat, more of them bring nothing."
    )
    y, y_label = "test_rmse", "test RMSE (stars)"
    tooltips: ClassVar = [*_MODEL_AND_SWEEP, ("RMSE so far", "@test_rmse{0.0000}")]


def rhat_table(models: Mapping[str, Model]) -> pd.DataFrame:
    """Return `model, sweep, rhat, highest`: R-hat so far, and up to which a chain is settled."""
    history = history_table(models)[["model", "sweep", "rhat"]].dropna()
    highest = {name: model.parameters.get("max_rhat") for name, model in models.items()}
    table: pd.DataFrame = history.assign(highest=history["model"].map(highest))
    return table.reset_index(drop=True)


class SplitRhat(LineFigure):
    """Whether the chains have settled, sweep by sweep: see `rhat_table`."""

    name = "split-rhat"
    title = "Split R-hat of the chain so far"
    caption = (
        "How far the two halves of the draws since the burn-in lie apart, of the noise precision "
        "and of 32 predictions (rank-normalised, Vehtari et al. 2021): 1 where they agree. A "
        "chain counts as settled from 40 draws, up to the model's `max_rhat`."
    )
    y, y_label = "rhat", "split R-hat"
    tooltips: ClassVar = [
        *_MODEL_AND_SWEEP,
        ("R-hat", "@rhat{0.000}"),
        ("settled up to", "@highest{0.00}"),
    ]


class NoisePrecision(LineFigure):
    """The precision of the ratings' noise in each sweep: see `noise_table`."""

    name = "noise-precision"
    title = "Noise precision by sweep"
    caption = (
        "What the sampler drew for the precision of a rating around its prediction. A burn-in is "
        "long enough when it ends where the curve has become level."
    )
    y, y_label = "precision", "noise precision (1 / star²)"
    tooltips: ClassVar = [
        *_MODEL_AND_SWEEP,
        ("precision", "@precision{0.000}"),
        ("standard deviation, stars", "@deviation{0.000}"),
    ]


class Calibration(LineFigure):
    """How many ratings a Bayesian model's intervals hold: see `calibration_table`."""

    name = "interval-calibration"
    title = "Interval calibration"
    caption = (
        "Of the held-out ratings, the share that lies within an interval less the share that the "
        "interval is meant to hold; for all users and by the user's number of training ratings. "
        "Below the line the model is too sure of itself, above it not sure enough."
    )
    x, y, series = "interval", "beyond", "users"
    x_label, y_label = "share that the interval is meant to hold", "held beyond that (points)"
    tooltips: ClassVar = [
        ("training ratings", "@users"),
        ("held-out ratings", "@n{0,0}"),
        ("meant to hold", "@interval{0%}"),
        ("holds", "@covered{0.0%}"),
    ]
    level = 0.0
