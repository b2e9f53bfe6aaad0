"""A data set in memory with a test part, cut into two blocks of users."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mfdask.shards import Dataset
from mfdask.shards.manifest import Counts
from mfdask.shards.store import ARRAYS
from tests.models.conftest import random_ratings


class HeldOut:
    """The arrays of a training matrix and a test matrix, in blocks of users."""

    def __init__(self, train, test, bounds, users, items):
        self._parts = {"train": train, "test": test}
        self._bounds = bounds
        self._tables = {"users": users, "items": items}

    def array(self, part, side, block, name):
        matrix = self._parts[part]
        if side == "items":
            matrix = matrix.T.tocsr()
        else:
            matrix = matrix[self._bounds[block] : self._bounds[block + 1]]
        arrays = dict(zip(ARRAYS, (matrix.indptr, matrix.indices, matrix.data), strict=True))
        return arrays[name].astype({"indptr": "i8", "indices": "i4", "ratings": "f4"}[name])

    def table(self, side):
        return self._tables[side]


def held_out(train, test):
    """Return a data set of two sparse matrices; user 0 is ``1000``, item 0 is ``500``, and so on.

    A rating that is in both is taken out of the test part.
    """
    train, test = train.tocsr(), test.tocsr()
    test = test - test.multiply(train != 0)
    test.eliminate_zeros()
    plain = Dataset.from_csr(train)
    users, items = plain.users(), plain.items()
    users["user_id"] += 1000
    items["item_id"] += 500
    bounds = [0, len(users) // 2, len(users)]
    both = np.concatenate([train.data, test.data])
    manifest = replace(
        plain.manifest,
        name="tiny",
        counts=Counts(len(both), len(both), 0, 0, train.nnz, test.nnz, *train.shape),
        rating_min=float(both.min()),
        rating_max=float(both.max()),
        blocks={"users": bounds, "items": [0, len(items)]},
    )
    return Dataset(None, manifest, HeldOut(train, test, bounds, users, items))


def random_data(n_users=30, n_items=25, seed=0):
    """Return a data set of random ratings with cold items and users in it."""
    train = random_ratings(n_users, n_items, 0.25, seed).tolil()
    train[:, 3] = 0
    train[4] = 0
    return held_out(train.tocsr(), random_ratings(n_users, n_items, 0.15, seed + 100))


def frame(data, part):
    """Return the ratings of a part as a table of rows."""
    parts = []
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, part)
        users = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr))
        parts.append(pd.DataFrame({"user": users, "item": shard.indices, "rating": shard.ratings}))
    return pd.concat(parts, ignore_index=True)
