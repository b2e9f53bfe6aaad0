"""Data sets in memory, of one block a side."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.ratings.source import Feedback
from mfdask.shards.manifest import Counts, Manifest
from mfdask.shards.store import ARRAYS, PARTS, Arrays, FileFacts

_LARGEST = np.iinfo(np.int32).max


@dataclass(frozen=True)
class MemoryStore:
    """Arrays and tables that are held.

    Attributes
    ----------
    arrays : dict
        By part, side, block and name.
    tables : dict
        By side.
    """

    arrays: dict[tuple[str, str, int, str], npt.NDArray[Any]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def array(self, part: str, side: str, block: int, name: str) -> npt.NDArray[Any]:
        """Return an array."""
        return self.arrays[part, side, block, name]

    def table(self, side: str) -> pd.DataFrame:
        """Return a table."""
        return self.tables[side]

    def write_shard(self, part: str, side: str, block: int, arrays: Arrays) -> dict[str, FileFacts]:
        """Hold the arrays of a shard, read-only as mapped files are; there are no files."""
        for name, array in arrays.items():
            array.flags.writeable = False
            self.arrays[part, side, block, name] = array
        return {}

    def write_table(self, side: str, table: pd.DataFrame) -> dict[str, FileFacts]:
        """Hold a table."""
        self.tables[side] = table
        return {}


def hold(ratings: Any, feedback: Feedback = "ratings") -> tuple[Manifest, MemoryStore]:
    """Take a sparse matrix apart; see `Dataset.from_csr`."""
    if not (hasattr(ratings, "tocsr") and len(getattr(ratings, "shape", ())) == 2):
        raise InputError(
            f"cannot learn from a {type(ratings).__name__}: give a Dataset, or a "
            "scipy.sparse matrix of users x items"
        )
    entries = ratings.tocoo(copy=True)  # keeps stored zeros: they are ratings
    by_user = entries.tocsr()  # adds up what is there twice
    by_user.sum_duplicates()  # sorts the columns
    _check(by_user)
    if feedback == "ratings":
        _refuse_repeats(entries, by_user)
    else:
        by_user = _happened(by_user, feedback)
    sides = {"users": by_user, "items": by_user.tocsc()}
    store = MemoryStore()
    for side, compressed in sides.items():
        values = _compressed(compressed)
        # Nothing is held out: an empty test part, cut like the training part.
        nothing = (np.zeros_like(values[0]), values[1][:0], values[2][:0])
        for part, arrays in zip(PARTS, (values, nothing), strict=True):
            store.write_shard(part, side, 0, dict(zip(ARRAYS, arrays, strict=True)))
        store.write_table(side, _table(side, np.diff(values[0])))
    return _manifest(by_user, store, feedback), store


def _refuse_repeats(entries: Any, by_user: Any) -> None:
    if by_user.nnz < entries.nnz:
        raise InputError(
            f"{entries.nnz - by_user.nnz:,} entries of the matrix repeat the row and column of "
            "another; keep one rating for each"
        )


def _happened(by_user: Any, feedback: Feedback) -> Any:
    """Return counts, or events, of a matrix: without zeros, and none negative."""
    if by_user.data.min() < 0:
        raise InputError(
            f"the matrix holds {by_user.data.min():g}, and no count is negative; ratings may be: "
            "give `feedback` ratings"
        )
    happened = by_user.astype(np.float32)
    happened.eliminate_zeros()
    _check(happened)
    if feedback == "events":
        happened.data[:] = 1
    return happened


def _check(by_user: Any) -> None:
    if by_user.nnz == 0:
        raise InputError(f"the matrix of {by_user.shape[0]} x {by_user.shape[1]} holds no rating")
    if max(by_user.shape) > _LARGEST:
        raise InputError(f"the matrix has more than {_LARGEST:,} rows or columns")
    if by_user.dtype.kind not in "fiub":
        raise InputError(f"ratings must be numbers, not {by_user.dtype}")
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(by_user.data.astype(np.float32)))
    if bad.size:
        row = int(np.searchsorted(by_user.indptr, bad[0], side="right")) - 1
        raise InputError(
            f"the rating in row {row}, column {by_user.indices[bad[0]]} is {by_user.data[bad[0]]}; "
            "ratings must be finite in float32"
        )


def _compressed(matrix: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    return (
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )


def _table(side: str, counts: npt.NDArray[np.int64]) -> pd.DataFrame:
    n = len(counts)
    counted = {"n_read": counts, "n_train": counts, "n_test": np.zeros_like(counts)}
    if side == "users":
        return pd.DataFrame({"user_id": np.arange(n), **counted})
    nothing = {
        "title": pd.Series([""] * n, dtype="str"),
        "year": pd.array([pd.NA] * n, dtype="Int16"),
        "genres": pd.Series([""] * n, dtype="str"),
    }
    return pd.DataFrame({"item_id": np.arange(n), **nothing, **counted})


def _manifest(by_user: Any, store: MemoryStore, feedback: Feedback) -> Manifest:
    n, (n_users, n_items) = by_user.nnz, by_user.shape
    kind = "" if feedback == "ratings" else f" of {feedback}"
    digest = hashlib.sha256(f"matrix {n_users} x {n_items}{kind}".encode())
    for name in ARRAYS:
        digest.update(store.array("train", "users", 0, name).data)
    values = store.array("train", "users", 0, "ratings")
    return Manifest(
        name="matrix",
        origin=f"a matrix of {n_users} x {n_items} in memory",
        fingerprint=digest.hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        counts=Counts(n, n, 0, 0, n, 0, n_users, n_items),
        mean=float(values.mean(dtype=np.float64)),
        rating_min=float(values.min()),
        rating_max=float(values.max()),
        rating_step=None,
        split="none",
        seed=0,
        user_kind="int",
        item_kind="int",
        has_timestamps=False,
        blocks={"users": [0, n_users], "items": [0, n_items]},
        files={},
        feedback=feedback,
        repeats="sum" if feedback == "counts" else "latest",
    )
