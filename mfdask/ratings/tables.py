"""Make one source of several files, all read the same way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mfdask.errors import InputError
from mfdask.ratings.kinds import Kinds, forms_of, notes_of, types_of
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers import open_file
from mfdask.ratings.readers.base import OpenedFile
from mfdask.ratings.source import Part, Source
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import STRING, wanted_ids

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSet:
    """Files that belong together.

    Attributes
    ----------
    files : list of SourceFile
        In the order in which they are read.
    name, origin : str
        See `Source`.
    options : ReadOptions
    catalogue : DataFrame, optional
        See `Source`.
    """

    files: list[SourceFile]
    name: str
    origin: str
    options: ReadOptions
    catalogue: pd.DataFrame | None = None


def open_files(file_set: FileSet) -> Source:
    """Open tables of ratings, with no row read yet.

    Raises
    ------
    InputError
        A file is missing, empty, damaged or not a table of ratings; no file has any row; some
        files have timestamps, or ratings, and others have none.
    """
    origin, options = file_set.origin, file_set.options
    files = [open_file(file, options) for file in _without_empty(file_set.files)]
    if not any(file.has_rows for file in files):
        raise InputError(f"{origin} has a header but no ratings; nothing to read")
    has_times, has_ratings, has_split, has_weights = (
        _all_have(files, role) for role in ("timestamp", "rating", "split", "weight")
    )
    if options.event_values and not has_ratings:
        raise InputError(
            f"{origin}: no column has the words of `event_values`; name it with `columns` "
            "rating=NAME, such as rating=event"
        )
    named = {role for file in files for role in ("user", "item") if file.kinds.get(role) == STRING}
    parts = [part for file in files for part in _parts(file, named, options)]
    return Source(
        name=file_set.name,
        parts=tuple(parts),
        user_kind="string" if "user" in named else "int",
        item_kind="string" if "item" in named else "int",
        has_timestamps=has_times,
        catalogue=file_set.catalogue,
        origin=origin,
        has_ratings=has_ratings,
        has_split=has_split,
        has_weights=has_weights,
        reading=f"{files[0].described()}{notes_of(files[0].kinds)}",
    )


def _without_empty(files: Sequence[SourceFile]) -> Sequence[SourceFile]:
    """Leave out files of no bytes among others, as Spark writes them."""
    filled = [file for file in files if file.size()]
    if filled and len(filled) < len(files):
        _LOG.warning("%d of %d files are empty; left out", len(files) - len(filled), len(files))
    return filled or files[:1]


def _all_have(files: Sequence[OpenedFile], role: str) -> bool:
    """Whether all files have a column, or none has it."""
    having = [file for file in files if role in file.kinds]
    if 0 < len(having) < len(files):
        without = next(file for file in files if role not in file.kinds)
        raise InputError(
            f"{having[0].label} has {role}s, {without.label} has none; "
            f"leave them out with `columns` {role}="
        )
    return bool(having)


def _parts(file: OpenedFile, named: set[str], options: ReadOptions) -> list[Part]:
    """Cut a file into parts, with the roles `named` as text: what one file needs, all files do."""
    kinds = {role: STRING if role in named else kind for role, kind in file.kinds.items()}
    return [
        replace(part, **reading_of(kinds, options))
        for part in file.parts(types_of(kinds), options.part_bytes)
    ]


def reading_of(kinds: Kinds, options: ReadOptions) -> dict[str, Any]:
    """Return what a `Part` says of how its values are read."""
    free = {role for role in ("user", "item") if wanted_ids(options.ids, role) == "auto"}
    named = {role for role in free if kinds[role] == STRING}
    settled = free - named
    if options.dialect.decimal is None and "rating" in kinds:
        settled.add("rating")
    return {
        "forms": forms_of(kinds),
        "missing": options.dialect.missing or (),
        "settled": frozenset(settled),
        "named": frozenset(named),
    }
