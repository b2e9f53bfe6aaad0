"""Plain CSV, TSV and Parquet: written, then read back the same."""

from __future__ import annotations

import gzip
import hashlib
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ratings.formats import open_source

from .test_cleaning import read, relaxed, write

FRAME = pd.DataFrame(
    {
        "user_id": [3, 1, -2],
        "item_id": [10, 2**62, 10],
        "rating": np.array([4.5, -1, 3], np.float32),
        "timestamp": [0, -5, 1_600_000_000],
    }
)
id_texts = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters='"'), min_size=1, max_size=5
)


def same(source_text: str, folder: Path, expected: pd.DataFrame = FRAME, **options: object) -> None:
    good, bad = read(open_source(source_text, cache_dir=folder / "cache", **options))
    assert len(bad) == 0
    pd.testing.assert_frame_equal(good.reset_index(drop=True), expected)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_text_with_any_delimiter_reads_back(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "r.csv"
    FRAME.to_csv(path, sep=delimiter, index=False)
    for part_bytes in (1, 7, 40, 10**6):
        same(str(path), tmp_path, part_bytes=part_bytes)


@relaxed
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            id_texts,
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.integers(-62_135_596_800, 253_402_300_799),
        ),
        min_size=1,
    ),
    part_bytes=st.integers(1, 300),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_frame_reads_back_whatever_the_part_size(
    rows: list[tuple], part_bytes: int, line_end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("t")
    frame = pd.DataFrame(rows, columns=list(FRAME.columns)).astype(
        {"user_id": "int64", "item_id": "str", "rating": "float32", "timestamp": "int64"}
    )
    written = frame.astype({"item_id": "str"}).rename(columns={"item_id": "item"})
    written["item"] = "#" + written["item"]
    frame["item_id"] = "#" + frame["item_id"]
    written.to_csv(folder / "r.csv", index=False, lineterminator=line_end)
    same(str(folder / "r.csv"), folder, frame, part_bytes=part_bytes)
    written.to_parquet(folder / "r.parquet", row_group_size=part_bytes)
    same(str(folder / "r.parquet"), folder, frame)


def test_gzip_folder_and_glob_read_all_files(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(3):
        packed = gzip.compress(FRAME[number : number + 1].to_csv(index=False).encode())
        (folder / f"part-{number}.csv.gz").write_bytes(packed)
    (folder / "_SUCCESS").touch()
    (folder / "notes.md").write_text("not a table")
    same(str(folder), tmp_path)
    same(str(folder / "part-*.csv.gz"), tmp_path)
    source = open_source(str(folder), cache_dir=tmp_path / "cache")
    assert [part.file for part in source.parts] == [f"part-{n}.csv.gz" for n in range(3)]
    assert (source.name, source.origin) == ("logs", "logs")


def test_columns_by_name_in_any_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [7], "stars!": [2], "who": [1], "x": ["é,"], "what": [5]})
    frame.to_csv(tmp_path / "r.csv", index=False)
    columns = {"user": "who", "item": "what", "rating": "stars!"}
    expected = pd.DataFrame({"user_id": [1], "item_id": [5], "rating": np.float32([2])})
    same(str(tmp_path / "r.csv"), tmp_path, expected, columns=columns)
    expected["timestamp"] = 7
    same(str(tmp_path / "r.csv"), tmp_path, expected, columns={**columns, "timestamp": "t"})


def test_columns_by_position_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path, "9,1,4.5,2\n8,3,1,4\n")
    expected = pd.DataFrame({"user_id": [1, 3], "item_id": [2, 4], "rating": np.float32([4.5, 1])})
    columns = {"user": "1", "item": "3", "rating": "2"}
    same(path, tmp_path, expected, columns=columns)
    with pytest.raises(InputError, match=r"no header, the first line is 9, 1, 4\.5, 2"):
        open_source(path, cache_dir=tmp_path)


