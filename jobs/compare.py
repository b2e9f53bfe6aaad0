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
from mfdask.evaluation import RankingPlan, baselines_of, check_leaks, compare, measure_model
from mfdask.evaluation.baselines import NAME
from mfdask.evaluation.compare import Measured
from mfdask.models import load_model
from mfdask.results import records, write_table
from mfdask.shards import Dataset

from .common import Outcome, job
from .evaluate import caution, leak_option, metric_label, ranking_options, ranking_title
from .options import DATA, MODEL, OUT_PARQUET
from .terminal import progress_bars, table


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
    type=OUT_PARQUET,
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
        models_by_name = dict(zip(names, learned, strict=True)) | baselines_of(dataset, plan)
        for name, model in models_by_name.items():
            measured.append(measure_model(name, model, dataset, plan, progress))
    found = compare(measured, resamples, plan.seed)
    if out is not None:
        write_table(found, out)
    values = {
        "k": plan.k[0],
        "lengths": list(plan.k),
        "threshold": plan.threshold,
        "negatives": plan.negatives,
        "users_ranked": measured[0].n_ranked,
        "users_without_training": measured[0].n_unseen,
        "resamples": resamples,
        "models": [_facts(one) | {"leaked": leaked.get(one.name, 0)} for one in measured],
        "figures": records(found),
    }
    notes = [_note(one, dataset, leaked.get(one.name, 0)) for one in measured]
    views = [_values(found, ranking_title(plan, dataset)), _differences(found)]
    return Outcome(values, [*views, *(note for note in notes if note), *caution(plan)])


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


def _values(found: pd.DataFrame, title: str) -> Table:
    return _side_by_side(
        found, f"held-out ratings, with 95 % intervals; {title}", ("value", "low", "high"), ""
    )


def _differences(found: pd.DataFrame) -> Table:
    first, others = found["model"].iloc[0], found[found["model"] != found["model"].iloc[0]]
    columns = ("difference", "difference_low", "difference_high")
    return _side_by_side(others, f"difference to {first}", columns, "+")


def _side_by_side(
    found: pd.DataFrame, title: str, columns: tuple[str, str, str], sign: str
) -> Table:
    """Return a line a figure and a column a model: the value above, its interval below."""
    names = found["model"].unique().tolist()
    view = table(title, "", "n", *names)
    figures = found.groupby(["metric", "slice", "k"], sort=False, dropna=False)
    for (metric, part, k), lines in figures:
        if lines[columns[0]].isna().all():
            continue
        ends = zip(*(lines[column].tolist() for column in columns), strict=True)
        cells = [_cell(value, low, high, sign) for value, low, high in ends]
        label = metric_label(metric, k) + ("" if part == "all" else f", {part}")
        view.add_row(label, f"{lines['n'].iloc[0]:,}", *cells)
    return view


def _cell(value: float, low: float, high: float, sign: str) -> str:
    if value != value:
        return ""
    interval = "" if low != low else f"\n{low:{sign}.4f}…{high:{sign}.4f}"
    return f"{value:{sign}.4f}{interval}"
