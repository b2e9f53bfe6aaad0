"""The completed matrix against the model, and what kills, small disks and other models do to it."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from mfdask.downstream.dense import DTYPES, Encoding, densify
from mfdask.downstream.dense import store as dense_store
from mfdask.downstream.dense import write as dense_write
from mfdask.downstream.dense.store import CHUNK_BYTES, ChunkLayout
from mfdask.errors import InputError, RefusedError
from mfdask.models import Bayes, load_model, save_model
from mfdask.shards import Dataset
from tests.downstream.random_model import random_model

#: Small enough for ten chunks of the model below as float32, and for three as uint8.
SMALL_CHUNK = 200 * 32 * 4


def exact(model):
    """Return all predictions on the rating scale, in float64."""
    user_bias, item_bias = model.user_bias.astype(float), model.item_bias.astype(float)
    product = model.user_factors.astype(float) @ model.item_factors.T.astype(float)
    found = model.mean + user_bias[:, None] + item_bias + product
    return found.clip(model.data.rating_min, model.data.rating_max)


def decoded(folder):
    """Return the matrix in float64, read with zarr alone."""
    matrix = zarr.open_group(str(folder), mode="r")["prediction"]
    unit, offset = (matrix.attrs.get(n, d) for n, d in (("scale_factor", 1), ("add_offset", 0)))
    return offset + unit * matrix[:].astype(float)


def tree(folder):
    """Return the bytes of every file in a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def model():
    return random_model(1)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    save_model(model, folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "other"
    save_model(random_model(2), folder)
    return folder


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(dense_store, "CHUNK_BYTES", SMALL_CHUNK)
    monkeypatch.setattr(dense_write, "TASK_CHUNKS", 3)


def failing(monkeypatch, after):
    """Let the disk be full once so many chunks are written."""
    written = []

    def put(block, file, spare):
        if len(written) >= after:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        written.append(file)
        dense_store.put(block, file, spare)

    monkeypatch.setattr(dense_write, "put", put)


@pytest.mark.parametrize("n_factors", [0, 20, 256])
@pytest.mark.parametrize("scale", [(0.5, 5.0), (-10.0, 10.0), (1.0, 100.0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_read_back_is_within_the_stated_error(dtype, scale, n_factors, tmp_path):
    model = random_model(n_factors, 60, 70, n_factors, scale)
    save_model(model, tmp_path / "m")
    made = densify(tmp_path / "m", tmp_path / "p", dtype=dtype)
    wanted = exact(model)
    worst = np.abs(decoded(tmp_path / "p") - wanted).max()
    assert worst <= made.max_error
    half = {"float32": 0, "uint8": (scale[1] - scale[0]) / 510}.get(dtype, scale[1] * 2**-11)
    assert made.max_error <= half + 1e-4 * scale[1] * (1 + n_factors / 20)
    assert made.shape == wanted.shape
    assert wanted.min() == scale[0]
    assert wanted.max() == scale[1]


def test_bytes_are_wrong_by_89_ten_thousandths_of_a_star_at_most(folder, model, tmp_path):
    made = densify(folder, tmp_path / "p", dtype="uint8")
    assert np.abs(decoded(tmp_path / "p") - exact(model)).max() <= made.max_error <= 0.0089
    assert made.bytes == 300 * 200


def test_floats_are_the_models_predictions(folder, model, tmp_path):
    made = densify(folder, tmp_path / "p")
    users, items = model.users["user_id"], model.items["item_id"]
    said = model.predict(np.repeat(users, 200), np.tile(items, 300)).reshape(300, 200)
    # Both are sums of float32, in different orders.
    np.testing.assert_allclose(decoded(tmp_path / "p"), said, rtol=0, atol=2 * made.max_error)
    assert made.max_error < 2e-5


def test_a_bayesian_model_is_one_of_a_higher_rank(small_data, tmp_path):
    learned = Bayes(n_factors=2, n_sweeps=6, burn_in=2).fit(Dataset.open(small_data))
    save_model(learned, tmp_path / "m")
    made = densify(tmp_path / "m", tmp_path / "p", dtype="uint8")
    assert learned.n_factors == 8
    assert np.abs(decoded(tmp_path / "p") - exact(learned)).max() <= made.max_error


@pytest.mark.parametrize("dtype", DTYPES)
def test_xarray_reads_it_by_itself(folder, model, dtype, tmp_path):
    made = densify(folder, tmp_path / "p", dtype=dtype)
    with xr.open_zarr(tmp_path / "p") as found:
        np.testing.assert_array_equal(found["user_id"], model.users["user_id"])
        np.testing.assert_array_equal(found["item_id"], model.items["item_id"])
        user, item = model.users["user_id"][17], model.items["item_id"][8]
        one = float(found["prediction"].sel(user_id=user, item_id=item))
        assert one == pytest.approx(exact(model)[17, 8], abs=made.max_error)
        said = found.attrs
        assert found["prediction"].dims == ("user_id", "item_id")
    assert said["model_crc32"] == f"{dense_write.ModelRef.of(folder).crc32:08x}"
    assert said["data_fingerprint"] == model.data.fingerprint
    assert (said["model_kind"], said["dtype"]) == ("als", dtype)
    assert (said["rating_min"], said["rating_max"]) == (0.5, 5.0)
    assert said["max_error"] == made.max_error


def test_ids_that_are_text(model, tmp_path):
    users = pd.DataFrame({"user_id": [f"ü{i}" for i in range(300)], "n_train": 1})
    save_model(dataclasses.replace(model, users=users, _indexes={}), tmp_path / "m")
    densify(tmp_path / "m", tmp_path / "p", user_ids=["ü7", "ü299"])
    with xr.open_zarr(tmp_path / "p") as found:
        row = found["prediction"].sel(user_id="ü299")
        np.testing.assert_allclose(row, exact(model)[299], atol=1e-5)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_cluster_changes_no_byte(folder, dtype, client, tmp_path):
    seen = []
    densify(folder, tmp_path / "alone", dtype=dtype)
    densify(
        folder, tmp_path / "p", dtype=dtype, client=client,
        progress=lambda stage, done, total, note="": seen.append((done, total)),
    )  # fmt: skip
    assert tree(tmp_path / "p") == tree(tmp_path / "alone")
    assert names(tmp_path) == ["alone", "p"]
    assert seen[-1][0] == seen[-1][1] == {"float32": 10, "float16": 5, "uint8": 3}[dtype]


@pytest.mark.parametrize("chunk_bytes", [48 * 4, 120 * 4, 200 * 4 * 7])
def test_how_it_is_cut_changes_no_value(folder, model, chunk_bytes, tmp_path, monkeypatch):
    users = model.users["user_id"][:9]
    densify(folder, tmp_path / "whole", user_ids=users)
    monkeypatch.setattr(dense_store, "CHUNK_BYTES", chunk_bytes)
    densify(folder, tmp_path / "cut", user_ids=users)
    np.testing.assert_array_equal(decoded(tmp_path / "cut"), decoded(tmp_path / "whole"))
    files = [len(tree(tmp_path / name / "prediction")) for name in ("whole", "cut")]
    assert files[0] == 2
    assert files[1] > 2


def test_selections_keep_their_order_and_each_id_once(folder, model, tmp_path):
    users = model.users["user_id"][[250, 3, 250, 8]].tolist()
    items = model.items["item_id"][[9, 199, 0]].tolist()
    made = densify(folder, tmp_path / "p", user_ids=users, item_ids=items)
    assert made.shape == (3, 3)
    wanted = exact(model)[np.ix_([250, 3, 8], [9, 199, 0])]
    np.testing.assert_allclose(decoded(tmp_path / "p"), wanted, atol=1e-5)
    group = zarr.open_group(str(tmp_path / "p"), mode="r")
    assert group["user_id"][:].tolist() == [users[0], users[1], users[3]]
    assert group["item_id"][:].tolist() == items


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user_ids": [-5]}, "user -5: not among"),
        ({"item_ids": [-5, -6]}, "item -5 and 1 more: not among"),
        ({"user_ids": []}, "list of users is empty"),
        ({"dtype": "int8"}, "dtype must be float32 or .*, not 'int8'"),
    ],
)
def test_what_cannot_be_meant(folder, options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        densify(folder, tmp_path / "p", **options)
    assert names(tmp_path) == []


def test_half_floats_end_before_the_ratings():
    with pytest.raises(InputError, match=r"ends at 65,504"):
        Encoding("float16", 0.0, 70000.0)


def test_one_rating_for_all(tmp_path):
    model = random_model(4, 5, 6, 2, (3.0, 3.0))
    save_model(model, tmp_path / "m")
    densify(tmp_path / "m", tmp_path / "p", dtype="uint8")
    np.testing.assert_array_equal(decoded(tmp_path / "p"), np.full((5, 6), 3.0))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("chunk", [0, 4, 9])
def test_killed_and_run_again(folder, chunk, tmp_path):
    densify(folder, tmp_path / "whole")
    script = f"""
import os, signal
from pathlib import Path
from mfdask.downstream.dense import densify, store, write

store.CHUNK_BYTES = {SMALL_CHUNK}
begun = []

def put(block, file, spare):
    begun.append(file)
    if len(begun) == {chunk} + 1:
        (spare / "cut").write_bytes(block.data[:1])
        os.kill(os.getpid(), signal.SIGKILL)
    store.put(block, file, spare)

write.put = put
densify(Path({str(folder)!r}), Path("p"))
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = list((tmp_path / ".p.unfinished").iterdir())
    assert sum(path.is_dir() for path in left) == 1
    assert tmp_path / ".p.unfinished" / "cut" in left
    assert not (tmp_path / "p").exists()
    made = densify(folder, tmp_path / "p")
    # Another thread may have written a chunk less or more by then.
    assert made.found % SMALL_CHUNK == 0
    assert abs(made.found // SMALL_CHUNK - chunk) <= os.cpu_count()
    assert tree(tmp_path / "p") == tree(tmp_path / "whole")
    assert not (tmp_path / ".p.unfinished").exists()


@pytest.mark.usefixtures("small_chunks")
def test_a_full_disk_and_chunks_cut_short(folder, tmp_path, monkeypatch):
    densify(folder, tmp_path / "whole")
    with monkeypatch.context() as patch:
        failing(patch, after=4)
        with pytest.raises(OSError, match="No space left"):
            densify(folder, tmp_path / "p")
    (work,) = (tmp_path / ".p.unfinished").iterdir()
    assert not (tmp_path / "p").exists()
    files = sorted((work / "prediction" / "c").glob("*/*"))
    assert len(files) == 4
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].write_bytes(b"")
    made = densify(folder, tmp_path / "p")
    assert made.found == 2 * SMALL_CHUNK
    assert tree(tmp_path / "p") == tree(tmp_path / "whole")


@pytest.mark.usefixtures("small_chunks")
def test_unfinished_work_of_another_model_is_thrown_away(folder, other, tmp_path, monkeypatch):
    densify(folder, tmp_path / "whole")
    with monkeypatch.context() as patch:
        failing(patch, after=4)
        for begun in (other, folder):
            with pytest.raises(OSError, match="No space left"):
                densify(begun, tmp_path / "p")
    assert len(names(tmp_path / ".p.unfinished")) == 1
    made = densify(folder, tmp_path / "p", dtype="uint8")
    assert made.found == 0
    assert densify(folder, tmp_path / "p", force=True).found == 0
    assert tree(tmp_path / "p") == tree(tmp_path / "whole")


def test_another_matrix_under_the_name_of_this_one(folder, other, tmp_path):
    # What a kill leaves between the exchange of old and new, and the end of the old.
    densify(folder, tmp_path / "whole")
    name = dense_store.read_identity(tmp_path / "whole")
    densify(other, tmp_path / ".p.unfinished" / name)
    made = densify(folder, tmp_path / "p")
    assert made.found == 0
    assert tree(tmp_path / "p") == tree(tmp_path / "whole")


def test_a_second_run_leaves_it_as_it_is(folder, tmp_path):
    first = densify(folder, tmp_path / "p")
    assert first.found == 0
    file = tmp_path / "p" / "prediction" / "c" / "0" / "0"
    stamp = file.stat().st_mtime_ns
    second = densify(folder, tmp_path / "p")
    assert second.found == second.bytes == first.bytes == 300 * 200 * 4
    assert file.stat().st_mtime_ns == stamp


def test_other_predictions_are_kept(folder, other, tmp_path):
    densify(folder, tmp_path / "p")
    before = tree(tmp_path / "p")
    for model, options in ((other, {}), (folder, {"dtype": "uint8"})):
        with pytest.raises(RefusedError, match=r"another model, selection or dtype.*with force"):
            densify(model, tmp_path / "p", **options)
    assert tree(tmp_path / "p") == before
    densify(other, tmp_path / "p", force=True)
    np.testing.assert_allclose(decoded(tmp_path / "p"), exact(load_model(other)), atol=1e-5)
    assert names(tmp_path) == ["p"]


def test_what_is_no_matrix_is_never_replaced(folder, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "letter").write_text("dear all")
    with pytest.raises(InputError, match="holds no predictions"):
        densify(folder, tmp_path / "p", force=True)
    assert names(tmp_path / "p") == ["letter"]


@pytest.mark.usefixtures("small_chunks")
def test_a_small_disk(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mfdask.files.free_bytes", lambda path: 10 * SMALL_CHUNK - 1)
    with pytest.raises(RefusedError, match=r"300 x 200 float32 values needs 0 MiB.*with force"):
        densify(folder, tmp_path / "p")
    assert names(tmp_path) == []
    with monkeypatch.context() as patch:
        failing(patch, after=4)
        with pytest.raises(OSError, match="No space left"):
            densify(folder, tmp_path / "p", force=True)
    # What is there already is not needed again.
    assert densify(folder, tmp_path / "p").found == 4 * SMALL_CHUNK


def test_a_model_that_is_replaced_meanwhile(folder, tmp_path, monkeypatch):
    save_model(random_model(5), tmp_path / "m")

    def replacing(*arguments):
        dense_store.create(*arguments)
        save_model(random_model(6), tmp_path / "m")

    monkeypatch.setattr(dense_write, "create", replacing)
    with pytest.raises(InputError, match="was replaced while it was being read"):
        densify(tmp_path / "m", tmp_path / "p")
    assert not (tmp_path / "p").exists()


@given(
    users=st.integers(1, 300_000), items=st.integers(1, 5_000_000), itemsize=st.sampled_from([1, 4])
)
def test_a_chunk_is_bounded_and_chunks_cover_the_matrix(users, items, itemsize):
    layout = ChunkLayout.of((users, items), itemsize)
    assert layout.chunk_bytes <= CHUNK_BYTES
    assert layout.n_chunks == -(-users // layout.chunk[0]) * layout.across
    last = layout.n_chunks - 1
    assert (layout.users(0).start, layout.items(0).start) == (0, 0)
    assert layout.users(last).stop == users
    assert layout.items(last).start < items <= layout.items(last).stop
    middle = last // 2
    assert layout.items(middle).stop - layout.items(middle).start == layout.chunk[1]
    if layout.across == 1 and last:
        assert layout.users(middle + 1).start == layout.users(middle).stop
        assert layout.chunk_bytes > CHUNK_BYTES / 2
