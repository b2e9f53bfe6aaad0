"""Every form of file: any ratings written in it are read back the same."""

from __future__ import annotations

import io
import json
import logging
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mfdask.errors import InputError, RefusedError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings import archive
from mfdask.ratings.formats import open_source
from mfdask.sheets import write_sheet

from . import forms
from .test_cleaning import read, relaxed, write

DAY = 86_400
SMALL = pd.DataFrame(
    {
        "user_id": [3, 1, 2, 3],
        "item_id": [10, 7, 10, 8],
        "rating": np.array([4, 1, 3, 5], np.float32),
        "timestamp": [DAY, 9 * DAY, 3 * DAY, 0],
    }
)
names = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters='"'), min_size=1, max_size=4
)
tables = st.lists(
    st.tuples(
        st.integers(-(2**62), 2**62),
        names,
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        # Not what looks like 2005-04-01 written as a number.
        st.integers(-62_135_596_800, 253_402_300_799).filter(
            lambda time: not 19_000_101 <= time <= 20_991_231
        ),
    ),
    min_size=1,
    max_size=12,
)


def opened(path: Path, **options: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    source = open_source(str(path), cache_dir=path.parent / "cache", **options)
    good, bad = read(source)
    return good.reset_index(drop=True), bad


def in_any_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(forms.COLUMNS[:2], ignore_index=True)


@pytest.mark.parametrize("form", forms.ANY)
@relaxed
@given(rows=tables, part_bytes=st.integers(1, 300))
def test_any_ratings_are_read_back(
    form: str, rows: list[tuple], part_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    frame = pd.DataFrame(rows, columns=forms.COLUMNS)
    frame["item_id"] = "#" + frame["item_id"]
    frame = frame.astype({"rating": "float32"})
    path = forms.ANY[form](frame, tmp_path_factory.mktemp("t"))
    good, bad = opened(path, part_bytes=part_bytes, **forms.options(form))
    assert bad.empty
    pd.testing.assert_frame_equal(good, frame.astype({"item_id": "str"}))


@pytest.mark.parametrize("form", [forms.market, forms.npz])
def test_sparse_matrices(form, tmp_path: Path) -> None:
    good, bad = opened(form(SMALL, tmp_path))
    assert bad.empty
    expected = SMALL.drop(columns="timestamp").astype({"user_id": "int64"})
    pd.testing.assert_frame_equal(in_any_order(good), in_any_order(expected))


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "dia", "bsr"])
def test_any_format_of_scipy(format: str, tmp_path: Path) -> None:
    matrix = sparse.eye_array(3).asformat(format) * 2
    sparse.save_npz(tmp_path / "r.npz", matrix)
    good, _ = opened(tmp_path / "r.npz")
    kept = good[good["rating"] != 0]  # blocks hold zeros
    assert kept["user_id"].tolist() == kept["item_id"].tolist() == [0, 1, 2]


