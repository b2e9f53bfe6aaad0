"""Where a fit's tasks run: in this process, or on a Dask cluster."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Protocol

from distributed import Client, wait

from mfdask.cluster import SOLVER, solve
from mfdask.models.half_step import ShardRef
from mfdask.shards import Dataset, Shard


class Runner(Protocol):
    """Takes tasks and hands back handles, which are arguments of later tasks.

    `ahead` is how many sweeps are handed over before the first of them is waited for.
    """

    ahead: int

    def shard(self, data: Dataset, side: str, block: int, part: str = "train") -> Shard | ShardRef:
        """Return what a task is given to find a shard."""

    def dataset(self, data: Dataset) -> Dataset | str:
        """Return what a task is given to find the data set."""

    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Any:
        """Start a task."""

    def result(self, handle: Any) -> Any:
        """Wait for a task and return what it made."""


class LocalRunner:
    """Runs each task at once, in this process."""

    ahead = 1

    def shard(self, data: Dataset, side: str, block: int, part: str = "train") -> Shard:
        """Return the shard itself."""
        return data.shard(side, block, part)

    def dataset(self, data: Dataset) -> Dataset:
        """Return the data set itself."""
        return data

    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Any:
        """Run the task and return its result."""
        return task(*args)

    def result(self, handle: Any) -> Any:
        """Return the handle, which is the result."""
        return handle


class DaskRunner:
    """Submits each task to a cluster. Shards stay where they are mapped; only rows of factors move.

    A block's next half-step tends to run where its last one left its rows. Nothing binds it there:
    a task that is bound to a worker and wants a resource is never run once that worker has died.
    The next sweep is handed over before the last one is waited for, so that the solver never idles.
    """

    ahead = 2

    def __init__(self, client: Client) -> None:
        self._client = client
        self._token = uuid.uuid4().hex[:8]

    def shard(self, data: Dataset, side: str, block: int, part: str = "train") -> ShardRef:
        """Return the shard's address."""
        return ShardRef(self.dataset(data), data.fingerprint, side, block, part)

    def dataset(self, data: Dataset) -> str:
        """Return the data set's address."""
        assert data.address is not None
        return data.address

    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Any:
        """Submit the task under `name` and return its future."""
        key = f"{name}-{self._token}"
        return self._client.submit(solve, task, *args, key=key, resources={SOLVER: 1})

    def result(self, handle: Any) -> Any:
        """Gather the future's result."""
        wait([handle])
        return handle.result()


def runner_for(data: Dataset, client: Client | None) -> Runner:
    """Return a runner on `client`, or in this process where there is none or no files to share."""
    return LocalRunner() if client is None or data.address is None else DaskRunner(client)
