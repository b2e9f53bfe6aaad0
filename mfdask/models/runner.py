"""Where a fit's tasks run: in this process, or on a Dask cluster."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from distributed import Client, Worker, wait

from mfdask.cluster import SOLVER, solve
from mfdask.models.mapped import ShardRef
from mfdask.shards import Dataset, Shard
from mfdask.watch import ProgressPublisher, SweepEvent

if TYPE_CHECKING:
    from mfdask.models.fitted import Sweep
    from mfdask.models.method import Method


class Runner(Protocol):
    """Takes tasks and hands back handles, which are arguments of later tasks.

    `ahead` is how many sweeps are handed over before the first of them is waited for; `workers` are
    the addresses of the processes that tasks are spread over, none in this one.
    """

    ahead: int
    workers: list[str]

    def shard(
        self,
        data: Dataset,
        side: str,
        block: int,
        part: str = "train",
        group: range | None = None,
    ) -> Shard | ShardRef:
        """Return what a task is given to find a shard; see `ShardRef`."""

    def dataset(self, data: Dataset) -> Dataset | str:
        """Return what a task is given to find the data set."""

    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Any:
        """Start a task, on the worker `home` as long as there is one."""

    def result(self, handle: Any) -> Any:
        """Wait for a task and return what it made."""

    def sent(self) -> dict[str, int]:
        """Return the bytes that each worker has sent to others by now, by its address."""

    def tell(self, method: Method, data: Dataset, sweep: Sweep, moved: Mapping[str, int]) -> None:
        """Tell whoever watches that a sweep has ended, and what each worker has sent in it."""


class LocalRunner:
    """Runs each task at once, in this process."""

    ahead = 1

    def __init__(self) -> None:
        self.workers: list[str] = []

    def shard(
        self,
        data: Dataset,
        side: str,
        block: int,
        part: str = "train",
        group: range | None = None,
    ) -> Shard:
        """Return the shard itself: nothing travels, and nothing is packed."""
        return data.shard(side, block, part)

    def dataset(self, data: Dataset) -> Dataset:
        """Return the data set itself."""
        return data

    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Any:
        """Run the task and return its result."""
        return task(*args)

    def result(self, handle: Any) -> Any:
        """Return the handle, which is the result."""
        return handle

    def sent(self) -> dict[str, int]:
        """Return nothing: there are no workers."""
        return {}

    def tell(self, method: Method, data: Dataset, sweep: Sweep, moved: Mapping[str, int]) -> None:
        """Tell nobody."""


class DaskRunner:
    """Submits each task to a cluster. Shards stay where they are mapped; only rows of factors move.

    A block's next half-step tends to run where its last one left its rows. A home makes sure of it,
    but binds it to nothing: a task that is bound to a worker and wants a resource is never run once
    that worker has died.
    The next sweep is handed over before the last one is waited for, so that the solver never idles.
    """

    ahead = 2

    def __init__(self, client: Client) -> None:
        self._client = client
        self._token = uuid.uuid4().hex[:8]
        self._teller = ProgressPublisher(client)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        self.workers = sorted(a for a, worker in workers.items() if SOLVER in worker["resources"])

    def shard(
        self,
        data: Dataset,
        side: str,
        block: int,
        part: str = "train",
        group: range | None = None,
    ) -> ShardRef:
        """Return the shard's address."""
        return ShardRef(self.dataset(data), data.fingerprint, side, block, part, group)

    def dataset(self, data: Dataset) -> str:
        """Return the data set's address."""
        assert data.address is not None
        return data.address

    def submit(
        self, name: str, task: Callable[..., Any], *args: Any, home: str | None = None
    ) -> Any:
        """Submit the task under `name` and return its future."""
        key = f"{name}-{self._token}"
        place = {} if home is None else {"workers": [home], "allow_other_workers": True}
        return self._client.submit(solve, task, *args, key=key, resources={SOLVER: 1}, **place)

    def result(self, handle: Any) -> Any:
        """Gather the future's result."""
        wait([handle])
        return handle.result()

    def sent(self) -> dict[str, int]:
        """Ask the workers; one alone has nobody to send to."""
        if len(self.workers) < 2:
            return {}
        return self._client.run(_sent, on_error="ignore")  # a worker may be about to die

    def tell(self, method: Method, data: Dataset, sweep: Sweep, moved: Mapping[str, int]) -> None:
        """Tell the scheduler, for its dashboard."""
        told = SweepEvent(
            self._token, method.kind, data.name, data.manifest.created, sweep.sweep,
            method.n_sweeps, sweep.train_rmse, sweep.test_rmse, sweep.seconds, data.n_train,
            moved,
        )  # fmt: skip
        self._teller.tell(told)


def _sent(dask_worker: Worker) -> int:
    return int(dask_worker.transfer_outgoing_bytes_total)


def runner_for(data: Dataset, client: Client | None) -> Runner:
    """Return a runner on `client`, or in this process where there is none or no files to share."""
    return LocalRunner() if client is None or data.address is None else DaskRunner(client)
