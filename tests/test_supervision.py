"""A cluster that is gone or at a standstill: the wait ends, within a stated time, in one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import CancelledError

import dask
import pytest
from distributed import LocalCluster
from distributed.comm import CommClosedError

from mfdask.cluster import SOLVER, ClusterConfig, open_cluster
from mfdask.errors import ClusterError
from mfdask.execution import executor
from mfdask.supervision import PATIENCE
from tests.by_hand import dying_scheduler

LOCAL = {"threads": 1, "dashboard_address": "127.0.0.1:0"}


def pids(client):
    return list(client.run(os.getpid).values())


def wait_for_nothing(config, fault=lambda client: None):
    """Return what ends the wait for a task on a cluster at fault, and after how many seconds."""
    with open_cluster(config) as client, dask.config.set({PATIENCE: 2}):
        fault(client)
        began = time.monotonic()
        with pytest.raises(ClusterError) as caught, executor(client) as run:
            run.results([run.submit("task", time.sleep, 600)])
        return f"{caught.value}", time.monotonic() - began


def stop(client):
    os.kill(pids(client)[0], signal.SIGSTOP)


def test_a_worker_that_stops_in_the_middle():
    said, seconds = wait_for_nothing(ClusterConfig(**LOCAL), stop)
    assert (
        said == "nothing moved within 2 seconds (patience): workers do not answer; run this again"
    )
    assert 2 <= seconds < 120


def wait_until_paused(client):
    deadline = time.monotonic() + 30
    while {w["status"] for w in client.scheduler_info()["workers"].values()} != {"paused"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_workers_that_have_no_memory_to_begin_anything():
    config = ClusterConfig(**LOCAL, memory_limit="1GB")
    with dask.config.set({"distributed.worker.memory.pause": 0.01}):
        said, _ = wait_for_nothing(config, wait_until_paused)
    assert "more than 80 % of the memory that they may; raise memory_limit" in said


def test_no_worker_left():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0",
        resources={SOLVER: 1},
    ) as cluster:  # fmt: skip
        config = ClusterConfig(scheduler=cluster.scheduler_address)
        said, _ = wait_for_nothing(config, lambda client: cluster.scale(0))
    assert "no worker was left" in said


@pytest.mark.parametrize(
    ("sent", "patience", "said"),
    [("SIGSTOP", 5, r"within 5 seconds \(patience\);"), ("SIGKILL", 60, "Nanny failed to start;")],
)
def test_a_worker_that_does_not_start(sent, patience, said, tmp_path):
    before = multiprocessing.active_children()
    preload = tmp_path / "hit.py"
    preload.write_text(f"import os, signal\nos.kill(os.getpid(), signal.{sent})")
    with (
        dask.config.set({"distributed.worker.preload": [str(preload)]}),
        pytest.raises(ClusterError, match=f"the workers have not started: {said}"),
        open_cluster(ClusterConfig(**LOCAL, patience=patience)),
    ):
        pass
    # Otherwise the process waits for them when it ends.
    for child in set(multiprocessing.active_children()) - set(before):
        assert exit_code(child) == -signal.SIGKILL


def exit_code(child):
    """Once Dask's thread that also waits for it has written it down: only one of two gets it."""
    deadline = time.monotonic() + 30
    while child.exitcode is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return child.exitcode


def test_a_task_that_takes_longer_is_no_standstill():
    with (
        open_cluster(ClusterConfig(**LOCAL)) as client,
        dask.config.set({PATIENCE: 4}),
        executor(client) as run,
    ):
        assert run.results([run.submit("long", time.sleep, 9)]) == [None]


def test_a_scheduler_that_dies():
    with dying_scheduler() as address:
        said, seconds = wait_for_nothing(ClusterConfig(scheduler=address))
    assert said == f"the scheduler at {address} is gone; start it and run this again"
    assert seconds < 120


@pytest.mark.parametrize("error", [CommClosedError("reset by peer"), CancelledError()])
def test_a_wait_that_hears_of_it_before_the_client(client, error):
    assert client.status == "running"
    with pytest.raises(ClusterError, match="is gone; start it"), executor(client):
        raise error
