"""Put models side by side on the same held-out ratings, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table

from mfdask.errors import InputError
from mfdask.evaluation import RankingPlan, check_leaks, compare, measure_model, measure_popularity
from mfdask.evaluation.compare import Measured
from mfdask.evaluation.popularity import NAME
from mfdask.models import load_model
from mfdask.results import records, write_table
from mfdask.shards import Dataset

from .common import Outcome, job, progress_bars, table
from .evaluate import leak_option, ranking_options
from .options import DATA, MODEL, OUT_FILE


@click.command("compare", help=__doc__)
@click.argument("models", nargs=-1, required=True, type=MODEL)
@click.argument("data", type=DATA)
@click.option(
    "--resamples",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Bootstrap samples of the users that the intervals are made from.",
)
@click.option(
    "--out",
    type=OUT_FILE,
    help="Also write the table to this Parquet file.",
)
@leak_option
@job
@ranking_options
def main(
    models: tuple[Path, ...],
    data: str,
    resamples: int,
    out: Path | None,
    allow_leaks: bool,
    plan: RankingPlan,
) -> Outcome:
    """See the module."""
    names = _names(models)
    learned = [load_model(path) for path in models]
    dataset = Dataset.open(data, verify=True)
    plan = replace(plan, threshold=plan.threshold_on(dataset))
    leaked = {
        name: check_leaks(model, dataset, allow_leaks)
        for name, model in zip(names, learned, strict=True)
    }
    measured = []
    with progress_bars() as progress:
        for name, model in zip(names, learned, strict=True):
            measured.append(measure_model(name, model, dataset, plan, progress))
        measured.append(measure_popularity(measured[0], dataset, plan, progress))
    found = compare(measured, resamples, plan.seed)
    if out is not None:
        write_table(found, out)
    values = {
        "k": plan.k,
        "threshold": plan.threshold,
        "resamples": resamples,
        "models": [_facts(one) | {"leaked": leaked.get(one.name, 0)} for one in measured],
        "figures": records(found),
    }
    notes = [_note(one, dataset, leaked.get(one.name, 0)) for one in measured]
    views = [_values(found, plan), _differences(found, plan)]
    return Outcome(values, [*views, *(note for note in notes if note)])


def _names(models: Sequence[Path]) -> list[str]:
    """Return the last part of each path, or the whole of it where two names would be alike."""
    for place, path in enumerate(models):
        if path in models[:place]:
            raise InputError(f"{path}: is given twice; leave one out")
    names = [path.resolve().name for path in models]
    alike = len({*names, NAME}) <= len(names)
    return [str(path) for path in models] if alike else names


def _facts(one: Measured) -> dict[str, Any]:
    return {
        "model": one.name,
        "same_data": one.same_data,
        "unknown_users": one.unknown_users,
        "unknown_items": one.unknown_items,
    }


def _note(one: Measured, data: Dataset, leaked: int | None) -> str | None:
    if one.same_data:
        return None
    seen = "may have seen these ratings" if leaked is None else f"has seen {leaked:,} test ratings"
    return (
        f"{one.name} was trained on other data than {data.name}: it {seen}, "
        f"and does not know {one.unknown_users:,} users and {one.unknown_items:,} items"
    )


def _values(found: pd.DataFrame, plan: RankingPlan) -> Table:
    title = f"held-out ratings, with 95 % intervals (relevant: {plan.threshold:g} or more)"
    return _side_by_side(found, plan, title, ("value", "low", "high"), "")


def _differences(found: pd.DataFrame, plan: RankingPlan) -> Table:
    first, others = found["model"].iloc[0], found[found["model"] != found["model"].iloc[0]]
    columns = ("difference", "difference_low", "difference_high")
    return _side_by_side(others, plan, f"difference to {first}", columns, "+")


def _side_by_side(
    found: pd.DataFrame, plan: RankingPlan, title: str, columns: tuple[str, str, str], sign: str
) -> Table:
    """Return a line a figure and a column a model: the value above, its interval below."""
    names = found["model"].unique().tolist()
    view = table(title, "", "n", *names)
    for (metric, part), lines in found.groupby(["metric", "slice"], sort=False):
        ends = zip(*(lines[column].tolist() for column in columns), strict=True)
        cells = [_cell(value, low, high, sign) for value, low, high in ends]
        view.add_row(_label(str(metric), str(part), plan.k), f"{lines['n'].iloc[0]:,}", *cells)
    return view


def _cell(value: float, low: float, high: float, sign: str) -> str:
    if value != value:
        return ""
    interval = "" if low != low else f"\n{low:{sign}.4f}…{high:{sign}.4f}"
    return f"{value:{sign}.4f}{interval}"


def _label(metric: str, part: str, k: int) -> str:
    if metric == "novelty":
        return f"novelty at {k}, bits"
    name = metric.upper() if metric in ("rmse", "mae", "ndcg", "map") else metric
    length = "" if metric in ("rmse", "mae") else f" at {k}"
    return f"{name}{length}" + ("" if part == "all" else f", {part}")
