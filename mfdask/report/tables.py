"""Read the tables that other jobs wrote, or say that one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from mfdask.errors import InputError


class Absent(Exception):
    """A table, or what a figure needs of it, is not there; says why in a sentence."""


def read_parquet(file: Path, what: str) -> pd.DataFrame:
    """Read a Parquet file.

    Raises
    ------
    InputError
        If it is not there, or is not `what` it should be.
    """
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{file}: no {what} ({line})") from error


def read_table(file: Path, needed: Sequence[str]) -> pd.DataFrame:
    """Read a table that has the columns `needed`, and has lines.

    Raises
    ------
    Absent
        If there is no such file, a column is missing, or it is empty.
    InputError
        If it is no table.
    """
    if not file.exists():
        raise Absent(f"There is no {file.name}.")
    table = read_parquet(file, "Parquet table")
    missing = [name for name in needed if name not in table]
    if missing:
        raise Absent(f"{file.name} has no {', '.join(missing)}.")
    if table.empty:
        raise Absent(f"{file.name} has no lines: nothing was found.")
    return table
