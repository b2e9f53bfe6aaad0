"""Measure a model on ratings that its training has not seen: its errors, and its lists."""

from __future__ import annotations

import time
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
    bin_labels,
    check_leaks,
    evaluate,
    measure_calibration,
    measure_ranking,
    popularity_scorer,
)
from mfdask.models import Ability, Model, load_model
from mfdask.shards import Dataset

from .common import Outcome, facts_table, job, progress_bars, table
from .options import DATA, MODEL, options_of

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
    values: dict[str, Any] = {
        "score": learned.score,
        "same_data": learned.data.fingerprint == dataset.fingerprint,
        "leaked": leaked,
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
        values["ranking"] = _rank(learned, dataset, plan)
        views.append(_ranks(values["ranking"]))
    return Outcome(values, views)


def _errors(learned: Model, data: Dataset) -> tuple[Accuracy, dict[str, Any]]:
    """Return the errors on the test ratings, and what there is to tell of them."""
    began = time.perf_counter()
    test = evaluate(learned, data)
    seconds = time.perf_counter() - began
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
        "scoring_seconds": seconds,
    }


def _rank(learned: Model, data: Dataset, plan: RankingPlan) -> dict[str, Any]:
    """Rank with the model and with the popularity baseline."""
    scorers = {"model": learned.align(data).scores, "popularity": popularity_scorer(data)}
    found: dict[str, Any] = {"k": plan.k, "threshold": plan.threshold}
    with progress_bars() as progress:
        for name, scorer in scorers.items():
            ranked = measure_ranking(scorer, data, plan, progress, f"rank, {name}")
            found |= {"users": len(ranked.users), "users_without_relevant": ranked.n_without}
            found[name] = ranked.means()
    return found


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
    return facts_table("held-out ratings", facts)


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


def _ranks(found: dict[str, Any]) -> Table:
    title = f"first {found['k']} of the catalogue, {found['threshold']:g} or more is relevant"
    view = table(title, "", "model", "popularity")
    for name in found["model"]:
        view.add_row(name, f"{found['model'][name]:.4f}", f"{found['popularity'][name]:.4f}")
    view.add_row("users", f"{found['users']:,}", f"{found['users']:,}")
    view.caption = f"{found['users_without_relevant']:,} users without a relevant rating left out"
    view.caption_justify = "left"
    return view


def _show(rmse: float) -> str:
    return "" if rmse != rmse else f"{rmse:.4f}"
