"""The jobs that follow a published model, each in a process of its own."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from mfdask.errors import InputError
from mfdask.nightly.config import DownstreamConfig


def check_jobs(wanted: tuple[DownstreamConfig, ...]) -> None:
    """Refuse jobs that there are not, before a night begins.

    Raises
    ------
    InputError
    """
    for follower in wanted:
        if not follower.job.isidentifier() or find_spec(f"jobs.{follower.job}") is None:
            raise InputError(f"downstream: there is no job {follower.job!r}; see `mfdask --help`")


def run_job(wanted: DownstreamConfig, places: Mapping[str, str]) -> str | None:
    """Run a job, and return the last line of what it said if it failed.

    Parameters
    ----------
    wanted : DownstreamConfig
    places : mapping
        What ``{model}``, ``{data}``, ``{tables}`` and ``{version}`` stand for.
    """
    arguments = list(wanted.arguments)
    for name, place in places.items():
        arguments = [argument.replace(f"{{{name}}}", place) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{wanted.job}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        preexec_fn=_die_with_parent,
    )
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines() or ["no word"]
    return f"{wanted.job}: exit code {done.returncode}, {said[-1]}"


def _die_with_parent() -> None:
    """Let no job outlive its night, and hold the lock of its tables when the night starts again."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it
    if prctl is not None:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
