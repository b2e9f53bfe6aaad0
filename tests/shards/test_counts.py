"""Data sets of counts and events against a group-by of pandas, at once and file by file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.extend import columns_of, extend
from mfdask.ratings.frames import open_frame
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.naive import values_of_pairs
from tests.shards.growth import same_data, same_events, same_tables, withdrawal
from tests.shards.oracle import check_shards, memory_source, ratings_of, same_ratings, user_triples

SPLITS = ["none", "random:0.4", "time:0.4", "user-time:0.4", "cold-items:0.4"]


@st.composite
def logs(draw):
    """Return one to three frames of few users and items, all with times or none."""
    columns = {
        "user_id": st.integers(0, 3),
        "item_id": st.integers(0, 3),
        "rating": st.sampled_from([0.0, 1.0, 2.0, 5.0]),
    }
    if draw(st.booleans()):
        columns["timestamp"] = st.integers(0, 9)
    frames = []
    for n in draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)):
        lists = {name: draw(st.lists(one, min_size=n, max_size=n)) for name, one in columns.items()}
        frames.append(pd.DataFrame(lists))
    return frames


def both_parts(data):
    return pd.concat([ratings_of(data, part) for part in ("train", "test")], ignore_index=True)


@settings(max_examples=25)
@given(
    frames=logs(),
    repeats=st.sampled_from(["latest", "sum", "count"]),
    split=st.sampled_from(SPLITS),
    blocks=st.integers(1, 2),
)
def test_repeats_are_what_a_group_by_makes_of_them(frames, repeats, split, blocks):
    parsed = Split.parse(split)
    assume("timestamp" in frames[0] or not parsed.needs_timestamps)
    choices = IngestOptions(parsed, blocks=blocks, repeats=repeats)
    every = pd.concat(frames, ignore_index=True)
    with tempfile.TemporaryDirectory() as folder:
        at_once, grown = Path(folder, "all"), Path(folder, "grown")
        try:
            ingest(memory_source(every, [len(every) // 2]), at_once, choices=choices)
            ingest(memory_source(frames[0]), grown, choices=choices)
            for number, frame in enumerate(frames[1:]):
                extend(grown, [memory_source(frame, name=f"more-{number}")])
        except InputError:
            assume(False)  # nothing has happened, or all of it is held out
        data = Dataset.open(at_once, verify=True)
        check_shards(data)
        expected = values_of_pairs(every, repeats)
        same_ratings(both_parts(data), expected)
        counts = data.manifest.counts
        assert counts.zeros == (int((every["rating"] == 0).sum()) if repeats == "sum" else 0)
        assert counts.read == len(every) == counts.kept + counts.duplicates + counts.zeros
        digests = {taken.digest for taken in Dataset.open(grown).manifest.sources}
        assume(len(digests) == len(frames))  # a file that comes again is left out
        found = Dataset.open(grown, verify=True)
        same_data(found, data)
        same_tables(found, data)
        assert found.manifest.counts == counts
        for each in (data, found):
            same_events(each, every, repeats)
        assert (found.feedback, found.manifest.repeats) == (data.feedback, repeats)


def test_a_pair_is_held_out_by_its_latest_event(tmp_path):
    rows = [(1, 1, 10), (1, 1, 90), (1, 2, 20), (2, 1, 30), (2, 2, 95), (3, 1, 40), (3, 2, 50)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    ingest(open_frame(frame, columns={"rating": ""}), tmp_path / "d",
           choices=IngestOptions(Split.parse("time:0.3")))  # fmt: skip
    data = Dataset.open(tmp_path / "d")
    held = ratings_of(data, "test")
    assert held.to_numpy().tolist() == [[1, 1, 2, 90], [2, 2, 1, 95]]
    # Nothing that happened at or after the cut-off, and nothing of these pairs, is for training.
    assert (ratings_of(data, "train")["timestamp"] < 90).all()


def test_a_count_is_withdrawn_as_a_whole(tmp_path):
    rows = [(1, 1, 10), (1, 1, 90), (2, 1, 30), (2, 1, 40), (3, 1, 50)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    ingest(open_frame(frame, columns={"rating": ""}), tmp_path / "d",
           choices=IngestOptions(Split("none")))  # fmt: skip
    gone = withdrawal([(1, 1, 50), (2, 1, 50)])
    made = extend(tmp_path / "d", [], withdrawn=[gone])
    left = ratings_of(Dataset.open(tmp_path / "d", verify=True), "train")
    assert left.to_numpy().tolist() == [[1, 1, 2, 90], [3, 1, 1, 50]]
    assert (made.counts.withdrawn, made.counts.duplicates, made.counts.kept) == (1, 2, 2)


def test_sums_of_fractions_differ_by_rounding_at_most(tmp_path):
    frame = pd.DataFrame({"user_id": 1, "item_id": 1, "rating": np.full(1000, 0.1)})
    choices = IngestOptions(Split("none"), repeats="sum")
    ingest(open_frame(frame), tmp_path / "d", choices=choices)
    assert Dataset.open(tmp_path / "d").rating_max == pytest.approx(100, rel=1e-6)


def test_what_is_taken_into_counts_and_events(tmp_path):
    happened = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 1, 1]})
    rated = happened.assign(rating=3.0)
    for repeats in ("latest", "count", "sum"):
        choices = IngestOptions(Split("none"), repeats=repeats)
        source = open_frame(happened, columns={"rating": ""})
        made = ingest(source, tmp_path / repeats, choices=choices)
        assert made.feedback == ("events" if repeats == "latest" else "counts")
        assert (columns_of(made) == {"rating": ""}) == (repeats != "sum")
    with pytest.raises(InputError, match="holds events without any; leave them out"):
        extend(tmp_path / "latest", [open_frame(rated)])
    for repeats, value in (("count", 4.0), ("sum", 8.0)):
        extend(tmp_path / repeats, [open_frame(rated)])
        assert Dataset.open(tmp_path / repeats, verify=True).rating_max == value


def test_what_the_values_are_shapes_the_fingerprint(tmp_path):
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 1], "rating": [1.0, 1.0]})
    made = {
        ingest(
            open_frame(frame), tmp_path / name, choices=IngestOptions(Split("none"), repeats=name)
        ).fingerprint
        for name in ("latest", "sum", "count")
    }
    assert len(made) == 3


def test_a_matrix_of_counts():
    matrix = sp.coo_array(([2.0, 3.0, 0.0, 1.0], ([0, 0, 1, 1], [2, 2, 1, 0])), shape=(2, 3))
    counts = Dataset.from_csr(matrix, "counts")
    assert user_triples(counts) == {(0, 2, 5.0), (1, 0, 1.0)}
    assert "counts" in repr(counts)
    events = Dataset.from_csr(matrix, "events")
    assert user_triples(events) == {(0, 2, 1.0), (1, 0, 1.0)}
    assert len({counts.fingerprint, events.fingerprint}) == 2
    with pytest.raises(InputError, match="holds -1, and no count is negative"):
        Dataset.from_csr(sp.csr_array([[1.0, -1.0]]), "counts")
    with pytest.raises(InputError, match="holds no rating"):
        Dataset.from_csr(sp.csr_array(([0.0], ([0], [0]))), "counts")
