"""Read ratings from Arrow files (Feather is one of them), a part for each record batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import Reader
from mfdask.ratings.readers.tabular import TableFile, open_table, table_digest
from mfdask.ratings.source_file import SourceFile

_MAGIC = b"ARROW1"
_OLD = b"FEA1"


@dataclass(frozen=True)
class RecordBatch:
    """One record batch of an Arrow file, or all of a stream (None), as a `tabular.Chunk`."""

    file: SourceFile
    number: int | None
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns, and the digest of their values."""
        with _opened(self.file) as reader:
            if self.number is None:
                table = reader.read_all().select(names)
            else:
                table = pa.Table.from_batches([reader.get_batch(self.number)]).select(names)
            table.validate(full=True)  # nobody has checked offsets that point elsewhere
            return table, table_digest(table)


def _open(file: SourceFile, options: ReadOptions) -> TableFile:
    with _opened(file) as reader:
        schema = reader.schema
        if isinstance(reader, pa.RecordBatchStreamReader):
            chunks = [RecordBatch(file, None, 1)]
        else:
            # As many rows as in the first one are in each but the last, as it is written.
            n_batches = reader.num_record_batches
            first = reader.get_batch(0).num_rows if n_batches else 0
            each = max(first, 1) if n_batches > 1 else first
            chunks = [RecordBatch(file, number, each) for number in range(n_batches)]

        def sample(names: Sequence[str]) -> pa.Table:
            return chunks[0].load(names)[0] if chunks else schema.empty_table().select(names)

        return open_table(file, schema, sample, chunks, options)


@contextmanager
def _opened(file: SourceFile) -> Iterator[pa.RecordBatchFileReader | pa.RecordBatchStreamReader]:
    """Open a file or a stream; errors are those of a damaged file."""
    if file.head().startswith(_OLD):
        raise InputError(f"{file.label} is Feather of version 1; write it anew with version 2")
    try:
        with file.open() as raw:
            is_file = raw.read(len(_MAGIC)) == _MAGIC
            raw.seek(0)
            with pa.ipc.open_file(raw) if is_file else pa.ipc.open_stream(raw) as reader:
                yield reader
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{file.label} is not a whole Arrow file ({line}); fetch it again"
        ) from error


ARROW = Reader(
    (".feather", ".arrow", ".arrows", ".ipc"), lambda head: head.startswith((_MAGIC, _OLD)), _open
)
