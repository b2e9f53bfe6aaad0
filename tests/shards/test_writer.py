"""Data sets made from another: what is written is what slow and plain code makes of the same."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.execution import executor
from mfdask.shards import Counts, Dataset
from mfdask.shards.in_memory import MemoryStore
from mfdask.shards.store import ARRAYS, PARTS, SCRATCH, SIDES, TIMESTAMPS, FolderStore
from mfdask.shards.writer import DatasetWriter
from tests.shards.oracle import check_shards, item_triples, user_triples

N_ROWS = {"users": 6, "items": 7}
OTHER = {"users": "items", "items": "users"}


def compressed(ratings, side, start, stop):
    """Return the arrays of a block of rows, and its times, put together row by row."""
    indptr, indices, values, times = [0], [], [], []
    for row in range(start, stop):
        own = ratings[ratings[side] == row].sort_values(OTHER[side])
        indices += own[OTHER[side]].tolist()
        values += own["rating"].tolist()
        times += (1000 * own["users"] + own["items"]).tolist()
        indptr.append(len(indices))
    arrays = np.array(indptr, np.int64), np.array(indices, np.int32), np.array(values, np.float32)
    return dict(zip(ARRAYS, arrays, strict=True)) | {TIMESTAMPS: np.array(times, np.int64)}


class Naive:
    """The arrays and tables of a data set, made whenever they are asked for."""

    def __init__(self, parts, bounds):
        self.parts, self.bounds = parts, bounds

    def array(self, part, side, block, name):
        start, stop = self.bounds[side][block : block + 2]
        return compressed(self.parts[part], side, start, stop)[name]

    def table(self, side):
        rows = range(N_ROWS[side])
        counts = {
            f"n_{part}": ratings[side].value_counts().reindex(rows, fill_value=0).to_numpy()
            for part, ratings in self.parts.items()
        }
        ids = pd.DataFrame({f"{side[:-1]}_id": [f"{side} {row}" for row in rows]})
        return ids.assign(n_read=9, **counts)


def naive_data(train, test, bounds):
    matrix = sp.coo_array(([1.0], ([0], [0])), shape=tuple(N_ROWS.values()))
    manifest = replace(
        Dataset.from_csr(matrix).manifest,
        counts=Counts(99, len(train) + len(test), 1, 2, len(train), len(test), *N_ROWS.values(), 3),
        blocks=bounds,
        has_timestamps=True,
    )
    return Dataset(None, manifest, Naive({"train": train, "test": test}, bounds))


@st.composite
def datasets(draw):
    """Return a data set cut anyhow, some rows and blocks empty, and what of it is held out."""
    pairs = draw(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=30))
    kinds = st.sampled_from(["kept", "held", "test"])
    stars = st.floats(-5, 5, width=32)
    lines = [(*pair, draw(stars), draw(kinds)) for pair in sorted(pairs)]
    ratings = pd.DataFrame(lines, columns=["users", "items", "rating", "kind"])
    ratings = ratings.astype({"users": int, "items": int, "rating": "f4", "kind": object})
    bounds = {}
    for side, n in N_ROWS.items():
        bounds[side] = [0, *sorted(draw(st.sets(st.integers(1, n - 1)))), n]
    train = ratings[ratings["kind"] != "test"]
    return naive_data(train, ratings[ratings["kind"] == "test"], bounds), train


def held_out(train):
    held = set(train.loc[train["kind"] == "held", ["users", "items"]].itertuples(index=False))

    def mask(shard):
        assert shard.side == "users"
        pairs = zip(shard.rows.tolist(), shard.indices.tolist(), strict=True)
        return np.array([pair in held for pair in pairs], bool)

    return mask


def assert_is(found, data, parts):
    """Assert that a data set holds some ratings, in the rows and blocks of another."""
    naive = Naive(parts, data.manifest.blocks)
    if len(parts) == 2:
        check_shards(found)
    assert item_triples(found) == user_triples(found)
    for side in SIDES:
        for part in parts if side == "users" else ["train"]:
            for block in range(data.n_blocks(side)):
                shard = found.shard(side, block, part)
                for name, array in shard.arrays.items():
                    expected = naive.array(part, side, block, name)
                    assert array.dtype == expected.dtype
                    assert array.tolist() == expected.tolist()
                times = naive.array(part, side, block, TIMESTAMPS)
                assert found.timestamps(block, part, side).tolist() == times.tolist()
        counts = {"n_train": 0, "n_test": 0, **naive.table(side)[[f"n_{p}" for p in parts]]}
        expected = (data.users() if side == "users" else data.items()).assign(**counts)
        table = found.users() if side == "users" else found.items()
        pd.testing.assert_frame_equal(table, expected)
    train, n_test = parts["train"]["rating"], len(parts.get("test", []))
    assert (found.n_train, found.n_test) == (len(train), n_test)
    assert found.mean == pytest.approx(train.astype("f8").mean() if len(train) else 0)
    counts = replace(data.manifest.counts, kept=len(train) + n_test, train=len(train), test=n_test)
    assert found.manifest.counts == counts
    assert found.manifest.has_timestamps


@settings(max_examples=60)
@given(datasets())
def test_some_ratings_are_held_out_on_disk(made):
    data, train = made
    kinds = {"train": "kept", "test": "held"}
    parts = {part: train[train["kind"] == kind] for part, kind in kinds.items()}
    with tempfile.TemporaryDirectory() as folder:
        writer = DatasetWriter(FolderStore.create(Path(folder) / "d"), data.manifest.blocks)
        found = writer.finish(writer.write_masked(data, held_out(train)))
        again = Dataset.open(found.path, verify=True)
        assert again.manifest == found.manifest
        assert_is(again, data, parts)
        files = {str(f.relative_to(found.path)) for f in found.path.rglob("*") if f.is_file()}
        assert files == {"manifest.json", *found.manifest.files}
        assert not (found.path / SCRATCH).exists()


@settings(max_examples=60)
@given(datasets())
def test_some_ratings_are_left_out_in_memory(made):
    data, train = made
    writer = DatasetWriter(MemoryStore(), data.manifest.blocks, parts=("train",))
    found = writer.finish(writer.write_masked(data, held_out(train)))
    assert_is(found, data, {"train": train[train["kind"] == "kept"]})
    assert found.address is None
    assert not found.manifest.files
    assert not any(array.flags.writeable for array in writer.store.arrays.values())


@given(datasets(), st.data())
def test_only_some_ratings_of_a_shard(made, draw):
    data, _ = made
    side = draw.draw(st.sampled_from(SIDES))
    shard = data.shard(side, draw.draw(st.integers(0, data.n_blocks(side) - 1)))
    n = shard.n_ratings
    mask = np.array(draw.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    found = shard.only(mask)
    lines = zip(shard.rows, shard.indices, shard.ratings, mask, strict=True)
    kept = [line[:3] for line in lines if line[3]]
    assert list(zip(found.rows, found.indices, found.ratings, strict=True)) == kept
    assert (found.side, found.block) == (shard.side, shard.block)
    assert (found.start, found.stop) == (shard.start, shard.stop)
    for name, array in found.arrays.items():
        assert array.dtype == getattr(shard, name).dtype


def test_only_of_a_mapped_shard_is_in_memory(small_data):
    shard = Dataset.open(small_data).shard("users", 1)
    mask = np.zeros(shard.n_ratings, bool)
    mask[::3] = True
    found = shard.only(mask)
    assert not any(isinstance(array, np.memmap) for array in found.arrays.values())
    assert found.n_ratings == mask.sum()
    whole = shard.only(~mask | mask)
    assert all(np.array_equal(whole.arrays[name], shard.arrays[name]) for name in ARRAYS)


def test_what_is_damaged_is_not_copied(small_data, tmp_path):
    data = Dataset.open(small_data)
    name = "train/users-0001/ratings.npy"
    facts = replace(data.manifest.files[name], crc32=1)
    manifest = replace(data.manifest, files={**data.manifest.files, name: facts})
    damaged = Dataset(data.path, manifest, FolderStore(data.path))
    writer = DatasetWriter(MemoryStore(), manifest.blocks)
    with pytest.raises(InputError, match=f"{name}: the file does not match its checksum"):
        writer.write_masked(damaged, lambda shard: np.zeros(shard.n_ratings, bool))


def transposed(run, data, folder):
    """Write a data set anew from its user shards; the item shards are tasks."""
    writer = DatasetWriter(FolderStore.create(folder), data.manifest.blocks)
    users = [
        writer.write_users(b, {part: data.shard("users", b, part).arrays for part in PARTS})
        for b in range(data.n_blocks("users"))
    ]
    tables = {"users": data.users(), "items": data.items()}
    return writer.finish(writer.write_rest(run, "again", users, tables, data.manifest))


def test_a_cluster_writes_the_same(small_data, client, tmp_path):
    data = Dataset.open(small_data)
    for name, where in (("here", None), ("there", client)):
        with executor(where) as run:
            found = transposed(run, data, tmp_path / name)
        wanted = data.manifest.files
        assert found.manifest.files == {file: wanted[file] for file in found.manifest.files}
        assert found.manifest.counts == data.manifest.counts
        assert found.mean == data.mean


def test_numba_is_loaded_by_whoever_transposes():
    code = "import sys, mfdask.shards.writer; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
