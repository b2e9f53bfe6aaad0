"""Open whatever a user names as a source of ratings."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path

from mfdask.errors import InputError
from mfdask.files import from_home
from mfdask.progress import Progress, silent
from mfdask.ratings import catalogue
from mfdask.ratings.dialect import AS_GUESSED, Dialect
from mfdask.ratings.folders import find_files, matched_files
from mfdask.ratings.options import CACHE_DIR, PART_BYTES, ReadOptions
from mfdask.ratings.source import Source
from mfdask.ratings.tables import FileSet, open_files
from mfdask.ratings.urls import find_url
from mfdask.ratings.values import Ids, check_event_values

_SYNTHETIC = "synthetic:"


def open_source(
    text: str,
    *,
    columns: Mapping[str, str] | None = None,
    ids: Ids = "auto",
    seed: int = 0,
    cache_dir: Path = CACHE_DIR,
    progress: Progress = silent,
    part_bytes: int = PART_BYTES,
    event_values: Mapping[str, float] | None = None,
    query: str | None = None,
    wide: bool = False,
    dialect: Dialect = AS_GUESSED,
    exact: bool = False,
) -> Source:
    """Open the ratings that `text` names, in any form; nothing but their start is read yet.

    Parameters
    ----------
    text : str
        ``synthetic:…``, a file of any form in `readers`, compressed or in an archive, a folder, a
        glob such as ``logs/*.csv``, a URL of any of these, or a name of the download catalogue such
        as ``ml-1m``.
    columns : mapping or None
        Which column is which: `user`, `item`, `rating`, `timestamp` to a name in the header or,
        for text without a header, to a position from 0. Without it the names are guessed. An empty
        `timestamp` leaves the timestamps out, an empty `rating` the ratings: each row is an event,
        or a withdrawal. So it is where user and item are named and no column looks like a rating.
        `split` is a column that says train or test, and is never guessed.
    ids : {"auto", "int", "string", "int,string", "string,int"}
        What the ids are, or those of users and of items; "auto" takes integers where the start of
        the file has nothing else.
    seed : int
        For synthetic ratings.
    cache_dir : Path
        Where downloads, and unpacked archives, are kept.
    progress : Progress
        Told how far a download or unpacking is.
    part_bytes : int
        The size of a part of a text file, in bytes.
    event_values : mapping, optional
        Values of the words that a file has in the place of ratings: ``{"view": 1, "buy": 5}``. Of
        booleans they are 1 and 0 by default.
    query : str, optional
        What is read of a database of SQLite, in SQL; of a workbook, the name of the sheet.
    wide : bool
        Whether text has a user in each line, and an item in each column.
    dialect : Dialect, optional
        How texts and values are written; what it does not say is guessed.
    exact : bool
        Whether `ids` of int refuse, as auto does, numbers that would lose zeros in front.

    Returns
    -------
    Source
        Its parts can be read anywhere, in any order.

    Raises
    ------
    InputError
        There is no such source, or it cannot be read as ratings.
    RefusedError
        There is too little disk for a download or for unpacking.
    """
    if text.startswith(_SYNTHETIC):
        from mfdask.ratings.synthetic import open_synthetic  # brings Numba along, others need none

        return open_synthetic(text, seed)
    check_event_values(event_values)
    options = ReadOptions(
        columns=columns,
        ids=ids,
        event_values=event_values,
        query=query,
        wide=wide,
        dialect=dialect,
        exact=exact,
        cache_dir=cache_dir,
        part_bytes=part_bytes,
        progress=progress,
    )
    return open_files(_found(text, options))


def _found(text: str, options: ReadOptions) -> FileSet:
    """Find the files that a text means."""
    if "://" in text:
        return find_url(text, options)
    path = from_home(text)
    if text and path.exists():
        return find_files(path, options)
    matches = [Path(match) for match in sorted(glob.glob(str(path))) if text]  # noqa: PTH207 - may be absolute
    if matches:
        return matched_files(matches, path, options)
    if text in catalogue.NAMES:
        archive = catalogue.fetch(text, options.cache_dir, progress=options.progress)
        return find_files(archive, options)
    raise InputError(
        f"no source {text!r}: it is neither an existing file, folder or glob with a match, nor "
        f"'synthetic:small|1m|32m', nor one of {', '.join(catalogue.NAMES)}; check the spelling"
    )
