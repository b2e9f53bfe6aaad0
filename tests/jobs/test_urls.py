"""Data sets at URLs on the command line: read by every job, written by none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.models import ALS, load_model, save_model
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef
from mfdask.shards.store import ARRAYS
from tests.by_hand import cluster_by_hand
from tests.jobs.helpers import QUIET, refused

CONFIG = ALS(n_factors=4, n_sweeps=3)
SMALL = ("--factors", 4, "--sweeps", 3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MFDASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model(small_data):
    return CONFIG.fit(Dataset.open(small_data))


@pytest.fixture
def url(small_data):
    return f"file://{small_data}"


def assert_same(one, other):
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)


def fetched(cache):
    (mirror,) = cache.iterdir()
    return {str(file.relative_to(mirror)) for file in mirror.rglob("*") if file.is_file()}


def test_training_is_as_from_the_folder(result_of, url, model, cache):
    result_of("train", url, "--out", "m", "--workers", 2, *SMALL, *QUIET)
    assert_same(load_model(Path("m")), model)
    assert not any("timestamps" in name or "rejected" in name for name in fetched(cache))
    assert not list(Path().glob("file:*"))


def test_what_other_jobs_read(result_of, url, small_data, model):
    save_model(model, Path("m"))
    assert result_of("inspect", url)["data"] == url
    away, here = (result_of("evaluate", "m", data) for data in (url, small_data))
    assert away["test_rmse"] == here["test_rmse"]
    assert away["same_data"]
    drawn = result_of("report", "--data", url, "--figures", "split")
    assert drawn["out"] == f"output/reports/{small_data.name}.html"
    user = model.users["user_id"][0]
    lists = [
        result_of("recommend", "m", "--data", data, "--user", user, "--min-ratings", 0)
        for data in (url, small_data)
    ]
    assert lists[0]["recommendations"] == lists[1]["recommendations"]
    result_of("recommend", "m", "--data", url, "--min-ratings", 0, "--out", "lists", *QUIET)
    assert (Path("lists") / "_recommendations.json").exists()


def test_no_data_set_there(mfdask):
    refused(mfdask("train", "file:///nowhere/d"), "file:///nowhere/d/manifest.json: is not there")
    refused(mfdask("inspect", "nonsense://d"), "nonsense://d", "Protocol not known")


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "synthetic:small", "--out", "s3://bucket/d"),
        ("ingest", "synthetic:small", "--into", "s3://bucket/d"),
        ("train", "data", "--out", "s3://bucket/d"),
        ("bench", "sweep", "s3://bucket/d"),
        ("evaluate", "s3://bucket/d", "data"),
        ("nightly", "--config", "s3://bucket/d"),
    ],
)
def test_where_a_path_is_wanted(mfdask, tmp_path, arguments):
    refused(mfdask(*arguments), "s3://bucket/d: a path is wanted here, not a URL", "aws s3 cp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["home", "inbox.folder", "data.start"])
def test_a_night_needs_paths(mfdask, tmp_path, key):
    (tmp_path / "nightly.toml").touch()
    refused(mfdask("nightly", "--set", f"{key}=s3://b/d"), f"{key}: s3://b/d is a URL")


def test_each_machine_fetches_its_own(result_of, url, model, tmp_path, monkeypatch):
    monkeypatch.setenv("MFDASK_CACHE", "cache")  # in the folder of each process, of its own
    with cluster_by_hand(tmp_path, "a", "b") as address:
        data = Dataset.open(url)
        with open_cluster(ClusterConfig(scheduler=address)) as client:
            for block, name in enumerate(("a", "b")):
                ref = ShardRef(DatasetRef(data.address, data.fingerprint), "users", block)
                shard = client.submit(ShardRef.open, ref, workers=[name], pure=False).result()
                np.testing.assert_array_equal(shard.indices, data.shard("users", block).indices)
            for block, name in enumerate(("a", "b")):
                assert fetched(tmp_path / name / "cache") == {
                    f"train/users-{block:04d}/{array}.npy" for array in ARRAYS
                }
            kept = {"checkpoint": Path("c"), "checkpoint_every": 2}  # relative, to this folder
            assert_same(CONFIG.fit(data, client=client, **kept), model)
            assert_same(CONFIG.fit(data, client=client, **kept, resume=True), model)
        result_of("train", url, "--out", "m", "--scheduler", address, *SMALL)
    assert_same(load_model(Path("m")), model)
