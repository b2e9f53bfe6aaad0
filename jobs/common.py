"""Shared code of the jobs: running and ending, cluster, cost."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, RenderableType
from rich.logging import RichHandler

from mfdask.cluster import ClusterConfig, dashboard_link, open_cluster
from mfdask.errors import InputError, without_secrets
from mfdask.kernels.cache import is_compiled
from mfdask.kernels.clock import CLOCK, compile_seconds
from mfdask.memory import PeakMemory, require_address_space
from mfdask.nightly.registry import holding
from mfdask.progress import Progress
from mfdask.summaries import harmless

from .errors import ending
from .options import config_file_option, effective_options
from .terminal import facts_table, mebibytes, progress_bars, say, show_part

if TYPE_CHECKING:
    from distributed import Client

#: How long a job that is told to stop may take to clear up; each can be killed at any instant.
_SECONDS_TO_STOP = 8.0

#: What logs for its own developers.
_LIBRARIES = {"asyncio", "bokeh", "dask", "distributed", "fsspec", "numba", "optuna", "tornado"}


@dataclass(frozen=True)
class Outcome:
    """The result of a job: values, tables and options used.

    Attributes
    ----------
    values : dict
        The object for `--json`.
    view : sequence
        The tables that a person sees.
    options : dict
        Values that the job has found for parameters of its command that were not given.
    trouble : Exception, optional
        What the job ends with, once the rest is shown.
    """

    values: dict[str, Any]
    view: Sequence[RenderableType] = ()
    options: dict[str, Any] = field(default_factory=dict)
    trouble: Exception | None = None


def job(run: Callable[..., Outcome]) -> Callable[..., None]:
    """Turn a function that returns an `Outcome` into the callback of a click command.

    Errors that the user can cause end with one line on standard error and their exit code (2 bad
    input, 3 refused); everything else with exit code 1. `--debug` shows the traceback instead.
    With `--config` the options come from a file, and `--json` prints them as such a file may hold
    them, unless the command has a `--config` of its own: its decorator then stands below this one.
    """
    own_config = any(own.name == "config" for own in getattr(run, "__click_params__", ()))

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
    @click.option("--debug", is_flag=True, help="Log more, and show the traceback of an error.")
    @click.pass_context
    @functools.wraps(run)
    def callback(ctx: click.Context, as_json: bool, debug: bool, **options: Any) -> None:
        _log_to_stderr(debug)
        with ending(ctx.command, debug), _telling_of_compiling() as compiled:
            require_address_space()
            _refuse_urls(options)
            with _stopping(debug), holding(_places(options)):
                outcome = run(**options)
        if as_json:
            used = {} if own_config else {"options": effective_options(ctx, outcome.options)}
            compiling = {"compile_seconds": compiled()} if compiled() else {}
            values = compiling | outcome.values | used
            click.echo(_without_secrets_of(ctx.params, json.dumps(values)))
        else:
            for part in outcome.view:
                show_part(part)
            if "compile_seconds" not in outcome.values and compiled():
                show_part(facts_table("", compiling_row(compiled())))
        if outcome.trouble is not None:
            with ending(ctx.command, debug):
                raise outcome.trouble

    return callback if own_config else config_file_option(callback)


def _without_secrets_of(options: Mapping[str, Any], text: str) -> str:
    """Return JSON without the secrets of URLs that were given; all else is data and stays."""
    for value in options.values():
        if isinstance(value, str) and (hidden := without_secrets(value)) != value:
            text = text.replace(json.dumps(value)[1:-1], json.dumps(hidden)[1:-1])
    return text


@contextmanager
def _stopping(debug: bool) -> Iterator[None]:
    """End the block on SIGTERM as on Ctrl-C, and the process soon after in any case.

    What libraries then say of the workers that they lose is of no use, but with `debug`.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if not debug:
            for handler in (own for name in _LIBRARIES for own in logging.getLogger(name).handlers):
                handler.addFilter(lambda record: False)
        if number == signal.SIGTERM:
            timer = threading.Timer(_SECONDS_TO_STOP, os._exit, [128 + number])
            timer.daemon = True
            timer.start()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if before[signal.SIGINT] is not signal.default_int_handler:
        del before[signal.SIGINT]  # a job started in the background may ignore it
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _places(options: dict[str, Any]) -> list[Path | str]:
    """Return all values of options that may be paths."""
    values = [value if isinstance(value, tuple) else (value,) for value in options.values()]
    return [one for some in values for one in some if isinstance(one, Path | str)]