def test_an_empty_timestamp_leaves_the_times_out(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "r.csv", index=False)
    columns = {"timestamp": ""}
    same(str(tmp_path / "r.csv"), tmp_path, FRAME.drop(columns="timestamp"), columns=columns)
    assert not open_source(
        str(tmp_path / "r.csv"), columns=columns, cache_dir=tmp_path
    ).has_timestamps


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2020-01-01", "1969-12-31T23:59:59.5"], [1577836800, -1]),
        (["2020-01-01 00:00:00Z", "2020-01-01T02:00:00+02:00"], [1577836800, 1577836800]),
        (["1.5", "-1.5"], [1, -2]),
        (["1.5e9", "7"], [1500000000, 7]),
    ],
)
def test_times_become_whole_seconds(tmp_path: Path, texts: list[str], expected: list[int]) -> None:
    frame = pd.DataFrame({"user": 1, "item": [1, 2], "rating": 1.0, "date": texts})
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_parquet(tmp_path / "r.parquet")
    for name in ("r.csv", "r.parquet"):
        good, _ = read(open_source(str(tmp_path / name), cache_dir=tmp_path))
        assert good["timestamp"].tolist() == expected
    # A bad row among them sends the others the slow way, to the same result.
    (tmp_path / "r.csv").write_text((tmp_path / "r.csv").read_text() + "1,1,1,never\n")
    good, bad = read(open_source(str(tmp_path / "r.csv"), cache_dir=tmp_path))
    assert good["timestamp"].tolist() == expected
    assert bad["reason"].str.startswith("timestamp is not").all()


@pytest.mark.parametrize("kind", ["int64", "uint64", "float64", "str"])
def test_parquet_times_beyond_the_calendar(tmp_path: Path, kind: str) -> None:
    times = [0, 253_402_300_799, 1_600_000_000_000, 2**63 - 1]
    frame = pd.DataFrame({"user": range(4), "item": 1, "rating": 1.0, "ts": times})
    frame.astype({"ts": kind}).to_parquet(tmp_path / "r.parquet")
    good, bad = read(open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path))
    assert good["timestamp"].tolist() == times[:2]
    assert bad["reason"].str.endswith("of the years 1 to 9999").tolist() == [True] * 2


@pytest.mark.parametrize("kind", ["int64", "uint64", "float64", "str"])
def test_milliseconds_are_read_as_such(tmp_path: Path, kind: str) -> None:
    times = [1_600_000_000_000, 1_600_000_000_500]
    frame = pd.DataFrame({"user": 1, "item": [1, 2], "rating": 1.0, "ts": times})
    frame = frame.astype({"ts": kind})
    frame.to_parquet(tmp_path / "r.parquet")
    frame.to_csv(tmp_path / "r.csv", index=False)
    for name in ("r.parquet", "r.csv"):
        good, bad = read(open_source(str(tmp_path / name), cache_dir=tmp_path))
        assert good["timestamp"].tolist() == [1_600_000_000] * 2
        assert not len(bad)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_parquet_moments_of_any_unit(tmp_path: Path, unit: str, zone: str | None) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    moments = pa.array([-1, 5 * per_second, None], pa.timestamp(unit, zone))
    table = pa.table({"user": [1, 2, 3], "item": [1, 2, 3], "rating": [1, 2, 3], "ts": moments})
    pq.write_table(table, tmp_path / "r.parquet")
    good, bad = read(open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path))
    assert good["timestamp"].tolist() == [-1, 5]
    assert bad["reason"].tolist() == ["missing timestamp"]


def test_parquet_of_unusual_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user": pa.array(["b", "a", "b"]).dictionary_encode(),
            "item": pa.array([1, 2**64 - 1, 3], pa.uint64()),
            "rating": pa.array(["1.5", "2", "3"]).cast(pa.decimal128(5, 2)),
            "date": pa.array([0, 1, 2], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    good, bad = read(open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path))
    assert good["user_id"].tolist() == ["b", "a", "b"]
    assert good["item_id"].tolist() == ["1", str(2**64 - 1), "3"]
    assert good["timestamp"].tolist() == [0, 86400, 172800]
    good, bad = read(open_source(str(tmp_path / "r.parquet"), ids="string,int", cache_dir=tmp_path))
    assert good["item_id"].tolist() == [1, 3]
    assert bad["reason"].tolist() == ["item id does not fit into 64 bits (ids = string keeps it)"]


