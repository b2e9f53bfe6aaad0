"""Run the user's own commands when a night has ended."""

from __future__ import annotations

import json
import shlex
import subprocess

from mfdask.nightly.config import HooksConfig
from mfdask.nightly.journal import Line, is_good


def run_hook(hooks: HooksConfig, line: Line) -> str | None:
    """Run the command for how a run has ended, and return what went wrong with it, if anything.

    The command gets the run's line on standard input. No shell takes part.
    """
    command = hooks.success if is_good(line) else hooks.failure
    if not command.strip():
        return None
    try:
        done = subprocess.run(
            shlex.split(command),
            input=json.dumps(line) + "\n",
            text=True,
            errors="replace",
            capture_output=True,
            timeout=hooks.timeout_seconds,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"hook {command}: {error}"
    return None if done.returncode == 0 else f"hook {command}: exit code {done.returncode}"
