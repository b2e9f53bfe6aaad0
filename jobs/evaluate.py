"""Measure a model on ratings that its training has not seen: its errors, and its lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.console import RenderableType
from rich.table import Table

from mfdask.evaluation import (
    INTERVALS,
    Accuracy,
    ErrorSums,
    RankingPlan,
    RankingResult,
    baselines_of,
    bin_labels,
    check_leaks,
    evaluate,
    measure_calibration,
    measure_ranking,
    scorer_of,
)
from mfdask.evaluation.list_metrics import NAMES
from mfdask.evaluation.negatives import CAUTION
from mfdask.models import Ability, Model, load_model
from mfdask.results import records
from mfdask.shards import Dataset

from .common import Outcome, job, timed
from .options import DATA, MODEL, options_of
from .terminal import facts_table, progress_bars, table

#: The options of a `RankingPlan`.
ranking_options = options_of(RankingPlan, "plan")

leak_option = click.option(
    "--allow-leaks",
    is_flag=True,
    help="Also test on ratings that the model was trained on, or may have been.",
)


@click.command("evaluate", help=__doc__)
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA)
@click.option(
    "--ranking",
    is_flag=True,
    help="Also rank the whole catalogue for each user, and score the lists; models that only rank "
    "are always measured so.",
)
@leak_option
@job
@ranking_options
def main(model: Path, data: str, ranking: bool, allow_leaks: bool, plan: RankingPlan) -> Outcome:
    """See the module."""
    learned, dataset = load_model(model), Dataset.open(data, verify=True)
    leaked = check_leaks(learned, dataset, allow_leaks)
    ranking = ranking or not learned.can(Ability.RATINGS)
    if ranking:
        plan.check(dataset)
        plan = replace(plan, threshold=plan.threshold_on(dataset))
    values: dict[str, Any] = {
        "score": learned.score,
        "same_data": learned.data.fingerprint == dataset.fingerprint,
        "leaked": leaked,
        "split": dataset.manifest.split,
    }
    views: list[RenderableType] = []
    if learned.can(Ability.RATINGS):
        test, errors = _errors(learned, dataset)
        values |= errors
        views += [_summary(values, learned), _slices(test)]
    if learned.can(Ability.DEVIATIONS):
        covered = measure_calibration(learned, dataset)
        values["intervals"] = covered.to_dict("records")
        views.append(_intervals(covered))
    if ranking:
        values["ranking"], tables = _rank(learned, dataset, plan)
        views += tables
    return Outcome(values, views)


def _errors(learned: Model, data: Dataset) -> tuple[Accuracy, dict[str, Any]]:
    """Return the errors on the test ratings, and what there is to tell of them."""
    with timed() as scoring:
        test = evaluate(learned, data)
    train = evaluate(learned, data, "train")
    same = learned.data.fingerprint == data.fingerprint
    return test, {
        "n": test.n,
        "test_rmse": float(test.raw.rmse()[0]),
        "test_mae": float(test.raw.mae()[0]),
        "test_rmse_clipped": float(test.clipped.rmse()[0]),
        "test_nll": test.gaussian_nll(),
        "train_rmse": float(train.raw.rmse()[0]),
        "objective": learned.objective(float(train.raw.squared[0])) if same else None,
        "by_source": test.by_source,
        "by_user_ratings": _bins(test.by_user),
        "by_item_ratings": _bins(test.by_item),
        "scoring_seconds": scoring.seconds,
    }


def _rank(learned: Model, data: Dataset, plan: RankingPlan) -> tuple[dict[str, Any], list[Table]]:
    """Rank with the model and the baselines; return the figures, and the tables of them."""
    ranked = {}
    with progress_bars() as progress:
        for name, model in {"model": learned, **baselines_of(data, plan)}.items():
            scorer = scorer_of(model.align(data), data)
            ranked[name] = measure_ranking(scorer, data, plan, progress, f"rank, {name}")
    own = ranked["model"]
    values = {
        "k": plan.k[0],
        "lengths": list(plan.k),
        "threshold": plan.threshold,
        "negatives": plan.negatives,
        "users": len(own.users),
        "users_without_relevant": own.n_without,
        "users_without_negatives": own.n_crowded,
        "users_without_training": int(own.unseen.sum()),
        **{name: one.means() for name, one in ranked.items()},
        "figures": records(_figures(ranked)),
    }
    return values, [_ranks(ranked, data), *_unseen(ranked)]


def _figures(ranked: Mapping[str, RankingResult], unseen: bool | None = None) -> pd.DataFrame:
    """Return the figures of each ranking below each other, of all users, or of the unseen ones."""
    tables = [
        one.figures(None if unseen is None else one.unseen == unseen).assign(model=name)
        for name, one in ranked.items()
    ]
    return pd.concat(tables, ignore_index=True)


def leak_row(leaked: int | None) -> dict[str, str]:
    """Return the row of a table that tells of test ratings among the training ratings, if any."""
    if leaked == 0:
        return {}
    return {"of them in its training": "not known" if leaked is None else f"{leaked:,}"}


def _bins(errors: ErrorSums) -> list[dict[str, Any]]:
    rows = zip(bin_labels(), errors.n.tolist(), errors.rmse(), errors.mae(), strict=True)
    return [
        {"ratings": label, "n": n, "rmse": float(rmse), "mae": float(mae)}
        for label, n, rmse, mae in rows
        if n
    ]


def _summary(values: dict[str, Any], model: Model) -> Table:
    facts = {
        "test ratings": f"{values['n']:,}",
        **leak_row(values["leaked"]),
        "RMSE": f"{values['test_rmse']:.4f}",
        "RMSE, clipped to the scale": f"{values['test_rmse_clipped']:.4f}",
        "MAE": f"{values['test_mae']:.4f}",
        "Gaussian NLL a rating, variance 1": f"{values['test_nll']['unit_variance']:.4f}",
        "Gaussian NLL a rating, fitted": f"{values['test_nll']['fitted_variance']:.4f}",
        "train RMSE": f"{values['train_rmse']:.4f}",
    }
    if model.can(Ability.OBJECTIVE):
        total = values["objective"]
        facts["objective"] = "other training data" if total is None else f"{total:,.2f}"
    for source, what in (
        ("item", "user not seen in training"),
        ("user", "item not seen in training"),
        ("mean", "neither seen in training"),
        ("genre", "item placed by its genres"),
    ):
        if values["by_source"][source]:
            facts[f"predictions, {what}"] = f"{values['by_source'][source]:,}"
    return facts_table(f"held-out ratings ({values['split']})", facts)


def _slices(test: Accuracy) -> Table:
    view = table(
        "by training ratings", "ratings", "of the user: n", "RMSE", "of the item: n", "RMSE"
    )
    columns = [test.by_user.n, test.by_user.rmse(), test.by_item.n, test.by_item.rmse()]
    for label, users, user_rmse, items, item_rmse in zip(bin_labels(), *columns, strict=True):
        if users or items:
            view.add_row(label, f"{users:,}", _show(user_rmse), f"{items:,}", _show(item_rmse))
    return view


def _intervals(covered: pd.DataFrame) -> Table:
    """Build a table of the shares of the test ratings that lie within the intervals."""
    view = table(
        "test ratings within", "training ratings of the user", "n", *(f"{i:.0%}" for i in INTERVALS)
    )
    for users, lines in covered.groupby("users", sort=False):
        shares = [f"{share:.1%}" for share in lines["covered"]]
        view.add_row(str(users), f"{lines['n'].iloc[0]:,}", *shares)
    return view


def _ranks(ranked: Mapping[str, RankingResult], data: Dataset) -> Table:
    own = ranked["model"]
    plan = own.plan
    view = _side_by_side(_figures(ranked), ranking_title(plan, data), list(ranked))
    left_out = {
        "without a relevant rating": own.n_without,
        "without negatives": own.n_crowded,
    }
    words = [f"{n:,} users {why} left out" for why, n in left_out.items() if n]
    view.caption = "; ".join([f"{len(own.users):,} users", *words, *caution(plan)])
    view.caption_justify = "left"
    return view


def _unseen(ranked: Mapping[str, RankingResult]) -> list[Table]:
    """Return tables of the users without training ratings, and of the others; none if all have."""
    unseen = ranked["model"].unseen
    slices = {"without training ratings": True, "with training ratings": False}
    return [
        _side_by_side(
            _figures(ranked, which).query("metric not in ['coverage', 'gini']"),
            f"{(unseen == which).sum():,} users {words}",
            list(ranked),
        )
        for words, which in slices.items()
        if unseen.any() and (unseen == which).any()
    ]


def _side_by_side(figures: pd.DataFrame, title: str, names: list[str]) -> Table:
    view = table(title, "", *names)
    for (metric, k), lines in figures.groupby(["metric", "k"], sort=False, dropna=False):
        values = lines.set_index("model")["value"]
        view.add_row(metric_label(metric, k), *(_show(values[name]) for name in names))
    return view


def ranking_title(plan: RankingPlan, data: Dataset) -> str:
    """Return what is held out, what is ranked, and what is relevant."""
    return (
        f"held out: {data.manifest.split}; candidates: {plan.candidates}; {plan.relevant_on(data)}"
    )


def caution(plan: RankingPlan) -> list[str]:
    """Return what must be said of figures with sampled negatives."""
    return [] if plan.negatives is None else [f"sampled candidates: {CAUTION}"]


def metric_label(metric: Any, k: Any) -> str:
    """Return what a metric is called: ``NDCG at 10``."""
    name = NAMES.get(metric, str(metric).upper())
    return name if pd.isna(k) else f"{name} at {k}"


def _show(rmse: float) -> str:
    return "" if rmse != rmse else f"{rmse:.4f}"
