"""Write a data set: user shards, the item shards that follow from them, tables and manifest."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.shards.dataset import Dataset, Store
from mfdask.shards.in_memory import MemoryStore
from mfdask.shards.manifest import Manifest
from mfdask.shards.store import (
    ARRAYS,
    PARTS,
    SCRATCH,
    SIDES,
    FileFacts,
    FolderStore,
    Shard,
    facts_of,
    shard_folder,
    write_arrays,
)

if TYPE_CHECKING:
    from mfdask.execution import Executor

Arrays = Mapping[str, npt.NDArray[Any]]
Files = dict[str, FileFacts]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WrittenBlock:
    """What is known of a user block once its shards are written.

    Attributes
    ----------
    files : dict
        Relative path to facts.
    n_train, n_test : int
    train_sum : float
        Of the training ratings.
    """

    files: Files
    n_train: int
    n_test: int
    train_sum: float


@dataclass(frozen=True)
class DatasetWriter(ABC):
    """Writes one data set: first all user shards, then what follows from them.

    Attributes
    ----------
    store : Store
        Where the data set goes.
    bounds : mapping
        Side to the first row of each block, and the number of rows.
    parts : tuple of str
        What each user block is cut into.
    """

    store: Store
    bounds: Mapping[str, list[int]]
    parts: tuple[str, ...] = PARTS

    @abstractmethod
    def _write_shard(self, part: str, side: str, block: int, arrays: Arrays) -> Files:
        """Write the arrays of a shard."""

    @abstractmethod
    def _write_table(self, side: str, table: pd.DataFrame) -> Files:
        """Write a table as it is."""

    @abstractmethod
    def finish(self, manifest: Manifest) -> Dataset:
        """Write the manifest, the last of all, and return the data set."""

    def write_users(self, block: int, parts: Mapping[str, Arrays]) -> WrittenBlock:
        """Write the shards of a user block: for each part its `ARRAYS`, and the times if any."""
        written = [self._write_shard(part, "users", block, parts[part]) for part in self.parts]
        ratings = [parts[part]["ratings"] for part in self.parts]
        return WrittenBlock(
            files=dict(ChainMap(*written)),
            n_train=len(ratings[0]),
            n_test=sum(map(len, ratings[1:])),
            train_sum=float(ratings[0].sum(dtype=np.float64)),
        )

    def write_masked(
        self, data: Dataset, masks: Callable[[Shard], tuple[Mask, ...]]
    ) -> list[WrittenBlock]:
        """Write all user blocks: for each part some of the training ratings of another data set.

        Parameters
        ----------
        data : Dataset
            With the same rows and blocks.
        masks : callable
            Tells which ratings of a user shard go to each of `parts`, bool (ratings,).
        """
        written = []
        for block in range(data.n_blocks("users")):
            data.verify_shard("users", block)  # the kernels trust what they are given
            shard = data.shard("users", block)
            chosen = zip(self.parts, masks(shard), strict=True)
            written.append(
                self.write_users(block, {part: shard.only(mask).arrays for part, mask in chosen})
            )
        return written

    def write_items(self, block: int) -> Files:
        """Write an item shard: the training shards of all users, transposed."""
        from mfdask.kernels.csr import count_columns, transpose_into  # here: loads Numba

        first, end = self.bounds["items"][block : block + 2]
        counts = np.zeros(end - first, np.int64)
        for user in self._training():
            count_columns(user.indices, first, counts)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        indices, ratings = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        place = indptr[:-1].copy()
        for user in self._training():
            transpose_into(*user.arrays.values(), user.start, first, place, indices, ratings)
        arrays = dict(zip(ARRAYS, (indptr, indices, ratings), strict=True))
        return self._write_shard("train", "items", block, arrays)

    def _training(self) -> Iterator[Shard]:
        """Yield the training shards of all users, as plain arrays for the kernels."""
        for block in self._blocks("users"):
            arrays = (self.store.array("train", "users", block, name) for name in ARRAYS)
            plain = (array.view(np.ndarray) for array in arrays)
            yield Shard("users", block, self.bounds["users"][block], *plain)

    def _blocks(self, side: str) -> range:
        return range(len(self.bounds[side]) - 1)

    def write_table(self, side: str, table: pd.DataFrame) -> Files:
        """Write the table of a side with its numbers of ratings, once its shards are written."""
        counts = {f"n_{part}": self._counts(part, side) for part in PARTS}
        return self._write_table(side, table.assign(**counts))

    def _counts(self, part: str, side: str) -> npt.NDArray[np.int64]:
        """Return the ratings of each row in a part."""
        counts = np.zeros(self.bounds[side][-1], np.int64)
        if part not in self.parts:
            return counts
        if (part, side) == ("test", "items"):  # the test part is cut by users only
            for block in self._blocks("users"):
                rows = self.store.array(part, "users", block, "indices")
                counts += np.bincount(rows, minlength=len(counts))
            return counts
        starts = [self.store.array(part, side, b, "indptr") for b in self._blocks(side)]
        return np.concatenate([np.diff(indptr) for indptr in starts])

    def complete(
        self,
        run: Executor,
        name: str,
        users: Sequence[WrittenBlock],
        tables: Mapping[str, pd.DataFrame],
        like: Manifest,
    ) -> Manifest:
        """Write all that follows from the user shards but the manifest, and return that.

        Parameters
        ----------
        run : Executor
        name : str
            What the names of the tasks begin with.
        users : sequence of WrittenBlock
            All of them.
        tables : mapping
            Side to its table; the numbers of training and test ratings are counted anew.
        like : Manifest
            What is not counted anew is as in this one.
        """
        items = [
            run.submit(f"{name}-items-{block}", self.write_items, block)
            for block in self._blocks("items")
        ]
        files = [user.files for user in users] + run.results(items)
        files += [self.write_table(side, tables[side]) for side in SIDES]
        n_train, n_test = sum(user.n_train for user in users), sum(user.n_test for user in users)
        rows = {side: self.bounds[side][-1] for side in SIDES}
        counts = replace(like.counts, kept=n_train + n_test, train=n_train, test=n_test, **rows)
        return replace(
            like,
            counts=counts,
            mean=sum(user.train_sum for user in users) / max(n_train, 1),
            blocks=self.bounds,
            files=dict(sorted(ChainMap(*files).items())),
        )


@dataclass(frozen=True)
class FolderWriter(DatasetWriter):
    """Writes into a folder; its tasks may run in any process that sees it."""

    store: FolderStore

    @classmethod
    def create(
        cls, root: Path, bounds: Mapping[str, list[int]], parts: tuple[str, ...] = PARTS
    ) -> FolderWriter:
        """Make the folders of a data set, and return what writes into them."""
        make_folders(root, parts)
        return cls(FolderStore(root), bounds, parts)

    def _write_shard(self, part: str, side: str, block: int, arrays: Arrays) -> Files:
        return write_arrays(self.store.path, shard_folder(part, side, block), arrays)

    def _write_table(self, side: str, table: pd.DataFrame) -> Files:
        file = self.store.file(f"{side}.parquet")
        table.to_parquet(file, index=False)
        return {file.name: facts_of(file)}

    def finish(self, manifest: Manifest) -> Dataset:
        """Clear the scratch folder away, and write the manifest."""
        shutil.rmtree(self.store.file(SCRATCH))
        manifest.write(self.store.path)
        return Dataset(self.store.path, manifest, self.store)


@dataclass(frozen=True)
class MemoryWriter(DatasetWriter):
    """Holds what is written, in this process."""

    store: MemoryStore

    def _write_shard(self, part: str, side: str, block: int, arrays: Arrays) -> Files:
        for name, array in arrays.items():
            array.flags.writeable = False  # kernels are compiled for these, as for mapped files
            self.store.arrays[part, side, block, name] = array
        return {}

    def _write_table(self, side: str, table: pd.DataFrame) -> Files:
        self.store.tables[side] = table
        return {}

    def finish(self, manifest: Manifest) -> Dataset:
        """Return the data set."""
        return Dataset(None, manifest, self.store)


def make_folders(root: Path, parts: tuple[str, ...] = PARTS) -> None:
    """Make the folders that the shards of a data set, and what is made on the way, go into."""
    for name in (SCRATCH, *parts):
        (root / name).mkdir(parents=True)
