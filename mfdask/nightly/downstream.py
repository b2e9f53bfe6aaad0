"""Run the downstream jobs of a published model, each in a process of its own."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

from mfdask.errors import InputError
from mfdask.job_registry import job_command, registered_jobs
from mfdask.nightly.config import DownstreamConfig
from mfdask.nightly.paths import NightlyPaths, write_durably
from mfdask.nightly.registry import current


def check_jobs(wanted: tuple[DownstreamConfig, ...]) -> None:
    """Refuse jobs that there are not, before a night begins.

    Raises
    ------
    InputError
    """
    for follower in wanted:
        if follower.job not in registered_jobs():
            raise InputError(f"downstream: there is no job {follower.job!r}; see `mfdask --help`")


def make_tables(home: NightlyPaths, wanted: tuple[DownstreamConfig, ...]) -> list[str]:
    """Run the jobs, unless all tables are of the published release already.

    So what failed is tried again on the next night, whatever that brings, and after a rollback
    the tables follow.

    Parameters
    ----------
    home : NightlyPaths
    wanted : tuple of DownstreamConfig
        One that fails keeps nobody from the others.

    Returns
    -------
    list of str
        A line for each that failed.
    """
    release = current(home)
    if release is None or not wanted:
        return []
    made = {"version": release.version, "jobs": json.loads(json.dumps(list(map(asdict, wanted))))}
    with suppress(FileNotFoundError, ValueError):
        if json.loads(home.made_of.read_text()) == made:
            return []
    places = {
        "model": str(release.model.absolute()),
        "data": str(release.data.absolute()),
        "tables": str(home.tables.absolute()),
        "version": release.version,
    }
    failed = [line for line in (run_job(job, places) for job in wanted) if line is not None]
    if not failed:
        write_durably(home.made_of, json.dumps(made) + "\n")
    return failed


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
        job_command(wanted.job, *arguments),
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
