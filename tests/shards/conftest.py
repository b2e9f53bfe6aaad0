"""Fixtures of the tests of shards."""

from __future__ import annotations

import pytest

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.splits import Split
from tests.shards.growth import random_frame
from tests.shards.oracle import memory_source


@pytest.fixture
def data(tmp_path):
    """Return the folder of a small data set in two blocks a side."""
    frame = random_frame(5, 300, (0, 30), (0, 40))
    choices = IngestOptions(Split.parse("random:0.3"), blocks=2, max_rejected=1.0)
    ingest(memory_source(frame), tmp_path / "d", choices=choices)
    return tmp_path / "d"
