"""Executors of tasks: in this process, in threads of it, or on a Dask cluster.

A task is a plain function. What it returns stays where it ran, and a handle stands for it: as an
argument of later tasks, or to be waited for. Dask is loaded only where there is a cluster.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from mfdask.cluster import SOLVER
from mfdask.cores import n_cores
from mfdask.errors import InputError, RefusedError
from mfdask.progress import Progress, silent
from mfdask.supervision import supervised

if TYPE_CHECKING:
    from distributed import Client


class Handle(Protocol):
    """Stands for what a task returns, which is kept for as long as the handle is."""

    def result(self) -> Any:
        """Wait for the task and return what it returned, or raise its error."""


class Reference(ABC):
    """Names something on disk, so that a task carries its address and not its bytes.

    Among the arguments of a task, what it names takes its place before the task is called.
    """

    @abstractmethod
    def open(self) -> Any:
        """Return what is named.

        Raises
        ------
        InputError
            If it is gone, or something else has taken its place.
        """


class Executor(ABC):
    """Runs the tasks of one job, under names that read as the work they do.

    Attributes
    ----------
    client : distributed.Client or None
        None where tasks run in this process.
    workers : list of str
        Addresses of the processes that tasks are spread over; empty in this process.
    lookahead : int
        How many steps of a loop are worth submitting before the first of them is waited for.
    token : str
        What the names of this job's tasks end with.
    """

    client: Client | None = None
    lookahead = 1

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._n_maps = 0
        self.workers: list[str] = []
        self.token = uuid.uuid4().hex[:8]

    @abstractmethod
    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Handle:
        """Start ``task(*args)``, on the worker `home` as long as there is one.

        Handles among the arguments, or in lists there, are waited for; references are opened.
        """

    @abstractmethod
    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Start ``task()``, for which nobody waits."""

    def compute(
        self, task: Callable[..., Any], arguments: Mapping[str, tuple[Any, ...]]
    ) -> list[Handle]:
        """Compute a graph of Dask's as a whole: a task for each name, whose first argument it has.

        Parameters
        ----------
        task : callable
        arguments : mapping
            Name of a task to its arguments, the first of which is a `dask.delayed.Delayed`.
        """
        from dask.delayed import delayed
        from distributed import futures_of

        graph = [
            delayed(task, pure=False)(*own, dask_key_name=f"{name}-{self.token}")
            for name, own in arguments.items()
        ]
        held = futures_of(graph)  # of a persisted frame: its own cluster has them
        return self._computed(graph, held[0].client if held else None)

    def _computed(self, graph: list[Any], client: Client | None) -> list[Handle]:
        """Compute a graph, on the cluster of `client` where that holds some of it."""
        from dask import compute

        found = client.compute(graph, sync=True) if client else compute(*graph, **self._where())
        return [_Done(value) for value in found]

    def _where(self) -> dict[str, Any]:
        """Return where Dask computes if there is no cluster."""
        return {"scheduler": "synchronous"}

    @abstractmethod
    def _completed(self, handles: list[Any]) -> Iterator[None]:
        """Yield whenever one more task has ended well; raise the first error."""

    @abstractmethod
    def _cancel(self, handles: list[Any]) -> None:
        """Let tasks that have not begun never begin."""

    def _gather(self, handles: list[Any]) -> list[Any]:
        return [handle.result() for handle in handles]

    def bytes_sent(self) -> dict[str, int]:
        """Return the bytes that each worker has sent to others by now, by its address."""
        return {}

    def results(self, handles: Sequence[Handle]) -> list[Any]:
        """Wait for tasks that take no time worth showing, and return what they returned."""
        with self.cancelling(handles):
            return self._gather(list(handles))

    def finish(self, stage: str, handles: Sequence[Handle]) -> list[Any]:
        """Wait for tasks, report how far they are, and return what they returned, in their order.

        The first error ends the wait, cancels what has not begun, and is raised.
        """
        self._progress(stage, 0, len(handles))
        with self.cancelling(handles):
            for done, _ in enumerate(self._completed(list(handles)), start=1):
                self._progress(stage, done, len(handles))
            return self._gather(list(handles))

    def submit_each(
        self,
        stem: str,
        task: Callable[..., Any],
        arguments: Iterable[tuple[Any, ...]],
        home: Callable[[int], str | None] | None = None,
    ) -> list[Handle]:
        """Submit a task once for each tuple of arguments, named by `stem` and its number.

        `home` returns the worker of each number.
        """
        return [
            self.submit(f"{stem}-{n}", task, *own, home=home(n) if home else None)
            for n, own in enumerate(arguments)
        ]

    def map(
        self, stage: str, task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> list[Any]:
        """Run a task once for each tuple of arguments; otherwise as `finish`."""
        self._n_maps += 1  # two of one stage are not to share their tasks' names
        return self.finish(stage, self.submit_each(f"{stage}-{self._n_maps}", task, arguments))

    @contextmanager
    def cancelling(self, handles: Sequence[Handle] = ()) -> Iterator[None]:
        """Cancel tasks at any error in the block; in threads, end all that there are."""
        try:
            yield
        except BaseException:
            self._cancel(list(handles))
            raise


@dataclass(frozen=True)
class _Done:
    """The handle of a task that has run already."""

    value: Any

    def result(self) -> Any:
        return self.value


class LocalExecutor(Executor):
    """Runs each task at once, in the calling thread."""

    def __init__(self, progress: Progress = silent) -> None:
        super().__init__(progress)

    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Handle:
        """Run the task."""
        return _Done(_call(task, *args))

    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Run the task."""
        task()

    def map(
        self, stage: str, task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> list[Any]:
        """Run the tasks one after the other."""
        every = list(arguments)
        found = []
        self._progress(stage, 0, len(every))
        for done, own in enumerate(every, start=1):
            found.append(_call(task, *own))
            self._progress(stage, done, len(every))
        return found

    def _completed(self, handles: list[Any]) -> Iterator[None]:
        yield from (None for _ in handles)

    def _cancel(self, handles: list[Any]) -> None:
        """Nothing is left to cancel."""


class ThreadExecutor(Executor):
    """Runs tasks in threads, in the order in which they come.

    One that waits for another's result holds its thread meanwhile. That other one has come before,
    so it has a thread already: some task always runs.
    """

    def __init__(self, pool: ThreadPoolExecutor, progress: Progress = silent) -> None:
        super().__init__(progress)
        self._pool = pool

    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Handle:
        """Put the task behind the others."""
        return self._pool.submit(_call, task, *args)

    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Put the task behind the others."""
        self._pool.submit(task)

    def _where(self) -> dict[str, Any]:
        return {"scheduler": "threads", "pool": self._pool}

    def _completed(self, handles: list[Any]) -> Iterator[None]:
        for handle in as_completed(handles):
            handle.result()
            yield

    def _cancel(self, handles: list[Any]) -> None:
        """End all: what runs is waited for, since it writes files that are cleared away next."""
        self._pool.shutdown(cancel_futures=True)


class ClusterExecutor(Executor):
    """Submits tasks to a cluster; what they return stays on its workers.

    A task that follows another's result tends to run where that lies. A home makes sure of it, but
    binds the task to nothing: one that is bound to a worker and wants a resource is never run once
    that worker has died.

    Parameters
    ----------
    client : distributed.Client
    progress : Progress, optional
    parallel : bool
        Whether each task fills the cores of its worker: then one runs at a time on each.
    """

    lookahead = 2  # so that workers never wait for the client

    def __init__(
        self, client: Client, progress: Progress = silent, *, parallel: bool = True
    ) -> None:
        super().__init__(progress)
        self.client: Client = client
        self._parallel = parallel
        self._options: dict[str, Any] = {"resources": {SOLVER: 1}} if parallel else {}
        workers = client.scheduler_info(n_workers=-1)["workers"]
        self.workers = sorted(a for a, worker in workers.items() if SOLVER in worker["resources"])

    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Handle:
        """Submit the task."""
        place = {} if home is None else {"workers": [home], "allow_other_workers": True}
        call = _call_parallel if self._parallel else _call
        key = f"{name}-{self.token}"
        return self.client.submit(call, task, *args, key=key, **self._options, **place)

    def _computed(self, graph: list[Any], client: Client | None) -> list[Handle]:
        if client not in (None, self.client):
            raise InputError(
                "a frame is persisted on another cluster; give its client, or the frame before "
                "persist()"
            )
        return cast("list[Handle]", self.client.compute(graph, **self._options))

    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Submit the task and forget it."""
        from distributed import fire_and_forget

        fire_and_forget(self.submit(name, task))

    def bytes_sent(self) -> dict[str, int]:
        """Ask the workers; one alone has nobody to send to."""
        if len(self.workers) < 2:
            return {}
        return self.client.run(_bytes_sent, on_error="ignore")  # a worker may be about to die

    def _gather(self, handles: list[Any]) -> list[Any]:
        return self.client.gather(handles)

    def _completed(self, handles: list[Any]) -> Iterator[None]:
        from distributed import as_completed

        for handle in as_completed(handles):
            if handle.status == "error":
                handle.result()
            yield

    def _cancel(self, handles: list[Any]) -> None:
        if self.client.status == "running":  # one that closes answers nobody, and holds no task
            self.client.cancel(handles)


def _bytes_sent(dask_worker: Any) -> int:
    return int(dask_worker.transfer_outgoing_bytes_total)


def _call(task: Callable[..., Any], *args: Any) -> Any:
    return task(*map(_opened, args))


def _call_parallel(task: Callable[..., Any], *args: Any) -> Any:
    """Run a task in a worker's thread, with as many Numba threads as the worker has.

    The nanny keeps BLAS to one thread, but Numba would use every core of the machine in each of
    several workers.
    """
    import numba  # here: the client of an ingest never needs it
    from distributed import get_worker

    threads = get_worker().state.nthreads
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # of this thread alone
    return _call(task, *args)


def _opened(value: Any) -> Any:
    """Return what a task is given: results in place of handles, and what references name."""
    if isinstance(value, Reference):
        return value.open()
    if isinstance(value, Future | _Done):
        return _opened(value.result())
    return [_opened(one) for one in value] if isinstance(value, list) else value


@contextmanager
def executor(
    client: Client | None, progress: Progress = silent, *, parallel: bool = True
) -> Iterator[Executor]:
    """Yield what runs tasks: on the workers of `client`, or in this process if it is None.

    Parameters
    ----------
    client : distributed.Client or None
    progress : Progress, optional
        Told how far `finish` and `map` are.
    parallel : bool
        Whether each task fills all cores by itself. Then tasks run one after the other, in this
        process or on each worker; else they run side by side in threads.

    Raises
    ------
    RefusedError
        If workers die again and again, the cluster is gone, or nothing moves there for too long.
    """
    if client is None:
        if parallel:
            yield LocalExecutor(progress)
            return
        pool = ThreadPoolExecutor(n_cores())
        try:
            yield ThreadExecutor(pool, progress)
        finally:
            pool.shutdown(cancel_futures=True)
        return
    from distributed import KilledWorker

    try:
        with supervised(client):
            yield ClusterExecutor(client, progress, parallel=parallel)
    except KilledWorker as error:
        raise RefusedError(
            "workers died again and again, most likely for want of memory; raise `memory_limit`, "
            "use fewer `workers`, or cut the data set into more `blocks`"
        ) from error