def test_a_pattern_has_no_ratings(tmp_path: Path) -> None:
    head = "%%MatrixMarket matrix coordinate pattern general\n% said\n3 4 2\n"
    path = write(tmp_path, head + "1 4\n3 2\n", "r.mtx")
    good, _ = opened(Path(path))
    assert good.to_dict("list") == {"user_id": [1, 3], "item_id": [4, 2]}


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}], object)
    parts = dict.fromkeys(("format", "shape", "data", "row", "col"), objects)
    np.savez(tmp_path / "r.npz", **parts)
    with pytest.raises(InputError, match="allow_pickle=False"):
        opened(tmp_path / "r.npz")[0]
    np.savez(tmp_path / "s.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="no sparse matrix"):
        opened(tmp_path / "s.npz")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_netflix_blocks(tmp_path: Path, line_end: str) -> None:
    path = forms.netflix(SMALL, tmp_path / "combined_data_1.txt")
    path.write_bytes(path.read_text().replace("\n", line_end).encode())
    for part_bytes in (1, 9, 40, 10**6):
        good, bad = opened(path, part_bytes=part_bytes)
        assert bad.empty
        pd.testing.assert_frame_equal(in_any_order(good), in_any_order(SMALL))


def test_a_netflix_folder_with_its_titles(tmp_path: Path) -> None:
    folder = tmp_path / "training_set"
    folder.mkdir()
    for item, rows in SMALL.groupby("item_id"):
        forms.netflix(rows, folder / f"mv_{item:07d}.txt")
    write(tmp_path, "1:\n5\n", "probe.txt")
    write(tmp_path, "7,2003,One, Two\n8,NULL,Caf\xe9\n".encode("latin-1"), "movie_titles.txt")
    for place in (folder, tmp_path):
        source = open_source(str(place), cache_dir=tmp_path / "cache")
        good, _ = read(source)
        pd.testing.assert_frame_equal(
            in_any_order(good.reset_index(drop=True)), in_any_order(SMALL)
        )
        assert source.catalogue is not None
        assert source.catalogue["title"].tolist() == ["One, Two", "Café"]
        assert source.catalogue["year"].tolist() == [2003, pd.NA]


def test_bad_rows_of_blocks_have_the_numbers_of_their_lines(tmp_path: Path) -> None:
    text = "7:\n1,5,2005-09-06\n2,x,2005-09-06\n8:\n9:\n3,4,2005-09-06\n3,4\n"
    good, bad = opened(Path(write(tmp_path, text, "r.txt")))
    assert good["item_id"].tolist() == [7, 9]
    assert bad["row"].tolist() == [2, 6]


def test_bad_lines_of_json(tmp_path: Path) -> None:
    lines = [
        {"user": 1, "item": "a", "rating": 5},
        {"user": 2.0, "item": "b", "rating": "4.5", "rest": {"deep": []}},
        {"user": 3, "item": "c"},
        {"user": None, "item": "d", "rating": 1},
        {"user": 5, "item": ["e"], "rating": 1},
        {"user": 6, "item": "f", "rating": float("nan")},
    ]
    text = "\n\n".join([*map(json.dumps, lines), "[1]", "{cut", "[" * 5000, '{"user": 7}\r'])
    good, bad = opened(
        Path(write(tmp_path, text.encode() + b'\n{"user":8,"item":"\xff"}', "r.json"))
    )
    assert good.to_dict("list") == {"user_id": [1, 2], "item_id": ["a", "b"], "rating": [5, 4.5]}
    reasons = [
        "missing rating",
        "missing user id",
        "item id is a list or object",
        "rating is not finite",
        "not an object of JSON",
        "not an object of JSON",
        "not an object of JSON",
        "missing item id",
        "not UTF-8 text",
    ]
    assert bad["reason"].tolist() == reasons
    assert bad["row"].tolist() == [4, 6, 8, 10, 12, 14, 16, 18, 19]


def test_ids_of_json_that_are_texts_stay_texts(tmp_path: Path) -> None:
    text = '{"reviewerID":"1","asin":"007","overall":5.0,"unixReviewTime":9}\n'
    path = Path(write(tmp_path, text, "r.jsonl"))
    source = open_source(str(path), cache_dir=tmp_path)
    assert source.item_kind == "string"
    assert read(source)[0]["item_id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'user': 1, 'item': 2}\n", "Python's dicts"),
        ('{\n "user": [1, 2]\n}\n', "no line is an object"),
        ("[{]", "not whole JSON"),
        ("[{}, 1]", "not all of its list are objects"),
    ],
)
def test_other_json_says_how_to_write_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"{message}.*orient='records', lines=True"):
        opened(Path(write(tmp_path, text, "r.json")))


