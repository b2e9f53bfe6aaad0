"""Run another program in a process group of its own, which ends with its time or with the night."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress


def run_program(
    command: Sequence[str], seconds: float, given: str | None = None
) -> tuple[int, str]:
    """Run a program, and return its exit code and what it wrote to standard error.

    Parameters
    ----------
    command : sequence of str
    seconds : float
        That it may take.
    given : str, optional
        For its standard input.

    Raises
    ------
    TimeoutError
        If it took longer; it has ended then, and whatever else is in its process group.
    OSError
        If it cannot be started.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=_die_with_parent,
    ) as process:
        try:
            _, said = process.communicate(given, timeout=seconds)
        except BaseException as error:  # of an interrupt, too: the terminal's does not reach it
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(f"not done after {seconds:,g} seconds, and ended") from None
            raise
    return process.returncode, said


def _die_with_parent() -> None:
    """Let no job outlive its night, and hold the lock of its tables when the night starts again."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it
    if prctl is not None:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
