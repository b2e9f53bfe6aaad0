"""Show what is published, how the last nights went, and when the next one starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from rich.console import RenderableType

from mfdask.errors import InputError
from mfdask.kernels import CACHE
from mfdask.nightly import journal
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.downstream import tables_of
from mfdask.nightly.inbox import n_files
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import published_version
from mfdask.nightly.schedule import next_start
from mfdask.nightly.start import release_to_extend
from mfdask.nightly.state import State

from .common import Outcome, job
from .nightly import config_option, first_steps
from .terminal import facts_table, table

T = TypeVar("T")


@click.command("status", help=__doc__)
@click.option(
    "--runs",
    default=7,
    show_default=True,
    type=click.IntRange(1),
    help="How many of the last runs to show.",
)
@job
@config_option
def main(config: Path, runs: int) -> Outcome:
    """Read it from the home; nothing is changed."""
    told = NightlyConfig.read(config)
    home = NightlyPaths(told.home)
    troubles: list[InputError] = []
    release = _unless_damaged(lambda: release_to_extend(home), troubles)
    unfinished, start = State.load(home.state), next_start_after(told.at, datetime.now())
    lines = journal.read(home.journal)[-runs:]
    _unless_damaged(lambda: State.check(home.state, home.work), troubles)
    made_by = release.facts["run"] if release else None
    if unfinished and unfinished.run == made_by:
        made_by = None  # its line comes last
    _unless_damaged(lambda: journal.check(home.journal, made_by), troubles)
    files = n_files(home.root / told.inbox.folder)
    tables = _unless_damaged(lambda: tables_of(home), troubles)
    values = {
        "published": published_version(home),
        "data_as_of": release.data_day if release else None,
        "rmse": release.rmse if release else None,
        "unfinished_run": unfinished.run if unfinished else None,
        "files_waiting": files,
        "tables": tables.version if tables else None,
        "tables_made": tables.made.isoformat(timespec="seconds") if tables else None,
        "tables_left": tables.left if tables else [],
        "next_start": start,
        "compiled_code": str(CACHE),
        "runs": lines,
    }
    facts = {"published": published_version(home) or "nothing yet"}
    if release:
        newest = release.facts["data_as_of"]
        age = f", {_age(datetime.fromtimestamp(newest, UTC))} old" if newest is not None else ""
        facts["data as of, UTC"] = f"{release.data_day}{age}"
        facts["RMSE held out"] = f"{release.rmse:.4f}" if release.rmse else ""
    if tables:
        facts["tables"] = f"of {tables.version}, made {_age(tables.made)} ago"
        if tables.left:
            facts["  of no job any more"] = f"{', '.join(tables.left)} in {home.tables}"
    facts["files in the inbox"] = f"{files:,}"
    facts["unfinished"] = f"run {unfinished.run}" if unfinished else "nothing"
    facts["compiled code"] = str(CACHE)
    if troubles:
        facts["damaged"] = "\n".join(map(str, troubles))
    facts["next start"] = start or "not known: give `at` in the configuration"
    history = table("last runs", "run", "ended, UTC", "status", "version", "seconds", "reason")
    for line in lines:
        took = sum(line["seconds"].values())
        cells = (line["ended"][:16], line["status"], line["version"] or "", f"{took:.1f}")
        reason = line["reason"] or "; ".join(line.get("failed_jobs", []))
        history.add_row(str(line["run"]), *cells, reason)
    view: list[RenderableType] = [facts_table(str(home.root), facts), history]
    if not lines and published_version(home) is None:
        view.append(first_steps(home.root / told.inbox.folder, config))
    trouble = InputError("; ".join(map(str, troubles))) if troubles else None
    return Outcome(values, view, trouble=trouble)


def _unless_damaged(read: Callable[[], T], troubles: list[InputError]) -> T | None:
    """Read one thing, or note what is wrong with it: that must not hide the rest."""
    try:
        return read()
    except InputError as error:
        troubles.append(error)
        return None


def _age(moment: datetime) -> str:
    """Say how long ago a moment was."""
    hours = max((datetime.now(UTC) - moment).total_seconds(), 0.0) / 3600
    return f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:.1f} hours"


def next_start_after(at: str, now: datetime) -> str | None:
    """Return the next start in the zone of that moment: summer time may begin or end by then.

    Parameters
    ----------
    at : str
        HH:MM; empty: not known.
    now : datetime
        In the machine's own time, without a zone.
    """
    return next_start(at, now).astimezone().isoformat(timespec="minutes") if at else None
