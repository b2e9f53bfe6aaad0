"""A scheduler and workers that are started by hand, as on several machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client

import mfdask


@contextmanager
def started(cwd: Path, *arguments: object, **environment: str) -> Iterator[subprocess.Popen]:
    """Run ``dask ARGUMENTS`` in a folder of its own for as long as the block runs."""
    cwd.mkdir()
    root = str(Path(mfdask.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, arguments)],
        cwd=cwd, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": root, "DASK_LOGGING__DISTRIBUTED": "info", **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)


def scheduler_address(process: subprocess.Popen) -> str:
    """Wait until a scheduler says where it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        if "Scheduler at:" in line:
            return line.split()[-1]
    raise AssertionError("the scheduler has not started")


@contextmanager
def cluster_by_hand(root: Path, *names: str) -> Iterator[str]:
    """Start a scheduler and a worker of one thread for each name, and yield the address."""
    with ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard")
        scheduler = stack.enter_context(started(root / "scheduler", "scheduler", *options))
        address = scheduler_address(scheduler)
        options = ("--resources", "solver=1", "--nthreads", 1, "--no-dashboard")
        for name in names:
            stack.enter_context(started(root / name, "worker", address, *options, "--name", name))
        with Client(address) as client:
            client.wait_for_workers(len(names), timeout=60)
        yield address
