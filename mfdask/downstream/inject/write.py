"""Injected ratings as files that `mfdask ingest` reads, with the truth beside them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from mfdask.downstream.inject.injected import Injected
from mfdask.downstream.inject.plan import Plan
from mfdask.errors import InputError
from mfdask.files import locked, require_space, written_folder
from mfdask.shards import Dataset

#: Tells a folder of injected ratings from others.
MARK = "injected.json"

#: Ratings turned into text at a time.
_PIECE = 1 << 20
_LINE_BYTES = 48


def write_injected(
    data: Dataset, injected: Injected, plan: Plan, seed: int, out: Path
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
    plan : Plan
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
    check_place(out)
    require_space(out, _LINE_BYTES * len(injected.ratings), "ratings.csv")
    users, items = data.users()["user_id"], data.items()
    users = pd.concat([users, new_ids(users, injected.n_users - len(users))], ignore_index=True)
    truth = {
        name: _with_ids(table, users, items["item_id"]) for name, table in injected.truth.items()
    }
    with locked(out, "writing"), written_folder(out) as fresh:
        _write_ratings(injected, users, items["item_id"], fresh / "ratings.csv")
        if (data.manifest.user_kind, data.manifest.item_kind) == ("int", "int"):
            _write_movies(items, fresh / "movies.csv")
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


def check_place(out: Path) -> None:
    """Refuse a place that holds anything but injected ratings.

    Raises
    ------
    InputError
    """
    if out.exists() and not (out / MARK).exists():
        raise InputError(
            f"{out}: is there already and holds no injected ratings; write elsewhere with --out"
        )


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


def _write_ratings(injected: Injected, users: pd.Series, items: pd.Series, path: Path) -> None:
    """Write the ratings by user and time, a piece after the other."""
    user_ids, item_ids, rows = pa.array(users), pa.array(items), injected.users
    schema = pa.schema(
        {
            "user_id": user_ids.type,
            "item_id": item_ids.type,
            "rating": pa.float32(),
            "timestamp": pa.int64(),
        }
    )
    no_header = pacsv.WriteOptions(include_header=False)  # it would be put in quotes
    with path.open("wb") as file:
        file.write(f"{','.join(schema.names)}\n".encode())
        with pacsv.CSVWriter(file, schema, write_options=no_header) as writer:
            for start in range(0, len(rows), _PIECE):
                piece = slice(start, start + _PIECE)
                columns = [
                    user_ids.take(pa.array(rows[piece])),
                    item_ids.take(pa.array(injected.items[piece])),
                    injected.ratings[piece],
                    injected.timestamps[piece],
                ]
                writer.write_table(pa.table(columns, schema=schema))


def _write_movies(items: pd.DataFrame, path: Path) -> None:
    """Write titles and genres as MovieLens does, if there are any."""
    titled = items[items["title"] != ""]
    if len(titled):
        columns = {"item_id": "movieId", "title": "title", "genres": "genres"}
        titled[list(columns)].rename(columns=columns).to_csv(path, index=False)
