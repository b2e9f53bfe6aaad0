"""Opening data sets, whole and broken."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from mfdask.shards.store import FileFacts, FolderStore, map_array
from tests.shards.oracle import memory_source


@pytest.fixture(scope="module")
def made(client, tmp_path_factory):
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "bob", "cy", "cy", "cy"],
            "item_id": [10, 20, 10, 10, 20, 30],
            "rating": [1.0, 2.0, 3.0, 4.0, 5.0, 0.5],
            "timestamp": [1, 2, 3, 4, 5, 6],
        }
    )
    out = tmp_path_factory.mktemp("made") / "d"
    ingest(memory_source(frame), out, client=client, choices=IngestOptions(Split("none"), blocks=2))
    return out


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "d")


def test_what_it_says(made):
    data = Dataset.open(str(made), verify=True)
    assert (data.name, data.n_users, data.n_items) == ("memory", 3, 3)
    assert (data.n_train, data.n_test) == (6, 0)
    assert data.users()["user_id"].tolist() == ["cy", "ann", "bob"]
    assert data.rows_of("users", ["bob", "nobody", "cy"]).tolist() == [2, -1, 0]
    assert data.rows_of("items", np.array([30, 7])).tolist() == [2, -1]
    with pytest.raises(InputError, match="ids of items are numbers here; '30' and others given"):
        data.rows_of("items", ["30"])
    shard = data.shard("users", 0)
    assert isinstance(shard.ratings, np.memmap)
    assert not shard.ratings.flags.writeable
    assert data.timestamps(0).tolist() == [4, 5, 6]


def test_callers_cannot_change_the_tables(made):
    data = Dataset.open(made)
    mine = data.users()
    mine.loc[0, "user_id"] = "mallory"
    assert data.users()["user_id"].tolist() == ["cy", "ann", "bob"]


def flip(path, at):
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)


@pytest.mark.parametrize(
    "name",
    ["train/users-0000/ratings.npy", "train/items-0001/indices.npy", "users.parquet",
     "rejected.parquet", "train/users-0001/timestamps.npy"],
)  # fmt: skip
def test_a_flipped_bit_is_found_and_its_file_named(folder, name):
    flip(folder / name, -3)
    data = Dataset.open(folder)
    with pytest.raises(InputError, match=f"{name}: the file does not match its checksum"):
        data.verify()


def test_one_shard_is_looked_at_alone(folder):
    flip(folder / "train/users-0001/ratings.npy", -1)
    data = Dataset.open(folder)
    data.shard("users", 0)
    data.shard("items", 1)
    with pytest.raises(InputError, match=r"users-0001/ratings\.npy"):
        data.shard("users", 1)


def test_a_cut_off_file(folder):
    path = folder / "train/items-0000/indices.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"items-0000/indices\.npy: .* bytes in place of"):
        Dataset.open(folder)


def test_a_missing_file(folder):
    (folder / "items.parquet").unlink()
    with pytest.raises(InputError, match=r"items\.parquet: the file is missing; ingest again"):
        Dataset.open(folder)


def test_a_pickle_is_not_loaded(folder):
    path = folder / "train/users-0000/ratings.npy"
    evil = folder / "evil.npy"
    np.save(evil, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    shutil.move(evil, path)
    with pytest.raises(InputError, match="the file is damaged"):
        map_array(path)


def test_heads_of_files_are_read_one_at_a_time(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.arange(3))
    load, here, at_once = np.load, [], []

    def slow(*args, **options):
        here.append(None)
        at_once.append(len(here))
        time.sleep(0.02)
        here.pop()
        return load(*args, **options)

    monkeypatch.setattr(np, "load", slow)
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(map_array, [tmp_path / "a.npy"] * 4))
    assert at_once == [1, 1, 1, 1]
    assert all(array.tolist() == [0, 1, 2] for array in arrays)


def test_no_folder_and_no_manifest(tmp_path):
    with pytest.raises(InputError, match="there is no such folder; make one with `mfdask ingest"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no manifest\.json in it"):
        Dataset.open(tmp_path)


def test_a_newer_schema(folder):
    said = json.loads((folder / "manifest.json").read_text())
    said |= {"schema_version": 7, "something": "new"}
    (folder / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"newer mfdask .schema 7, .*upgrade"):
        Dataset.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 1}', "\0"])
def test_a_damaged_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: damaged"):
        Dataset.open(folder)


@pytest.mark.parametrize("name", ["indptr", "indices", "ratings", "timestamps"])
def test_a_damaged_shard_is_not_read(folder, name):
    flip(folder / f"train/users-0000/{name}.npy", 130)
    data = Dataset.open(folder)
    with pytest.raises(InputError, match=f"{name}.npy: the file does not match its checksum"):
        data.timestamps(0) if name == "timestamps" else data.shard("users", 0)


@pytest.mark.parametrize("side", ["users", "items"])
def test_a_damaged_table_is_not_read(folder, side):
    flip(folder / f"{side}.parquet", 20)
    with pytest.raises(InputError, match=f"{side}.parquet: the file does not match its checksum"):
        getattr(Dataset.open(folder), side)()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("indices", np.array([0, 99], np.int32)),
        ("indices", np.array([-1, 0], np.int32)),
        ("indptr", np.array([0, 99], np.int64)),
        ("indptr", np.array([1, 2], np.int64)),
    ],
)
def test_rows_that_are_not_there_reach_no_kernel(folder, name, values):
    file = f"train/users-0000/{name}.npy"
    sound = np.load(folder / file)
    spoilt = sound.copy()
    spoilt[: len(values)] = values
    np.save(folder / file, spoilt)
    data = Dataset.open(folder)
    facts = data.manifest.files | {file: FileFacts.of(folder / file)}
    crafted = Dataset(folder, replace(data.manifest, files=facts), FolderStore(folder))
    with pytest.raises(InputError, match="rows that are not there; ingest again"):
        crafted.shard("users", 0)


def test_a_file_that_is_written_again_is_verified_again(folder):
    data = Dataset.open(folder)
    data.shard("users", 0)
    flip(folder / "train/users-0000/ratings.npy", 130)
    with pytest.raises(InputError, match="does not match its checksum"):
        data.shard("users", 0)
