"""Plans of a build or an update: bounds of blocks, split and seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mfdask.ratings.source import Feedback, Repeats
from mfdask.ratings.splits import Split
from mfdask.shards.bounds import block_bounds, default_blocks
from mfdask.shards.store import FileFacts, FolderStore
from mfdask.shards.writer import DatasetWriter

#: No block may hold more: places within one are 32-bit numbers.
LARGEST_BLOCK = 2**31 - 1


def grown_bounds(bounds: list[int], n_last: int, new_counts: npt.NDArray[np.int64]) -> list[int]:
    """Extend the blocks over new rows behind the others.

    Parameters
    ----------
    bounds : list of int
        From `block_bounds`.
    n_last : int
        Ratings of the last block.
    new_counts : int64 (n_new,)
        Ratings of each new row.

    Returns
    -------
    list of int
        The last block takes them in as long as `default_blocks` would not cut it; else they are
        cut into blocks of their own. All others stay as they are.
    """
    n_new = int(new_counts.sum())
    if not len(new_counts):
        return bounds
    if default_blocks(n_last + n_new) == 1:
        return [*bounds[:-1], bounds[-1] + len(new_counts)]
    behind = block_bounds(new_counts, default_blocks(n_new))
    return [*bounds, *(bounds[-1] + end for end in behind[1:])]


class BuildPlan(NamedTuple):
    """Parameters of a build that all blocks share.

    Attributes
    ----------
    root : Path
        The data set in the making.
    user_bounds, item_bounds : list of int
    split : Split
    seed : int
    cutoff : int or None
        Of the split `time`: the first second that is held out.
    draws : str or None
        Of the splits `sequence` and `given`: which rows are held out, an array relative to `root`,
        one bool for each row read.
    feedback : {"ratings", "counts", "events"}
    repeats : {"latest", "sum", "count"}
        See `Manifest`, both.
    """

    root: Path
    user_bounds: list[int]
    item_bounds: list[int]
    split: Split
    seed: int
    cutoff: int | None
    draws: str | None
    feedback: Feedback = "ratings"
    repeats: Repeats = "latest"

    @property
    def adds_up(self) -> bool:
        """Whether the values of one user and item are added up."""
        return self.repeats != "latest"

    @property
    def writer(self) -> DatasetWriter:
        """What writes it."""
        bounds = {"users": self.user_bounds, "items": self.item_bounds}
        return DatasetWriter(FolderStore(self.root), bounds)


class UserBlock(NamedTuple):
    """Counts and files of a user block that was written.

    Attributes
    ----------
    files : dict
        Relative path to facts.
    n_train, n_test : int
    train_sum : float
        Of the training ratings.
    values : float32 array
        Different ratings, ascending; only the smallest and the largest if there are very many.
    n_values : int
    n_withdrawn : int
        Ratings taken out of it.
    n_repeats : int or None
        Events in its log of repeats; None where none is kept.
    weight_sum : float or None
        Of the training ratings' weights, where there are any.
    n_shared : int
        Training rows left out, since the test part that is given has their user and item.
    """

    files: dict[str, FileFacts]
    n_train: int
    n_test: int
    train_sum: float
    values: npt.NDArray[np.float32]
    n_values: int
    n_withdrawn: int = 0
    n_repeats: int | None = None
    weight_sum: float | None = None
    n_shared: int = 0


class UpdatePlan(NamedTuple):
    """Parameters of an update that all blocks share.

    Attributes
    ----------
    plan : BuildPlan
        Of the data set in the making: every old row keeps its number.
    data : Path
        The data set as it is.
    old_bounds : mapping
        Its `blocks`.
    files : mapping
        Its files.
    beside : list of str
        What lies beside its ratings, see `Manifest.beside`.
    keeps_repeats : bool
        Whether it has had a log of repeats from its beginning.
    """

    plan: BuildPlan
    data: Path
    old_bounds: Mapping[str, list[int]]
    files: Mapping[str, FileFacts]
    beside: list[str]
    keeps_repeats: bool

    def bounds(self, side: str) -> list[int]:
        """Return the bounds of a side of the data set in the making."""
        return self.plan.writer.bounds[side]
