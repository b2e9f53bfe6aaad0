"""Bounds of blocks: ranges of rows with about equal numbers of ratings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: A block of this size takes some 600 MB to build, and a second or so to train.
RATINGS_PER_BLOCK = 8_000_000
MOST_BLOCKS = 64


def default_blocks(n_ratings: int) -> int:
    """Return how many blocks a side is cut into, unless somebody wants another number."""
    return min(max(round(n_ratings / RATINGS_PER_BLOCK), 1), MOST_BLOCKS)


def block_bounds(counts: npt.NDArray[np.int64], n_blocks: int) -> list[int]:
    """Cut rows into blocks with about equal numbers of ratings.

    Parameters
    ----------
    counts : int64 (n_rows,)
        Ratings of each row.
    n_blocks : int
        Where there are fewer rows, each is a block.

    Returns
    -------
    list of int
        First row of each block, ascending, and the number of rows.
    """
    n_rows = len(counts)
    n_blocks = min(n_blocks, n_rows)
    inner = np.arange(1, n_blocks)
    total = np.cumsum(counts)
    cuts = np.searchsorted(total, inner * (total[-1] / n_blocks)) + 1
    # No block without a row: at least one more row each time, and one left for each to come.
    cuts = np.maximum.accumulate(np.maximum(cuts, inner) - inner) + inner
    cuts = np.minimum(cuts, n_rows - n_blocks + inner)
    return [0, *cuts.tolist(), n_rows]
