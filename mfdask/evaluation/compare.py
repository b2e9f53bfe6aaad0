"""Comparison of models on the same held-out ratings, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.accuracy import bin_labels, bin_of
from mfdask.evaluation.bootstrap import Floats, intervals, ratios, resampled_ratios
from mfdask.evaluation.popularity import NAME, popularity_scorer
from mfdask.evaluation.ranking import (
    METRICS,
    RankingPlan,
    RankingResult,
    measure_ranking,
    users_to_rank,
)
from mfdask.models import Ability, Model
from mfdask.models.base import Aligned
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset, Shard

#: Bins of `bin_labels` with few training ratings: 0, 1-5, 6-20.
_COLD = 3

#: Metric and slice of each column of the sums; those of `_ROOT` are roots of mean squares.
COLUMNS = [
    ("rmse", "all"),
    ("mae", "all"),
    *[("rmse", f"items {label}") for label in bin_labels()[:_COLD]],
    *[("rmse", f"users {label}") for label in bin_labels()[:_COLD]],
    *[(metric, "all") for metric in METRICS],
]
_ROOT = np.array([metric == "rmse" for metric, _ in COLUMNS])


@dataclass(frozen=True, eq=False)
class Measured:
    """Errors and ranking metrics of one model for each user of a data set.

    Attributes
    ----------
    name : str
    top : float64 (users, columns)
        Sums of each of `COLUMNS`; NaN where the model has no such figure.
    bottom : float64 (users, columns)
        What they are divided by: ratings, or 1 for a user whose list was measured. The same for
        every model.
    coverage : float
    same_data : bool
        Whether the model was learned from this very data set.
    unknown_users, unknown_items : int
        Rows of the data set that the model has not learned.
    """

    name: str
    top: Floats
    bottom: Floats
    coverage: float
    same_data: bool = True
    unknown_users: int = 0
    unknown_items: int = 0


def measure_model(
    name: str, model: Model, data: Dataset, plan: RankingPlan, progress: Progress = silent
) -> Measured:
    """Measure a model on the test ratings of a data set.

    Errors are those of raw predictions, not clipped to the rating scale. Ids are matched by their
    raw values, as in `evaluate`; slices are by the training ratings of `data`, whatever the
    model was learned from.

    Raises
    ------
    InputError
        As `measure_ranking`.
    """
    users_to_rank(data, plan)  # before anything long
    aligned = model.align(data)
    squared, absolute, n = _error_sums(aligned, data)
    ranking = measure_ranking(aligned.scores, data, plan, progress, f"rank, {name}")
    lists, listed = _per_user(ranking, data.n_users)
    return Measured(
        name,
        np.column_stack([squared[:, :1], absolute, squared[:, 1:], lists]),
        np.column_stack([n[:, :1], n[:, :1], n[:, 1:], listed]),
        ranking.coverage,
        same_data=model.data.fingerprint == data.fingerprint,
        unknown_users=int((aligned.users < 0).sum()),
        unknown_items=int((aligned.items < 0).sum()),
    )


def measure_popularity(
    like: Measured, data: Dataset, plan: RankingPlan, progress: Progress = silent
) -> Measured:
    """Measure the popularity baseline beside a model `like`; it ranks, but predicts no ratings."""
    ranking = measure_ranking(popularity_scorer(data), data, plan, progress, f"rank, {NAME}")
    lists, _ = _per_user(ranking, data.n_users)
    top = np.full(like.top.shape, np.nan)
    top[:, -len(METRICS) :] = lists
    return replace(
        like,
        name=NAME,
        top=top,
        coverage=ranking.coverage,
        same_data=True,
        unknown_users=0,
        unknown_items=0,
    )


def _error_sums(aligned: Aligned, data: Dataset) -> tuple[Floats, Floats, Floats]:
    """Return each user's sums of squared errors, absolute errors and ratings.

    The first and the last have a column for all ratings, then the cold items, then light users;
    the second, of all ratings alone, has none.
    """
    n_train = {side: getattr(data, side)()["n_train"].to_numpy() for side in ("users", "items")}
    bins = {side: bin_of(counts) for side, counts in n_train.items()}
    squared = np.zeros((data.n_users, 1 + 2 * _COLD))
    n = np.zeros_like(squared)
    absolute = np.zeros(data.n_users)
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        error = _errors(aligned, shard)
        users, here = shard.rows, slice(shard.start, shard.stop)
        own = users - shard.start
        absolute[here] = np.bincount(own, np.abs(error), minlength=shard.n_rows)
        item_bin = bins["items"][shard.indices]
        user_bin = bins["users"][users]
        inside = [np.ones(len(error), bool)]
        inside += [which == cold for which in (item_bin, user_bin) for cold in range(_COLD)]
        for column, mask in enumerate(inside):
            squared[here, column] = np.bincount(own, error**2 * mask, minlength=shard.n_rows)
            n[here, column] = np.bincount(own, mask, minlength=shard.n_rows)
    return squared, absolute, n


def _errors(aligned: Aligned, shard: Shard) -> Floats:
    """Return the error of each rating, NaN of a model that predicts none."""
    if not aligned.model.can(Ability.RATINGS):
        return np.full(shard.n_ratings, np.nan)
    return aligned.predict(shard).astype(np.float64) - shard.ratings


def _per_user(ranking: RankingResult, n_users: int) -> tuple[Floats, Floats]:
    """Return the metrics of every user of the data set, and 1 where they were measured."""
    values = np.zeros((n_users, len(METRICS)))
    measured = np.zeros_like(values)
    values[ranking.users] = ranking.values
    measured[ranking.users] = 1.0
    return values, measured


def compare(measured: Sequence[Measured], resamples: int = 1000, seed: int = 42) -> pd.DataFrame:
    """Put models side by side, with 95 % intervals from a paired bootstrap over users.

    Parameters
    ----------
    measured : sequence of Measured
        On one data set, with one plan; differences are to the first.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One line for each model and figure: `model, metric, slice`, `n` (the ratings or users that
        it is a mean of), `value, low, high`, and `difference, difference_low, difference_high`.
        A model that only ranks has no errors: their values are NaN. Empty slices, and figures that
        no model has, are left out. Coverage has no interval: drawing users again leaves a third of
        them out, so that it would always be lower.

    Raises
    ------
    InputError
        If there is nothing to compare, or `resamples` is below 1.
    """
    if not measured:
        raise InputError("nothing to compare: give at least one model")
    tested = measured[0].bottom[:, 0] > 0
    bottom = measured[0].bottom[tested]
    top = np.stack([one.top[tested] for one in measured])
    value = _rooted(ratios(top.sum(axis=1), bottom.sum(axis=0)))
    samples = _rooted(resampled_ratios(top, bottom, resamples, seed))
    low, high = intervals(samples)
    away_low, away_high = intervals(samples - samples[:, :1])
    figures = {
        "n": np.broadcast_to(bottom.sum(axis=0), value.shape),
        "value": value,
        "low": low,
        "high": high,
        "difference": value - value[0],
        "difference_low": away_low,
        "difference_high": away_high,
    }
    return _as_table(measured, figures)


def _rooted(values: Floats) -> Floats:
    return np.where(_ROOT, np.sqrt(values), values)


def _as_table(measured: Sequence[Measured], figures: dict[str, npt.NDArray]) -> pd.DataFrame:
    """Return a line for each model and figure, coverage last."""
    lines = []
    for place, one in enumerate(measured):
        for column, (metric, part) in enumerate(COLUMNS):
            own = {name: values[place, column] for name, values in figures.items()}
            lines.append({"model": one.name, "metric": metric, "slice": part, **own})
        covered = {
            "n": figures["n"][place, -1],
            "value": one.coverage,
            "difference": one.coverage - measured[0].coverage,
        }
        lines.append({"model": one.name, "metric": "coverage", "slice": "all", **covered})
    found = pd.DataFrame(lines).astype({"n": "int64"})
    told = found["value"].notna().groupby([found["metric"], found["slice"]]).transform("any")
    return found[(found["n"] > 0) & told].reset_index(drop=True)
