"""Measure how fast this machine learns, ingests and scores."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from mfdask.bench.bpr import BPRPlan, measure_bpr
from mfdask.bench.compiling import measure_compiling
from mfdask.bench.dense import DensePlan, measure_dense
from mfdask.bench.exchange import measure_exchange
from mfdask.bench.ials import measure_ials
from mfdask.bench.ingest import measure_ingest
from mfdask.bench.machine import describe_machine
from mfdask.bench.rerank import WEIGHTS, measure_rerank
from mfdask.bench.sweep import SweepPlan, measure_sweep, measure_train
from mfdask.bench.topn import TopPlan, measure_topn
from mfdask.cluster import ClusterConfig
from mfdask.cores import n_cores
from mfdask.downstream.dense import DTYPES
from mfdask.models import load_model
from mfdask.ratings.synthetic import NAMED
from mfdask.recommendation import Ranking
from mfdask.shards import Dataset

from .bench_views import quality_view, rerank_table, sweep_view, topn_table, words_on_lists
from .common import Outcome, job, progress_bars, running, table
from .options import DATA_FOLDER, MODEL, PATH, cluster_options, options_of

_ROUNDS = click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Rounds; in each, everything is timed once.",
)
_FACTORS = click.option(
    "--factors", default=20, show_default=True, help="Length of a factor vector."
)
_SWEEPS = click.option(
    "--sweeps", default=8, show_default=True, type=click.IntRange(2), help="Sweeps of each fit."
)

_SECONDS = click.option(
    "--seconds",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Measure the lists after a quarter, a half and all of so long a fit; 0: none.",
)

#: Weights of variety and of calibration, and shares of the long tail.
_WEIGHTS = (
    (0.0, 0.0, 0.0),
    *((weight, 0.0, 0.0) for weight in (0.1, 0.2, 0.5)),
    *((0.0, weight, 0.0) for weight in (0.1, 0.2, 0.5, 1.0)),
    *((0.0, 0.0, share) for share in (0.1, 0.2, 0.5)),
    *((0.2, 0.0, 0.2), (0.0, 0.2, 0.2)),
)


@click.group("bench", help=__doc__)
def main() -> None:
    """Hold the measurements together."""


@main.command("sweep")
@click.argument("data", nargs=-1, required=True, type=DATA_FOLDER)
@_FACTORS
@_SWEEPS
@_ROUNDS
@click.option(
    "--peers/--no-peers", default=True, show_default=True, help="Time cmfrec and LensKit, too."
)
@job
@cluster_options
def sweep(
    data: tuple[Path, ...],
    factors: int,
    sweeps: int,
    rounds: int,
    peers: bool,
    cluster: ClusterConfig,
) -> Outcome:
    """Time a sweep on each DATA: bare kernel, Dask, the machine's peak, peers, all in turn."""
    datasets = [Dataset.open(path) for path in data]
    threads = n_cores() if cluster.threads is None else cluster.workers * cluster.threads
    plan = SweepPlan(factors, sweeps, rounds, peers, threads)
    with running(cluster) as run:
        found = [measure_sweep(data, run.client, plan, run.progress) for data in datasets]
    for path, result in zip(data, found, strict=True):
        result["train"] = measure_train(path, plan, _as_arguments(cluster))
    values = {"data_sets": found, "compile_seconds": measure_compiling(factors)}
    return _outcome(values, *sweep_view(values))


@main.command("ials")
@click.argument("data", type=DATA_FOLDER)
@_FACTORS
@_SWEEPS
@_ROUNDS
@_SECONDS
@click.option("--peers/--no-peers", default=True, show_default=True, help="Time implicit, too.")
@job
@cluster_options
def ials(
    data: Path,
    factors: int,
    sweeps: int,
    rounds: int,
    seconds: float,
    peers: bool,
    cluster: ClusterConfig,
) -> Outcome:
    """Time a sweep of --model ials on DATA beside implicit's, and lists after equal time."""
    dataset = Dataset.open(data)
    threads = n_cores() if cluster.threads is None else cluster.workers * cluster.threads
    plan = SweepPlan(factors, sweeps, rounds, peers, threads)
    with running(cluster) as run:
        found = measure_ials(dataset, run.client, plan, seconds, run.progress)
    title = f"{found['data']}: {found['ratings']:,} ratings, {factors} factors, {threads} threads"
    view = table(title, "a sweep", "seconds", "ours over it")
    view.add_row("mfdask, through Dask", f"{found['seconds']:.4g}", "")
    for name, peer in found["peers"].items():
        if "missing" in peer:
            view.add_row(name, peer["missing"], "")
        else:
            over, taken = peer["dask_over_peer"], peer["seconds_per_epoch"]
            what = f"implicit {peer['version']}, {peer['method']}"
            view.add_row(what, f"{taken:.4g}", f"{over:.3f}")
    return _outcome(found, view, *quality_view(found["quality"]))


