"""Benchmark of implicit-feedback ALS beside the library implicit: sweeps, and lists."""

from __future__ import annotations

from typing import Any

from distributed import Client

from mfdask.bench.peers import PREFERENCE_PEERS
from mfdask.bench.quality import Learner, Scores, peer_learner, quality_after
from mfdask.bench.rounds import Rounds, take_in_turn
from mfdask.bench.sweep import SweepPlan, TimedPeer, sweep_seconds
from mfdask.models import IALS
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


def measure_ials(
    data: Dataset,
    client: Client,
    plan: SweepPlan,
    seconds: float = 0.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Time sweeps over a data set in turn with the iterations of implicit, and measure lists.

    Parameters
    ----------
    data : Dataset
        In a folder, so that workers and peers can map it.
    client : Client
    plan : SweepPlan
    seconds : float
        How long each learns before its lists are measured, see `quality_after`; 0 measures none.
    progress : Progress, optional

    Returns
    -------
    dict
        ``data``, ``ratings``, ``factors``, ``threads``; ``seconds``, the median over the rounds of
        a sweep through Dask; ``rounds``; ``peers``, each timed or with a word on why not; and
        ``quality``, all by default but for the factors.
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
        "quality": quality_after(seconds, _learners(data, client, plan, taken), data),
    }


def _learners(data: Dataset, client: Client, plan: SweepPlan, taken: Rounds) -> dict[str, Learner]:
    """Return what learns here, and the peers that were timed."""

    def learn(sweeps: int) -> Scores:
        estimator = IALS(n_factors=plan.n_factors, n_sweeps=sweeps)
        return estimator.fit(data, client=client).align(data).scores

    there = data, plan.n_factors, plan.threads
    peers = {
        name: peer_learner(name, taken.median(name), *there)
        for name in taken.seconds
        if name in PREFERENCE_PEERS
    }
    return {"ials": Learner(taken.median("dask"), learn), **peers}
