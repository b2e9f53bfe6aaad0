"""Good and bad rows, against a reader that goes through the file value by value."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfdask.ratings import cleaning
from mfdask.ratings.formats import open_source
from mfdask.ratings.source import REJECTED_COLUMNS, Source

HEADER = "user,item,rating,timestamp"
YEAR_1, YEAR_10000 = (int(np.datetime64(year, "s").astype(int)) for year in ("0001", "10000"))
relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(folder: Path, text: str | bytes, name: str = "r.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def read(source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All good and all bad rows, numbered through the file."""
    good, bad, line = [], [], 0
    for part in source.parts:
        parsed = pickle.loads(pickle.dumps(part)).read()
        assert parsed.n_read == len(parsed.ratings) + len(parsed.rejected)
        assert list(parsed.rejected.columns) == REJECTED_COLUMNS
        good.append(parsed.ratings.set_axis(parsed.ratings.index + line, axis=0))
        bad.append(parsed.rejected.assign(row=parsed.rejected["row"] + line))
        line += parsed.n_lines
    return pd.concat(good), pd.concat(bad, ignore_index=True)


BAD_LINES = {
    "2,3": "cut-off line: 2 fields, 4 expected",
    "1,2,3,4,5": "too many fields: 5, 4 expected",
    ",3,1,5": "missing user id",
    "1,,1,5": "missing item id",
    "1,2,,5": "missing rating",
    "1,2,3,": "missing timestamp",
    "nan,2,3,5": "missing user id",
    "x,2,3,5": "user id is not an integer (ids = string keeps it)",
    "1,2.5,3,5": "item id is not an integer (ids = string keeps it)",
    "99999999999999999999,2,3,5": "user id does not fit into 64 bits (ids = string keeps it)",
    "1,2,good,5": "rating is not a number",
    "1,2,1_0,5": "rating is not a number",
    "1,2,nan,5": "rating is not finite",
    "1,2,-inf,5": "rating is not finite",
    "1,2,1e300,5": "rating is not finite",
    "1,2,3,soon": "timestamp is not a number",
    "1,2,3,inf": "timestamp is not finite",
    "1,2,3,1e300": "timestamp is not a second since 1970 of the years 1 to 9999",
    "1,2,3,1600000000000": "timestamp is not a second since 1970 of the years 1 to 9999",
    "1,2,3,-62135596801": "timestamp is not a second since 1970 of the years 1 to 9999",
    '"1,2,3,4': "cut-off line: 1 fields, 4 expected",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_each_kind_of_bad_line_is_rejected_with_its_reason(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"{HEADER}\n1,2,3.5,7\n{line}\n2,2,4,8\n")
    good, bad = read(open_source(path, ids="int", cache_dir=tmp_path))
    assert good.index.tolist() == [1, 3]
    assert bad.to_dict("records") == [
        {"file": "r.csv", "row": 2, "reason": BAD_LINES[line], "text": line}
    ]


def test_odd_but_good_lines_are_kept(tmp_path: Path) -> None:
    lines = [
        "12.0, 3 ,+4,7",
        '"5","6","1e0","8"',
        "1.5e1,2,.5,9.9",
        "\u0661,2,3,4",
        "-1,-2,-3,-4.5",
    ]
    path = write(tmp_path, "\n".join([HEADER, *lines]))
    good, bad = read(open_source(path, ids="int", cache_dir=tmp_path))
    assert good.to_numpy().tolist() == [
        [12, 3, 4, 7],
        [5, 6, 1, 8],
        [15, 2, 0.5, 9],
        [-1, -2, -3, -5],
    ]
    assert bad["reason"].tolist() == ["user id is not an integer (ids = string keeps it)"]


def test_blank_lines_bom_and_crlf_are_counted_right(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER}\r\n1,2,3,4\r\n\r\n   \r\n5,6\r\n7,8,9,10"
    good, bad = read(open_source(write(tmp_path, text), cache_dir=tmp_path))
    assert good.index.tolist() == [1, 5]
    assert good["timestamp"].tolist() == [4, 10]
    assert bad[["row", "text"]].to_numpy().tolist() == [[4, "5,6"]]


def test_no_utf8_and_long_lines_are_rejected(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.encode() + b"\na,2,3,4\n\xff,2,3,4\n" + b"x" * 1000 + b"\n")
    good, bad = read(open_source(path, cache_dir=tmp_path))
    assert good["user_id"].tolist() == ["a"]
    assert bad["reason"].tolist() == ["not UTF-8 text", "cut-off line: 1 fields, 4 expected"]
    assert bad["text"].tolist() == ["\\xff,2,3,4", "x" * 500 + "…"]


def test_line_break_within_quotes_makes_one_row_of_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, f'{HEADER}\n"1\n2",3,4,5\n6,7,8,9\n')
    good, bad = read(open_source(path, ids="int", cache_dir=tmp_path))
    assert good["user_id"].tolist() == [6]
    assert bad["row"].tolist() == [1]


