"""Write injected ratings as files for `mfdask ingest`, with tables of what was injected."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from mfdask.downstream.inject.injected import Injected
from mfdask.downstream.inject.plan import InjectionPlan
from mfdask.downstream.ratings_folder import write_ratings_folder
from mfdask.errors import InputError
from mfdask.files import atomic_directory, check_place, file_lock
from mfdask.shards import Dataset

#: Tells a folder of injected ratings from others.
MARK = "injected.json"


def write_injected(
    data: Dataset, injected: Injected, plan: InjectionPlan, seed: int, out: Path
) -> dict[str, pd.DataFrame]:
    """Write a folder that `mfdask ingest` reads as it is, and the truth in it.

    ``ratings.csv`` holds `user_id, item_id, rating, timestamp` with raw ids, ``movies.csv`` titles
    and genres where the data have them and all ids are integers, as MovieLens; ``truth/`` a Parquet
    file for each table of the truth; ``injected.json`` what was injected into what. The folder
    appears when it is whole; injected ratings that are there already are replaced.

    Parameters
    ----------
    data : Dataset
        Where the ratings come from.
    injected : Injected
    plan : InjectionPlan
    seed : int
    out : Path

    Returns
    -------
    dict of str to DataFrame
        The truth as written: raw ids in `user_id`, `item_id`, `partner_id`, `template_id`.

    Raises
    ------
    InputError
        If `out` holds something else, or there is no room for the ids of made-up users.
    RefusedError
        If the disk is too small, or another process is writing there.
    """
    check_place(out, MARK, "injected ratings")
    users, item_ids = data.users()["user_id"], data.items()["item_id"]
    users = pd.concat([users, new_ids(users, injected.n_users - len(users))], ignore_index=True)
    truth = {name: _with_ids(table, users, item_ids) for name, table in injected.truth.items()}
    with file_lock(out, "writing"), atomic_directory(out) as fresh:
        write_ratings_folder(data, injected.events, users, fresh)
        (fresh / "truth").mkdir()
        for name, table in truth.items():
            table.to_parquet(fresh / "truth" / f"{name}.parquet", index=False)
        description = {
            "data": data.name,
            "fingerprint": data.fingerprint,
            "seed": seed,
            "plan": asdict(plan),
            "ratings": len(injected.ratings),
        }
        (fresh / MARK).write_text(json.dumps(description, indent=1) + "\n")
    return truth


def new_ids(ids: pd.Series, n: int) -> pd.Series:
    """Return `n` ids, of the same type as `ids`, that are not among them.

    Raises
    ------
    InputError
        If the largest integer id leaves no room.
    """
    if not pd.api.types.is_integer_dtype(ids):
        prefix = "attacker-"
        while ids.str.startswith(prefix).any():
            prefix += "x"
        return pd.Series([f"{prefix}{k}" for k in range(1, n + 1)], dtype=ids.dtype)
    largest = int(ids.max())
    if largest + n > np.iinfo(np.int64).max:
        raise InputError(f"user id {largest}: leaves no larger ids for {n} made-up users")
    return pd.Series(np.arange(largest + 1, largest + 1 + n), dtype=ids.dtype)


def _with_ids(table: pd.DataFrame, users: pd.Series, items: pd.Series) -> pd.DataFrame:
    """Put raw ids in the place of rows."""
    ids_of = {"user": users, "partner": users, "template": users, "item": items}
    columns = {
        f"{name}_id" if name in ids_of else name: (
            ids_of[name].iloc[column].array if name in ids_of else column
        )
        for name, column in table.items()
    }
    return pd.DataFrame(columns)
