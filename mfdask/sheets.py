"""Tables for spreadsheets: CSV, and workbooks of one sheet (Office Open XML)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd

from mfdask.errors import InputError
from mfdask.files import atomic_file

#: Endings of the files that can be written.
SHEETS = (".csv", ".xlsx")
#: Lines that a sheet may have, its head among them.
_MOST_LINES = 1 << 20
#: What a text begins with that a spreadsheet would work out.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_FILES = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/>'
    "</Types>",
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="table" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
}


def write_sheet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as the ending of the file says, whole or not at all.

    A text of the data is never a formula: CSV has an apostrophe in front of one that looks like it.

    Raises
    ------
    InputError
        If `path` is a folder, or a workbook cannot hold so many lines.
    """
    if path.suffix == ".xlsx" and len(frame) >= _MOST_LINES:
        raise InputError(f"{path}: a sheet holds {_MOST_LINES - 1:,} lines, not {len(frame):,}")
    with atomic_file(path) as fresh:
        if path.suffix == ".csv":
            texts = [name for name in frame if _is_text(frame[name])]
            safe = {str(name): frame[name].map(_harmless) for name in texts}
            frame.assign(**safe).to_csv(fresh, index=False)
        else:
            _write_workbook(frame, fresh)


def _is_text(column: pd.Series) -> bool:
    return pd.api.types.is_string_dtype(column.dtype)


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_workbook(frame: pd.DataFrame, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in _FILES.items():
            book.writestr(name, _HEAD + text)
        with book.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            for line in _lines(frame):
                sheet.write(f"<row>{''.join(map(_cell, line))}</row>".encode())
            sheet.write(b"</sheetData></worksheet>")


def _lines(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    yield tuple(map(str, frame))
    yield from frame.itertuples(index=False, name=None)


def _cell(value: Any) -> str:
    """Return a cell: a number, or a text as it stands; nothing for what is missing."""
    if pd.isna(value):
        return "<c/>"
    if isinstance(value, str | pd.Timestamp):
        shown = "".join(c for c in str(value) if c >= " " or c in "\t\n")
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(shown)}</t></is></c>'
    return f"<c><v>{value}</v></c>"