texts = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(str),
    st.integers(0, 99).map(str),
    st.sampled_from(
        ["", " ", "x", "007", "12.0", " 5 ", "+3", "1e3", "nan", "é", '"7"', '"', "1_0"]
    ),
)
table_lines = st.lists(st.lists(texts, min_size=3, max_size=5).map(",".join), max_size=30)


def oracle(line: str) -> tuple[int, int, np.float32, int] | None:
    """Read a line of integers, rating and seconds in the most obvious way."""
    fields = line.split(",")
    if len(fields) != 4 or "_" in line:
        return None
    try:
        user, item = (whole(text.strip().strip('"')) for text in fields[:2])
        rating, time = (number(text.strip().strip('"')) for text in fields[2:])
    except ValueError:
        return None
    in_range = all(-(2**63) <= value < 2**63 for value in (user, item))
    in_range = in_range and YEAR_1 <= time < YEAR_10000
    if not in_range or not is_finite(rating):
        return None
    return user, item, np.float32(rating), math.floor(time)


def is_finite(rating: float) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.float32(rating)))


def number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def whole(text: str) -> int:
    value = number(text)
    if isinstance(value, float) and (not value.is_integer() or abs(value) >= 2**53):
        raise ValueError(text)
    return int(value)


@relaxed
@given(lines=table_lines, part_bytes=st.integers(1, 200), small=st.sampled_from([1, 4, 8192]))
def test_any_text_reads_as_the_oracle_reads_it(
    lines: list[str], part_bytes: int, small: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [line for line in lines if line.count('"') % 2 == 0 and not odd_quotes(line)]
    folder = tmp_path_factory.mktemp("t")
    path = write(folder, "\n".join([HEADER, "1,1,1,1", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "SMALL", small)
        source = open_source(path, ids="int", cache_dir=folder, part_bytes=part_bytes)
        good, bad = read(source)
    expected = {2 + place: oracle(line) for place, line in enumerate(lines) if line.strip()}
    expected[1] = (1, 1, np.float32(1), 1)
    right = {place: row for place, row in sorted(expected.items()) if row is not None}
    assert good.index.tolist() == list(right)
    assert [tuple(row) for row in good.itertuples(index=False)] == list(right.values())
    assert bad["row"].tolist() == sorted(set(expected) - set(right))


def odd_quotes(line: str) -> bool:
    """Quotes elsewhere than around a field, where the oracle knows no better than anybody."""
    return any('"' in field and field != '"7"' for field in line.split(","))


@relaxed
@given(
    users=st.lists(st.one_of(st.none(), st.integers(0, 9).map(float), st.floats()), max_size=40),
    ratings=st.lists(st.one_of(st.none(), st.floats()), min_size=40, max_size=40),
)
def test_parquet_keeps_just_the_whole_ids_with_finite_ratings(
    users: list[float | None],
    ratings: list[float | None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("t") / "r.parquet"
    users = [1.0, *users]
    ratings = [1.0, *ratings[: len(users) - 1]]
    columns = {"user": users, "item": [str(i) for i in range(len(users))], "rating": ratings}
    pq.write_table(pa.table(columns), path, row_group_size=7)
    good, bad = read(open_source(str(path), cache_dir=path.parent))
    fine = [
        place
        for place, (user, rating) in enumerate(zip(users, ratings, strict=True))
        if user is not None
        and float(user).is_integer()
        and abs(user) < 2**53
        and rating is not None
        and is_finite(rating)
    ]
    assert good.index.tolist() == fine
    assert good["user_id"].tolist() == [users[place] for place in fine]
    assert good["rating"].tolist() == [np.float32(ratings[place]) for place in fine]
    assert sorted(bad["row"]) == sorted(set(range(len(users))) - set(fine))
