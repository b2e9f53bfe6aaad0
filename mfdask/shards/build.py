"""Ingest: from a source of raw ratings to a data set on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from distributed import Client, Future

from mfdask.errors import InputError, MfdaskError, RefusedError
from mfdask.files import free_bytes, locked, written_folder
from mfdask.progress import Progress, silent
from mfdask.ratings.ids import count_ids, rank_ids
from mfdask.ratings.source import Source
from mfdask.ratings.splits import Split, id_keys, sequence_draws
from mfdask.shards.blocks import Plan, UserBlock, build_item_block, build_user_block
from mfdask.shards.cutoff import time_cutoff
from mfdask.shards.manifest import FILE_NAME, Counts, Manifest
from mfdask.shards.partition import Bucketing, block_bounds, default_blocks, fill_buckets
from mfdask.shards.reading import Reading, read_source
from mfdask.shards.rejected import first_bad_row, refuse_bad_rows, write_rejected
from mfdask.shards.store import SCRATCH, FileFacts, write_arrays
from mfdask.shards.tables import write_items, write_users
from mfdask.shards.tasks import Tasks

#: Disk that a rating takes while it is ingested: in a bucket, and in a user and an item shard.
_BYTES_PER_RATING = 21 + 16 + 8
#: No block may hold more: places within one are 32-bit numbers.
_LARGEST_BLOCK = 2**31 - 1


@dataclass(frozen=True)
class Choices:
    """How a source is turned into a data set.

    Attributes
    ----------
    split : Split
    seed : int
        Of the split.
    blocks : int or None
        Blocks a side is cut into; by default as many as `default_blocks` says.
    fail_on_bad_rows : bool
        Raise at a bad row in place of leaving it out.
    """

    split: Split = Split("random", 0.1)
    seed: int = 42
    blocks: int | None = None
    fail_on_bad_rows: bool = False


def ingest(
    source: Source,
    out: Path,
    *,
    client: Client,
    choices: Choices | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Turn raw ratings into a data set on disk.

    Parameters
    ----------
    source : Source
    out : Path
        Folder of the data set. It is there as a whole or not at all, whatever happens.
    client : distributed.Client
        Its workers read and write; they see the same files as this process.
    choices : Choices, optional
    overwrite : bool
        Replace a data set that is there already, once the new one is done.
    progress : Progress, optional

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If no rating is good, the split cannot be done, or `out` is taken.
    RefusedError
        If another process is ingesting into `out`, or the disk is too small.
    """
    choices = choices or Choices()
    if choices.split.needs_timestamps and not source.has_timestamps:
        raise InputError(
            f"--split {choices.split}: {source.name} has no timestamps; choose random or sequence"
        )
    out = out.absolute()
    try:
        with locked(out, "ingesting into"):
            _check_target(out, overwrite)
            with written_folder(out) as fresh:
                manifest = _build(source, fresh, choices, Tasks(client, progress))
                shutil.rmtree(fresh / SCRATCH)
                manifest.write(fresh)
                return manifest
    except OSError as error:
        raise _explained(error, out) from error


