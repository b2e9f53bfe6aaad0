"""Run the user's own commands when a night has ended."""

from __future__ import annotations

import json
import shlex

from mfdask.nightly.config import HooksConfig
from mfdask.nightly.journal import Line, is_good
from mfdask.nightly.processes import run_program


def run_hook(hooks: HooksConfig, line: Line) -> str | None:
    """Run the command for how a run has ended, and return what went wrong with it, if anything.

    The command gets the run's line on standard input. No shell takes part.
    """
    command = hooks.success if is_good(line) else hooks.failure
    if not command.strip():
        return None
    try:
        given = json.dumps(line) + "\n"
        code, _ = run_program(shlex.split(command), hooks.timeout_seconds, given)
    except (OSError, ValueError) as error:  # a timeout is among these
        return f"hook {command}: {error}"
    return f"hook {command}: exit code {code}" if code else None
