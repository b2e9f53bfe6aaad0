"""References to data sets and shards, which tasks carry to other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.execution import Executor, Reference, executor
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset, Shard

if TYPE_CHECKING:
    from distributed import Client

#: A process that lives through many nights lets go of the data sets of those before.
_DATA_SETS = 4

Made = TypeVar("Made")


@contextmanager
def executor_for(
    data: Dataset | None, client: Client | None, progress: Progress = silent
) -> Iterator[Executor]:
    """Yield `execution.executor`; ratings in memory are there for this process alone."""
    in_memory = data is not None and data.address is None
    with executor(None if in_memory else client, progress) as run:
        yield run


@dataclass(frozen=True)
class DatasetRef(Reference):
    """Names a data set on disk; the fingerprint tells it from another that took its place."""

    address: str = field(repr=False)  # a URL may hold a secret, and the dashboard shows arguments
    fingerprint: str

    @classmethod
    def of(cls, data: Dataset) -> DatasetRef:
        """Return the reference of a data set that is not in memory."""
        assert data.address is not None
        return cls(data.address, data.fingerprint)

    def open(self) -> Dataset:
        """Return the data set."""
        data = Dataset.open(self.address)
        if data.fingerprint != self.fingerprint:
            raise InputError(f"{self.address}: was replaced while it was being read; start again")
        return data


@dataclass(frozen=True)
class ShardRef(Reference):
    """Names a shard of a data set on disk.

    With a range of blocks, its own among them, the ratings point to places in the `needed_rows` of
    these.
    """

    data: DatasetRef
    side: str
    block: int
    part: str = "train"
    group: range | None = None

    def open(self) -> Shard:
        """Return the shard, mapped and checked once in each process that uses it."""
        return _mapped(self) if self.group is None else _packed(self)


@dataclass(frozen=True)
class NeededRowsRef(Reference):
    """Names the rows of the other side that some blocks of a side use."""

    data: DatasetRef
    side: str
    blocks: range

    def open(self) -> npt.NDArray[np.int32]:
        """Return the rows, ascending."""
        return needed_rows(ShardRef(self.data, self.side, self.blocks[0], "train", self.blocks))


def dataset_ref(run: Executor, data: Dataset) -> Dataset | DatasetRef:
    """Return what a task is given to have a data set: in this process, the data set."""
    return data if run.client is None else DatasetRef.of(data)


def shard_ref(
    run: Executor,
    data: Dataset,
    side: str,
    block: int,
    part: str = "train",
    group: range | None = None,
) -> Shard | ShardRef:
    """Return what a task is given to have a shard: in this process, the shard, never packed."""
    if run.client is None:
        return data.shard(side, block, part)
    return ShardRef(DatasetRef.of(data), side, block, part, group)


@lru_cache(maxsize=_DATA_SETS)
def _kept(data: DatasetRef) -> dict[tuple[str, ShardRef], Any]:
    return {}


def let_go(run: Executor) -> None:
    """Let all processes unmap the shards that they have kept: files that are gone take memory."""
    if run.client is not None:
        run.client.run(_unmap, on_error="ignore")  # a worker may be about to die


def _unmap() -> None:
    _kept.cache_clear()


def _kept_by_data_set(make: Callable[[ShardRef], Made]) -> Callable[[ShardRef], Made]:
    """Make something of a shard once in each process."""

    @wraps(make)
    def made(ref: ShardRef) -> Made:
        kept, key = _kept(ref.data), (make.__name__, ref)
        if key not in kept:
            kept[key] = make(ref)
        found: Made = kept[key]
        return found

    return made


@_kept_by_data_set
def needed_rows(ref: ShardRef) -> npt.NDArray[np.int32]:
    """Return the rows of the other side that a group's ratings point to, test ones too; ascending.

    Both halves of a sweep and its scoring then live on the same rows.
    """
    assert ref.group is not None
    data = ref.data.open()
    parts = ("train", "test") if ref.side == "users" and data.n_test else ("train",)
    used = np.zeros(_n_others(data, ref.side), bool)
    for block in ref.group:
        for part in parts:
            used[_mapped(replace(ref, block=block, part=part, group=None)).indices] = True
    return np.flatnonzero(used).astype(np.int32)


@_kept_by_data_set
def _packed(ref: ShardRef) -> Shard:
    assert ref.group is not None
    rows = needed_rows(replace(ref, block=ref.group[0], part="train"))
    place = np.empty(_n_others(ref.data.open(), ref.side), np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    shard = _mapped(replace(ref, group=None))
    return replace(shard, indices=place[shard.indices])


def _n_others(data: Dataset, side: str) -> int:
    return data.n_items if side == "users" else data.n_users


@_kept_by_data_set
def _mapped(ref: ShardRef) -> Shard:
    return ref.data.open().shard(ref.side, ref.block, ref.part)
