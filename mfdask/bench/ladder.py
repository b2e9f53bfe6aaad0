"""Benchmark of a sweep in all tiers: plain Python, NumPy, Numba, the kernel, and Dask."""

from __future__ import annotations

from distributed import Client

from mfdask.bench.kernel import BareKernel, numba_threads, whole_side
from mfdask.bench.sweep import sweep_seconds, without_test
from mfdask.bench.tiers import REPEATS, Tier, TierSweep, measure_tiers
from mfdask.cores import n_cores
from mfdask.models import ALS
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


def climb(
    data: Dataset,
    client: Client,
    n_factors: int,
    budget_seconds: float,
    progress: Progress = silent,
) -> list[Tier]:
    """Time a sweep of the paper's Algorithm 1 in every tier, the slowest first.

    Parameters
    ----------
    data : Dataset
        In a folder, so that workers can map it.
    client : Client
    n_factors : int
        At least 1.
    budget_seconds : float
        The most that one of the slow tiers may take.
    progress : Progress, optional

    Returns
    -------
    list of Tier
        Those of `measure_tiers`, the kernel on one thread and on all, and the fit through Dask.
    """
    config = ALS(n_factors=n_factors, n_sweeps=REPEATS + 1, update="alternating")
    kernel, cores = BareKernel(data, config), n_cores()

    def sweep_on(threads: int) -> None:
        with numba_threads(threads):
            kernel.sweep()

    found = measure_tiers(
        whole_side(data, "users"),
        whole_side(data, "items"),
        n_factors,
        config.seed,
        budget_seconds,
        [
            TierSweep("kernel, 1 thread", "eight rows at a time", lambda: sweep_on(1)),
            TierSweep(f"kernel, {cores} threads", "the same on all cores", lambda: sweep_on(cores)),
        ],
        progress,
    )
    return [*found, _through_dask(config, data, client, found[0])]


def _through_dask(config: ALS, data: Dataset, client: Client, slowest: Tier) -> Tier:
    config.fit(without_test(data), client=client)  # compiles on the workers
    seconds = sweep_seconds(config.fit(without_test(data), client=client))
    n = slowest.ratings_total
    return Tier(
        "Dask", "the same kernel in a fit", seconds, n, n, seconds, slowest.seconds_scaled / seconds
    )
