"""A data set that takes in more equals an ingest of everything at once."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError, RefusedError
from mfdask.files import locked
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset, extend, plan
from mfdask.shards.build import Choices, ingest
from tests.shards.oracle import (
    check_shards,
    item_triples,
    latest,
    memory_source,
    ratings_of,
    same_ratings,
    user_triples,
)

SPLITS = ["random:0.3", "cold-items:0.3", "time:0.3", "user-time:0.3", "none"]


@pytest.fixture(scope="module")
def here():
    """Tasks run in this process: quicker for small things, and they can be made to fail."""
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as one:
        yield one


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


def same_tables(found, expected, columns=None):
    for side, key in (("users", "user_id"), ("items", "item_id")):
        one, other = (getattr(d, side)().set_index(key).sort_index() for d in (found, expected))
        columns = columns or list(one)
        pd.testing.assert_frame_equal(one[columns], other[columns])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_files_one_by_one_equal_all_at_once(here, tmp_path, split, blocks):
    frames = [
        random_frame(1, 400, (0, 30), (0, 40)),
        random_frame(2, 60, (10, 60), (0, 40)),
        random_frame(3, 60, (20, 90), (30, 70)),
    ]
    choices = Choices(Split.parse(split), blocks=blocks)
    ingest(memory_source(frames[0], [100]), tmp_path / "d", client=here, choices=choices)
    first = Dataset.open(tmp_path / "d")
    before = first.users()["user_id"], first.items()["item_id"], dict(first.manifest.blocks)
    for frame in frames[1:]:
        made = extend.extend(tmp_path / "d", [memory_source(frame, [25])], client=here)
    found = Dataset.open(tmp_path / "d", verify=True)
    every = memory_source(pd.concat(frames, ignore_index=True))
    ingest(every, tmp_path / "e", client=here, choices=choices)
    expected = Dataset.open(tmp_path / "e")
    same_data(found, expected)
    same_tables(found, expected)
    assert made.counts == expected.manifest.counts
    users, items, old_blocks = before
    assert found.users()["user_id"][: len(users)].tolist() == users.tolist()
    assert found.items()["item_id"][: len(items)].tolist() == items.tolist()
    for side, bounds in old_blocks.items():
        assert made.blocks[side][:-1] == bounds[:-1]
    assert len(made.sources) == 3
    assert [taken.read for taken in made.sources] == [400, 60, 60]
    assert sorted(os.listdir(tmp_path)) == ["d", "e"]


@st.composite
def steps(draw):
    """Return frames of ratings, and of withdrawals with times, or without any."""
    has_times = draw(st.booleans())
    columns = {
        "user_id": st.integers(0, 4),
        "item_id": st.integers(0, 3),
        "rating": st.sampled_from([1.0, 2.5, 4.0]),
        "timestamp": st.integers(0, 5),
    }
    made = []
    for number in range(draw(st.integers(2, 4))):
        withdraws = number > 0 and draw(st.booleans())
        wanted = set(columns) - ({"timestamp"} if not has_times else set())
        if withdraws and has_times and draw(st.booleans()):
            wanted.remove("timestamp")
        n = draw(st.integers(1, 5) if number else st.integers(6, 14))
        rows = {
            name: draw(st.lists(column, min_size=n, max_size=n))
            for name, column in columns.items()
            if name in wanted
        }
        made.append((withdraws, pd.DataFrame(rows)))
    return has_times, made


def survivors(has_times, made):
    """Return the ratings that are left after all steps, by going through them row by row."""
    rated, until = {}, {}
    for withdraws, frame in made:
        for row in frame.to_dict("records"):
            pair = row["user_id"], row["item_id"]
            if not withdraws:
                if not has_times or pair not in rated or row["timestamp"] >= rated[pair][0]:
                    rated[pair] = row.get("timestamp", 0), row["rating"]
            elif has_times and "timestamp" in row:
                until[pair] = max(row["timestamp"], until.get(pair, -1))
            else:
                rated.pop(pair, None)
        # Withdrawals with a time count for ever.
        rated = {pair: r for pair, r in rated.items() if r[0] > until.get(pair, -1)}
    lines = [(*pair, rating, at) for pair, (at, rating) in rated.items()]
    frame = pd.DataFrame(lines, columns=["user_id", "item_id", "rating", "timestamp"])
    return frame if has_times else frame.drop(columns="timestamp")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps(), split=st.sampled_from(SPLITS), blocks=st.integers(1, 3))
def test_any_steps_leave_what_an_ingest_of_the_rest_makes(here, steps, split, blocks):
    has_times, made = steps
    parsed = Split.parse(split)
    assume(has_times or not parsed.needs_timestamps)
    choices = Choices(parsed, blocks=blocks)
    left = survivors(has_times, made)
    with tempfile.TemporaryDirectory() as folder:
        data, other = Path(folder) / "d", Path(folder) / "e"
        try:
            ingest(memory_source(made[0][1]), data, client=here, choices=choices)
            for withdraws, frame in made[1:]:
                source = memory_source(frame.assign(rating=1.0) if withdraws else frame)
                sources = {"sources": [], "withdrawn": [source]} if withdraws else {"sources": [source]}
                manifest = extend.extend(data, client=here, **sources)
            ingest(memory_source(left), other, client=here, choices=choices)
        except InputError as error:
            assert "for training" in str(error) or left.empty
            assume(False)
        found, expected = Dataset.open(data, verify=True), Dataset.open(other)
        same_data_sparse(found, expected)
        ratings = pd.concat([frame for withdraws, frame in made if not withdraws])
        read = found.users().set_index("user_id")["n_read"]
        assert read.to_dict() == ratings["user_id"].value_counts().to_dict()
        counts = manifest.counts
        assert counts.read == counts.kept + counts.duplicates + counts.withdrawn == len(ratings)


def same_data_sparse(found, expected):
    """Assert that two data sets hold the same, but for users and items without ratings."""
    same_data(found, expected)
    for side, key in (("users", "user_id"), ("items", "item_id")):
        one, other = (getattr(d, side)().set_index(key).sort_index() for d in (found, expected))
        counts = ["n_train", "n_test"]
        pd.testing.assert_frame_equal(one.loc[other.index, counts], other[counts])
        assert (one.drop(other.index)[counts] == 0).all(axis=None)
