"""Tables that a job ends with, as Parquet files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mfdask.files import written_file


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; a file that is there is replaced.

    Raises
    ------
    InputError
        If `path` is a folder.
    """
    with written_file(path) as fresh:
        frame.to_parquet(fresh, index=False)
