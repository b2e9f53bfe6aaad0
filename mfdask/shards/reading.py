"""Read a source into a Dask DataFrame of good ratings, and account for the bad ones."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from distributed import Future

from mfdask.ratings.source import Source
from mfdask.shards.parts import PartFacts, read_part
from mfdask.shards.tasks import Tasks

if TYPE_CHECKING:
    import dask.dataframe as dd


@dataclass(frozen=True)
class Reading:
    """A source that is read, one partition a part; all of it stays on the workers but `facts`.

    Attributes
    ----------
    ratings : dask.dataframe.DataFrame
        The good ratings, as `ReadPart` describes them.
    partitions : list of Future
        Its partitions.
    counts : dict
        ``"users"`` and ``"items"``: for each part, how often each id occurs.
    rejected : list of Future
        For each part its bad rows.
    facts : list of PartFacts
    """

    ratings: dd.DataFrame
    partitions: list[Future]
    counts: dict[str, list[Future]]
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

    # Loading it takes half a second: the workers read meanwhile.
    import dask.dataframe as dd

    def each(name: str) -> list[Future]:
        return [
            tasks.submit(f"part-{name}-{number}", attrgetter(name), read)
            for number, read in enumerate(reads)
        ]

    ratings = dd.from_delayed(each("ratings"), meta=_meta(source), verify_meta=False)
    return Reading(
        ratings=ratings,
        partitions=tasks.partitions(ratings),
        counts={side: each(side) for side in ("users", "items")},
        rejected=each("rejected"),
        facts=tasks.finish("read", each("facts")),
    )


def _meta(source: Source) -> pd.DataFrame:
    """Return an empty frame of the types of `Reading.ratings`."""
    from dask.dataframe.utils import clear_known_categories

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
