"""Shards (blocks of rows in CSR form) and the files that they lie in."""

from __future__ import annotations

import io
import threading
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.files import crc32

SIDES = ("users", "items")
OTHER = {"users": "items", "items": "users"}
PARTS = ("train", "test")
#: The part of a data set with all events of pairs that occur several times (user shards alone).
REPEATS = "repeats"
#: The arrays that training and scoring read.
ARRAYS = ("indptr", "indices", "ratings")
#: What lies beside the ratings of user shards, where there is any, and its type.
TIMESTAMPS, WEIGHTS = "timestamps", "weights"
BESIDE: Mapping[str, type[np.generic]] = {TIMESTAMPS: np.int64, WEIGHTS: np.float32}
#: The folder of a data set in the making that is gone once it is made.
SCRATCH = "scratch"
#: NumPy has Python compile the head of a file, and two threads that do so at once can make
#: Python 3.11 before 3.11.8 stumble: "AST constructor recursion depth mismatch" (gh-106905).
_ONE_HEAD = threading.Lock()

#: The arrays of a shard by their names, and which of its ratings are chosen.
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shard:
    """The ratings of a contiguous range of rows.

    Attributes
    ----------
    side : {"users", "items"}
        What the rows are; the indices are rows of the other side.
    block : int
        Number of the range.
    start : int
        First row of the range.
    indptr : int64 (n_rows + 1,)
        Where each row begins, from 0.
    indices : int32 (n_ratings,)
        Rows of the other side, ascending within a row.
    ratings : float32 (n_ratings,)
    roots : float32 (n_ratings,) or None
        Of the weights of the ratings in a fit; None where each weighs 1.
    """

    side: str
    block: int
    start: int
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32]
    roots: npt.NDArray[np.float32] | None = None

    @classmethod
    def empty(cls, side: str, block: int, start: int, n_rows: int) -> Shard:
        """Return rows without ratings."""
        nothing = np.empty(0, np.int32), np.empty(0, np.float32)
        return cls(side, block, start, np.zeros(n_rows + 1, np.int64), *nothing)

    @property
    def stop(self) -> int:
        """The row behind the last one."""
        return self.start + self.n_rows

    @property
    def n_rows(self) -> int:
        """How many rows, with or without ratings."""
        return len(self.indptr) - 1

    @property
    def n_ratings(self) -> int:
        """How many ratings."""
        return len(self.indices)

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each rating, int64 (n_ratings,)."""
        return np.repeat(np.arange(self.start, self.stop), np.diff(self.indptr))

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Its arrays by their names, in the order of `ARRAYS`."""
        return {name: getattr(self, name) for name in ARRAYS}

    def only(self, mask: Mask) -> Shard:
        """Return the shard of some of its ratings, with all of its rows.

        Parameters
        ----------
        mask : bool (n_ratings,)
            Which ratings stay.
        """
        places = np.flatnonzero(mask)  # several arrays are taken sooner by these
        return replace(
            self,
            indptr=starts_of_kept(self.indptr, places),
            indices=self.indices[places],
            ratings=self.ratings[places],
            roots=None if self.roots is None else self.roots[places],
        )


