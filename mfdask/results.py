"""Write result tables as Parquet files, and turn them into JSON records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mfdask.files import atomic_file


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; a file that is there is replaced.

    Raises
    ------
    InputError
        If `path` is a folder.
    """
    with atomic_file(path) as fresh:
        frame.to_parquet(fresh, index=False)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a table as JSON can hold them: None in the place of NaN."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in line.items()}
        for line in frame.to_dict("records")
    ]
