"""Read one part of a source, as a task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.ratings.ids import count_ids, encode
from mfdask.ratings.source import Parsed, Part


class PartFacts(NamedTuple):
    """Counts and checksum of a part that was read."""

    n_read: int
    n_rejected: int
    n_lines: int
    digest: str


class ReadPart(NamedTuple):
    """A part that is read.

    Attributes
    ----------
    ratings : DataFrame
        The good ratings: `user_id`, `item_id` (encoded, see `ids.encode`), `rating`, and
        `timestamp` where there are any. The index numbers the rows read of the part from 0, good
        or bad.
    users, items : Series
        How often each id occurs, see `ids.count_ids`.
    rejected : DataFrame
        The bad rows.
    facts : PartFacts
    """

    ratings: pd.DataFrame
    users: pd.Series
    items: pd.Series
    rejected: pd.DataFrame
    facts: PartFacts


def read_part(part: Part) -> ReadPart:
    """Read one part and make it small."""
    parsed = part.read()
    facts = PartFacts(parsed.n_read, len(parsed.rejected), parsed.n_lines, parsed.digest)
    # Column by column, so that the raw ids of one are gone before the next is encoded.
    columns = {name: parsed.ratings.pop(name) for name in parsed.ratings.columns.tolist()}
    for name in ("user_id", "item_id"):
        columns[name] = pd.Series(encode(columns[name]))
    values = {name: column.array for name, column in columns.items()}
    ratings = pd.DataFrame(values, index=_row_numbers(parsed), copy=False)
    return ReadPart(
        ratings=ratings,
        users=count_ids(ratings["user_id"]),
        items=count_ids(ratings["item_id"]),
        rejected=parsed.rejected,
        facts=facts,
    )


def _row_numbers(parsed: Parsed) -> pd.Index:
    """Return the place of each good row among all rows read; files hold other lines, too."""
    places = parsed.ratings.index
    if parsed.rejected.empty:
        return pd.RangeIndex(len(places))
    bad = np.sort(parsed.rejected["row"].to_numpy(np.int64))
    before = np.searchsorted(bad, places.to_numpy(np.int64))
    return pd.Index(np.arange(len(places)) + before)
