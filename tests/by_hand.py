"""A scheduler and workers that are started by hand, as on several machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mfdask

#: A scheduler with a worker, which ends when the first task comes.
DYING = """
import os, time
from distributed import LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

class Die(SchedulerPlugin):
    def transition(self, key, start, finish, *args, **kwargs):
        os._exit(9)

own = dict(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp")
with LocalCluster(**own, resources={"solver": 1}, dashboard_address=None) as cluster:
    cluster.scheduler.add_plugin(Die())
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


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


def wait_until_joined(worker: subprocess.Popen) -> None:
    """Wait until a worker says that its scheduler has it."""
    assert worker.stderr is not None
    assert any("Registered to:" in line for line in worker.stderr), "the worker has not started"


@contextmanager
def cluster_by_hand(
    root: Path, *names: str, options: tuple[object, ...] = (), **environment: str
) -> Iterator[str]:
    """Start a scheduler and a worker of one thread for each name, and yield the address.

    With `options` of all, and in an environment of their own.
    """
    with ExitStack() as stack:
        alone = "--no-dashboard", *options

        def start(name: str, *arguments: object) -> subprocess.Popen:
            return stack.enter_context(started(root / name, *arguments, *alone, **environment))

        scheduler = start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", 0)
        address = scheduler_address(scheduler)
        own = "--resources", "solver=1", "--nthreads", 1
        for worker in [start(name, "worker", address, *own, "--name", name) for name in names]:
            wait_until_joined(worker)
        yield address


@contextmanager
def dying_scheduler() -> Iterator[str]:
    """Start a scheduler that ends when its first task comes, and yield its address."""
    command = [sys.executable, "-c", DYING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()
