"""Show what is published, how the last nights went, and when the next one starts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from mfdask.kernels import CACHE
from mfdask.nightly import journal
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current
from mfdask.nightly.schedule import next_start
from mfdask.nightly.state import State

from .common import Outcome, facts_table, job, table
from .nightly import config_option


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
    release, unfinished = current(home), State.load(home.state)
    lines = journal.read(home.journal)[-runs:]
    start = next_start_after(told.at, datetime.now())
    values = {
        "published": release.version if release else None,
        "data_as_of": release.data_day if release else None,
        "rmse": release.rmse if release else None,
        "unfinished_run": unfinished.run if unfinished else None,
        "next_start": start,
        "compiled_code": str(CACHE),
        "runs": lines,
    }
    facts = {"published": release.version if release else "nothing yet"}
    if release:
        facts["data as of, UTC"] = release.data_day
        facts["RMSE held out"] = f"{release.rmse:.4f}" if release.rmse else ""
    facts["unfinished"] = f"run {unfinished.run}" if unfinished else "nothing"
    facts["compiled code"] = str(CACHE)
    facts["next start"] = start or "not known: give `at` in the configuration"
    history = table("last runs", "run", "ended, UTC", "status", "version", "seconds", "reason")
    for line in lines:
        took = sum(line["seconds"].values())
        cells = (line["ended"][:16], line["status"], line["version"] or "", f"{took:.1f}")
        reason = line["reason"] or "; ".join(line.get("failed_jobs", []))
        history.add_row(str(line["run"]), *cells, reason)
    return Outcome(values, [facts_table(str(home.root), facts), history])


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
