"""Read ratings from Parquet files, a part for each row group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import Reader
from mfdask.ratings.readers.tabular import SAMPLE_ROWS, TableFile, open_table
from mfdask.ratings.source_file import SourceFile


@dataclass(frozen=True)
class RowGroup:
    """One row group of a Parquet file, as a `tabular.Chunk`."""

    file: SourceFile
    group: int
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns, and the digest of the group's bytes as they lie in the file."""
        with _opened(self.file) as (file, parquet):
            table = parquet.read_row_group(self.group, columns=list(names), use_threads=False)
            begin, end = _extent(parquet.metadata.row_group(self.group))
            file.seek(begin)
            return table, hashlib.sha256(file.read(end - begin)).hexdigest()


def _open(file: SourceFile, options: ReadOptions) -> TableFile:
    with _opened(file) as (_, parquet):
        n_groups = parquet.num_row_groups
        groups = [
            RowGroup(file, number, parquet.metadata.row_group(number).num_rows)
            for number in range(n_groups)
        ]

        def sample(names: Sequence[str]) -> pa.Table:
            empty = parquet.schema_arrow.empty_table().select(names)
            batches = parquet.iter_batches(SAMPLE_ROWS, columns=list(names))
            first = next(batches, None)
            return empty if first is None else pa.Table.from_batches([first])

        return open_table(file, parquet.schema_arrow, sample, groups, options)


@contextmanager
def _opened(file: SourceFile) -> Iterator[tuple[pa.NativeFile, pq.ParquetFile]]:
    try:
        with file.open() as raw, pq.ParquetFile(raw) as parquet:
            yield raw, parquet
    except PermissionError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        line = str(error).splitlines()[0]
        raise InputError(
            f"{file.label} is not a whole Parquet file ({line}); fetch it again"
        ) from error


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Return where the bytes of a row group begin and end."""
    chunks = [group.column(number) for number in range(group.num_columns)]
    begin = min(_chunk_begin(chunk) for chunk in chunks)
    return begin, max(_chunk_begin(chunk) + chunk.total_compressed_size for chunk in chunks)


def _chunk_begin(chunk: pq.ColumnChunkMetaData) -> int:
    return chunk.dictionary_page_offset or chunk.data_page_offset


PARQUET = Reader((".parquet", ".pq"), lambda head: head.startswith(b"PAR1"), _open)
