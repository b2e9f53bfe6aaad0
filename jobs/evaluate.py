"""Hold a model against the ratings that its training has not seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from jobs.common import Outcome, job, table
from mfdask.evaluation import Accuracy, Errors, bin_labels, measure_accuracy, objective
from mfdask.models import load_model
from mfdask.shards import Dataset


@click.command("evaluate", help=__doc__)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@job
def main(model: Path, data: Path) -> Outcome:
    """See the module."""
    learned, dataset = load_model(model), Dataset.open(data, verify=True)
    began = time.perf_counter()
    test = measure_accuracy(learned, dataset)
    seconds = time.perf_counter() - began
    train = measure_accuracy(learned, dataset, "train")
    same = learned.data.fingerprint == dataset.fingerprint
    values: dict[str, Any] = {
        "n": test.n,
        "test_rmse": float(test.raw.rmse()[0]),
        "test_mae": float(test.raw.mae()[0]),
        "test_rmse_clipped": float(test.clipped.rmse()[0]),
        "test_nll": test.gaussian_nll(),
        "train_rmse": float(train.raw.rmse()[0]),
        "objective": objective(learned, float(train.raw.squared[0])) if same else None,
        "by_source": test.by_source,
        "by_user_ratings": _bins(test.by_user),
        "by_item_ratings": _bins(test.by_item),
        "same_data": same,
        "scoring_seconds": seconds,
    }
    return Outcome(values, [_summary(values), _slices(test)])


def _bins(errors: Errors) -> list[dict[str, Any]]:
    rows = zip(bin_labels(), errors.n.tolist(), errors.rmse(), errors.mae(), strict=True)
    return [
        {"ratings": label, "n": n, "rmse": float(rmse), "mae": float(mae)}
        for label, n, rmse, mae in rows
        if n
    ]


def _summary(values: dict[str, Any]) -> Table:
    view = table("held-out ratings", "", "")
    view.show_header = False
    view.add_row("test ratings", f"{values['n']:,}")
    view.add_row("RMSE", f"{values['test_rmse']:.4f}")
    view.add_row("RMSE, clipped to the scale", f"{values['test_rmse_clipped']:.4f}")
    view.add_row("MAE", f"{values['test_mae']:.4f}")
    view.add_row("Gaussian NLL a rating, variance 1", f"{values['test_nll']['unit_variance']:.4f}")
    view.add_row("Gaussian NLL a rating, fitted", f"{values['test_nll']['fitted_variance']:.4f}")
    view.add_row("train RMSE", f"{values['train_rmse']:.4f}")
    objective = values["objective"]
    view.add_row("objective", "other training data" if objective is None else f"{objective:,.2f}")
    for source, what in (
        ("item", "user unknown"),
        ("user", "item unknown"),
        ("mean", "both unknown"),
    ):
        if values["by_source"][source]:
            view.add_row(f"predictions with {what}", f"{values['by_source'][source]:,}")
    return view


def _slices(test: Accuracy) -> Table:
    view = table(
        "by training ratings", "ratings", "of the user: n", "RMSE", "of the item: n", "RMSE"
    )
    columns = [test.by_user.n, test.by_user.rmse(), test.by_item.n, test.by_item.rmse()]
    for label, users, user_rmse, items, item_rmse in zip(bin_labels(), *columns, strict=True):
        if users or items:
            view.add_row(label, f"{users:,}", _show(user_rmse), f"{items:,}", _show(item_rmse))
    return view


def _show(rmse: float) -> str:
    return "" if rmse != rmse else f"{rmse:.4f}"


if __name__ == "__main__":
    main()
