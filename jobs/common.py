"""What all jobs share: `--json` and `--debug`, error lines and exit codes, progress, tables."""

from __future__ import annotations

import errno
import functools
import json
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError, MfdaskError
from mfdask.progress import Progress

#: A data set: a folder, or a URL. It stays a text, since a Path would make ``s3:/`` of ``s3://``.
DATA = click.Path()

#: How long a job that is told to stop may take to clear up; each can be killed at any instant.
_SECONDS_TO_STOP = 8.0


@dataclass(frozen=True)
class Outcome:
    """What a job ends with: the object for `--json`, and the tables that a person sees."""

    values: dict[str, Any]
    view: list[RenderableType] = field(default_factory=list)


def job(run: Callable[..., Outcome]) -> Callable[..., None]:
    """Turn a function that returns an `Outcome` into the callback of a click command.

    Errors that the user can cause end with one line on standard error and their exit code (2 bad
    input, 3 refused); everything else with exit code 1. `--debug` shows the traceback instead.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
    @click.option("--debug", is_flag=True, help="Log more, and show the traceback of an error.")
    @functools.wraps(run)
    def callback(as_json: bool, debug: bool, **options: Any) -> None:
        _log_to_stderr(debug)
        try:
            _refuse_urls(options)
            with _stopping():
                outcome = run(**options)
        except (Exception, KeyboardInterrupt) as error:
            if debug or isinstance(error, click.ClickException | click.exceptions.Exit):
                raise
            code, line = _explain(error)
            click.echo(f"mfdask: {line}", err=True)
            sys.exit(code)
        if as_json:
            click.echo(json.dumps(outcome.values))
        else:
            console = Console()
            for part in outcome.view:
                # A text is there to be copied elsewhere: its lines are neither cut nor broken.
                console.print(part, soft_wrap=isinstance(part, Text))

    return callback


@contextmanager
def _stopping() -> Iterator[None]:
    """End the block on SIGTERM as on Ctrl-C, and the process soon after in any case."""

    def stop(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(_SECONDS_TO_STOP, os._exit, [128 + number])
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse_urls(options: dict[str, Any]) -> None:
    """Refuse a URL in place of a path, which would otherwise be a folder named ``s3:``."""
    for value in options.values():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and re.match("[a-z][a-z0-9+]+:/", str(path)):
                raise InputError(
                    f"{str(path).replace(':/', '://', 1)}: a path is wanted here, not a URL; copy "
                    "from there first, or there afterwards, such as with `aws s3 cp --recursive`"
                )


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit code and line for an error that ends a job."""
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted; nothing was left half-written"
    if isinstance(error, MfdaskError):
        return error.exit_code, " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _DISK:
        return _DISK[error.errno][0], f"{error.filename or 'disk'}: {_DISK[error.errno][1]}"
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return 1, f"unexpected error, {line} (run again with --debug to see where)"


_DISK = {
    errno.ENOSPC: (3, "no space left on the disk; free some, or write elsewhere with --out"),
    errno.EDQUOT: (3, "the disk quota is used up; free some, or write elsewhere with --out"),
    errno.EROFS: (2, "the file system is read-only; write elsewhere with --out"),
    errno.EACCES: (2, "permission denied; check its owner and mode, or write elsewhere with --out"),
    errno.EEXIST: (2, "is not a folder; write elsewhere with --out"),
    errno.ENOTDIR: (2, "is not a folder; write elsewhere with --out"),
    errno.EPERM: (2, "not permitted; check its owner and mode, or write elsewhere with --out"),
}


def _log_to_stderr(debug: bool) -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=debug, rich_tracebacks=debug)
    logging.basicConfig(
        level=logging.INFO if debug else logging.WARNING,
        format="%(message)s",
        handlers=[handler],
        force=True,
    )


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show a bar with the time left for each stage, on standard error."""
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total, note=note)
        bars.update(tasks[stage], completed=done, total=total, note=note)

    with bars:
        yield report


def table(title: str, *columns: str) -> Table:
    """Build a short table in the style of all jobs: first column left, the others right."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place == 0 else "right")
    return made


def cluster_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the work runs; the job gets them as `cluster`."""

    @click.option(
        "--workers",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        help="Worker processes to start on this machine.",
    )
    @click.option(
        "--threads",
        type=click.IntRange(1),
        help="Threads of each worker.  [default: the cores, shared out evenly]",
    )
    @click.option(
        "--memory-limit",
        default="auto",
        show_default=True,
        help="Memory a worker may hold, such as 4GB; auto shares it out evenly.",
    )
    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the running Dask cluster at tcp://host:port, and start no workers.",
    )
    @click.option(
        "--dashboard-address",
        default="127.0.0.1:8787",
        show_default=True,
        help="Where the dashboard listens, host:port.",
    )
    @functools.wraps(run)
    def with_cluster(
        workers: int,
        threads: int | None,
        memory_limit: str,
        scheduler: str | None,
        dashboard_address: str,
        **options: Any,
    ) -> Any:
        config = ClusterConfig(workers, threads, memory_limit, scheduler, dashboard_address)
        return run(cluster=config, **options)

    return with_cluster


def say(line: str) -> None:
    """Tell a person something while the job runs: on standard error."""
    click.echo(line, err=True)
