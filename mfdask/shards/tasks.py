"""Submit tasks to the cluster under names that read as the work they are."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future, as_completed, fire_and_forget

from mfdask.progress import Progress


class Tasks:
    """Submits the tasks of one job. A result stays on its worker as long as its future is held."""

    def __init__(self, client: Client, progress: Progress) -> None:
        self._client = client
        self._progress = progress
        self._token = uuid.uuid4().hex[:8]

    def submit(self, name: str, task: Callable[..., Any], *args: Any) -> Future:
        """Start ``task(*args)``; futures among the arguments are waited for."""
        return self._client.submit(task, *args, key=f"{name}-{self._token}")

    def start(self, name: str, task: Callable[..., Any]) -> None:
        """Start ``task()``, for which nobody waits."""
        fire_and_forget(self.submit(name, task))

    def results(self, futures: Sequence[Future]) -> list[Any]:
        """Wait for tasks that take no time worth showing, and return what they made."""
        return self._client.gather(list(futures))

    def finish(self, stage: str, futures: Sequence[Future]) -> list[Any]:
        """Wait for tasks, report how far they are, and return what they made, in their order.

        The first error ends the wait, cancels what has not begun, and is raised.
        """
        futures = list(futures)
        self._progress(stage, 0, len(futures))
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                if future.status == "error":
                    future.result()
                self._progress(stage, done, len(futures))
        except BaseException:
            self._client.cancel(futures)
            raise
        return self.results(futures)
