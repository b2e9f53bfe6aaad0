"""Predict which active users will leave, from what is known at a date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table

from mfdask.cluster import ClusterConfig
from mfdask.downstream.customers import (
    Spend,
    Study,
    StudyOptions,
    check_out,
    check_study,
    study_churn,
    with_suggestions,
)
from mfdask.downstream.metric_names import METRIC_NAMES
from mfdask.errors import InputError
from mfdask.files import file_lock
from mfdask.models import Model, load_model
from mfdask.results import records
from mfdask.shards import Dataset

from .common import Outcome, job, running, worth_starting
from .options import DATA, MODEL, OUT_FILE, cluster_options, options_of
from .terminal import facts_table, table

#: Forms of the table.
FORMS = ("parquet", "csv", "xlsx")


def study_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Add what churn and ltv are told alike; the job gets `choices` among it."""
    out = click.option(
        "--out",
        type=OUT_FILE,
        help="File for the table.  [default: output/churn or output/ltv, DATA.parquet]",
    )
    kind = click.option(
        "--format",
        "form",
        type=click.Choice(FORMS),
        help="Of the table, where --out is not given.  [default: parquet; else by the ending of "
        "--out]",
    )
    own = options_of(StudyOptions, "choices")(kind(out(run)))
    return click.argument("model", type=MODEL)(click.argument("data", type=DATA)(own))


@click.command("churn", help=__doc__)
@click.option(
    "--suggest",
    type=MODEL,
    help="A model of the same users and items, whose two best items are named for users at risk.",
)
@job
@study_options
@cluster_options
def main(
    model: Path,
    data: str,
    suggest: Path | None,
    out: Path | None,
    form: str | None,
    choices: StudyOptions,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    ranking = None if suggest is None else load_model(suggest)
    return run_study(
        "churn", study_churn, model, data, out_file(out, form), choices, cluster, suggest=ranking
    )


def out_file(out: Path | None, form: str | None) -> tuple[Path | None, str]:
    """Return the file to write, if it is named, and its form.

    Raises
    ------
    InputError
        If both are given and differ, or the ending is of no form.
    """
    ending = (form or "parquet") if out is None else (out.suffix[1:] or "parquet")
    if ending not in FORMS:
        raise InputError(f"`out` {out}: its ending says the form; choose .{', .'.join(FORMS)}")
    if form is not None and form != ending:
        raise InputError(f"`out` {out}: its ending is not that of --format {form}; leave one out")
    return out, ending


def run_study(
    name: str,
    study: Callable[..., Study],
    model: Path,
    data: str,
    place: tuple[Path | None, str],
    choices: StudyOptions,
    cluster: ClusterConfig,
    spend: Spend | None = None,
    suggest: Model | None = None,
) -> Outcome:
    """Open what a study needs, run it, write its tables."""
    dataset = Dataset.open(data)
    learned = load_model(model)
    out = place[0] or Path("output") / name / f"{dataset.name}.{place[1]}"
    check_out(out)
    check_study(dataset, learned, choices, name, spend)  # before the cluster is started
    with file_lock(out, "writing"), running(worth_starting(cluster, dataset.n_train)) as run:
        found = study(
            dataset, learned, choices, out.parent, client=run.client, progress=run.progress
        )
        if suggest is not None:
            found = with_suggestions(found, suggest, dataset)
        beside = found.write(out)
    values = {
        "out": str(out),
        "evaluation": None if beside is None else str(beside),
        "cutoff": found.cohorts[-1]["cutoff"],
        "horizon_days": choices.horizon_days,
        "factors_as_of": choices.as_of,
        "users": len(found.table),
        "cohort": found.cohorts[-1]["users"],
        "scored_by": found.scored_by.name if found.scored_by else None,
        "model_version": found.table["model_version"].iloc[0],
        "cohorts": found.cohorts,
        "metrics": [] if found.evaluation is None else records(found.evaluation),
        "calibration": found.calibration,
        "calibration_slopes": found.slopes,
        "others": found.rhythm,
        "deciles": found.deciles(),
        **run.cost,
    }
    facts = {
        f"{values['cohort']:,} with a history, by": values["scored_by"] or "nothing learned",
        "the others by": found.rhythm["model"],
        **_recalibrated(found),
        "factors": values["model_version"],
    }
    horizon = values["horizon_days"]
    title = f"{name}: {values['users']:,} users at {values['cutoff']}, {horizon} days ahead"
    views = [facts_table(title, facts | run.last_rows("table", out)), _cohorts(found)]
    if found.evaluation is not None:
        views += [_metrics(found.evaluation), _deciles(values["deciles"])]
    return Outcome(values, views)


def _recalibrated(found: Study) -> dict[str, str]:
    """Return how the newest window moved the scores, and how often intervals held what came."""
    line, coverage = found.calibration, found.rhythm.get("coverage")
    facts = {}
    if line:
        facts["recalibrated by"] = f"intercept {line['intercept']:+.3f}, slope {line['slope']:.3f}"
    if coverage is not None:
        facts["90 % intervals held"] = f"{100 * coverage:.1f} %"
    return facts


def _cohorts(found: Study) -> Table:
    view = table("cohorts", "cut-off", "users", "mean label")
    for line in found.cohorts:
        label = "not known yet" if line["label"] is None else f"{line['label']:.3f}"
        view.add_row(line["cutoff"], f"{line['users']:,}", label)
    return view


def _metrics(evaluation: pd.DataFrame) -> Table:
    """Lay out a line a model and feature set, a column a metric."""
    names = evaluation["metric"].unique().tolist()
    view = table(
        "tested at cut-offs that were not learned from, with 95 % intervals",
        "",
        *(METRIC_NAMES.get(name, name) for name in names),
    )
    for (model, features), lines in evaluation.groupby(["model", "features"], sort=False):
        cells = [f"{line.value:.3f}\n{line.low:.3f}…{line.high:.3f}" for line in lines.itertuples()]
        view.add_row(f"{model},\n{features}", *cells)
    return view


def _deciles(deciles: list[dict[str, float]]) -> Table:
    view = table("predictions of what scored the table, by deciles", "", "users", "said", "came")
    for k, line in enumerate(deciles, 1):
        cells = [f"{line['users']:,}", f"{line['predicted']:.3f}", f"{line['actual']:.3f}"]
        view.add_row(f"{k}.", *cells)
    return view