@main.command("tiers")
@click.argument("data", type=DATA_FOLDER)
@click.option(
    "--factors", default=20, show_default=True, type=click.IntRange(1), help="Length of a vector."
)
@click.option(
    "--budget",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Longest time for each tier; a slower one is timed on a part of the rows, and scaled.",
)
@job
@cluster_options
def tiers(data: Path, factors: int, budget: float, cluster: ClusterConfig) -> Outcome:
    """Time a sweep in tiers: interpreted Python, NumPy, compiled, parallel, and Dask."""
    from mfdask.bench.ladder import climb  # compiles; the other commands have no need of it

    dataset = Dataset.open(data)
    with running(cluster) as run:
        found = climb(dataset, run.client, factors, budget, run.progress)
    values = {
        "data": dataset.name,
        "ratings": dataset.n_train,
        "factors": factors,
        "tiers": [asdict(tier) for tier in found],
    }
    view = table(
        f"{dataset.name}: a sweep on {dataset.n_train:,} ratings, {factors} factors",
        "tier",
        "seconds",
        "times as fast",
        "measured",
    )
    for tier in found:
        share = tier.ratings_measured / tier.ratings_total
        view.add_row(
            tier.name, f"{tier.seconds_scaled:,.4g}", f"{tier.speedup:,.1f}", f"{share:.2%}"
        )
    return _outcome(values, view)


@main.command("ingest")
@click.argument("file", required=False, type=PATH)
@click.option(
    "--ratings",
    default=NAMED["32m"].ratings,
    show_default=True,
    type=click.IntRange(1),
    help="Synthetic ratings to make, if no FILE is given.",
)
@_ROUNDS
@job
@cluster_options
def compare_ingest(file: Path | None, ratings: int, rounds: int, cluster: ClusterConfig) -> Outcome:
    """Time the ingest of a CSV against pandas and SciPy in one process, time and memory."""
    with progress_bars() as progress:
        found = measure_ingest(file or ratings, rounds, _as_arguments(cluster), progress)
    view = table(
        f"{found['ingest']['ratings']:,} ratings, {found['file_bytes'] / 2**20:,.0f} MiB",
        "",
        "seconds",
        "MiB at most",
        "over pandas",
    )
    for name, what in (("ingest", "mfdask ingest"), ("baseline", "pandas and SciPy")):
        one = found[name]
        if "missing" in one:
            view.add_row(f"{what}: {one['missing']}")
            continue
        ratio = found.get("ingest_over_baseline") if name == "ingest" else None
        view.add_row(
            what,
            f"{one['seconds']:.2f}",
            f"{one['peak_memory_bytes'] / 2**20:,.0f}",
            "" if ratio is None else f"{ratio:.3f}",
        )
    return _outcome(found, view)


@main.command("topn")
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA_FOLDER)
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(1), help="Length of a list."
)
@click.option("--users", type=click.IntRange(1), help="Users to rank for.  [default: all]")
@_ROUNDS
@click.option(
    "--threads",
    default=n_cores(),
    type=click.IntRange(1),
    help="Of either side.  [default: all cores]",
)
@click.option(
    "--peers/--no-peers", default=True, show_default=True, help="Time implicit's top-k, too."
)
@job
def topn(
    model: Path, data: Path, top: int, users: int | None, rounds: int, threads: int, peers: bool
) -> Outcome:
    """Time the lists of all users of MODEL, rated items of DATA left out, and of random rows.

    implicit ranks with the same vectors; its lists and these are held against each other.
    """
    plan = TopPlan(top, users, rounds, peers, threads)
    with progress_bars() as progress:
        found = measure_topn(load_model(model), Dataset.open(data), plan, progress)
    return _outcome(found, topn_table(found), words_on_lists(found))


@main.command("rerank")
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA_FOLDER)
@click.option(
    "--weights",
    multiple=True,
    nargs=len(WEIGHTS),
    type=float,
    metavar="VARIETY CALIBRATION TAIL",
    help="Weights to measure; may be repeated.  [default: a few of each]",
)
@job
@options_of(Ranking, "ranking", omit=("top", *WEIGHTS))
def rerank(
    model: Path, data: Path, weights: tuple[tuple[float, float, float], ...], ranking: Ranking
) -> Outcome:
    """Measure lists of more variety, calibrated ones, and with more of the long tail.

    MODEL is learned again without a tenth of the training ratings of DATA, and the lists are held
    against those.
    """
    with progress_bars() as progress:
        found = measure_rerank(
            load_model(model), Dataset.open(data), ranking, weights or _WEIGHTS, progress
        )
    return _outcome(found, rerank_table(found))


