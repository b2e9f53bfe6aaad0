"""Benchmark of top-N lists against the library implicit: `python -m mfdask.bench.topn FOLDER …`.

implicit is timed in a process of its own, as `mfdask.bench.peers` does. It multiplies all users
with all items and selects; here tiles of items that cannot reach a list are passed over. How many
those are depends on the lengths of the vectors, so a learned model and a random one are timed.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mfdask.bench.kernel import numba_threads
from mfdask.bench.machine import FailedRunError, blas_environ, measure_module
from mfdask.bench.peers import INSTALL
from mfdask.bench.rounds import Rounds, take_in_turn
from mfdask.cores import n_cores
from mfdask.errors import MfdaskError
from mfdask.kernels.topn import Rated
from mfdask.models import FactorModel, Model
from mfdask.models.design import Array, initial_rows
from mfdask.models.factor_model import require_factors
from mfdask.progress import Progress, silent
from mfdask.recommendation import Ranking
from mfdask.recommendation.topn import Rows, best_of_rows, check_same_data, rated_by, tiles_of
from mfdask.shards import Dataset

#: Places of lists that are compared at a time.
_COMPARED = 200_000
#: Users of a first search, which compiles or starts threads.
_WARM_UP = 64


@dataclass(frozen=True)
class TopPlan:
    """Options of `measure_topn`.

    Attributes
    ----------
    top : int
        Length of a list, 1 or more.
    users : int or None
        Rank for so many only, spread over all rows: rows are in order of activity.
    rounds : int
    peers : bool
        Time implicit, too, if it is installed.
    threads : int
        Of either.
    """

    top: int = 10
    users: int | None = None
    rounds: int = 3
    peers: bool = True
    threads: int = n_cores()


class DifferentListsError(MfdaskError):
    """Two libraries return different top-N lists for the same vectors."""


def measure_topn(
    model: Model, data: Dataset, plan: TopPlan, progress: Progress = silent
) -> dict[str, Any]:
    """Time the lists of all users, rated items left out, from a model and from random rows.

    Every item may be offered. What is timed is laying items out and searching, not the reading of
    model and ratings; of implicit, its top-k alone.

    Parameters
    ----------
    model : Model
    data : Dataset
        What it was learned from.
    plan : TopPlan
    progress : Progress, optional

    Returns
    -------
    dict
        ``data``, ``users``, ``items``, ``factors``, ``top``, ``threads``; ``rounds``, the seconds
        taken in each; ``models``: for ``"learned"`` and ``"random"`` the ``seconds`` (the median
        over the rounds), ``implicit_seconds``, ``over_implicit`` (the median of the rounds'
        ratios), and ``same_places``, the share of the lists' places with the same item in both; the
        others are ties. ``implicit`` is its ``version``, or says why it is ``missing``.

    Raises
    ------
    InputError
        If the model is of other data.
    DifferentListsError
        If a place of a list has items of different scores.
    """
    model = require_factors(model, "this benchmark")
    check_same_data(model, data)
    n = min(len(model.users), plan.users or len(model.users))
    rows = (np.arange(n) * len(model.users) // n).astype(np.int32)
    rated = rated_by(data, rows)
    plan = replace(plan, top=min(plan.top, len(model.items)))
    with tempfile.TemporaryDirectory() as folder:
        peer = _Implicit(Path(folder), rated, plan)
        cases = [
            _Case(name, replace(one, user_rows=one.user_rows[rows]), rated, plan, peer)
            for name, one in (("learned", model), ("random", _random(model)))
        ]
        timed: dict[str, Callable[[], float]] = {}
        for case in cases:
            timed[case.name] = case.seconds
            if peer.missing is None:
                timed[f"implicit_{case.name}"] = case.peer_seconds
        taken = take_in_turn(timed, plan.rounds, progress)
        found = {case.name: case.found(taken) for case in cases}
    return {
        "data": data.name,
        "users": n,
        "items": len(model.items),
        "factors": model.n_factors,
        "top": plan.top,
        "threads": plan.threads,
        "rounds": taken.without(f"implicit_{c.name}" for c in cases if peer.missing).seconds,
        "models": found,
        "implicit": peer.said if peer.missing is None else {"missing": peer.missing},
    }


def _random(model: FactorModel) -> FactorModel:
    """Return a model of the same shape before anything is learned: no biases, normal factors."""
    rows = {
        f"{side[:-1]}_rows": initial_rows(n, model.n_factors, 1.0, 0, side)
        for side, n in (("users", len(model.users)), ("items", len(model.items)))
    }
    return replace(model, **rows)  # type: ignore[arg-type]


class _Implicit:
    """The peer in its own process; `missing` says why it cannot be timed, if it cannot."""

    def __init__(self, folder: Path, rated: Rated, plan: TopPlan) -> None:
        self.missing: str | None = None
        if not plan.peers:
            self.missing = "left out"
        elif find_spec("implicit") is None:
            self.missing = f"not installed: {INSTALL}"
        self.said: dict[str, Any] = {}
        self._folder = folder
        self._numbers = (plan.top, plan.threads)
        if self.missing is None:
            np.save(folder / "indptr.npy", rated.indptr)
            np.save(folder / "indices.npy", rated.items)

    def rank(self, users: Array, items: Array) -> tuple[float, Rows]:
        """Return the seconds of its top-k, and the items: int32 (users, top)."""
        np.save(self._folder / "users.npy", users)
        np.save(self._folder / "items.npy", items)
        environ = {**blas_environ(threads=1), "OMP_NUM_THREADS": str(self._numbers[1])}
        run = measure_module("mfdask.bench.topn", [self._folder, *self._numbers], environ)
        said = run.json()
        self.said = {"version": said["version"]}
        return said["seconds"], np.load(self._folder / "found.npy")


class _Case:
    """A model of the users to rank for, ranked here and by the peer."""

    def __init__(
        self, name: str, model: FactorModel, rated: Rated, plan: TopPlan, peer: _Implicit
    ) -> None:
        self.name = name
        self._model, self._rated, self._plan, self._peer = model, rated, plan, peer
        self._ranking = Ranking(plan.top, min_ratings=0)
        # The bias is one more factor, which is 1 for every user.
        self._users = np.ascontiguousarray(model.user_rows[:, 1 : model.n_factors + 2])
        bias = np.float32(self._ranking.bias_weight) * model.item_bias
        self._items = np.column_stack([bias, model.item_factors])
        few = Rated(rated.indptr[: _WARM_UP + 1], rated.items)
        self._search(model.user_rows[:_WARM_UP], few)  # compiles
        self._lists: Rows | None = None
        self._same: float | None = None

    def _search(self, rows: Array, rated: Rated) -> Rows:
        tiles = tiles_of(self._model, self._ranking)
        return best_of_rows(rows, self._model.n_factors, tiles, rated, self._plan.top)[1]

    def seconds(self) -> float:
        """Rank here."""
        with numba_threads(self._plan.threads):
            began = time.perf_counter()
            self._lists = self._search(self._model.user_rows, self._rated)
            return time.perf_counter() - began

    def peer_seconds(self) -> float:
        """Rank there, and hold its lists against those from here; NaN once it has failed."""
        if self._peer.missing is None:
            try:
                seconds, lists = self._peer.rank(self._users, self._items)
            except FailedRunError as error:
                self._peer.missing = str(error)
            else:
                assert self._lists is not None  # a round ranks here first
                self._same = same_places(self._users, self._items, self._lists, lists)
                return seconds
        return math.nan

    def found(self, taken: Rounds) -> dict[str, Any]:
        """Return the figures of `measure_topn`."""
        found: dict[str, Any] = {"seconds": taken.median(self.name)}
        if self._peer.missing is None:
            peer = f"implicit_{self.name}"
            found["implicit_seconds"] = taken.median(peer)
            found["over_implicit"] = taken.ratio(self.name, peer)
            found["same_places"] = self._same
        return found


def same_places(users: Array, items: Array, mine: Rows, theirs: Rows) -> float:
    """Return the share of the places of two sets of lists that hold the same item.

    Parameters
    ----------
    users, items : float32 (n, d)
        A score is the product of two rows.
    mine, theirs : int32 (users, top)
        Items, best first; -1 in `mine` where there are no more.

    Raises
    ------
    DifferentListsError
        If two items in one place differ in score by more than rounding can explain.
    """
    d = users.shape[1]
    longest = np.linalg.norm(items, axis=1).max(initial=0.0)
    same = places = 0
    step = max(1, _COMPARED // mine.shape[1])
    for start in range(0, len(users), step):
        part = slice(start, start + step)
        own, one, other = users[part], mine[part], theirs[part]
        # A score of d float32 products is off by d units in the last place of the lengths at most,
        # and so is the k-th best of them: what stands in place k is within two such errors of what
        # belongs there, and two that stand there are within four of each other.
        allowed = 4 * d * 2.0**-23 * longest * np.linalg.norm(own, axis=1)
        gap = np.abs(_scores(own, items, one) - _scores(own, items, other))
        listed = one >= 0
        wrong = np.argwhere(listed & ~(gap <= allowed[:, None]))
        if len(wrong):
            user, place = wrong[0].tolist()
            raise DifferentListsError(
                f"row {start + user}: place {place + 1} of its list is item row "
                f"{one[user, place]} here and {other[user, place]} there, and their scores differ "
                f"by {gap[user, place]:.3g}"
            )
        same += int((one == other)[listed].sum())
        places += int(listed.sum())
    return same / max(places, 1)


def _scores(users: Array, items: Array, lists: Rows) -> Any:
    """Return the scores of lists in double precision."""
    return np.einsum("ud,utd->ut", users.astype(np.float64), items[lists].astype(np.float64))


def rank_here(folder: Path, top: int, threads: int) -> dict[str, Any]:
    """Run implicit's top-k in this process; write its items to ``found.npy`` in the folder.

    Returns
    -------
    dict
        ``version`` and ``seconds``.
    """
    import scipy.sparse
    from implicit.cpu.topk import topk

    users, items, indptr, indices = (
        np.load(folder / f"{name}.npy") for name in ("users", "items", "indptr", "indices")
    )
    ones = np.ones(len(indices), np.float32)
    rated = scipy.sparse.csr_matrix((ones, indices, indptr), (len(users), len(items)))

    few = rated[:_WARM_UP]
    topk(items, users[:_WARM_UP], top, filter_query_items=few, num_threads=threads)
    began = time.perf_counter()
    found, _ = topk(items, users, top, filter_query_items=rated, num_threads=threads)
    seconds = time.perf_counter() - began
    np.save(folder / "found.npy", found)
    return {"version": version("implicit"), "seconds": seconds}


if __name__ == "__main__":
    import sys

    print(json.dumps(rank_here(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
