"""Write result tables as Parquet files, and turn them into JSON records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.files import atomic_file


def write_table(
    frame: pd.DataFrame, path: Path, describe: Callable[[str], str] | None = None
) -> None:
    """Write a table, whole or not at all; a file that is there is replaced.

    Parameters
    ----------
    frame : DataFrame
    path : Path
    describe : callable, optional
        Takes the name of a column, returns the `description` for its metadata, if there is one.

    Raises
    ------
    InputError
        If `path` is a folder.
    """
    with atomic_file(path) as fresh:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table if describe is None else _described(table, describe), fresh)


def _described(table: pa.Table, describe: Callable[[str], str]) -> pa.Table:
    fields = [
        field.with_metadata({"description": text}) if (text := describe(field.name)) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a table as JSON can hold them: None in the place of NaN."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in line.items()}
        for line in frame.to_dict("records")
    ]
