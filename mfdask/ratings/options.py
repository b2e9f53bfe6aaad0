"""How a source of ratings is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mfdask.progress import Progress, silent
from mfdask.ratings.dialect import AS_GUESSED, Dialect
from mfdask.ratings.values import Ids

PART_BYTES = 32 * 2**20
CACHE_DIR = Path("data/downloads")


@dataclass(frozen=True)
class ReadOptions:
    """What a reader is told about a source; `formats.open_source` explains each.

    Attributes
    ----------
    columns : mapping, optional
        Role to the name of its column, or to its position from 0 in text without a header.
    ids : {"auto", "int", "string", "int,string", "string,int"}
    exact : bool
        Whether numbers are refused that would lose zeros in front though `ids` wants numbers.
    event_values : mapping, optional
        Values of the words in the place of ratings.
    query : str, optional
        What is read of a database.
    wide : bool
        Whether text has a user in each line, and an item in each column.
    dialect : Dialect
        How texts and values are written.
    cache_dir : Path
        Where downloads, and unpacked archives, are kept.
    part_bytes : int
        The size of a part of a text file, in bytes.
    progress : Progress
        Told how far a download or unpacking is.
    """

    columns: Mapping[str, str] | None = None
    ids: Ids = "auto"
    exact: bool = False
    event_values: Mapping[str, float] | None = None
    query: str | None = None
    wide: bool = False
    dialect: Dialect = AS_GUESSED
    cache_dir: Path = CACHE_DIR
    part_bytes: int = PART_BYTES
    progress: Progress = silent

    def with_columns(self, columns: Mapping[str, str]) -> ReadOptions:
        """Return the options of a file whose columns are known."""
        return replace(self, columns=columns)
