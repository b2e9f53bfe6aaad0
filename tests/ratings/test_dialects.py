"""Text as people write it: decimal commas, records of several lines, zeros in front, days."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ingestion.parts import read_batch
from mfdask.ratings.dialect import Dialect
from mfdask.ratings.formats import open_source
from mfdask.ratings.values import NO_IDS

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


@relaxed
@given(st.lists(words, min_size=1, max_size=30), st.integers(8, 200))
def test_backslashes_before_quotes_read_back_in_any_parts(
    tmp_path_factory: pytest.TempPathFactory, reviews: list[str], part_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("r")
    rows = [
        '"u{n}";"i\\"{n}";"{r}";"{text}"\n'.format(n=n, r=n % 5 + 1, text=text.replace('"', '\\"'))
        for n, text in enumerate(['a "b";c', *reviews])
    ]
    path = write(folder, "user;item;rating;review\n" + "".join(rows))
    good, bad = read(open_source(path, cache_dir=folder, part_bytes=part_bytes))
    assert not len(bad)
    assert good["item_id"].tolist() == [f'i"{n}' for n in range(len(rows))]
    assert good["rating"].tolist() == [n % 5 + 1 for n in range(len(rows))]


def test_a_backslash_at_the_end_of_a_field_is_a_backslash(tmp_path: Path) -> None:
    path = write(tmp_path, 'user,item,rating\n"C:\\",2,3\n"D:\\",2,4\n')
    good, _ = read(open_source(path, cache_dir=tmp_path))
    assert good["user_id"].tolist() == ["C:\\", "D:\\"]


@pytest.mark.parametrize("none", sorted(NO_IDS))
def test_words_for_no_id_are_no_ids(tmp_path: Path, none: str) -> None:
    path = write(tmp_path, f"user,item,rating\n1,a,3\n{none},b,4\n2,{none},5\n")
    batch = read_batch(open_source(path, cache_dir=tmp_path).parts)
    assert batch.ratings["rating"].tolist() == [3]
    assert batch.users.index.dtype == "int64"
    assert batch.rejected["row"].tolist() == [2, 3]
    assert batch.rejected["reason"].tolist() == [
        "missing user id", "item id stands for none (ids = string keeps it)",
    ]  # fmt: skip
    kept = read_batch(open_source(path, cache_dir=tmp_path, ids="string").parts)
    assert len(kept.ratings) == 3


def test_ids_that_a_spreadsheet_rounded_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,rating\n7.65612E+16,1,3\n7.65612E+16,2,4\n")
    with pytest.raises(InputError, match=r"'7\.65612E\+16' was rounded .*ids string"):
        open_source(path, cache_dir=tmp_path)
    assert len(read(open_source(path, cache_dir=tmp_path, ids="string"))[0]) == 2
    path = write(tmp_path, "user,item,rating\n1e+05,1,3\n")  # as R writes it
    assert read(open_source(path, cache_dir=tmp_path))[0]["user_id"].tolist() == ["1e+05"]


@pytest.mark.parametrize("delimiter", [",", " ", "\t"])
def test_names_of_rows_may_lack_a_head(tmp_path: Path, delimiter: str) -> None:
    rows = [["user", "item", "rating"], ['"1"', "7", "8", "3.5"], ['"2"', "7", "9", "4"]]
    path = write(tmp_path, "".join(delimiter.join(row) + "\n" for row in rows))
    good, _ = read(open_source(path, cache_dir=tmp_path))
    assert good["user_id"].tolist() == [7, 7]
    assert good["rating"].tolist() == [3.5, 4]


def test_notes_beside_a_table_are_none(tmp_path: Path) -> None:
    write(tmp_path, "user,item,rating\n1,2,3\n", "train.csv")
    for name in ("README.txt", "LICENSE.txt"):
        write(tmp_path, "hello\n", name)
    assert len(read(open_source(str(tmp_path), cache_dir=tmp_path))[0]) == 1


def test_positions_that_are_named_are_there(tmp_path: Path) -> None:
    for row, right in (("1,2", "user=0,item=1,rating=$"), ("1,2,3", "user=0,item=1,rating=2$")):
        with pytest.raises(InputError, match=right):
            open_source(write(tmp_path, f"{row}\n{row}\n"), cache_dir=tmp_path)


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
        "reviewerID,asin,overall",
        "user_id,gmap_id,rating", "username,hotel_id,review_score",
        "user_id:token,item_id:token,rating:float",
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


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, str | None]:
    """A way to write tables, that may be guessed right."""
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", "::", "space", "~", "@|@"]))
    decimal = draw(st.sampled_from(".,"))
    return {
        "delimiter": delimiter,
        "decimal": decimal,
        "thousands": draw(st.sampled_from([None, "'", {".": ",", ",": "."}[decimal]])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"])),
        "comment": draw(st.sampled_from([None, "#", "//"])),
    }


plain = st.text("abcxyzäöü0123456789-_", min_size=1, max_size=6).map(lambda text: "i" + text)
ratings = st.lists(
    st.tuples(st.integers(0, 2**62), plain, st.integers(-(10**6), 10**6)), min_size=1, max_size=20
)


@relaxed
@given(rows=ratings, dialect=dialects(), part_bytes=st.integers(1, 300), crlf=st.booleans())
def test_any_table_in_any_dialect_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str, int]],
    dialect: dict,
    part_bytes: int,
    crlf: bool,
) -> None:
    sign = "  " if dialect["delimiter"] == "space" else dialect["delimiter"]
    lines = [sign.join(["user", "item", "rating"])]
    for user, item, hundredths in rows:
        whole, _, rest = f"{hundredths / 100:,.2f}".partition(".")
        number = whole.replace(",", dialect["thousands"] or "") + dialect["decimal"] + rest
        quoted = f'"{number}"' if len(sign) == 1 else number
        lines.append(sign.join([str(user), item, quoted]))
        if dialect["comment"]:
            lines.append(f"{dialect['comment']} no row")
    if dialect["delimiter"] == "::" and dialect["decimal"] == ",":
        dialect = {**dialect, "delimiter": None}  # it is guessed
    text = ("\r\n" if crlf else "\n").join(lines)
    folder = tmp_path_factory.mktemp("t")
    path = write(folder, text.encode(dialect["encoding"]))
    source = open_source(path, cache_dir=folder, part_bytes=part_bytes, dialect=Dialect(**dialect))
    batch = read_batch(source.parts)
    assert [facts.n_rejected for facts in batch.facts] == [0] * len(source.parts)
    assert batch.ratings["user_id"].astype("object").tolist() == [row[0] for row in rows]
    assert batch.ratings["item_id"].astype("object").tolist() == [row[1] for row in rows]
    right = [np.float32(row[2] / 100) for row in rows]
    assert batch.ratings["rating"].tolist() == right


def test_layouts_are_guessed_from_many_lines(tmp_path: Path) -> None:
    texts = {
        "user item rating\n1 2 4.5\n1  3 \t 5\n": (2, [4.5, 5]),
        "% bipartite\n% user item rating\n1 2 4\n2 2 1\n": (2, [4, 1]),
        "#user,item,rating\n1,2,4\n": (2, [4]),
        'user,item,rating\n1,2,"4,5"\n1,2,"3,0"\n': (2, [4.5, 3]),
        "user;item;rating;a,b,c,d,e\n1;2;3;x\n1;2;4;y\n": (2, [3, 4]),
    }
    for text, (item, right) in texts.items():
        good, _ = read(open_source(write(tmp_path, text), cache_dir=tmp_path))
        assert good["rating"].tolist() == right, text
        assert good["item_id"].iloc[0] == item


def test_utf16_and_latin1(tmp_path: Path) -> None:
    text = "user,item,rating\n" + "".join(f"é{n},2,4\n" for n in range(200))
    good, _ = read(open_source(write(tmp_path, text.encode("utf-16")), cache_dir=tmp_path))
    assert good["user_id"].iloc[-1] == "é199"
    path = write(tmp_path, text.encode("latin-1"))
    with pytest.raises(InputError, match=r"not UTF-8 text; say its encoding, such as latin-1"):
        open_source(path, cache_dir=tmp_path)
    with pytest.raises(InputError, match="encoding klingon"):
        Dialect(encoding="klingon")
    with pytest.raises(InputError, match=r"not text of this encoding.*another encoding"):
        read(open_source(path, cache_dir=tmp_path, dialect=Dialect(encoding="utf-8-sig")))


def test_thousands_and_decimal_commas_that_look_alike_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "user;item;rating\n1;2;1,250\n1;3;2\n")
    with pytest.raises(InputError, match="thousands , or decimal ,"):
        open_source(path, cache_dir=tmp_path)
    for dialect, right in ((Dialect(decimal=","), 1.25), (Dialect(thousands=","), 1250)):
        batch = read_batch(open_source(path, cache_dir=tmp_path, dialect=dialect).parts)
        assert batch.ratings["rating"].tolist() == [right, 2]


@pytest.mark.parametrize("sign", ["ab", "5", "", ","])
def test_what_is_no_sign_between_thousands(sign: str) -> None:
    with pytest.raises(InputError, match="thousands must be"):
        Dialect(thousands=sign, decimal=",")


def test_a_sign_between_thousands_stands_before_three_digits(tmp_path: Path) -> None:
    path = write(tmp_path, "user;item;rating\n1;2;1.250\n1;3;4.5\n1;4;1.2345\n1;5;1.000.000\n")
    batch = read_batch(open_source(path, cache_dir=tmp_path, dialect=Dialect(thousands=".")).parts)
    assert batch.ratings["rating"].tolist() == [1250, 1e6]
    assert batch.rejected["row"].tolist() == [2, 3]


def test_a_decimal_comma_behind_the_sample_is_refused(tmp_path: Path) -> None:
    filler = "".join(f"{n};{n};3\n" for n in range(1, 30_000))
    path = write(tmp_path, f"user;item;rating\n{filler}1;1;4,5\n")
    with pytest.raises(InputError, match=r"'1;1;4,5' has a decimal comma.*decimal , reads them"):
        read_batch(open_source(path, cache_dir=tmp_path).parts)
    source = open_source(path, cache_dir=tmp_path, dialect=Dialect(decimal=","))
    assert read_batch(source.parts).ratings["rating"].iloc[-1] == 4.5
