"""Read ratings from ORC files, a part for each stripe."""

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


@dataclass(frozen=True)
class Stripe:
    """One stripe of an ORC file, as a `tabular.Chunk`."""

    file: SourceFile
    number: int
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns, and the digest of their values."""
        with _opened(self.file) as orc:
            batch = orc.read_stripe(self.number, columns=list(names))
            table = pa.Table.from_batches([batch]).select(names)
            table.validate(full=True)
            return table, table_digest(table)


def _open(file: SourceFile, options: ReadOptions) -> TableFile:
    with _opened(file) as orc:
        schema, n_stripes = orc.schema, orc.nstripes
        each = -(-orc.nrows // max(1, n_stripes))
        chunks = [Stripe(file, number, each) for number in range(n_stripes)]

        def sample(names: Sequence[str]) -> pa.Table:
            return chunks[0].load(names)[0] if chunks else schema.empty_table().select(names)

        return open_table(file, schema, sample, chunks, options)


@contextmanager
def _opened(file: SourceFile) -> Iterator[pa.orc.ORCFile]:
    from pyarrow import orc

    try:
        with file.open() as raw:
            yield orc.ORCFile(raw)
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{file.label} is not a whole ORC file ({line}); fetch it again"
        ) from error


ORC = Reader((".orc",), lambda head: head.startswith(b"ORC"), _open)
