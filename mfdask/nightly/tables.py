"""Which of the tables of the nights are of suspects, and which of customers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.nightly.paths import NightlyPaths

#: Columns that tables of users have, whatever `mfdask churn` or `mfdask ltv` was told.
_OF_USERS = {"user_id", "event_timestamp"}


def suspects_folder(home: NightlyPaths) -> Path | None:
    """Return the folder that `mfdask anomalies` has written, None if there is none."""
    return min((file.parent for file in home.tables.rglob("suspected_*.parquet")), default=None)


def tables_of_users(home: NightlyPaths, *columns: str) -> list[Path]:
    """Return the tables of `mfdask churn` and `mfdask ltv`, or those of them with some columns."""
    wanted = _OF_USERS | set(columns)
    return [
        file for file in sorted(home.tables.rglob("*.parquet")) if wanted <= parquet_columns(file)
    ]


def parquet_columns(file: Path) -> set[str]:
    """Return the columns of a Parquet file; none of another one."""
    try:
        return set(pq.read_schema(file).names)
    except (OSError, pa.ArrowException):
        return set()
