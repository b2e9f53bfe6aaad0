"""Benchmark of other libraries on the same ratings: `python -m mfdask.bench.peers NAME DATA …`.

Each peer is timed in a process of its own, where its threads and matrix library are set up as it
wants them, and nothing that it imports touches the rest. An epoch is the seconds of a longer fit
less those of a shorter one, for each epoch between them: what a fit does once drops out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mfdask.bench.kernel import whole_side
from mfdask.bench.machine import blas_environ, measure_module
from mfdask.bench.rounds import seconds_of
from mfdask.kernels.rows import Block
from mfdask.kernels.types import Float32s, Int32s
from mfdask.models import ALS
from mfdask.shards import SIDES, Dataset

#: Epochs of the shorter and of the longer fit.
EPOCHS = (1, 4)
INSTALL = "pip install 'mfdask[peers]'"

#: Fits so many epochs, and returns the other library's model.
Fit = Callable[[int], Any]


@dataclass(frozen=True)
class Peer:
    """Another library for matrix factorisation.

    Attributes
    ----------
    package : str
        What it is imported and installed as.
    needs : str
        A module that only usable versions have.
    method : str
        For people.
    prepare : callable
        Given the ratings by user, the number of items, that of factors and that of threads,
        returns a `Fit`.
    """

    package: str
    needs: str
    method: str
    prepare: Callable[[Block, int, int, int], Fit]


def _prepare_cmfrec(users: Block, n_items: int, n_factors: int, threads: int) -> Fit:
    import scipy.sparse
    from cmfrec import CMF

    shape = (len(users.indptr) - 1, n_items)
    ratings = scipy.sparse.coo_matrix((users.ratings, (_rows(users), users.indices)), shape)

    def fit(epochs: int) -> Any:
        size = {"k": n_factors, "niter": epochs, "nthreads": threads}
        # What multiplies the squared factors where squared errors count once.
        weight = ALS.presets["large"]["factor_reg"] / ALS.fidelity
        biases = {"user_bias": True, "item_bias": True, "lambda_": weight}
        plain = {"use_cg": False, "verbose": False, "precompute_for_predictions": False}
        return CMF(**size, **biases, **plain, use_float=True).fit(ratings)

    return fit


def _prepare_lenskit(users: Block, n_items: int, n_factors: int, threads: int) -> Fit:
    import pandas as pd
    from lenskit.als import BiasedMFScorer
    from lenskit.data import from_interactions_df
    from lenskit.training import TrainingOptions

    table = {"user_id": _rows(users), "item_id": users.indices, "rating": users.ratings}
    data = from_interactions_df(pd.DataFrame(table))

    def fit(epochs: int) -> Any:
        scorer = BiasedMFScorer(embedding_size=n_factors, epochs=epochs)
        scorer.train(data, TrainingOptions(rng=1))
        return scorer

    return fit


def _prepare_implicit(
    users: Block, n_items: int, n_factors: int, threads: int, *, use_cg: bool
) -> Fit:
    from implicit.cpu.als import AlternatingLeastSquares

    observed = _observed(users, n_items)

    def fit(epochs: int) -> Any:
        size = {"factors": n_factors, "iterations": epochs, "num_threads": threads}
        model = AlternatingLeastSquares(**size, use_cg=use_cg)
        model.fit(observed, show_progress=False)
        return model

    return fit


def _prepare_implicit_bpr(users: Block, n_items: int, n_factors: int, threads: int) -> Fit:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    observed = _observed(users, n_items)

    def fit(epochs: int) -> Any:
        size = {"factors": n_factors, "iterations": epochs, "num_threads": threads}
        model = BayesianPersonalizedRanking(**size)
        model.fit(observed, show_progress=False)
        return model

    return fit


def _observed(users: Block, n_items: int) -> Any:
    """Return the ratings as a sparse matrix of ones."""
    import scipy.sparse

    ones = np.ones(len(users.indices), np.float32)
    arrays = ones, np.array(users.indices), users.indptr.astype(np.int32)
    return scipy.sparse.csr_matrix(arrays, (len(users.indptr) - 1, n_items))


def _rows(users: Block) -> Int32s:
    """Return the user of each rating."""
    return np.repeat(np.arange(len(users.indptr) - 1, dtype=np.int32), np.diff(users.indptr))


PEERS = {
    "cmfrec": Peer("cmfrec", "cmfrec", "CMF, Cholesky (use_cg=False), float32", _prepare_cmfrec),
    "lenskit": Peer("lenskit", "lenskit.training", "BiasedMFScorer (ALS)", _prepare_lenskit),
    "implicit_exact": Peer(
        "implicit",
        "implicit",
        "AlternatingLeastSquares, Cholesky (use_cg=False)",
        partial(_prepare_implicit, use_cg=False),
    ),
    "implicit_cg": Peer(
        "implicit",
        "implicit",
        "AlternatingLeastSquares, conjugate gradient",
        partial(_prepare_implicit, use_cg=True),
    ),
    "implicit_bpr": Peer(
        "implicit", "implicit", "BayesianPersonalizedRanking", _prepare_implicit_bpr
    ),
}
#: Those that learn ratings, and those that learn preferences.
RATING_PEERS = ("cmfrec", "lenskit")
PREFERENCE_PEERS = ("implicit_exact", "implicit_cg")


def missing_peer(name: str) -> str | None:
    """Return why a peer cannot be run, and what to do; None if it can."""
    peer = PEERS[name]
    try:
        found = version(peer.package)
    except PackageNotFoundError:
        return f"not installed: {INSTALL}"
    for module in (peer.package, "scipy"):
        if find_spec(module) is None:
            return f"{module} is not installed: {INSTALL}"
    folders = find_spec(peer.package).submodule_search_locations or []  # type: ignore[union-attr]
    inner = peer.needs.removeprefix(peer.package).strip(".")
    if inner and not any((Path(folder) / f"{inner}.py").exists() for folder in folders):
        return f"version {found} is too old: {INSTALL}"
    return None


def measure_peer(name: str, data: Path, n_factors: int, threads: int) -> dict[str, Any]:
    """Return ``version``, ``method``, and ``seconds``, the seconds of an epoch.

    Raises
    ------
    FailedRunError
        If the peer fails.
    """
    return _run([name, data, n_factors, threads])


def peer_vectors(
    name: str, data: Path, n_factors: int, threads: int, epochs: int
) -> tuple[Float32s, Float32s]:
    """Return the vectors of users and of items that a peer has after so many epochs.

    Raises
    ------
    FailedRunError
        If the peer fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        _run([name, data, n_factors, threads, epochs, folder])
        users, items = (np.load(Path(folder) / f"{side}.npy") for side in SIDES)
    return users, items


