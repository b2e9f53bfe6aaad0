"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from distributed import Client

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset

# No deadlines: the first example may compile a kernel.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

MOVIELENS = Path(__file__).parents[2] / "shared" / "data" / "ml-latest-small.zip"


@pytest.fixture(scope="session")
def movielens_zip() -> Path:
    """Return the real ratings, where they are."""
    if not MOVIELENS.exists():
        pytest.skip(f"the real ratings are not there: put ml-latest-small.zip at {MOVIELENS}")
    return MOVIELENS


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """Return a client of a real cluster of two worker processes."""
    config = ClusterConfig(workers=2, threads=1, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as client:
        yield client


@pytest.fixture(scope="session")
def small_data(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small data set in two blocks a side; leave it as it is."""
    folder = tmp_path_factory.mktemp("small") / "d"
    source = open_source("synthetic:users=300,items=200,ratings=9000")
    ingest(
        source, folder, client=client, choices=IngestOptions(Split.parse("random:0.1"), blocks=2)
    )
    return folder


@pytest.fixture(scope="session")
def movielens_small(
    client: Client, movielens_zip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Return the real ratings, split as the published figures are."""
    folder = tmp_path_factory.mktemp("movielens")
    source = open_source(str(movielens_zip), cache_dir=folder)
    choices = IngestOptions(Split.parse("sequence:0.2"), seed=42)
    ingest(source, folder / "d", client=client, choices=choices)
    return Dataset.open(folder / "d")


@pytest.fixture
def item_means_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let an installed package register kinds of model, here and in processes started from here.

    One under a name of its own and under one of ours, and one that only ranks.
    """
    facts = tmp_path / "site" / "elsewhere-1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    value = "tests.models.item_means:ItemMeans"
    ranks = "tests.models.co_ratings:CoRatings"
    points = f"[mfdask.models]\nco-ratings = {ranks}\nitem-means = {value}\nals = {value}\n"
    (facts / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(facts.parent)
    places = [str(facts.parent), str(Path(__file__).parents[1])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    # Its options are those of the kinds that there were when it was loaded.
    monkeypatch.delitem(sys.modules, "mfdask.jobs.train", raising=False)
    yield
    sys.modules.pop("mfdask.jobs.train", None)