def test_numbers_as_names_look_alike_from_integers_and_floats(tmp_path: Path) -> None:
    ids = pa.chunked_array([[12.0, 2.5, 123456789012.0, None, math.nan]])
    table = pa.table({"user": ids, "item": [1, 2, 3, 4, 5], "rating": [1.0] * 5})
    pq.write_table(table, tmp_path / "r.parquet")
    good, bad = read(open_source(str(tmp_path / "r.parquet"), ids="string", cache_dir=tmp_path))
    assert good["user_id"].tolist() == ["12", "2.5", "123456789012"]
    assert good["item_id"].tolist() == ["1", "2", "3"]
    assert bad["reason"].tolist() == ["missing user id"] * 2


def test_decimals_are_ids_to_the_last_digit(tmp_path: Path) -> None:
    ids = [12345678901234567, 12345678901234568, 12345678901234567890]
    users = pa.array(map(Decimal, ids), pa.decimal128(38, 0))
    table = pa.table({"user": users, "item": users, "rating": [1.0, 2.0, 3.0]})
    pq.write_table(table, tmp_path / "r.parquet")
    good, bad = read(open_source(str(tmp_path / "r.parquet"), ids="int", cache_dir=tmp_path))
    assert good["user_id"].tolist() == ids[:2]
    assert bad["reason"].tolist() == ["user id does not fit into 64 bits (ids = string keeps it)"]
    good, _ = read(open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path))
    assert good["item_id"].tolist() == [str(one) for one in ids]


def test_bytes_are_text_or_refused(tmp_path: Path) -> None:
    table = pa.table({"user": [b"a", "é".encode()], "item": [1, 2], "rating": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "r.parquet")
    good, _ = read(open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path))
    assert good["user_id"].tolist() == ["a", "é"]
    latin = pa.array([b"a", "é".encode("latin-1")])
    said_to_be_text = pa.Array.from_buffers(pa.string(), 2, latin.buffers())
    for users in (latin, said_to_be_text):
        pq.write_table(table.set_column(0, "user", users), tmp_path / "r.parquet")
        with pytest.raises(InputError, match=r"r\.parquet: column 'user' holds bytes that are not"):
            open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (["1", "2"], "int"),
        (["1.0", "20.0"], "int"),
        (["007", "8"], "string"),
        (["a", "1"], "string"),
    ],
)
def test_ids_are_integers_only_if_nothing_is_lost(
    tmp_path: Path, ids: list[str], kind: str
) -> None:
    frame = pd.DataFrame({"user": ids, "item": 1, "rating": 1})
    frame.to_csv(tmp_path / "r.csv", index=False)
    frame.to_parquet(tmp_path / "r.parquet")
    source = open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path)
    assert read(source)[0]["user_id"].tolist() == ids  # somebody wrote them as text
    for name, wanted in (("r.csv", "auto"), ("r.parquet", "int" if kind == "int" else "auto")):
        source = open_source(str(tmp_path / name), ids=wanted, cache_dir=tmp_path)
        assert (source.user_kind, source.item_kind) == (kind, "int")
        good, bad = read(source)
        assert good["user_id"].tolist() == (
            ids if kind == "string" else [int(float(i)) for i in ids]
        )
        assert good["user_id"].dtype == ("str" if kind == "string" else "int64")
        assert len(bad) == 0


