"""Run the downstream jobs of a published model, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mfdask.decoding import check_keys_of
from mfdask.errors import InputError
from mfdask.job_registry import job_command, registered_jobs
from mfdask.nightly.config import DownstreamConfig
from mfdask.nightly.paths import NightlyPaths, read_json, write_json
from mfdask.nightly.processes import run_program
from mfdask.nightly.registry import current

#: Jobs that go by the same features, and where those of one night keep them.
_SHARING, _FEATURES = frozenset({"churn", "ltv"}), ("--features", "{tables}/.features")
_HINTS = {"version": str, "jobs": list[Mapping[str, str | list[str]]]}


@dataclass(frozen=True)
class Tables:
    """What is known of the tables of a home.

    Attributes
    ----------
    version : str
        The release that they are of.
    made : datetime
    left : list of str
        Names of those that no job has made: of jobs that are in the configuration no more.
    """

    version: str
    made: datetime
    left: list[str]


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
        said = read_json(home.made_of)
        if made.items() <= said.items():
            return []
    places = {
        "model": str(release.model.absolute()),
        "ranking": str((release.ranking or release.model).absolute()),
        "data": str(release.data.absolute()),
        "tables": str(home.tables.absolute()),
        "version": release.version,
    }
    began = time.time()
    failed = [
        line
        for line in (run_job(job, places) for job in sharing_features(wanted))
        if line is not None
    ]
    if not failed:
        write_json(home.made_of, made | {"left": _older(home.tables, began)})
    return failed


def sharing_features(wanted: tuple[DownstreamConfig, ...]) -> tuple[DownstreamConfig, ...]:
    """Let churn and ltv of one night make their features once; arguments may say otherwise."""
    if not {job.job for job in wanted} >= _SHARING:
        return wanted
    return tuple(
        replace(job, arguments=(*job.arguments, *_FEATURES))
        if job.job in _SHARING and not any(a.startswith("--features") for a in job.arguments)
        else job
        for job in wanted
    )


def _older(folder: Path, moment: float) -> list[str]:
    """Return the names of what has not changed since a moment, in seconds since 1970."""
    return [
        place.name
        for place in _tables_in(folder)
        if max(one.stat().st_mtime for one in (place, *place.rglob("*"))) < moment
    ]


def _tables_in(folder: Path) -> list[Path]:
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    return [place for place in places if not place.name.startswith(".")]


def tables_of(home: NightlyPaths) -> Tables | None:
    """Return of which release the tables are; None where there are none.

    Raises
    ------
    InputError
        If there are some, and the file that says so is damaged or not there.
    """
    there = [place.name for place in _tables_in(home.tables)]
    try:
        said = check_keys_of(read_json(home.made_of), _HINTS)
        made = datetime.fromtimestamp(home.made_of.stat().st_mtime, UTC)
        left = [name for name in said.get("left", []) if name in there]
    except (OSError, ValueError, TypeError) as error:
        if not there and isinstance(error, FileNotFoundError):
            return None
        raise InputError(
            f"{home.made_of}: damaged or gone, nobody knows of which release the tables are; the "
            "next night makes them again"
        ) from None
    return Tables(said["version"], made, left)


def run_job(wanted: DownstreamConfig, places: Mapping[str, str]) -> str | None:
    """Run a job, and return the last line of what it said if it failed.

    Parameters
    ----------
    wanted : DownstreamConfig
    places : mapping
        What ``{model}``, ``{ranking}``, ``{data}``, ``{tables}`` and ``{version}`` stand for.
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
