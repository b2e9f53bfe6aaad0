"""Find the ratings of the Netflix Prize in a folder, with the titles of its films."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.source_file import source_files
from mfdask.ratings.tables import FileSet
from mfdask.ratings.values import wanted_ids

#: ``training_set/mv_0000001.txt`` and so on as first published, four files today.
_FILES = ("mv_[0-9]*.txt", "combined_data_[0-9]*.txt")
_TITLES = ("movie_titles.txt", "movie_titles.csv")
_TITLE = re.compile(r"([0-9]+),([0-9]{4}|NULL),(.*)")


def find_ratings(folder: Path) -> list[Path]:
    """Return the files of ratings in a folder, or in its ``training_set``; none if it has none."""
    for place in (folder, folder / "training_set"):
        for pattern in _FILES:
            if files := sorted(place.glob(pattern)):
                return files
    return []


def netflix_files(files: list[Path], name: str, origin: str, options: ReadOptions) -> FileSet:
    """Return ratings, with the catalogue of films where it lies beside them.

    Raises
    ------
    InputError
        The file of titles is damaged.
    """
    folders = (files[0].parent, files[0].parent.parent)
    places = [folder / title for folder in folders for title in _TITLES]
    titles = next((place for place in places if place.is_file()), None)
    catalogue = None
    if titles is not None:
        catalogue = _catalogue(titles)
        if wanted_ids(options.ids, "item") == "string":
            catalogue = catalogue.astype({"item_id": "str"})
    return FileSet(source_files(files), name, origin, options, catalogue)


def _catalogue(path: Path) -> pd.DataFrame:
    """Read ``1,2003,Dinosaur Planet``: a title may hold commas."""
    lines = [line for line in path.read_text("latin-1").splitlines() if line.strip()]
    found = [_TITLE.fullmatch(line) for line in lines]
    if not all(found):
        bad = found.index(None) + 1
        raise InputError(f"{path.name} is damaged (line {bad} is not id,year,title)")
    rows = [match.groups() for match in found if match]
    return pd.DataFrame(
        {
            "item_id": pd.Series([int(row[0]) for row in rows], dtype="int64"),
            "title": pd.Series([row[2] for row in rows], dtype="str"),
            "year": pd.array([None if row[1] == "NULL" else int(row[1]) for row in rows], "Int16"),
            "genres": pd.Series([""] * len(rows), dtype="str"),
        }
    ).drop_duplicates("item_id", ignore_index=True)
