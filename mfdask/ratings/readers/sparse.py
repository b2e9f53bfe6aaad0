"""Read ratings from sparse matrices: Matrix Market (``.mtx``) and SciPy's ``.npz``.

Rows are users and columns are items: their ids are their numbers, from 1 in Matrix Market, from 0
in ``.npz``. The columns are called user, item and rating; a pattern has no ratings.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
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

_COLUMNS = {"user": "user", "item": "item"}
_LEAST_ENTRY = 4  # bytes of an entry in Matrix Market, such as "1 1" and the line's end
_ENTRY_BYTES = 48  # of an entry in memory, as a matrix and as a table


@dataclass(frozen=True)
class Matrix:
    """All entries of a matrix, as a `tabular.Chunk`."""

    file: SourceFile
    n_rows: int
    first: int
    read: Callable[[BinaryIO], Any]

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read columns, and the digest of the file."""
        require_memory(self.n_rows * _ENTRY_BYTES, f"the matrix {self.file.label}", "cut it")
        with _opened(self.file) as raw:
            entries = self.read(raw).tocoo()
        columns = {
            "user": entries.row.astype(np.int64) + self.first,
            "item": entries.col.astype(np.int64) + self.first,
            "rating": entries.data,
        }
        digest = hashlib.sha256(self.file.read_range(0, self.file.size())).hexdigest()
        return pa.table({name: columns[name] for name in names}), digest


def _table(chunk: Matrix, options: ReadOptions, has_ratings: bool = True) -> TableFile:
    fields = [("user", pa.int64()), ("item", pa.int64())]
    schema = pa.schema([*fields, ("rating", pa.float64())] if has_ratings else fields)
    options = replace(options, columns={**_COLUMNS, **(options.columns or {})})
    return open_table(chunk.file, schema, schema.empty_table().select, [chunk], options)


def _open_market(file: SourceFile, options: ReadOptions) -> TableFile:
    from scipy.io import mminfo

    with _opened(file) as raw:
        _, _, n_entries, layout, field, symmetry = mminfo(raw)
    if layout != "coordinate" or field == "complex":
        raise InputError(f"{file.label} is a dense or complex matrix; write it as coordinate real")
    if n_entries * _LEAST_ENTRY > file.size():
        raise InputError(f"{file.label} is cut off: it is to have {n_entries:,} entries")
    n_rows = int(n_entries) * (1 if symmetry == "general" else 2)
    return _table(Matrix(file, n_rows, 1, _read_market), options, field != "pattern")


def _read_market(raw: BinaryIO) -> Any:
    from scipy.io import mmread

    return mmread(raw)


def _open_npz(file: SourceFile, options: ReadOptions) -> TableFile:
    with _opened(file) as raw, zipfile.ZipFile(raw) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    if not sizes.keys() >= {"format.npy", "shape.npy", "data.npy"}:
        raise InputError(
            f"{file.label} holds no sparse matrix of SciPy; write one with scipy.sparse.save_npz"
        )
    n_rows = sum(sizes.values()) // 8  # no entry takes less than an index and a value of 4 bytes
    return _table(Matrix(file, n_rows, 0, _read_npz), options)


def _read_npz(raw: BinaryIO) -> Any:
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


MATRIX_MARKET = Reader((".mtx",), lambda head: head.startswith(b"%%MatrixMarket"), _open_market)
NPZ = Reader((".npz",), lambda head: False, _open_npz)
