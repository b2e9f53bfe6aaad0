"""Tables for spreadsheets."""

from __future__ import annotations

import zipfile
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from mfdask.results import write_table
from mfdask.sheets import write_sheet

FRAME = pd.DataFrame(
    {
        "user_id": ["=1+1", "a<b>&", None],
        "n": pd.array([1, None, 3], dtype="Int32"),
        "p": [0.5, np.nan, -1.5],
        "at": pd.to_datetime(["2021-03-01"] * 3, utc=True),
    }
)
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def test_no_text_is_a_formula_in_csv(tmp_path):
    write_sheet(FRAME, tmp_path / "t.csv")
    found = pd.read_csv(tmp_path / "t.csv")
    assert found["user_id"].tolist()[:2] == ["'=1+1", "a<b>&"]
    assert found["p"].tolist()[2] == -1.5
    assert found["n"].tolist()[::2] == [1, 3]


def test_a_workbook(tmp_path):
    write_sheet(FRAME, tmp_path / "t.xlsx")
    with zipfile.ZipFile(tmp_path / "t.xlsx") as book:
        for name in book.namelist():
            ElementTree.fromstring(book.read(name))
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows = [list(row) for row in sheet.iter(f"{MAIN}row")]
    assert ["".join(cell.itertext()) for cell in rows[0]] == list(FRAME)
    assert ["".join(cell.itertext()) for cell in rows[1]][:3] == ["=1+1", "1", "0.5"]
    assert rows[1][0].get("t") == "inlineStr"  # a text, no formula
    assert ["".join(cell.itertext()) for cell in rows[2]][:3] == ["a<b>&", "", ""]


def test_columns_are_described(tmp_path):
    write_table(FRAME, tmp_path / "t.parquet", {"n": "a number"}.get)
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.field("n").metadata[b"description"] == b"a number"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), FRAME)
