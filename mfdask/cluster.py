"""Start a local Dask cluster, or join a running one, and run solver tasks on it.

Dask is loaded where it is asked for: a little data is taken in before it would be there.
"""

from __future__ import annotations

import errno
import gc
import logging
import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from mfdask.cores import n_cores
from mfdask.errors import ClusterError, InputError, require
from mfdask.memory import require_address_space
from mfdask.parameters import Parametrised, parameter
from mfdask.supervision import PATIENCE

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

#: Tasks that run parallel kernels hold this resource, so that one runs at a time per worker: its
#: Numba threads then fill the worker's cores, and no two of them enter the threading layer at once.
SOLVER = "solver"

#: A worker that is told to stop complains of the scheduler it lost, and of each task that fails;
#: errors of tasks reach the client all the same. It takes this from its environment alone, since
#: logging begins when Dask is imported.
_QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical", "PYTHONWARNINGS": "ignore"}

#: Ratings that are worked on in one process before the workers of a cluster are there.
FEW_RATINGS = 2_000_000

#: How long a remote scheduler may take to answer.
TIMEOUT = "10s"

#: How long the dashboard may.
_SECONDS_TO_ANSWER = 5.0

#: Bytes that a worker may be limited to at least. It holds 62 MiB when it starts, 194 MiB once it
#: has imported what tasks need, and 490 MiB once it has compiled the kernels, before any data.
#: Above 80 % of its limit Dask lets it begin nothing more: with less it could wait for ever.
LEAST_MEMORY = 700_000_000


