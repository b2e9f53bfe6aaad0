"""Readers of ratings, one for each form of file.

A form is one module here that makes a `Reader`, and its place in `READERS`.
"""

from __future__ import annotations

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.arrow import ARROW
from mfdask.ratings.readers.base import OpenedFile, Reader
from mfdask.ratings.readers.blocks import BLOCKS
from mfdask.ratings.readers.json_lines import JSON
from mfdask.ratings.readers.market import MATRIX_MARKET
from mfdask.ratings.readers.npz import NPZ
from mfdask.ratings.readers.orc import ORC
from mfdask.ratings.readers.parquet import PARQUET
from mfdask.ratings.readers.sqlite import SQLITE
from mfdask.ratings.readers.text import TEXT
from mfdask.ratings.readers.unread import refuse_unread
from mfdask.ratings.readers.wide import open_wide
from mfdask.ratings.readers.workbook import WORKBOOK
from mfdask.ratings.source_file import SourceFile

#: The first that recognises a file reads it; the last one takes any.
READERS: tuple[Reader, ...] = (
    PARQUET, ARROW, ORC, MATRIX_MARKET, NPZ, SQLITE, WORKBOOK, JSON, BLOCKS, TEXT,
)  # fmt: skip
#: Ends of the names of files that hold tables.
SUFFIXES = tuple(suffix for reader in READERS for suffix in reader.suffixes)


def open_file(file: SourceFile, options: ReadOptions) -> OpenedFile:
    """Find the reader of a file by its name and content, and open it.

    Raises
    ------
    InputError
        The file is missing, empty, damaged, or not a table of ratings.
    """
    if file.size() == 0:
        raise InputError(f"{file.label} is empty; nothing to read")
    if options.wide:
        return open_wide(file, options)
    head = file.head()
    refuse_unread(file.name, head, file.label)
    reader = next(reader for reader in READERS if reader.recognises(file.name, head))
    if options.query and not reader.is_queried:
        raise InputError(
            f"{file.label} is no database or workbook, of which alone `query` says what is read; "
            "leave it out"
        )
    return reader.open(file, options)
