"""Take in new ratings, learn from yesterday's model, and publish what passes the gate."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from jobs.common import Outcome, job, progress_bars, say, table
from mfdask.errors import MfdaskError, RefusedError
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.inbox import InboxFile
from mfdask.nightly.journal import Line
from mfdask.nightly.plan import NightPlan
from mfdask.nightly.run import run_night
from mfdask.nightly.start import look_ahead

#: Options for keys of the configuration that one changes by hand now and then.
_OPTIONS: list[tuple[str, str, str]] = [
    ("--home", "home", "Folder that holds inbox, releases and tables."),
    ("--inbox", "inbox.folder", "Folder with the new files."),
    ("--model", "training.model", "What is learned: als, bias, genre or bayes."),
    ("--factors", "training.factors", "Length of a factor vector."),
    ("--sweeps", "training.sweeps", "Most sweeps of a fit."),
    (
        "--gate-tolerance",
        "gate.tolerance",
        "Stars by which the RMSE may be worse than the published model's.",
    ),
    ("--workers", "cluster.workers", "Worker processes to start on this machine."),
    ("--threads", "cluster.threads", "Threads of each worker."),
    ("--memory-limit", "cluster.memory_limit", "Memory a worker may hold, such as 4GB."),
    ("--scheduler", "cluster.scheduler", "Use the running Dask cluster at tcp://host:port."),
    ("--dashboard-address", "cluster.dashboard_address", "Where the dashboard listens, host:port."),
]


def config_option(callback: Any) -> Any:
    """Add the option that names the configuration."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        default="nightly.toml",
        show_default=True,
        help="Configuration of the nights; docs/nightly.toml is a commented example.",
    )(callback)


def _with_overrides(callback: Any) -> Any:
    for option, key, text in reversed(_OPTIONS):
        callback = click.option(option, key.replace(".", "__"), help=f"{text}  [{key}]")(callback)
    return callback


@click.command("nightly", help=__doc__)
@config_option
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Use this value in place of the configuration's; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show what a night would do, and change nothing.")
@click.option(
    "--wait",
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait if another night is running.",
)
@_with_overrides
@job
def main(
    config: Path, assignments: tuple[str, ...], dry_run: bool, wait: float, **options: str | None
) -> Outcome:
    """Run a night, or show what it would do."""
    given = [f"{key.replace('__', '.')}={value}" for key, value in options.items() if value]
    told = NightlyConfig.read(config, [*assignments, *given])
    if dry_run:
        return _show(look_ahead(told))
    with progress_bars() as progress:
        line = run_night(told, wait_seconds=wait, progress=progress)
    _complain(line, told.home)
    return Outcome(line, [_view(line)])


def _complain(line: Line, home: Path) -> None:
    """Say what went wrong in a run that has ended, by the exit code too."""
    for name, reason in line.get("bad", {}).items():
        say(f"set aside: {name}: {reason}")
    if line["status"] == "refused":
        made = line["version"]
        kept = made and made not in line["removed"]
        candidate = f"the candidate is {home}/candidates/{made}, " if kept else ""
        raise RefusedError(
            f"run {line['run']}: {line['reason']}; {line['before'] or 'nothing'} stays published, "
            f"{candidate}the files are in {home}/refused"
        )
    if line.get("failed_jobs"):
        failed = "; ".join(line["failed_jobs"])
        published = line["version"] or line["before"]
        raise MfdaskError(f"run {line['run']}: {published} is published, but {failed}")


def _view(line: Line) -> Table:
    view = table(f"run {line['run']}: {line['status']}", "", "")
    view.show_header = False
    if line["status"] == "published":
        view.add_row("version", line["version"])
        view.add_row("ratings", f"{line['ratings']:,}, {line['new_ratings']:+,}")
        view.add_row("sweeps", f"{line['sweeps']}, {'warm' if line['warm'] else 'cold'}")
        for score in line["scores"]:
            was = "" if score["published"] is None else f", published {score['published']:.4f}"
            view.add_row(f"RMSE {score['slice']}", f"{score['candidate']:.4f}{was}")
    view.add_row("files", f"{len(line['files'])}")
    view.add_row("seconds", f"{sum(line['seconds'].values()):.1f}")
    view.add_row("peak memory", f"{max(line['memory_bytes'].values()) / 2**20:,.0f} MiB")
    return view


def _show(plan: NightPlan) -> Outcome:
    view = table("what a night would do", "", "")
    view.show_header = False
    view.add_row("begins with", plan.base or "nothing: the first night")
    view.add_row("files to take in", _names(plan.files))
    view.add_row("taken in already", _names(plan.known))
    view.add_row("ratings then, about", f"{plan.ratings:,}")
    for step, seconds in plan.seconds.items():
        view.add_row(f"seconds to {step}", f"{seconds:.1f}")
    view.add_row("memory, about", f"{plan.memory_bytes / 2**20:,.0f} MiB")
    view.add_row("disk, about", f"{plan.disk_bytes / 2**20:,.0f} MiB")
    view.add_row("estimated", plan.source)
    return Outcome(json.loads(json.dumps(asdict(plan))), [view])


def _names(files: list[InboxFile]) -> str:
    return shown(", ".join(file.name for file in files)) or "none"


def shown(text: str) -> str:
    """Return a text for a table, with the names of files: they may hold markup, and be no UTF-8."""
    return escape(text.encode(errors="backslashreplace").decode())


if __name__ == "__main__":
    main()
