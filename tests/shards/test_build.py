"""Ingest against plain pandas."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ingestion import parts, reading
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.spill import spill
from mfdask.ingestion.summary import rating_step
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.ratings.synthetic import open_synthetic
from mfdask.shards import Dataset
from tests.shards.oracle import (
    check_shards,
    item_triples,
    latest,
    memory_source,
    ranked,
    ratings_of,
    same_ratings,
    user_triples,
)

INT_IDS = st.integers(-3, 3) | st.sampled_from([2**62, -(2**63), 2**63 - 1])
STRING_IDS = st.sampled_from(["a", "b", "B", "10", "9", "é", "日本", " x"])


@st.composite
def frames(draw):
    """Few ids, so that there are duplicates, ties and gaps."""
    n = draw(st.integers(1, 30))
    columns = {
        name: draw(st.lists(draw(st.sampled_from([INT_IDS, STRING_IDS])), min_size=n, max_size=n))
        for name in ("user_id", "item_id")
    }
    ratings = draw(st.lists(st.sampled_from([0.5, 1, 3.5, 5, None]), min_size=n, max_size=n))
    frame = pd.DataFrame(columns | {"rating": np.array(ratings, dtype=float)})
    if draw(st.booleans()):
        frame["timestamp"] = draw(st.lists(st.integers(-2, 4), min_size=n, max_size=n))
    return frame


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), frame=frames(), blocks=st.integers(1, 4), few=st.sampled_from([-1, 1000]))
def test_a_data_set_holds_the_latest_good_ratings(client: Client, data, frame, blocks, few):
    frame.loc[0, "rating"] = 1.0  # one good row at least
    cuts = data.draw(st.lists(st.integers(0, len(frame)), max_size=3))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "FEW_RATINGS", few)  # more than these wait on disk
        choices = IngestOptions(Split("none"), blocks=blocks, max_rejected=1.0)
        source = memory_source(frame, cuts)
        made = ingest(source, Path(folder) / "d", client=client, choices=choices)
        found = Dataset.open(Path(folder) / "d", verify=True)
        good, kept = frame.dropna(subset="rating"), latest(frame)
        check_shards(found)
        assert found.users()["user_id"].tolist() == ranked(good["user_id"])
        assert found.items()["item_id"].tolist() == ranked(good["item_id"])
        assert found.users()["n_read"].tolist() == sorted(good["user_id"].value_counts())[::-1]
        same_ratings(ratings_of(found, "train"), kept)
        assert item_triples(found) == user_triples(found)
        counts = made.counts
        assert counts.read == len(frame) == counts.kept + counts.rejected + counts.duplicates
        assert counts.rejected == len(frame) - len(good)
        assert counts.train == counts.kept == len(kept)
        assert found.mean == pytest.approx(kept["rating"].mean())
        assert (found.rating_min, found.rating_max) == (kept["rating"].min(), kept["rating"].max())
        bad = pd.read_parquet(Path(folder) / "d" / "rejected.parquet")
        assert bad["row"].tolist() == np.flatnonzero(frame["rating"].isna()).tolist()


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


@pytest.mark.parametrize(
    "split", ["random:0.2", "time:0.2", "user-time:0.2", "sequence:0.2", "cold-items:0.2"]
)
def test_files_do_not_depend_on_parts_and_on_who_works(client, tmp_path, split):
    choices = IngestOptions(Split.parse(split), blocks=3, max_rejected=1.0)
    spec = "synthetic:users=80,items=60,ratings=2000"
    ingest(open_synthetic(spec, 1), tmp_path / "a", client=client, choices=choices)
    small_parts = open_synthetic(spec, 1, part_ratings=150)
    assert len(small_parts.parts) > 5
    ingest(small_parts, tmp_path / "b", choices=choices)
    assert _files(tmp_path / "a") == _files(tmp_path / "b")


@pytest.mark.parametrize("split", ["random:0.2", "sequence:0.2"])
def test_files_do_not_depend_on_where_ratings_wait(client, tmp_path, split, monkeypatch):
    choices = IngestOptions(Split.parse(split), blocks=3)
    made = open_synthetic("synthetic:users=80,items=60,ratings=2000", 1, part_ratings=150)
    ingest(made, tmp_path / "memory", client=client, choices=choices)
    monkeypatch.setattr(reading, "FEW_RATINGS", 0)
    monkeypatch.setattr(reading, "_BATCH_ROWS", 300)
    written = []
    monkeypatch.setattr(parts, "spill", lambda *a: written.append(spill(*a)) or written[-1])
    ingest(made, tmp_path / "threads", choices=choices)
    assert len(written) > 5
    assert not any(one.path.exists() for one in written)
    ingest(made, tmp_path / "workers", client=client, choices=choices)
    assert _files(tmp_path / "memory") == _files(tmp_path / "threads")
    assert _files(tmp_path / "memory") == _files(tmp_path / "workers")


def test_published_split_of_movielens(client, movielens_zip, tmp_path):
    source = open_source(str(movielens_zip), cache_dir=tmp_path / "cache", part_bytes=400_000)
    assert len(source.parts) > 3
    choices = IngestOptions(Split.parse("sequence:0.2"), seed=42, blocks=2, max_rejected=1.0)
    made = ingest(source, tmp_path / "ml", client=client, choices=choices)
    assert (made.counts.train, made.counts.test) == (80_651, 20_185)
    assert (made.counts.users, made.counts.items) == (610, 9_742)
    assert made.rating_step == 0.5
    items = Dataset.open(tmp_path / "ml").items()
    assert items.loc[0, "title"] == "Forrest Gump (1994)"
    assert (items["n_read"] == 0).sum() == 18
    assert items["n_read"].is_monotonic_decreasing
    check_shards(Dataset.open(tmp_path / "ml"))


def test_unrated_and_unlisted_items(client, tmp_path):
    frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [7, 9, 7], "rating": [3.0, 4.0, 5.0]})
    catalogue = pd.DataFrame(
        {
            "item_id": [7, 8, 5],
            "title": ["Seven", "Eight", "Five"],
            "year": pd.array([1995, None, 2000], dtype="Int16"),
            "genres": ["Crime", "", "War"],
        }
    )
    choices = IngestOptions(Split("none"), max_rejected=1.0)
    ingest(memory_source(frame, (), catalogue), tmp_path / "d", client=client, choices=choices)
    items = Dataset.open(tmp_path / "d").items()
    assert items["item_id"].tolist() == [7, 9, 5, 8]
    assert items["title"].tolist() == ["Seven", "", "Five", "Eight"]
    assert items["genres"].tolist() == ["Crime", "", "War", ""]
    assert items["year"].isna().tolist() == [False, True, False, True]
    assert items["n_train"].tolist() == [2, 1, 0, 0]


def test_rejected_rows_are_numbered_within_their_file(client, tmp_path):
    lines = ["user,item,rating", *(f"{n},1,3" for n in range(30))]
    lines[5], lines[25] = "4,1,high", "24,1,"
    (tmp_path / "r.csv").write_text("\n".join(lines))
    source = open_source(str(tmp_path / "r.csv"), part_bytes=40)
    assert len(source.parts) > 3
    made = ingest(
        source,
        tmp_path / "d",
        client=client,
        choices=IngestOptions(Split("none"), max_rejected=1.0),
    )
    bad = pd.read_parquet(tmp_path / "d" / "rejected.parquet")
    assert bad["row"].tolist() == [6, 26]  # as an editor numbers them
    assert bad["text"].tolist() == ["4,1,high", "24,1,"]
    assert made.counts.rejected == 2
    told = r"r\.csv: 2 of its 30 rows are bad, 6.67 %, and 0 % may be: row 6: .*4,1,high.*row 26: "
    with pytest.raises(InputError, match=told + ".*max_rejected"):
        ingest(source, tmp_path / "e", client=client, choices=IngestOptions(max_rejected=0))
    assert not (tmp_path / "e").exists()


def test_one_rating(client, tmp_path):
    frame = pd.DataFrame({"user_id": [5], "item_id": [6], "rating": [2.0]})
    choices = IngestOptions(Split("none"), blocks=4, max_rejected=1.0)
    made = ingest(memory_source(frame), tmp_path / "d", client=client, choices=choices)
    assert made.counts.train == 1
    assert made.blocks == {"users": [0, 1], "items": [0, 1]}
    assert made.rating_step is None


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([1], None),
        ([1, 5], 4),
        ([0.5, 1, 4], 0.5),
        ([0, 0.1, 0.3], 0.1),
        ([0, 1, 1.7], None),
        ([0, 0.01, 50.01, 99.99, 100], 0.01),
        ([0, 0.01, 50.005, 100], None),
        ([0, 0.001, 50.0005, 100], None),
        ([0, 1e-7, 3e-7], 1e-7),
        ([-3e38, 0, 3e38], 3e38),
    ],
)
def test_rating_step(values, step):
    assert rating_step(np.array(values, np.float32)) == step