@main.command("bpr")
@click.argument("data", type=DATA_FOLDER)
@click.option("--factors", default=63, show_default=True, help="Length of a factor vector.")
@_ROUNDS
@_SECONDS
@click.option(
    "--threads",
    default=n_cores(),
    type=click.IntRange(1),
    help="Of either side.  [default: all cores]",
)
@click.option("--peers/--no-peers", default=True, show_default=True, help="Time implicit, too.")
@job
def bpr(
    data: Path, factors: int, rounds: int, seconds: float, threads: int, peers: bool
) -> Outcome:
    """Time a sweep of BPR on DATA beside implicit's, and what lists are worth after equal time."""
    plan = BPRPlan(factors, rounds, seconds, peers=peers, threads=threads)
    with progress_bars() as progress:
        found = measure_bpr(data, plan, progress)
    title = f"{found['data']}: {found['ratings']:,} samples a sweep, {factors} factors"
    view = table(f"{title}, {threads} threads", "", "seconds a sweep", "over implicit")
    for name, taken in found["seconds"].items():
        ratio = found.get("over_implicit") if name == "bpr" else None
        view.add_row(name, f"{taken:.4g}", "" if ratio is None else f"{ratio:.3f}")
    if "missing" in found["implicit"]:
        view.add_row("implicit", found["implicit"]["missing"], "")
    return _outcome(found, view, *quality_view(found["quality"]))


@main.command("dense")
@click.argument("model", type=MODEL)
@click.option(
    "--users",
    default=DensePlan.users,
    show_default=True,
    type=click.IntRange(1),
    help="Users, at most.",
)
@click.option(
    "--dtype",
    default=DensePlan.dtype,
    show_default=True,
    type=click.Choice(DTYPES),
    help="How a prediction is stored.",
)
@_ROUNDS
@click.option(
    "--folder",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder on the disk to measure.",
)
@job
@cluster_options
def dense(
    model: Path, users: int, dtype: str, rounds: int, folder: Path, cluster: ClusterConfig
) -> Outcome:
    """Time the completed matrix of MODEL against the bare product and against plain writes."""
    with running(cluster) as run:
        found = measure_dense(
            model, folder, run.client, DensePlan(users, dtype, rounds), run.progress
        )
    view = table(
        f"{found['users']:,} users x {found['items']:,} items, {found['dtype']}",
        "",
        "seconds",
        "G predictions/s",
        "GB/s",
    )
    cells = found["users"] * found["items"]
    for name, seconds in found["seconds"].items():
        rates = f"{cells / seconds / 1e9:.2f}", f"{found['bytes'] / seconds / 1e9:.2f}"
        view.add_row(name, f"{seconds:.2f}", *rates)
    view.caption = f"densify reaches {found['share_of_limit']:.2f} of what the slower one allows"
    return _outcome(found, view)


@main.command("exchange")
@click.argument("data", type=DATA_FOLDER)
@_FACTORS
@_SWEEPS
@_ROUNDS
@job
@cluster_options
def exchange(data: Path, factors: int, sweeps: int, rounds: int, cluster: ClusterConfig) -> Outcome:
    """Count the bytes that workers send each other on DATA: whole sides, or the rows in use."""
    dataset = Dataset.open(data)
    with running(cluster) as run:
        found = measure_exchange(dataset, run.client, factors, sweeps, rounds, run.progress)
    view = table(
        f"{found['data']}: {found['workers']} workers, {factors} factors",
        "a sweep",
        "MB sent",
        "expected",
        "MB a worker",
        "seconds",
    )
    for way, each in found["ways"].items():
        sent = [each["bytes_moved"], each["expected"], each["bytes_moved"] / found["workers"]]
        view.add_row(way, *(f"{n / 1e6:.2f}" for n in sent), f"{each['seconds']:.3f}")
    view.caption = "; ".join(
        f"{side} use {handed['fill']:.2f} of the other side's {handed['rows']:,} rows a worker: "
        f"{handed['auto']}"
        for side, handed in found["sides"].items()
    )
    return _outcome(found, view)


def _as_arguments(cluster: ClusterConfig) -> list[object]:
    """Return the options that make another job use such a cluster."""
    if cluster.scheduler is not None:
        return ["--scheduler", cluster.scheduler]
    threads = [] if cluster.threads is None else ["--threads", cluster.threads]
    return ["--workers", cluster.workers, *threads, "--memory-limit", cluster.memory_limit]


def _outcome(found: dict[str, Any], *views: RenderableType) -> Outcome:
    """Return a result with what every one carries: the command and the machine."""
    arguments = sys.argv[2:] if sys.argv[1:2] == ["bench"] else sys.argv[1:]
    command, machine = shlex.join(["mfdask", "bench", *arguments]), describe_machine()
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    versions = [f"{name} {machine[name]}" for name in ("python", "numpy", "numba", "dask")]
    facts = f"{machine['cores']} cores, {machine['processor']}, {memory}; {', '.join(versions)}"
    values = {"command": command, "machine": machine, **found}
    return Outcome(values, [f"{command}\n{facts}", *views])
