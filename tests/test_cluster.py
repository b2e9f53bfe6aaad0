"""Real clusters: what they listen on, what they leave behind, what they say when they cannot."""

import logging
import os
import socket
import time
from contextlib import closing

import numba
import psutil
import pytest
from distributed import LocalCluster

from mfdask.cluster import LEAST_MEMORY, SOLVER, ClusterConfig, open_cluster
from mfdask.errors import InputError, RefusedError
from mfdask.execution import ClusterExecutor


def listening():
    here = psutil.Process()
    found = set()
    for process in [here, *here.children(recursive=True)]:
        connections = process.net_connections(kind="tcp")
        found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return found


def workers():
    """Return the processes below this one, but for Python's own resource tracker."""
    below = psutil.Process().children(recursive=True)
    running = [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    return {p.pid for p in running if "resource_tracker" not in " ".join(p.cmdline())}


def settings():
    return numba.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def test_a_limit_of_address_space_that_no_worker_could_live_with(monkeypatch):
    """As `ulimit -v` sets it: the worker would get no thread, and be waited for."""
    monkeypatch.setattr("resource.getrlimit", lambda what: (10**9, 10**9))
    with pytest.raises(RefusedError, match=r"1\.0 GB of address space .*raise that limit"):
        open_cluster(ClusterConfig()).__enter__()


def test_a_local_cluster_is_private_and_leaves_nothing():
    before = workers()
    config = ClusterConfig(workers=1, threads=1, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as client:
        assert listening() == {"127.0.0.1"}
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        (worker,) = client.scheduler_info(n_workers=-1)["workers"].values()
        assert worker["resources"] == {SOLVER: 1}
        assert worker["nthreads"] == 1
        assert ClusterExecutor(client).submit("settings", settings).result() == (1, "1")
    deadline = time.monotonic() + 10
    while workers() - before:
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.1)


def test_a_dashboard_port_in_use_is_stepped_over():
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with open_cluster(ClusterConfig(threads=1, dashboard_address=address)) as client:
            assert address not in client.dashboard_link


def test_a_remote_scheduler_is_joined_and_left_running():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", resources={SOLVER: 1}
    ) as cluster:
        with open_cluster(ClusterConfig(scheduler=cluster.scheduler_address)) as client:
            assert client.submit(sum, [1, 2]).result() == 3
        assert len(cluster.scheduler.workers) == 1


def test_workers_that_cannot_solve_are_refused():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        pytest.raises(InputError, match=r'none of its 1 workers can solve.*--resources "solver=1"'),
        open_cluster(ClusterConfig(scheduler=cluster.scheduler_address)),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://", "tcp://127.0.0.1"])
def test_a_scheduler_that_does_not_answer(address, monkeypatch):
    monkeypatch.setattr("mfdask.cluster.TIMEOUT", "1s")
    with (
        pytest.raises(InputError, match="no Dask scheduler answers there"),
        open_cluster(ClusterConfig(scheduler=address)),
    ):
        pass


@pytest.mark.parametrize("address", ["here", "127.0.0.1:70000"])
def test_a_malformed_dashboard_address_is_refused(address):
    with (
        pytest.raises(InputError, match="write it as host:port"),
        open_cluster(ClusterConfig(dashboard_address=address)),
    ):
        pass


@pytest.mark.parametrize("host", ["203.0.113.1", "nowhere.invalid"])
def test_a_dashboard_address_of_another_machine_is_refused(host):
    with (
        pytest.raises(InputError, match=f"dashboard_address {host}:8787: cannot listen there"),
        open_cluster(ClusterConfig(dashboard_address=f"{host}:8787")),
    ):
        pass


def test_the_dashboard_is_open_to_others_only_when_asked():
    config = ClusterConfig(threads=1, dashboard_address="0.0.0.0:0")
    with open_cluster(config) as client:
        assert listening() == {"127.0.0.1", "0.0.0.0"}
        assert client.dashboard_link.endswith("/mfdask")


@pytest.mark.parametrize("limit", ["180MB", "1KB", "1", "699999999"])
def test_a_worker_that_could_not_live_is_refused(limit):
    with pytest.raises(InputError, match=rf"memory_limit must be 700MB or more .*not '{limit}'"):
        ClusterConfig(memory_limit=limit)


@pytest.mark.parametrize("limit", ["much", "-4GB", "nan", "1e400"])
def test_a_memory_limit_that_is_no_size(limit):
    with pytest.raises(InputError, match=f"must be a size such as 4GB, or auto, not '{limit}'"):
        ClusterConfig(memory_limit=limit)


def test_the_least_memory_is_enough_to_begin_with():
    limit = f"{LEAST_MEMORY}"
    config = ClusterConfig(threads=1, memory_limit=limit, dashboard_address="127.0.0.1:0")
    with open_cluster(config) as client:
        (held,) = client.run(loaded_bytes).values()
    assert held < 0.5 * LEAST_MEMORY


def loaded_bytes():
    """Import what tasks need, and return what the process then holds."""
    import mfdask.models
    import mfdask.recommendation  # noqa: F401

    return psutil.Process().memory_info().rss


def test_no_memory_limit():
    config = ClusterConfig(threads=1, memory_limit="0", dashboard_address="127.0.0.1:0")
    with open_cluster(config) as client:
        (worker,) = client.scheduler_info(n_workers=-1)["workers"].values()
    assert not worker["memory_limit"]


def test_a_cluster_leaves_the_environment_as_it_was():
    before = dict(os.environ)
    with open_cluster(ClusterConfig(workers=1, threads=1, dashboard_address="127.0.0.1:0")):
        pass
    after = dict(os.environ)
    for name in ("DASK_LOGGING__DISTRIBUTED", "PYTHONWARNINGS"):
        assert after.get(name) == before.get(name)


def test_libraries_log_nothing_of_their_own_meanwhile():
    given = [
        handler
        for name in ("distributed", "bokeh", "tornado", "tornado.application")
        for handler in logging.getLogger(name).handlers
        if type(handler) is logging.StreamHandler
    ]
    assert len(given) >= 4  # by Dask, when it is imported
    with open_cluster(ClusterConfig(threads=1, dashboard_address="127.0.0.1:0")):
        assert {handler.level for handler in given} == {logging.CRITICAL}
