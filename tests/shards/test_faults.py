"""Whatever goes wrong, a data set is there as a whole or not at all."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import dask
import pandas as pd
import pytest

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.errors import InputError, RefusedError
from mfdask.files import file_lock
from mfdask.ingestion import build
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.source import Part, Source
from mfdask.ratings.splits import Split
from mfdask.ratings.synthetic import open_synthetic
from mfdask.shards import Dataset, store
from tests.shards.oracle import Read, memory_source

SPEC = "synthetic:users=50,items=40,ratings=900"


@pytest.fixture
def small():
    return open_synthetic(SPEC, 3, part_ratings=200)


def test_a_data_set_is_only_replaced_on_request(client, small, tmp_path):
    out = tmp_path / "d"
    first = ingest(small, out, client=client, choices=IngestOptions(seed=1))
    with pytest.raises(InputError, match="replace it with overwrite"):
        ingest(small, out, client=client)
    assert Dataset.open(out, verify=True).fingerprint == first.fingerprint
    second = ingest(small, out, client=client, choices=IngestOptions(seed=2), overwrite=True)
    assert Dataset.open(out, verify=True).fingerprint == second.fingerprint != first.fingerprint
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("overwrite", [False, True])
def test_something_else_is_never_touched(client, small, tmp_path, overwrite):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    for name in ("d", "file"):
        with pytest.raises(InputError, match="already and is no data set"):
            ingest(small, tmp_path / name, client=client, overwrite=overwrite)
    assert (tmp_path / "d" / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "more work"


def test_a_second_ingest_into_one_folder_is_refused(client, small, tmp_path):
    with (
        file_lock(tmp_path / "d", "ingesting into"),
        pytest.raises(RefusedError, match="another process is ingesting into it"),
    ):
        ingest(small, tmp_path / "d", client=client)
    assert not (tmp_path / "d").exists()


def test_a_small_disk_is_refused_before_anything_is_written(client, small, tmp_path, monkeypatch):
    monkeypatch.setattr("mfdask.files.free_bytes", lambda path: 900 * 45 - 1)
    with pytest.raises(
        RefusedError, match=r"a data set of 900 ratings needs 0 MiB of disk .* write elsewhere"
    ):
        ingest(small, tmp_path / "d", client=client)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(small, tmp_path, monkeypatch):
    written = []

    def fail_later(path, values):
        written.append(path)
        if len(written) > 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, values)

    write = store._write
    monkeypatch.setattr(store, "_write", fail_later)
    with pytest.raises(RefusedError, match="no space left on the disk"):
        ingest(small, tmp_path / "d", choices=IngestOptions(blocks=4))
    assert len(written) > 30
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_leaves_the_old_data_set(small, tmp_path, monkeypatch):
    first = ingest(small, tmp_path / "d")
    monkeypatch.setattr(build, "describe", lambda *facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ingest(small, tmp_path / "d", overwrite=True)
    assert Dataset.open(tmp_path / "d", verify=True).fingerprint == first.fingerprint
    assert list(tmp_path.iterdir()) == [tmp_path / "d"]


def test_a_place_that_cannot_be_written(client, small):
    with pytest.raises(InputError, match=r"/proc/no/data: cannot write there .*write elsewhere"):
        ingest(small, Path("/proc/no/data"), client=client)


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_output(client, tmp_path):
    source = Source("s", (Part("gone.csv", Unreadable()),), "int", "int", False, None, "gone.csv")
    with pytest.raises(FileNotFoundError, match=r"/elsewhere/gone\.csv"):
        ingest(source, tmp_path / "d", client=client)
    assert list(tmp_path.iterdir()) == []


class Unreadable:
    def __call__(self):
        raise FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere/gone.csv")


def test_nothing_to_learn_from(client, tmp_path):
    no_parts = Source("s", (), "int", "int", False, None, "empty.csv")
    with pytest.raises(InputError, match=r"empty\.csv: holds no ratings"):
        ingest(no_parts, tmp_path / "d", client=client)
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "rating": [None, None]})
    with pytest.raises(InputError, match=r"none of its 2 rows is a rating; .*rows, row 0: missing"):
        ingest(memory_source(frame, [1]), tmp_path / "d", client=client)
    with pytest.raises(InputError, match="holds no ratings"):
        ingest(memory_source(frame[:0].astype("int64")), tmp_path / "d", client=client)
    assert list(tmp_path.iterdir()) == []


class Slow:
    """Reads like another, but says that it began and takes its time."""

    def __init__(self, read: Read, sign: Path) -> None:
        self.read = read
        self.sign = sign

    def __call__(self):
        self.sign.touch()
        time.sleep(60)
        return self.read()


def _ingest_for_long(out: Path, sign: Path) -> None:
    frame = pd.DataFrame({"user_id": [1], "item_id": [1], "rating": [1.0]})
    source = Source("s", (Part("r", Slow(Read(frame, "r"), sign)),), "int", "int", False, None, "r")
    ingest(source, out, overwrite=True)


def test_killed_in_the_middle_and_started_again(client, small, tmp_path):
    out, sign = tmp_path / "data" / "d", tmp_path / "began"
    first = ingest(small, out, client=client)
    process = multiprocessing.get_context("spawn").Process(
        target=_ingest_for_long, args=(out, sign)
    )
    process.start()
    deadline = time.monotonic() + 60
    while not sign.exists():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(RefusedError, match="another process is ingesting into it"):
        ingest(small, out, client=client, overwrite=True)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert Dataset.open(out, verify=True).fingerprint == first.fingerprint
    choices = IngestOptions(Split("none"))
    again = ingest(small, out, client=client, choices=choices, overwrite=True)
    assert Dataset.open(out, verify=True).fingerprint == again.fingerprint
    assert list(out.parent.iterdir()) == [out]


class Deadly:
    """Reads like another once `sign` is there; until it is, the process that reads dies."""

    def __init__(self, read: Read, sign: Path) -> None:
        self.read = read
        self.sign = sign

    def __call__(self):
        if not self.sign.exists():
            if self.sign.parent.exists():
                self.sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.read()


def test_a_worker_that_dies_is_replaced(tmp_path, client):
    frame = pd.DataFrame({"user_id": [1, 2, 1], "item_id": [1, 1, 2], "rating": [1.0, 2.0, 3.0]})
    source = memory_source(frame, [1, 2])
    parts = [*source.parts[:2], Part("rows", Deadly(source.parts[2].read, tmp_path / "died"))]
    deadly = Source("memory", tuple(parts), "int", "int", False, None, "memory")
    choices = IngestOptions(Split("none"))
    config = ClusterConfig(workers=1, threads=1, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as own:
        made = ingest(deadly, tmp_path / "d", client=own, choices=choices)
    assert (tmp_path / "died").exists()
    expected = ingest(source, tmp_path / "e", client=client, choices=choices)
    assert made.files == expected.files


def test_workers_that_keep_dying_are_not_a_riddle(tmp_path):
    frame = pd.DataFrame({"user_id": [1], "item_id": [1], "rating": [1.0]})
    part = Part("r", Deadly(Read(frame, "r"), tmp_path / "no" / "such" / "sign"))
    source = Source("s", (part,), "int", "int", False, None, "r")
    config = ClusterConfig(workers=1, threads=1, dashboard_address="127.0.0.1:0")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        open_cluster(config) as own,
        pytest.raises(RefusedError, match=r"workers died .* raise memory_limit"),
    ):
        ingest(source, tmp_path / "d", client=own)
    assert list(tmp_path.iterdir()) == []
