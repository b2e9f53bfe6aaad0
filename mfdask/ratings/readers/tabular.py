"""Ratings in tables of typed columns: what all readers share whose files are no text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from mfdask.ratings import columns as column_choice
from mfdask.ratings.cleaning import clean
from mfdask.ratings.kinds import Kinds
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.column_types import as_names, check_type, column_kind, plain_values
from mfdask.ratings.readers.table_rows import TableRows
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import STRING, Types

SAMPLE_ROWS = 50_000


class Chunk(Protocol):
    """A piece of a file that is read at once."""

    @property
    def n_rows(self) -> int:
        """How many rows it has."""

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Return columns, and a digest of what the piece holds. Raises `InputError`."""


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table are read.

    Attributes
    ----------
    label : str
        What people call the table.
    names : mapping
        Role to column.
    told : mapping
        Of these columns, those that folders tell: name to the text of all rows.
    """

    label: str
    names: Mapping[str, str]
    told: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> str:
        """Say which column is which."""
        return ", ".join(f"{role} {name}" for role, name in self.names.items())

    @property
    def held(self) -> list[str]:
        """The columns that the table itself holds."""
        return [name for name in self.names.values() if name not in self.told]

    def completed(self, table: pa.Table) -> pa.Table:
        """Add what folders tell."""
        for name in self.names.values():
            if name in self.told:
                table = table.append_column(name, pa.repeat(self.told[name], table.num_rows))
        return table

    def rows(self, table: pa.Table, types: Types) -> TableRows:
        """Bring the columns to numbers and text, as `types` want them.

        Raises
        ------
        InputError
            A column holds bytes that are no text.
        """
        table, columns = self.completed(table), {}
        for role, kind in types.items():
            name = self.names[role]
            array = plain_values(table[name].combine_chunks(), name, self.label)
            columns[role] = as_names(array) if kind == STRING else array
        return TableRows(columns)

    def parse(self, table: pa.Table, types: Types, digest: str) -> Parsed:
        """Check and type the rows of a table; `digest` is what the part is known by.

        Raises
        ------
        InputError
            A column holds bytes that are no text.
        """
        ratings, rejected = clean(self.rows(table, types), types, self.label)
        return Parsed(ratings, rejected, table.num_rows, table.num_rows, digest)


@dataclass(frozen=True)
class TableFile:
    """A file of typed columns, as a `base.OpenedFile`."""

    columns: TableColumns
    kinds: Kinds
    chunks: Sequence[Chunk]

    def described(self) -> str:
        """Say how it is read."""
        return self.columns.described()

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.columns.label

    @property
    def has_rows(self) -> bool:
        """Whether there are any."""
        return any(chunk.n_rows for chunk in self.chunks)

    def parts(self, types: Types, part_bytes: int = 0) -> list[Part]:
        """Make a part of each chunk; `part_bytes` is of no use here."""
        return [
            Part(
                self.label,
                TableChunk(chunk, self.columns, types),
                first_row=0,
                n_rows=chunk.n_rows,
            )
            for chunk in self.chunks
        ]


def open_table(
    file: SourceFile,
    schema: pa.Schema,
    sample: Callable[[Sequence[str]], pa.Table],
    chunks: Sequence[Chunk],
    options: ReadOptions,
) -> TableFile:
    """Find the columns of a file and how they are to be read.

    Parameters
    ----------
    file : SourceFile
    schema : Schema
        Of the file, without the columns that its folders tell.
    sample : callable
        Returns the first rows of some columns.
    chunks : sequence of Chunk
    options : ReadOptions

    Raises
    ------
    InputError
        The file lacks a column, or has one of a type that cannot be an id, a rating or a time.
    """
    label = file.label
    told = {name: text for name, text in file.constants.items() if name not in schema.names}
    header = [*schema.names, *told]
    places = column_choice.by_name(header, options.columns, label)
    names = {role: header[place] for role, place in places.items()}
    columns = TableColumns(label, names, told)
    for role, name in names.items():
        if name not in told:
            check_type(schema.field(name).type, name, role, label)
    rows = columns.completed(sample(columns.held))
    kinds = {
        role: column_kind(role, rows[name].combine_chunks(), options, name, label, name not in told)
        for role, name in names.items()
    }
    return TableFile(columns, kinds, chunks)


def table_digest(table: pa.Table) -> str:
    """Return the SHA-256 of the values of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


@dataclass(frozen=True)
class TableChunk:
    """Reads one chunk of a file: the `read` of a `Part`."""

    chunk: Chunk
    columns: TableColumns
    types: Types

    def __call__(self) -> Parsed:
        """Read, check and type the chunk's rows.

        Raises
        ------
        InputError
            The file is gone or damaged.
        """
        table, digest = self.chunk.load(self.columns.held)
        return self.columns.parse(table, self.types, digest)
