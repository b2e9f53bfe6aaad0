"""Sources in memory, and what ingest must make of them, in plain pandas."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from mfdask.ratings.source import REJECTED_COLUMNS, Parsed, Part, Source


@dataclass(frozen=True, eq=False)
class Read:
    """Hands on a frame whose rows with a missing rating are bad."""

    frame: pd.DataFrame
    file: str

    def __call__(self):
        frame = self.frame.reset_index(drop=True)
        bad = frame["rating"].isna()
        rejected = pd.DataFrame(
            {"file": self.file, "row": np.flatnonzero(bad), "reason": "missing", "text": "…"},
            columns=REJECTED_COLUMNS,
        )
        digest = hashlib.sha256(frame.to_csv().encode()).hexdigest()
        good = frame[~bad].astype({"rating": "float32"})
        return Parsed(good, rejected, len(frame), len(frame), digest)


def memory_source(frame, cuts=(), catalogue=None, name="memory"):
    """Return a source of the rows of a frame, cut into parts before the rows `cuts`."""
    edges = [0, *sorted(cuts), len(frame)]
    pieces = [frame.iloc[a:b] for a, b in pairwise(edges)]
    kinds = {
        column: "int" if pd.api.types.is_integer_dtype(frame[column]) else "string"
        for column in ("user_id", "item_id")
    }
    return Source(
        name=name,
        parts=tuple(Part("rows", Read(piece, "rows"), first_row=0) for piece in pieces),
        user_kind=kinds["user_id"],
        item_kind=kinds["item_id"],
        has_timestamps="timestamp" in frame,
        catalogue=catalogue,
        origin="memory",
        has_weights="weight" in frame,
    )


def ranked(ids):
    """Return the different ids of good rows, most frequent first, ties by id."""
    counts = pd.Series(ids).value_counts()
    return sorted(counts.index, key=lambda one: (-counts[one], one))


def latest(frame):
    """Return the good rows that stay, with `row` for their place among all rows."""
    rows = frame.reset_index(drop=True).rename_axis("row").reset_index().dropna(subset="rating")
    if "timestamp" in rows:
        rows = rows.sort_values(["timestamp", "row"])
    rows = rows.drop_duplicates(["user_id", "item_id"], keep="last")
    return rows.astype({"rating": "float32"}).sort_values("row", ignore_index=True)


def ratings_of(data, part):
    """Return the ratings of a part by id, read row by row from the user shards."""
    users, items = data.users()["user_id"], data.items()["item_id"]
    lines = []
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, part)
        beside = [data.timestamps(block, part), data.weights(block, part)]
        for row in range(shard.n_rows):
            for i in range(shard.indptr[row], shard.indptr[row + 1]):
                line = (users[shard.start + row], items[shard.indices[i]], shard.ratings[i])
                lines.append((*line, *(own[i] for own in beside if own is not None)))
    has = {"timestamp": data.timestamps(0), "weight": data.weights(0)}
    names = ["user_id", "item_id", "rating", *(name for name in has if has[name] is not None)]
    return pd.DataFrame(lines, columns=names)


def same_ratings(found, expected):
    """Assert that two frames hold the same ratings, in any order."""
    columns = list(found.columns)
    found = found.sort_values(["user_id", "item_id"], ignore_index=True)
    expected = expected[columns].sort_values(["user_id", "item_id"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def check_shards(data):
    """Assert what holds of the shards of every data set."""
    for side, other in (("users", "items"), ("items", "users")):
        bounds = data.bounds(side)
        n_rows = {"users": data.n_users, "items": data.n_items}
        assert bounds[0] == 0
        assert bounds[-1] == n_rows[side]
        assert np.all(np.diff(bounds) > 0)
        for part in ("train", "test") if side == "users" else ("train",):
            for block in range(data.n_blocks(side)):
                shard = data.shard(side, block, part)
                assert (shard.start, shard.stop) == (bounds[block], bounds[block + 1])
                assert shard.indptr.dtype == np.int64
                assert shard.indices.dtype == np.int32
                assert shard.ratings.dtype == np.float32
                assert shard.indptr[0] == 0
                assert shard.indptr[-1] == shard.n_ratings == len(shard.ratings)
                for a, b in zip(shard.indptr[:-1], shard.indptr[1:], strict=True):
                    row = shard.indices[a:b]
                    assert np.all(np.diff(row) > 0)
                    assert np.all((row >= 0) & (row < n_rows[other]))


def item_triples(data):
    """Return the (user row, item row, rating) triples of the item shards, as a set."""
    triples = set()
    for block in range(data.n_blocks("items")):
        shard = data.shard("items", block)
        rows = shard.start + np.repeat(np.arange(shard.n_rows), np.diff(shard.indptr))
        triples |= set(
            zip(shard.indices.tolist(), rows.tolist(), shard.ratings.tolist(), strict=True)
        )
    return triples


def user_triples(data):
    """Return the triples of the user shards, as a set."""
    triples = set()
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block)
        rows = shard.start + np.repeat(np.arange(shard.n_rows), np.diff(shard.indptr))
        triples |= set(
            zip(rows.tolist(), shard.indices.tolist(), shard.ratings.tolist(), strict=True)
        )
    return triples
