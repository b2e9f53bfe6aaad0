"""The registry of jobs by name: ours, and those of installed packages."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

#: The entry points of this group are click commands; ours are listed in `pyproject.toml`.
GROUP = "mfdask.jobs"


def registered_jobs() -> dict[str, EntryPoint]:
    """Return what is registered by its name; nobody takes the name of one of ours."""
    found = sorted(entry_points(group=GROUP), key=lambda job: job.module.startswith(f"{GROUP}."))
    return {job.name: job for job in found}


def job_command(name: str, *arguments: str) -> list[str]:
    """Return the command that starts a job as a process of this Python.

    It sees no modules of the folder that it is started in (``-P``), which may be named as ours are.
    """
    return [sys.executable, "-P", "-m", "mfdask", name, *arguments]