@pytest.mark.parametrize("end", forms.COMPRESSED)
@pytest.mark.parametrize("form", ["csv", "json_lines", "parquet"])
def test_compressed_files(tmp_path: Path, end: str, form: str) -> None:
    plain = forms.ANY[form](SMALL, tmp_path)
    packed = plain.with_name(plain.name + end)
    packed.write_bytes(forms.COMPRESSED[end](plain.read_bytes()))
    plain.unlink()
    source = open_source(str(packed), cache_dir=tmp_path / "cache")
    assert (source.name, source.parts[0].file) == ("r", packed.name)
    pd.testing.assert_frame_equal(read(source)[0].reset_index(drop=True), SMALL)


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", *(f"a.tar{end}" for end in forms.COMPRESSED)])
def test_tar_files(tmp_path: Path, name: str) -> None:
    data = forms.csv(SMALL, tmp_path).read_bytes()
    path = forms.tar(tmp_path / name, {"in/part-1.csv": data, "in/._part-1.csv": b"x"})
    for _ in range(2):  # the second time from the cache
        good, _ = opened(path)
        pd.testing.assert_frame_equal(good, SMALL)
    assert open_source(str(path), cache_dir=tmp_path / "cache").name == "a"


@pytest.mark.parametrize("name", ["../out.csv", "/out.csv", "a/../../out.csv", "C:\\out.csv"])
def test_no_member_of_a_tar_file_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="outside its folder"):
        opened(forms.tar(tmp_path / "a.tar", {"good.csv": b"1", name: b"2"}))
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        member = tarfile.TarInfo("r.csv")
        member.type, member.linkname = kind, "/etc/passwd"
        packed.addfile(member, io.BytesIO())
    with pytest.raises(InputError, match="link or device"):
        opened(tmp_path / "a.tar")


@pytest.mark.parametrize("end", forms.COMPRESSED)
def test_what_swells_beyond_the_disk_is_refused(tmp_path, monkeypatch, end: str) -> None:
    path = tmp_path / f"r.csv{end}"
    path.write_bytes(forms.COMPRESSED[end](b"0" * 5_000_000))
    usage = archive.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(RefusedError, match=r"0\.00 GB free"):
        opened(path)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("end", forms.COMPRESSED)
def test_damaged_compression(tmp_path: Path, end: str) -> None:
    whole = forms.COMPRESSED[end](np.random.default_rng(1).bytes(50_000))
    for data in (b"plain", whole[:-9], whole[:5000]):
        path = tmp_path / f"r.csv{end}"
        path.write_bytes(data)
        with pytest.raises(InputError, match="is not a"):
            opened(path)


def test_hive_folders(tmp_path: Path) -> None:
    folder = forms.hive(SMALL, tmp_path)
    by_user = SMALL.sort_values("user_id", kind="stable", ignore_index=True)
    for place in (folder, folder / "*" / "*.csv"):
        good, _ = opened(place)
        pd.testing.assert_frame_equal(good, by_user, check_like=True)
    for user, rows in SMALL.groupby("user_id"):
        inner = tmp_path / "p" / f"user_id={user}"
        inner.mkdir(parents=True)
        rows.drop(columns="user_id").to_parquet(inner / "x.parquet", index=False)
    good, _ = opened(tmp_path / "p")
    pd.testing.assert_frame_equal(good, by_user, check_like=True)


def test_texts_and_missing_values_in_the_names_of_folders(tmp_path: Path) -> None:
    for user in ("J%C3%BC%2Frgen", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / "h" / f"user={user}").mkdir(parents=True)
        for name, row in (("r.csv", "item,rating\n1,2\n"), ("r.csv.gz", "")):
            write(tmp_path / "h" / f"user={user}", row, name)
    good, bad = opened(tmp_path / "h")
    assert good["user_id"].tolist() == ["Jü/rgen"]
    assert bad["reason"].tolist() == ["missing user id"]


