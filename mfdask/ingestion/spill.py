"""Ratings that are read wait on disk until all ids are known: memory does not grow with them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from mfdask.execution import Reference


@dataclass(frozen=True)
class SpilledRatings(Reference):
    """The good ratings of a batch, as an Arrow file of one chunk."""

    path: Path

    def open(self) -> pd.DataFrame:
        """Map the ratings: their columns take no memory but the page cache's."""
        with pa.memory_map(str(self.path)) as file:
            return pa.ipc.open_file(file).read_all().to_pandas()


def spill(ratings: pd.DataFrame, folder: Path) -> SpilledRatings:
    """Write the ratings of a batch, with encoded ids, into a folder.

    The name is new each time, since a task may run twice.
    """
    path = folder / f"{uuid.uuid4().hex}.arrow"
    table = pa.Table.from_pandas(ratings)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return SpilledRatings(path)
