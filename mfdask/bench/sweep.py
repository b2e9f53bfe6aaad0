"""Benchmark of a training sweep: bare kernel, through Dask, the machine's peak, other libraries."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from distributed import Client

from mfdask.bench.kernel import BareKernel, sweep_bytes, sweep_flops
from mfdask.bench.machine import FailedRunError, gemm_gflops, gemm_seconds, measure_module
from mfdask.bench.peers import SWEEP_PEERS, measure_peer, missing_peer, peer_rmse
from mfdask.bench.rounds import Rounds, seconds_of, take_in_turn
from mfdask.cores import n_cores
from mfdask.evaluation import evaluate
from mfdask.models import ALS, Bayes, FactorModel
from mfdask.models.half_step import predict_shard
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset
from mfdask.shards.store import FolderStore

#: Name to a function that returns seconds.
Timed = dict[str, Callable[[], float]]


@dataclass(frozen=True)
class SweepPlan:
    """Options of `measure_sweep`.

    Attributes
    ----------
    n_factors : int
    sweeps : int
        Sweeps of each fit, 2 or more: the first is left out, since it also maps the shards.
    rounds : int
        How often everything is timed, in turn.
    peers : bool
        Time the peers that are installed, too.
    threads : int
        Of the bare kernel and of each peer.
    """

    n_factors: int = 20
    sweeps: int = 8
    rounds: int = 3
    peers: bool = True
    threads: int = n_cores()


def measure_sweep(
    data: Dataset, client: Client, plan: SweepPlan, progress: Progress = silent
) -> dict[str, Any]:
    """Time sweeps on a data set, in turn with everything that they are compared with.

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
        ``data`` and its counts; ``seconds``, medians over the rounds of a sweep, a scoring, a
        matrix product, an epoch; ``rounds``, those medians taken apart; ``ratios`` of them; what
        follows from the operations and bytes of a sweep, see `work_done`; ``equal_seconds``, those
        of ``sweeps`` through Dask and the ``rmse`` after them; and ``peers``, each timed, with its
        memory and its RMSE after as many seconds, or with a word on why not.
    """
    assert data.path is not None
    peers = [TimedPeer(name, data.path, plan) for name in SWEEP_PEERS if plan.peers]
    timed: Timed = {
        "gemm_one_thread": lambda: gemm_seconds(1),
        "gemm": lambda: gemm_seconds(plan.threads),
    }
    timed |= _sweeps(data, client, plan)
    timed |= {peer.name: peer.seconds for peer in peers if peer.missing is None}
    taken = take_in_turn(timed, plan.rounds, progress)
    budget = plan.sweeps * taken.median("dask")
    for peer in peers if data.n_test else ():
        peer.learn_for(budget, taken)
    taken = taken.without(peer.name for peer in peers if peer.missing is not None)
    return {
        "data": data.name,
        "ratings": data.n_train,
        "test": data.n_test,
        "users": data.n_users,
        "items": data.n_items,
        "factors": plan.n_factors,
        "threads": plan.threads,
        "seconds": {name: taken.median(name) for name in taken.seconds},
        "rounds": taken.seconds,
        "ratios": _ratios(taken),
        **work_done(data, plan.n_factors, taken),
        "equal_seconds": {"seconds": budget, **_ours_after(data, client, plan)},
        "peers": {peer.name: peer.found(taken) for peer in peers},
    }


def _sweeps(data: Dataset, client: Client, plan: SweepPlan) -> Timed:
    """Compile everything, here and on the workers, and return what is to be timed."""
    config = ALS(n_factors=plan.n_factors, n_sweeps=plan.sweeps)
    bayes = Bayes(n_factors=plan.n_factors, n_sweeps=plan.sweeps, burn_in=0, n_samples=1)
    kernel, bare_data = BareKernel(data, config), without_test(data)
    kernel.sweep()
    model = config.fit(data, client=client)
    timed: Timed = {
        "bare_one_thread": lambda: kernel.seconds(plan.sweeps, 1),
        "bare": lambda: kernel.seconds(plan.sweeps, plan.threads),
        "dask": lambda: sweep_seconds(config.fit(bare_data, client=client)),
    }
    if data.n_test:
        timed |= {
            "dask_with_test": lambda: sweep_seconds(config.fit(data, client=client)),
            "bayes": lambda: sweep_seconds(bayes.fit(data, client=client)),
            "predict_test": lambda: seconds_of(lambda: time_prediction(model, data)),
            "evaluate_test": lambda: seconds_of(lambda: evaluate(model, data)),
        }
    return timed


def _ours_after(data: Dataset, client: Client, plan: SweepPlan) -> dict[str, Any]:
    """Return the sweeps of a fit, and its test RMSE, where something is held out."""
    if not data.n_test:
        return {"sweeps": plan.sweeps, "rmse": None}
    model = ALS(n_factors=plan.n_factors, n_sweeps=plan.sweeps).fit(data, client=client)
    return {"sweeps": plan.sweeps, "rmse": float(evaluate(model, data).raw.rmse()[0])}


class TimedPeer:
    """A peer that may be missing, or fail: `missing` then says why."""

    def __init__(self, name: str, data: Path, plan: SweepPlan) -> None:
        self.name = name
        self.missing = missing_peer(name)
        self._said: dict[str, Any] = {}
        self._learned: dict[str, Any] = {"epochs": None, "rmse": None}
        self._arguments = (data, plan.n_factors, plan.threads)

    def seconds(self) -> float:
        """Return the seconds of an epoch; NaN once it has failed."""
        if self.missing is None:
            try:
                self._said = measure_peer(self.name, *self._arguments)
            except FailedRunError as error:
                self.missing = str(error)
        return math.nan if self.missing else float(self._said["seconds"])

    def learn_for(self, seconds: float, taken: Rounds) -> None:
        """Find the test RMSE after the epochs that fit into so many seconds, one at least."""
        if self.missing is None:
            epochs = max(int(seconds / taken.median(self.name)), 1)
            try:
                self._learned = {
                    "epochs": epochs,
                    "rmse": peer_rmse(self.name, *self._arguments, epochs),
                }
            except FailedRunError as error:
                self.missing = str(error)

    def found(self, taken: Rounds) -> dict[str, Any]:
        """Return the peer's version, method, seconds per epoch, and ours as a share of it."""
        if self.missing is not None:
            return {"missing": self.missing}
        return {
            "version": self._said["version"],
            "method": self._said["method"],
            "seconds_per_epoch": taken.median(self.name),
            "peak_bytes": self._said["peak_bytes"],
            **self._learned,
            "dask_over_peer": taken.ratio("dask", self.name),
        }


