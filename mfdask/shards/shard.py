"""A shard: a contiguous range of rows of one side with their ratings, in CSR form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Side = Literal["users", "items"]
Role = Literal["train", "test"]

SIDES: tuple[Side, Side] = ("users", "items")

#: The files of a shard that training reads.
ARRAYS = ("indptr", "indices", "ratings")


@dataclass(frozen=True)
class Shard:
    """Rows `start` to `stop` of a side.

    Attributes
    ----------
    side : {"users", "items"}
        Whose rows they are; a shard of items is the CSC view of the same ratings.
    block : int
        Its place among the side's shards.
    start : int
        The first row.
    indptr : int64 (n_rows + 1,)
        Where each row's ratings begin, from 0.
    indices : int32 (n_ratings,)
        Rows of the other side, ascending within a row.
    ratings : float32 (n_ratings,)
    """

    side: Side
    block: int
    start: int
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self.start + self.n_rows

    @property
    def n_ratings(self) -> int:
        """Number of ratings."""
        return int(self.indptr[-1])


def shard_folder(side: Side, block: int, role: Role) -> str:
    """Return a shard's folder, relative to its data set's."""
    return f"{role}/{side}-{block:04d}"


def map_array(file: Path) -> npt.NDArray[np.generic]:
    """Return the array of an `.npy` file without reading it: pages come in when touched.

    An empty array cannot be mapped; it is read.
    """
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError:
        mapped = np.load(file, allow_pickle=False)
    return np.asarray(mapped)
