"""MovieLens in all its forms, tiny, from the folder and from the zip."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.ratings.formats import open_source

from .test_cleaning import read

RATINGS = [(1, 5, 4.0, 964982703), (1, 2, 3.0, 964982224), (7, 5, 1.0, 847434962)]
MOVIES = [
    (2, "Name, The (1995)", 1995, "Comedy|Drama"),
    (5, "Cité des enfants perdus, La (1995)", 1995, "Comedy"),
    (9, 'Say "Hello"', None, "(no genres listed)"),
]


def csv_form(folder: Path) -> None:
    rows = "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in RATINGS)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    (folder / "movies.csv").write_text(
        "movieId,title,genres\r\n"
        '2,"Name, The (1995)",Comedy|Drama\r\n'
        '5,"Cité des enfants perdus, La (1995)",Comedy\r\n'
        '9,"Say ""Hello""",(no genres listed)\r\n',
        encoding="utf-8",
    )
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,2,funny,3\n")
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n2,3,4\n")


def dat_form(folder: Path, encoding: str = "latin-1") -> None:
    (folder / "ratings.dat").write_text(
        "".join(f"{u}::{i}::{r:g}::{t}\n" for u, i, r, t in RATINGS)
    )
    movies = "".join(f"{i}::{title}::{genres}\n" for i, title, _, genres in MOVIES)
    (folder / "movies.dat").write_text(movies, encoding=encoding)
    (folder / "users.dat").write_text("1::F::1::10::48067\n")


def item_form(folder: Path) -> None:
    (folder / "u.data").write_text("".join(f"{u}\t{i}\t{r:g}\t{t}\n" for u, i, r, t in RATINGS))
    genres = ["unknown", "Comedy", "Drama"]
    (folder / "u.genre").write_text("".join(f"{g}|{n}\n" for n, g in enumerate(genres)) + "\n")
    lines = []
    for item, title, _, names in MOVIES:
        flags = "|".join(str(int(g in names.split("|"))) for g in genres)
        flags = "1|0|0" if names.startswith("(") else flags
        lines.append(f"{item}|{title}|01-Jan-1995||http://imdb|{flags}\n")
    (folder / "u.item").write_text("".join(lines), encoding="latin-1")
    (folder / "u1.base").write_text("")


FORMS = {
    "csv": csv_form,
    "dat": dat_form,
    "dat-utf8": lambda folder: dat_form(folder, "utf-8"),
    "item": item_form,
}


