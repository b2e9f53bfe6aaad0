"""Data sets at URLs: as the folders that were copied there, and no more of them than is used."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError, RefusedError
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef
from mfdask.shards.remote import UNUSED, cache_folder
from mfdask.shards.store import ARRAYS, SIDES, FileFacts
from tests.shards.growth import random_frame
from tests.shards.oracle import memory_source

FRAME = random_frame(5, 300, (0, 30), (0, 40))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a small data set in two blocks a side; leave it as it is."""
    return build(tmp_path_factory.mktemp("made") / "d")


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy to break."""
    return shutil.copytree(made, tmp_path / "d")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Return the folder of this machine's mirrors, of which there is none yet."""
    monkeypatch.setenv("MFDASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(out, seed=1, blocks=2):
    choices = IngestOptions(Split.parse("random:0.3"), seed=seed, blocks=blocks, max_rejected=1.0)
    ingest(memory_source(FRAME), out, choices=choices)
    return out


def url_of(folder):
    return f"file://{folder}"


def fetched(cache):
    """Return the files of the only mirror, relative to it."""
    (mirror,) = cache.iterdir()
    return {str(file.relative_to(mirror)) for file in mirror.rglob("*") if file.is_file()}


@pytest.fixture(params=["file", "memory", "zip", "zip with a folder"])
def url(request, made, tmp_path):
    if request.param == "file":
        yield url_of(made)
    elif request.param == "memory":
        memory = fsspec.filesystem("memory")
        memory.put(str(made), "/bucket/d", recursive=True)
        yield "memory://bucket/d/"
        memory.rm("/bucket", recursive=True)
    elif request.param == "zip":
        yield f"zip://::file://{shutil.make_archive(str(tmp_path / 'z'), 'zip', made)}"
    else:
        packed = shutil.make_archive(str(tmp_path / "z"), "zip", made.parent, "d")
        yield f"zip://d::file://{packed}"


def test_everything_is_as_in_the_folder(url, made):
    away, here = Dataset.open(url, verify=True), Dataset.open(made)
    assert away.manifest == here.manifest
    assert (away.path, away.address) == (None, url.rstrip("/"))
    assert (here.path, here.address) == (made, str(made))
    for side in SIDES:
        pd.testing.assert_frame_equal(getattr(away, side)(), getattr(here, side)())
    for part in ("train", "test"):
        for block in range(2):
            assert_same(away.shard("users", block, part), here.shard("users", block, part))
            times = away.timestamps(block, part), here.timestamps(block, part)
            np.testing.assert_array_equal(*times)
    for block in range(2):
        assert_same(away.shard("items", block), here.shard("items", block))
    assert isinstance(away.shard("users", 0).ratings, np.memmap)
    assert not away.shard("users", 0).ratings.flags.writeable


def assert_same(one, other):
    assert (one.side, one.block, one.start) == (other.side, other.block, other.start)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


READS = {
    "users": lambda data: data.users(),
    "items": lambda data: data.rows_of("items", ["1", "2"]),
    "users-0": lambda data: data.shard("users", 0),
    "items-1": lambda data: data.shard("items", 1),
    "test": lambda data: data.shard("users", 1, "test"),
    "times": lambda data: data.timestamps(1),
}
NEEDS = {
    "users": {"users.parquet"},
    "items": {"items.parquet"},
    "users-0": {f"train/users-0000/{name}.npy" for name in ARRAYS},
    "items-1": {f"train/items-0001/{name}.npy" for name in ARRAYS},
    "test": {f"test/users-0001/{name}.npy" for name in ARRAYS},
    "times": {"train/users-0001/timestamps.npy"},
}


@given(st.lists(st.sampled_from(sorted(READS)), max_size=5), st.booleans())
@settings(max_examples=25)
def test_what_is_used_is_fetched_and_nothing_else(tmp_path_factory, made, reads, again):
    own = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFDASK_CACHE", str(own))
        data = Dataset.open(url_of(made))
        for read in reads:
            data = Dataset.open(url_of(made)) if again else data
            READS[read](data)
    assert fetched(own) == set().union(*(NEEDS[read] for read in reads))


def test_a_file_is_fetched_once(made, monkeypatch):
    asked = []
    get_file = LocalFileSystem.get_file

    def counted(system, path, *rest, **options):
        asked.append(path)
        return get_file(system, path, *rest, **options)

    monkeypatch.setattr(LocalFileSystem, "get_file", counted)
    for _ in range(2):
        data = Dataset.open(url_of(made))
        data.users()
        data.shard("users", 0)
    assert sorted(asked) == sorted({*asked})
    assert len(asked) == 4


def test_a_folder_is_mapped_where_it_lies(made, cache):
    Dataset.open(str(made), verify=True).shard("users", 0)
    assert not cache.exists()


def test_where_the_mirrors_lie(monkeypatch, tmp_path):
    monkeypatch.delenv("MFDASK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mfdask"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "mfdask"
    monkeypatch.setenv("MFDASK_CACHE", "~/there")
    assert cache_folder() == Path.home() / "there"


def test_an_account_without_a_home_is_told_how_to_name_a_folder(monkeypatch):
    for variable in ("MFDASK_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a container's account has no line there
    with pytest.raises(InputError, match="no home; name a folder in MFDASK_CACHE"):
        cache_folder()


def flip(path, at):
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)


@pytest.mark.parametrize("how", ["bit", "cut", "gone"])
def test_a_damaged_file_is_refused_and_not_kept(folder, cache, how):
    data = Dataset.open(url_of(folder))
    file = folder / "train/users-0001/ratings.npy"
    if how == "bit":
        flip(file, -1)
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-4])
    else:
        file.unlink()
    what = "is not there" if how == "gone" else r"\d+ bytes with CRC-32 .* in place of"
    for _ in range(2):
        with pytest.raises(InputError, match=rf"^file://.*/users-0001/ratings\.npy: {what}"):
            data.shard("users", 1)
    assert fetched(cache) == {f"train/users-0001/{name}.npy" for name in ("indptr", "indices")}


