"""Benchmark of BPR beside the library implicit.

A sweep of either takes as many samples as there are training ratings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mfdask.bench.kernel import numba_threads, whole_side
from mfdask.bench.peers import measure_peer, missing_peer
from mfdask.bench.quality import Learner, Scores, peer_learner, quality_after
from mfdask.bench.rounds import seconds_of, take_in_turn
from mfdask.cores import n_cores
from mfdask.kernels.rows import Block
from mfdask.models import BPR
from mfdask.models.bpr import first_rows, run_epoch
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset

_PEER = "implicit_bpr"
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
    peers : bool
        Time implicit, too, if it is installed.
    threads : int
        Of either.
    """

    factors: int = 63
    rounds: int = 3
    seconds: float = 0.0
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
    there: list[dict[str, Any]] = []
    if missing is None:

        def implicit_seconds() -> float:
            there.append(measure_peer(_PEER, path, plan.factors, plan.threads))
            return float(there[-1]["seconds"])

        timed["implicit"] = implicit_seconds
    taken = take_in_turn(timed, plan.rounds, progress)
    seconds = {name: taken.median(name) for name in timed}
    found: dict[str, Any] = {
        "data": data.name,
        "ratings": data.n_train,
        "factors": plan.factors,
        "threads": plan.threads,
        "rounds": taken.seconds,
        "seconds": seconds,
        "implicit": {"missing": missing} if missing else {"version": there[-1]["version"]},
        "quality": quality_after(plan.seconds, _learners(data, plan, seconds), data),
    }
    if missing is None:
        found["over_implicit"] = taken.ratio("bpr", "implicit")
    return found


def _missing(plan: BPRPlan) -> str | None:
    return missing_peer(_PEER) if plan.peers else "left out"


def _learners(data: Dataset, plan: BPRPlan, seconds: dict[str, float]) -> dict[str, Learner]:
    """Return what learns here, and there if it is timed."""

    def learn(sweeps: int) -> Scores:
        with numba_threads(plan.threads):
            model = BPR(n_factors=plan.factors, n_sweeps=sweeps).fit(data)
        return model.align(data).scores

    found = {"bpr": Learner(seconds["bpr"], learn)}
    if "implicit" in seconds:
        there = data, plan.factors, plan.threads
        found["implicit"] = peer_learner(_PEER, seconds["implicit"], *there)
    return found


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
