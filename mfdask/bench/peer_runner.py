"""Run another library on ratings in .npy files: `python -I peer_runner.py FOLDER`.

It is run by the Python of the library's own environment, where mfdask is not installed: it imports
nothing but NumPy and that library. ``FOLDER`` holds ``job.json`` (``peer``, ``items``, ``factors``,
``threads``, ``weight``, ``epochs``), the training ratings by user as ``indptr.npy``,
``indices.npy`` and ``ratings.npy``, and the test ratings as ``test_users.npy``, ``test_items.npy``
and ``test_ratings.npy``. Without ``epochs`` it times an epoch; with them it fits so many, writes
what vectors there are to ``users.npy`` and ``items.npy``, and says the test RMSE of a library that
predicts stars. The last line on standard output is JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

#: Epochs of the shorter and of the longer fit.
EPOCHS = (1, 4)


@dataclass(frozen=True)
class Work:
    """What `FOLDER` holds."""

    folder: Path
    items: int
    factors: int
    threads: int
    weight: float  # of the squared factors, where squared errors count once

    @cached_property
    def indptr(self) -> Any:
        """Where the ratings of each user begin."""
        return self._array("indptr")

    @cached_property
    def indices(self) -> Any:
        """Item of each rating."""
        return self._array("indices")

    @cached_property
    def ratings(self) -> Any:
        """Stars."""
        return self._array("ratings")

    @cached_property
    def test(self) -> tuple[Any, Any, Any]:
        """Users, items and stars."""
        users, items, stars = (self._array(f"test_{n}") for n in ("users", "items", "ratings"))
        return users, items, stars

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return len(self.indptr) - 1, self.items

    @cached_property
    def rows(self) -> Any:
        """The user of each rating."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    def _array(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy")


@dataclass(frozen=True)
class Fitted:
    """What a fit has learned: vectors where they are to be had, and the RMSE where it has stars."""

    rmse: Callable[[], float] | None = None
    vectors: tuple[Any, Any] | None = None


#: Fits so many epochs.
Fit = Callable[[int], Fitted]


def prepare_cmfrec(work: Work) -> Fit:
    """Prepare cmfrec."""
    import scipy.sparse
    from cmfrec import CMF

    ratings = scipy.sparse.coo_matrix((work.ratings, (work.rows, work.indices)), work.shape)

    def fit(epochs: int) -> Fitted:
        size = {"k": work.factors, "niter": epochs, "nthreads": work.threads}
        biases = {"user_bias": True, "item_bias": True, "lambda_": work.weight}
        plain = {"use_cg": False, "verbose": False, "precompute_for_predictions": False}
        model = CMF(**size, **biases, **plain, use_float=True).fit(ratings)
        return Fitted(lambda: rmse_of(work, model.predict(*work.test[:2])))

    return fit


def prepare_lenskit(work: Work) -> Fit:
    """Prepare LensKit."""
    import pandas as pd
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, from_interactions_df
    from lenskit.training import TrainingOptions

    table = {"user_id": work.rows, "item_id": work.indices, "rating": work.ratings}
    data = from_interactions_df(pd.DataFrame(table))

    def rmse(scorer: Any) -> float:
        users, items, _ = work.test
        predicted = np.full(len(users), np.nan)
        order = np.argsort(users, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(users[order])) + 1):
            if len(places):
                scores = scorer(int(users[places[0]]), ItemList(item_ids=items[places]))
                predicted[places] = scores.scores()
        return rmse_of(work, predicted)

    def fit(epochs: int) -> Fitted:
        scorer = BiasedMFScorer(embedding_size=work.factors, epochs=epochs)
        scorer.train(data, TrainingOptions(rng=1))
        return Fitted(partial(rmse, scorer))

    return fit