def _run(arguments: list[Any]) -> dict[str, Any]:
    """Run this module in a process of its own, and return what it says."""
    threads = str(arguments[3])
    environ = {**blas_environ(threads=1), "OMP_NUM_THREADS": threads}
    environ |= {"LK_NUM_THREADS": threads, "LK_NUM_BACKEND_THREADS": "1"}
    return measure_module("mfdask.bench.peers", arguments, environ).json()


def _prepared(name: str, data: Path, n_factors: int, threads: int) -> Fit:
    dataset = Dataset.open(data)
    users = whole_side(dataset, "users")
    return PEERS[name].prepare(users, dataset.n_items, n_factors, threads)


def save_vectors(
    name: str, data: Path, n_factors: int, threads: int, epochs: int, folder: Path
) -> None:
    """Fit a peer in this process, and write its vectors into a folder."""
    model = _prepared(name, data, n_factors, threads)(epochs)
    np.save(folder / "users.npy", model.user_factors)
    np.save(folder / "items.npy", model.item_factors)


def time_here(name: str, data: Path, n_factors: int, threads: int) -> dict[str, Any]:
    """Measure a peer in this process; see `measure_peer`."""
    peer, fit = PEERS[name], _prepared(name, data, n_factors, threads)
    fit(EPOCHS[0])  # what a library does on its first call only
    shorter, longer = (seconds_of(partial(fit, epochs)) for epochs in EPOCHS)
    return {
        "version": version(peer.package),
        "method": peer.method,
        "seconds": (longer - shorter) / (EPOCHS[1] - EPOCHS[0]),
    }


if __name__ == "__main__":
    import sys

    name, data, factors, threads, *more = sys.argv[1:]
    given = name, Path(data), int(factors), int(threads)
    if more:
        save_vectors(*given, int(more[0]), Path(more[1]))
        print(json.dumps({}))
    else:
        print(json.dumps(time_here(*given)))