@dataclass(frozen=True)
class ClusterConfig(Parametrised):
    """The cluster that tasks run on: local workers, or a running scheduler.

    Examples
    --------
    >>> from mfdask import ClusterConfig, open_cluster
    >>> with open_cluster(ClusterConfig(workers=2)) as client:  # doctest: +SKIP
    ...     model = ALS().fit(data, client=client)
    """

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
    patience: float = parameter(
        300.0,
        "Seconds after which a cluster at which nothing moves is given up: no worker is left, "
        "none answers, or none has memory to begin anything.",
        at_least=1,
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

    def pays_for(self, n_ratings: int) -> bool:
        """Tell whether it is worth its start for so many ratings.

        Whoever asks for anything of a cluster gets it.
        """
        return self != ClusterConfig() or n_ratings > FEW_RATINGS


@contextmanager
def open_cluster(config: ClusterConfig | None = None) -> Iterator[Client]:
    """Start the local cluster, or join the remote one, for as long as the block runs.

    Yields
    ------
    Client

    Raises
    ------
    InputError
        If the scheduler cannot be reached, none of its workers offers the resource `SOLVER`, or one
        has another mfdask.
    ClusterError
        If a worker does not start.
    RefusedError
        If a limit of address space leaves a local worker too little.
    """
    import dask

    import mfdask.kernels  # noqa: F401 - chooses the folder of compiled code for all workers

    config = config or ClusterConfig()
    with dask.config.set({PATIENCE: config.patience}), _silent_libraries():
        where = _local(config) if config.scheduler is None else closing(_join(config.scheduler))
        with where as client, _timed(client), _watched(client):
            yield client


@contextmanager
def _local(config: ClusterConfig) -> Iterator[Client]:
    """Start workers of this machine, for as long as the block runs."""
    import dask
    from distributed import Client

    require_address_space()
    settings = {
        **{f"distributed.nanny.pre-spawn-environ.{name}": said for name, said in _QUIET.items()},
        "logging": {"distributed": "critical"},
        # Blocks are of one size and have homes: for one that is taken elsewhere rows travel there,
        # and back for the next half-step.
        "distributed.scheduler.work-stealing": False,
        # Every 10 ms, as it comes, the dashboard's profile takes some 7 % of an ingest.
        "distributed.worker.profile.interval": "100ms",
        # A worker that stops in the middle is replaced, before all is given up.
        "distributed.scheduler.worker-ttl": config.patience / 3,
    }
    with (
        _kept_environment(),
        dask.config.set(settings),
        _start_workers(config) as cluster,
        _guarded(cluster, config.dashboard_allow),
        Client(cluster) as client,
    ):
        yield client


def _start_workers(config: ClusterConfig) -> LocalCluster:
    from distributed import LocalCluster

    address, before = _free_address(config.dashboard_address), multiprocessing.active_children()
    try:
        return LocalCluster(
            n_workers=config.workers,
            threads_per_worker=config.threads or max(1, n_cores() // config.workers),
            memory_limit=config.memory_limit,
            dashboard_address=address,
            resources={SOLVER: 1},
            silence_logs=_log_level(),
            death_timeout=config.patience,
        )
    except BaseException as error:
        # One that has stopped in the middle ends in no other way, and the process waits for it.
        for child in set(multiprocessing.active_children()) - set(before):
            child.kill()
        if isinstance(error, RuntimeError):
            raise _not_started(f"{error}".rstrip(".")) from error
        if isinstance(error, TimeoutError | AssertionError):
            raise _not_started(f"within {config.patience:,g} seconds (`patience`)") from error
        raise


def _not_started(reason: str) -> ClusterError:
    return ClusterError(
        f"the workers have not started: {reason}; run this again, with fewer `workers` if memory "
        "is short"
    )


def _log_level() -> int:
    """Return from where on Dask may log: its errors reach the client as exceptions all the same."""
    debugs = logging.getLogger().isEnabledFor(logging.INFO)
    return logging.ERROR if debugs else logging.CRITICAL


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Let what Dask has given handlers of its own log no more than `_log_level` says."""
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        for name in ("distributed", "bokeh", "tornado", "tornado.application"):
            stack.enter_context(silence_logging_cmgr(_log_level(), name))
        yield


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


@contextmanager
def _timed(client: Client) -> Iterator[None]:
    """Add what the worker that compiled longest took for it to this process's own time."""
    from mfdask.kernels.clock import CLOCK

    before = _compile_seconds(client)
    yield
    after = _compile_seconds(client)
    CLOCK.seconds += max((n - before.get(who, 0.0) for who, n in after.items()), default=0.0)


def _compile_seconds(client: Client) -> dict[str, float]:
    """Return what each worker has spent compiling; of those that do not answer, nothing."""
    from dask.utils import parse_timedelta

    from mfdask.kernels.clock import compile_seconds

    if client.status != "running" or client.scheduler is None:
        return {}
    limit = {"callback_timeout": parse_timedelta(TIMEOUT)}
    try:
        found: dict[str, float] = client.run(compile_seconds, on_error="ignore", **limit)
    except (OSError, RuntimeError, TimeoutError):  # the cluster is gone, or at a standstill
        return {}
    return found


def dashboard_link(client: Client) -> str:
    """Return the address of a cluster's dashboard; empty where none answers."""
    try:
        link = client.dashboard_link or ""
    except KeyError:
        return ""
    return link if link and _answers(link) else ""


def _answers(link: str) -> bool:
    """Whether Bokeh does; a scheduler without it, or without a dashboard, listens there too."""
    import ssl
    from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

    anyones = HTTPSHandler(context=ssl._create_unverified_context())  # nothing is told or believed
    opener = build_opener(ProxyHandler({}), anyones)
    asked = Request(urljoin(link, "static/js/bokeh.min.js"), method="HEAD")
    try:
        with opener.open(asked, timeout=_SECONDS_TO_ANSWER):
            return True
    except (OSError, ValueError):
        return False


@contextmanager
def _guarded(cluster: LocalCluster, allow: str) -> Iterator[None]:
    """Let the dashboard answer to no other site's pages."""
    from mfdask.watch.guard import Guard

    server = cluster.scheduler.http_server
    server.request_callback = Guard(server.request_callback, allow, "dashboard_allow")
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
        mend = (
            "check its certificates and your own (TLS in docs/scaling.md)"
            if address.startswith("tls:")
            else "start one with `dask scheduler`, or leave it out to use this machine"
        )
        raise InputError(
            f"`scheduler` {address}: no Dask scheduler answers there ({client}); {mend}"
        )
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not any(SOLVER in worker["resources"] for worker in workers.values()):
        client.close()
        raise InputError(
            f"`scheduler` {address}: none of its {len(workers)} workers can solve; start them with "
            f'`dask worker {address} --resources "{SOLVER}=1"`'
        )
    if wrong := _wrong_version(client):
        client.close()
        raise InputError(f"`scheduler` {address}: {wrong}")
    return client


def _wrong_version(client: Client) -> str:
    """Return which worker lacks the mfdask of this process; empty where all have it."""
    from dask.utils import parse_timedelta

    own = version("mfdask")
    asked = {"op": "versions", "packages": ["mfdask"]}
    try:
        said = client.sync(
            client.scheduler.broadcast,
            msg=asked,
            on_error="ignore",
            callback_timeout=parse_timedelta(TIMEOUT),
        )
    except TimeoutError:  # of a worker that hangs; others may do
        return ""
    for worker, found in said.items():
        other = found["packages"].get("mfdask")
        if other != own:
            has = f"mfdask {other}" if other else "no mfdask"
            return f"its worker {worker} has {has}, this job mfdask {own}; install the same there"
    return ""


def _reach(address: str) -> Client | str:
    """Return a client of a scheduler, or why there is none."""
    from distributed import Client

    try:
        return Client(address, timeout=TIMEOUT)
    except TypeError:  # of a connection by TLS without anything to make it with
        return "this account has no certificate set"
    except (OSError, ValueError, RuntimeError) as error:
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
    name = host.strip("[]")
    with closing(socket.socket(socket.AF_INET6 if ":" in name else socket.AF_INET)) as probe:
        try:
            probe.bind((name, int(port)))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return f"{host}:0"
            why = error.strerror
            raise InputError(
                f"`dashboard_address` {address}: cannot listen there ({why})"
            ) from None
    return f"{host}:{port}"