def test_one_file_with_names_makes_names_of_all(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\n1,1,1\n", "p-1.csv")
    write(tmp_path, "user,item,rating\nx,1,1\n", "p-2.csv")
    source = open_source(str(tmp_path), cache_dir=tmp_path / "cache")
    assert read(source)[0]["user_id"].tolist() == ["1", "x"]


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    FRAME.to_csv(path, index=False)
    (part,) = open_source(str(path), cache_dir=tmp_path).parts
    assert part.read().digest == hashlib.sha256(path.read_bytes()).hexdigest()
    FRAME.to_parquet(tmp_path / "a.parquet")
    FRAME.assign(rating=np.float32([4.5, -1, 3.5])).to_parquet(tmp_path / "b.parquet")
    FRAME.to_parquet(tmp_path / "c.parquet")
    digests = [
        open_source(str(tmp_path / f"{name}.parquet"), cache_dir=tmp_path).parts[0].read().digest
        for name in "abc"
    ]
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "r.csv is empty"),
        (b"\n\n", "r.csv is empty"),
        (b"user,item,rating\n", "has a header but no ratings"),
        (b"user,item,rating", "has a header but no ratings"),
        (b"hello\nworld\n", "no comma, tab"),
        (b"who,what,rating\n1,2,3\n", "no column looks like the user in the header who, what"),
        (b"user,item,Event Type\n1,2,buy\n", "rating=Event Type and what each word is worth"),
        (b"user,User,item,rating\n1,2,3,4\n", "two columns look like the user"),
        (b"u\0s\0", "holds NUL bytes"),
        (b"user,item,rating\r1,2,3\r", "r.csv: its lines end in CR alone; save it with"),
        (b"user,item,rating\r" + b"1,2,3\r" * 60_000, "its lines end in CR alone"),
        (b"x," * 9999 + b"y\n1\n", "the user in the header x, .{280,297}…; write columns user"),
        (b"x" * (2**18 + 1), "longer than 256 KiB"),
    ],
)
def test_files_that_are_no_ratings(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=message):
        open_source(path, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": "nobody"}, "no column 'nobody'"),
        ({"colour": "user"}, "'colour' is not one of user, item, rating, timestamp"),
        ({"user": "item"}, "meant twice"),
        ({"user": "0"}, "none for item"),
        ({"user": "0", "item": "1", "rating": "9"}, "rating=9 is beyond the last column"),
        ({"item": "twice"}, "'twice' twice"),
    ],
)
def test_wrong_columns(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    path = write(tmp_path, "user,item,rating,twice,twice\n1,2,3,4,5\n")
    with pytest.raises(InputError, match=message):
        open_source(path, columns=columns, cache_dir=tmp_path)


def test_parquet_that_is_none_or_lacks_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.parquet is not a whole Parquet file"):
        open_source(write(tmp_path, b"PAR1 cut off", "r.parquet"), cache_dir=tmp_path)
    pd.DataFrame({"user": [1], "item": [1]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(InputError, match="looks like the rating in the header user, item"):
        open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path)
    pd.DataFrame({"user": [1], "item": [1], "rating": [[1]]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(InputError, match=r"'rating' has type list.* cannot be the rating"):
        open_source(str(tmp_path / "r.parquet"), cache_dir=tmp_path)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_file_without_rows_among_others(tmp_path: Path, end: str) -> None:
    for number, rows in enumerate([0, 3, 0]):
        path = tmp_path / f"p-{number}.{end}"
        if end == "csv":
            FRAME[:rows].to_csv(path, index=False)
        else:
            FRAME[:rows].to_parquet(path)
    same(str(tmp_path), tmp_path / "other")
    for number in range(3):
        (tmp_path / f"p-{number}.{end}").write_bytes((tmp_path / f"p-0.{end}").read_bytes())
    with pytest.raises(InputError, match="no ratings"):
        open_source(str(tmp_path), cache_dir=tmp_path / "cache")


def test_some_files_with_times_and_some_without(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\n1,1,1\n", "p-1.csv")
    write(tmp_path, "user,item,rating,time\n1,1,1,1\n", "p-2.csv")
    with pytest.raises(InputError, match=r"p-2\.csv has timestamps, p-1\.csv has none"):
        open_source(str(tmp_path), cache_dir=tmp_path / "cache")


def test_a_file_that_shrinks_after_it_was_opened(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating\n1,1,1\n2,2,2\n")
    source = open_source(path, cache_dir=tmp_path)
    write(tmp_path, "user,item,rating\n")
    with pytest.raises(InputError, match="became shorter"):
        source.parts[0].read()
