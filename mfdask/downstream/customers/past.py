"""What was known at a cut-off, as a data set of its own: whatever reads it cannot see the future.

Rows are ranked anew, by what users and items had gathered before the cut-off, so that not even the
order of rows, nor the blocks that they are cut into, tells of what came later.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.downstream.events import parts_of
from mfdask.ingest.blocks import build_item_block
from mfdask.ingest.plan import BuildPlan, block_bounds, default_blocks
from mfdask.kernels.csr import row_starts, sort_pairs
from mfdask.models.runner import Runner
from mfdask.models.tasks import open_dataset
from mfdask.ratings.splits import Split
from mfdask.shards import Counts, Dataset
from mfdask.shards.store import SCRATCH, SIDES, FileFacts, facts_of, shard_folder, write_arrays

#: Disk that a rating takes in a past: in a user shard with its time, and in an item shard.
BYTES_PER_RATING = 24


class HistoryAsOf(NamedTuple):
    """Who and what had ratings before a cut-off.

    Attributes
    ----------
    cutoff : int
        Seconds since 1970.
    rows : dict
        For each side, the rows of the data set that had any, most-rated first, ties by id.
    counts : dict
        For each side, how many ratings these had, in the same order.
    """

    cutoff: int
    rows: dict[str, npt.NDArray[np.int64]]
    counts: dict[str, npt.NDArray[np.int64]]

    def places(self, side: str, n_rows: int) -> npt.NDArray[np.int32]:
        """Return the new row of each of the data set's rows, -1 where it had no rating."""
        places = np.full(n_rows, -1, np.int32)
        places[self.rows[side]] = np.arange(len(self.rows[side]), dtype=np.int32)
        return places


def histories_as_of(data: Dataset, cutoffs: tuple[int, ...], run: Runner) -> list[HistoryAsOf]:
    """Count the ratings before each cut-off; one pass over the data set for all of them."""
    handles = [
        run.submit(f"count-{block}", _count_block, run.dataset(data), block, cutoffs)
        for block in range(data.n_blocks("users"))
    ]
    counted = [run.result(handle) for handle in handles]
    counts = {
        "users": np.concatenate([users for users, _ in counted], axis=1),
        "items": np.sum([items for _, items in counted], axis=0),
    }
    ids = {"users": data.users()["user_id"], "items": data.items()["item_id"]}
    by_id = {side: np.argsort(np.argsort(pd.Index(column))) for side, column in ids.items()}
    found = []
    for k, cutoff in enumerate(cutoffs):
        rows, own = {}, {}
        for side in SIDES:
            order = np.lexsort((by_id[side], -counts[side][k]))
            rows[side] = order[: np.count_nonzero(counts[side][k])]
            own[side] = counts[side][k][rows[side]]
        found.append(HistoryAsOf(cutoff, rows, own))
    return found


