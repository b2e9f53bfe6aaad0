"""Start a local Dask cluster, or join a running one, and run solver tasks on it.

Dask is loaded where it is asked for: a little data is taken in before it would be there.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfdask.cores import n_cores
from mfdask.errors import InputError, RefusedError, require
from mfdask.parameters import Parametrised, parameter

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

#: Tasks that run parallel kernels hold this resource, so that one runs at a time per worker: its
#: Numba threads then fill the worker's cores, and no two of them enter the threading layer at once.
SOLVER = "solver"

#: A worker that is told to stop complains of the scheduler it lost, and of each task that fails;
#: errors of tasks reach the client all the same. It takes this from its environment alone, since
#: logging begins when Dask is imported.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical", "PYTHONWARNINGS": "ignore"}

#: How long a remote scheduler may take to answer.
TIMEOUT = "10s"

#: Bytes that a worker may be limited to at least. It holds 62 MiB when it starts, 194 MiB once it
#: has imported what tasks need, and 490 MiB once it has compiled the kernels, before any data.
#: Above 80 % of its limit Dask lets it begin nothing more: with less it could wait for ever.
LEAST_MEMORY = 700_000_000


@dataclass(frozen=True)
class ClusterConfig(Parametrised):
    """The cluster that tasks run on: local workers, or a running scheduler."""

    workers: int = parameter(1, "Worker processes to start on this machine.", at_least=1)
    threads: int | None = parameter(
        None, "Threads of each worker.  [default: the cores, shared out evenly]", at_least=1
    )
    memory_limit: str = parameter(
        "auto", "Memory a worker may hold, such as 4GB; auto shares it out evenly, 0 sets no limit."
    )
    scheduler: str | None = parameter(
        None,
        "Use the running Dask cluster at ADDRESS, such as tcp://host:8786, and start no workers.",
        metavar="ADDRESS",
    )
    dashboard_address: str = parameter(
        "127.0.0.1:8787",
        "Where the dashboard listens, host:port; any free port, if that one is in use.",
    )
    dashboard_allow: str = parameter(
        "",
        "Names of hosts by which browsers may ask for the dashboard, beside localhost, this "
        "machine's name and addresses; joined by commas.",
        metavar="HOST,…",
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, or no worker could live with."""
        super().__post_init__()
        if self.memory_limit != "auto":
            _check_memory(self.memory_limit)


#: Bytes of address space that a process of a cluster needs: with 1.0 GB a fit of 15,000 ratings
#: begins and never ends, since the worker gets no thread; with 1.5 GB it ends.
LEAST_ADDRESS_SPACE = 1_500_000_000


