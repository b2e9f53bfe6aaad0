"""Read ratings from a sheet of a workbook: Excel, and OpenDocument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import Reader
from mfdask.ratings.readers.column_types import table_of_values
from mfdask.ratings.readers.tabular import TableFile, open_table, table_digest
from mfdask.ratings.source_file import SourceFile

_EXACT = 2**53  # whole numbers below it are exact in a cell, which holds a double


@dataclass(frozen=True)
class Sheet:
    """A sheet with its columns' names in the first line, as a `tabular.Chunk`."""

    file: SourceFile
    name: str | None
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns, and the digest of their values."""
        header, *lines = _lines(self.file, self.name)
        places = {name: header.index(name) for name in names}
        columns = {name: [_value(line[place]) for line in lines] for name, place in places.items()}
        table = table_of_values(columns)
        return table, table_digest(table)


def _open(file: SourceFile, options: ReadOptions) -> TableFile:
    header, *lines = _lines(file, options.query)
    sheet = Sheet(file, options.query, len(lines))
    table, _ = sheet.load(list(dict.fromkeys(header)))
    return open_table(file, table.schema, table.select, [sheet], options)


def _lines(file: SourceFile, name: str | None) -> list[list[Any]]:
    """Return the lines of a sheet, the first one as texts: of `name`, or else of the only one."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise InputError(
            f"{file.label} is a workbook, which mfdask reads with one more package: "
            "pip install 'mfdask[sheets]'; or save the sheet as CSV"
        ) from None
    try:
        with file.open() as raw, CalamineWorkbook.from_filelike(raw) as book:
            names = book.sheet_names
            if (name or names[0]) not in names or (name is None and len(names) > 1):
                raise InputError(
                    f"{file.label} has the sheets {', '.join(names)}; name one by `query`"
                )
            header, *lines = book.get_sheet_by_name(name or names[0]).to_python() or [[]]
    except CalamineError as error:
        raise InputError(
            f"{file.label} is not a whole workbook ({error}); save it again"
        ) from error
    filled = [line for line in lines if any(cell != "" for cell in line)]
    return [[str(_value(cell)) for cell in header], *filled]


def _value(cell: Any) -> Any:
    """Return what a cell holds; None if it is empty. Whole numbers are doubles there."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return int(cell)
    return None if cell == "" else cell


WORKBOOK = Reader((".xlsx", ".xls", ".xlsb", ".ods"), lambda head: False, _open, True)
