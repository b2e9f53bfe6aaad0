"""Learn a rating model from a data set."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median
from typing import Any, get_args

import click

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.evaluation import evaluate
from mfdask.features.file import ONE, FeatureFile
from mfdask.files import file_lock, require_space
from mfdask.memory import require_memory
from mfdask.models import (
    Ability,
    BayesianModel,
    Estimator,
    Model,
    check_data,
    check_model_place,
    kind_of,
    kinds,
    save_model,
)
from mfdask.models.base import Sweep
from mfdask.models.exchange import ExchangeMode
from mfdask.shards import Dataset

from .common import Outcome, Running, job, running, worth_starting
from .options import DATA, MODEL, OUT_FOLDER, PATH, cluster_options, options_of_kinds
from .terminal import facts_table, say


def _presets() -> dict[str, list[str]]:
    """Return the kinds that have each preset."""
    found: dict[str, list[str]] = {}
    for name, kind in kinds().items():
        for preset in kind.estimator.presets:
            found.setdefault(preset, []).append(name)
    return found


@click.command("train", help=__doc__)
@click.argument("data", type=DATA)
@click.option(
    "--out", type=OUT_FOLDER, help="Folder for the model.  [default: output/models/DATA-MODEL]"
)
@click.option("--overwrite", is_flag=True, help="Replace a model of other data, too.")
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
    help="; ".join(f"{name}: {', '.join(those)}" for name, those in _presets().items())
    + ". For small data (some 100,000 ratings) or large (tens of millions), see docs/models.md; "
    "options given beside it win.",
)
@click.option(
    "--item-features",
    type=PATH,
    help="CSV or Parquet file: item id, then columns of numbers, or of values joined by |.",
)
@click.option("--user-features", type=PATH, help="The same of users, for --user-prior features.")
@click.option(
    "--start", type=MODEL, help="Begin with the rows of this model, which has as many factors."
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
@options_of_kinds({name: kind.open_parameters for name, kind in kinds().items()})
@job
@cluster_options
def main(
    data: str,
    out: Path | None,
    overwrite: bool,
    model: str,
    preset: str | None,
    item_features: Path | None,
    user_features: Path | None,
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
    check_data(estimator, dataset)  # before a cluster is started
    if estimator.begins_afresh and (start or checkpoint_every or resume):
        raise InputError(
            f"a model of kind {model} begins afresh: leave out `start`, `checkpoint_every` and "
            "`resume`"
        )
    files = {"items": item_features, "users": user_features}
    given_files = {side: path for side, path in files.items() if path is not None}
    features = _features(estimator, dataset, given_files)
    folder = Path(data).name or Path(data).resolve().name  # of a URL, too
    out = out or Path("output/models") / f"{folder}-{model}"
    check_model_place(out, None if overwrite else dataset)
    rows = dataset.n_users + dataset.n_items
    require_space(out, estimator.model_bytes(rows), "the model")
    if cluster.scheduler is None:
        require_memory(estimator.training_bytes(rows), "training")
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    started = worth_starting(cluster, dataset.n_train)
    with file_lock(out, "training into"), running(started) as run:
        fitted = estimator.fit(
            dataset,
            **features,
            client=run.client,
            start=start,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=run.progress,
            exchange=exchange,
        )
        errors = _errors_of_draws(fitted, dataset)
        save_model(fitted, out, errors)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return _outcome(fitted, out, run, errors)


def _features(estimator: Estimator, data: Dataset, files: dict[str, Path]) -> dict[str, Path]:
    """Return the files of features of each side, as `fit` takes them, and say what they lack."""
    needs = {"items": estimator.needs_item_features, "users": estimator.needs_user_features}
    for side, path in files.items():
        one = ONE[side]
        if not needs[side]:
            more = (
                f", or ask for `{one}_prior` features" if hasattr(estimator, f"{one}_prior") else ""
            )
            kind = f"a model of kind {estimator.kind}"
            raise InputError(f"{kind} follows no file: leave out `{one}_features`{more}")
        found = FeatureFile.at(path).match(data, side)
        say(f"{found.n_missing:,} {side} lack features; {found.n_unknown:,} lines are of no {one}")
    return {f"{ONE[side]}_features": path for side, path in files.items()}


def _configure(
    model: str, preset: str | None, regularization: float | None, given: dict[str, Any]
) -> Estimator:
    """Return the estimator that the options ask for."""
    if model == "bias" and given.get("n_factors") == 0:
        del given["n_factors"]  # that is what it has
    kind = kind_of(model)
    if regularization is not None:
        if "factor_reg" not in kind.open_parameters:
            raise InputError(
                f"--model {model} has none of --lambda, --tau and --gamma, which "
                "`regularization` stands for: leave it out"
            )
        if {"fidelity", "factor_reg", "bias_reg"} & set(given):
            raise InputError("--regularization stands for --lambda, --tau and --gamma: give either")
        stands = {"fidelity": 1.0, "factor_reg": regularization, "bias_reg": regularization}
        given |= {name: value for name, value in stands.items() if name in kind.open_parameters}
    return kind.configure(given, preset)


def _errors_of_draws(model: Model, data: Dataset) -> dict[str, float]:
    """Return the test errors of a model that is a mean of draws, as `mfdask evaluate` has them.

    Those of its history are of the running mean of all draws, each clipped to the scale.
    """
    if not (isinstance(model, BayesianModel) and data.n_test):
        return {}
    found = evaluate(model, data)
    raw, clipped = float(found.raw.rmse()[0]), float(found.clipped.rmse()[0])
    return {"test_rmse": raw, "test_rmse_clipped": clipped}


def _outcome(model: Model, out: Path, run: Running, errors: dict[str, float]) -> Outcome:
    last = model.history[-1]
    each = median(sweep.seconds for sweep in model.history)
    moved = median(sweep.bytes_moved for sweep in model.history)
    values = {
        "model": str(out),
        "sweeps": last.sweep,
        "objective": last.objective if last.objective == last.objective else None,
        "train_rmse": last.train_rmse,
        "test_rmse": last.test_rmse,
        "test_auc": last.test_auc,
        "seconds_per_sweep": each,
        "bytes_moved_per_sweep": moved,
        **run.cost,
    }
    swept = "n_sweeps" in model.parameters
    facts = {"sweeps": f"{last.sweep}"} if swept else {}
    if isinstance(model, BayesianModel):
        values |= {"samples": len(model.samples), "noise_precision": last.fidelity}
        values |= {**errors, "running_test_rmse": last.test_rmse}
        values |= {"rhat": last.rhat, "settled": model.chain.settled}
        facts["chain"] = str(model.chain)
        if not model.chain.settled:
            say(f"warning: the chain has {model.chain}, or --sweeps auto")
        facts["draws kept"] = f"{len(model.samples)}"
        facts["standard deviation of the noise"] = f"{last.fidelity**-0.5:.4f}"
    elif model.can(Ability.OBJECTIVE):
        facts["objective"] = f"{last.objective:,.2f}"
    facts |= _errors(model, last, errors)
    if moved:
        facts["between workers"] = f"{moved / 2**20:,.1f} MiB a sweep"
    facts |= run.last_rows("model", out)
    if swept:
        facts["seconds"] += f" in all, {each:.3f} a sweep"
    n_factors = model.parameters.get("n_factors")
    size = "" if n_factors is None else f", {n_factors} factors"
    view = facts_table(f"{model.kind}{size}, on {model.data.name}", facts)
    chosen = kind_of(model.kind).open_parameters
    found = {name: model.parameters[name] for name in chosen if name in model.parameters}
    used = {name: chosen[name].none if v is None else v for name, v in found.items()}
    return Outcome(values, [view], used)


def _errors(model: Model, last: Sweep, saved: dict[str, float]) -> dict[str, str]:
    """Return the rows of a table that tell how good the fit is."""
    if last.train_rmse is None:
        return {} if last.test_auc is None else {"test AUC": f"{last.test_auc:.4f}"}
    train = "train RMSE of the last draw" if isinstance(model, BayesianModel) else "train RMSE"
    test = "nothing held out" if last.test_rmse is None else f"{last.test_rmse:.4f}"
    facts = {train: f"{last.train_rmse:.4f}"}
    if not saved:
        return facts | {"test RMSE": test}
    clipped = f"{saved['test_rmse_clipped']:.4f} clipped to the scale"
    return facts | {
        "test RMSE": f"{saved['test_rmse']:.4f}, {clipped}",
        "test RMSE, running mean of clipped draws": test,
    }
