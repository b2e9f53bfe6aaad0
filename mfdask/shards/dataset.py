"""The class `Dataset`: shards, ids and tables of an ingested data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError, without_secrets
from mfdask.files import resolve_link
from mfdask.ratings.source import Feedback
from mfdask.shards import in_memory as matrix
from mfdask.shards.manifest import Manifest
from mfdask.shards.remote import RemoteStore, is_url
from mfdask.shards.store import (
    ARRAYS,
    BESIDE,
    REPEATS,
    SIDES,
    TIMESTAMPS,
    WEIGHTS,
    FolderStore,
    Shard,
    shard_folder,
)
from mfdask.summaries import Summarised

#: Files that this process has found to be as their manifest says: name, checksum, time of writing.
_VERIFIED: set[tuple[str, int, int]] = set()
#: A process that lives through many nights forgets those of the nights before.
_MOST_VERIFIED = 100_000


def rows_of_ids(known: pd.Index, ids: Any, side: str) -> npt.NDArray[np.intp]:
    """Return the place of each of some ids, or of a single one, in those known; -1 where it is not.

    Raises
    ------
    InputError
        If the ids are text and those known are numbers, or the other way round.
    """
    given = pd.Index([ids] if np.isscalar(ids) else ids)
    are_text = [index.inferred_type in ("string", "mixed-integer") for index in (known, given)]
    if len(known) and len(given) and are_text[0] != are_text[1]:
        kind, other = ("text", "numbers") if are_text[0] else ("numbers", "text")
        raise InputError(
            f"ids of {side} are {kind} here; {given.tolist()[0]!r} and others given are {other}"
        )
    return known.get_indexer(given)


class Store(Protocol):
    """Protocol of stores: arrays and tables of a data set."""

    def array(self, part: str, side: str, block: int, name: str) -> npt.NDArray[Any]:
        """Return one array of a shard, read-only."""

    def table(self, side: str) -> pd.DataFrame:
        """Return the rows of a side."""


class Dataset(Summarised):
    """Ratings cut into shards, with the ids behind the rows.

    Make one with `Dataset.open` or `Dataset.from_csr`.

    Attributes
    ----------
    path : Path or None
        Its folder; None for ratings in memory, and at a URL, where nothing can be written.
    address : str or None
        What opens it in another process, on another machine too: its absolute path or its URL;
        None for ratings in memory.
    manifest : Manifest

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import Dataset
    >>> ratings = csr_matrix([[5.0, 3.0, 0.0], [4.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    >>> data = Dataset.from_csr(ratings)
    >>> data.n_users, data.n_items
    (3, 3)
    """

    def __init__(
        self, path: Path | None, manifest: Manifest, store: Store, url: str | None = None
    ) -> None:
        self.path = path
        self.address = str(path.absolute()) if path is not None else url
        self.manifest = manifest
        self._store = store
        self._tables: dict[str, pd.DataFrame] = {}
        self._indexes: dict[str, pd.Index] = {}

    @classmethod
    def open(cls, path: Path | str, verify: bool = False) -> Dataset:
        """Open the data set in a folder, or at a URL; nothing but its manifest is read yet.

        Parameters
        ----------
        path : Path or str
            A URL is a string with ``://``, of any kind that fsspec opens; see `remote`.
        verify : bool
            Read every file and compare its checksum, see `verify`.

        Raises
        ------
        InputError
            If there is no data set, a file is missing or has the wrong size, or a newer version of
            mfdask wrote it; at a URL also if that cannot be read, and a file is missed only once
            it is used.
        """
        data = cls._remote(path) if is_url(path) else cls._local(resolve_link(Path(path)))
        if verify:
            data.verify()
        return data

    @classmethod
    def _local(cls, path: Path) -> Dataset:
        manifest, store = Manifest.read(path), FolderStore(path)
        for name, facts in manifest.files.items():
            store.check_size(name, facts)
        return cls(path, manifest, store)

    @classmethod
    def _remote(cls, url: str) -> Dataset:
        store = RemoteStore(url)
        return cls(None, store.manifest, store, store.opened_by)

    @classmethod
    def from_csr(cls, ratings: Any, feedback: Feedback = "ratings") -> Dataset:
        """Make a data set of a sparse matrix in memory; its row and column numbers are the ids.

        Parameters
        ----------
        ratings : scipy.sparse matrix or array
            Users x items. Every stored value is a rating, a stored zero too.
        feedback : {"ratings", "counts", "events"}
            What the values are. Counts of one row and column are added up, and zeros are left out;
            an event is any value but zero, and is held as 1.

        Raises
        ------
        InputError
            If it is no sparse matrix, is empty, or holds a value that is not finite, a rating twice
            or a negative count.
        """
        manifest, store = matrix.hold(ratings, feedback)
        return cls(None, manifest, store)

    def summary(self) -> tuple[str, dict[str, str]]:
        """Return what the data set holds, by the names of the facts."""
        blocks = ", ".join(f"{self.n_blocks(side)}" for side in SIDES)
        numbers = f"{self.n_train:,}, {self.n_test:,} {self.feedback}"
        facts = {
            "from": self.manifest.origin,
            "train, test": f"{numbers} ({self.manifest.split})",
            "users, items": f"{self.n_users:,}, {self.n_items:,} in {blocks} blocks",
            self.manifest.holds: f"{self.manifest.scale}, mean {self.mean:.4f}",
            "timestamps": "yes" if self.manifest.has_timestamps else "no",
            **({"weights": f"mean {self.manifest.mean_weight:g}"} if self.has_weights else {}),
            "at": without_secrets(self.address or "in memory"),
        }
        return f"Dataset {self.name}", facts

    @property
    def name(self) -> str:
        """Short name."""
        return self.manifest.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the data set was made from, and how."""
        return self.manifest.fingerprint

    @property
    def feedback(self) -> Feedback:
        """What the values are: ratings, counts, or events, each of value 1."""
        return self.manifest.feedback

    @property
    def has_weights(self) -> bool:
        """Whether ratings have weights."""
        return self.manifest.has_weights

    def require_ratings(self, what: str) -> None:
        """Refuse a data set whose values are no ratings, which `what` needs.

        Raises
        ------
        InputError
        """
        if self.feedback != "ratings":
            raise InputError(f"{what} needs ratings, and {self.name} holds {self.feedback}")

    @property
    def n_users(self) -> int:
        """Number of user rows."""
        return self.manifest.counts.users

    @property
    def n_items(self) -> int:
        """Number of item rows, rated or not."""
        return self.manifest.counts.items

    @property
    def n_train(self) -> int:
        """Number of training ratings."""
        return self.manifest.counts.train

    @property
    def n_test(self) -> int:
        """Number of held-out ratings."""
        return self.manifest.counts.test

    @property
    def mean(self) -> float:
        """Mean training rating."""
        return self.manifest.mean

    @property
    def rating_min(self) -> float:
        """Smallest rating, in either part."""
        return self.manifest.rating_min

    @property
    def rating_max(self) -> float:
        """Largest rating, in either part."""
        return self.manifest.rating_max

    def bounds(self, side: str) -> npt.NDArray[np.int64]:
        """Return the first row of each block and the number of rows, int64 (n_blocks + 1,)."""
        return np.array(self.manifest.blocks[side], np.int64)

    def n_blocks(self, side: str) -> int:
        """Return the number of blocks that the rows of a side are cut into."""
        return len(self.manifest.blocks[side]) - 1

    def shard(self, side: str, block: int, part: str = "train") -> Shard:
        """Return a shard, mapped from its files, which are verified once in each process.

        Parameters
        ----------
        side : {"users", "items"}
        block : int
        part : {"train", "test", "repeats"}
            The test part and the repeats are cut by users only. Repeats are all events of the pairs
            that occur several times, by row, index and time.

        Raises
        ------
        InputError
            If a file is missing or damaged.
        """
        first, stop = self.manifest.blocks[side][block : block + 2]
        if self._is_empty(part, block):
            return Shard.empty(side, block, first, stop - first)
        folder = shard_folder(part, side, block)
        fresh = [self._verify_once(f"{folder}/{name}.npy") for name in ARRAYS]
        arrays = (self._store.array(part, side, block, name) for name in ARRAYS)
        shard = Shard(side, block, first, *arrays)
        if any(fresh):
            self._check_rows(shard)
        return shard

    def timestamps(
        self, block: int, part: str = "train", side: str = "users"
    ) -> npt.NDArray[np.int64] | None:
        """Return the time of each rating of a shard, int64 seconds since 1970.

        None if the source had no timestamps. They lie with the user shards: those of an item shard
        are looked for in all of them.
        """
        return self._beside(TIMESTAMPS, block, part, side)

    def weights(
        self, block: int, part: str = "train", side: str = "users"
    ) -> npt.NDArray[np.float32] | None:
        """Return how much each rating of a shard counts in a fit, float32, above 0.

        None if the source had no weights. They lie where timestamps do.
        """
        return self._beside(WEIGHTS, block, part, side)

    def beside(self, block: int, part: str = "train") -> dict[str, npt.NDArray[Any]]:
        """Return all that lies beside the ratings of a user shard, by name; see `BESIDE`."""
        found = {name: self._beside(name, block, part, "users") for name in self.manifest.beside}
        return {name: values for name, values in found.items() if values is not None}

    def _beside(self, name: str, block: int, part: str, side: str) -> npt.NDArray[Any] | None:
        """Return one of `BESIDE` for each rating of a shard, if there is any."""
        if name not in self.manifest.beside:
            return None
        if side == "items":
            return self._beside_items(name, block)
        if self._is_empty(part, block):
            return np.empty(0, BESIDE[name])
        self._verify_once(f"{shard_folder(part, 'users', block)}/{name}.npy")
        return self._store.array(part, "users", block, name)

    def _beside_items(self, name: str, block: int) -> npt.NDArray[Any]:
        """Return one of `BESIDE` for each training rating of an item shard."""
        first, stop = self.manifest.blocks["items"][block : block + 2]
        items, values = [], []
        for b in range(self.n_blocks("users")):
            indices, own = self.shard("users", b).indices, self._beside(name, b, "train", "users")
            assert own is not None
            here = (first <= indices) & (indices < stop)
            items.append(indices[here])
            values.append(own[here])
        # Users ascend within an item, as they do from one shard to the next.
        return np.concatenate(values)[np.argsort(np.concatenate(items), kind="stable")]

    def _is_empty(self, part: str, block: int) -> bool:
        """Tell whether a part has no files of a user block."""
        if part == REPEATS:
            return f"{shard_folder(part, 'users', block)}/indptr.npy" not in self.manifest.files
        return part == "test" and not self.n_test

    def users(self) -> pd.DataFrame:
        """Return the users in row order: `user_id` and the counts `n_read, n_train, n_test`."""
        return self._table("users").copy()

    def items(self) -> pd.DataFrame:
        """Return the items in row order: `item_id, title, year, genres` and the counts."""
        return self._table("items").copy()

    def rows_of(self, side: str, ids: Any) -> npt.NDArray[np.int64]:
        """Return the row of each id, int64 (ids,), -1 for an id that is not in the data set."""
        if side not in self._indexes:
            self._indexes[side] = pd.Index(self._table(side).iloc[:, 0])
        return rows_of_ids(self._indexes[side], ids, side).astype(np.int64)

    def _table(self, side: str) -> pd.DataFrame:
        if side not in self._tables:
            self._verify_once(f"{side}.parquet")
            self._tables[side] = self._store.table(side)
        return self._tables[side]

    def verify(self) -> None:
        """Read every file and compare its size and checksum with the manifest's.

        Raises
        ------
        InputError
            Names the first file that differs.
        """
        for name in self.manifest.files:
            self._check(name)

    def _check(self, name: str) -> None:
        if isinstance(self._store, FolderStore):  # nothing can happen to what is in memory
            self._store.check(name, self.manifest.files[name])

    def _verify_once(self, name: str) -> bool:
        """Check a file that this process has not checked since it was written; tell whether."""
        if not isinstance(self._store, FolderStore):
            return False
        file = self._store.file(name)
        written = file.stat().st_mtime_ns if file.exists() else 0
        key = (str(file), self.manifest.files[name].crc32, written)
        if key in _VERIFIED:
            return False
        self._check(name)
        if len(_VERIFIED) >= _MOST_VERIFIED:
            _VERIFIED.clear()
        _VERIFIED.add(key)
        return True

    def _check_rows(self, shard: Shard) -> None:
        """Refuse a shard that no kernel may see, whatever its checksums say."""
        n_others = self.n_items if shard.side == "users" else self.n_users
        first, stop = self.manifest.blocks[shard.side][shard.block : shard.block + 2]
        sound = (
            shard.n_rows == stop - first
            and shard.indptr[0] == 0
            and shard.indptr[-1] == len(shard.indices) == len(shard.ratings)
            and (np.diff(shard.indptr) >= 0).all()
            and (not shard.n_ratings or 0 <= shard.indices.min() <= shard.indices.max() < n_others)
        )
        if not sound:
            raise InputError(
                f"{self.address}: {shard.side} block {shard.block} names rows that are not there; "
                "ingest again"
            )