def _count_block(
    source: Dataset | str, block: int, cutoffs: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ratings of each user and of each item before each cut-off, in a user block."""
    data = open_dataset(source)
    first, stop = data.bounds("users")[block : block + 2].tolist()
    users = np.zeros((len(cutoffs), stop - first), np.int64)
    items = np.zeros((len(cutoffs), data.n_items), np.int64)
    for k, cutoff in enumerate(cutoffs):
        for part in parts_of(data):
            columns = _before(data, block, part, cutoff)
            users[k] += np.bincount(columns["users"] - first, minlength=stop - first)
            items[k] += np.bincount(columns["items"], minlength=data.n_items)
    return users, items


def _before(data: Dataset, block: int, part: str, cutoff: int) -> dict[str, npt.NDArray[Any]]:
    """Return the ratings of a shard before a cut-off, as columns."""
    shard, times = data.shard("users", block, part), data.timestamps(block, part)
    assert times is not None
    kept = np.asarray(times) < cutoff
    return {
        "users": shard.rows[kept],
        "items": shard.indices[kept],
        "ratings": shard.ratings[kept],
        "timestamps": times[kept],
    }


def write_past(data: Dataset, known: HistoryAsOf, folder: Path, run: Runner) -> Dataset:
    """Write the data set of all ratings before a cut-off, both parts of `data` in one.

    Ids are those of `data`; users and items without a rating before the cut-off are not in it.

    Parameters
    ----------
    data : Dataset
        On disk, with times.
    known : HistoryAsOf
    folder : Path
        Where it goes; must not be there.
    run : Runner
        Where the blocks are written.
    """
    n_ratings = int(known.counts["users"].sum())
    blocks = default_blocks(n_ratings)
    bounds = {side: block_bounds(known.counts[side], blocks) for side in SIDES}
    plan = BuildPlan(folder, bounds["users"], bounds["items"], Split("none"), 0, None, None)
    for name in (SCRATCH, "train"):
        (folder / name).mkdir(parents=True)
    places = {
        side: known.places(side, n)
        for side, n in zip(SIDES, (data.n_users, data.n_items), strict=True)
    }
    day = f"{known.cutoff}"
    tasks = [
        run.submit(
            f"past-users-{day}-{b}", _write_users, run.dataset(data), plan, places, known.cutoff, b
        )
        for b in range(len(bounds["users"]) - 1)
    ]
    written = [run.result(task) for task in tasks]
    tasks = [
        run.submit(f"past-items-{day}-{b}", build_item_block, plan, b)
        for b in range(len(bounds["items"]) - 1)
    ]
    files: dict[str, FileFacts] = {}
    for made in (*(own for own, _ in written), *map(run.result, tasks)):
        files |= made
    files |= _write_tables(data, known, folder)
    _write_manifest(data, plan, n_ratings, sum(total for _, total in written), files)
    return Dataset.open(folder)


def _write_users(
    source: Dataset | str,
    plan: BuildPlan,
    places: dict[str, npt.NDArray[np.int32]],
    cutoff: int,
    block: int,
) -> tuple[dict[str, FileFacts], float]:
    """Write one new user shard, gathered from all old ones; return its files and rating sum."""
    data = open_dataset(source)
    first, stop = plan.user_bounds[block : block + 2]
    found: dict[str, list[npt.NDArray[Any]]] = {}
    for old in range(data.n_blocks("users")):
        for part in parts_of(data):
            columns = _before(data, old, part, cutoff)
            users = places["users"][columns["users"]]
            mine = (users >= first) & (users < stop)
            columns["users"] = users - np.int32(first)
            columns["items"] = places["items"][columns["items"]]
            for name, values in columns.items():
                found.setdefault(name, []).append(values[mine])
    merged = {name: np.concatenate(values) for name, values in found.items()}
    n_items = plan.item_bounds[-1]
    order = np.empty(len(merged["users"]), np.int32)
    sort_pairs(
        merged["users"], stop - first, merged["items"], n_items, np.empty(len(order), np.int64),
        order,
    )  # fmt: skip
    arrays = {
        "indptr": row_starts(merged["users"], order, stop - first),
        "indices": merged["items"][order],
        "ratings": merged["ratings"][order],
        "timestamps": merged["timestamps"][order],
    }
    files = write_arrays(plan.root, shard_folder("train", "users", block), arrays)
    return files, float(arrays["ratings"].sum(dtype=np.float64))


def _write_tables(data: Dataset, known: HistoryAsOf, root: Path) -> dict[str, FileFacts]:
    """Write the tables of both sides, counted anew."""
    written = {}
    for side, table in (("users", data.users()), ("items", data.items())):
        own = known.counts[side]
        counted = table.iloc[known.rows[side]].assign(n_read=own, n_train=own, n_test=0 * own)
        counted.to_parquet(root / f"{side}.parquet", index=False)
        written[f"{side}.parquet"] = facts_of(root / f"{side}.parquet")
    return written


def _write_manifest(
    data: Dataset, plan: BuildPlan, n: int, total: float, files: dict[str, FileFacts]
) -> None:
    n_users, n_items = plan.user_bounds[-1], plan.item_bounds[-1]
    facts = repr([(name, asdict(fact)) for name, fact in sorted(files.items())])
    replace(
        data.manifest,
        name=f"{data.name}-past",
        fingerprint=hashlib.sha256(facts.encode()).hexdigest(),
        counts=Counts(n, n, 0, 0, n, 0, n_users, n_items),
        mean=total / n,
        split="none",
        seed=0,
        blocks={"users": plan.user_bounds, "items": plan.item_bounds},
        files=dict(sorted(files.items())),
    ).write(plan.root)
