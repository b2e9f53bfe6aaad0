"""A small model with titles, on disk and in memory."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, load_model, save_model
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset


@pytest.fixture(scope="session")
def data(client, tmp_path_factory):
    """Return a data set of 300 users in three blocks, with genres and a test part."""
    folder = tmp_path_factory.mktemp("recommend") / "d"
    source = open_source("synthetic:users=300,items=200,ratings=6000")
    ingest(
        source, folder, client=client, choices=IngestOptions(Split.parse("random:0.1"), blocks=3)
    )
    return Dataset.open(folder)


@pytest.fixture(scope="session")
def model_folder(data, tmp_path_factory):
    """Return the folder of a plain model of that data."""
    folder = tmp_path_factory.mktemp("recommend") / "m"
    save_model(ALS(n_factors=5, n_sweeps=4).fit(data), folder)
    return folder


@pytest.fixture(scope="session")
def model(model_folder):
    """Return that model."""
    return load_model(model_folder)


@pytest.fixture(scope="session")
def genre_model(data):
    """Return a model whose item rows are drawn to their genres'."""
    return ALS(n_factors=5, n_sweeps=4, item_prior="genre").fit(data)


@pytest.fixture(scope="session")
def ratings_model():
    """Return a model of a sparse matrix, and its data."""
    random = np.random.default_rng(3)
    matrix = scipy.sparse.random_array((40, 60), density=0.2, rng=random, format="csr")
    matrix.data = (random.integers(1, 11, matrix.nnz) / 2).astype(np.float32)
    data = Dataset.from_csr(matrix)
    return ALS(n_factors=3, n_sweeps=3).fit(data), data
