"""Take in new ratings, learn from yesterday's model, and publish what passes the gate."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from mfdask.errors import MfdaskError, RefusedError
from mfdask.models import kinds
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.example import write_example
from mfdask.nightly.inbox import InboxFile
from mfdask.nightly.journal import Line
from mfdask.nightly.plan import NightPlan
from mfdask.nightly.registry import metric_of
from mfdask.nightly.run import run_night
from mfdask.nightly.start import look_ahead

from .common import Outcome, job
from .options import OUT_FOLDER, PATH
from .terminal import facts_table, mebibytes, progress_bars, say

#: Options for keys of the configuration that one changes by hand now and then.
_OPTIONS: list[tuple[str, str, str]] = [
    ("--home", "home", "Folder that holds inbox, releases and tables."),
    ("--inbox", "inbox.folder", "Folder with the new files."),
    ("--model", "training.model", f"What is learned: {', '.join(kinds())}."),
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
        type=PATH,
        default="nightly.toml",
        show_default=True,
        help="Configuration of the nights; `mfdask nightly --init DIR` writes a commented one.",
    )(callback)


def _with_overrides(callback: Any) -> Any:
    for option, key, text in reversed(_OPTIONS):
        callback = click.option(option, key.replace(".", "__"), help=f"{text}  [{key}]")(callback)
    return callback


@click.command("nightly", help=__doc__)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Use this value in place of the configuration's; may be repeated.",
)
@click.option(
    "--init",
    metavar="DIR",
    type=OUT_FOLDER,
    help="Write a configuration with all defaults into this folder, make its inbox, and end.",
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
@config_option
def main(
    config: Path,
    overrides: tuple[str, ...],
    init: Path | None,
    dry_run: bool,
    wait: float,
    **options: str | None,
) -> Outcome:
    """Run a night, or show what it would do."""
    if init is not None:
        return _begin(init)
    given = [f"{key.replace('__', '.')}={value}" for key, value in options.items() if value]
    told = NightlyConfig.read(config, [*overrides, *given])
    if dry_run:
        return _show(look_ahead(told))
    with progress_bars() as progress:
        line = run_night(told, wait_seconds=wait, progress=progress)
    _complain(line, told.home)
    view: list[RenderableType]
    view = [facts_table(f"run {line['run']}: {line['status']}", _facts(line))]
    if line["status"] == "nothing" and line["before"] is None:
        view.append(first_steps(told.home / told.inbox.folder, config))
    return Outcome(line, view)


def _begin(folder: Path) -> Outcome:
    """Write a configuration, and say what comes next."""
    config, inbox = write_example(folder)
    line = f"Written: {config}. Every key in it shows its default; change what you want different."
    view = [Text(line), first_steps(inbox, config)]
    return Outcome({"config": str(config), "inbox": str(inbox)}, view)


def first_steps(inbox: Path, config: Path) -> Text:
    """Say what comes next where nothing is published yet."""
    told = shlex.quote(str(config))
    lines = [
        f"Put files of ratings into {inbox}, then:",
        f"  mfdask nightly --config {told} --dry-run   (what a night would do)",
        f"  mfdask nightly --config {told}             (the first night)",
        f"  mfdask schedule --config {told} --at 02:30 (nights by themselves)",
    ]
    return Text("\n".join(lines))


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


def _facts(line: Line) -> dict[str, str]:
    facts = {}
    if line["status"] == "published":
        facts["version"] = line["version"]
        facts["ratings"] = f"{line['ratings']:,}, {line['new_ratings']:+,}"
        facts["sweeps"] = f"{line['sweeps']}, {'warm' if line['warm'] else 'cold'}"
        for score in line["scores"]:
            was = "" if score["published"] is None else f", published {score['published']:.4f}"
            facts[f"{metric_of(score)} {score['slice']}"] = f"{score['candidate']:.4f}{was}"
    facts |= _facts_of_files(line)
    facts["seconds"] = f"{sum(line['seconds'].values()):.1f}"
    facts["peak memory"] = mebibytes(max(line["memory_bytes"].values()))
    return facts


def _facts_of_files(line: Line) -> dict[str, str]:
    """Say what became of the files and of their rows."""
    facts = {
        "files taken in": f"{len(line['files'])}",
        "  set aside": f"{len(line.get('bad', {}))}",
        "  waiting": _waiting(line.get("waiting", {})),
    }
    if intake := line.get("intake"):
        facts["rows read"] = f"{intake['read']:,}"
        facts["  rejected"] = f"{sum(intake['rejected'].values()):,}"
        facts |= {f"    {reason}": f"{n:,}" for reason, n in intake["rejected"].items()}
        facts["  duplicates"] = f"{intake['duplicates']:,}"
    return facts


def _waiting(waiting: dict[str, str]) -> str:
    """Say how many files wait for another night, and why the first does."""
    said = [f"{name}: {reason}" for name, reason in list(waiting.items())[:1]]
    return "; ".join([f"{len(waiting)}", *said])


def _show(plan: NightPlan) -> Outcome:
    facts = {
        "begins with": plan.base or "nothing: the first night",
        "files to take in": _names(plan.files),
        "taken in already": _names(plan.known),
        "waiting": _waiting(plan.waiting),
        "ratings then, about": f"{plan.ratings:,}",
        **{f"seconds to {step}": f"{seconds:.1f}" for step, seconds in plan.seconds.items()},
        "memory, about": mebibytes(plan.memory_bytes),
        "disk, about": mebibytes(plan.disk_bytes),
        "estimated": plan.source,
    }
    view = facts_table("what a night would do", facts)
    return Outcome(json.loads(json.dumps(asdict(plan))), [view])


def _names(files: list[InboxFile]) -> str:
    return ", ".join(file.name for file in files) or "none"