@pytest.mark.parametrize("how", ["bit", "cut", "gone"])
def test_a_copy_that_went_bad_is_fetched_again(made, cache, how):
    Dataset.open(url_of(made), verify=True)
    (mirror,) = cache.iterdir()
    file = mirror / "train/users-0000/indices.npy"
    if how == "bit":
        flip(file, -1)
    elif how == "cut":
        file.write_bytes(b"")  # as a power cut leaves it
    else:
        file.unlink()
    data = Dataset.open(url_of(made))
    assert_same(data.shard("users", 0), Dataset.open(made).shard("users", 0))


def test_a_data_set_that_is_replaced_while_it_is_read(folder):
    url = url_of(folder)
    data = Dataset.open(url)
    shard = data.shard("users", 0)
    before = shard.ratings.copy()
    ref = ShardRef(DatasetRef(data.address, data.fingerprint), "users", 1)
    shutil.rmtree(folder)
    build(folder, seed=2)
    with pytest.raises(InputError, match="replaced while it was being read"):
        data.shard("users", 1)
    with pytest.raises(InputError, match="was replaced while it was being read; start again"):
        ref.open()
    np.testing.assert_array_equal(shard.ratings, before)  # what is mapped stays
    assert_same(data.shard("users", 0), shard)
    now = Dataset.open(url, verify=True)
    assert_same(now.shard("users", 1), Dataset.open(folder).shard("users", 1))


def test_other_blocks_are_another_mirror(folder, cache):
    Dataset.open(url_of(folder), verify=True)
    shutil.rmtree(folder)
    build(folder, blocks=3)
    data = Dataset.open(url_of(folder), verify=True)
    assert len(list(cache.iterdir())) == 2
    for block in range(3):
        assert_same(data.shard("users", block), Dataset.open(folder).shard("users", block))


