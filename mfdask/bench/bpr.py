"""Benchmark of BPR against the library implicit: `python -m mfdask.bench.bpr DATA …`.

implicit is timed in a process of its own, as `mfdask.bench.peers` does. A sweep of either takes as
many samples as there are training ratings.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mfdask.bench.kernel import numba_threads, whole_side
from mfdask.bench.machine import blas_environ, measure_module
from mfdask.bench.peers import EPOCHS, INSTALL
from mfdask.bench.rounds import seconds_of, take_in_turn
from mfdask.cores import n_cores
from mfdask.evaluation import RankingPlan, measure_ranking
from mfdask.kernels.rows import Block
from mfdask.models import BPR
from mfdask.models.bpr import first_rows, run_epoch
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset

#: Shares of the seconds after which quality is measured.
_SHARES = (0.25, 0.5, 1.0)
#: Users of a first sweep, which compiles.
_FEW = 8


@dataclass(frozen=True)
class BPRPlan:
    """Options of `measure_bpr`.

    Attributes
    ----------
    factors : int
    rounds : int
    seconds : float
        How long either learns before its lists are measured; 0 measures none.
    users : int
        Users whose lists are measured, at most.
    peers : bool
        Time implicit, too, if it is installed.
    threads : int
        Of either.
    """

    factors: int = 63
    rounds: int = 3
    seconds: float = 0.0
    users: int = 2000
    peers: bool = True
    threads: int = n_cores()


def measure_bpr(path: Path, plan: BPRPlan, progress: Progress = silent) -> dict[str, Any]:
    """Time a sweep of BPR here and there, in turn, and measure the lists after equal seconds.

    Returns
    -------
    dict
        ``data``, ``ratings``, ``factors``, ``threads``; ``rounds``, the seconds of a sweep in each;
        ``seconds``, their medians; ``over_implicit``, the median of the rounds' ratios;
        ``implicit``, its version or why it is missing; and ``quality``: for each time the sweeps
        that fit into it, and the precision at 10.
    """
    data = Dataset.open(path)
    missing = _missing(plan)
    timed = {"bpr": _Here(data, plan).seconds}
    if missing is None:
        timed["implicit"] = lambda: _there(path, plan)["seconds"]
    taken = take_in_turn(timed, plan.rounds, progress)
    seconds = {name: taken.median(name) for name in timed}
    found: dict[str, Any] = {
        "data": data.name,
        "ratings": data.n_train,
        "factors": plan.factors,
        "threads": plan.threads,
        "rounds": taken.seconds,
        "seconds": seconds,
        "implicit": {"missing": missing} if missing else {"version": version("implicit")},
        "quality": [],
    }
    if missing is None:
        found["over_implicit"] = taken.ratio("bpr", "implicit")
    if plan.seconds:
        found["quality"] = [_quality(data, path, plan, seconds, share) for share in _SHARES]
    return found


def _missing(plan: BPRPlan) -> str | None:
    if not plan.peers:
        return "left out"
    return None if find_spec("implicit") else f"not installed: {INSTALL}"


class _Here:
    """A sweep in this process, the first of which compiles."""

    def __init__(self, data: Dataset, plan: BPRPlan) -> None:
        self._estimator = BPR(n_factors=plan.factors)
        self._ratings = whole_side(data, "users")
        self._rows = first_rows(self._estimator, self._ratings, data)
        self._threads = plan.threads
        indptr, *arrays = self._ratings
        few = Block(indptr[: _FEW + 1], *(array[: indptr[_FEW]] for array in arrays))
        run_epoch(self._estimator, few, {**self._rows, "users": self._rows["users"][:_FEW]}, 1)

    def seconds(self) -> float:
        with numba_threads(self._threads):
            return seconds_of(partial(run_epoch, self._estimator, self._ratings, self._rows, 1))


def _quality(
    data: Dataset, path: Path, plan: BPRPlan, seconds: dict[str, float], share: float
) -> dict[str, Any]:
    """Return what lists are worth after a share of the seconds, here and there."""
    ranking = RankingPlan(n_users=plan.users)
    sweeps = {name: max(int(share * plan.seconds / one), 1) for name, one in seconds.items()}
    with numba_threads(plan.threads):
        model = BPR(n_factors=plan.factors, n_sweeps=sweeps["bpr"]).fit(data)
    scorers = {"bpr": model.align(data).scores}
    if "implicit" in sweeps:
        with tempfile.TemporaryDirectory() as folder:
            _there(path, replace(plan, rounds=1), sweeps["implicit"], folder)
            users, items = (np.load(Path(folder) / f"{side}.npy") for side in ("users", "items"))
        scorers["implicit"] = lambda rows: users[rows] @ items.T
    precision = {
        name: measure_ranking(scorer, data, ranking).means()["precision"]
        for name, scorer in scorers.items()
    }
    return {"seconds": share * plan.seconds, "sweeps": sweeps, "precision": precision}


def _there(path: Path, plan: BPRPlan, sweeps: int = 0, folder: str = "") -> dict[str, Any]:
    environ = {**blas_environ(threads=1), "OMP_NUM_THREADS": str(plan.threads)}
    arguments = [path, plan.factors, plan.threads, sweeps, folder]
    return measure_module("mfdask.bench.bpr", arguments, environ).json()


def run_implicit(path: Path, factors: int, threads: int, sweeps: int, folder: str) -> float:
    """Return the seconds of a sweep of implicit; or of a fit, whose vectors go into a folder."""
    import scipy.sparse
    from implicit.bpr import BayesianPersonalizedRanking

    data = Dataset.open(path)
    users = whole_side(data, "users")
    ones = np.ones(len(users.indices), np.float32)
    arrays = ones, users.indices.copy(), users.indptr.astype(np.int32)
    ratings = scipy.sparse.csr_matrix(arrays, (data.n_users, data.n_items))

    def fit(n: int) -> Any:
        model = BayesianPersonalizedRanking(factors, iterations=n, num_threads=threads)
        model.fit(ratings, show_progress=False)
        return model

    if not folder:
        shorter, longer = (seconds_of(partial(fit, n)) for n in EPOCHS)
        return (longer - shorter) / (EPOCHS[1] - EPOCHS[0])
    model = fit(sweeps)
    np.save(Path(folder) / "users.npy", model.user_factors)
    np.save(Path(folder) / "items.npy", model.item_factors)
    return 0.0


if __name__ == "__main__":
    import sys

    path, *numbers, folder = sys.argv[1:]
    factors, threads, sweeps = map(int, numbers)
    print(json.dumps({"seconds": run_implicit(Path(path), factors, threads, sweeps, folder)}))
