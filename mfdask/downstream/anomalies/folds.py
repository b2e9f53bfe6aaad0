"""A data set without a part of its training ratings, held in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.shards import Dataset, Shard
from mfdask.shards.store import ARRAYS, SIDES

#: Deals the ratings; of no meaning, but always the same.
_SEED = 0x666F6C64

LeftOut = Callable[[Shard], npt.NDArray[np.bool_]]


class Fold(NamedTuple):
    """One of `folds` parts that a data set's ratings are dealt into, by user and item."""

    number: int
    folds: int

    def of(self, shard: Shard) -> npt.NDArray[np.bool_]:
        """Tell which ratings of a shard are in the fold, the same from either side."""
        pair = shard.rows.astype(np.uint64), shard.indices.astype(np.uint64)
        users, items = pair if shard.side == "users" else pair[::-1]
        hashed = _mix(_mix(users + np.uint64(_SEED)) ^ items)
        return hashed % np.uint64(self.folds) == self.number


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash 64 bits to 64 bits: the finaliser of splitmix64."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class _Kept:
    """The training shards of a data set without some ratings, and its tables."""

    def __init__(self, data: Dataset, left_out: LeftOut) -> None:
        self._data = data
        self._arrays: dict[tuple[str, int, str], npt.NDArray[Any]] = {}
        for side in SIDES:
            for block in range(data.n_blocks(side)):
                data.verify_shard(side, block)  # the kernels trust what they are given
                shard = data.shard(side, block)
                for name, array in zip(ARRAYS, _kept(shard, ~left_out(shard)), strict=True):
                    self._arrays[side, block, name] = array

    def array(self, part: str, side: str, block: int, name: str) -> npt.NDArray[Any]:
        """Return an array of a training shard; there is no test part."""
        return self._arrays[side, block, name]

    def table(self, side: str) -> pd.DataFrame:
        """Return the rows of a side."""
        whole = self._data.users() if side == "users" else self._data.items()
        indptrs = [self._arrays[side, b, "indptr"] for b in range(self._data.n_blocks(side))]
        return whole.assign(n_train=np.concatenate([np.diff(each) for each in indptrs]), n_test=0)

    def ratings(self) -> list[npt.NDArray[np.float32]]:
        """Return the ratings of each user block."""
        return [self._arrays["users", b, "ratings"] for b in range(self._data.n_blocks("users"))]


def _kept(shard: Shard, kept: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], ...]:
    before = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    return before[shard.indptr], shard.indices[kept], shard.ratings[kept]


def without_fold(data: Dataset, fold: Fold) -> Dataset:
    """Return the training ratings of `data` outside of a fold; see `without`."""
    return without(data, fold.of, f"fold {fold.number} of {fold.folds}")


def without(data: Dataset, left_out: LeftOut, what: str) -> Dataset:
    """Return the training ratings of `data` but for some, with the same rows and blocks.

    It is held in memory: 16 bytes a rating.

    Parameters
    ----------
    data : Dataset
    left_out : callable
        Tells which ratings of a shard of either side are left out, bool (ratings,).
    what : str
        What is left out, for the name.
    """
    store = _Kept(data, left_out)
    n = sum(map(len, store.ratings()))
    total = sum(float(part.sum(dtype=np.float64)) for part in store.ratings())
    manifest = replace(
        data.manifest,
        name=f"{data.name} without {what}",
        counts=replace(data.manifest.counts, kept=n, train=n, test=0),
        mean=total / max(n, 1),
        has_timestamps=False,
        files={},
    )
    return Dataset(None, manifest, store)
