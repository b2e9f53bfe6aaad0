"""Read a source into a Dask DataFrame of good ratings, and account for the bad ones."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.dataframe.utils import clear_known_categories
from distributed import Future

from mfdask.ratings.ids import encode
from mfdask.ratings.source import Parsed, Part, Source
from mfdask.shards.tasks import Tasks


class PartFacts(NamedTuple):
    """What is known of a part once it is read."""

    n_read: int
    n_rejected: int
    n_lines: int
    digest: str


class ReadPart(NamedTuple):
    """A part that is read: its good ratings, its bad rows, and its facts."""

    ratings: pd.DataFrame
    rejected: pd.DataFrame
    facts: PartFacts


@dataclass(frozen=True)
class Reading:
    """A source that is read.

    Attributes
    ----------
    ratings : dask.dataframe.DataFrame
        The good ratings, on the workers, one partition a part: `user_id`, `item_id` (encoded, see
        `ids.encode`), `rating`, and `timestamp` where there are any. The index numbers the rows
        read of the part from 0, good or bad.
    rejected : list of Future
        For each part its bad rows.
    facts : list of PartFacts
    """

    ratings: dd.DataFrame
    rejected: list[Future]
    facts: list[PartFacts]

    @property
    def n_read(self) -> int:
        """Rows read."""
        return sum(part.n_read for part in self.facts)

    @property
    def n_rejected(self) -> int:
        """Bad rows among them."""
        return sum(part.n_rejected for part in self.facts)

    def first_rows(self) -> list[int]:
        """Return for each part how many rows were read before it."""
        return [0, *np.cumsum([part.n_read for part in self.facts])[:-1].tolist()]


def read_source(source: Source, tasks: Tasks) -> Reading:
    """Read all parts, each in a task of its own."""
    reads = [
        tasks.submit(f"read-ratings-{number}", read_part, part)
        for number, part in enumerate(source.parts)
    ]
    facts = tasks.finish(
        "read", [tasks.submit(f"facts-{n}", attrgetter("facts"), r) for n, r in enumerate(reads)]
    )
    frames = [
        tasks.submit(f"ratings-{n}", attrgetter("ratings"), read) for n, read in enumerate(reads)
    ]
    rejected = [
        tasks.submit(f"rejected-{n}", attrgetter("rejected"), read) for n, read in enumerate(reads)
    ]
    ratings = dd.from_delayed(frames, meta=_meta(source), verify_meta=False, prefix="ratings")
    return Reading(ratings, rejected, facts)


def read_part(part: Part) -> ReadPart:
    """Read one part and make it small: encoded ids, rows numbered as they were read."""
    parsed = part.read()
    facts = PartFacts(parsed.n_read, len(parsed.rejected), parsed.n_lines, parsed.digest)
    # Column by column, so that the raw ids of one are gone before the next is encoded.
    columns = {name: parsed.ratings.pop(name) for name in parsed.ratings.columns.tolist()}
    for name in ("user_id", "item_id"):
        columns[name] = pd.Series(encode(columns[name]))
    values = {name: column.array for name, column in columns.items()}
    ratings = pd.DataFrame(values, index=_row_numbers(parsed), copy=False)
    return ReadPart(ratings, parsed.rejected, facts)


def _row_numbers(parsed: Parsed) -> pd.Index:
    """Return the place of each good row among all rows read; files hold other lines, too."""
    places = parsed.ratings.index
    if parsed.rejected.empty:
        return pd.RangeIndex(len(places))
    bad = np.sort(parsed.rejected["row"].to_numpy(np.int64))
    before = np.searchsorted(bad, places.to_numpy(np.int64))
    return pd.Index(np.arange(len(places)) + before)


def _meta(source: Source) -> pd.DataFrame:
    """Return an empty frame of the types of `Reading.ratings`."""
    kinds = {"int": "int64", "string": "str"}
    meta = pd.DataFrame(
        {
            "user_id": pd.Series([], dtype=kinds[source.user_kind]).astype("category"),
            "item_id": pd.Series([], dtype=kinds[source.item_kind]).astype("category"),
            "rating": pd.Series([], dtype="float32"),
        }
    )
    if source.has_timestamps:
        meta["timestamp"] = pd.Series([], dtype="int64")
    return clear_known_categories(meta)
