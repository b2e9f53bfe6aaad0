"""The validation data set of a search, held out of the training ratings."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mfdask.errors import require
from mfdask.files import atomic_directory, require_space
from mfdask.kernels.splits import Keys, hold_out_by_hash
from mfdask.ratings.splits import Split, id_keys
from mfdask.shards import Dataset, Shard
from mfdask.shards.store import FolderStore, Mask
from mfdask.shards.writer import DatasetWriter

#: Added to the seed. The ratings left for training are those that the same hash with the plain
#: seed did not hold out: drawn alike again, hardly one would fall into the validation part.
_VALIDATION = 0x76_61_6C_69_64

#: A rating lies in a user shard and an item shard, 8 bytes each, and its time in one of 8 bytes.
_BYTES_PER_RATING = 24


def hold_out(data: Dataset, folder: Path, share: float, seed: int) -> Dataset:
    """Write a data set of the training ratings of `data`, some of them held out for validation.

    Rows, ids and blocks stay as they are. A rating's side depends on its user, its item and the
    seed alone. The test part of `data` is not read.

    Parameters
    ----------
    data : Dataset
        On disk.
    folder : Path
        Where it goes; what is there is replaced.
    share : float
        Share of the training ratings that is held out, in (0, 1).
    seed : int

    Raises
    ------
    InputError
        If no rating would be held out, or none left, or a file of `data` is damaged.
    RefusedError
        If the disk has no room for it.
    """
    require(0 < share < 1, "validation", share, "between 0 and 1")
    require_space(folder, data.n_train * _BYTES_PER_RATING, "the validation data set")
    with atomic_directory(folder) as fresh:
        _write(data, fresh, Split("random", share), seed)
    return Dataset.open(folder)


def _write(data: Dataset, root: Path, split: Split, seed: int) -> None:
    writer = DatasetWriter(FolderStore.create(root), data.manifest.blocks)
    user_keys, item_keys = (
        id_keys(pd.Index(table.iloc[:, 0])) for table in (data.users(), data.items())
    )
    hash_seed = np.uint64((seed + _VALIDATION) & 0xFFFF_FFFF_FFFF_FFFF)
    manifest = writer.write_masked(
        data, partial(_held, user_keys, item_keys, hash_seed, split.share)
    )
    n_held = manifest.counts.test
    wanted = f"a share that does not hold out {n_held:,} of the {data.n_train:,} training ratings"
    require(n_held not in (0, data.n_train), "validation", split.share, wanted)
    said = f"{data.fingerprint} validation {split} {seed}"
    validation = replace(
        manifest,
        name=f"{data.name}-validation",
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        split=str(split),
        seed=seed,
    )
    writer.finish(validation)


def _held(user_keys: Keys, item_keys: Keys, seed: np.uint64, share: float, shard: Shard) -> Mask:
    """Tell which ratings of a user shard are held out."""
    rows = np.repeat(np.arange(shard.n_rows, dtype=np.int32), np.diff(shard.indptr))
    places = np.arange(shard.n_ratings, dtype=np.int32)
    # The kernel is compiled for plain, writeable arrays.
    columns, row_keys = np.array(shard.indices), user_keys[shard.start : shard.stop].copy()
    with np.errstate(over="ignore"):  # hashing wraps around; uncompiled, NumPy would tell
        held: Mask = hold_out_by_hash(places, rows, columns, row_keys, item_keys, seed, share)
    return held