def _refuse_urls(options: dict[str, Any]) -> None:
    """Refuse a URL in place of a path, which would otherwise be a folder named ``s3:``."""
    for value in options.values():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and re.match("[a-z][a-z0-9+]+:/", str(path)):
                raise InputError(
                    f"{str(path).replace(':/', '://', 1)}: a path is wanted here, not a URL; copy "
                    "from there first, or there afterwards, such as with `aws s3 cp --recursive`"
                )


def _log_to_stderr(debug: bool) -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=debug, rich_tracebacks=debug)
    handler.setFormatter(_PlainFormatter("%(message)s"))
    level = logging.INFO if debug else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if not debug:
        handler.addFilter(_is_for_users)


class _PlainFormatter(logging.Formatter):
    """Takes out of a line what a terminal would obey, and secrets: it may name a file or a URL."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return harmless(without_secrets(super().formatMessage(record)), "\n")


def _is_for_users(record: logging.LogRecord) -> bool:
    """Whether a line in the log is not of a library: their errors reach the job as exceptions.

    What Dask and Bokeh say else is of lost connections: of a closed browser tab, or at the end.
    """
    return record.name.partition(".")[0] not in _LIBRARIES


@contextmanager
def _telling_of_compiling() -> Iterator[Callable[[], float]]:
    """Say why a job takes long at first, when this process begins to compile.

    Yields
    ------
    callable
        Returns the seconds that compiling has taken since.
    """
    before = compile_seconds()

    def tell() -> None:
        CLOCK.listeners.clear()  # once is enough
        say("compiling, once; `mfdask warmup` does it ahead of all jobs")

    CLOCK.listeners[:] = [tell]
    try:
        yield lambda: compile_seconds() - before
    finally:
        CLOCK.listeners.clear()


def compiling_row(seconds: float) -> dict[str, str]:
    """Return the row of a table of facts that tells of compiling, if there was any."""
    return {"compiling, once": f"{seconds:.1f} seconds"} if seconds else {}


def worth_starting(cluster: ClusterConfig, n_ratings: int) -> ClusterConfig | None:
    """Return a cluster, or None if the job is done in this process before one has started."""
    return cluster if cluster.pays_for(n_ratings) else None


class Running:
    """Cluster and progress of a running job, and its cost at the end.

    Attributes
    ----------
    progress : Progress
        Shown as bars.
    client : distributed.Client or None
        Of the cluster, if one was started.
    seconds : float
        Without those of compiling.
    compile_seconds : float
        In this process, and in the worker that took longest.
    peak_bytes : int
        Most resident memory of this process and all its children.
    """

    def __init__(self, parts: ExitStack) -> None:
        self._parts = parts
        self.client: Client | None = None
        self.progress: Progress
        self.seconds = 0.0
        self.compile_seconds = 0.0
        self.peak_bytes = 0

    def start(self, cluster: ClusterConfig) -> Client:
        """Start or join a cluster until the block ends, and say where its dashboard is."""
        self.client = client = self._parts.enter_context(open_cluster(cluster))
        if not is_compiled("rows._solve_together"):
            CLOCK.tell()  # the workers are about to
        if link := dashboard_link(client):
            say(f"Dask dashboard: {link}")
        return client

    @property
    def cost(self) -> dict[str, Any]:
        """What it has taken, for `--json`."""
        return {
            "seconds": self.seconds,
            "compile_seconds": self.compile_seconds,
            "peak_memory_bytes": self.peak_bytes,
        }

    def last_rows(self, what: str, place: Path | str) -> dict[str, str]:
        """Return the rows that a table of facts ends with: the cost, and where `what` lies."""
        return {
            "seconds": f"{self.seconds:.1f}",
            **compiling_row(self.compile_seconds),
            "peak memory": mebibytes(self.peak_bytes),
            what: str(place),
        }


@contextmanager
def running(cluster: ClusterConfig | None = None) -> Iterator[Running]:
    """Measure the block's time and memory and show its progress; on a cluster, if one is named."""
    compiled = compile_seconds()
    with timed() as whole, PeakMemory() as memory, ExitStack() as parts:
        run = Running(parts)
        if cluster is not None:
            run.start(cluster)
        run.progress = parts.enter_context(progress_bars())
        yield run
    run.compile_seconds = compile_seconds() - compiled
    run.seconds, run.peak_bytes = whole.seconds, memory.bytes


@dataclass
class Timed:
    """The seconds of a block of code, without those of compiling."""

    seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Timed]:
    """Measure a block of code."""
    found, began, compiled = Timed(), time.perf_counter(), compile_seconds()
    yield found
    taken = time.perf_counter() - began - (compile_seconds() - compiled)
    found.seconds = max(taken, 0.0)
