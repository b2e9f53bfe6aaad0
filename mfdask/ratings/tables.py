"""Read ratings from CSV, TSV or Parquet tables, one file or several."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mfdask.errors import InputError
from mfdask.ratings.archive import unpack_gzip
from mfdask.ratings.parquet import ParquetFile, open_parquet
from mfdask.ratings.source import Source
from mfdask.ratings.text import PART_BYTES, TextFile, open_text
from mfdask.ratings.values import BOOLEANS, STRING, Ids, Types

_LOG = logging.getLogger(__name__)
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")


def table_suffix(path: Path) -> str | None:
    """Return the suffix that tells the format (that before `.gz`), None if it is no table."""
    name = path.name.casefold().removesuffix(".gz")
    if path.name.startswith((".", "_")):
        return None
    return next((end for end in TEXT_SUFFIXES + PARQUET_SUFFIXES if name.endswith(end)), None)


def printable(name: str) -> str:
    """Return the name of a file as text, with escapes for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def open_tables(
    paths: Sequence[Path],
    *,
    name: str,
    origin: str,
    columns: Mapping[str, str] | None = None,
    ids: Ids = "auto",
    cache_dir: Path,
    catalogue: pd.DataFrame | None = None,
    part_bytes: int = PART_BYTES,
    event_values: Mapping[str, float] | None = None,
) -> Source:
    """Open one or several tables of ratings, all read the same way.

    Parameters
    ----------
    paths : sequence of Path
        The files, in the order they are read; a file that is no Parquet is taken as text.
    name, origin : str
        See `Source`.
    columns : mapping or None
        Role to column name, or to position from 0 for text without a header.
    ids : {"auto", "int", "string", "int,string", "string,int"}
        See `formats.open_source`; "auto" looks at the start of each file.
    cache_dir : Path
        Where `.gz` files are unpacked, once: parts can then be read side by side.
    catalogue : DataFrame or None
        See `Source`.
    part_bytes : int
        The size of a part of a text file, in bytes.
    event_values : mapping, optional
        See `formats.open_source`.

    Returns
    -------
    Source
        With no row read yet.

    Raises
    ------
    InputError
        A file is missing, empty, damaged or not a table of ratings; no file has any row; some
        files have timestamps, or ratings, and others have none.
    """
    files = [
        _open(path, label, columns, ids, cache_dir, event_values)
        for path, label in _without_empty(paths)
    ]
    if not any(file.has_rows for file in files):
        raise InputError(f"{origin} has a header but no ratings; nothing to read")
    has_times, has_ratings = (_all_have(files, role) for role in ("timestamp", "rating"))
    if event_values and not has_ratings:
        raise InputError(
            f"{origin}: no column has the words of `event_values`; name it with `columns` "
            "rating=NAME"
        )
    named = {role for file in files for role, kind in file.types.items() if kind == STRING}
    parts = [
        part for file in files for part in file.parts(_with_names(file.types, named), part_bytes)
    ]
    if "rating" in named:
        parts = [replace(part, event_values=event_values or BOOLEANS) for part in parts]
    return Source(
        name=name,
        parts=tuple(parts),
        user_kind="string" if "user" in named else "int",
        item_kind="string" if "item" in named else "int",
        has_timestamps=has_times,
        catalogue=catalogue,
        origin=origin,
        has_ratings=has_ratings,
    )


def _without_empty(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return files with their labels; of several, without those of no bytes, as Spark leaves."""
    labelled = list(zip(paths, _labels(paths), strict=True))
    filled = [(path, label) for path, label in labelled if not path.exists() or path.stat().st_size]
    if filled and len(filled) < len(paths):
        _LOG.warning("%d of %d files are empty; left out", len(paths) - len(filled), len(paths))
    return filled or labelled[:1]


def _all_have(files: Sequence[TextFile | ParquetFile], role: str) -> bool:
    """Whether all files have a column, or none has it."""
    having = [file for file in files if role in file.types]
    if 0 < len(having) < len(files):
        without = next(file for file in files if role not in file.types)
        raise InputError(
            f"{having[0].label} has {role}s, {without.label} has none; "
            f"leave them out with `columns` {role}="
        )
    return bool(having)


def _with_names(types: Types, named: set[str]) -> Types:
    """Read the roles `named` as text: what one file needs, all files do."""
    return {role: STRING if role in named else kind for role, kind in types.items()}


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return what tells the files apart: their names, with their folders if some are alike."""
    names = [printable(path.name) for path in paths]
    if len(set(names)) == len(names):
        return names
    shared = os.path.commonpath(paths)
    return [printable(str(path.relative_to(shared))) for path in paths]


def _open(
    path: Path,
    label: str,
    columns: Mapping[str, str] | None,
    ids: Ids,
    cache_dir: Path,
    event_values: Mapping[str, float] | None,
) -> TextFile | ParquetFile:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the spelling")
    if path.stat().st_size == 0:
        raise InputError(f"{label} is empty; nothing to read")
    if table_suffix(path) in PARQUET_SUFFIXES:
        return open_parquet(path, label, columns, ids, event_values)
    plain = unpack_gzip(path, cache_dir) if path.suffix.casefold() == ".gz" else path
    return open_text(plain, label, columns, ids, event_values)
