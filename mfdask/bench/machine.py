"""Facts about this machine, and the time and memory of processes run on it."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mfdask.cores import n_cores
from mfdask.errors import MfdaskError
from mfdask.memory import resident_bytes

#: Side of the square matrices whose product shows what the cores can do at most.
GEMM_SIDE = 3000

_SAMPLE_SECONDS = 0.05
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_GEMM = """
import sys, time
import numpy as np
n = int(sys.argv[1])
a, b = np.random.default_rng(1).random((2, n, n), dtype=np.float32)
out = np.empty_like(a)
clock = getattr(time, sys.argv[2])
best = float("inf")
for _ in range(5):
    began = clock()
    np.matmul(a, b, out=out)
    best = min(best, clock() - began)
print(best)
"""


def describe_machine() -> dict[str, Any]:
    """Return what figures depend on: cores, processor, memory (bytes), and versions."""
    return {
        "cores": n_cores(),
        "processor": _processor(Path("/proc/cpuinfo")),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("mfdask", "numpy", "numba", "dask", "distributed")},
    }


def _processor(cpuinfo: Path) -> str:
    """Return the processor's model name, or its architecture where the system hides the name."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def blas_environ(threads: int) -> dict[str, str]:
    """Return the environment of a process whose matrix library uses so many threads.

    The libraries read it once, when they are loaded: it has to be there before.
    """
    return {**os.environ, **dict.fromkeys(_BLAS_THREADS, str(threads))}


def gemm_seconds(threads: int, side: int = GEMM_SIDE, clock: str = "perf_counter") -> float:
    """Return the seconds of NumPy's float32 product of two square matrices, the best of five.

    It runs in a process of its own, so that the number of threads can be chosen. The clock is a
    function of `time`; ``process_time`` counts what all threads take of the processor.
    """
    command, environ = [sys.executable, "-c", _GEMM, str(side), clock], blas_environ(threads)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout)


def gemm_gflops(seconds: float, side: int = GEMM_SIDE) -> float:
    """Return the gigaflops a second of such a product."""
    return 2 * side**3 / seconds / 1e9


def copy_rate(megabytes: int = 256) -> float:
    """Return the gigabytes a second that one thread reads and writes, copying: the best of five.

    The arrays are far larger than caches. Seconds are those of the processor.
    """
    source = np.zeros(megabytes * 2**20, np.uint8)
    target = np.empty_like(source)
    best = math.inf
    for _ in range(5):
        began = time.process_time()
        np.copyto(target, source)
        best = min(best, time.process_time() - began)
    return 2 * source.nbytes / best / 1e9


@dataclass(frozen=True)
class Run:
    """Time, memory and output of a process that succeeded.

    Attributes
    ----------
    command : str
        As one would type it.
    seconds : float
        From its start to its end, imports and all.
    peak_bytes : int
        Most resident memory of it and all its children together; pages that two of them map are
        counted in each.
    output : str
        What it printed on standard output.
    """

    command: str
    seconds: float
    peak_bytes: int
    output: str

    def json(self) -> dict[str, Any]:
        """Return the last line of the output, read as JSON."""
        said: dict[str, Any] = json.loads(self.output.splitlines()[-1])
        return said


class FailedRunError(MfdaskError):
    """A measured process that failed; the message ends with the last line it wrote."""


def measure_module(
    module: str, arguments: Sequence[object], environ: dict[str, str] | None = None
) -> Run:
    """Run ``python -m module arguments…`` and measure its time and memory.

    Parameters
    ----------
    module : str
    arguments : sequence
        Turned to text each.
    environ : dict, optional
        The whole environment; this process's own by default.

    Raises
    ------
    FailedRunError
        If it ends with another code than 0.
    """
    words = ["-m", module, *map(str, arguments)]
    return measure_command([sys.executable, *words], environ)


def measure_command(words: Sequence[object], environ: dict[str, str] | None = None) -> Run:
    """Run a Python by its path, and measure its time and memory; see `measure_module`.

    Raises
    ------
    FailedRunError
        If it ends with another code than 0.
    """
    full, pipe = [str(word) for word in words], subprocess.PIPE
    began = time.perf_counter()
    with subprocess.Popen(full, env=environ, stdout=pipe, stderr=pipe, text=True) as process:
        peak, output, errors = 0, "", ""
        while process.returncode is None:
            peak = max(peak, resident_bytes(process.pid))
            try:
                output, errors = process.communicate(timeout=_SAMPLE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    seconds = time.perf_counter() - began
    command = " ".join(["python", *full[1:]])
    if process.returncode:
        last = (errors.strip().splitlines() or ["without a word"])[-1]
        raise FailedRunError(f"`{command}` ended with code {process.returncode}: {last}")
    return Run(command, seconds, peak, output)