def without_test(data: Dataset) -> Dataset:
    """Return a data set on disk as if nothing were held out: a fit on it scores nothing."""
    assert data.path is not None
    counts = replace(data.manifest.counts, test=0)
    return Dataset(data.path, replace(data.manifest, counts=counts), FolderStore(data.path))


def sweep_seconds(model: FactorModel) -> float:
    """Return the median seconds of a fit's sweeps, the first left out: it maps the shards, too."""
    return median(sweep.seconds for sweep in model.history[1:])


def time_prediction(model: FactorModel, data: Dataset) -> int:
    """Predict all test ratings with a model of the same data set; return their number."""
    done = 0
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        rows = model.user_rows[shard.start : shard.stop]
        done += len(predict_shard(shard, rows, model.item_rows, model.mean))
    return done


def _ratios(taken: Rounds) -> dict[str, float]:
    """Return the ratios that matter, each the median of the rounds' own."""
    wanted = {
        "one_thread_over_all": ("bare_one_thread", "bare"),
        "dask_over_bare": ("dask", "bare"),
        "dask_with_test_over_bare": ("dask_with_test", "bare"),
        "bayes_over_dask_with_test": ("bayes", "dask_with_test"),
    }
    return {name: taken.ratio(*pair) for name, pair in wanted.items() if pair[0] in taken.seconds}


def work_done(data: Dataset, n_factors: int, taken: Rounds) -> dict[str, Any]:
    """Return what the seconds mean in operations and bytes.

    Returns
    -------
    dict
        ``gflop`` and ``gigabytes`` of a sweep; ``gflops``, those a second, of the matrix product
        and of the sweeps; ``share_of_gemm``, the sweeps' against the product of as many threads;
        ``gigabytes_per_second`` and ``ns_per_rating`` of the sweeps.
    """
    gflop = sweep_flops(data.n_train, data.n_users + data.n_items, n_factors) / 1e9
    gigabytes = sweep_bytes(data.n_train, n_factors) / 1e9
    peak = {"bare_one_thread": "gemm_one_thread", "bare": "gemm", "dask": "gemm"}
    seconds = {name: taken.median(name) for name in peak}
    products = {name: gemm_gflops(taken.median(name)) for name in ("gemm_one_thread", "gemm")}
    return {
        "gflop": gflop,
        "gigabytes": gigabytes,
        "gflops": products | {name: gflop / seconds[name] for name in peak},
        "share_of_gemm": {
            name: gflop / gemm_gflops(1.0) * taken.ratio(product, name)
            for name, product in peak.items()
        },
        "gigabytes_per_second": {name: gigabytes / seconds[name] for name in peak},
        "ns_per_rating": {name: seconds[name] / data.n_train * 1e9 for name in peak},
    }


def measure_train(data: Path, plan: SweepPlan, arguments: Sequence[object] = ()) -> dict[str, Any]:
    """Run the train job as a user would, and measure the whole of it.

    Parameters
    ----------
    data : Path
    plan : SweepPlan
    arguments : sequence
        Further arguments of the job, such as those of its cluster.

    Returns
    -------
    dict
        ``command``, ``seconds`` (imports, compiling and all), ``peak_memory_bytes`` over all
        processes, and the job's own ``sweeps`` and ``seconds_per_sweep``.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = measure_module(
            "mfdask",
            [
                *("train", data, "--factors", plan.n_factors, "--sweeps", plan.sweeps),
                *(*arguments, "--json", "--out", Path(folder) / "model"),
            ],
        )
    said = run.json()
    return {
        "command": run.command,
        "seconds": run.seconds,
        "peak_memory_bytes": run.peak_bytes,
        "sweeps": said["sweeps"],
        "seconds_per_sweep": said["seconds_per_sweep"],
    }
