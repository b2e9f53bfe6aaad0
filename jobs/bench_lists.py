"""Measure what is made of a model: lists for everybody, lists chosen again, the whole matrix."""

from __future__ import annotations

from pathlib import Path

import click

from mfdask.bench.dense import DensePlan, measure_dense
from mfdask.bench.rerank import WEIGHTS, measure_rerank
from mfdask.bench.topn import TopPlan, measure_topn
from mfdask.cluster import ClusterConfig
from mfdask.downstream.dense import DTYPES
from mfdask.models import load_model
from mfdask.recommendation import Ranking
from mfdask.shards import Dataset

from .bench_common import ROUNDS, THREADS, measured
from .bench_views import dense_view, rerank_view, topn_view
from .common import Outcome, job, running
from .options import DATA_FOLDER, MODEL, cluster_options, options_of
from .terminal import progress_bars

#: Weights of variety and of calibration, and shares of the long tail.
_WEIGHTS = (
    (0.0, 0.0, 0.0),
    *((weight, 0.0, 0.0) for weight in (0.1, 0.2, 0.5)),
    *((0.0, weight, 0.0) for weight in (0.1, 0.2, 0.5, 1.0)),
    *((0.0, 0.0, share) for share in (0.1, 0.2, 0.5)),
    *((0.2, 0.0, 0.2), (0.0, 0.2, 0.2)),
)


@click.command("topn")
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA_FOLDER)
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(1), help="Length of a list."
)
@click.option("--users", type=click.IntRange(1), help="Users to rank for.  [default: all]")
@ROUNDS
@THREADS
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
    return measured(found, *topn_view(found))


@click.command("rerank")
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
    return measured(found, *rerank_view(found))


@click.command("dense")
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
@ROUNDS
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
    return measured(found, *dense_view(found))
