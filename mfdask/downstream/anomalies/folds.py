"""Cross-validation folds: a data set without a part of its training ratings, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mfdask.kernels.folds import in_fold
from mfdask.kernels.types import read_only
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
        found = np.empty(len(shard.indices), np.bool_)
        starts, items = read_only(shard.indptr), read_only(shard.indices)
        in_fold(starts, items, shard.start, _SEED, self.number, self.folds, found)
        return found


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
