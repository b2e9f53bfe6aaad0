"""End a wait for a cluster that is gone, or at which nothing moves any more.

Dask waits for ever where no worker is left, where one has stopped in the middle, and where one
begins nothing more because it holds too much memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mfdask.errors import ClusterError, MfdaskError

if TYPE_CHECKING:
    from distributed import Client

#: The setting of Dask's configuration that holds `ClusterConfig.patience`, in seconds.
PATIENCE = "mfdask.patience"

_DEFAULT = 300.0
_SECONDS_TO_CLOSE = 5.0


@contextmanager
def supervised(client: Client) -> Iterator[None]:
    """End the block once its cluster is gone, or nothing has moved there for too long.

    The latter ends the client, too; whatever waits for it gets an error.

    Raises
    ------
    ClusterError
        In place of the error that Dask reports.
    """
    watch = _Watch(client)
    watch.start()
    try:
        yield
    except MfdaskError:
        raise
    except Exception as error:
        reason = watch.reason_of(error)
        if reason is None:
            raise
        raise ClusterError(reason) from error
    finally:
        watch.ended.set()


class _Watch(threading.Thread):
    """Looks at a cluster every few seconds."""

    def __init__(self, client: Client) -> None:
        import dask

        super().__init__(name="mfdask-supervision", daemon=True)
        self.ended = threading.Event()
        self._client = client
        self._scheduler = (
            f"scheduler at {client.scheduler.address}" if client.scheduler else "scheduler"
        )
        self._patience = float(dask.config.get(PATIENCE, _DEFAULT))
        self._reason: str | None = None
        self._seen: Any = None

    def reason_of(self, error: Exception) -> str | None:
        """Return what a user makes of an error, if it is the cluster's."""
        from distributed.comm import CommClosedError

        # Whoever is reading when the connection breaks is told before the client is.
        broken = isinstance(error, CancelledError | CommClosedError)
        if self._reason is None and (broken or self._client.status != "running"):
            return f"the {self._scheduler} is gone; start it and run this again"
        return self._reason

    def run(self) -> None:
        """Look until the block has ended, or nothing has moved for too long."""
        moved = time.monotonic()
        while not self.ended.wait(min(2.0, self._patience / 5)):
            workers = self._ask()
            now = time.monotonic()
            if self._client.status != "running" or self._moves(workers):
                moved = now
            elif now - moved > self._patience and not self.ended.is_set():
                self._reason = self._explain(workers)
                with suppress(Exception):  # of whatever it was waiting for
                    self._client.close(timeout=_SECONDS_TO_CLOSE)
                return

    def _ask(self) -> dict[str, Any] | None:
        """Return what the scheduler knows of its workers; None if it does not say."""
        client = self._client
        with suppress(Exception):
            said = client.sync(
                client.scheduler.identity, n_workers=-1, callback_timeout=_SECONDS_TO_CLOSE
            )
            return dict(said["workers"])
        return None

    def _moves(self, workers: dict[str, Any] | None) -> bool:
        """Whether nothing is waited for, a task has ended, or one runs on a worker that lives."""
        waiting = {key for key, state in list(self._client.futures.items()) if _is_pending(state)}
        if workers is None:
            return not waiting
        heard = {
            address: worker["last_seen"]
            for address, worker in workers.items()
            if worker["metrics"].get("task_counts", {}).get("executing")
        }
        before, self._seen = self._seen, (waiting, heard)
        if not waiting or before is None or before[0] != waiting:
            return True
        return any(seen != before[1].get(address) for address, seen in heard.items())

    def _explain(self, workers: dict[str, Any] | None) -> str:
        limit = f"within {self._patience:,g} seconds (`patience`)"
        if workers is None:
            return f"the {self._scheduler} did not answer {limit}; start it anew"
        states = {worker["status"] for worker in workers.values()}
        if "paused" in states:
            return (
                f"nothing moved {limit}: workers hold more than 80 % of the memory that they may; "
                "raise `memory_limit`, use fewer `workers`, or cut the data set into more `blocks`"
            )
        which = "no worker was left" if not workers else "workers do not answer"
        return f"nothing moved {limit}: {which}; run this again"


def _is_pending(state: Any) -> bool:
    return bool(state.status == "pending")
