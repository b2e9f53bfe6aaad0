"""Benchmark of a sweep of implicit-feedback ALS beside the library implicit."""

from __future__ import annotations

from typing import Any

from distributed import Client

from mfdask.bench.peers import PREFERENCE_PEERS
from mfdask.bench.rounds import take_in_turn
from mfdask.bench.sweep import SweepPlan, TimedPeer, sweep_seconds
from mfdask.models import IALS
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


def measure_ials(
    data: Dataset, client: Client, plan: SweepPlan, progress: Progress = silent
) -> dict[str, Any]:
    """Time sweeps over a data set, in turn with the iterations of implicit.

    Parameters
    ----------
    data : Dataset
        In a folder, so that workers and peers can map it.
    client : Client
    plan : SweepPlan
    progress : Progress, optional

    Returns
    -------
    dict
        ``data``, ``ratings``, ``factors``, ``threads``; ``seconds``, the median over the rounds of
        a sweep through Dask; ``rounds``; and ``peers``, each timed or with a word on why not.
    """
    assert data.path is not None
    peers = [TimedPeer(name, data.path, plan) for name in PREFERENCE_PEERS if plan.peers]
    estimator = IALS(n_factors=plan.n_factors, n_sweeps=plan.sweeps)
    timed = {"dask": lambda: sweep_seconds(estimator.fit(data, client=client))}
    timed |= {peer.name: peer.seconds for peer in peers if peer.missing is None}
    taken = take_in_turn(timed, plan.rounds, progress)
    taken = taken.without(peer.name for peer in peers if peer.missing is not None)
    return {
        "data": data.name,
        "ratings": data.n_train,
        "factors": plan.n_factors,
        "threads": plan.threads,
        "seconds": taken.median("dask"),
        "rounds": taken.seconds,
        "peers": {peer.name: peer.found(taken) for peer in peers},
    }
