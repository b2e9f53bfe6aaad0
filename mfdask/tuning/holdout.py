"""The data set of a search: some of the training ratings are its test part."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.files import atomic_directory, require_space
from mfdask.ingest.blocks import build_item_block
from mfdask.ingest.plan import BuildPlan
from mfdask.kernels.splits import hold_out_by_hash
from mfdask.ratings.splits import Split, id_keys
from mfdask.shards import Dataset, Shard
from mfdask.shards.store import (
    SCRATCH,
    SIDES,
    FileFacts,
    facts_of,
    map_array,
    shard_folder,
    write_arrays,
)

#: Added to the seed. The ratings left for training are those that the same hash with the plain
#: seed did not hold out: drawn alike again, hardly one would fall into the validation part.
_VALIDATION = 0x76_61_6C_69_64

#: A rating lies in a user shard and an item shard, 8 bytes each.
_BYTES_PER_RATING = 16


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
    if not 0 < share < 1:
        raise InputError(f"--validation {share}: give a share between 0 and 1")
    require_space(folder, data.n_train * _BYTES_PER_RATING, "the validation data set")
    with atomic_directory(folder) as fresh:
        _build(data, fresh, share, seed)
    return Dataset.open(folder)


def _build(data: Dataset, root: Path, share: float, seed: int) -> None:
    for name in (SCRATCH, "train", "test"):
        (root / name).mkdir()
    split = Split("random", share)
    bounds = {side: data.bounds(side).tolist() for side in SIDES}
    plan = BuildPlan(root, bounds["users"], bounds["items"], split, seed, None, None)
    keys = [id_keys(table.iloc[:, 0].pipe(pd.Index)) for table in (data.users(), data.items())]
    hash_seed = np.uint64((seed + _VALIDATION) & 0xFFFF_FFFF_FFFF_FFFF)
    files: dict[str, FileFacts] = {}
    for block in range(data.n_blocks("users")):
        data.verify_shard("users", block)
        shard = data.shard("users", block)
        held = _held(shard, keys[0][shard.start : shard.stop], keys[1], hash_seed, share)
        for part, kept in (("train", ~held), ("test", held)):
            folder = shard_folder(part, "users", block)
            files |= write_arrays(root, folder, _kept(shard, kept))
    for block in range(data.n_blocks("items")):
        files |= build_item_block(plan, block)
    files |= _write_tables(data, root)
    shutil.rmtree(root / SCRATCH)
    _write_manifest(data, root, split, seed, files)


def _held(
    shard: Shard,
    user_keys: npt.NDArray[np.uint64],
    item_keys: npt.NDArray[np.uint64],
    seed: np.uint64,
    share: float,
) -> npt.NDArray[np.bool_]:
    """Tell which ratings of a user shard are held out."""
    rows = np.repeat(np.arange(shard.n_rows, dtype=np.int32), np.diff(shard.indptr))
    places = np.arange(shard.n_ratings, dtype=np.int32)
    columns = np.array(shard.indices)  # the kernel is compiled for plain, writeable arrays
    with np.errstate(over="ignore"):  # hashing wraps around; uncompiled, NumPy would tell
        held: npt.NDArray[np.bool_] = hold_out_by_hash(
            places, rows, columns, user_keys.copy(), item_keys, seed, share
        )
    return held


def _kept(shard: Shard, kept: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    before = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    return {
        "indptr": before[shard.indptr],
        "indices": shard.indices[kept],
        "ratings": shard.ratings[kept],
    }


def _write_tables(data: Dataset, root: Path) -> dict[str, FileFacts]:
    """Write both tables with the new numbers of training and test ratings."""
    written = {}
    for side, table in (("users", data.users()), ("items", data.items())):
        kept = np.concatenate(
            [
                np.diff(map_array(root / shard_folder("train", side, block) / "indptr.npy"))
                for block in range(data.n_blocks(side))
            ]
        )
        counted = table.assign(n_train=kept, n_test=table["n_train"] - kept)
        counted.to_parquet(root / f"{side}.parquet", index=False)
        written[f"{side}.parquet"] = facts_of(root / f"{side}.parquet")
    return written


def _write_manifest(
    data: Dataset, root: Path, split: Split, seed: int, files: dict[str, FileFacts]
) -> None:
    folders = [root / shard_folder("train", "users", b) for b in range(data.n_blocks("users"))]
    ratings = [map_array(folder / "ratings.npy") for folder in folders]
    n_train = sum(map(len, ratings))
    if n_train in (0, data.n_train):
        raise InputError(
            f"--validation {split.share}: holds out {data.n_train - n_train} of {data.n_train:,} "
            "training ratings; give another share"
        )
    counts = replace(
        data.manifest.counts, train=n_train, test=data.n_train - n_train, kept=data.n_train
    )
    said = f"{data.fingerprint} validation {split} {seed}"
    fresh = replace(
        data.manifest,
        name=f"{data.name}-validation",
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        counts=counts,
        mean=sum(float(part.sum(dtype=np.float64)) for part in ratings) / n_train,
        split=str(split),
        seed=seed,
        has_timestamps=False,  # nothing here needs them
        files=dict(sorted(files.items())),
    )
    fresh.write(root)