@pytest.fixture(params=FORMS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / "ml tiny"
    made.mkdir()
    FORMS[request.param](made)
    return made


def check(text: str, cache_dir: Path, part_bytes: int = 10**6) -> None:
    source = open_source(text, cache_dir=cache_dir, part_bytes=part_bytes)
    good, bad = read(source)
    assert [tuple(row) for row in good.itertuples(index=False)] == RATINGS
    assert good["rating"].dtype == np.float32
    assert len(bad) == 0
    assert (source.user_kind, source.item_kind, source.has_timestamps) == ("int", "int", True)
    assert source.name == "ml-tiny"
    expected = pd.DataFrame(MOVIES, columns=["item_id", "title", "year", "genres"])
    expected = expected.astype({"title": "str", "year": "Int16", "genres": "str"})
    pd.testing.assert_frame_equal(source.catalogue, expected)


@pytest.mark.parametrize("part_bytes", [1, 25, 10**6])
def test_folder(folder: Path, tmp_path: Path, part_bytes: int) -> None:
    check(str(folder), tmp_path / "cache", part_bytes)
    assert not (tmp_path / "cache").exists()


def test_the_file_of_ratings_means_its_folder(folder: Path, tmp_path: Path) -> None:
    name = next(n for n in ("ratings.csv", "ratings.dat", "u.data") if (folder / n).exists())
    check(str(folder / name), tmp_path / "cache")


@pytest.mark.parametrize(
    ("form", "names"), [(item_form, ("u1.base", "ua.test")), (dat_form, ("r1.train", "rb.test"))]
)
def test_published_folds(form, names: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "ml-tiny"
    folder.mkdir()
    form(folder)
    whole = folder / ("u.data" if form is item_form else "ratings.dat")
    lines = whole.read_text().splitlines(keepends=True)
    for name, own in zip(names, (lines[:2], lines[2:]), strict=True):
        (folder / name).write_text("".join(own))
        source = open_source(str(folder / name), cache_dir=tmp_path / "cache")
        assert len(read(source)[0]) == len(own)
        assert source.name == f"ml-tiny-{name.split('.')[0]}"
        assert source.catalogue["title"].tolist() == [title for _, title, _, _ in MOVIES]
    whole.unlink()  # a fold may lie there without the rest
    assert len(read(open_source(str(folder / names[0]), cache_dir=tmp_path / "cache"))[0]) == 2
    (folder / "u9.base").write_text("".join(lines))
    with pytest.raises(InputError, match="no header"):
        open_source(str(folder / "u9.base"), cache_dir=tmp_path / "cache")


def test_zip_and_the_folder_around(folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "ml-tiny.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"ml-inner/{path.name}")
        archive.writestr("__MACOSX/ml-inner/._ratings.csv", b"\0\1")
    check(str(packed), tmp_path / "cache")
    check(str(packed), tmp_path / "cache")  # now unpacked already
    (unpacked,) = (tmp_path / "cache").iterdir()
    unpacked.rename(tmp_path / "ml-tiny")
    check(str(tmp_path / "ml-tiny"), tmp_path / "cache")


def test_string_ids_reach_the_catalogue_too(folder: Path, tmp_path: Path) -> None:
    source = open_source(str(folder), ids="string", cache_dir=tmp_path)
    assert read(source)[0]["item_id"].tolist() == ["5", "2", "5"]
    assert source.catalogue["item_id"].tolist() == ["2", "5", "9"]


def test_ids_that_are_texts_are_read_as_they_are_written(tmp_path: Path) -> None:
    """Files of one's own in the form of MovieLens: the error names the way, and it is one."""
    (tmp_path / "ratings.csv").write_text(
        'userId,movieId,rating,timestamp\nann,007,4,1\nbob,"two\nlines",3,2\n'
    )
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n007,A,Drama\n"two\nlines",B,Drama\n', encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"'two lines' is no whole number.*ids string"):
        open_source(str(tmp_path), cache_dir=tmp_path / "cache")
    source = open_source(str(tmp_path), ids="string", cache_dir=tmp_path / "cache")
    assert read(source)[0]["item_id"].tolist() == ["007", "two lines"]
    assert source.catalogue["item_id"].tolist() == ["007", "two lines"]


def test_years_of_series_and_odd_titles(tmp_path: Path) -> None:
    csv_form(tmp_path)
    titles = {
        "A (1975-1979)": 1975,
        "B (2006\u2013)": 2006,
        "C (x) (1999) ": 1999,
        "D (1999) x": None,
    }
    lines = "".join(f"{n},{title},Drama\n" for n, title in enumerate(titles))
    (tmp_path / "movies.csv").write_text(f"movieId,title,genres\n{lines}", encoding="utf-8")
    found = open_source(str(tmp_path), cache_dir=tmp_path).catalogue
    assert [None if pd.isna(year) else year for year in found["year"]] == list(titles.values())


@pytest.mark.parametrize("name", ["movies.csv", "movies.dat", "u.item", "u.genre"])
def test_a_damaged_file_of_movies(tmp_path: Path, name: str) -> None:
    {"c": csv_form, "d": dat_form, "m": item_form, "e": item_form}[
        "m" if name == "u.item" else "e" if name == "u.genre" else name[-3]
    ](tmp_path)
    (tmp_path / name).write_text("movieId,title\nx,y\n")
    with pytest.raises(InputError, match=r"is damaged \("):
        open_source(str(tmp_path), cache_dir=tmp_path)


@pytest.mark.movielens
def test_ml_latest_small(movielens_zip: Path, tmp_path: Path) -> None:
    source = open_source(str(movielens_zip), cache_dir=tmp_path, part_bytes=400_000)
    good, bad = read(source)
    assert len(source.parts) > 3
    assert (len(good), good["user_id"].nunique(), len(bad)) == (100_836, 610, 0)
    assert len(source.catalogue) == 9_742
    assert set(good["item_id"]) <= set(source.catalogue["item_id"])
    assert source.catalogue["year"].notna().mean() > 0.99
    assert source.catalogue["genres"].ne("").all()
    assert good.index.tolist() == list(range(1, 100_837))
