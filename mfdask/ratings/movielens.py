"""Read MovieLens in all its published forms, with titles, years and genres."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.source import IdKind
from mfdask.ratings.source_file import source_files
from mfdask.ratings.tables import FileSet

NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"\((\d{4})(?:\s*[-\u2013]\s*\d{0,4})?\)\s*$")  # series: (1975-1979), (2005-)
_Movie = tuple[str, str, str]  # id, title, genres joined by |


@dataclass(frozen=True)
class Form:
    """One published form: its two files, and the columns where the ratings have no header.

    `parts` matches the names of files that hold some of the ratings: the published folds.
    """

    ratings: str
    movies: str
    columns: dict[str, str] | None = None
    parts: str = "(?!)"

    def is_in(self, folder: Path) -> bool:
        """Tell whether `folder` holds this form."""
        return (folder / self.ratings).is_file() and (folder / self.movies).is_file()

    def has(self, file: Path) -> bool:
        """Tell whether a file holds ratings of this form, all or some."""
        named = file.name == self.ratings or re.fullmatch(self.parts, file.name)
        return bool(named) and (file.parent / self.movies).is_file()


_POSITIONS = {"user": "0", "item": "1", "rating": "2", "timestamp": "3"}
FORMS = (
    Form("ratings.csv", "movies.csv"),  # latest, 20M, 25M, 32M
    Form("ratings.dat", "movies.dat", _POSITIONS, r"r[1-5ab]\.(train|test)"),  # 10M and 1M
    Form("u.data", "u.item", _POSITIONS, r"u[1-5ab]\.(base|test)"),  # 100K
)


def find_movielens(path: Path) -> Path | None:
    """Return the file of MovieLens ratings that `path` means, None if there is none.

    `path` may be that file or one of a published fold, the folder that holds it, or the folder
    around that.
    """
    if path.is_file():
        return path if _form(path) else None
    if own := _ratings_in(path):
        return own
    inner = [found for place in path.iterdir() if place.is_dir() and (found := _ratings_in(place))]
    return inner[0] if len(inner) == 1 else None


def _ratings_in(folder: Path) -> Path | None:
    return next((folder / form.ratings for form in FORMS if form.is_in(folder)), None)


def _form(ratings: Path) -> Form | None:
    return next((form for form in FORMS if form.has(ratings)), None)


def name_of(ratings: Path) -> str:
    """Return the name of a data set of these ratings: that of their folder, and of their fold."""
    folder, form = ratings.resolve().parent.name, _form(ratings)
    whole = form is None or ratings.name == form.ratings
    return folder if whole else f"{folder}-{ratings.stem}"


def movielens_files(ratings: Path, name: str, origin: str, options: ReadOptions) -> FileSet:
    """Return MovieLens ratings, with the catalogue of movies that lies beside them.

    Parameters
    ----------
    ratings : Path
        A file that `find_movielens` found.
    name, origin : str
        See `Source`.
    options : ReadOptions
        MovieLens ids are integers unless `ids` is "string".

    Returns
    -------
    FileSet
        Genres are joined by ``|``; a movie without any has the genre "(no genres listed)", also
        where a form has its own word for it.

    Raises
    ------
    InputError
        The file of movies is damaged.
    """
    form = _form(ratings)
    if form is None:
        raise InputError(f"{ratings} is no file of MovieLens; they are {_listed()}")
    kind: IdKind = "string" if options.ids == "string" else "int"
    return FileSet(
        source_files([ratings]),
        name,
        origin,
        replace(options, columns=form.columns, ids=kind),
        read_catalogue(ratings.with_name(form.movies), kind),
    )


def _listed() -> str:
    return ", ".join(f"{form.ratings} + {form.movies}" for form in FORMS)


def read_catalogue(path: Path, kind: IdKind) -> pd.DataFrame:
    """Read a file of movies of any form into the `catalogue` of a `Source`.

    Raises
    ------
    InputError
        A line has too few fields, or an id that is no integer where `kind` is "int".
    """
    readers = {".csv": _csv_movies, ".dat": _dat_movies, ".item": _item_movies}
    try:
        movies = list(readers[path.suffix](path))
    except (ValueError, IndexError, csv.Error) as error:
        raise InputError(f"{path.name} is damaged ({error}); fetch the data set again") from error
    titles = [title for _, title, _ in movies]
    frame = pd.DataFrame(
        {
            "item_id": _ids([item_id for item_id, _, _ in movies], kind, path.name),
            "title": pd.Series(titles, dtype="str"),
            "year": pd.array([_year(title) for title in titles], dtype="Int16"),
            "genres": pd.Series([genres for _, _, genres in movies], dtype="str"),
        }
    )
    return frame.drop_duplicates("item_id", ignore_index=True)


def _ids(written: list[str], kind: IdKind, file: str) -> pd.Series:
    """Return ids of a kind; texts stay as they are written, as those of the ratings do."""
    if kind == "string":
        return pd.Series(written, dtype="str")
    whole = []
    for item_id in written:
        try:
            whole.append(np.int64(int(item_id)))
        except (ValueError, OverflowError):
            raise InputError(
                f"{file}: the id {item_id[:60]!r} is no whole number, as those of MovieLens are; "
                "`ids` string reads ids that are texts"
            ) from None
    return pd.Series(whole, dtype="int64")


def _year(title: str) -> int | None:
    found = _YEAR.search(title)
    return int(found.group(1)) if found else None


def _lines(path: Path) -> list[str]:
    """Return the lines that are not blank: UTF-8 (10M and younger), else Latin-1 (1M, 100K)."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return [line for line in io.StringIO(text, newline=None).read().split("\n") if line.strip()]


def _csv_movies(path: Path) -> Iterator[_Movie]:
    lines = (f"{line}\n" for line in _lines(path))
    for number, row in enumerate(csv.DictReader(lines), start=2):
        if None in row.values() or not {"movieId", "title", "genres"} <= row.keys():
            raise ValueError(f"line {number} is not movieId,title,genres")
        # A break within quotes is a space in the ratings' ids, too.
        movie_id, title, genres = (
            row[name].replace("\n", " ") for name in ("movieId", "title", "genres")
        )
        yield movie_id, title, genres


def _dat_movies(path: Path) -> Iterator[_Movie]:
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split("::")
        if len(fields) < 3:
            raise ValueError(f"line {number} is not MovieID::Title::Genres")
        yield fields[0], "::".join(fields[1:-1]), fields[-1]


def _item_movies(path: Path) -> Iterator[_Movie]:
    """Read `u.item`: id, title, two dates, an address, then a flag for each genre of `u.genre`."""
    genres = _genres(path.with_name("u.genre"))
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split("|")
        flags = fields[5:]
        if len(flags) != len(genres):
            raise ValueError(f"line {number} has {len(flags)} genre flags, not {len(genres)}")
        names = [genre for genre, flag in zip(genres, flags, strict=True) if flag == "1"]
        yield fields[0], fields[1], "|".join(names) or NO_GENRES


def _genres(path: Path) -> list[str]:
    """Read `u.genre`: a name and its number in each line."""
    if not path.is_file():
        raise ValueError("no u.genre beside it")
    numbered = [line.split("|") for line in _lines(path)]
    names = [name for name, _ in sorted(numbered, key=lambda pair: int(pair[1]))]
    return [NO_GENRES if name == "unknown" else name for name in names]
