"""A small data set on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.synthetic import open_synthetic
from mfdask.shards import Dataset

SOURCE = "synthetic:users=60,items=80,ratings=1500"


@pytest.fixture(scope="session")
def small(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a data set of two blocks a side, a tenth of it held out."""
    out: Path = tmp_path_factory.mktemp("bench") / "small"
    ingest(open_synthetic(SOURCE, seed=3), out, client=client, choices=IngestOptions(blocks=2))
    return Dataset.open(out)
