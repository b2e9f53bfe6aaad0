"""Machines are described, whole processes measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mfdask.bench import machine
from mfdask.bench.machine import (
    FailedRunError,
    blas_environ,
    describe_machine,
    gemm_gflops,
    gemm_seconds,
    measure_module,
)
from mfdask.memory import resident_bytes


def test_the_machine_is_described_in_json() -> None:
    said = json.loads(json.dumps(describe_machine()))
    assert 1 <= said["cores"] <= os.cpu_count()
    assert said["processor"]
    assert said["memory_bytes"] > 2**26
    assert said["numpy"] == np.__version__
    assert {"python", "numba", "dask", "distributed", "mfdask"} <= said.keys()


def test_the_processor_has_a_name_even_where_the_system_hides_it(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Abacus: the 2nd\nflags\t: fpu\n")
    assert machine._processor(told) == "Abacus: the 2nd"
    assert machine._processor(tmp_path / "nothing")


def test_a_matrix_product_is_counted_as_two_cubes() -> None:
    assert gemm_gflops(seconds=2.0, side=1000) == 1.0
    assert gemm_seconds(threads=1, side=64) > 0


def test_threads_of_matrix_libraries_are_set_and_nothing_else_is_lost() -> None:
    environ = blas_environ(3)
    assert environ["OPENBLAS_NUM_THREADS"] == environ["OMP_NUM_THREADS"] == "3"
    assert environ["PATH"] == os.environ["PATH"]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a module, named `script`, for others to fill."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "script.py"


def test_a_run_counts_the_memory_of_children(script: Path) -> None:
    hold = "held = b'1' * 2**27; import time; time.sleep(1)"
    script.write_text(
        "import json, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {hold!r}], check=True)\n"
        "print('words before')\n"
        "print(json.dumps({'given': sys.argv[1:]}))\n"
    )
    run = measure_module("script", ["--size", 3])
    assert run.json() == {"given": ["--size", "3"]}
    assert run.command == "python -m script --size 3"
    assert run.seconds > 1
    assert run.peak_bytes > 2**27


def test_much_output_does_not_block(script: Path) -> None:
    script.write_text("for _ in range(20_000): print('a long line of output')\n")
    assert len(measure_module("script", []).output.splitlines()) == 20_000


def test_a_run_is_given_its_environment(script: Path) -> None:
    script.write_text("import os, json; print(json.dumps(os.environ['SPELL']))\n")
    assert measure_module("script", [], {**os.environ, "SPELL": "abc"}).json() == "abc"


def test_a_failed_run_is_told_by_its_last_line(script: Path) -> None:
    script.write_text("raise SystemExit('mfdask: no such thing')\n")
    with pytest.raises(
        FailedRunError, match=r"`python -m script` ended with code 1: mfdask: no such thing$"
    ):
        measure_module("script", [])


def test_the_memory_of_a_process_that_is_gone_is_nothing(script: Path) -> None:
    script.write_text("import os; print(os.getpid())\n")
    gone = int(measure_module("script", []).output)
    assert resident_bytes(gone) == 0
