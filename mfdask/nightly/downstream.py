"""Run the downstream jobs of a published model, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from mfdask.errors import InputError
from mfdask.job_registry import job_command, registered_jobs
from mfdask.nightly.config import DownstreamConfig
from mfdask.nightly.paths import NightlyPaths, write_durably
from mfdask.nightly.processes import run_program
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
    jobs = [{"job": job.job, "arguments": list(job.arguments)} for job in wanted]
    made = {"version": release.version, "jobs": jobs}
    with suppress(OSError, ValueError):
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


def tables_of(home: NightlyPaths) -> tuple[str, datetime] | None:
    """Return which release the tables are of, and when they were made; None if nobody knows."""
    try:
        version = json.loads(home.made_of.read_text())["version"]
        made = datetime.fromtimestamp(home.made_of.stat().st_mtime, UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(version), made


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
    command = job_command(wanted.job, *arguments)
    try:
        code, text = run_program(command, 60 * wanted.timeout_minutes)
    except TimeoutError as error:
        return f"{wanted.job}: {error} (timeout_minutes)"
    said = text.strip().splitlines() or ["no word"]
    return f"{wanted.job}: exit code {code}, {said[-1]}" if code else None
