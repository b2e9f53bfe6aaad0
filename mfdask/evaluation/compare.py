"""Comparison of models on the same held-out ratings, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.accuracy import bin_labels, bin_of
from mfdask.evaluation.baselines import scorer_of
from mfdask.evaluation.bootstrap import Floats, intervals, ratios, resampled_ratios
from mfdask.evaluation.ranking import (
    RankingPlan,
    RankingResult,
    measure_ranking,
    users_to_rank,
)
from mfdask.kernels.types import Int64s
from mfdask.models import Ability, Model
from mfdask.models.base import Aligned
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset, Shard

#: Bins of `bin_labels` with few training ratings: 0, 1-5, 6-20.
_COLD = 3

#: Metric, slice, and length of a list where there is one.
Column: TypeAlias = tuple[str, str, int | None]

#: The errors among the columns of the sums; those called ``rmse`` are roots of mean squares.
_ERRORS: list[Column] = [
    ("rmse", "all", None),
    ("mae", "all", None),
    *[("rmse", f"items {label}", None) for label in bin_labels()[:_COLD]],
    *[("rmse", f"users {label}", None) for label in bin_labels()[:_COLD]],
]
#: What is also told of users without training ratings, and of the others, at the main length.
_SLICED = ("precision", "ndcg")
UNSEEN, SEEN = "users 0", "users 1+"


@dataclass(frozen=True, eq=False)
class Measured:
    """Errors and ranking metrics of one model for each user of a data set.

    Attributes
    ----------
    name : str
    columns : list
        Metric, slice and length of a list of each column.
    top : float64 (users, columns)
        Sums; NaN where the model has no such figure.
    bottom : float64 (users, columns)
        What they are divided by: ratings, or 1 for a user whose list was measured. The same for
        every model.
    of_catalogue : dict
        Coverage and Gini coefficient, see `RankingResult.of_catalogue`.
    n_ranked, n_unseen : int
        Users whose lists were measured, and those of them that have no training ratings.
    same_data : bool
        Whether the model was learned from this very data set.
    unknown_users, unknown_items : int
        Rows of the data set that the model has not learned.
    """

    name: str
    columns: list[Column]
    top: Floats
    bottom: Floats
    of_catalogue: dict[tuple[str, int | None], float]
    n_ranked: int
    n_unseen: int
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
    ranking = measure_ranking(scorer_of(aligned, data), data, plan, progress, f"rank, {name}")
    columns, lists, listed = _per_user(ranking, data.n_users)
    return Measured(
        name,
        [*_ERRORS, *columns],
        np.column_stack([squared[:, :1], absolute, squared[:, 1:], lists]),
        np.column_stack([n[:, :1], n[:, :1], n[:, 1:], listed]),
        ranking.of_catalogue(),
        len(ranking.users),
        int(ranking.unseen.sum()),
        same_data=model.data.fingerprint == data.fingerprint,
        unknown_users=int((aligned.users < 0).sum()),
        unknown_items=int((aligned.items < 0).sum()),
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
        error = _errors(aligned, shard, data.timestamps(block, "test"))
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


def _errors(aligned: Aligned, shard: Shard, times: Int64s | None) -> Floats:
    """Return the error of each rating, NaN of a model that predicts none."""
    if not aligned.model.can(Ability.RATINGS):
        return np.full(shard.n_ratings, np.nan)
    return aligned.predict(shard, times).astype(np.float64) - shard.ratings


def _per_user(ranking: RankingResult, n_users: int) -> tuple[list[Column], Floats, Floats]:
    """Return the columns of a ranking, and for every user their values and 1 where there is one."""
    plan, unseen = ranking.plan, ranking.unseen
    columns: list[Column] = [(metric, "all", k) for metric, k in plan.columns]
    values, told = ranking.values, ~np.isnan(ranking.values)
    if unseen.any():
        places = [plan.columns.index((metric, plan.k[0])) for metric in _SLICED]
        for part, inside in ((UNSEEN, unseen), (SEEN, ~unseen)):
            columns += [(metric, part, plan.k[0]) for metric in _SLICED]
            values = np.column_stack([values, ranking.values[:, places]])
            told = np.column_stack([told, np.repeat(inside[:, None], len(places), axis=1)])
    top, bottom = np.zeros((2, n_users, len(columns)))
    top[ranking.users] = np.where(told, values, 0.0)
    bottom[ranking.users] = told
    return columns, top, bottom


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
        One line for each model and figure: `model, metric, slice, k` (the length of a list), `n`
        (the ratings or users that it is a mean of), `value, low, high`, and `difference,
        difference_low, difference_high`. A model that only ranks has no errors: their values are
        NaN. Empty slices, and figures that no model has, are left out. Coverage and Gini have no
        interval: drawing users again leaves a third of them out, which would always lower the one
        and raise the other.

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
    roots = np.array([metric == "rmse" for metric, *_ in measured[0].columns])
    value = _rooted(ratios(top.sum(axis=1), bottom.sum(axis=0)), roots)
    samples = _rooted(resampled_ratios(top, bottom, resamples, seed), roots)
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


def _rooted(values: Floats, roots: npt.NDArray[np.bool_]) -> Floats:
    return np.where(roots, np.sqrt(np.where(roots, values, 0.0)), values)


def _as_table(measured: Sequence[Measured], figures: dict[str, npt.NDArray]) -> pd.DataFrame:
    """Return a line for each model and figure, those of the whole catalogue last."""
    lines = []
    for place, one in enumerate(measured):
        for column, (metric, part, k) in enumerate(one.columns):
            own = {name: values[place, column] for name, values in figures.items()}
            lines.append({"model": one.name, "metric": metric, "slice": part, "k": k, **own})
        for (metric, k), value in one.of_catalogue.items():
            away = value - measured[0].of_catalogue[metric, k]
            own = {"n": one.n_ranked, "value": value, "difference": away}
            lines.append({"model": one.name, "metric": metric, "slice": "all", "k": k, **own})
    found = pd.DataFrame(lines).astype({"n": "int64", "k": "Int64"})
    same = [found["metric"], found["slice"], found["k"].fillna(0)]
    told = found["value"].notna().groupby(same).transform("any")
    return found[(found["n"] > 0) & told].reset_index(drop=True)
