"""Top-N lists of users that the model knows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.evaluation.ranking import best_items
from mfdask.kernels.topn import Rated, Tiles, pack_tiles, top_items
from mfdask.kernels.types import read_only
from mfdask.models import Ability, FactorModel, Model, require_ability
from mfdask.models.base import SOURCES
from mfdask.models.design import Array
from mfdask.recommendation.candidates import Ranking, known_rows
from mfdask.recommendation.rerank import Reranker
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef

Rows = npt.NDArray[np.int32]

#: Columns of an item that are shown in lists.
DESCRIPTION = ("title", "year", "genres")

#: Predictions held at a time: 16 MiB.
_CELLS = 1 << 22


def recommend(
    model: Model,
    user_ids: Any,
    data: Dataset | None,
    ranking: Ranking | None = None,
    stars: Model | None = None,
) -> pd.DataFrame:
    """Return the best items of each of some users.

    Parameters
    ----------
    model : Model
        Ranks.
    user_ids : sequence of raw ids
    data : Dataset or None
        What the model was learned from: what a user is known to have rated, in the training part or
        the test part, is left out. None offers it too.
    ranking : Ranking, optional
    stars : Model, optional
        Predicts the stars of what is listed; it may be learned from other data with the same ids.

    Returns
    -------
    DataFrame
        `user_id`, `rank` (from 1), `item_id`, `title`, `year` and `genres` where the model has
        them, `score` (see `Ranking`), with another model `stars` (its predictions, on its scale)
        and `source`: ``"model"`` where both user and item have training ratings, ``"user"`` or
        ``"item"`` where only that one has, ``"genre"`` for an item that is known by its features
        alone, ``"mean"`` otherwise. A user who has rated all that may be offered has no lines.

    Raises
    ------
    InputError
        If a user is unknown, nothing can be offered, the model is of other data, or the other
        predicts no stars or knows none of the items.
    """
    ranking = ranking or Ranking()
    ranking.check_history(data)
    check_same_data(model, data)
    check_stars(model, stars)
    rows = known_rows(model, "users", user_ids)
    return rank_rows(model, rows, data, ranking.top, search_of(model, ranking), stars)


def rank_rows(
    model: Model,
    rows: Rows,
    data: Dataset | None,
    top: int,
    search: Search,
    stars: Model | None = None,
) -> pd.DataFrame:
    """Return the table of `recommend` for user rows."""
    rated = nothing_rated(len(rows)) if data is None else rated_by(data, rows)
    best, items = search.best(rows, rated, top)
    found = items >= 0
    users, listed = np.repeat(rows, found.sum(axis=1)), items[found]
    ids = {
        "user_id": model.users["user_id"].take(users).array,
        "rank": np.nonzero(found)[1].astype(np.int32) + 1,
    }
    scores = {"score": best[found]}
    if stars is not None:
        scores["stars"] = stars.predict(ids["user_id"], model.items["item_id"].take(listed))
    source = {"source": np.array(SOURCES, object)[model.sources(users, listed)]}
    return pd.DataFrame(ids | described(model, listed) | scores | source)


def described(model: Model, rows: Rows) -> dict[str, Any]:
    """Return the columns that say what items are: `item_id`, and what the model has of these."""
    names = ["item_id", *(name for name in DESCRIPTION if name in model.items)]
    return {name: model.items[name].take(rows).array for name in names}


def check_stars(model: Model, stars: Model | None) -> None:
    """Refuse a model whose predictions cannot stand beside the lists of another.

    Raises
    ------
    InputError
    """
    if stars is None:
        return
    require_ability(stars, Ability.RATINGS, "a column of predicted stars")
    if (stars.rows_of("items", model.items["item_id"]) < 0).all():
        raise InputError(
            f"`stars`: that model, learned from {stars.data.name}, knows none of the items of the "
            f"one that ranks, learned from {model.data.name}; give two models of the same ids"
        )


class Search(Protocol):
    """Finds the best items of users that a model knows."""

    def best(self, rows: Rows, rated: Rated, top: int) -> tuple[Array, Rows]:
        """Return scores and item rows of each user's best items.

        float32 and int32 (users, items), best first; -inf and -1 where there are no more items. No
        list is longer than the number of candidates.
        """


def search_of(model: Model, ranking: Ranking) -> Search:
    """Return what finds the items that a ranking puts first.

    Raises
    ------
    InputError
        If nothing can be offered.
    """
    found = _search_among(model, ranking, ranking.candidates(model))
    reranker = Reranker.of(model, ranking)
    if reranker is None:
        return found
    tail = _search_among(model, ranking, reranker.candidates) if ranking.tail else None
    return RerankedSearch(found, tail, reranker)


def _search_among(model: Model, ranking: Ranking, candidates: Rows) -> Search:
    if isinstance(model, FactorModel):
        return FactorSearch(model, tiles_among(model, ranking, candidates))
    return PredictionSearch(model, candidates)


class RerankedSearch(NamedTuple):
    """Chooses from longer lists of all items, and of those of the long tail if they are owed."""

    search: Search
    tail: Search | None
    reranker: Reranker

    def best(self, rows: Rows, rated: Rated, top: int) -> tuple[Array, Rows]:
        """See `Search.best`; the order is not that of the scores."""
        n_all, n_tail = self.reranker.lengths(top)
        lists = [self.search.best(rows, rated, n_all)]
        if self.tail is not None:
            lists.append(self.tail.best(rows, rated, n_tail))
        return self.reranker.choose(lists, rated, top)


class FactorSearch(NamedTuple):
    """Ranks by products of factors, in one pass of a kernel."""

    model: FactorModel
    tiles: Tiles

    def best(self, rows: Rows, rated: Rated, top: int) -> tuple[Array, Rows]:
        """See `Search.best`."""
        own = self.model.user_rows[rows]
        best, items = best_of_rows(own, self.model.n_factors, self.tiles, rated, top)
        best += (self.model.mean + self.model.user_bias[rows])[:, None]
        return best, items


class PredictionSearch(NamedTuple):
    """Ranks by whatever a model predicts, for some users at a time."""

    model: Model
    candidates: Rows

    def best(self, rows: Rows, rated: Rated, top: int) -> tuple[Array, Rows]:
        """See `Search.best`."""
        step = max(1, _CELLS // len(self.candidates))
        parts = [_no_lists(min(top, len(self.candidates)))]
        for start in range(0, len(rows), step):
            here = rows[start : start + step]
            own = Rated(rated.indptr[start : start + len(here) + 1], rated.items)
            parts.append(best_scored(self._scores(here), self.candidates, own, top))
        best, items = zip(*parts, strict=True)
        return np.concatenate(best), np.concatenate(items)

    def _scores(self, rows: Rows) -> Array:
        """Return the predictions of the candidates for some users."""
        users = np.repeat(rows, len(self.candidates))
        predicted = self.model.predict_rows(users, np.tile(self.candidates, len(rows)), clip=False)
        return predicted.reshape(len(rows), len(self.candidates))


def _no_lists(length: int) -> tuple[Array, Rows]:
    """Return the lists of no users."""
    return np.empty((0, length), np.float32), np.empty((0, length), np.int32)


def best_scored(scores: Array, candidates: Rows, rated: Rated, top: int) -> tuple[Array, Rows]:
    """Return what `Search.best` does, from the scores of all candidates.

    Parameters
    ----------
    scores : float32 (users, candidates)
        Overwritten.
    candidates : int32 (candidates,)
        Their rows, ascending.
    rated : Rated
        Left out.
    top : int
    """
    users = np.repeat(np.arange(len(scores)), np.diff(rated.indptr))
    known = rated.items[rated.indptr[0] : rated.indptr[-1]]
    places = np.searchsorted(candidates, known).clip(max=len(candidates) - 1)
    among = candidates[places] == known
    scores[users[among], places[among]] = -np.inf
    listed = best_items(scores, min(top, len(candidates)))
    best = np.where(listed >= 0, np.take_along_axis(scores, listed, axis=1), np.float32(-np.inf))
    return best, np.where(listed >= 0, candidates[listed], np.int32(-1))


def tiles_of(model: FactorModel, ranking: Ranking) -> Tiles:
    """Return the candidates as the kernel takes them."""
    return tiles_among(model, ranking, ranking.candidates(model))


def tiles_among(model: FactorModel, ranking: Ranking, rows: Rows) -> Tiles:
    """Return some items as the kernel takes them."""
    bias = np.float32(ranking.weight_for(model)) * model.item_bias[rows]
    return Tiles(*map(read_only, pack_tiles(bias, model.item_factors[rows], rows)))


def best_of_rows(
    user_rows: Array, n_factors: int, tiles: Tiles, rated: Rated, top: int
) -> tuple[Array, Rows]:
    """Return the best scores (without mean and user bias) and item rows of design rows.

    float32 and int32 (users, items), best first; -inf and -1 where there are no more items. No list
    is longer than the number of candidates.
    """
    vectors = np.ascontiguousarray(user_rows[:, 1 : n_factors + 2])
    n = min(top, int((tiles.rows >= 0).sum()))
    best = np.empty((len(vectors), n), np.float32)
    items = np.empty((len(vectors), n), np.int32)
    top_items(read_only(vectors), tiles, rated, best, items)
    return best, items


def nothing_rated(n_users: int) -> Rated:
    """Return users who have rated nothing."""
    return Rated(*map(read_only, (np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))))


def rated_by(data: Dataset, rows: Rows, parts: Sequence[str] = ("train", "test")) -> Rated:
    """Return the items that users are known to have rated, in the order of `rows`.

    Held-out ratings are among them: nobody wants to be offered what they have rated.
    """
    blocks = np.searchsorted(data.bounds("users"), rows, side="right") - 1
    found = [np.empty(0, np.int64)]
    for block, part in itertools.product(np.unique(blocks).tolist(), parts):
        places = np.flatnonzero(blocks == block)
        found.append(_pairs(_shard(data, block, part), rows[places], places))
    pairs = np.concatenate(found)
    pairs.sort()
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.bincount(pairs >> 32, minlength=len(rows)), out=indptr[1:])
    return Rated(read_only(indptr), read_only((pairs & 0xFFFF_FFFF).astype(np.int32)))


def _pairs(
    shard: tuple[int, Any, Any], rows: Rows, places: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64]:
    """Return a number for each rating of some rows: their place, and then the item."""
    first, indptr, indices = shard
    starts = indptr[rows - first]
    counts = indptr[rows - first + 1] - starts
    before = np.cumsum(counts) - counts
    at = np.arange(counts.sum()) + np.repeat(starts - before, counts)
    return np.repeat(places.astype(np.int64) << 32, counts) | indices[at]


def _shard(data: Dataset, block: int, part: str) -> tuple[int, Any, Any]:
    """Return a user shard's first row, and its arrays without the cost of their being maps."""
    if data.address is None:
        shard = data.shard("users", block, part)
    else:
        shard = ShardRef(DatasetRef.of(data), "users", block, part).open()
    return shard.start, read_only(shard.indptr), read_only(shard.indices)


def check_same_data(model: Model, data: Dataset | None) -> None:
    """Refuse a data set that the model was not learned from: its rows are of other ids.

    Raises
    ------
    InputError
    """
    if data is not None and data.fingerprint != model.data.fingerprint:
        raise InputError(
            f"the model was learned from {model.data.name} with fingerprint "
            f"{model.data.fingerprint[:12]}, and {data.address or data.name} has "
            f"{data.fingerprint[:12]}; give the data set of the model, or train on this one"
        )
