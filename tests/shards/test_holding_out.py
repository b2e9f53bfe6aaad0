"""Which ratings each split holds out."""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.extend import extend
from mfdask.kernels.splits import _mix
from mfdask.ratings.formats import open_source
from mfdask.ratings.frames import open_frame
from mfdask.ratings.splits import Split, id_keys
from mfdask.shards import Dataset
from tests.shards.oracle import latest, memory_source, ratings_of, same_ratings


@pytest.fixture(scope="module")
def frame():
    """Ratings in no order, some of them twice, some bad, with ties in time."""
    draw = np.random.default_rng(5)
    n = 1200
    rating = draw.integers(1, 11, n) / 2
    rating[draw.random(n) < 0.02] = np.nan
    return pd.DataFrame(
        {
            "user_id": draw.integers(0, 40, n),
            "item_id": [f"i{k}" for k in draw.integers(0, 60, n)],
            "rating": rating,
            "timestamp": draw.integers(0, 400_000, n) // 500 * 500,
        }
    )


@pytest.fixture
def held_out(client, tmp_path):
    def run(frame, split, seed=42, blocks=3):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        choices = IngestOptions(Split.parse(split), seed, blocks, max_rejected=1.0)
        source = memory_source(frame, [len(frame) // 3, len(frame) // 2])
        made = ingest(source, out, client=client, choices=choices)
        data = Dataset.open(out)
        train, test = ratings_of(data, "train"), ratings_of(data, "test")
        same_ratings(pd.concat([train, test], ignore_index=True), latest(frame))
        assert (made.counts.train, made.counts.test) == (len(train), len(test))
        assert made.mean == pytest.approx(train["rating"].mean())
        assert data.users()["n_train"].sum() == data.items()["n_train"].sum() == len(train)
        assert data.users()["n_test"].sum() == data.items()["n_test"].sum() == len(test)
        for side, column in (("users", "user_id"), ("items", "item_id")):
            table = getattr(data, side)().set_index(column)
            expected = test[column].value_counts().reindex(table.index, fill_value=0)
            assert table["n_test"].tolist() == expected.tolist()
        return test

    return run


def pairs(frame):
    return set(zip(frame["user_id"], frame["item_id"], strict=True))


def test_random_keeps_sides_when_data_are_added(held_out, frame):
    every, early = held_out(frame, "random:0.3"), held_out(frame[:800], "random:0.3", blocks=1)
    assert len(every) == pytest.approx(0.3 * len(latest(frame)), rel=0.2)
    before = pairs(latest(frame[:800]))
    assert pairs(early) == pairs(every) & before


def test_random_depends_on_the_seed_and_grows_with_the_share(held_out, frame):
    assert pairs(held_out(frame, "random:0.3", seed=1)) != pairs(held_out(frame, "random:0.3"))
    assert pairs(held_out(frame, "random:0.1")) < pairs(held_out(frame, "random:0.3"))


@pytest.mark.parametrize("share", [1e-17, 0.001, 0.1, 0.5, 0.97])
def test_time_cuts_once_at_the_nearest_second(held_out, frame, share):
    test, kept = held_out(frame, f"time:{share}"), latest(frame)
    times = kept["timestamp"]
    candidates = [*sorted(set(times)), times.max() + 1]
    miss = [abs((times >= second).sum() - share * len(times)) for second in candidates]
    # Two seconds may be equally near.
    expected = [
        pairs(kept[kept["timestamp"] >= second])
        for second, how_far in zip(candidates, miss, strict=True)
        if how_far == pytest.approx(min(miss))
    ]
    assert pairs(test) in expected


@pytest.mark.parametrize("share", [0.05, 0.29, 0.9])
def test_user_time_holds_out_the_last_of_each_user(held_out, frame, share):
    test = held_out(frame, f"user-time:{share}")
    expected, kept = set(), latest(frame)
    items = pd.Index(kept["item_id"].unique())
    with np.errstate(over="ignore"):
        ties = {item: _mix(key) for item, key in zip(items, id_keys(items), strict=True)}
    kept["tie"] = kept["item_id"].map(ties)
    for _, own in kept.sort_values(["timestamp", "tie"]).groupby("user_id"):
        n_last = math.floor(round(share * len(own), 6))
        expected |= pairs(own.iloc[len(own) - n_last :])
    assert pairs(test) == expected


def test_leave_one_out_holds_out_the_last_of_each_user(held_out, frame):
    test, kept = held_out(frame, "leave-one-out"), latest(frame)
    assert kept.groupby("user_id").size().min() >= 2
    latest_time = kept.groupby("user_id")["timestamp"].max()
    assert test["user_id"].is_unique
    assert set(test["user_id"]) == set(kept["user_id"])
    assert (test["timestamp"] == test["user_id"].map(latest_time)).all()
    single = pd.DataFrame({"user_id": [1], "item_id": ["i1"], "rating": [3.0], "timestamp": [1]})
    more = pd.concat([frame.assign(user_id=frame["user_id"] + 9), single], ignore_index=True)
    assert 1 not in set(held_out(more, "leave-one-out")["user_id"])


def test_sequence_draws_for_all_rows_read(held_out, frame):
    test, kept = held_out(frame, "sequence:0.4", seed=7), latest(frame)
    drawn = np.random.RandomState(7).random_sample(len(frame)) < 0.4
    assert pairs(test) == pairs(kept[drawn[kept["row"]]])


def test_cold_items_are_held_out_whole(held_out, frame):
    test, kept = held_out(frame, "cold-items:0.3"), latest(frame)
    items = set(test["item_id"])
    assert pairs(test) == pairs(kept[kept["item_id"].isin(items)])
    assert len(items) == pytest.approx(0.3 * kept["item_id"].nunique(), abs=11)  # 3 deviations
    assert set(held_out(frame, "cold-items:0.1")["item_id"]) < items
    assert set(held_out(frame, "cold-items:0.3", seed=1)["item_id"]) != items


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_cold_items_do_not_depend_on_blocks_or_on_what_is_added(held_out, frame, blocks):
    every = held_out(frame, "cold-items:0.3")
    assert pairs(held_out(frame, "cold-items:0.3", blocks=blocks)) == pairs(every)
    early = held_out(frame[:800], "cold-items:0.3", blocks=blocks)
    before = latest(frame[:800])
    assert pairs(early) == pairs(every) & pairs(before)
    other_users = frame.assign(user_id=frame["user_id"] + 1000)
    again = held_out(other_users, "cold-items:0.3", blocks=blocks)
    assert set(again["item_id"]) == set(every["item_id"])


def test_no_item_left_is_refused(client, tmp_path):
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 1], "rating": [3.0, 4.0]})
    choices = IngestOptions(Split.parse("cold-items:0.999999999"), max_rejected=1.0)
    with pytest.raises(InputError, match="leaves none of the 2 ratings for training"):
        ingest(memory_source(frame), tmp_path / "d", client=client, choices=choices)


