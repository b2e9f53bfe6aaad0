"""Read ratings from a database of SQLite, by a query."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import Reader
from mfdask.ratings.readers.column_types import table_of_values
from mfdask.ratings.readers.tabular import (
    SAMPLE_ROWS,
    TableFile,
    open_table,
    table_digest,
)
from mfdask.ratings.source_file import SourceFile

#: What a query may do: nothing that writes, also into other files.
_ALLOWED = {
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
}  # fmt: skip


@dataclass(frozen=True)
class QueryResult:
    """The rows that a query returns, as a `tabular.Chunk`."""

    file: SourceFile
    query: str
    n_rows: int

    def load(self, names: Sequence[str], at_most: int = -1) -> tuple[pa.Table, str]:
        """Run the query, and return columns of its rows, or of the first ones."""
        with _cursor(self.file, self.query) as cursor:
            rows = cursor.fetchall() if at_most < 0 else cursor.fetchmany(at_most)
            places = [_header(cursor).index(name) for name in names]
        columns = {
            name: [row[place] for row in rows] for name, place in zip(names, places, strict=True)
        }
        table = table_of_values(columns)
        return table, table_digest(table)


def _open(file: SourceFile, options: ReadOptions) -> TableFile:
    if not options.query:
        raise InputError(
            f"{file.label} is a database with the tables {_tables(file)}; say what to read with "
            '`query` "SELECT user, item, rating FROM …"'
        )
    with _cursor(file, options.query) as cursor:
        names = _header(cursor)
        n_rows = sum(1 for _ in cursor)
    chunk = QueryResult(file, options.query, n_rows)
    schema = chunk.load(names, SAMPLE_ROWS)[0].schema
    return open_table(
        file, schema, lambda wanted: chunk.load(wanted, SAMPLE_ROWS)[0], [chunk], options
    )


def _header(cursor: sqlite3.Cursor) -> list[str]:
    return [column[0] for column in cursor.description or ()]


def _tables(file: SourceFile) -> str:
    with _cursor(file, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')") as cursor:
        return ", ".join(str(name) for (name,) in cursor) or "none"


def _authorize(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


@contextmanager
def _cursor(file: SourceFile, query: str) -> Iterator[sqlite3.Cursor]:
    """Run a query on a database that is only read."""
    try:
        with closing(sqlite3.connect(f"{Path(file.path).as_uri()}?mode=ro", uri=True)) as database:
            database.set_authorizer(_authorize)
            yield database.execute(query)
    except sqlite3.Error as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise InputError(f"{file.label} is not a whole database; fetch it again") from error
        raise InputError(f"{file.label}: the query fails ({error}); mend `query`") from error


SQLITE = Reader(
    (".sqlite", ".sqlite3", ".db"), lambda head: head.startswith(b"SQLite format 3\0"), _open, True
)
