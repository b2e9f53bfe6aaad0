"""Text as people write it: decimal commas, records of several lines, zeros in front, days."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ratings.formats import open_source

from .test_cleaning import read, relaxed, write


def test_decimal_comma_keeps_half_stars(tmp_path: Path) -> None:
    path = write(tmp_path, "user;item;rating\n1;2;4,5\n1;3;4\n2;2;bad\n2;3;0,5\n")
    good, bad = read(open_source(path, cache_dir=tmp_path))
    assert good["rating"].tolist() == [4.5, 4, 0.5]
    assert bad["text"].tolist() == ["2;2;bad"]


def test_first_line_may_declare_the_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path, "sep=;\nuser;item;rating;a,b,c,d\n1;2;4.5;x\n")
    good, _ = read(open_source(path, cache_dir=tmp_path))
    assert good["rating"].tolist() == [4.5]
    path = write(tmp_path, "sep=;\n1;2;4.5\n")
    columns = {"user": "0", "item": "1", "rating": "2"}
    assert len(read(open_source(path, columns=columns, cache_dir=tmp_path))[0]) == 1


def test_name_of_tsv_means_tabs(tmp_path: Path) -> None:
    path = write(tmp_path, "u\ti\tr\ta, b, c, d\n1\t2\t3\tx\n", "r.tsv")
    columns = {"user": "u", "item": "i", "rating": "r"}
    assert len(read(open_source(path, columns=columns, cache_dir=tmp_path))[0]) == 1


words = st.text('ab ,\n"', max_size=12)


@relaxed
@given(st.lists(words, min_size=1, max_size=30), st.integers(8, 200))
def test_records_of_several_lines_read_back_in_any_parts(
    tmp_path_factory: pytest.TempPathFactory, reviews: list[str], part_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("r")
    rows = [
        f'u{n},i{n},{n % 5 + 1},"{text.replace(chr(34), chr(34) * 2)}"\n'
        for n, text in enumerate(["two\nlines,\nJoe,i,5", *reviews])
    ]
    path = write(folder, "user,item,rating,review\n" + "".join(rows))
    source = open_source(path, cache_dir=folder, part_bytes=part_bytes)
    good, bad = read(source)
    assert not len(bad)
    assert good["user_id"].tolist() == [f"u{n}" for n in range(len(rows))]
    assert good["rating"].tolist() == [n % 5 + 1 for n in range(len(rows))]


def test_single_stray_quote_joins_no_lines(tmp_path: Path) -> None:
    path = write(tmp_path, 'user,item,rating,title\n1,2,3,a\n1,3,4,"b\n2,2,5,c\n2,3,1,d\n')
    good, bad = read(open_source(path, cache_dir=tmp_path))
    assert good["item_id"].tolist() == [2, 2, 3]
    assert bad["reason"].tolist() == ["a quote is not closed in its line"]


@pytest.mark.parametrize("line", ["0100,1,3", "1,0100,3", '"0100",1,3'])
def test_ids_with_zeros_behind_the_sample_are_refused(tmp_path: Path, line: str) -> None:
    filler = "".join(f"{n},{n},3\n" for n in range(1, 30_000))
    path = write(tmp_path, f"user,item,rating\n{filler}{line}\n")
    source = open_source(path, cache_dir=tmp_path, part_bytes=100_000)
    with pytest.raises(InputError, match=r"'0100' would lose its zeros.*ids string"):
        read(source)
    good, _ = read(open_source(path, ids="string", cache_dir=tmp_path))
    assert "0100" in {good["user_id"].iloc[-1], good["item_id"].iloc[-1]}
    assert len(read(open_source(path, ids="int", cache_dir=tmp_path))[0]) == 30_000


def test_zeros_behind_quoted_text_are_seen(tmp_path: Path) -> None:
    filler = "".join(f'{n},"a, b",{n},3\n' for n in range(1, 30_000))
    path = write(tmp_path, f'user,title,item,rating\n{filler}1,"c, d",0100,3\n')
    with pytest.raises(InputError, match=r"item id '0100' would lose its zeros"):
        read(open_source(path, cache_dir=tmp_path))


def test_zeros_in_other_columns_and_plain_noughts_are_fine(tmp_path: Path) -> None:
    filler = "".join(f"{n},{n},3,x\n" for n in range(1, 30_000))
    path = write(tmp_path, f"user,item,rating,zip\n{filler}0,0,05,0100\n")
    assert len(read(open_source(path, cache_dir=tmp_path))[0]) == 30_000


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("20220131", "`timestamp_format` %Y%m%d"),
        ("202201311830", "`timestamp_format` %Y%m%d%H%M"),
        ("20220131183000", "`timestamp_format` %Y%m%d%H%M%S"),
        ("soon", "31.01.2022 18:00"),
        ("01/02/2022", "`timestamp_format` '%d/%m/%Y' or '%m/%d/%Y'"),
    ],
)
def test_times_of_doubtful_meaning_are_refused_with_the_mend(
    tmp_path: Path, time: str, message: str
) -> None:
    path = write(tmp_path, f"user,item,rating,ts\n1,2,3,{time}\n1,3,3,{time}\n")
    with pytest.raises(InputError) as raised:
        open_source(path, cache_dir=tmp_path)
    assert message in raised.value.template


@pytest.mark.parametrize(
    "header",
    [
        "User-ID,ISBN,Book-Rating", "user_id,anime_id,rating", "user_id,recipe_id,rating",
        "reviewerID,asin,overall", "user_id:token,item_id:token,rating:float",
    ],
)  # fmt: skip
def test_columns_of_public_sets_are_guessed(tmp_path: Path, header: str) -> None:
    path = write(tmp_path, f"{header}\n1,2,3\n")
    assert read(open_source(path, cache_dir=tmp_path))[0]["rating"].tolist() == [3]


def test_empty_part_files_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "", "part-0.csv")
    write(tmp_path, "user,item,rating\n1,2,3\n", "part-1.csv")
    with caplog.at_level(logging.WARNING, "mfdask"):  # whatever level other tests have left
        assert len(read(open_source(str(tmp_path), cache_dir=tmp_path / "c"))[0]) == 1
    assert "1 of 2 files are empty" in caplog.text


def test_numbers_may_be_wanted_and_yet_exact(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating\n1,2,3\n0100,2,3\n")
    source = open_source(path, ids="int", exact=True, cache_dir=tmp_path)
    with pytest.raises(InputError, match="'0100' would lose its zeros"):
        read(source)
