"""Tables that a job ends with, as Parquet files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mfdask.errors import InputError


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; a file that is there is replaced.

    Raises
    ------
    InputError
        If `path` is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file to --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    try:
        frame.to_parquet(fresh, index=False)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
