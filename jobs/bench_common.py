"""What the commands of `mfdask bench` share: options, and the outcome with its machine."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click
from rich.console import RenderableType

from mfdask.bench.machine import describe_machine
from mfdask.cores import n_cores
from mfdask.ratings.synthetic import NAMED

from .common import Outcome

ROUNDS = click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Rounds; in each, everything is timed once.",
)
RATINGS = click.option(
    "--ratings",
    default=NAMED["32m"].ratings,
    show_default=True,
    type=click.IntRange(1),
    help="Synthetic ratings to make, if no FILE is given.",
)
FACTORS = click.option(
    "--factors",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Length of a factor vector.",
)
THREADS = click.option(
    "--threads",
    default=n_cores(),
    type=click.IntRange(1),
    help="Of either side.  [default: all cores]",
)


def measured(found: dict[str, Any], *views: RenderableType) -> Outcome:
    """Return a result with what every one carries: the command and the machine."""
    arguments = sys.argv[2:] if sys.argv[1:2] == ["bench"] else sys.argv[1:]
    command, machine = shlex.join(["mfdask", "bench", *arguments]), describe_machine()
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    versions = [f"{name} {machine[name]}" for name in ("python", "numpy", "numba", "dask")]
    facts = f"{machine['cores']} cores, {machine['processor']}, {memory}; {', '.join(versions)}"
    values = {"command": command, "machine": machine, **found}
    return Outcome(values, [f"{command}\n{facts}", *views])
