"""Shards as a process that solves has them: mapped and checked, and packed to the rows in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.shards import Dataset, Shard

#: A process that lives through many nights lets go of the data sets of those before.
_DATA_SETS = 4

Made = TypeVar("Made")


class ShardRef(NamedTuple):
    """Names a shard on disk, so that a task carries its address and not its ratings.

    The fingerprint tells a data set from another that took its place. With a range of blocks, its
    own among them, the ratings point to places in the `needed_rows` of these.
    """

    path: str
    fingerprint: str
    side: str
    block: int
    part: str
    group: range | None = None


@lru_cache(maxsize=_DATA_SETS)
def _kept(path: str, fingerprint: str) -> dict[tuple[str, ShardRef], Any]:
    return {}


def _kept_by_data_set(make: Callable[[ShardRef], Made]) -> Callable[[ShardRef], Made]:
    """Make something of a shard once in each process."""

    @wraps(make)
    def made(ref: ShardRef) -> Made:
        kept, key = _kept(ref.path, ref.fingerprint), (make.__name__, ref)
        if key not in kept:
            kept[key] = make(ref)
        found: Made = kept[key]
        return found

    return made


def open_shard(shard: Shard | ShardRef) -> Shard:
    """Return the shard, mapped and checked once in each process that solves it."""
    if isinstance(shard, Shard):
        return shard
    return _open(shard) if shard.group is None else _pack(shard)


@_kept_by_data_set
def needed_rows(ref: ShardRef) -> npt.NDArray[np.int32]:
    """Return the rows of the other side that a group's ratings point to, test ones too; ascending.

    Both halves of a sweep and its scoring then live on the same rows.
    """
    assert ref.group is not None
    data = Dataset.open(ref.path)
    parts = ("train", "test") if ref.side == "users" and data.n_test else ("train",)
    used = np.zeros(_n_others(data, ref.side), bool)
    for block in ref.group:
        for part in parts:
            used[_open(ref._replace(block=block, part=part, group=None)).indices] = True
    return np.flatnonzero(used).astype(np.int32)


@_kept_by_data_set
def _pack(ref: ShardRef) -> Shard:
    assert ref.group is not None
    rows = needed_rows(ref._replace(block=ref.group[0], part="train"))
    place = np.empty(_n_others(Dataset.open(ref.path), ref.side), np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    shard = _open(ref._replace(group=None))
    return replace(shard, indices=place[shard.indices])


def _n_others(data: Dataset, side: str) -> int:
    return data.n_items if side == "users" else data.n_users


@_kept_by_data_set
def _open(ref: ShardRef) -> Shard:
    data = Dataset.open(ref.path)
    if data.fingerprint != ref.fingerprint:
        raise InputError(f"{ref.path}: was replaced while it was being read; start again")
    data.verify_shard(ref.side, ref.block, ref.part)
    shard = data.shard(ref.side, ref.block, ref.part)
    n = _n_others(data, ref.side)
    if shard.n_ratings and not 0 <= shard.indices.min() <= shard.indices.max() < n:
        raise InputError(f"{ref.path}: {ref.side} block {ref.block} names rows that are not there")
    return shard
