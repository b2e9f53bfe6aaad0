"""Times in every form that is read, and values that are no plain numbers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ingestion.parts import clean_partition, read_batch
from mfdask.ingestion.summary import outliers
from mfdask.ratings.dates import date_shape
from mfdask.ratings.dialect import Dialect
from mfdask.ratings.formats import open_source
from mfdask.ratings.partitions import partition_of
from mfdask.ratings.times import sniff_times

from .test_cleaning import read, relaxed, write

DAYS = [dt.datetime(2022, 12, 31, 18, 5, 9), dt.datetime(2023, 1, 2, 3, 4, 5)]


def read_parts(path: str, folder: Path, **options: object) -> pd.DataFrame:
    """The good rows as an ingest takes them in, and the rejected reasons in `attrs`."""
    source = open_source(path, cache_dir=folder, **options)
    parts = [read_batch([part]) for part in source.parts]
    good = pd.concat([part.ratings.astype({"user_id": "object"}) for part in parts])
    good.attrs["reasons"] = [r for part in parts for r in part.rejected["reason"]]
    for part in parts:
        assert part.facts[0].n_read == len(part.ratings) + part.facts[0].n_rejected
    return good


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S GMT", "%m/%d/%Y %H:%M:%S",
        "%d/%m/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d.%m.%y %H:%M:%S", "%d-%b-%Y %H:%M:%S",
        "%b %d, %Y %H:%M:%S", "%B %d, %Y %I:%M:%S %p", "%a %b %d %H:%M:%S +0000 %Y",
        "%a, %d %b %Y %H:%M:%S GMT", "%d/%b/%Y:%H:%M:%S +0000", "%Y/%m/%d %H:%M:%S",
        "%m/%d/%Y %I:%M:%S%p", "%A, %d %B %Y, %H:%M:%S", "%a %b %d %H:%M:%S %Y",
        "%d/%m/%Y %H:%M:%S.%f",
    ],
)  # fmt: skip
def test_dates_of_common_forms_are_guessed(tmp_path: Path, form: str) -> None:
    lines = [f'1,{n},3,"{day.strftime(form)}"' for n, day in enumerate(DAYS)]
    path = write(tmp_path, "\n".join(["user,item,rating,ts", *lines]))
    good = read_parts(path, tmp_path)
    right = [int(day.replace(tzinfo=dt.UTC).timestamp()) for day in DAYS]
    assert good["timestamp"].tolist() == right


def test_a_zone_is_taken_off(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating,ts\n1,2,3,Sat Dec 31 20:05:09 +0200 2022\n")
    assert read_parts(path, tmp_path)["timestamp"].tolist() == [1672509909]


dates = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2068, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@relaxed
@given(
    st.lists(dates, min_size=1, max_size=20),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%y"]),
    st.sampled_from(["", " %H:%M:%S", ", %I:%M:%S %p"]),
)
def test_days_and_months_are_never_swapped(moments: list[dt.datetime], day: str, time: str) -> None:
    form = day + time
    texts = [moment.strftime(form) for moment in moments]
    if all(moment.day <= 12 for moment in moments):
        with pytest.raises(InputError, match="two ways"):
            sniff_times(texts, "r.csv")
        return
    seconds, good = sniff_times(texts, "r.csv").read(pd.Index(texts, dtype="str"))
    assert good.all()
    right = [dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC) for text in texts]
    assert seconds.tolist() == [int(moment.timestamp()) for moment in right]


@pytest.mark.parametrize("text", ["soon", "1 of 3", "12:30", "2022", "a%d", "1/2/3/4", "7 days"])
def test_what_is_no_date_has_no_shape(text: str) -> None:
    assert date_shape(text) is None


@pytest.mark.parametrize("unit", [1, 1000, 10**6, 10**9])
def test_units_are_told_and_noughts_are_no_times(tmp_path: Path, unit: int) -> None:
    seconds = [1_600_000_000 + n for n in range(30)]
    lines = [f"1,{n},3,{second * unit + unit // 2}" for n, second in enumerate(seconds)]
    path = write(tmp_path, "\n".join(["user,item,rating,ts", *lines, "2,1,3,0", "2,2,3,-1"]))
    good = read_parts(path, tmp_path)
    assert good["timestamp"].tolist() == seconds
    assert good.attrs["reasons"] == ["missing timestamp (0)", "missing timestamp (-1)"]


def test_counts_in_two_units_are_refused(tmp_path: Path) -> None:
    times = [1_600_000_000 * (1000 if n % 2 else 1) for n in range(30)]
    lines = [f"1,{n},3,{time}" for n, time in enumerate(times)]
    path = write(tmp_path, "\n".join(["user,item,rating,ts", *lines]))
    with pytest.raises(InputError, match=r"several units.*seconds.*milliseconds.*write all in one"):
        open_source(path, cache_dir=tmp_path)


def test_days_of_a_spreadsheet_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{n},1,3,{45_000 + n / 7:.5f}\n" for n in range(30))
    path = write(tmp_path, f"user,item,rating,timestamp\n{rows}")
    with pytest.raises(InputError, match="days as spreadsheets count them; write them as dates"):
        open_source(path, cache_dir=tmp_path)
    seconds = Dialect(timestamp_format="s")
    assert len(read(open_source(path, cache_dir=tmp_path, dialect=seconds))[0]) == 30


def test_years_and_noughts_alone_are_refused(tmp_path: Path) -> None:
    for time, mend in (("2017", "timestamp_format %Y"), ("0", "columns timestamp=")):
        lines = [f"1,{n},3,{time}" for n in range(30)]
        path = write(tmp_path, "\n".join(["user,item,rating,ts", *lines]))
        with pytest.raises(InputError, match=mend):
            open_source(path, cache_dir=tmp_path)
    dialect = Dialect(timestamp_format="s")
    assert set(read_parts(path, tmp_path, dialect=dialect)["timestamp"]) == {0}


@pytest.mark.parametrize("as_text", [True, False])
def test_a_form_that_is_said_is_taken(tmp_path: Path, as_text: bool) -> None:
    days = [20170904, 20171231]
    table = pd.DataFrame({"user": [1, 2], "item": 1, "rating": 3, "ts": days})
    table.to_csv(tmp_path / "r.csv", index=False)
    table.astype({"ts": "str" if as_text else "int64"}).to_parquet(tmp_path / "r.parquet")
    for name in ("r.csv", "r.parquet"):
        dialect = Dialect(timestamp_format="%Y%m%d")
        good = read_parts(str(tmp_path / name), tmp_path, dialect=dialect)
        assert good["timestamp"].tolist() == [1504483200, 1514678400]
    with pytest.raises(InputError, match=r"reads none of its first timestamps, such as '20170904'"):
        open_source(
            str(tmp_path / "r.csv"), cache_dir=tmp_path, dialect=Dialect(timestamp_format="%d/%m")
        )
    with pytest.raises(InputError, match="timestamp_format"):
        Dialect(timestamp_format="%q")
    with pytest.raises(InputError, match="timestamp_format"):
        Dialect(timestamp_format="weeks")


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (["5 stars", "1 star", "2.5 Stars"], [5, 1, 2.5]),
        (["5/5", "0/5", "3.5 / 5"], [5, 0, 3.5]),
        (["4.0 out of 5 stars", "1.0 out of 5 stars"], [4, 1]),
    ],
)
def test_ratings_with_words_about_them(
    tmp_path: Path, texts: list[str], right: list[float]
) -> None:
    lines = [f"1,{n},{text}" for n, text in enumerate([*texts, "3 of 10 days", "8/10"])]
    path = write(tmp_path, "\n".join(["user,item,rating", *lines[: len(texts)]]))
    good = read_parts(path, tmp_path)
    assert good["rating"].tolist() == right


def test_ratings_of_two_scales_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating\n1,1,4/5\n1,2,7/10\n")
    with pytest.raises(InputError, match=r"out of 5, others out of 10"):
        open_source(path, cache_dir=tmp_path)


def test_words_without_values_name_the_option(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating\n1,1,good\n1,2,bad\n")
    with pytest.raises(InputError, match=r"'bad', 'good'\).*event_values"):
        open_source(path, cache_dir=tmp_path)


def test_missing_ratings_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating\n1,1,5\n1,2,0\n1,3,-1\n1,4,99\n1,5,x\n")
    (part,) = open_source(
        path, cache_dir=tmp_path, dialect=Dialect(missing=(0.0, -1.0, 99.0))
    ).parts
    (facts,) = read_batch([part]).facts
    assert (facts.n_read, facts.n_rejected, facts.n_missing, facts.n_bad) == (5, 4, 3, 1)


@pytest.mark.parametrize("late", ["b7", str(2**70)])
def test_names_behind_the_sample_are_refused_unless_numbers_are_wanted(
    tmp_path: Path, late: str
) -> None:
    filler = "".join(f"{n},{n},3\n" for n in range(1, 30_000))
    path = write(tmp_path, f"user,item,rating\n{filler}user,item,rating\n{late},1,3\n")
    with pytest.raises(InputError, match=rf"user id in '{late},1,3'.*ids string.*ids int"):
        read_parts(path, tmp_path)
    assert len(read_parts(path, tmp_path, ids="int")) == 29_999
    assert str(late) in set(read_parts(path, tmp_path, ids="string")["user_id"])


def test_uuids_are_ids(tmp_path: Path) -> None:
    raw = [bytes(range(16)), bytes(16)]
    table = pa.table(
        {"user": pa.array(raw, pa.binary(16)), "item": pa.array(raw, pa.uuid()), "rating": [1, 2]}
    )
    pq.write_table(table, tmp_path / "r.parquet")
    good = read_parts(str(tmp_path / "r.parquet"), tmp_path)
    assert good["user_id"].tolist()[0] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert good["item_id"].astype("object").tolist() == good["user_id"].tolist()


def test_files_with_and_without_words_are_read_together(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating,ts\n1,1,5 stars,31.12.2022\n", "p-1.csv")
    write(tmp_path, "user,item,rating,ts\n1,2,4.5,1600000000\n", "p-2.csv")
    source = open_source(str(tmp_path / "p-*.csv"), cache_dir=tmp_path / "cache")
    for batch in (
        read_batch(source.parts),
        clean_partition(partition_of([part.read() for part in source.parts]), source.parts),
    ):
        assert batch.ratings["rating"].tolist() == [5, 4.5]
        assert batch.ratings["timestamp"].tolist() == [1672444800, 1600000000]
        assert batch.ratings.dtypes["timestamp"] == "int64"


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([-1, *range(1, 11)], [-1]),
        ([*range(1, 11), 99], [99]),
        ([-1, *range(1, 11), 99], [-1, 99]),
        (range(11), []),
        (range(-10, 11), []),
        ([0.5, 1, 1.5, 2, 2.5, 3, 5], []),
        ([1, 2, 9], []),
        (range(200), []),
    ],
)
def test_ratings_that_may_stand_for_none_are_found(values, right: list[float]) -> None:
    assert outliers(np.array(list(values), np.float32)) == right


def test_what_was_guessed_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "User-ID;ISBN;Book-Rating;date\n1;2;4,5;31.12.2022\n")
    source = open_source(path, cache_dir=tmp_path)
    assert source.reading == (
        "text, semicolon between fields; user User-ID, item ISBN, rating Book-Rating, timestamp "
        "date; decimal comma; times %d.%m.%Y"
    )