def run(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


TOGETHER = """
import sys, time
from pathlib import Path
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef
url, mine, other = sys.argv[1:]
Path(mine).touch()
while not Path(other).exists():
    time.sleep(0.001)
Dataset.open(url, verify=True)
"""


def test_two_processes_at_once(made, cache, tmp_path):
    url, flags = url_of(made), [tmp_path / "a", tmp_path / "b"]
    both = [run(TOGETHER, url, *flags), run(TOGETHER, url, *flags[::-1])]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert fetched(cache) == set(Dataset.open(made).manifest.files)
    (mirror,) = cache.iterdir()
    shutil.copy(made / "manifest.json", mirror)
    Dataset.open(mirror, verify=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from fsspec.implementations.local import LocalFileSystem
from mfdask.shards import Dataset
from mfdask.shards.refs import DatasetRef, ShardRef

def half(system, path, target, **options):
    content = Path(path).read_bytes()
    Path(target).write_bytes(content[:len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

LocalFileSystem.get_file = half
Dataset.open(sys.argv[1]).shard("users", 0)
"""


def test_a_kill_in_the_midst_of_a_fetch(made, cache):
    process = run(KILLED, url_of(made))
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    (left,) = fetched(cache)
    assert left.endswith(".partial")
    data = Dataset.open(url_of(made), verify=True)
    assert_same(data.shard("users", 0), Dataset.open(made).shard("users", 0))


def test_mirrors_that_nobody_uses_make_room(made, folder, cache):
    Dataset.open(url_of(made), verify=True)
    (old,) = cache.iterdir()
    mine = [cache / "mine", cache / "mirror-of-mine"]
    for path in mine:
        path.mkdir()
    for path in (old, *mine):
        os.utime(path, (0, time.time() - UNUSED - 60))
    Dataset.open(url_of(made))  # used again, and so not old
    build(folder.with_name("second"), seed=2)
    Dataset.open(url_of(folder.with_name("second")))
    assert old.exists()
    os.utime(old, (0, time.time() - UNUSED - 60))
    build(folder.with_name("third"), seed=3)
    Dataset.open(url_of(folder.with_name("third")))
    assert not old.exists()
    assert all(path.exists() for path in mine)
    assert len(list(cache.iterdir())) == 2 + len(mine)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Install cloudfs to access Cloud", "needs the package cloudfs; pip install cloudfs"),
        ('Cloud requires "cloud-driver" to be installed', 'Cloud requires "cloud-driver"'),
    ],
)
def test_no_driver(said, words):
    fsspec.register_implementation("cloud", "cloudfs.System", clobber=True, errtxt=said)
    with pytest.raises(InputError, match=rf"^cloud://b/d/manifest\.json: {words}"):
        Dataset.open("cloud://b/d")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://b/d", "cannot be read .ValueError: Protocol not known: nonsense"),
        ("memory://nowhere", r"^memory://nowhere/manifest\.json: is not there; give the URL of"),
        ("file:///nowhere/d/", r"^file:///nowhere/d/manifest\.json: is not there"),
        ("zip://d::file:///nowhere.zip", "is not there"),
        ("zip://d::file:///dev/null", "cannot be read .BadZipFile"),
    ],
)
def test_no_data_set_there(url, words, cache):
    with pytest.raises(InputError, match=words):
        Dataset.open(url)
    assert not cache.exists()


def test_a_folder_without_a_manifest(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"manifest\.json: is not there"):
        Dataset.open(url_of(folder))


@pytest.mark.parametrize("text", ["", "{}", "\0", "\udc80"])
def test_a_damaged_manifest(folder, text):
    (folder / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"^file://.*/manifest\.json: damaged"):
        Dataset.open(url_of(folder))


def with_file(folder, name, facts):
    """Put a file into the manifest of a data set."""
    said = json.loads((folder / "manifest.json").read_text())
    said["files"][name] = {"bytes": facts.bytes, "crc32": facts.crc32}
    del said["crc32"]
    (folder / "manifest.json").write_text(json.dumps(said))


@pytest.mark.parametrize("name", ["../stolen", "/stolen", "train/../../stolen"])
def test_a_manifest_that_reaches_out_of_its_folder(folder, cache, name):
    with_file(folder, name, FileFacts.of(folder / "users.parquet"))
    with pytest.raises(InputError, match="names files outside of its folder"):
        Dataset.open(url_of(folder), verify=True)
    assert not cache.exists()


def test_a_pickle_is_not_loaded(folder):
    name = "train/users-0000/ratings.npy"
    np.save(folder / name, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with_file(folder, name, FileFacts.of(folder / name))
    data = Dataset.open(url_of(folder))
    with pytest.raises(InputError, match="the file is damaged"):
        data.shard("users", 0)


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left"), RefusedError, "no space left .*MFDASK_CACHE name"),
        (PermissionError("Forbidden"), InputError, "PermissionError: Forbidden.*credentials"),
        (ConnectionError("no route"), InputError, "no route.*check the URL, the network"),
        (RuntimeError("oh dear\nand so on"), InputError, r"RuntimeError: oh dear\);"),
    ],
)
def test_a_fetch_that_fails(made, cache, monkeypatch, error, kind, words):
    data = Dataset.open(url_of(made))
    monkeypatch.setattr(LocalFileSystem, "get_file", failing(error))
    with pytest.raises(kind, match=rf"^file://.*/users\.parquet: .*{words}"):
        data.users()
    assert fetched(cache) == set()


def test_no_mirror_can_be_made(made, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MFDASK_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"its local copy cannot be written .*MFDASK_CACHE name"):
        Dataset.open(url_of(made))
    full = OSError(errno.ENOSPC, "No space left")
    monkeypatch.setattr(Path, "mkdir", failing(full))
    with pytest.raises(RefusedError, match="no space left"):
        Dataset.open(url_of(made))
