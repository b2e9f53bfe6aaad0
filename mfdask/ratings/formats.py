"""Open whatever a user names as a source of ratings, by its name, suffix or content."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from pathlib import Path

from mfdask.errors import InputError
from mfdask.progress import Progress, silent
from mfdask.ratings import catalogue, movielens
from mfdask.ratings.archive import unpack_zip
from mfdask.ratings.source import Source
from mfdask.ratings.tables import (
    PARQUET_SUFFIXES,
    TEXT_SUFFIXES,
    open_tables,
    printable,
    table_suffix,
)
from mfdask.ratings.text import PART_BYTES
from mfdask.ratings.values import Ids, check_event_values

_SYNTHETIC = "synthetic:"


def open_source(
    text: str,
    *,
    columns: Mapping[str, str] | None = None,
    ids: Ids = "auto",
    seed: int = 0,
    cache_dir: Path = Path("data/downloads"),
    progress: Progress = silent,
    part_bytes: int = PART_BYTES,
    event_values: Mapping[str, float] | None = None,
) -> Source:
    """Open the ratings that `text` names, in any form; nothing but their start is read yet.

    Parameters
    ----------
    text : str
        ``synthetic:…``, a file (CSV, TSV, Parquet, zip; text may be gzipped), a folder, a glob
        such as ``logs/*.csv``, or a name of the download catalogue such as ``ml-1m``.
    columns : mapping or None
        Which column is which: `user`, `item`, `rating`, `timestamp` to a name in the header or,
        for text without a header, to a position from 0. Without it the names are guessed. An empty
        `timestamp` leaves the timestamps out, an empty `rating` the ratings: each row is an event,
        or a withdrawal. So it is where user and item are named and no column looks like a rating.
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
    opener = _Opener(columns, ids, cache_dir, progress, part_bytes, event_values)
    path = Path(text).expanduser()
    if text and path.exists():
        return opener.path(path)
    matches = [Path(match) for match in sorted(glob.glob(str(path))) if text]  # noqa: PTH207 - may be absolute
    if matches:
        return opener.several(matches, path)
    if text in catalogue.NAMES:
        return opener.path(catalogue.fetch(text, cache_dir, progress=progress))
    raise InputError(
        f"no source {text!r}: it is neither an existing file, folder or glob with a match, nor "
        f"'synthetic:small|1m|32m', nor one of {', '.join(catalogue.NAMES)}; check the spelling"
    )


class _Opener:
    """Opens paths, all with the same options."""

    def __init__(
        self,
        columns: Mapping[str, str] | None,
        ids: Ids,
        cache_dir: Path,
        progress: Progress,
        part_bytes: int,
        event_values: Mapping[str, float] | None,
    ) -> None:
        self.columns = columns
        self.ids = ids
        self.cache_dir = cache_dir
        self.progress = progress
        self.part_bytes = part_bytes
        self.event_values = event_values

    def path(self, path: Path) -> Source:
        """Open one file or folder."""
        if path.is_file() and path.suffix.casefold() == ".zip":
            folder = _inner(unpack_zip(path, self.cache_dir, self.progress))
            return self.folder(folder, _name(path.stem), printable(path.name))
        if path.is_dir():
            name = path.resolve().name
            return self.folder(path, _name(name), printable(name))
        found = self._movielens(path)
        if found is not None:
            return self.folder(found, _name(found.resolve().name), printable(path.name))
        return self.tables([path], _name(_stem(path)), printable(path.name))

    def several(self, paths: list[Path], pattern: Path) -> Source:
        """Open all files that a glob matched."""
        files = [path for path in paths if path.is_file()]
        if not files:
            raise InputError(f"{pattern} matches no file, only folders; write {pattern}/*")
        stem = re.sub(r"[*?\[\]]+", "", _stem(pattern)) or pattern.resolve().parent.name
        return self.tables(files, _name(stem), printable(pattern.name))

    def folder(self, folder: Path, name: str, origin: str) -> Source:
        """Open a folder: MovieLens in it, or tables of one kind."""
        found = self._movielens(folder)
        if found is not None:
            return movielens.open_folder(
                found,
                name=name,
                origin=origin,
                ids=self.ids,
                cache_dir=self.cache_dir,
                part_bytes=self.part_bytes,
            )
        return self.tables(_tables_in(folder, origin), name, origin)

    def tables(self, paths: list[Path], name: str, origin: str) -> Source:
        """Open plain tables."""
        return open_tables(
            paths,
            name=name,
            origin=origin,
            columns=self.columns,
            ids=self.ids,
            cache_dir=self.cache_dir,
            part_bytes=self.part_bytes,
            event_values=self.event_values,
        )

    def _movielens(self, path: Path) -> Path | None:
        """Find MovieLens in a folder, unless it is to be read in another way."""
        return None if self.columns or self.event_values else movielens.find_folder(path)


def _inner(folder: Path) -> Path:
    """Step into the one folder that an archive holds, and the one in that, if it is so."""
    places = [place for place in folder.iterdir() if not place.name.startswith((".", "__MACOSX"))]
    return _inner(places[0]) if len(places) == 1 and places[0].is_dir() else folder


def _tables_in(folder: Path, origin: str) -> list[Path]:
    """Return the tables of a folder that belong together: one named ratings, else all alike."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and table_suffix(path))
    if not files:
        known = ", ".join(TEXT_SUFFIXES + PARQUET_SUFFIXES)
        raise InputError(
            f"no ratings in the folder {origin}: no file that ends in {known}; name the file, or "
            "the folder it lies in"
        )
    named = [path for path in files if path.name.casefold().partition(".")[0] == "ratings"]
    if len(named) == 1:
        return named
    stems = {(re.sub(r"[0-9]+", "#", _stem(path)), table_suffix(path)) for path in files}
    if len(files) > 1 and len(stems) > 1:
        listed = ", ".join(path.name for path in files[:8]) + (" …" if len(files) > 8 else "")
        raise InputError(
            f"the folder {origin} holds several tables ({listed}); name the one with the ratings, "
            "or a glob such as 'part-*.csv' that matches those that belong together"
        )
    return files


def _stem(path: Path) -> str:
    name = path.name
    for end in (".gz", *TEXT_SUFFIXES, *PARQUET_SUFFIXES):
        if name.casefold().endswith(end):
            name = name[: -len(end)]
    return name


def _name(text: str) -> str:
    """Make a short name that is fit for a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "ratings"
