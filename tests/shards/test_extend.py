"""A data set that takes in more equals an ingest of everything at once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ingestion import extend, plan
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset, bounds
from tests.shards.growth import (
    NEW,
    contents,
    names_in,
    random_frame,
    same_data,
    same_data_sparse,
    same_events,
    same_tables,
    withdrawal,
)
from tests.shards.oracle import (
    check_shards,
    item_triples,
    latest,
    memory_source,
    ratings_of,
    same_ratings,
    user_triples,
)

SPLITS = ["random:0.3", "cold-items:0.3", "time:0.3", "user-time:0.3", "leave-one-out", "none"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_files_one_by_one_equal_all_at_once(tmp_path, split, blocks):
    frames = [
        random_frame(1, 400, (0, 30), (0, 40)),
        random_frame(2, 60, (10, 60), (0, 40)),
        random_frame(3, 60, (20, 90), (30, 70)),
    ]
    choices = IngestOptions(Split.parse(split), blocks=blocks, max_rejected=1.0)
    ingest(memory_source(frames[0], [100]), tmp_path / "d", choices=choices)
    first = Dataset.open(tmp_path / "d")
    before = first.users()["user_id"], first.items()["item_id"], dict(first.manifest.blocks)
    for frame in frames[1:]:
        made = extend.extend(tmp_path / "d", [memory_source(frame, [25])], max_rejected=1.0)
    found = Dataset.open(tmp_path / "d", verify=True)
    every = memory_source(pd.concat(frames, ignore_index=True))
    ingest(every, tmp_path / "e", choices=choices)
    expected = Dataset.open(tmp_path / "e")
    same_data(found, expected)
    same_tables(found, expected)
    assert made.counts == expected.manifest.counts
    users, items, old_blocks = before
    assert found.users()["user_id"][: len(users)].tolist() == users.tolist()
    assert found.items()["item_id"][: len(items)].tolist() == items.tolist()
    for side, old in old_blocks.items():
        assert made.blocks[side][:-1] == old[:-1]
    assert len(made.sources) == 3
    assert [taken.read for taken in made.sources] == [400, 60, 60]
    assert names_in(tmp_path) == ["d", "e"]


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
    """Return the ratings and the events that are left, by going through all steps row by row."""
    rated, until, log = {}, {}, {}
    for withdraws, frame in made:
        for row in frame.to_dict("records"):
            pair = row["user_id"], row["item_id"]
            if not withdraws:
                log[*pair, row.get("timestamp", 0)] = row["rating"]
                if not has_times or pair not in rated or row["timestamp"] >= rated[pair][0]:
                    rated[pair] = row.get("timestamp", 0), row["rating"]
            elif has_times and "timestamp" in row:
                until[pair] = max(row["timestamp"], until.get(pair, -1))
            else:
                rated.pop(pair, None)
                log = {event: r for event, r in log.items() if event[:2] != pair}
        # Withdrawals with a time count for ever.
        rated = {pair: r for pair, r in rated.items() if r[0] > until.get(pair, -1)}
        log = {event: r for event, r in log.items() if event[2] > until.get(event[:2], -1)}
    lines = [(*pair, rating, at) for pair, (at, rating) in rated.items()]
    frame = pd.DataFrame(lines, columns=["user_id", "item_id", "rating", "timestamp"])
    events = pd.DataFrame(
        [(*event[:2], r, event[2]) for event, r in log.items()], columns=frame.columns
    )
    return (frame, events) if has_times else (frame.drop(columns="timestamp"), None)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps(), split=st.sampled_from(SPLITS), blocks=st.integers(1, 3))
def test_any_steps_leave_what_an_ingest_of_the_rest_makes(steps, split, blocks):
    has_times, made = steps
    parsed = Split.parse(split)
    assume(has_times or not parsed.needs_timestamps)
    choices = IngestOptions(parsed, blocks=blocks, max_rejected=1.0)
    left, events = survivors(has_times, made)
    with tempfile.TemporaryDirectory() as folder:
        data, other = Path(folder) / "d", Path(folder) / "e"
        try:
            ingest(memory_source(made[0][1]), data, choices=choices)
            for withdraws, frame in made[1:]:
                source = memory_source(frame.assign(rating=1.0) if withdraws else frame)
                new, gone = ([], [source]) if withdraws else ([source], [])
                manifest = extend.extend(data, new, withdrawn=gone, max_rejected=1.0)
            ingest(memory_source(left), other, choices=choices)
        except InputError:
            assume(False)  # all of it is held out or withdrawn
        found, expected = Dataset.open(data, verify=True), Dataset.open(other)
        same_data_sparse(found, expected)
        if has_times:
            same_events(found, events, "latest")
        ratings = pd.concat([frame for withdraws, frame in made if not withdraws])
        read = found.users().set_index("user_id")["n_read"]
        assert read.to_dict() == ratings["user_id"].value_counts().to_dict()
        counts = manifest.counts
        assert counts.read == counts.kept + counts.duplicates + counts.withdrawn == len(ratings)


def inodes(data, part, side):
    return [(data / f"{part}/{side}-{b:04d}/ratings.npy").stat().st_ino for b in range(2)]


def test_only_shards_that_change_are_written(data, monkeypatch):
    found = Dataset.open(data)
    user, item = found.users()["user_id"].iloc[0], found.items()["item_id"].iloc[0]
    places = [("train", "users"), ("test", "users"), ("train", "items")]
    before = {place: inodes(data, *place) for place in places}
    frame = pd.DataFrame(
        {"user_id": [user], "item_id": [item], "rating": [1.5], "timestamp": [10**9]}
    )
    extend.extend(data, [memory_source(frame)], max_rejected=1.0)
    after = {place: inodes(data, *place) for place in places}
    changed = {
        (*place, block)
        for place in places
        for block in range(2)
        if before[place][block] != after[place][block]
    }
    held = ratings_of(Dataset.open(data, verify=True), "test")
    is_held = ((held["user_id"] == user) & (held["item_id"] == item)).any()
    expected = {("test", "users", 0)} if is_held else {("train", "users", 0), ("train", "items", 0)}
    assert changed == expected

    # Where a file can have no second name, it is copied.
    def no_link(old, new):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_link)
    extend.extend(data, [memory_source(frame.assign(rating=2.0))], max_rejected=1.0)
    again = Dataset.open(data, verify=True)
    kept = pd.concat([ratings_of(again, part) for part in ("train", "test")])
    assert kept.set_index(["user_id", "item_id"]).loc[(user, item), "rating"] == 2.0


def test_a_block_that_grows_too_large_gets_a_neighbour(data, monkeypatch):
    monkeypatch.setattr(bounds, "RATINGS_PER_BLOCK", 60)
    old = Dataset.open(data).manifest.blocks
    frame = random_frame(8, 200, (100, 140), (100, 103))
    made = extend.extend(data, [memory_source(frame)], max_rejected=1.0)
    assert made.blocks["users"][:3] == old["users"]
    assert len(made.blocks["users"]) == 3 + 3  # 190 ratings and 60 to a block
    found = Dataset.open(data, verify=True)
    check_shards(found)
    assert item_triples(found) == user_triples(found)
    every = pd.concat([random_frame(5, 300, (0, 30), (0, 40)), frame], ignore_index=True)
    both = pd.concat([ratings_of(found, part) for part in ("train", "test")], ignore_index=True)
    same_ratings(both, latest(every))


@pytest.mark.parametrize(
    ("n_last", "counts", "expected"),
    [
        (8, [], [0, 2, 5]),
        (7, [1, 3], [0, 2, 7]),
        (12, [2, 1], [0, 2, 5, 7]),
        (100, [8, 8, 0, 8], [0, 2, 5, 6, 7, 9]),
    ],
)
def test_bounds_grow_behind(monkeypatch, n_last, counts, expected):
    monkeypatch.setattr(bounds, "RATINGS_PER_BLOCK", 8)
    assert plan.grown_bounds([0, 2, 5], n_last, np.array(counts, np.int64)) == expected


def test_withdrawals(data):
    found = Dataset.open(data)
    every = pd.concat([ratings_of(found, part) for part in ("train", "test")], ignore_index=True)
    one, two, three = every.drop_duplicates("timestamp").head(3).to_dict("records")
    pair = [(r["user_id"], r["item_id"]) for r in (one, two, three)]
    dated = withdrawal(
        [(*pair[0], one["timestamp"]), (*pair[1], two["timestamp"] - 1), (9999, "i1", 5)]
    )
    made = extend.extend(data, [], withdrawn=[dated, withdrawal([pair[2]])], max_rejected=1.0)
    assert made.counts.withdrawn == 2
    assert made.counts.read == found.manifest.counts.read
    assert [taken.withdraws for taken in made.sources] == [False, True, True]

    def has(wanted):
        now = Dataset.open(data, verify=True)
        left = pd.concat([ratings_of(now, part) for part in ("train", "test")])
        return wanted in set(zip(left["user_id"], left["item_id"], strict=True))

    assert [has(p) for p in pair] == [False, True, False]
    # An old file that comes late: what was withdrawn with a time stays away.
    late = pd.concat([every[(every["user_id"] == p[0]) & (every["item_id"] == p[1])] for p in pair])
    made = extend.extend(data, [memory_source(late)], max_rejected=1.0)
    assert [has(p) for p in pair] == [False, True, True]
    newer = late.assign(timestamp=late["timestamp"] + 1)
    extend.extend(data, [memory_source(newer)], max_rejected=1.0)
    assert [has(p) for p in pair] == [True, True, True]
    # Somebody who is withdrawn before they are known.
    unknown = pd.DataFrame(
        {"user_id": [9999, 9999], "item_id": ["i1", "i2"], "rating": 1.0, "timestamp": 5}
    )
    extend.extend(data, [memory_source(unknown)], max_rejected=1.0)
    assert (has((9999, "i1")), has((9999, "i2"))) == (False, True)


def test_a_withdrawal_must_be_readable(data):
    before = contents(data)
    bad = withdrawal([(1, "i1"), (2, "i2")])
    frame = pd.DataFrame({"user_id": [1], "item_id": ["i1"], "rating": [np.nan]})
    with pytest.raises(InputError, match=r"row 0: missing .*every withdrawal must be readable"):
        extend.extend(data, [], withdrawn=[bad, memory_source(frame)], max_rejected=1.0)
    assert contents(data) == before


def test_catalogues(tmp_path):
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [7, 9, 7], "rating": [3.0, 4.0, 5.0]})
    names = ["item_id", "title", "year", "genres"]
    first = pd.DataFrame([(7, "Seven", 1995, "Crime"), (8, "Eight", 2000, "")], columns=names)
    second = pd.DataFrame([(9, "Nine", 2009, "Musical"), (8, "8½", 1963, "Drama"),
                           (4, "Four", 2001, "")], columns=names)  # fmt: skip
    source = memory_source(frame, (), first.astype({"year": "Int16"}))
    ingest(source, tmp_path / "d", choices=IngestOptions(Split("none"), max_rejected=1.0))
    more = pd.DataFrame({"user_id": [3], "item_id": [5], "rating": [1.0]})
    more_source = memory_source(more, (), second.astype({"year": "Int16"}))
    extend.extend(tmp_path / "d", [more_source], max_rejected=1.0)
    items = Dataset.open(tmp_path / "d", verify=True).items()
    assert items["item_id"].tolist() == [7, 9, 8, 5, 4]
    assert items["title"].tolist() == ["Seven", "Nine", "8½", "", "Four"]
    assert items["year"].fillna(0).tolist() == [1995, 2009, 1963, 0, 2001]
    assert items["n_read"].tolist() == [2, 1, 0, 1, 0]


def test_on_a_cluster_with_real_ratings(client, movielens_zip, tmp_path):
    """A tenth of the real ratings, any of them, taken in after the others."""
    open_source(str(movielens_zip), cache_dir=tmp_path / "cache")  # unpacks it
    lines = next((tmp_path / "cache").rglob("ratings.csv")).read_text().splitlines()
    header, rows = lines[0], lines[1:]
    np.random.default_rng(3).shuffle(rows)
    cut = len(rows) // 10
    new, old = rows[:cut], rows[cut:]
    for name, part in (("new", new), ("old", old), ("all", old + new)):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *part]) + "\n")
    choices = IngestOptions(Split.parse("time:0.1"), blocks=2, max_rejected=1.0)
    old, new, every = (open_source(str(tmp_path / f"{n}.csv")) for n in ("old", "new", "all"))
    ingest(old, tmp_path / "d", client=client, choices=choices)
    made = extend.extend(tmp_path / "d", [new], client=client, max_rejected=1.0)
    full = ingest(every, tmp_path / "e", client=client, choices=choices)
    assert made.counts == full.counts
    found, expected = Dataset.open(tmp_path / "d", verify=True), Dataset.open(tmp_path / "e")
    same_tables(found, expected)
    for part in ("train", "test"):
        same_ratings(ratings_of(found, part), ratings_of(expected, part))


@pytest.mark.parametrize(
    ("users", "items"), [("1", "a1"), ("u1", "7"), ("u1", "i1"), ("1", "7")], ids=str
)
def test_short_files_are_read_as_the_data_set_is(tmp_path, users, items):
    (tmp_path / "a.csv").write_text(f"user,item,rating\n{users},{items},3\n")
    (tmp_path / "b.csv").write_text("user,item,rating\n2,10,4\nx y,?,5\n")
    source = open_source(str(tmp_path / "a.csv"))
    made = ingest(source, tmp_path / "d", choices=IngestOptions(Split("none"), max_rejected=1.0))
    source = open_source(str(tmp_path / "b.csv"), ids=extend.ids_of(made))
    made = extend.extend(tmp_path / "d", [source], max_rejected=1.0)
    is_int = "int" in (made.user_kind, made.item_kind)
    assert (made.counts.kept, made.counts.rejected) == ((2, 1) if is_int else (3, 0))
    found = Dataset.open(tmp_path / "d")
    assert found.users()["user_id"].astype(str).tolist()[:2] == [users, "2"]
    assert found.items()["item_id"].astype(str).tolist()[:2] == [items, "10"]


@pytest.mark.parametrize("split", ["random:0.2", "time:0.2", "user-time:0.2"])
def test_taking_in_is_the_same_wherever_it_runs(client, tmp_path, split):
    choices = IngestOptions(Split.parse(split), blocks=3, max_rejected=1.0)
    old = memory_source(random_frame(5, 300, (0, 30), (0, 40)), [100, 200])
    gone = withdrawal([(3, "i4", 10**9), (7, "i1", 10**9), (8, "i2", 0)])
    made = []
    for name, where in (("threads", None), ("cluster", client)):
        ingest(old, tmp_path / name, client=where, choices=choices)
        new = [memory_source(NEW, [10, 30])]
        made.append(
            extend.extend(tmp_path / name, new, withdrawn=[gone], client=where, max_rejected=1.0)
        )
    assert made[0].fingerprint == made[1].fingerprint
    threads, cluster = (contents(tmp_path / name) for name in ("threads", "cluster"))
    del threads["manifest.json"], cluster["manifest.json"]  # they say when they were made
    assert threads == cluster
    assert made[0].files == made[1].files