def prepare_spark(work: Work) -> Fit:
    """Prepare Spark in this process and a Java machine of its own."""
    import pyarrow
    import pyarrow.parquet
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{work.threads}]")
        .config("spark.driver.memory", "8g")
        .config("spark.ui.enabled", "false")
        .config("spark.local.dir", str(work.folder))
        .getOrCreate()
    )

    def frame(name: str, users: Any, items: Any, stars: Any) -> Any:
        path = str(work.folder / f"{name}.parquet")
        columns = {"user": users, "item": items, "rating": stars}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
        return session.read.parquet(path)

    ratings = frame("train", work.rows, work.indices, work.ratings).repartition(work.threads)
    ratings.cache().count()

    def rmse(model: Any) -> float:
        mean = float(np.mean(work.ratings, dtype=np.float64))
        predicted = model.transform(frame("test", *work.test)).na.fill(mean, ["prediction"])
        squares = predicted.selectExpr("avg(pow(rating - prediction, 2))").first()
        return math.sqrt(squares[0])

    def fit(epochs: int) -> Fitted:
        columns = {"userCol": "user", "itemCol": "item", "ratingCol": "rating"}
        model = ALS(rank=work.factors, maxIter=epochs, seed=1, **columns).fit(ratings)
        return Fitted(partial(rmse, model))

    return fit


def prepare_implicit(work: Work, *, use_cg: bool) -> Fit:
    """Prepare ALS of implicit."""
    from implicit.cpu.als import AlternatingLeastSquares

    return _implicit(work, partial(AlternatingLeastSquares, use_cg=use_cg))


def prepare_implicit_bpr(work: Work) -> Fit:
    """Prepare BPR of implicit."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return _implicit(work, BayesianPersonalizedRanking)


def _implicit(work: Work, kind: Callable[..., Any]) -> Fit:
    """Fit to a matrix of ones."""
    import scipy.sparse

    ones = np.ones(len(work.indices), np.float32)
    arrays = ones, work.indices, work.indptr.astype(np.int32)
    observed = scipy.sparse.csr_matrix(arrays, work.shape)

    def fit(epochs: int) -> Fitted:
        model = kind(factors=work.factors, iterations=epochs, num_threads=work.threads)
        model.fit(observed, show_progress=False)
        return Fitted(vectors=(model.user_factors, model.item_factors))

    return fit


def rmse_of(work: Work, predicted: Any) -> float:
    """Return the test error; what a library cannot predict is the mean of the training ratings."""
    mean = np.mean(work.ratings, dtype=np.float64)
    errors = np.where(np.isfinite(predicted), predicted, mean) - work.test[2].astype(np.float64)
    return float(np.sqrt(np.mean(errors**2)))


#: Name of a method: the package whose version is told, and what prepares a fit.
PREPARE: dict[str, tuple[str, Callable[[Work], Fit]]] = {
    "cmfrec": ("cmfrec", prepare_cmfrec),
    "lenskit": ("lenskit", prepare_lenskit),
    "spark": ("pyspark", prepare_spark),
    "implicit_exact": ("implicit", partial(prepare_implicit, use_cg=False)),
    "implicit_cg": ("implicit", partial(prepare_implicit, use_cg=True)),
    "implicit_bpr": ("implicit", prepare_implicit_bpr),
}


def run_peer(folder: Path) -> dict[str, Any]:
    """Do what a folder asks for, and return what there is to say."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    package, prepare = PREPARE[job.pop("peer")]
    epochs = job.pop("epochs")
    fit = prepare(Work(folder, **job))
    found = {"version": version(package)}
    return found | ({"seconds": time_epoch(fit)} if epochs is None else keep(fit(epochs), folder))


def time_epoch(fit: Fit) -> float:
    """Return a longer fit's seconds less a shorter one's, for each epoch between them."""
    fit(EPOCHS[0])  # what a library does on its first call only
    taken = []
    for epochs in EPOCHS:
        began = time.perf_counter()
        fit(epochs)
        taken.append(time.perf_counter() - began)
    return (taken[1] - taken[0]) / (EPOCHS[1] - EPOCHS[0])


def keep(fitted: Fitted, folder: Path) -> dict[str, Any]:
    """Write the vectors into a folder, and return the RMSE, where there are such."""
    if fitted.vectors is not None:
        for name, rows in zip(("users", "items"), fitted.vectors, strict=True):
            np.save(folder / f"{name}.npy", rows)
    return {"rmse": None if fitted.rmse is None else fitted.rmse()}


if __name__ == "__main__":
    print(json.dumps(run_peer(Path(sys.argv[1]))))
