"""Read ratings from sparse matrices as `scipy.sparse.save_npz` writes them.

Rows are users and columns are items, and their ids are their numbers, from 0. The columns are
called user, item and rating.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from mfdask.errors import InputError, MfdaskError
from mfdask.memory import require_memory
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.base import Reader
from mfdask.ratings.readers.tabular import TableFile, open_table
from mfdask.ratings.source_file import SourceFile

_SCHEMA = pa.schema([("user", pa.int64()), ("item", pa.int64()), ("rating", pa.float64())])
_COLUMNS = {"user": "user", "item": "item"}
_ENTRY_BYTES = 48  # of an entry in memory, as a matrix and as a table


@dataclass(frozen=True)
class Matrix:
    """All entries of a matrix, as a `tabular.Chunk`."""

    file: SourceFile
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns, and the digest of the file."""
        require_memory(self.n_rows * _ENTRY_BYTES, f"the matrix {self.file.label}", "cut it")
        with _opened(self.file) as raw:
            entries = _read(raw).tocoo()
        columns = {
            "user": entries.row.astype(np.int64),
            "item": entries.col.astype(np.int64),
            "rating": entries.data,
        }
        digest = hashlib.sha256(self.file.read_range(0, self.file.size())).hexdigest()
        return pa.table({name: columns[name] for name in names}), digest


def _open(file: SourceFile, options: ReadOptions) -> TableFile:
    with _opened(file) as raw, zipfile.ZipFile(raw) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    if not sizes.keys() >= {"format.npy", "shape.npy", "data.npy"}:
        raise InputError(
            f"{file.label} holds no sparse matrix of SciPy; write one with scipy.sparse.save_npz"
        )
    n_rows = sum(sizes.values()) // 8  # no entry takes less than an index and a value of 4 bytes
    options = replace(options, columns={**_COLUMNS, **(options.columns or {})})
    return open_table(file, _SCHEMA, _SCHEMA.empty_table().select, [Matrix(file, n_rows)], options)


def _read(raw: BinaryIO) -> Any:
    from scipy import sparse

    matrix: Any = sparse.load_npz(raw)  # which allows no pickle
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)  # offsets that point elsewhere
    return matrix


@contextmanager
def _opened(file: SourceFile) -> Iterator[BinaryIO]:
    try:
        with file.open() as raw:
            yield raw
    except (MfdaskError, PermissionError):
        raise
    except Exception as error:  # a damaged matrix fails in SciPy, NumPy and zipfile in many ways
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file.label} is not a whole matrix ({line}); fetch it again") from error


NPZ = Reader((".npz",), lambda head: False, _open)