def test_none_holds_out_nothing(held_out, frame):
    assert held_out(frame, "none").empty


@pytest.mark.parametrize("split", ["time:0.1", "user-time:0.1", "leave-one-out"])
def test_no_times_no_split_by_time(client, tmp_path, frame, split):
    source = memory_source(frame.drop(columns="timestamp"))
    with pytest.raises(InputError, match=f"split {split}: memory has no timestamps"):
        ingest(
            source,
            tmp_path / "d",
            client=client,
            choices=IngestOptions(Split.parse(split), max_rejected=1.0),
        )


def test_one_rating_that_is_held_out_is_refused(client, tmp_path):
    frame = pd.DataFrame({"user_id": [1], "item_id": ["i1"], "rating": [3.0]})
    choices = IngestOptions(Split.parse("random:0.999999999"), max_rejected=1.0)
    with pytest.raises(InputError, match="leaves none of the 1 ratings for training"):
        ingest(memory_source(frame), tmp_path / "d", client=client, choices=choices)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def given(client, tmp_path):
    """Return a function that ingests a training and a test part."""

    def run(train, test, **choices):
        choices = IngestOptions(blocks=3, max_rejected=1.0, **choices)
        sources = [memory_source(part, [len(part) // 2]) for part in (train, test)]
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        ingest(sources[0], out, test=sources[1], client=client, choices=choices)
        return Dataset.open(out, verify=True)

    return run


def test_a_given_test_part_is_held_out_whole(given, frame, caplog):
    train, test = frame[:900], frame[900:]
    with caplog.at_level(logging.WARNING):
        data = given(train, test)
    shared = pairs(latest(train)) & pairs(latest(test))
    assert shared
    same_ratings(ratings_of(data, "test"), latest(test))
    kept = latest(train)
    alone = [pair not in shared for pair in zip(kept["user_id"], kept["item_id"], strict=True)]
    same_ratings(ratings_of(data, "train"), kept[alone])
    good = train[train["rating"].notna()]
    left_out = sum(pair in shared for pair in zip(good["user_id"], good["item_id"], strict=True))
    assert f"{left_out} training rows are left out" in caplog.text
    assert data.manifest.split == "given"
    counts = data.manifest.counts
    assert counts.read == counts.kept + counts.rejected + counts.duplicates == len(frame)


def test_counts_are_not_added_up_over_both_parts(given, frame):
    good = frame[frame["rating"].notna()].reset_index(drop=True)
    data = given(good[:900], good[900:], repeats="sum")
    sums = good[900:].groupby(["user_id", "item_id"])["rating"].sum()
    test = ratings_of(data, "test").set_index(["user_id", "item_id"])["rating"]
    pd.testing.assert_series_equal(test.sort_index(), sums, check_dtype=False)


def test_users_and_items_of_a_given_test_part_alone_have_no_training_ratings(given, frame):
    new = pd.DataFrame({"user_id": [99], "item_id": ["new"], "rating": [3.0], "timestamp": [1]})
    data = given(frame, new)
    users, items = data.users().set_index("user_id"), data.items().set_index("item_id")
    assert (users["n_train"][99], users["n_test"][99]) == (0, 1)
    assert (items["n_train"]["new"], items["n_test"]["new"]) == (0, 1)


def test_a_given_test_part_must_fit(given, frame, tmp_path):
    train, test = frame[:900], frame[900:]
    with pytest.raises(InputError, match=r"leave out split random:0\.1"):
        given(train, test, split=Split.parse("random:0.1"))
    with pytest.raises(InputError, match=r"split given: give the ratings that are held out"):
        ingest(memory_source(train), tmp_path / "d", choices=IngestOptions(Split.parse("given")))
    with pytest.raises(InputError, match="timestamps in both or in none"):
        given(train, test.drop(columns="timestamp"))
    with pytest.raises(InputError, match="item ids of one kind"):
        given(train, test.assign(item_id=1))
    data = given(train, test)
    with pytest.raises(InputError, match="given as it is and cannot be extended"):
        extend(data.path, [memory_source(train)])


COLUMN = {"split": "part"}


@pytest.mark.parametrize(
    ("form", "train", "test"),
    [("csv", "train", "test"), ("csv", "0", "1"), ("parquet", False, True), ("frame", 0, 1)],
)
def test_a_column_may_tell_the_test_part(given, client, tmp_path, frame, form, train, test):
    is_test = np.random.default_rng(0).random(len(frame)) < 0.2
    told = frame.assign(part=np.where(is_test, test, train))
    if form == "frame":
        source = open_frame(told, columns=COLUMN)
    else:
        path = tmp_path / f"r.{form}"
        getattr(told, f"to_{form}")(path, index=False)
        source = open_source(str(path), columns=COLUMN, part_bytes=9_000, cache_dir=tmp_path)
    choices = IngestOptions(blocks=3, max_rejected=1.0)
    ingest(source, tmp_path / "told", client=client, choices=choices)
    data = Dataset.open(tmp_path / "told", verify=True)
    other = given(frame[~is_test], frame[is_test])
    for part in ("train", "test"):
        same_ratings(ratings_of(data, part), ratings_of(other, part))
    assert data.manifest.split == "given"


def test_a_column_that_tells_the_test_part_must_fit(tmp_path, frame):
    told = frame.assign(part=["train", "test", "later"] * (len(frame) // 3))
    source = open_frame(told, columns=COLUMN)
    with pytest.raises(InputError, match=r"are bad.*split is neither train nor test"):
        ingest(source, tmp_path / "d")
    for split in ("random:0.1", "none"):
        with pytest.raises(InputError, match=f"says what is held out; leave out split {split}"):
            ingest(source, tmp_path / "d", choices=IngestOptions(Split.parse(split)))
    with pytest.raises(InputError, match="test is what is held out; leave out columns split="):
        ingest(source, tmp_path / "d", test=memory_source(frame))
    ingest(memory_source(frame), tmp_path / "d", choices=IngestOptions(max_rejected=1.0))
    with pytest.raises(InputError, match="has a split of its own; leave out columns split="):
        extend(tmp_path / "d", [source])
