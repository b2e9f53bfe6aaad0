"""Learn a rating model from a data set."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any, get_args

import click

from jobs.common import DATA, Outcome, cluster_options, job, progress_bars, say, table
from jobs.options import options_of_kinds
from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.errors import InputError
from mfdask.features.file import FeatureFile
from mfdask.files import file_lock, require_space
from mfdask.memory import PeakMemory, require_memory
from mfdask.models import (
    Ability,
    BayesianModel,
    Estimator,
    Model,
    check_model_place,
    kind_of,
    kinds,
    save_model,
)
from mfdask.models.exchange import ExchangeMode
from mfdask.shards import Dataset


@click.command("train", help=__doc__)
@click.argument("data", type=DATA)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the model.  [default: output/models/DATA-MODEL]",
)
@click.option(
    "--model",
    default="als",
    show_default=True,
    type=click.Choice(list(kinds())),
    help="; ".join(f"{name}: {kind.help}" for name, kind in kinds().items()) + ".",
)
@click.option(
    "--preset",
    metavar="[small|large]",
    help="[als, bias, genre, features] For small data (some 100,000 ratings) or large "
    "(tens of millions); options given beside it win.",
)
@click.option(
    "--item-features",
    type=click.Path(path_type=Path),
    help="CSV or Parquet file: item id, then columns of numbers, or of values joined by |.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Begin with the rows of this model, which has as many factors.",
)
@click.option(
    "--checkpoint-every",
    default=0,
    show_default=True,
    metavar="SWEEPS",
    help="Write a checkpoint this often, for --resume; 0: never.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the same --out.")
@click.option(
    "--regularization",
    type=float,
    metavar="R",
    help="What other libraries call lambda: weight of squared factors and biases beside a squared "
    "error of weight 1; in place of --lambda, --tau and --gamma.",
)
@click.option(
    "--exchange",
    default="auto",
    show_default=True,
    type=click.Choice(get_args(ExchangeMode)),
    help="What workers send each other: whole sides, or only the rows that are needed; auto: what "
    "is cheaper. The model is the same.",
)
@options_of_kinds({name: kind.estimator for name, kind in kinds().items()})
@job
@cluster_options
def main(
    data: str,
    out: Path | None,
    model: str,
    preset: str | None,
    item_features: Path | None,
    start: Path | None,
    checkpoint_every: int,
    resume: bool,
    exchange: ExchangeMode,
    regularization: float | None,
    cluster: ClusterConfig,
    **parameters: Any,
) -> Outcome:
    """Learn the model and write its directory."""
    given = {name: value for name, value in parameters.items() if value is not None}
    estimator = _configure(model, preset, regularization, given)
    dataset = Dataset.open(data)
    if item_features is not None:
        found = FeatureFile.at(item_features).match(dataset)
        say(f"{found.n_missing:,} items lack features; {found.n_unknown:,} lines are of no item")
    out = out or Path("output/models") / f"{dataset.name}-{model}"
    check_model_place(out)
    rows = dataset.n_users + dataset.n_items
    require_space(out, estimator.model_bytes(rows), "the model")
    if cluster.scheduler is None:
        require_memory(estimator.training_bytes(rows), "training")
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    began = time.perf_counter()
    with (
        file_lock(out, "training into"),
        PeakMemory() as memory,
        open_cluster(cluster) as client,
        progress_bars() as progress,
    ):
        say(f"Dask dashboard: {client.dashboard_link}")
        fitted = estimator.fit(
            dataset,
            item_features=item_features,
            client=client,
            start=start,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
            exchange=exchange,
        )
        save_model(fitted, out)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return _outcome(fitted, out, time.perf_counter() - began, memory.bytes)


def _configure(
    model: str, preset: str | None, regularization: float | None, given: dict[str, Any]
) -> Estimator:
    """Return the estimator that the options ask for."""
    if model == "bias" and given.get("n_factors") == 0:
        del given["n_factors"]  # that is what it has
    if regularization is not None:
        if {"fidelity", "factor_reg", "bias_reg"} & set(given):
            raise InputError("--regularization stands for --lambda, --tau and --gamma: give either")
        given |= {"fidelity": 1.0, "factor_reg": regularization, "bias_reg": regularization}
    return kind_of(model).configure(given, preset)


def _outcome(model: Model, out: Path, seconds: float, peak: int) -> Outcome:
    last = model.history[-1]
    each = median(sweep.seconds for sweep in model.history)
    moved = median(sweep.bytes_moved for sweep in model.history)
    values = {
        "model": str(out),
        "sweeps": last.sweep,
        "objective": last.objective,
        "train_rmse": last.train_rmse,
        "test_rmse": last.test_rmse,
        "seconds": seconds,
        "seconds_per_sweep": each,
        "bytes_moved_per_sweep": moved,
        "peak_memory_bytes": peak,
    }
    n_factors = model.parameters.get("n_factors")
    size = "" if n_factors is None else f", {n_factors} factors"
    view = table(f"{model.kind}{size}, on {model.data.name}", "", "")
    view.show_header = False
    view.add_row("sweeps", f"{last.sweep}")
    if isinstance(model, BayesianModel):
        values |= {"samples": len(model.samples), "noise_precision": last.fidelity}
        view.add_row("draws kept", f"{len(model.samples)}")
        view.add_row("standard deviation of the noise", f"{last.fidelity**-0.5:.4f}")
        view.add_row("train RMSE of the last draw", f"{last.train_rmse:.4f}")
    else:
        if model.can(Ability.OBJECTIVE):
            view.add_row("objective", f"{last.objective:,.2f}")
        view.add_row("train RMSE", f"{last.train_rmse:.4f}")
    view.add_row(
        "test RMSE", "nothing held out" if last.test_rmse is None else f"{last.test_rmse:.4f}"
    )
    view.add_row("seconds", f"{seconds:.1f} in all, {each:.3f} a sweep")
    if moved:
        view.add_row("between workers", f"{moved / 2**20:,.1f} MiB a sweep")
    view.add_row("peak memory", f"{peak / 2**20:,.0f} MiB")
    view.add_row("model", str(out))
    return Outcome(values, [view])


if __name__ == "__main__":
    main()
