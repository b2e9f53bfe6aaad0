"""The same tasks in threads of this process and on a cluster of processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock, call

import pytest
from mfdask.ingest.tasks import FEW_ROWS, ThreadTasks, are_few, tasks_on

from mfdask.errors import InputError
from mfdask.ingest.build import IngestOptions, ingest
from mfdask.ingest.extend import extend
from mfdask.progress import silent
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from tests.shards.growth import NEW, contents, random_frame, withdrawal
from tests.shards.oracle import memory_source


@pytest.mark.parametrize("split", ["random:0.2", "time:0.2", "user-time:0.2"])
def test_taking_in_is_the_same_wherever_it_runs(client, tmp_path, split):
    choices = IngestOptions(Split.parse(split), blocks=3)
    old = memory_source(random_frame(5, 300, (0, 30), (0, 40)), [100, 200])
    gone = withdrawal([(3, "i4", 10**9), (7, "i1", 10**9), (8, "i2", 0)])
    made = []
    for name, where in (("threads", None), ("cluster", client)):
        ingest(old, tmp_path / name, client=where, choices=choices)
        new = [memory_source(NEW, [10, 30])]
        made.append(extend(tmp_path / name, new, withdrawn=[gone], client=where))
    assert made[0].fingerprint == made[1].fingerprint
    threads, cluster = (contents(tmp_path / name) for name in ("threads", "cluster"))
    del threads["manifest.json"], cluster["manifest.json"]  # they say when they were made
    assert threads == cluster
    assert made[0].files == made[1].files


def test_results_go_from_task_to_task(client):
    for where in (None, client):
        with tasks_on(where, silent) as tasks:
            one, two = tasks.submit("one", int, "1"), tasks.submit("two", int, "2")
            total = tasks.submit("total", sum, [one, two, 4])
            assert tasks.results([total, one]) == [7, 1]


def test_one_thread_is_enough_for_a_chain():
    with ThreadPoolExecutor(1) as pool:
        tasks = ThreadTasks(pool, silent)
        total = tasks.submit("begin", int, "0")
        for number in range(50):
            total = tasks.submit(f"step-{number}", sum, [total, 1])
        assert tasks.finish("chain", [total]) == [50]


def test_stages_are_told(client):
    for where in (None, client):
        told = Mock()
        with tasks_on(where, told) as tasks:
            tasks.finish("stage", [tasks.submit(f"n-{n}", int, n) for n in range(3)])
        assert told.mock_calls == [call("stage", done, 3) for done in range(4)]


@pytest.mark.parametrize("wait", ["finish", "results"])
def test_behind_an_error_nothing_begins_and_what_runs_is_waited_for(wait):
    began, ended = threading.Event(), threading.Event()

    def slow():
        began.set()
        time.sleep(0.3)
        ended.set()

    def fail():
        began.wait()
        raise InputError("no")

    late = []
    pool = ThreadPoolExecutor(2)
    tasks = ThreadTasks(pool, silent)
    handles = [tasks.submit("slow", slow), tasks.submit("fail", fail)]
    handles += [tasks.submit(f"late-{n}", time.sleep, 0.2) for n in range(2)]
    last = tasks.submit("last", late.append, 1)
    with pytest.raises(InputError, match="no"):
        tasks.finish("s", handles) if wait == "finish" else tasks.results(handles[1:])
    assert ended.is_set()
    assert last.cancelled()
    assert late == []


def test_what_is_few(tmp_path):
    assert are_few([])
    assert not are_few([open_source("synthetic:32m")])
    half = open_source(f"synthetic:users=9000,items=1000,ratings={FEW_ROWS // 2}")
    assert are_few([half, half])
    assert not are_few([half, half, open_source("synthetic:small")])


def test_rows_are_reckoned_of_every_format(tmp_path):
    frame = random_frame(1, 5000, (100_000, 200_000), (10_000, 80_000)).dropna()
    frame["timestamp"] += 1_112_486_027
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.csv.gz", index=False)
    frame.to_parquet(tmp_path / "c.parquet", row_group_size=1000)
    for name in ("a.csv", "b.csv.gz", "c.parquet"):
        source = open_source(str(tmp_path / name), cache_dir=tmp_path / "cache")
        assert source.n_rows == pytest.approx(len(frame), rel=0.2)
