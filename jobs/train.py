"""Learn a rating model from a data set."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import click

from jobs.common import Outcome, cluster_options, job, progress_bars, say, table
from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.errors import InputError
from mfdask.files import locked, require_space
from mfdask.memory import PeakMemory
from mfdask.models import ALS, FactorModel, check_place, model_bytes, save_model
from mfdask.shards import Dataset

#: Option, parameter of `ALS`, what it means; the default is the parameter's own.
_PARAMETERS = [
    ("--sweeps", "n_sweeps", "User and item half-steps, at most."),
    ("--lambda", "fidelity", "Weight of a squared error (the paper's lambda)."),
    ("--tau", "factor_reg", "Regularisation of the factors (tau)."),
    ("--gamma", "bias_reg", "Regularisation of the biases (gamma)."),
    (
        "--reg-scaling",
        "reg_scaling",
        "Power, 0 to 1, of a row's ratings that tau and gamma grow by.",
    ),
    ("--damping", "damping", "Share of the way to its solution that a row moves (alpha)."),
    ("--weight-reg", "weight_reg", "Regularisation of what each genre stands for."),
    ("--tolerance", "tolerance", "Stop when a sweep lowers the objective by a smaller share."),
    ("--seed", "seed", "Of the first factors."),
]
_UPDATE_HELP = "Bias and factors of a row at once, or in turn (the paper's Algorithm 1)."


def _with_parameters(callback: Any) -> Any:
    for option, name, text in reversed(_PARAMETERS):
        default = getattr(ALS, name)
        callback = click.option(option, name, default=default, show_default=True, help=text)(
            callback
        )
    return callback


@click.command("train", help=__doc__)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the model goes.  [default: output/models/DATA-MODEL]",
)
@click.option(
    "--model",
    default="als",
    show_default=True,
    type=click.Choice(["als", "bias", "genre"]),
    help="als: biases and factors; bias: biases alone; genre: item rows drawn to their genres'.",
)
@click.option("--factors", type=int, help="Length of a factor vector, 0 to 256.  [default: 20]")
@click.option(
    "--checkpoint-every",
    default=0,
    show_default=True,
    metavar="SWEEPS",
    help="Keep the state this often, for --resume; 0 never does.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@click.option(
    "--update",
    default="joint",
    show_default=True,
    type=click.Choice(["joint", "alternating"]),
    help=_UPDATE_HELP,
)
@click.option(
    "--centre/--no-centre",
    default=True,
    show_default=True,
    help="Take the mean training rating off first.",
)
@_with_parameters
@job
@cluster_options
def main(
    data: Path,
    out: Path | None,
    model: str,
    factors: int | None,
    checkpoint_every: int,
    resume: bool,
    cluster: ClusterConfig,
    **parameters: Any,
) -> Outcome:
    """Learn the model and write its directory."""
    if model == "bias" and factors:
        raise InputError("--model bias has no factors; leave --factors out, or use --model als")
    config = ALS(
        n_factors=0 if model == "bias" else 20 if factors is None else factors,
        item_prior="genre" if model == "genre" else "zero",
        **parameters,
    )
    dataset = Dataset.open(data)
    out = out or Path("output/models") / f"{dataset.name}-{config.kind}"
    check_place(out)
    rows = dataset.n_users + dataset.n_items
    require_space(out, model_bytes(rows, config.n_factors), "the model")
    checkpoint = out.with_name(f".{out.name}.checkpoint")
    began = time.perf_counter()
    with (
        locked(out, "training into"),
        PeakMemory() as memory,
        open_cluster(cluster) as client,
        progress_bars() as progress,
    ):
        say(f"Dask dashboard: {client.dashboard_link}")
        fitted = config.fit(
            dataset,
            client=client,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
        )
        save_model(fitted, out)
        shutil.rmtree(checkpoint, ignore_errors=True)
    return _outcome(fitted, out, time.perf_counter() - began, memory.bytes)


def _outcome(model: FactorModel, out: Path, seconds: float, peak: int) -> Outcome:
    last = model.history[-1]
    each = median(sweep.seconds for sweep in model.history)
    values = {
        "model": str(out),
        "sweeps": last.sweep,
        "objective": last.objective,
        "train_rmse": last.train_rmse,
        "test_rmse": last.test_rmse,
        "seconds": seconds,
        "seconds_per_sweep": each,
        "peak_memory_bytes": peak,
    }
    view = table(f"{model.kind}, {model.n_factors} factors, on {model.data.name}", "", "")
    view.show_header = False
    view.add_row("sweeps", f"{last.sweep}")
    view.add_row("objective", f"{last.objective:,.2f}")
    view.add_row("train RMSE", f"{last.train_rmse:.4f}")
    view.add_row(
        "test RMSE", "nothing held out" if last.test_rmse is None else f"{last.test_rmse:.4f}"
    )
    view.add_row("seconds", f"{seconds:.1f} in all, {each:.3f} a sweep")
    view.add_row("peak memory", f"{peak / 2**20:,.0f} MiB")
    view.add_row("model", str(out))
    return Outcome(values, [view])


if __name__ == "__main__":
    main()