def test_folders_that_spark_appended_to(tmp_path: Path, caplog) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    parts = [
        "00000-6f1a2b3c-0d4e-4f5a-8b6c-9a1b2c3d4eaf",
        "00000-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    ]
    for number, part in enumerate(parts):
        SMALL[number::2].to_csv(folder / f"part-{part}-c000.csv", index=False)
        write(folder, b"crc", f".part-{part}-c000.csv.crc")
    write(folder, "", "_SUCCESS")
    write(folder, "", "part-00001-6f1a2b3c-0d4e-4f5a-8b6c-9a1b2c3d4eaf-c000.csv")
    with caplog.at_level(logging.WARNING):
        good, _ = opened(folder)
    pd.testing.assert_frame_equal(in_any_order(good), in_any_order(SMALL))
    assert "1 of 3 files are empty" in caplog.text


def test_a_delta_table_holds_what_its_log_says(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    (folder / "_delta_log").mkdir(parents=True)
    for name in ("old", "new"):
        SMALL[int(name == "new") :].to_parquet(folder / f"{name}.parquet", index=False)
    actions = (
        [{"add": {"path": "old.parquet"}}],
        [
            {"remove": {"path": "old.parquet"}},
            {"add": {"path": "new.parquet"}},
        ],
    )
    for number, commit in enumerate(actions):
        text = "\n".join(map(json.dumps, commit))
        write(folder / "_delta_log", text, f"{number:020d}.json")
    assert len(opened(folder)[0]) == 3
    write(folder / "_delta_log", '{"add": {"path": "../r.parquet"}}', f"{2:020d}.json")
    with pytest.raises(InputError, match="outside"):
        opened(folder)
    (folder / "_delta_log" / f"{0:020d}.json").unlink()
    with pytest.raises(InputError, match="does not go back to its start"):
        opened(folder)


def test_a_database_without_a_query_names_its_tables(tmp_path: Path) -> None:
    path = forms.sqlite(SMALL, tmp_path)
    with pytest.raises(InputError, match=r"the tables r; .*SELECT"):
        opened(path)
    attach = f"ATTACH '{tmp_path / 'x.db'}' AS x"
    for query in ("SELECT * FROM s", "DELETE FROM r", attach, "PRAGMA user_version = 3"):
        with pytest.raises(InputError, match="the query fails"):
            opened(path, query=query)
    assert not (tmp_path / "x.db").exists()
    good, _ = opened(path, query="SELECT user_id, item_id, rating FROM r WHERE rating > 3")
    assert good["rating"].tolist() == [4, 5]


def test_a_damaged_database_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "r.sqlite").write_bytes(b"SQLite format 3\0" + bytes(50))
    for query in (None, "SELECT 1 FROM r"):
        with pytest.raises(InputError, match="not a whole database; fetch it again"):
            opened(tmp_path / "r.sqlite", query=query)


def test_an_empty_list_of_json_is_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.json is an empty list; nothing to read"):
        opened(Path(write(tmp_path, "[]", "r.json")))


def test_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    write_sheet(SMALL, tmp_path / "r.xlsx")
    good, bad = opened(tmp_path / "r.xlsx")
    pd.testing.assert_frame_equal(good, SMALL)
    assert bad.empty
    pd.testing.assert_frame_equal(opened(tmp_path / "r.xlsx", query="table")[0], SMALL)


def test_ids_that_a_cell_cannot_hold_are_bad_rows(tmp_path: Path) -> None:
    large = SMALL.assign(item_id=[2**53 + 1, *SMALL["item_id"][1:]])
    write_sheet(large, tmp_path / "r.xlsx")
    good, bad = opened(tmp_path / "r.xlsx")
    assert len(bad) == 1
    pd.testing.assert_frame_equal(good.reset_index(drop=True), SMALL[1:].reset_index(drop=True))


def test_workbooks_that_cannot_be_read_say_why(tmp_path: Path, monkeypatch) -> None:
    write_sheet(SMALL, tmp_path / "r.xlsx")
    with pytest.raises(InputError, match="has the sheets table; name one"):
        opened(tmp_path / "r.xlsx", query="ratings")
    (tmp_path / "cut.xlsx").write_bytes((tmp_path / "r.xlsx").read_bytes()[:400])
    with pytest.raises(InputError, match="is not a whole workbook"):
        opened(tmp_path / "cut.xlsx")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(InputError, match=r"pip install 'mfdask\[sheets\]'; or .* CSV"):
        opened(tmp_path / "r.xlsx")


@pytest.mark.parametrize(
    ("name", "data", "mend"),
    [
        ("r.csv", b"PK\x03\x04", r"\.zip or \.xlsx"),
        ("r.h5", b"\x89HDF\r\n", "to_parquet"),
        ("r.pkl", b"\x80\x04", "to_parquet"),
        ("r.csv", b"\x1f\x8b\x08", r"\.gz"),
        ("r.feather", b"FEA1", "version 2"),
        ("r.avro", b"Obj\x01", "Parquet"),
    ],
)
def test_what_is_not_read_says_what_to_do(
    tmp_path: Path, name: str, data: bytes, mend: str
) -> None:
    with pytest.raises(InputError, match=mend):
        opened(Path(write(tmp_path, data, name)))


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    for form in ("parquet", "feather", "orc", "json_lines"):
        data = forms.ANY[form](SMALL, tmp_path).read_bytes()
        good, _ = opened(Path(write(tmp_path, data, "export.csv")))
        pd.testing.assert_frame_equal(good, SMALL)


@pytest.mark.parametrize("part_bytes", [1, 30, 10**6])
def test_wide_text(tmp_path: Path, part_bytes: int) -> None:
    wide = SMALL.pivot(index="user_id", columns="item_id", values="rating")
    wide.to_csv(tmp_path / "r.csv")
    good, bad = opened(tmp_path / "r.csv", wide=True, part_bytes=part_bytes)
    assert bad.empty
    expected = in_any_order(SMALL.drop(columns="timestamp"))
    pd.testing.assert_frame_equal(in_any_order(good), expected)


def test_wide_text_of_names_and_bad_ratings(tmp_path: Path) -> None:
    text = "name;Alien;Up, and away\r\nann;4,5;NA\r\n007;;3\r\nbob;x;5\r\n"
    path = Path(write(tmp_path, text.replace("4,5", "4.5"), "r.csv"))
    good, bad = opened(path, wide=True)
    assert good["user_id"].tolist() == ["ann", "007", "bob"]
    assert good["item_id"].tolist() == ["Alien", "Up, and away", "Up, and away"]
    assert bad[["row", "text"]].to_numpy().tolist() == [[2, "bob,Alien,x"]]
    with pytest.raises(InputError, match="too few or too many"):
        opened(Path(write(tmp_path, "u,1,2\n1,5\n", "s.csv")), wide=True)
    with pytest.raises(InputError, match="twice"):
        opened(Path(write(tmp_path, "u,1,1\n1,5,4\n", "s.csv")), wide=True)


@pytest.mark.parametrize("form", ["csv", "feather", "json_lines", "json_list", "orc", "sqlite"])
@settings(relaxed, max_examples=5)
@given(
    rows=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3)), min_size=2),
    repeated=st.integers(0, 3),
)
def test_each_row_is_counted_once(
    form: str, rows: list[tuple], repeated: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In any form, what is read is kept, rejected or a duplicate; 0 stands for a bad rating."""
    frame = pd.DataFrame([*rows, *rows[:repeated], (9, 9, 1)], columns=forms.COLUMNS[:3])
    frame["rating"] = frame["rating"].where(frame["rating"] > 0, np.nan).astype("float64")
    folder = tmp_path_factory.mktemp("t")
    path = forms.ANY[form](frame.assign(timestamp=range(len(frame))), folder)
    source = open_source(str(path), cache_dir=folder / "cache", **forms.options(form))
    counts = ingest(source, folder / "d", choices=IngestOptions(max_rejected=1.0)).counts
    good = frame.dropna()
    assert counts.read == len(frame)
    assert counts.rejected == len(frame) - len(good)
    assert counts.kept == len(good.drop_duplicates(forms.COLUMNS[:2]))
    assert counts.read == counts.kept + counts.rejected + counts.duplicates
