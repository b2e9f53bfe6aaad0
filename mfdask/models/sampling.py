"""Liked ratings, and sampled items without a rating: how rankings are learned and followed."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.execution import Executor
from mfdask.kernels.bpr import DRAWS
from mfdask.kernels.merge import find_pairs
from mfdask.kernels.random import bits, stream
from mfdask.kernels.rows import Block
from mfdask.kernels.types import Float32s, Int32s, read_only
from mfdask.models.half_step import BlockUpdate, join_blocks, pair_predictions
from mfdask.shards import Dataset, Shard
from mfdask.shards.refs import shard_ref

#: Held-out pairs that the AUC of a sweep is taken over at most.
_PAIRS = 200_000
#: Items that a new user has not rated, of which so many are held against those rated, at most.
_OTHERS = 1000


def check_liked(liked: float | None, data: Dataset) -> None:
    """Refuse a threshold that no rating reaches; None is none.

    Raises
    ------
    InputError
    """
    if liked is not None and liked > data.rating_max:
        raise InputError(
            f"`liked` {liked:g}: no rating of {data.name} is above {data.rating_max:g}"
        )


def check_unrated(data: Dataset) -> None:
    """Refuse data in which everybody has rated everything: nothing is preferred to anything.

    Raises
    ------
    InputError
    """
    if data.n_train == data.n_users * data.n_items:
        raise InputError(
            f"{data.name}: no user has both a liked item and one that they have not rated: there "
            f"are ratings of all {data.n_items:,} by all; take a model that predicts ratings"
        )


def least_liked(liked: float | None) -> float:
    """Return the least rating that counts as liked, given the threshold, None for all."""
    return -math.inf if liked is None else liked


def shards_of(run: Executor, data: Dataset, part: str) -> list[Any]:
    """Return what tasks are given to have all user shards."""
    return [shard_ref(run, data, "users", b, part) for b in range(data.n_blocks("users"))]


def join_shards(shards: list[Shard]) -> Block:
    """Return the ratings of all users as one block; they are copied if there are several."""
    ends = np.cumsum([0, *(shard.n_ratings for shard in shards)])
    indptr = [shard.indptr[1:] + end for shard, end in zip(shards, ends[:-1], strict=True)]
    arrays = [(s.indices, s.ratings) for s in shards]
    joined = arrays[0] if len(arrays) == 1 else map(np.concatenate, zip(*arrays, strict=True))
    return Block(*map(read_only, (np.concatenate([np.zeros(1, np.int64), *indptr]), *joined)))


class Pairs(NamedTuple):
    """Held-out liked items, int32 (pairs,), each beside one that its user has not rated.

    The users ascend.
    """

    users: Int32s
    liked: Int32s
    others: Int32s

    def auc(self, predict: Callable[[Int32s, Int32s], Float32s]) -> float | None:
        """Return the share of pairs that are ranked right, ties for half; None without pairs."""
        if not len(self.users):
            return None
        gaps = predict(self.users, self.liked) - predict(self.users, self.others)
        return float(np.mean(gaps > 0) + np.mean(gaps == 0) / 2)


def draw_pairs(liked: float | None, seed: int, train: Block, test: Block, n_items: int) -> Pairs:
    """Return a pair for each liked held-out rating, or for some, evenly spaced.

    Users who have rated all that is drawn for them are left out.
    """
    places = np.flatnonzero(test.ratings >= least_liked(liked))
    n = min(len(places), _PAIRS)
    places = places[np.arange(n) * len(places) // max(n, 1)]
    users = (np.searchsorted(test.indptr, places, side="right") - 1).astype(np.int32)
    key = np.uint64(stream(np.uint64(seed), 0))
    others = draw_unrated(key, users, [train, test], n_items)
    kept = others >= 0
    return Pairs(users[kept], test.indices[places][kept], others[kept])


def draw_pairs_of(
    liked: float | None, seed: int, train: list[Shard], test: list[Shard], n_items: int
) -> Pairs:
    """Return `draw_pairs` of the shards of all users."""
    return draw_pairs(liked, seed, join_shards(train), join_shards(test), n_items)


def auc_of_blocks(pairs: Pairs, users: list[BlockUpdate], items: list[BlockUpdate]) -> float | None:
    """Return the AUC of held-out pairs by the rows of all blocks of both sides."""
    starts, item_rows = np.cumsum([0, *(len(block.rows) for block in users)]), join_blocks(items)

    def predict(of: Int32s, rows: Int32s) -> Float32s:
        cuts = zip(users, starts.tolist(), pairwise(np.searchsorted(of, starts)), strict=False)
        found = [
            pair_predictions(of[a:b] - np.int32(start), rows[a:b], block.rows, item_rows, 0.0)
            for block, start, (a, b) in cuts
        ]
        return np.concatenate(found)

    return pairs.auc(predict)


def draw_unrated(key: np.uint64, users: Int32s, histories: list[Block], n_items: int) -> Int32s:
    """Return an item for each of some users that is in none of their histories, int32 (users,).

    All items are alike; -1 where all that are drawn for a user are rated.
    """
    others = np.full(len(users), -1, np.int32)
    for attempt in range(DRAWS):
        left = np.flatnonzero(others < 0)
        draws = bits(np.uint64(stream(key, attempt)), left.astype(np.uint64))
        drawn = (((draws >> np.uint64(32)) * np.uint64(n_items)) >> np.uint64(32)).astype(np.int32)
        rated = [_is_rated(history, users[left], drawn) for history in histories]
        others[left] = np.where(np.any(rated, axis=0), -1, drawn)
    return others


def draw_others(seed: int, rated: Int32s, weights: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return items that a user has not rated: all of them, or a thousand that are drawn.

    Where some have a larger weight than others they are always drawn, each as often as its weight
    says; those of weight 0 never are.
    """
    left = np.setdiff1d(np.flatnonzero(weights), rated)
    if not len(left) or (len(left) <= _OTHERS and np.ptp(weights[left]) == 0):
        return left
    random = np.random.Generator(np.random.Philox(seed))
    return random.choice(left, _OTHERS, p=weights[left] / weights[left].sum())


def _is_rated(ratings: Block, users: Int32s, items: Int32s) -> npt.NDArray[np.bool_]:
    places = find_pairs(ratings.indptr, ratings.indices, users, items)
    inside = places < ratings.indptr[users.astype(np.int64) + 1]
    inside[inside] = ratings.indices[places[inside]] == items[inside]
    return inside
