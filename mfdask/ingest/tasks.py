"""Where the tasks of an ingest run: on a Dask cluster, or in threads of this process."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mfdask.cores import n_cores
from mfdask.errors import RefusedError
from mfdask.progress import Progress
from mfdask.ratings.source import Source

if TYPE_CHECKING:
    from distributed import Client


#: Rows that threads of one process take in before the workers of a cluster are there.
FEW_ROWS = 2_000_000


class Handle(Protocol):
    """Stands for what a task makes, which is kept for as long as the handle is."""

    def result(self) -> Any:
        """Wait for the task and return what it made, or raise its error."""


class Tasks(ABC):
    """Starts the tasks of one job, under names that read as the work they are."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @abstractmethod
    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Handle:
        """Start ``task(*args)``; handles among the arguments, or in lists there, are waited for."""

    @abstractmethod
    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Start ``task()``, for which nobody waits."""

    @abstractmethod
    def _gather(self, handles: list[Any]) -> list[Any]:
        """Return what tasks made."""

    @abstractmethod
    def _completed(self, handles: list[Any]) -> Iterator[None]:
        """Yield whenever one more task has ended well; raise the first error."""

    @abstractmethod
    def _cancel(self, handles: list[Any]) -> None:
        """Let tasks that have not begun never begin."""

    def results(self, handles: Sequence[Handle]) -> list[Any]:
        """Wait for tasks that take no time worth showing, and return what they made."""
        with self.cancelling(handles):
            return self._gather(list(handles))

    def finish(self, stage: str, handles: Sequence[Handle]) -> list[Any]:
        """Wait for tasks, report how far they are, and return what they made, in their order.

        The first error ends the wait, cancels what has not begun, and is raised.
        """
        self._progress(stage, 0, len(handles))
        with self.cancelling(handles):
            for done, _ in enumerate(self._completed(list(handles)), start=1):
                self._progress(stage, done, len(handles))
            return self._gather(list(handles))

    @contextmanager
    def cancelling(self, handles: Sequence[Handle] = ()) -> Iterator[None]:
        """Cancel tasks at any error in the block; in threads, end all that there are."""
        try:
            yield
        except BaseException:
            self._cancel(list(handles))
            raise


class ClusterTasks(Tasks):
    """Submits tasks to a cluster; what they make stays on its workers."""

    def __init__(self, client: Client, progress: Progress) -> None:
        super().__init__(progress)
        self._client = client
        self._token = uuid.uuid4().hex[:8]

    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Handle:
        """Submit the task."""
        return self._client.submit(task, *args, key=f"{name}-{self._token}")

    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Submit the task and forget it."""
        from distributed import fire_and_forget

        fire_and_forget(self.submit(name, task))

    def _gather(self, handles: list[Any]) -> list[Any]:
        return self._client.gather(handles)

    def _completed(self, handles: list[Any]) -> Iterator[None]:
        from distributed import as_completed

        for handle in as_completed(handles):
            if handle.status == "error":
                handle.result()
            yield

    def _cancel(self, handles: list[Any]) -> None:
        self._client.cancel(handles)


class ThreadTasks(Tasks):
    """Runs tasks in threads, in the order in which they come.

    One that waits for another's result holds its thread meanwhile. That other one has come before,
    so it has a thread already: some task always runs.
    """

    def __init__(self, pool: ThreadPoolExecutor, progress: Progress) -> None:
        super().__init__(progress)
        self._pool = pool

    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Handle:
        """Put the task behind the others."""
        return self._pool.submit(lambda: task(*map(_made, args)))

    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Put the task behind the others."""
        self._pool.submit(task)

    def _gather(self, handles: list[Any]) -> list[Any]:
        return [handle.result() for handle in handles]

    def _completed(self, handles: list[Any]) -> Iterator[None]:
        for handle in as_completed(handles):
            handle.result()
            yield

    def _cancel(self, handles: list[Any]) -> None:
        """End all: what runs is waited for, since it writes files that are cleared away next."""
        self._pool.shutdown(cancel_futures=True)


def _made(value: Any) -> Any:
    """Return what a task is given: results in place of handles."""
    if isinstance(value, Future):
        return value.result()
    return [_made(one) for one in value] if isinstance(value, list) else value


def are_few(sources: Sequence[Source]) -> bool:
    """Tell whether sources are taken in sooner without a cluster than one has started."""
    return sum(source.n_rows for source in sources) <= FEW_ROWS


@contextmanager
def tasks_on(client: Client | None, progress: Progress) -> Iterator[Tasks]:
    """Yield what starts tasks: on the workers of `client`, or in this process if it is None.

    Raises
    ------
    RefusedError
        If workers die again and again.
    """
    if client is None:
        pool = ThreadPoolExecutor(n_cores())
        try:
            yield ThreadTasks(pool, progress)
        finally:
            pool.shutdown(cancel_futures=True)
        return
    from distributed import KilledWorker

    try:
        yield ClusterTasks(client, progress)
    except KilledWorker as error:
        raise RefusedError(
            "workers died again and again, most likely for want of memory; raise --memory-limit, "
            "use fewer --workers, or cut more --blocks"
        ) from error
