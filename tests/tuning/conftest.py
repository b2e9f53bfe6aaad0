"""A small data set on disk for searches."""

import pytest

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset


@pytest.fixture(scope="session")
def small(client, tmp_path_factory):
    """Return a data set of three blocks a side, a tenth of it held out; leave it as it is."""
    folder = tmp_path_factory.mktemp("tuning") / "d"
    source = open_source("synthetic:users=300,items=200,ratings=9000")
    ingest(
        source, folder, client=client, choices=IngestOptions(Split.parse("random:0.1"), blocks=3)
    )
    return Dataset.open(folder)
