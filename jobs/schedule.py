"""Print a systemd timer and a cron line that start a night at a time of day."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from mfdask.errors import InputError
from mfdask.files import from_home
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.schedule import NAME, Schedule

from .common import Outcome, job
from .nightly import config_option


@click.command("schedule", help=__doc__)
@click.option("--at", metavar="HH:MM", help="Time of day.  [default: `at` of the configuration]")
@click.option(
    "--install", is_flag=True, help="Also install the timer for this user's systemd, and start it."
)
@job
@config_option
def main(config: Path, at: str | None, install: bool) -> Outcome:
    """Print, or install."""
    told = NightlyConfig.read(config)
    if not (at or told.at):
        raise InputError("give the time of day with --at HH:MM")
    schedule = Schedule(at or told.at, config)
    values = {
        "service": schedule.service(),
        "timer": schedule.timer(),
        "cron": schedule.cron(),
        "installed": [],
    }
    if install:
        folder = from_home("~/.config/systemd/user")
        values["installed"] = [str(file) for file in schedule.install(folder)]
    texts = [
        f"# {NAME}.service\n{schedule.service()}",
        f"# {NAME}.timer\n{schedule.timer()}",
        f"# or, with `crontab -e`\n{schedule.cron()}",
        f"# installed: {', '.join(values['installed']) or 'nothing; --install does it'}",
    ]
    return Outcome(values, [Text("\n".join(texts))])
