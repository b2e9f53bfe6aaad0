"""Benchmark of dense predictions, against the bare matrix product and writing as many bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from distributed import Client

from mfdask.bench.rounds import seconds_of, take_in_turn
from mfdask.cores import n_cores
from mfdask.downstream.dense import densify
from mfdask.models import Ability, FactorModel, load_model
from mfdask.models.design import swap_bias_columns
from mfdask.models.factor_model import require_factors
from mfdask.progress import Progress, silent

#: Users that are multiplied at a time, and bytes of a file.
_USERS = 128
_FILE = 8 * 2**20


@dataclass(frozen=True)
class DensePlan:
    """Options of `measure_dense`.

    Attributes
    ----------
    users : int
        Predict for so many, the first.
    dtype : str
        What is stored, see `densify`.
    rounds : int
    """

    users: int = 20_000
    dtype: str = "uint8"
    rounds: int = 3


def measure_dense(
    model: Path, folder: Path, client: Client, plan: DensePlan, progress: Progress = silent
) -> dict[str, Any]:
    """Time `densify`, the product of the same rows, and plain writes of its bytes, in turn.

    Parameters
    ----------
    model : Path
        A model's directory.
    folder : Path
        Written into, on the disk that is to be measured; left as it was.
    client : Client
    plan : DensePlan
    progress : Progress, optional

    Returns
    -------
    dict
        ``users``, ``items``, ``bytes``; ``seconds``, medians over the rounds, and ``rounds``; and
        ``share_of_limit``: the slower of product and writes over `densify`, the rounds' median.
    """
    learned = require_factors(load_model(model), "this benchmark", Ability.BIASES)
    users = min(plan.users, len(learned.users))
    ids = learned.users["user_id"][:users].tolist()
    n_bytes = users * len(learned.items) * np.dtype(plan.dtype).itemsize
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)

        def dense() -> None:
            densify(model, place / "dense", dtype=plan.dtype, user_ids=ids, client=client)

        dense()  # compiles on the workers
        shutil.rmtree(place / "dense")
        timed = {
            "product": lambda: _seconds(lambda: multiply_blocks(learned, users)),
            "writes": lambda: _seconds(lambda: write(place / "raw", n_bytes), place / "raw"),
            "densify": lambda: _seconds(dense, place / "dense"),
        }
        taken = take_in_turn(timed, plan.rounds, progress)
    rounds = zip(*(taken.seconds[name] for name in timed), strict=True)
    return {
        "model": str(model),
        "users": users,
        "items": len(learned.items),
        "dtype": plan.dtype,
        "bytes": n_bytes,
        "seconds": {name: taken.median(name) for name in timed},
        "rounds": taken.seconds,
        "share_of_limit": median(max(product, writes) / own for product, writes, own in rounds),
    }


def multiply_blocks(model: FactorModel, n_users: int) -> None:
    """Multiply users with all items, some at a time, and keep nothing."""
    items = np.ascontiguousarray(model.item_rows.T)
    block = np.empty((_USERS, items.shape[1]), np.float32)
    for start in range(0, n_users, _USERS):
        users = swap_bias_columns(model.user_rows[start : min(start + _USERS, n_users)])
        np.matmul(users, items, out=block[: len(users)])


def write(folder: Path, n_bytes: int) -> None:
    """Write so many bytes, in whole files, from as many threads as there are cores."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, _FILE, np.uint8).tobytes()
    with ThreadPoolExecutor(n_cores()) as pool:
        files = [folder / str(n) for n in range(-(-n_bytes // _FILE))]
        list(pool.map(lambda file: file.write_bytes(noise), files))


def _seconds(run: Callable[[], None], made: Path | None = None) -> float:
    """Return how long it takes; what it has made is removed."""
    seconds = seconds_of(run)
    if made is not None:
        shutil.rmtree(made)
    return seconds
