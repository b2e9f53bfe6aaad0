"""Measure how fast this machine learns, ingests and scores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from mfdask.bench.bpr import BPRPlan, measure_bpr
from mfdask.bench.compiling import measure_compiling
from mfdask.bench.exchange import measure_exchange
from mfdask.bench.ials import measure_ials
from mfdask.bench.ingest import measure_ingest
from mfdask.bench.kernel import measure_kernel
from mfdask.bench.parts import measure_parts
from mfdask.bench.sweep import SweepPlan, measure_sweep, measure_train
from mfdask.cluster import ClusterConfig
from mfdask.cores import n_cores
from mfdask.models import ALS, IALS
from mfdask.shards import Dataset

from .bench_common import FACTORS, RATINGS, ROUNDS, THREADS, measured
from .bench_guard import guard
from .bench_lists import dense, rerank, topn
from .bench_peers import peers as bench_peers
from .bench_show import show_kept
from .bench_views import bpr_view, ials_view, ingest_view, kernel_view, sweep_view
from .bench_whole import whole
from .common import Outcome, job, running
from .options import DATA_FOLDER, PATH, cluster_options
from .terminal import progress_bars, table

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

#: Kinds of model whose bare kernel is timed.
_KERNELS: dict[str, type[ALS | IALS]] = {"als": ALS, "ials": IALS}


@click.group("bench", help=__doc__)
def main() -> None:
    """Hold the measurements together."""


for _command in (topn, rerank, dense, guard, whole, bench_peers, show_kept):
    main.add_command(_command)


@main.command("sweep")
@click.argument("data", nargs=-1, required=True, type=DATA_FOLDER)
@FACTORS
@_SWEEPS
@ROUNDS
@click.option(
    "--peers/--no-peers", default=True, show_default=True, help="Time other libraries, too."
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
    return measured(values, *sweep_view(values))


@main.command("kernel")
@click.argument("data", type=DATA_FOLDER)
@click.option(
    "--model",
    default="als",
    show_default=True,
    type=click.Choice(sorted(_KERNELS)),
    help="Equations of the half-steps, by default but for the factors.",
)
@click.option("--parts", is_flag=True, help="Time the parts of a sweep as well, on one thread.")
@FACTORS
@ROUNDS
@THREADS
@job
def kernel(data: Path, model: str, parts: bool, factors: int, rounds: int, threads: int) -> Outcome:
    """Time a sweep of the row solver alone on DATA, and its parts, against the machine's limits."""
    dataset, config = Dataset.open(data), _KERNELS[model](n_factors=factors)
    with progress_bars() as progress:
        found = measure_kernel(dataset, config, rounds, threads, progress)
        if parts:
            found["parts"] = measure_parts(dataset, config, rounds, progress)
    return measured(found, *kernel_view(found))


@main.command("ials")
@click.argument("data", type=DATA_FOLDER)
@FACTORS
@_SWEEPS
@ROUNDS
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
    return measured(found, *ials_view(found))


@main.command("tiers")
@click.argument("data", type=DATA_FOLDER)
@FACTORS
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
    return measured(values, view)


@main.command("ingest")
@click.argument("file", required=False, type=PATH)
@RATINGS
@ROUNDS
@job
@cluster_options
def compare_ingest(file: Path | None, ratings: int, rounds: int, cluster: ClusterConfig) -> Outcome:
    """Time the ingest of a CSV against pandas and SciPy in one process, time and memory."""
    with progress_bars() as progress:
        found = measure_ingest(file or ratings, rounds, _as_arguments(cluster), progress)
    return measured(found, *ingest_view(found))


@main.command("bpr")
@click.argument("data", type=DATA_FOLDER)
@click.option("--factors", default=63, show_default=True, help="Length of a factor vector.")
@ROUNDS
@_SECONDS
@THREADS
@click.option("--peers/--no-peers", default=True, show_default=True, help="Time implicit, too.")
@job
def bpr(
    data: Path, factors: int, rounds: int, seconds: float, threads: int, peers: bool
) -> Outcome:
    """Time a sweep of BPR on DATA beside implicit's, and what lists are worth after equal time."""
    plan = BPRPlan(factors, rounds, seconds, peers=peers, threads=threads)
    with progress_bars() as progress:
        found = measure_bpr(data, plan, progress)
    return measured(found, *bpr_view(found))


@main.command("exchange")
@click.argument("data", type=DATA_FOLDER)
@FACTORS
@_SWEEPS
@ROUNDS
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
    return measured(found, view)


def _as_arguments(cluster: ClusterConfig) -> list[object]:
    """Return the options that make another job use such a cluster."""
    if cluster.scheduler is not None:
        return ["--scheduler", cluster.scheduler]
    threads = [] if cluster.threads is None else ["--threads", cluster.threads]
    return ["--workers", cluster.workers, *threads, "--memory-limit", cluster.memory_limit]
