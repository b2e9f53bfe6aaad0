"""What weights of variety, calibration and the long tail make of lists, on ratings held out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.evaluation import RankingPlan, measure_ranking
from mfdask.kernels.rerank import MIXED
from mfdask.kernels.topn import Rated
from mfdask.kernels.types import Float32s
from mfdask.models import Model
from mfdask.progress import Progress, silent
from mfdask.recommendation import Ranking
from mfdask.recommendation.rerank import Reranker, genre_shares
from mfdask.recommendation.topn import check_same_data, rated_by, search_of
from mfdask.shards import Dataset
from mfdask.tuning.holdout import hold_out

#: What a line tells of its lists, where it is measured: of relevant items, of exposure.
FIGURES = ("precision", "ndcg", "tail_share", "coverage", "gini")
#: What is weighed.
WEIGHTS = ("variety", "calibration", "tail")
#: Share of the training ratings that is held out, and the seed of which.
_SHARE, _SEED = 0.1, 42


def measure_rerank(
    model: Model,
    data: Dataset,
    ranking: Ranking,
    weights: Sequence[tuple[float, float, float]],
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure the lists of 10 items for several weights.

    The model is learned again without a tenth of its training ratings, and the lists are held
    against those. The test part is not read.

    Parameters
    ----------
    model : Model
    data : Dataset
        What it was learned from; on disk.
    ranking : Ranking
        All but its weights, and its length.
    weights : sequence of (float, float, float)
        Weights of variety and of calibration, and share of the long tail.
    progress : Progress, optional

    Returns
    -------
    dict
        ``data`` and ``lists``: for each of the weights `variety`, `calibration`, `tail`, those of
        `FIGURES` that `measure_ranking` has, `likeness` (how much alike two items of a list are, on
        average: the cosine of their genres), `divergence` (of the genres of a list from those of
        its user's ratings, on average) and `seconds` for the lists of all users.

    Raises
    ------
    InputError
        If the model is of other data, or the items have no genres.
    """
    check_same_data(model, data)
    with tempfile.TemporaryDirectory() as folder:
        held_out = hold_out(data, Path(folder) / "validation", _SHARE, _SEED)
        again, ranking = model.refit(held_out), replace(ranking, top=10)
        rows = [
            _measure(again, held_out, replace(ranking, variety=one, calibration=two, tail=three))
            for one, two, three in _told(weights, progress)
        ]
    return {"data": data.name, "lists": rows}


def _told(weights: Sequence[tuple[float, float, float]], progress: Progress) -> Any:
    for done, own in enumerate(weights):
        progress("lists", done, len(weights))
        yield own
    progress("lists", len(weights), len(weights))


def _measure(model: Model, data: Dataset, ranking: Ranking) -> dict[str, Any]:
    search = search_of(model, ranking)
    everybody = np.arange(data.n_users, dtype=np.int32)
    rated = rated_by(data, everybody, ("train",))
    search.best(everybody, rated, ranking.top)  # compiles
    began = time.perf_counter()
    lists = search.best(everybody, rated, ranking.top)[1]
    seconds = time.perf_counter() - began

    def places(rows: npt.NDArray[np.int64]) -> Float32s:
        """Score what is on a list by its place there."""
        scores = np.full((len(rows), data.n_items), -np.inf, np.float32)
        user, place = np.nonzero(lists[rows] >= 0)
        scores[user, lists[rows][user, place]] = -place
        return scores

    found = measure_ranking(places, data, RankingPlan()).means()
    figures = {name: found[name] for name in FIGURES if name in found}
    figures["likeness"] = _likeness(model, lists)
    figures["divergence"] = _divergence(genre_shares(model), lists, rated)
    return {name: getattr(ranking, name) for name in WEIGHTS} | figures | {"seconds": seconds}


def _likeness(model: Model, lists: npt.NDArray[np.int32]) -> float:
    """Return the mean cosine of the genres of two items on a list, over the users' lists."""
    reranker = Reranker.of(model, Ranking(variety=1.0, min_ratings=0))
    assert reranker is not None
    means = []
    for own in lists:
        vectors = reranker.criteria.vectors[own[own >= 0]].astype(np.float64)
        n, total = len(vectors), vectors.sum(axis=0)
        if n > 1:
            means.append((total @ total - np.square(vectors).sum()) / (n * (n - 1)))
    return float(np.mean(means))


def _divergence(shares: Float32s, lists: npt.NDArray[np.int32], rated: Rated) -> float:
    """Return the mean divergence of a list's genres from the history's, see `choose_lists`."""
    found = []
    for row, own in enumerate(lists):
        known = shares[rated.items[rated.indptr[row] : rated.indptr[row + 1]]].sum(axis=0)
        here = known > 0
        if here.any() and len(own := own[own >= 0]):
            wanted = known[here] / known.sum(dtype=np.float64)
            listed = (1 - MIXED) * shares[own][:, here].mean(axis=0) + MIXED * wanted
            found.append(wanted @ np.log(wanted / listed))
    return float(np.mean(found))
