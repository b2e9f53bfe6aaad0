"""Data sets and shards by their addresses: found again, and never taken for others."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from mfdask.errors import InputError
from mfdask.execution import ClusterExecutor, LocalExecutor
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef, dataset_ref, executor_for, shard_ref
from tests.shards.growth import random_frame
from tests.shards.oracle import memory_source


def test_ratings_in_memory_stay_in_this_process(client, data):
    on_disk = Dataset.open(data)
    in_memory = Dataset.from_csr(scipy.sparse.eye_array(3, format="csr", dtype=np.float32))
    for ratings, where, kind in (
        (on_disk, None, LocalExecutor),
        (on_disk, client, ClusterExecutor),
        (None, client, ClusterExecutor),
        (in_memory, client, LocalExecutor),
    ):
        with executor_for(ratings, where) as run:
            assert type(run) is kind


def test_a_task_gets_the_data_set_itself_or_its_address(client, data):
    ratings = Dataset.open(data)
    with executor_for(ratings, None) as run:
        assert dataset_ref(run, ratings) is ratings
    with executor_for(ratings, client) as run:
        ref = dataset_ref(run, ratings)
        assert isinstance(ref, DatasetRef)
        assert len(pickle.dumps(ref)) < 1000
        assert ref.open().fingerprint == ratings.fingerprint
        assert run.submit("count", len_of, ref).result() == ratings.n_train
        shard = run.submit("shard", ratings_of, shard_ref(run, ratings, "items", 1)).result()
    np.testing.assert_array_equal(shard, ratings.shard("items", 1).ratings)


def len_of(ratings):
    return ratings.n_train


def ratings_of(shard):
    return np.array(shard.ratings)


def test_another_data_set_in_its_place_is_refused(data):
    ratings = Dataset.open(data)
    ref = DatasetRef(ratings.address, ratings.fingerprint)
    shard = ShardRef(ref, "users", 0)
    before = shard.open()
    other = memory_source(random_frame(6, 300, (0, 30), (0, 40)))
    ingest(other, data, choices=IngestOptions(max_rejected=1.0), overwrite=True)
    with pytest.raises(InputError, match="was replaced while it was being read; start again"):
        ref.open()
    with pytest.raises(InputError, match="was replaced while it was being read; start again"):
        replace(shard, block=1).open()
    assert shard.open() is before  # what is mapped stays
