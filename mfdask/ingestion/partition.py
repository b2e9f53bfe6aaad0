"""Sort the ratings of each part into a bucket on disk for each user block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask import kernels
from mfdask.ingestion.plan import BuildPlan
from mfdask.ratings.ids import Ranked
from mfdask.shards.store import SCRATCH, map_array, write_arrays


def load_kernels() -> None:
    """Load Numba, and let it set itself up, as it does when it first calls a kernel.

    That takes half a second, and holds the GIL, which Arrow does not: time to do it is while other
    threads read.
    """
    kernels.csr.counting_order(np.zeros(1, np.int32), 1)


def take_values(values: npt.NDArray[Any], places: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Return ``values[places]``, without the 64-bit copy of `places` that NumPy makes."""
    out = np.empty(len(places), values.dtype)
    given = values.view()
    given.flags.writeable = False  # as if all were read from disk: it is compiled for these alone
    kernels.csr.gather_into(given, places, out)
    return out


def fill_buckets(
    plan: BuildPlan,
    number: int,
    first_row: int,
    ratings: pd.DataFrame,
    users: Ranked,
    items: Ranked,
) -> npt.NDArray[np.int64]:
    """Write the ratings of part `number`, sorted by user block, else in their order.

    Parameters
    ----------
    plan : BuildPlan
    number : int
    first_row : int
        Rows read before this part.
    ratings : DataFrame
        With encoded ids; without ratings, or with repeats that are counted, each row is 1.
    users, items : Ranked
        Which row each id of the part has.

    Returns
    -------
    int64 (n_blocks + 1,)
        Where each block begins in the part's arrays.
    """
    codes = ratings["user_id"].cat.codes.to_numpy()
    user_rows, item_rows = users.rows[number], items.rows[number]
    columns: dict[str, npt.NDArray[Any]] = {
        "users": user_rows[codes],
        "items": item_rows[ratings["item_id"].cat.codes],
        "ratings": _values(plan, ratings),
    }
    if "timestamp" in ratings:
        columns["timestamps"] = ratings["timestamp"].to_numpy()
    if "weight" in ratings:
        columns["weights"] = ratings["weight"].to_numpy()
    if "held_out" in ratings:
        columns["draws"] = ratings["held_out"].to_numpy() > 0
    elif plan.draws:
        columns["draws"] = map_array(plan.root / plan.draws)[first_row + ratings.index.to_numpy()]
    n_blocks = len(plan.user_bounds) - 1
    blocks = np.searchsorted(plan.user_bounds, user_rows, side="right") - 1
    order, starts = kernels.csr.counting_order(blocks.astype(np.int32)[codes], n_blocks)
    sorted_columns = {name: take_values(values, order) for name, values in columns.items()}
    write_arrays(plan.root, _folder(number), sorted_columns)
    return starts


def _values(plan: BuildPlan, ratings: pd.DataFrame) -> npt.NDArray[np.float32]:
    if plan.repeats == "count" or "rating" not in ratings:
        return np.ones(len(ratings), np.float32)
    return ratings["rating"].to_numpy()


def read_bucket(
    root: Path, starts: list[npt.NDArray[np.int64]], block: int, name: str
) -> npt.NDArray[Any] | None:
    """Return one column of a block, in file order; None if there is no such column.

    Parameters
    ----------
    root : Path
        The data set in the making.
    starts : list of int64 arrays
        From `fill_buckets`, for each part.
    block : int
    name : str
        ``"users"``, ``"items"``, ``"ratings"``, ``"timestamps"``, ``"weights"`` or ``"draws"``.
    """
    files = [root / _folder(number) / f"{name}.npy" for number in range(len(starts))]
    if not files[0].exists():
        return None
    pieces = [map_array(f)[s[block] : s[block + 1]] for f, s in zip(files, starts, strict=True)]
    return np.concatenate(pieces)


def _folder(number: int) -> str:
    return f"{SCRATCH}/part-{number:06d}"
