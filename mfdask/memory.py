"""Resident memory of the process and its children, and a check of what is free."""

from __future__ import annotations

import resource
import threading
from contextlib import suppress
from types import TracebackType

import psutil

from mfdask.errors import RefusedError

#: Below this limit of address space OpenBLAS waits for ever and Arrow aborts, in place of failing.
_LEAST_ADDRESS_SPACE = 2_250_000_000


class PeakMemory:
    """Sample the resident memory of this process and all its children while the block runs.

    `bytes` is the largest sum seen. Pages that two processes map are counted in each, so it errs
    on the high side.
    """

    def __init__(self, interval: float = 0.1) -> None:
        self.bytes = 0
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, resident_bytes())
            if self._done.wait(self._interval):
                return


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident bytes of a process (this one by default) and all its children, now.

    Processes that have ended count nothing.
    """
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    return total


def require_memory(
    needed: int,
    what: str,
    remedy: str = "end something else, give fewer `n_factors`, or the `scheduler` of a cluster",
) -> None:
    """Refuse to begin what the memory of this machine cannot hold; the line ends with the remedy.

    Raises
    ------
    RefusedError
        If fewer than `needed` bytes are available.
    """
    free = psutil.virtual_memory().available
    if free < needed:
        raise RefusedError(
            f"{what} needs at least {needed / 2**20:,.0f} MiB of memory and "
            f"{free / 2**20:,.0f} MiB are free; {remedy}"
        )


def require_address_space() -> None:
    """Refuse to begin where `ulimit -v` leaves the libraries too little.

    Raises
    ------
    RefusedError
        If this process may take less than 2.25 GB of address space.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE:
        raise RefusedError(
            f"a process may take {limit / 1e9:.1f} GB of address space (ulimit -v), and a job "
            f"needs {_LEAST_ADDRESS_SPACE / 1e9:.2f} GB; raise that limit, or bound resident "
            "memory in its place (MemoryMax of systemd)"
        )
