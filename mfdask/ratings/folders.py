"""Find the files of ratings that a path means: in archives, folders and globs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TypeVar

from mfdask.errors import InputError
from mfdask.ratings import delta, movielens, netflix_prize
from mfdask.ratings.archive import CODECS, is_archive, unpack_archive, unpack_file
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers import SUFFIXES
from mfdask.ratings.readers.sqlite import SQLITE
from mfdask.ratings.source_file import SourceFile, printable, source_files
from mfdask.ratings.tables import FileSet

AnyPath = TypeVar("AnyPath", bound=PurePath)
#: Begins of the names of text that comes with tables.
_NOTES = ("readme", "license", "licence", "changelog")
#: What differs between the names of files of one table: numbers, and the ids that Spark gives.
_VARYING = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{16,}|[0-9]+")


def find_files(path: Path, options: ReadOptions) -> FileSet:
    """Return what belongs together in a file or folder that is there.

    Raises
    ------
    InputError
        An archive is damaged; a folder holds no table, or several.
    RefusedError
        There is too little disk for unpacking.
    """
    if path.is_file() and is_archive(path):
        folder = _inner(unpack_archive(path, options.cache_dir, options.progress))
        return _in_folder(folder, fit_name(stem(path)), printable(path.name), options)
    if path.is_dir():
        name = path.resolve().name
        return _in_folder(path, fit_name(name), printable(name), options)
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder; save what it gives in a file")
    found = _movielens(path, options)
    if found is not None:
        name = fit_name(movielens.name_of(found))
        return movielens.movielens_files(found, name, printable(path.name), options)
    return FileSet(_plain([path], options), fit_name(stem(path)), printable(path.name), options)


def matched_files(paths: Sequence[Path], pattern: Path, options: ReadOptions) -> FileSet:
    """Return all files that a glob matched."""
    files = [path for path in paths if path.is_file()]
    if not any(path.exists() for path in paths):
        raise InputError(f"{pattern} is a link that leads nowhere; mend it, or name the file")
    if not files:
        raise InputError(f"{pattern} matches no file, only folders; write {pattern}/*")
    fixed = re.sub(r"[*?\[\]]+", "", stem(pattern)) or pattern.resolve().parent.name
    return FileSet(_plain(files, options), fit_name(fixed), printable(pattern.name), options)


def _in_folder(folder: Path, name: str, origin: str, options: ReadOptions) -> FileSet:
    """Return MovieLens in a folder, or its tables of one kind."""
    found = _movielens(folder, options)
    if found is not None:
        return movielens.movielens_files(found, name, origin, options)
    if files := netflix_prize.find_ratings(folder):
        return netflix_prize.netflix_files(files, name, origin, options)
    return FileSet(_plain(_tables_in(folder, origin), options), name, origin, options)


def _movielens(path: Path, options: ReadOptions) -> Path | None:
    """Find MovieLens in a folder, unless it is to be read in another way."""
    return None if options.columns or options.event_values else movielens.find_movielens(path)


def _plain(paths: Sequence[Path], options: ReadOptions) -> list[SourceFile]:
    """Unpack what is compressed."""
    return [unpacked(file, options) for file in source_files(paths)]


def unpacked(file: SourceFile, options: ReadOptions) -> SourceFile:
    """Return a file that can be read in parts: itself, or what is compressed in it."""
    if not file.name.endswith((*CODECS, *SQLITE.suffixes)) or not file.size():
        return file
    here = file.local(options.cache_dir)
    if file.name.endswith(SQLITE.suffixes):
        return replace(file, path=here, system=None)
    plain = unpack_file(here, options.cache_dir).resolve()
    return replace(file, path=plain, name=Path(file.name).stem, system=None)


def _inner(folder: Path) -> Path:
    """Step into the one folder that an archive holds, and the one in that, if it is so."""
    hidden = (".", "__macosx", *_NOTES)
    places = [p for p in folder.iterdir() if not p.name.casefold().startswith(hidden)]
    return _inner(places[0]) if len(places) == 1 and places[0].is_dir() else folder


def _tables_in(folder: Path, origin: str) -> list[Path]:
    """Return the tables of a folder that belong together: one named ratings, else all alike."""
    if delta.is_table(folder):
        return delta.held_files(folder)
    files = _visible_tables(folder)
    if not files:
        known = ", ".join(SUFFIXES)
        raise InputError(
            f"no ratings in the folder {origin}: no file that ends in {known}; name the file, or "
            "the folder it lies in"
        )
    return one_table(files, origin)


def one_table(files: list[AnyPath], origin: str) -> list[AnyPath]:
    """Return the files of a folder that make one table.

    Raises
    ------
    InputError
        They are of several.
    """
    named = [path for path in files if path.name.casefold().partition(".")[0] == "ratings"]
    if len(named) == 1:
        return named
    stems = {(_VARYING.sub("#", stem(path)), table_suffix(path)) for path in files}
    if len(files) > 1 and len(stems) > 1:
        listed = ", ".join(path.name for path in files[:8]) + (" …" if len(files) > 8 else "")
        raise InputError(
            f"the folder {origin} holds several tables ({listed}); name the one with the ratings, "
            "or a glob such as 'part-*.csv' that matches those that belong together"
        )
    return files


def _visible_tables(folder: Path) -> list[Path]:
    """Return the tables of a folder, and of folders in it that are named like ``day=7``.

    What may be something else, such as JSON, is left out beside others.
    """
    files = [path for path in folder.iterdir() if path.is_file() and table_suffix(path)]
    sure = [path for path in files if table_suffix(path) != ".json"]
    for inner in folder.iterdir():
        if inner.is_dir() and "=" in inner.name and not inner.name.startswith((".", "_")):
            sure += _visible_tables(inner)
    return sorted(sure or files)


def table_suffix(path: PurePath) -> str | None:
    """Return the suffix that tells the form (before `.gz`), None if it is no table."""
    name = _decompressed(path.name.casefold())
    if name.startswith((".", "_", *_NOTES)):
        return None
    return next((end for end in SUFFIXES if name.endswith(end)), None)


def stem(path: PurePath) -> str:
    """Return the name of a file without the ends that tell its form."""
    name = _decompressed(path.name)
    ends = (".zip", ".tar", ".tgz", ".tbz2", ".txz", *SUFFIXES)
    end = next((end for end in ends if name.casefold().endswith(end)), "")
    return name[: len(name) - len(end)]


def _decompressed(name: str) -> str:
    """Return the name of a file without the end that tells how it is compressed."""
    end = next((end for end in CODECS if name.casefold().endswith(end)), "")
    return name[: len(name) - len(end)]


def fit_name(text: str) -> str:
    """Make a short name that is fit for a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "ratings"