@contextmanager
def open_cluster(config: ClusterConfig | None = None) -> Iterator[Client]:
    """Start the local cluster, or join the remote one, for as long as the block runs.

    Yields
    ------
    Client

    Raises
    ------
    InputError
        If the scheduler cannot be reached, or none of its workers offers the resource `SOLVER`.
    RefusedError
        If a limit of address space leaves a local worker too little.
    """
    import dask
    from distributed import Client, LocalCluster

    import mfdask.kernels  # noqa: F401 - chooses the folder of compiled code for all workers

    config = config or ClusterConfig()
    if config.scheduler is not None:
        with closing(_join(config.scheduler)) as client, _watched(client):
            yield client
        return
    _check_address_space()
    threads = config.threads or max(1, n_cores() // config.workers)
    settings = {
        **{f"distributed.nanny.pre-spawn-environ.{name}": said for name, said in _QUIET.items()},
        "logging": {"distributed": "critical"},
        # Blocks are of one size and have homes: for one that is taken elsewhere rows travel there,
        # and back for the next half-step.
        "distributed.scheduler.work-stealing": False,
        # Every 10 ms, as it comes, the dashboard's profile takes some 7 % of an ingest.
        "distributed.worker.profile.interval": "100ms",
    }
    with (
        _kept_environment(),
        dask.config.set(settings),
        LocalCluster(
            n_workers=config.workers,
            threads_per_worker=threads,
            memory_limit=config.memory_limit,
            dashboard_address=_free_address(config.dashboard_address),
            resources={SOLVER: 1},
            silence_logs=logging.ERROR,
        ) as cluster,
        _guarded(cluster, config.dashboard_allow),
        Client(cluster) as client,
        _watched(client),
    ):
        yield client


def _check_address_space() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise RefusedError(
            f"a process may take {limit / 1e9:.1f} GB of address space (ulimit -v), and a worker "
            f"needs {LEAST_ADDRESS_SPACE / 1e9:.1f} GB; raise that limit, or join a cluster "
            "elsewhere with `scheduler`"
        )


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Take back what nannies leave in this process for their workers: later programs inherit it."""
    before = {name: os.environ.get(name) for name in _QUIET}
    try:
        yield
    finally:
        for name, said in before.items():
            os.environ.pop(name, None)
            if said is not None:
                os.environ[name] = said


def dashboard_link(client: Client) -> str:
    """Return the address of a cluster's dashboard; empty where there is none."""
    try:
        return client.dashboard_link or ""
    except KeyError:  # of a scheduler that was started without one
        return ""


@contextmanager
def _guarded(cluster: LocalCluster, allow: str) -> Iterator[None]:
    """Let the dashboard answer to no other site's pages."""
    from mfdask.watch.guard import Guard

    server = cluster.scheduler.http_server
    names = [name.strip() for name in allow.split(",") if name.strip()]
    server.request_callback = Guard(server.request_callback, names)
    yield


@contextmanager
def _watched(client: Client) -> Iterator[None]:
    """Show the page of `mfdask.watch` on the dashboard, and let `dashboard_link` lead to it."""
    import dask

    from mfdask.watch import PATH, show_page

    link = dask.config.get("distributed.dashboard.link")
    if show_page(client) and link.endswith("/status"):
        link = link.removesuffix("/status") + PATH
    with dask.config.set({"distributed.dashboard.link": link}):
        yield


def _join(address: str) -> Client:
    client = _reach(address)
    if isinstance(client, str):
        # What Dask has half made stops its loop when it is collected. In the thread of a loop that
        # is just starting it would wait for that very start, and both would fail: so now.
        gc.collect()
        raise InputError(
            f"`scheduler` {address}: no Dask scheduler answers there ({client}); start one with "
            "`dask scheduler`, or leave it out to use this machine"
        )
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not any(SOLVER in worker["resources"] for worker in workers.values()):
        client.close()
        raise InputError(
            f"`scheduler` {address}: none of its {len(workers)} workers can solve; start them with "
            f'`dask worker {address} --resources "{SOLVER}=1"`'
        )
    return client


def _reach(address: str) -> Client | str:
    """Return a client of a scheduler, or why there is none."""
    from distributed import Client

    try:
        return Client(address, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        return str(error)


def _check_memory(limit: str) -> None:
    from dask.utils import parse_bytes

    try:
        size = parse_bytes(limit)
    except (ValueError, OverflowError):
        size = -1
    require(size >= 0, "memory_limit", limit, "a size such as 4GB, or auto")
    least = f"{LEAST_MEMORY / 1e6:.0f}MB or more (a worker needs that before it holds any data)"
    require(size == 0 or size >= LEAST_MEMORY, "memory_limit", limit, f"{least}, or auto")


def _free_address(address: str) -> str:
    """Return `address`, with port 0 (any free one) in place of a port that is in use."""
    host, _, port = address.rpartition(":")
    host = host or "127.0.0.1"
    if not (port.isdigit() and int(port) < 2**16):
        raise InputError(f"`dashboard_address` {address}: write it as host:port, 0 to 65535")
    with closing(socket.socket()) as probe:
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return f"{host}:{port}"