def _check_target(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not (out / FILE_NAME).exists():
        raise InputError(f"{out}: is there already and is no data set; choose another --out")
    if not overwrite:
        raise InputError(
            f"{out}: holds a data set already; replace it with --overwrite, or choose another --out"
        )


def _explained(error: OSError, out: Path) -> MfdaskError:
    """Return what a user makes of an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RefusedError(
            f"{out}: no space left on the disk; free some, or write elsewhere with --out"
        )
    return InputError(f"{out}: cannot write there ({error}); choose another --out")


def _build(source: Source, root: Path, choices: Choices, tasks: Tasks) -> Manifest:
    """Write everything but the manifest, and return that."""
    for folder in (SCRATCH, "train", "test"):
        (root / folder).mkdir()
    reading = read_source(source, tasks)
    files = _account_for_bad_rows(root, reading, source, choices, tasks)
    ids = _rank(reading, source, tasks)
    plan = _plan(root, reading, ids, choices, tasks)
    starts = _partition(plan, reading, ids, tasks)
    digests = [part.digest for part in reading.facts]
    n_read, n_rejected = reading.n_read, reading.n_rejected
    del reading  # and with it the ratings that the workers hold: they are in the buckets now
    users = _build_users(plan, starts, ids, tasks)
    for block in users:
        files |= block.files
    files |= _build_items(plan, source, ids, tasks)
    counts = _count(n_read, n_rejected, users, plan)
    return _manifest(source, choices, plan, counts, users, files, digests)


def _account_for_bad_rows(
    root: Path, reading: Reading, source: Source, choices: Choices, tasks: Tasks
) -> dict[str, FileFacts]:
    """Write the table of bad rows, if there may be any and something is left."""
    if reading.n_read == 0:
        raise InputError(f"{source.origin}: holds no ratings")
    if choices.fail_on_bad_rows:
        refuse_bad_rows(reading, source.parts)
    if reading.n_read == reading.n_rejected:
        raise InputError(
            f"{source.origin}: none of its {reading.n_read:,} rows is a rating; the first is "
            f"{first_bad_row(reading, source.parts)}; check the file and --columns"
        )
    return write_rejected(root, reading, source.parts, tasks)


def _rank(reading: Reading, source: Source, tasks: Tasks) -> dict[str, Future]:
    """Give the ids of both sides their rows; items of the catalogue that nobody rated, too."""
    counted = {
        side: tasks.partitions(
            reading.ratings[column].map_partitions(
                count_ids, meta=(None, "int64"), enforce_metadata=False
            )
        )
        for side, column in (("users", "user_id"), ("items", "item_id"))
    }
    tasks.finish("count ids", counted["users"] + counted["items"])
    if source.catalogue is not None:
        import pandas as pd

        known = pd.Index(source.catalogue["item_id"])
        counted["items"].append(tasks.place(pd.Series(0, index=known)))
    return {side: tasks.submit(f"rank-{side}", rank_ids, parts) for side, parts in counted.items()}


def _plan(
    root: Path, reading: Reading, ids: dict[str, Future], choices: Choices, tasks: Tasks
) -> Plan:
    """Cut both sides into blocks, and find where the split `time` cuts."""
    n_good = reading.n_read - reading.n_rejected
    _check_disk(root, n_good)
    n_blocks = choices.blocks or default_blocks(n_good)
    cuts = [
        tasks.submit(f"cut-{side}", lambda ranked: block_bounds(ranked.counts, n_blocks), ids[side])
        for side in ("users", "items")
    ]
    user_bounds, item_bounds = tasks.finish("cut blocks", cuts)
    cutoff = None
    if choices.split.kind == "time":
        cutoff = time_cutoff(reading.ratings, n_good, choices.split.share, tasks)
    return Plan(root, user_bounds, item_bounds, choices.split, choices.seed, cutoff)


def _check_disk(root: Path, n_ratings: int) -> None:
    needed, free = n_ratings * _BYTES_PER_RATING, free_bytes(root)
    if needed > free:
        raise RefusedError(
            f"{root.parent}: {n_ratings:,} ratings take {needed / 2**20:,.0f} MiB of disk to ingest, "
            f"{free / 2**20:,.0f} MiB are free; free some, or write elsewhere with --out"
        )


def _partition(
    plan: Plan, reading: Reading, ids: dict[str, Future], tasks: Tasks
) -> list[np.ndarray]:
    """Sort all parts into user blocks, and return where each block begins in each part."""
    draws = None
    if plan.split.kind == "sequence":
        draws = f"{SCRATCH}/split/draws.npy"
        drawn = sequence_draws(reading.n_read, plan.split.share, plan.seed)
        write_arrays(plan.root, f"{SCRATCH}/split", {"draws": drawn})
    bucketing = Bucketing(plan.root, plan.user_bounds, draws)
    frames = tasks.partitions(reading.ratings)
    rows = {
        side: [tasks.submit(f"rows-{side}-{n}", _rows_of_part, ids[side], n) for n in range(len(frames))]
        for side in ("users", "items")
    }
    parts = zip(reading.first_rows(), frames, rows["users"], rows["items"], strict=True)
    filled = [
        tasks.submit(f"partition-{n}", fill_buckets, bucketing, n, *part)
        for n, part in enumerate(parts)
    ]
    return tasks.finish("partition", filled)


def _rows_of_part(ranked, number):
    return ranked.rows[number]


def _build_users(
    plan: Plan, starts: list[np.ndarray], ids: dict[str, Future], tasks: Tasks
) -> list[UserBlock]:
    keys: Sequence[Future | None] = (None, None)
    if plan.split.kind == "random":
        keys = [
            tasks.submit(f"keys-{side}", lambda ranked: id_keys(ranked.ids), ids[side])
            for side in ("users", "items")
        ]
    built = [
        tasks.submit(f"users-{block}", build_user_block, plan, block, starts, *keys)
        for block in range(len(plan.user_bounds) - 1)
    ]
    return tasks.finish("user shards", built)


def _build_items(
    plan: Plan, source: Source, ids: dict[str, Future], tasks: Tasks
) -> dict[str, FileFacts]:
    """Write the item shards, and the tables of both sides."""
    n_users, n_items = len(plan.user_bounds) - 1, len(plan.item_bounds) - 1
    built = [
        tasks.submit(f"items-{block}", build_item_block, plan, block) for block in range(n_items)
    ]
    files: dict[str, FileFacts] = {}
    for written in tasks.finish("item shards", built):
        files |= written
    catalogue = None if source.catalogue is None else tasks.place(source.catalogue)
    tables = [
        tasks.submit("write-users", write_users, plan.root, ids["users"], n_users),
        tasks.submit(
            "write-items", write_items, plan.root, ids["items"], catalogue, n_items, n_users
        ),
    ]
    names = ("users.parquet", "items.parquet")
    return files | dict(zip(names, tasks.finish("tables", tables), strict=True))


def _count(n_read: int, n_rejected: int, users: list[UserBlock], plan: Plan) -> Counts:
    train, test = sum(b.n_train for b in users), sum(b.n_test for b in users)
    if train == 0:
        raise InputError(
            f"--split {plan.split} leaves none of the {test:,} ratings for training; hold out less"
        )
    return Counts(
        read=n_read,
        kept=train + test,
        rejected=n_rejected,
        duplicates=n_read - n_rejected - train - test,
        train=train,
        test=test,
        users=plan.user_bounds[-1],
        items=plan.item_bounds[-1],
    )


def _manifest(
    source: Source,
    choices: Choices,
    plan: Plan,
    counts: Counts,
    users: list[UserBlock],
    files: dict[str, FileFacts],
    digests: list[str],
) -> Manifest:
    values = np.unique(np.concatenate([block.values for block in users]))
    few = sum(block.n_values for block in users) == sum(len(block.values) for block in users)
    facts = {
        "split": str(choices.split),
        "seed": choices.seed,
        "mean": sum(block.train_sum for block in users) / counts.train,
        "rating_min": float(values[0]),
        "rating_max": float(values[-1]),
        "rating_step": rating_step(values) if few else None,
        "user_kind": source.user_kind,
        "item_kind": source.item_kind,
        "has_timestamps": source.has_timestamps,
    }
    said = json.dumps([digests, facts, counts.__dict__])
    return Manifest(
        name=source.name,
        origin=source.origin,
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        counts=counts,
        blocks={"users": plan.user_bounds, "items": plan.item_bounds},
        files=dict(sorted(files.items())),
        **facts,
    )


def rating_step(values: np.ndarray) -> float | None:
    """Return the step of the grid that ascending ratings lie on, None if there is none."""
    if len(values) < 2:
        return None
    span = float(values[-1]) - float(values[0])
    n_steps = round(span / float(np.diff(values.astype(np.float64)).min()))
    step = span / n_steps
    places = (values.astype(np.float64) - float(values[0])) / step
    return round(step, 6) if np.allclose(places, np.rint(places), atol=1e-3) else None
