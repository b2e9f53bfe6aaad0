"""What the user names, and what is opened for it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from mfdask.errors import InputError
from mfdask.ratings import catalogue
from mfdask.ratings.formats import open_source

from .test_cleaning import read, write
from .test_movielens import csv_form, dat_form

ROW = "user,item,rating\n1,2,3\n"


def test_synthetic_ratings_are_handed_on(tmp_path: Path) -> None:
    source = open_source(
        "synthetic:users=20,items=10,ratings=50", seed=3, cache_dir=tmp_path / "cache"
    )
    assert sum(part.read().n_read for part in source.parts) == 50


def test_a_name_of_the_catalogue_is_fetched_and_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    dat_form(folder)

    def fetch(name: str, cache_dir: Path, **_: object) -> Path:
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"ml-10M100K/{path.name}")
        return tmp_path / f"{name}.zip"

    monkeypatch.setattr(catalogue, "fetch", fetch)
    source = open_source("ml-10m", cache_dir=tmp_path / "cache")
    assert (source.name, source.origin) == ("ml-10m", "ml-10m.zip")
    assert len(read(source)[0]) == 3


@pytest.mark.parametrize("text", ["ml-3m", "nowhere/r.csv", "nowhere/*.csv", ""])
def test_nothing_of_that_name(tmp_path: Path, text: str) -> None:
    where = str(tmp_path / text) if "/" in text else text
    with pytest.raises(InputError, match=r"no source .*synthetic:.*ml-latest-small, .*ml-32m"):
        open_source(where, cache_dir=tmp_path)


def test_names_are_fit_for_folders(tmp_path: Path) -> None:
    for file, name in [("my ratings!.csv", "my-ratings"), ("…csv", "csv"), ("a.b.tsv", "a.b")]:
        assert open_source(write(tmp_path, ROW, file), cache_dir=tmp_path).name == name
    (tmp_path / "logs").mkdir()
    for day in "12":
        write(tmp_path / "logs", ROW, f"day-{day}.csv")
    assert open_source(str(tmp_path / "logs/day-*.csv"), cache_dir=tmp_path).name == "day"
    assert open_source(str(tmp_path / "logs/*.csv"), cache_dir=tmp_path).name == "logs"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, ROW, os.fsdecode(b"r\xe9.csv")), cache_dir=tmp_path)
    assert (source.name, source.origin) == ("r", "r\\xe9.csv")
    assert source.parts[0].file == "r\\xe9.csv"


def test_folders_without_ratings_or_with_several_tables(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    write(folder, "hello", "README.md")
    write(folder, ROW, ".hidden.csv")
    with pytest.raises(InputError, match=r"no ratings in the folder f: .* name the file"):
        open_source(str(folder), cache_dir=tmp_path)
    write(folder, ROW, "a.csv")
    write(folder, ROW, "b.csv")
    with pytest.raises(InputError, match=r"several tables \(a\.csv, b\.csv\)"):
        open_source(str(folder), cache_dir=tmp_path)
    write(folder, "user,item,rating\n7,8,9\n", "ratings.csv")
    assert read(open_source(str(folder), cache_dir=tmp_path))[0]["user_id"].tolist() == [7]
    with pytest.raises(InputError, match="only folders"):
        open_source(str(tmp_path / "[f]"), cache_dir=tmp_path / "cache")


def test_columns_turn_a_movielens_folder_into_a_plain_one(tmp_path: Path) -> None:
    csv_form(tmp_path)
    columns = {"user": "movieId", "item": "userId"}
    source = open_source(str(tmp_path), columns=columns, cache_dir=tmp_path)
    assert source.catalogue is None
    assert read(source)[0]["user_id"].tolist() == [5, 2, 5]


@pytest.mark.parametrize("member", ["ratings.csv", "inner/part-1.csv", "a/b/c/r.csv"])
def test_a_zip_may_hold_a_plain_table(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr(member, ROW)
    source = open_source(str(tmp_path / "mine.zip"), cache_dir=tmp_path / "cache")
    assert (source.name, len(read(source)[0])) == ("mine", 1)


def test_two_movielens_sets_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        csv_form(tmp_path / name)
    with pytest.raises(InputError, match="no ratings in the folder"):
        open_source(str(tmp_path), cache_dir=tmp_path / "cache")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for device in (tmp_path / "pipe.csv", Path("/dev/null")):
        with pytest.raises(InputError, match="is neither a file nor a folder"):
            open_source(str(device), cache_dir=tmp_path)
    (tmp_path / "broken.csv").symlink_to("nowhere")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for link in ("broken.csv", "loop.csv"):
        with pytest.raises(InputError, match=rf"{link} is a link that leads nowhere"):
            open_source(str(tmp_path / link), cache_dir=tmp_path)


def test_a_query_of_what_has_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no database or workbook.*query says.*leave it out"):
        open_source(write(tmp_path, ROW), cache_dir=tmp_path, query="SELECT 1")
