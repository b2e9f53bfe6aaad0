"""Learn a rating model from a data set."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any, get_args

import click

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.features.file import FeatureFile
from mfdask.files import file_lock, require_space
from mfdask.memory import require_memory
from mfdask.models import (
    ALS,
    PRESETS,
    Bayes,
    FactorModel,
    check_model_place,
    model_bytes,
    save_model,
    training_bytes,
)
from mfdask.models.exchange import ExchangeMode
from mfdask.models.kinds import KINDS, chosen_parameters, parameters_of
from mfdask.shards import Dataset

from .common import Outcome, Running, facts_table, job, running, say
from .options import DATA, MODEL, PATH, cluster_options

_LEARNED = "[all but bayes]"
_DRAWN = "[bayes]"

#: Option, parameter, its type, and what it means; the default is the parameter's own.
_PARAMETERS: list[tuple[str, str, Any, str]] = [
    ("--factors", "n_factors", int, "Length of a factor vector, 0 to 256."),
    ("--sweeps", "n_sweeps", int, "Sweeps, at most; a sweep solves all users, then all items."),
    ("--lambda", "fidelity", float, f"{_LEARNED} Weight of a squared error."),
    ("--tau", "factor_reg", float, f"{_LEARNED} Regularisation of the factors."),
    ("--gamma", "bias_reg", float, f"{_LEARNED} Regularisation of the biases."),
    (
        "--item-tau",
        "item_factor_reg",
        float,
        f"{_LEARNED} Regularisation of item factors.  [default: --tau]",
    ),
    (
        "--item-gamma",
        "item_bias_reg",
        float,
        f"{_LEARNED} Regularisation of item biases.  [default: --gamma]",
    ),
    (
        "--reg-scaling",
        "reg_scaling",
        float,
        f"{_LEARNED} Tau and gamma grow with this power, 0 to 1, of a row's number of ratings.",
    ),
    (
        "--damping",
        "damping",
        float,
        f"{_LEARNED} Share of the way to its solution that a row moves in a sweep, up to 1.",
    ),
    (
        "--weight-reg",
        "weight_reg",
        float,
        "[genre, features] Regularisation of the weights of genres or features.",
    ),
    (
        "--tolerance",
        "tolerance",
        float,
        f"{_LEARNED} Stop when a sweep lowers the objective by a smaller share than this.",
    ),
    (
        "--update",
        "update",
        click.Choice(["joint", "alternating"]),
        f"{_LEARNED} joint: solve bias and factors of a row together; alternating: the bias first.",
    ),
    ("--burn-in", "burn_in", int, f"{_DRAWN} First sweeps, whose draws are not kept."),
    (
        "--samples",
        "n_samples",
        int,
        f"{_DRAWN} Draws that the model keeps; 0: all that fit into 256 MiB.",
    ),
    (
        "--item-prior",
        "item_prior",
        click.Choice(["zero", "genre", "features"]),
        f"{_DRAWN} What items are drawn around: a common mean, or what genres or features say.",
    ),
    ("--seed", "seed", int, "Seed of the first factors, and of all draws."),
]


def _with_parameters(callback: Any) -> Any:
    for option, name, kind, text in reversed(_PARAMETERS):
        help_text = f"{text}  [default: {_default(name)}]" if _default(name) else text
        callback = click.option(option, name, type=kind, help=help_text)(callback)
    return callback


def _default(name: str) -> str:
    """Say the default of a parameter, and of each way to learn where they differ."""
    first, *other = (
        getattr(method, name)
        for method in (ALS, Bayes)
        if any(field.name == name for field in fields(method))
    )
    if other and other[0] != first:
        return f"{first}; for bayes {other[0]}"
    return "" if first is None else str(first)


@click.command("train", help=__doc__)
@click.argument("data", type=DATA)
@click.option(
    "--out",
    type=PATH,
    help="Folder for the model.  [default: output/models/DATA-MODEL]",
)
@click.option(
    "--model",
    default="als",
    show_default=True,
    type=click.Choice(list(KINDS)),
    help="als: biases and factors; bias: biases alone; genre: als, with items drawn towards what "
    "their genres say; features: towards what --item-features says; bayes: a sampler, with a "
    "standard deviation for each prediction.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help=f"{_LEARNED} For small data (some 100,000 ratings) or large (tens of millions); "
    "options given beside it win.",
)
@click.option(
    "--item-features",
    type=PATH,
    help="CSV or Parquet file: item id, then columns of numbers, or of values joined by |.",
)
@click.option(
    "--start",
    type=MODEL,
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
    "--centre/--no-centre",
    default=True,
    show_default=True,
    help="Learn deviations from the mean training rating.",
)
@click.option(
    "--exchange",
    default="auto",
    show_default=True,
    type=click.Choice(get_args(ExchangeMode)),
    help="What workers send each other: whole sides, or only the rows that are needed; auto: what "
    "is cheaper. The model is the same.",
)
@_with_parameters
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
    cluster: ClusterConfig,
    **parameters: Any,
) -> Outcome:
    """Learn the model and write its directory."""
    given = {name: value for name, value in parameters.items() if value is not None}
    config = _configure(model, preset, given)
    dataset = Dataset.open(data)
    if item_features is not None:
        found = FeatureFile.at(item_features).match(dataset)
        say(f"{found.n_missing:,} items lack features; {found.n_unknown:,} lines are of no item")
    out = out or Path("output/models") / f"{dataset.name}-{model}"
    check_model_place(out)
    rows = dataset.n_users + dataset.n_items
    draws = len(config.sampled(rows)) if isinstance(config, Bayes) else 1
    require_space(out, model_bytes(rows, config.n_factors, draws), "the model")
    if cluster.scheduler is None:
        require_memory(training_bytes(rows, config.n_factors, draws), "training")
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    with file_lock(out, "training into"), running(cluster) as run:
        fitted = config.fit(
            dataset,
            item_features=item_features,
            client=run.client,
            start=start,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=run.progress,
            exchange=exchange,
        )
        save_model(fitted, out)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return _outcome(fitted, out, run)


def _configure(model: str, preset: str | None, given: dict[str, Any]) -> ALS | Bayes:
    """Return the way to learn that the options ask for."""
    if model == "bias" and given.pop("n_factors", 0):
        raise InputError("--model bias has no factors; leave --factors out, or use --model als")
    known = parameters_of(model)
    for option, name, *_ in _PARAMETERS:
        if name in given and name not in known:
            raise InputError(f"{option} says nothing to --model {model}; leave it out")
    method, chosen = chosen_parameters(model, preset, given)
    return method(**chosen)


def _outcome(model: FactorModel, out: Path, run: Running) -> Outcome:
    last = model.history[-1]
    each = median(sweep.seconds for sweep in model.history)
    moved = median(sweep.bytes_moved for sweep in model.history)
    values = {
        "model": str(out),
        "sweeps": last.sweep,
        "objective": last.objective,
        "train_rmse": last.train_rmse,
        "test_rmse": last.test_rmse,
        "seconds_per_sweep": each,
        "bytes_moved_per_sweep": moved,
        **run.cost,
    }
    k = model.parameters["n_factors"]
    facts = {"sweeps": f"{last.sweep}"}
    if model.samples is None:
        facts["objective"] = f"{last.objective:,.2f}"
        facts["train RMSE"] = f"{last.train_rmse:.4f}"
    else:
        values |= {"samples": len(model.samples), "noise_precision": last.fidelity}
        facts["draws kept"] = f"{len(model.samples)}"
        facts["standard deviation of the noise"] = f"{last.fidelity**-0.5:.4f}"
        facts["train RMSE of the last draw"] = f"{last.train_rmse:.4f}"
    held_out = last.test_rmse is not None
    facts["test RMSE"] = f"{last.test_rmse:.4f}" if held_out else "nothing held out"
    if moved:
        facts["between workers"] = f"{moved / 2**20:,.1f} MiB a sweep"
    facts |= run.last_rows("model", out)
    facts["seconds"] += f" in all, {each:.3f} a sweep"
    view = facts_table(f"{model.kind}, {k} factors, on {model.data.name}", facts)
    own = parameters_of(model.kind)
    used = {name: value for name, value in model.parameters.items() if name in own}
    return Outcome(values, [view], used)
