"""Run a night, from taking the lock to its line in `runs.jsonl`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from distributed import Client

from mfdask.errors import MfdaskError, NoSpaceError
from mfdask.files import is_of_a_full_disk
from mfdask.memory import PeakMemory
from mfdask.nightly import journal
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.downstream import check_jobs
from mfdask.nightly.hooks import run_hook
from mfdask.nightly.metrics import write_metrics
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.start import base_of, begin, next_run
from mfdask.nightly.state import State
from mfdask.nightly.steps import STEPS, Night
from mfdask.nightly.watchdog import ended_after
from mfdask.progress import Progress, silent

_LOG = logging.getLogger(__name__)


def run_night(
    config: NightlyConfig,
    *,
    client: Client | None = None,
    wait_seconds: float = 0.0,
    progress: Progress = silent,
) -> journal.Line:
    """Run one night, or go on with the one that was broken off.

    Parameters
    ----------
    config : NightlyConfig
    client : distributed.Client, optional
        A cluster to work on; without one it is started as `config` says, and only if needed.
    wait_seconds : float
        How long to wait for another night to end.
    progress : Progress, optional

    Returns
    -------
    dict
        The run's line of `runs.jsonl`; its `status` says how it ended.

    Raises
    ------
    RefusedError
        If another night runs, memory or disk would not do, or the night took too long.
    InputError
        If data or configuration are at fault.
    """
    check_jobs(config.downstream)
    home = NightlyPaths(config.home)
    with home.alone(wait_seconds):
        unbegun = State.load(home.state) or State(next_run(home), "", None)
        limit = ended_after(60 * config.timeout_minutes, str(home.root))
        with limit as over, ExitStack() as stack:
            night = Night(config, home, unbegun, None, progress, stack, client)
            try:
                home.prepare(night.inbox, (*config.trainings, "data"))
                night.state = begin(config, home)
                night.base = base_of(night.state, home)
                for name, step in STEPS.items():
                    _run_step(night, name, step)
            except BaseException as error:
                with suppress(OSError):  # of a full disk, too: what ended the run is what counts
                    _report(night, *_ending(error, over.is_set()))
                told = _explained(error, night)
                if told is not error:
                    raise told from error
                raise
            return _report(night, night.state.facts["outcome"], night.reason)


def _run_step(night: Night, name: str, step: Callable[[Night], None]) -> None:
    """Run a step, unless an earlier start has finished it, and note what it took."""
    state = night.state
    if name in state.done:
        return
    began = time.perf_counter()
    with PeakMemory() as memory:
        step(night)
    state.seconds[name] = time.perf_counter() - began
    state.memory[name] = memory.bytes
    state.done.append(name)
    state.save(night.home.state)


def _ending(error: BaseException, is_too_long: bool) -> tuple[str, str]:
    if is_too_long:
        return "failed", "it took longer than timeout_minutes"
    if not isinstance(error, Exception):
        return "interrupted", "stopped by Ctrl-C or SIGTERM; the next start goes on"
    return "failed", " ".join(f"{type(error).__name__}: {error}".split())


def _explained(error: BaseException, night: Night) -> BaseException:
    """Return what a user makes of a full disk: where it is, and what is published."""
    if not is_of_a_full_disk(error):
        return error
    place, state = getattr(error, "filename", None) or night.home.root, night.state
    told = NoSpaceError(f"{place}: no space left on the disk; free some, the next start goes on")
    if "publish" in state.done and state.facts["outcome"] == "published":
        return MfdaskError(f"run {state.run}: {state.facts['version']} is published, but {told}")
    return told


def _report(night: Night, status: str, reason: str) -> journal.Line:
    """Write the run's line, the metrics, and call the hook; a run that ended is forgotten."""
    state, home = night.state, night.home
    facts = {name: fact for name, fact in state.facts.items() if name not in ("outcome", "known")}
    line: journal.Line = {
        "run": state.run,
        "status": status,
        "reason": reason,
        "version": None,
        **facts,
        "ended": journal.now(),
        "before": state.before,
        "files": [arrival.name for arrival in night.taken],
        "seconds": state.seconds,
        "memory_bytes": state.memory,
    }
    lines = journal.read(home.journal)
    known = lines and lines[-1]["run"] == state.run and lines[-1]["status"] == status
    if status in journal.FINAL and known:  # killed behind this very place
        line = lines[-1]
    else:
        journal.append(home.journal, line)
    for trouble in (write_metrics(home, night.config.metrics), run_hook(night.config.hooks, line)):
        if trouble:
            _LOG.error(trouble)  # a cluster that is still open silences warnings
    if status in journal.FINAL:
        home.state.unlink(missing_ok=True)
    return line
