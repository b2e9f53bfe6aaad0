"""Rank raw ids to row numbers: most-rated first, ties by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

#: A table of this many times the number of ids is quicker than hashing them.
_DENSE = 4


@dataclass(frozen=True, eq=False)
class Ranked:
    """The ids of a side in row order.

    Attributes
    ----------
    ids : Index
        The id of each row.
    counts : int64 (ids,)
        How often it occurs, descending.
    rows : list of int32 arrays
        For each part, the row of each of its ids.
    """

    ids: pd.Index
    counts: npt.NDArray[np.int64]
    rows: list[npt.NDArray[np.int32]]


def encode(ids: pd.Series) -> pd.Categorical:
    """Turn a column of ids into small numbers and the different ids behind them.

    The numbers take one to four bytes a row in place of the eight and more of the ids.
    """
    codes, different = _dense_codes(ids) or pd.factorize(ids)
    return pd.Categorical.from_codes(codes, categories=pd.Index(different), validate=False)


def _dense_codes(column: pd.Series) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]] | None:
    """Encode integers through a table as long as their range; None where that would not pay."""
    if not len(column) or not pd.api.types.is_integer_dtype(column.dtype):
        return None
    ids = column.to_numpy()
    low = int(ids.min())
    span = int(ids.max()) - low + 1
    if span > _DENSE * len(ids):
        return None
    offsets = ids - low
    seen = np.zeros(span, np.bool_)
    seen[offsets] = True
    different = np.flatnonzero(seen)
    codes = np.empty(span, np.int32)
    codes[different] = np.arange(len(different), dtype=np.int32)
    return codes[offsets], different + low


def count_ids(column: pd.Series) -> pd.Series:
    """Count each id of an encoded column: int64, by id."""
    ids = column.cat.categories
    return pd.Series(np.bincount(column.cat.codes, minlength=len(ids)), index=ids)


def rank_ids(parts: Sequence[pd.Series]) -> Ranked:
    """Give each id its row: most frequent first, ties by id, ascending.

    Parameters
    ----------
    parts : sequence of Series
        From `count_ids`, at least one. Their order does not change the rows.
    """
    everything = parts[0].index.append([part.index for part in parts[1:]])
    codes, ids = pd.factorize(everything, sort=True)
    counts = np.zeros(len(ids), np.int64)
    np.add.at(counts, codes, np.concatenate([part.to_numpy() for part in parts]))
    order = np.argsort(-counts, kind="stable")
    rows = np.empty(len(ids), np.int32)
    rows[order] = np.arange(len(ids), dtype=np.int32)
    ends = np.cumsum([len(part) for part in parts])
    return Ranked(pd.Index(ids)[order], counts[order], np.split(rows[codes], ends[:-1]))


def append_ids(
    known: pd.Index, counts: npt.NDArray[np.int64], parts: Sequence[pd.Series]
) -> Ranked:
    """Keep the rows of known ids, and give those behind them to new ids, ranked among themselves.

    Parameters
    ----------
    known : Index
        The id of each row so far.
    counts : int64 (known,)
        How often each has occurred.
    parts : sequence of Series
        From `count_ids`.

    Returns
    -------
    Ranked
        With the counts added up; they descend among the new ids only.
    """
    if not parts:
        return Ranked(known, counts, [])
    new = rank_ids([part[known.get_indexer(part.index) < 0] for part in parts])
    ids = known.append(new.ids) if len(new.ids) else known
    rows = [ids.get_indexer(part.index).astype(np.int32) for part in parts]
    total = np.concatenate([counts, np.zeros(len(new.ids), np.int64)])
    for here, part in zip(rows, parts, strict=True):
        total[here] += part.to_numpy()  # no id occurs twice in a part
    return Ranked(ids, total, rows)
