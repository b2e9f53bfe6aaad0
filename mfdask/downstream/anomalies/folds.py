"""Cross-validation folds: a data set without a part of its training ratings, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.shards import Dataset, Shard
from mfdask.shards.in_memory import MemoryStore
from mfdask.shards.store import Mask
from mfdask.shards.writer import DatasetWriter

#: Deals the ratings; of no meaning, but always the same.
_SEED = 0x666F6C64

LeftOut = Callable[[Shard], Mask]


class Fold(NamedTuple):
    """One of `folds` parts that a data set's ratings are dealt into, by user and item."""

    number: int
    folds: int

    def of(self, shard: Shard) -> Mask:
        """Tell which ratings of a user shard are in the fold."""
        users, items = shard.rows.astype(np.uint64), shard.indices.astype(np.uint64)
        hashed = _mix(_mix(users + np.uint64(_SEED)) ^ items)
        return hashed % np.uint64(self.folds) == self.number


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash 64 bits to 64 bits: the finaliser of splitmix64."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def without_fold(data: Dataset, fold: Fold) -> Dataset:
    """Return the training ratings of `data` outside of a fold; see `without`."""
    return without(data, fold.of, f"fold {fold.number} of {fold.folds}")


def without(data: Dataset, left_out: LeftOut, what: str) -> Dataset:
    """Return the training ratings of `data` but for some, with the same rows and blocks.

    It is held in memory: 16 bytes a rating, 24 where there are timestamps.

    Parameters
    ----------
    data : Dataset
    left_out : callable
        Tells which ratings of a user shard are left out, bool (ratings,).
    what : str
        What is left out, for the name.
    """
    writer = DatasetWriter(MemoryStore(), data.manifest.blocks, parts=("train",))
    manifest = writer.write_masked(data, left_out)
    return writer.finish(replace(manifest, name=f"{data.name} without {what}"))
