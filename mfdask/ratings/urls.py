"""Find the files of ratings that a URL means: one, a folder, or those that a glob matches."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mfdask.errors import InputError
from mfdask.files import reading_url
from mfdask.ratings.archive import is_archive
from mfdask.ratings.folders import (
    find_files,
    fit_name,
    one_table,
    stem,
    table_suffix,
    unpacked,
)
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.source_file import SourceFile, told_by_folders
from mfdask.ratings.tables import FileSet

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_WEB = ("http", "https")


def find_url(url: str, options: ReadOptions) -> FileSet:
    """Return what belongs together at a URL of any kind that fsspec opens.

    Workers read the files where they are; compressed ones, archives and databases are copied into
    `cache_dir` once. Names and messages have neither passwords nor queries.

    Raises
    ------
    InputError
        Nothing is there, it cannot be read, or its driver is not installed.
    """
    with reading_url(url, "check the URL"):
        from fsspec.core import url_to_fs

        system, place = url_to_fs(url)
        paths = _matches(system, place)
    origin = _shown(place).name or "ratings"
    name = fit_name(stem(PurePosixPath(origin.replace("*", ""))) or _shown(place).parent.name)
    if not paths:
        raise InputError(f"{url} matches no file of ratings; check the URL")
    files = _files(system, paths)
    if len(files) == 1 and is_archive(PurePosixPath(files[0].name)):
        return find_files(files[0].local(options.cache_dir), options)
    return FileSet([unpacked(file, options) for file in files], name, origin, options)


def _matches(system: AbstractFileSystem, place: str) -> list[str]:
    """Return the files that a place means."""
    is_web = system.protocol in _WEB or set(system.protocol) & set(_WEB)
    if "*" in place or (not is_web and any(sign in place for sign in "?[")):
        return sorted(path for path in system.glob(place) if _is_visible(path, ""))
    if is_web or not system.isdir(place):
        return [place]
    found = [path for path in system.find(place) if _is_visible(path, place)]
    tables = [PurePosixPath(path) for path in found if table_suffix(PurePosixPath(path))]
    return [str(path) for path in one_table(sorted(tables), _shown(place).name)]


def _is_visible(path: str, folder: str) -> bool:
    parts = PurePosixPath(path.removeprefix(folder)).parts
    return not any(part.startswith((".", "_")) for part in parts)


def _files(system: AbstractFileSystem, paths: list[str]) -> list[SourceFile]:
    shown = [_shown(path) for path in paths]
    labels = [path.name for path in shown]
    if len(set(labels)) < len(labels):
        labels = [str(PurePosixPath(*path.parts[-3:])) for path in shown]
    if len(set(labels)) < len(labels):
        labels = [str(path) for path in shown]
    return [
        SourceFile(path, label, own.name.casefold(), told_by_folders(own), system)
        for path, label, own in zip(paths, labels, shown, strict=True)
    ]


def _shown(path: str) -> PurePosixPath:
    """Return a path without what may be a signature."""
    return PurePosixPath(path.partition("?")[0] if "://" in path else path)
