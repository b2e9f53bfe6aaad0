"""Parts of a source as partitions of a Dask DataFrame."""

from __future__ import annotations

import pickle
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client

from mfdask.execution import ClusterExecutor
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.reading import read_source
from mfdask.ratings.formats import open_source
from mfdask.ratings.frames import open_frame
from mfdask.ratings.partitions import Batch, parsed_of, parts_frame
from mfdask.shards import Dataset

from .test_cleaning import read, write

TEXT = "user,item,rating,timestamp\n" + "".join(
    f"u{n * n % 7},{n % 5},{'bad' if n == 33 else n % 9 / 2},{n}\n" for n in range(60)
)
HEAD, *LINES = TEXT.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of many small files."""
    (tmp_path / "logs").mkdir()
    for number in range(12):
        lines = [HEAD, *LINES[number * 5 : number * 5 + 5]]
        write(tmp_path / "logs", "\n".join(lines), f"part-{number:02d}.csv")
    return tmp_path / "logs"


def arrays(data: Path) -> dict[str, bytes]:
    """Return what is in the files of a data set, but for what says where it came from."""
    names = [file for file in data.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(data)): file.read_bytes()
        for file in names
        if file.name not in ("manifest.json", "rejected.parquet")
    }


def test_partitions_hold_parts_and_what_is_beside_them(folder: Path) -> None:
    source = open_source(str(folder))
    batches = [Batch(source.parts[:5]), Batch(source.parts[5:6]), Batch(source.parts[6:])]
    frame = parts_frame(source, batches)
    assert frame.npartitions == 3
    assert frame.dtypes.to_dict() == frame.compute().dtypes.to_dict()
    expected = [part.read() for part in source.parts]
    found = []
    for partition in frame.to_delayed():
        found += parsed_of(pickle.loads(pickle.dumps(partition.compute())))
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one.ratings, other.ratings)
        pd.testing.assert_frame_equal(one.rejected, other.rejected)
        assert (one.n_read, one.n_lines, one.digest) == (other.n_read, other.n_lines, other.digest)


def test_the_graph_reads_each_batch_once(folder: Path, client: Client) -> None:
    source = open_source(str(folder))
    frame = parts_frame(source, [Batch((part,)) for part in source.parts])
    assert isinstance(frame, dd.DataFrame)
    assert len(frame.optimize().dask) == 12  # a task for each batch, and nothing else
    reading = read_source(source, ClusterExecutor(client, parallel=False))
    assert reading.batches == [list(range(12))]  # small files are read together
    assert [facts.n_read for facts in reading.facts] == [5] * 12
    assert reading.rejected_of(6)["row"].tolist() == [4]


def test_the_same_data_set_wherever_it_comes_from(
    folder: Path, client: Client, tmp_path: Path
) -> None:
    source = open_source(str(folder))
    good, _ = read(source)
    frame = dd.from_pandas(good.reset_index(drop=True), npartitions=3, sort=False)
    choices = IngestOptions(max_rejected=1.0)
    ingest(source, tmp_path / "threads", choices=choices)
    ingest(source, tmp_path / "cluster", choices=choices, client=client)
    ingest(open_frame(frame), tmp_path / "frame", choices=choices)
    ingest(open_frame(frame.persist()), tmp_path / "persisted", choices=choices, client=client)
    threads, *others = (arrays(tmp_path / n) for n in ("threads", "cluster", "frame", "persisted"))
    assert all(other == threads for other in others)
    bad = [pd.read_parquet(tmp_path / name / "rejected.parquet") for name in ("threads", "cluster")]
    pd.testing.assert_frame_equal(*bad)
    assert bad[0][["file", "row"]].to_numpy().tolist() == [["part-06.csv", 5]]
    assert np.isfinite(Dataset.open(tmp_path / "threads").mean)
