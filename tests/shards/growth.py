"""What the tests of taking more in share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.naive import events_of_pairs
from tests.shards.oracle import (
    check_shards,
    item_triples,
    memory_source,
    ratings_of,
    same_ratings,
    user_triples,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def random_frame(seed, n, users, items):
    """Return ratings with duplicates, bad rows and ties in time."""
    draw = np.random.default_rng(seed)
    rating = draw.integers(1, 11, n) / 2
    rating[draw.random(n) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "user_id": draw.integers(*users, n),
            "item_id": [f"i{k}" for k in draw.integers(*items, n)],
            "rating": rating,
            "timestamp": draw.integers(0, 20, n) * 30_000,
        }
    )


def withdrawal(pairs):
    """Return a source of withdrawals: users and items, and times if they are given."""
    names = ["user_id", "item_id", "timestamp"]
    frame = pd.DataFrame(pairs, columns=names[: len(pairs[0])])
    return memory_source(frame.assign(rating=1.0))


def same_data(found, expected):
    """Assert that two data sets hold the same, by id."""
    check_shards(found)
    for part in ("train", "test"):
        same_ratings(ratings_of(found, part), ratings_of(expected, part))
    assert item_triples(found) == user_triples(found)
    for name in ("mean", "rating_min", "rating_max"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12)
    assert found.manifest.rating_step == expected.manifest.rating_step


def same_tables(found, expected):
    """Assert that the tables of users and items say the same, by id."""
    for side, key in (("users", "user_id"), ("items", "item_id")):
        one, other = (getattr(d, side)().set_index(key).sort_index() for d in (found, expected))
        pd.testing.assert_frame_equal(one, other)


def same_data_sparse(found, expected):
    """Assert that two data sets hold the same, but for users and items without ratings."""
    same_data(found, expected)
    for side, key in (("users", "user_id"), ("items", "item_id")):
        one, other = (getattr(d, side)().set_index(key).sort_index() for d in (found, expected))
        counts = ["n_train", "n_test"]
        pd.testing.assert_frame_equal(one.loc[other.index, counts], other[counts])
        assert (one.drop(other.index)[counts] == 0).all(axis=None)


def same_events(data, frame, repeats):
    """Assert that a data set has kept the events of pairs that occur several times."""
    n_events = data.manifest.counts.repeat_events
    if "timestamp" not in frame:
        assert n_events is None
        return
    expected = events_of_pairs(frame, repeats)
    found = ratings_of(data, "repeats")
    assert n_events == len(found) == len(expected)
    pd.testing.assert_frame_equal(in_order(found), in_order(expected), check_dtype=False)


def in_order(events):
    return events.sort_values(["user_id", "item_id", "timestamp"], ignore_index=True)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


NEW = random_frame(6, 40, (5, 45), (0, 50))
