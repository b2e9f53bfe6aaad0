"""The same tasks in this thread, in threads of this process, and on a cluster of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock, call

import dask
import numba
import pytest

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.errors import InputError, RefusedError
from mfdask.execution import LocalExecutor, Reference, ThreadExecutor, executor

EVERYWHERE = ("local", "threads", "workers", "whole workers")


@pytest.fixture
def progress():
    return Mock()


@pytest.fixture(params=EVERYWHERE)
def run(request, progress):
    """Yield each executor in turn; the last gives a task all threads of a worker."""
    away = "workers" in request.param
    client = request.getfixturevalue("client") if away else None
    parallel = request.param in ("local", "whole workers")
    with executor(client, progress, parallel=parallel) as run:
        yield run


def test_results_go_from_task_to_task(run):
    one, two = run.submit("one", int, "1"), run.submit("two", int, "2")
    total = run.submit("total", sum, [one, two, 4])
    twice = run.submit("twice", max, total, 3)
    assert run.results([twice, total, one]) == [7, 7, 1]
    assert total.result() == 7


def test_one_thread_is_enough_for_a_chain():
    with ThreadPoolExecutor(1) as pool:
        run = ThreadExecutor(pool)
        total = run.submit("begin", int, "0")
        for number in range(50):
            total = run.submit(f"step-{number}", sum, [total, 1])
        assert run.finish("chain", [total]) == [50]


def test_stages_are_told(run, progress):
    handles = [run.submit(f"n-{n}", int, n) for n in range(3)]
    assert run.finish("stage", handles) == [0, 1, 2]
    assert run.map("more", int, [(n,) for n in "45"]) == [4, 5]
    stages = [call("stage", done, 3) for done in range(4)]
    assert progress.mock_calls == stages + [call("more", done, 2) for done in range(3)]


def late(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_results_are_in_the_order_of_the_arguments(run):
    assert run.map("late", late, [(0.3,), (0.0,), (0.1,)]) == [0.3, 0.0, 0.1]
    assert run.map("nothing", late, []) == []


@dataclass(frozen=True)
class Word(Reference):
    """Names a word, and who reads it."""

    word: str

    def open(self):
        return self.word, os.getpid()


def who(own, others):
    return own, others, os.getpid()


def test_references_are_opened_where_the_task_runs(run):
    (handle,) = [run.submit("who", who, Word("a"), [Word("b"), "c", None])]
    ((word, one), [(other, two), plain, nothing], here) = handle.result()
    assert (word, other, plain, nothing) == ("a", "b", "c", None)
    assert one == two == here
    assert (here == os.getpid()) == (run.client is None)


def test_what_nobody_waits_for_is_done_all_the_same(run, tmp_path):
    run.start("touch", (tmp_path / "done").touch)
    deadline = time.monotonic() + 30
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fail_first(number: int, folder: Path) -> None:
    """Fail if it is the first task; leave a sign otherwise."""
    if number == 0:
        raise InputError("`top` is wrong")
    time.sleep(0.1)
    (folder / str(number)).touch()


def test_the_first_error_ends_all(run, tmp_path):
    with pytest.raises(InputError, match="top is wrong") as caught:
        run.map("s", fail_first, [(number, tmp_path) for number in range(60)])
    assert caught.value.template == "`top` is wrong"
    time.sleep(1.0)  # what has begun ends
    ended = len(list(tmp_path.iterdir()))
    assert ended < 40
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == ended


def test_at_an_error_here_what_was_submitted_never_begins(run, tmp_path):
    with pytest.raises(KeyboardInterrupt), run.cancelling():
        raise KeyboardInterrupt
    if isinstance(run, ThreadExecutor):
        with pytest.raises(RuntimeError, match="shutdown"):
            run.submit("late", int, 1)


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
    run = ThreadExecutor(ThreadPoolExecutor(2))
    handles = [run.submit("slow", slow), run.submit("fail", fail)]
    handles += [run.submit(f"late-{n}", time.sleep, 0.2) for n in range(2)]
    last = run.submit("last", late.append, 1)
    with pytest.raises(InputError, match="no"):
        run.finish("s", handles) if wait == "finish" else run.results(handles[1:])
    assert ended.is_set()
    assert last.cancelled()
    assert late == []


def test_in_this_process_there_are_no_workers():
    assert (LocalExecutor().client, LocalExecutor().workers) == (None, [])
    assert LocalExecutor().bytes_sent() == {}


def test_a_task_finds_its_home(client):
    with executor(client) as run:
        assert len(run.workers) == 2
        homes = [
            run.submit(f"home-{n}", os.getpid, home=home) for n, home in enumerate(run.workers)
        ]
        pids = client.run(os.getpid)
        assert run.results(homes) == [pids[home] for home in run.workers]
        assert set(run.bytes_sent()) == set(run.workers)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_parallel_task_has_the_threads_of_its_worker(parallel):
    config = ClusterConfig(threads=1, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as client, executor(client, parallel=parallel) as run:
        threads = run.submit("threads", numba.get_num_threads).result()
    assert threads == (1 if parallel else numba.config.NUMBA_DEFAULT_NUM_THREADS)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


WAITS = {
    "map": lambda run: run.map("die", die, [()]),
    "finish": lambda run: run.finish("die", [run.submit("die", die)]),
    "results": lambda run: run.results([run.submit("die", die)]),
    "result": lambda run: run.submit("die", die).result(),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_workers_that_keep_dying_are_not_a_riddle(wait):
    config = ClusterConfig(threads=1, dashboard_address="127.0.0.1:0")
    said = r"workers died again and again.* raise memory_limit, use fewer workers, .*blocks$"
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        open_cluster(config) as client,
        pytest.raises(RefusedError, match=said) as caught,
        executor(client) as run,
    ):
        wait(run)
    assert caught.value.exit_code == 3


LOADED = """
import sys
import mfdask.execution, mfdask.ingestion.build, mfdask.ingestion.extend, mfdask.shards.refs
with mfdask.execution.executor(None, parallel=False) as run:
    assert run.map("int", int, [("1",), ("2",)]) == [1, 2]
print(*[name for name in ("numba", "dask", "distributed") if name in sys.modules])
from mfdask import kernels
assert not hasattr(kernels, "nothing")
kernels.csr.counting_order
print(*[name for name in ("numba", "dask", "distributed") if name in sys.modules])
"""


def test_dask_and_numba_are_loaded_where_they_are_used():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\nnumba\n"
