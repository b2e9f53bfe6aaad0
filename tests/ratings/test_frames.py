"""Ratings from DataFrames: as from the file that holds the same."""

from __future__ import annotations

import logging

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client

from mfdask.errors import InputError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.extend import extend
from mfdask.ratings.frames import open_frame
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from mfdask.shards.frames import ratings_frame
from tests.ratings.test_cleaning import read
from tests.shards.growth import random_frame, same_data
from tests.shards.oracle import memory_source

FRAME = random_frame(3, 400, (0, 30), (0, 40)).dropna(ignore_index=True)


@pytest.mark.parametrize("kind", ["pandas", "dask"])
def test_as_from_memory(client: Client, tmp_path, kind: str) -> None:
    frame = dd.from_pandas(FRAME, npartitions=5) if kind == "dask" else FRAME
    choices = IngestOptions(Split.parse("random:0.3"), blocks=2)
    ingest(open_frame(frame), tmp_path / "a", client=client, choices=choices)
    ingest(memory_source(FRAME), tmp_path / "b", client=client, choices=choices)
    found, expected = (Dataset.open(tmp_path / name, verify=True) for name in "ab")
    same_data(found, expected)
    (taken,) = found.manifest.sources  # however many partitions it had
    assert (taken.file, taken.read) == ("frame", len(FRAME))


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("times", [True, False])
def test_out_and_in_again(tmp_path, part: str, times: bool) -> None:
    source = open_frame(FRAME, columns={} if times else {"timestamp": ""})
    ingest(source, tmp_path / "a", choices=IngestOptions(Split.parse("random:0.4"), blocks=3))
    data = Dataset.open(tmp_path / "a")
    frame = ratings_frame(data, part)
    assert frame.npartitions == 3
    rows = frame.compute()
    pd.testing.assert_frame_equal(frame.head(0, npartitions=1), rows[:0])  # what it says it is
    assert len(rows) == {"train": data.n_train, "test": data.n_test}[part]
    columns = ["user_id", "item_id", "rating", *(["timestamp"] if times else [])]
    assert rows.columns.tolist() == columns
    assert set(rows.itertuples(index=False)) <= set(FRAME[columns].itertuples(index=False))
    ingest(open_frame(frame), tmp_path / "again", choices=IngestOptions(Split("none")))
    again = ratings_frame(Dataset.open(tmp_path / "again")).compute()
    order = ["user_id", "item_id"]
    pd.testing.assert_frame_equal(
        again.sort_values(order, ignore_index=True), rows.sort_values(order, ignore_index=True)
    )


def test_the_same_frame_is_taken_in_once(tmp_path, caplog) -> None:
    ingest(open_frame(FRAME), tmp_path / "d")
    before = Dataset.open(tmp_path / "d").fingerprint
    with caplog.at_level(logging.WARNING):
        extend(tmp_path / "d", [open_frame(FRAME.copy(), name="copy")])
    assert "copy: its contents were taken in before" in caplog.text
    extend(tmp_path / "d", [open_frame(FRAME.assign(rating=1.0))])
    assert Dataset.open(tmp_path / "d").fingerprint != before


def test_columns_of_any_name_and_type(tmp_path) -> None:
    frame = pd.DataFrame(
        {
            0: pd.Categorical(["ann", "bob", "ann"]),
            1: np.array([7.0, 8.0, 7.5]),
            2: pd.array([5, None, 4], dtype="Int8"),
            "when": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"], utc=True),
            "other": [[1], [2], [3]],
        }
    )
    columns = {"user": "0", "item": "1", "rating": "2", "timestamp": "when"}
    good, bad = read(open_frame(frame, columns=columns, ids="string,int"))
    assert good["user_id"].tolist() == ["ann"]
    assert (good["item_id"].tolist(), good["timestamp"].tolist()) == ([7], [1_577_836_800])
    assert bad["row"].tolist() == [1, 2]


def test_what_is_no_frame_of_ratings(client: Client) -> None:
    with pytest.raises(InputError, match="mine: has columns but no rows"):
        open_frame(FRAME[:0], name="mine")
    with pytest.raises(InputError, match="user"):
        open_frame(FRAME.drop(columns="user_id"))
    with pytest.raises(InputError, match="cannot be the rating"):
        open_frame(FRAME.assign(rating=pd.Timestamp(0)))


@pytest.mark.parametrize("kind", ["cluster", "threads"])
def test_a_persisted_frame(client: Client, tmp_path, kind: str) -> None:
    persisted = dd.from_pandas(FRAME, npartitions=4).persist()
    run_on = client if kind == "cluster" else None
    ingest(open_frame(persisted), tmp_path / "a", client=run_on)
    ingest(open_frame(FRAME), tmp_path / "b")
    same_data(*(Dataset.open(tmp_path / name) for name in "ab"))


class CountedRead:
    """Makes a partition, and notes that it did."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def __call__(self, number: int) -> pd.DataFrame:
        with (self.folder / str(number)).open("a") as log:
            log.write("read\n")
        return FRAME[number::8]


@pytest.mark.parametrize("kind", ["cluster", "threads"])
def test_what_partitions_share_is_read_once(client: Client, tmp_path, kind: str) -> None:
    frame = dd.from_map(CountedRead(tmp_path), list(range(8)), meta=FRAME[:0])
    shuffled = frame.shuffle("user_id", npartitions=8, shuffle_method="tasks")
    for file in tmp_path.iterdir():  # meta may have been asked for
        file.unlink()
    source = open_frame(shuffled)
    run_on = client if kind == "cluster" else None
    before = [len(file.read_text().split()) for file in sorted(tmp_path.iterdir())]
    ingest(source, tmp_path / "a", client=run_on)
    reads = [len((tmp_path / str(n)).read_text().split()) for n in range(8)]
    assert reads == [n + 1 for n in before]
    ingest(open_frame(FRAME), tmp_path / "b")
    found, expected = (Dataset.open(tmp_path / name) for name in "ab")
    assert found.manifest.counts == expected.manifest.counts


def test_ratings_in_memory_have_no_frame() -> None:
    from scipy import sparse

    data = Dataset.from_csr(sparse.csr_array(np.eye(3)))
    with pytest.raises(InputError, match="in memory only"):
        ratings_frame(data)
