"""The best items of users that the model knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.kernels.topn import Rated, Tiles, top_items
from mfdask.models import FactorModel
from mfdask.models.design import Array
from mfdask.models.half_step import read_only
from mfdask.models.model import SOURCES
from mfdask.recommend.candidates import Ranking, known_rows
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef

Rows = npt.NDArray[np.int32]


def recommend(
    model: FactorModel,
    user_ids: Any,
    data: Dataset | None,
    ranking: Ranking | None = None,
) -> pd.DataFrame:
    """Return the best items of each of some users.

    Parameters
    ----------
    model : FactorModel
    user_ids : sequence of raw ids
    data : Dataset or None
        What the model was learned from: items rated in its training part are left out. None offers
        them too.
    ranking : Ranking, optional

    Returns
    -------
    DataFrame
        `user_id`, `rank` (from 1), `item_id`, `score` (see `Ranking`) and `source`: ``"model"``
        where both user and item have training ratings, ``"user"`` or ``"item"`` where only that one
        has, ``"genre"`` for an item that is known by its features alone, ``"mean"`` otherwise.

    Raises
    ------
    InputError
        If a user is unknown, nothing can be offered, or the model is of other data.
    """
    ranking = ranking or Ranking()
    check_same_data(model, data)
    rows = known_rows(model, "users", user_ids)
    return rank_rows(model, rows, data, ranking, ranking.tiles(model))


def rank_rows(
    model: FactorModel, rows: Rows, data: Dataset | None, ranking: Ranking, tiles: Tiles
) -> pd.DataFrame:
    """Return the table of `recommend` for user rows."""
    rated = nothing_rated(len(rows)) if data is None else rated_by(data, rows)
    best, items = search(model.user_rows[rows], model.n_factors, tiles, rated, ranking.top)
    best += (model.mean + model.user_bias[rows])[:, None]
    found = items >= 0
    users, listed = np.repeat(rows, found.sum(axis=1)), items[found]
    return pd.DataFrame(
        {
            "user_id": model.users["user_id"].take(users).array,
            "rank": np.nonzero(found)[1].astype(np.int32) + 1,
            "item_id": model.items["item_id"].take(listed).array,
            "score": best[found],
            "source": np.array(SOURCES, object)[model.sources(users, listed)],
        }
    )


def search(
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


def rated_by(data: Dataset, rows: Rows) -> Rated:
    """Return the items that users have rated in the training part, in the order of `rows`."""
    blocks = np.searchsorted(data.bounds("users"), rows, side="right") - 1
    shards = {block: _shard(data, block) for block in np.unique(blocks).tolist()}
    histories = []
    for row, block in zip(rows.tolist(), blocks.tolist(), strict=True):
        start, indptr, indices = shards[block]
        histories.append(indices[indptr[row - start] : indptr[row - start + 1]])
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(history) for history in histories], out=indptr[1:])
    items = np.concatenate([np.empty(0, np.int32), *histories])
    return Rated(read_only(indptr), read_only(items))


def _shard(data: Dataset, block: int) -> tuple[int, Any, Any]:
    """Return a user shard's first row, and its arrays without the cost of their being maps."""
    if data.address is None:
        shard = data.shard("users", block)
    else:
        shard = ShardRef(DatasetRef(data.address, data.fingerprint), "users", block).open()
    return shard.start, read_only(shard.indptr), read_only(shard.indices)


def check_same_data(model: FactorModel, data: Dataset | None) -> None:
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