def starts_of_kept(
    indptr: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return where each row begins, int64 (n_rows + 1,), once only the entries at places stay."""
    return np.searchsorted(places, indptr)


@dataclass(frozen=True)
class FileFacts:
    """Size and CRC-32 of a file."""

    bytes: int
    crc32: int

    @classmethod
    def of(cls, path: Path) -> FileFacts:
        """Measure a file."""
        return cls(path.stat().st_size, crc32(path))

    def check_size(self, file: Path, remedy: str) -> None:
        """Compare the size of a file with this one.

        Raises
        ------
        InputError
            Also if it is missing; the message ends with the remedy.
        """
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            raise InputError(f"{file}: the file is missing; {remedy}") from None
        if size != self.bytes:
            raise InputError(f"{file}: {size:,} bytes in place of {self.bytes:,}; {remedy}")

    def check(self, file: Path, remedy: str) -> None:
        """Compare size and checksum of a file with these; raises as `check_size`."""
        self.check_size(file, remedy)
        if crc32(file) != self.crc32:
            raise InputError(f"{file}: the file does not match its checksum; {remedy}")


def shard_folder(part: str, side: str, block: int) -> str:
    """Return the folder of a shard, relative to its data set: ``train/users-0000``."""
    return f"{part}/{side}-{block:04d}"


def write_arrays(root: Path, folder: str, arrays: Arrays) -> dict[str, FileFacts]:
    """Write arrays as `.npy` files.

    A task may run twice, and its files be mapped already by others when it does: so each file is
    written in ``root/SCRATCH`` and renamed, and what others have mapped stays as it is.

    Parameters
    ----------
    root : Path
        The data set in the making.
    folder : str
        Where in it they go; all but the last part of it must be there.
    arrays : mapping
        File name without ending to array.

    Returns
    -------
    dict
        Relative path to what was written.
    """
    (root / folder).mkdir(exist_ok=True)
    written = {}
    for name, values in arrays.items():
        fresh = root / SCRATCH / f"{uuid.uuid4().hex}.npy"
        written[f"{folder}/{name}.npy"] = _write(fresh, np.ascontiguousarray(values))
        fresh.rename(root / folder / f"{name}.npy")
    return written


def _write(path: Path, values: npt.NDArray[Any]) -> FileFacts:
    """Write one array; unlike `np.save`, a full disk is an error with its number."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(values))
    body = values.reshape(-1).view(np.uint8).data
    with path.open("wb") as file:
        file.write(head.getvalue())
        file.write(body)
    return FileFacts(
        bytes=len(head.getvalue()) + len(body), crc32=zlib.crc32(body, zlib.crc32(head.getvalue()))
    )


def map_array(path: Path) -> npt.NDArray[Any]:
    """Map an `.npy` file, read-only.

    Raises
    ------
    InputError
        If the file is missing or is no array.
    """
    try:
        with _ONE_HEAD:
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; ingest again") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: the file is damaged ({error}); ingest again") from error


class FolderStore:
    """The files of a data set on disk.

    Attributes
    ----------
    path : Path
        Their folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, parts: Iterable[str] = PARTS) -> FolderStore:
        """Make the folders of a data set that is to be written."""
        for name in (SCRATCH, *parts):
            (path / name).mkdir(parents=True)
        return cls(path)

    def file(self, name: str) -> Path:
        """Return where a file lies, by its path relative to the data set."""
        return self.path / name

    def array(self, part: str, side: str, block: int, name: str) -> npt.NDArray[Any]:
        """Map an array."""
        return map_array(self.file(f"{shard_folder(part, side, block)}/{name}.npy"))

    def table(self, side: str) -> pd.DataFrame:
        """Read a table."""
        file = self.file(f"{side}.parquet")
        try:
            return pd.read_parquet(file)
        except (OSError, ValueError) as error:  # Arrow's errors are among these
            line = " ".join(str(error).split())
            raise InputError(f"{file}: the file is damaged ({line}); ingest again") from error

    def write_shard(self, part: str, side: str, block: int, arrays: Arrays) -> dict[str, FileFacts]:
        """Write the arrays of a shard; see `write_arrays`."""
        return write_arrays(self.path, shard_folder(part, side, block), arrays)

    def write_table(self, side: str, table: pd.DataFrame) -> dict[str, FileFacts]:
        """Write a table."""
        file = self.file(f"{side}.parquet")
        table.to_parquet(file, index=False)
        return {file.name: FileFacts.of(file)}

    def check_size(self, name: str, facts: FileFacts) -> None:
        """Compare the size of a file with what it must be; see `FileFacts.check_size`."""
        facts.check_size(self.path / name, "ingest again")

    def check(self, name: str, facts: FileFacts) -> None:
        """Compare the size and the checksum of a file with what they must be."""
        facts.check(self.path / name, "ingest again")
