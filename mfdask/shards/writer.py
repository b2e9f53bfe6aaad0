"""The writer of data sets: user shards, the item shards made of them, tables and manifest."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.execution import Executor, LocalExecutor
from mfdask.shards.dataset import Dataset
from mfdask.shards.in_memory import MemoryStore
from mfdask.shards.manifest import Manifest
from mfdask.shards.store import (
    ARRAYS,
    PARTS,
    SCRATCH,
    SIDES,
    WEIGHTS,
    Arrays,
    FileFacts,
    FolderStore,
    Mask,
    Shard,
)

Files: TypeAlias = dict[str, FileFacts]


@dataclass(frozen=True)
class DatasetWriter:
    """Writes one data set: first all user shards, then what follows from them.

    Its methods are tasks, too, that run in any process which sees the folder.

    Attributes
    ----------
    store : FolderStore or MemoryStore
        Where the data set goes.
    bounds : mapping
        Side to the first row of each block, and the number of rows.
    parts : tuple of str
        What each user block is cut into.
    """

    store: FolderStore | MemoryStore
    bounds: Mapping[str, list[int]]
    parts: tuple[str, ...] = PARTS

    def write_users(self, block: int, parts: Mapping[str, Arrays]) -> Files:
        """Write the shards of a user block: `ARRAYS` of each part, and what lies beside them."""
        shards = ((part, parts[part]) for part in self.parts)
        return merged(self.store.write_shard(part, "users", block, own) for part, own in shards)

    def write_masked(self, data: Dataset, held_out: Callable[[Shard], Mask]) -> Manifest:
        """Write all but the manifest from the training ratings of another data set; return that.

        Parameters
        ----------
        data : Dataset
            With the same rows and blocks.
        held_out : callable
            Tells which ratings of a user shard are not for training, bool (ratings,). Without a
            test part they are left out.
        """
        users = []
        for block in self._blocks("users"):
            shard = data.shard("users", block)
            held = held_out(shard)
            masks = {"train": ~held, "test": held}
            parts = {part: shard.only(masks[part]).arrays for part in self.parts}
            for name, values in data.beside(block).items():
                for part, arrays in parts.items():
                    arrays[name] = values[np.flatnonzero(masks[part])]
            users.append(self.write_users(block, parts))
        tables = {"users": data.users(), "items": data.items()}
        return self.write_rest(LocalExecutor(), "masked", users, tables, data.manifest)

    def write_items(self, block: int) -> Files:
        """Write an item shard: the training shards of all users, transposed."""
        from mfdask.kernels.csr import count_columns, transpose_into  # here: loads Numba

        first, end = self.bounds["items"][block : block + 2]
        counts = np.zeros(end - first, np.int64)
        for users in self._training():
            count_columns(users.indices, first, counts)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        indices, ratings = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        place = indptr[:-1].copy()
        for users in self._training():
            transpose_into(*users.arrays.values(), users.start, first, place, indices, ratings)
        arrays = dict(zip(ARRAYS, (indptr, indices, ratings), strict=True))
        return self.store.write_shard("train", "items", block, arrays)

    def _training(self) -> Iterator[Shard]:
        """Yield the training shards of all users, as plain arrays for the kernels."""
        for block in self._blocks("users"):
            arrays = (self.store.array("train", "users", block, name) for name in ARRAYS)
            plain = (array.view(np.ndarray) for array in arrays)
            yield Shard("users", block, self.bounds["users"][block], *plain)

    def write_table(self, side: str, table: pd.DataFrame) -> Files:
        """Write the table of a side with its numbers of ratings, once its shards are written."""
        counts = {f"n_{part}": self._counts(part, side) for part in PARTS}
        return self.store.write_table(side, table.assign(**counts))

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

    def _blocks(self, side: str) -> range:
        return range(len(self.bounds[side]) - 1)

    def write_rest(
        self,
        run: Executor,
        name: str,
        users: Iterable[Files],
        tables: Mapping[str, pd.DataFrame],
        like: Manifest,
    ) -> Manifest:
        """Write all that follows from the user shards but the manifest, and return that.

        Parameters
        ----------
        run : Executor
        name : str
            What the names of the tasks begin with.
        users : iterable of dict
            The files of all user blocks.
        tables : mapping
            Side to its table; the numbers of training and test ratings are counted anew.
        like : Manifest
            What is not counted anew is as in this one.
        """
        items = [run.submit(f"{name}-{b}", self.write_items, b) for b in self._blocks("items")]
        files = merged([*users, *run.results(items)])
        files |= merged(self.write_table(side, tables[side]) for side in SIDES)
        n_train = int(self._counts("train", "users").sum())
        n_test = int(self._counts("test", "users").sum())
        rows = {side: self.bounds[side][-1] for side in SIDES}
        return replace(
            like,
            counts=replace(like.counts, kept=n_train + n_test, train=n_train, test=n_test, **rows),
            mean=self._training_mean("ratings"),
            mean_weight=self._training_mean(WEIGHTS) if like.has_weights else None,
            blocks=self.bounds,
            files=dict(sorted(files.items())),
        )

    def _training_mean(self, name: str) -> float:
        """Return the mean of an array over all training ratings."""
        parts = [self.store.array("train", "users", b, name) for b in self._blocks("users")]
        total = sum(float(part.sum(dtype=np.float64)) for part in parts)
        return total / max(sum(map(len, parts)), 1)

    def finish(self, manifest: Manifest) -> Dataset:
        """Write the manifest, the last of all, and return the data set."""
        if isinstance(self.store, MemoryStore):
            return Dataset(None, manifest, self.store)
        shutil.rmtree(self.store.file(SCRATCH))
        manifest.write(self.store.path)
        return Dataset(self.store.path, manifest, self.store)


def merged(files: Iterable[Files]) -> Files:
    """Return what is known of the files of several tasks in one."""
    return {name: facts for written in files for name, facts in written.items()}
