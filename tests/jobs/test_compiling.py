"""Jobs say what they do, and tell compiling apart."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pkgutil import iter_modules

import click
import numba
import pytest
from click.testing import CliRunner

from mfdask import kernels
from mfdask.jobs.cli import main
from mfdask.jobs.common import Outcome, job, running, timed
from mfdask.jobs.terminal import facts_table
from mfdask.kernels import compiling  # noqa: F401 - listens to Numba
from mfdask.kernels.clock import CLOCK, compile_seconds


def _compile(seconds: float) -> None:
    for _ in range(2):  # a function, and one that it calls
        CLOCK.start()
    time.sleep(seconds)
    for _ in range(2):
        CLOCK.stop()


@click.command()
@job
def plain() -> Outcome:
    """Compile twice, and measure nothing."""
    _compile(0.05)
    _compile(0.05)
    return Outcome({"n": 1}, [facts_table("found", {"n": "1"})])


@click.command()
@job
def measured() -> Outcome:
    """Compile, and measure."""
    with running() as run:
        _compile(0.2)
    return Outcome(run.cost, [facts_table("found", run.last_rows("place", "here"))])


@pytest.mark.parametrize("command", [plain, measured])
def test_compiling_is_a_row_of_its_own(command):
    done = CliRunner().invoke(command, [])
    assert done.stderr.count("compiling, once") == 1
    assert done.stdout.count("compiling, once") == 1
    found = json.loads(CliRunner().invoke(command, ["--json"]).stdout)
    assert found["compile_seconds"] >= 0.1


def test_seconds_of_a_part_are_without_it(monkeypatch):
    readings = iter([0.0, 1.0, 4.0, 6.0])
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(readings))
        with timed() as whole:
            CLOCK.start()
            CLOCK.stop()
    assert whole.seconds == 3.0


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compiling is switched off: NUMBA_DISABLE_JIT")
def test_the_clock_follows_numba():
    before = compile_seconds()
    numba.njit(lambda x: x + 1)(1)
    assert compile_seconds() > before


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="compiling is switched off: NUMBA_DISABLE_JIT")
def test_what_python_cannot_call_is_private():
    modules = [
        import_module(f"mfdask.kernels.{one.name}") for one in iter_modules(kernels.__path__)
    ]
    inner = {
        name
        for module in modules
        for name, kernel in vars(module).items()
        if getattr(kernel, "targetoptions", {}).get("no_cpython_wrapper")
    }
    assert "_accumulate" in inner
    assert all(name.startswith("_") for name in inner)


def test_a_job_says_what_it_does_before_it_is_loaded():
    done = CliRunner().invoke(main, ["train", "nowhere"])
    first, *_, last = done.stderr.splitlines()
    assert first == "mfdask train: Learn a rating model from a data set."
    assert last.startswith("mfdask: nowhere")
    for words in (["train", "--help"], ["status", "--config", "nowhere"]):
        assert "mfdask train:" not in CliRunner().invoke(main, words).stderr
