"""Run ingest, train, evaluate and report on synthetic ratings, and show what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from mfdask.cluster import ClusterConfig
from mfdask.evaluation import evaluate
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, Model, save_model
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.report.data.facts import Facts
from mfdask.report.inputs import Inputs
from mfdask.report.page import write_page
from mfdask.report.report import all_sections, notes
from mfdask.shards import Dataset

from .common import Outcome, Timed, job, running, timed, worth_starting
from .options import OUT_FILE, OUT_FOLDER, cluster_options
from .terminal import progress_bars, table
from .warmup import compile_all


@click.command("demo", help=__doc__)
@click.option(
    "--source",
    default="synthetic:1m",
    show_default=True,
    help="What to ingest: any SOURCE of `mfdask ingest`.",
)
@click.option(
    "--data",
    type=OUT_FOLDER,
    default="data/demo",
    show_default=True,
    help="Folder of the data set.",
)
@click.option(
    "--models",
    type=OUT_FOLDER,
    default="output/models",
    show_default=True,
    help="Folder for both models.",
)
@click.option(
    "--report",
    type=OUT_FILE,
    default="output/reports/demo.html",
    show_default=True,
    help="HTML file for the report.",
)
@click.option(
    "--sweeps",
    default=12,
    show_default=True,
    help="Sweeps of each model; a sweep solves all users, then all items.",
)
@job
@cluster_options
def main(
    source: str, data: Path, models: Path, report: Path, sweeps: int, cluster: ClusterConfig
) -> Outcome:
    """Run the main job whole."""
    with progress_bars() as progress:
        opened = open_source(source, progress=progress)
    started = worth_starting(cluster, opened.n_rows)
    if started:
        with progress_bars() as progress:
            compile_all(progress)  # so that the workers have it, and no stage waits for it
    found: dict[str, Model] = {}
    stages: dict[str, Timed] = {}
    with running(started) as run:
        with timed() as stages["ingest"]:
            ingest(
                opened,
                data,
                client=run.client,
                choices=IngestOptions(split=Split.parse("random:0.1")),
                overwrite=True,
                progress=run.progress,
            )
            dataset = Dataset.open(data)
        for config in (ALS(n_factors=0, n_sweeps=sweeps), ALS(n_sweeps=sweeps)):
            with timed() as stages[config.kind]:
                found[config.kind] = config.fit(dataset, client=run.client, progress=run.progress)
                save_model(found[config.kind], models / f"demo-{config.kind}")
    errors = {}
    with timed() as stages["evaluate"]:
        for kind, model in found.items():
            test = evaluate(model, dataset)
            errors[kind] = {
                "test_rmse": float(test.raw.rmse()[0]),
                "test_mae": float(test.raw.mae()[0]),
            }
    with timed() as stages["report"], progress_bars() as progress:
        facts = Facts.of(dataset, progress)
        sections = list(all_sections(facts, Inputs({"demo-als": found["als"]})))
        write_page(report, dataset.name, notes(facts), sections)
    values: dict[str, Any] = {
        "data": str(data),
        "report": str(report),
        "train": dataset.n_train,
        "test": dataset.n_test,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "models": {kind: {"path": str(models / f"demo-{kind}"), **errors[kind]} for kind in found},
        "seconds": {stage: one.seconds for stage, one in stages.items()},
    }
    return Outcome(values, [_summary(values), _next(values)])


def _summary(values: dict[str, Any]) -> Table:
    title = (
        f"{values['train']:,} training and {values['test']:,} test ratings of "
        f"{values['users']:,} users and {values['items']:,} items"
    )
    view = table(title, "model", "test RMSE", "test MAE", "seconds")
    for kind, what in (("bias", "biases alone"), ("als", "biases and 20 factors")):
        errors, took = values["models"][kind], values["seconds"][kind]
        cells = (errors["test_rmse"], errors["test_mae"])
        view.add_row(what, *(f"{cell:.4f}" for cell in cells), f"{took:.1f}")
    for stage in ("ingest", "report"):
        view.add_row(stage, "", "", f"{values['seconds'][stage]:.1f}")
    return view


def _next(values: dict[str, Any]) -> str:
    bias, als = (values["models"][kind]["path"] for kind in ("bias", "als"))
    data = values["data"]
    return (
        f"The data set is {data}, the models are {bias} and {als}.\n"
        f"Open {values['report']} in a browser to see what they look like.\n\n"
        "What to try next:\n"
        f"  mfdask app {als}          (pages for a browser)\n"
        f"  mfdask inspect {data}\n"
        f"  mfdask evaluate {als} {data}\n"
        f"  mfdask train {data} --factors 40 --sweeps 20\n"
        "  mfdask ingest ml-latest-small          (real ratings, downloaded)"
    )
