"""Make the environments of the libraries that this one is measured beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from mfdask.bench.peers import FOLDER_VARIABLE, PEERS, make_environments, missing_peer, peers_folder
from mfdask.errors import RefusedError

from .bench_common import measured
from .common import Outcome, job
from .options import PATH
from .terminal import progress_bars, table


@click.command("peers")
@click.option(
    "--setup",
    is_flag=True,
    help="Make the environments anew, with pip; LensKit brings PyTorch, some gigabytes.",
)
@click.option(
    "--into",
    type=PATH,
    metavar="FOLDER",
    help=f"Where they are made; measurements look there where {FOLDER_VARIABLE} names it.  "
    "[default: that, or a folder in the user's cache]",
)
@job
def peers(setup: bool, into: Path | None) -> Outcome:
    """Tell which other libraries can be measured, or --setup an environment for each."""
    if into is not None and not setup:
        raise click.UsageError("--into says where --setup makes the environments: give both")
    folder, made = into or peers_folder(), {}
    if setup:
        with progress_bars() as progress:
            made = make_environments(folder, progress)
    else:
        made = {name: missing_peer(name) for name in PEERS}
    view = table(str(folder), "library", "state")
    for name, trouble in made.items():
        view.add_row(name, trouble or "ready")
    outcome = measured({"folder": str(folder), "peers": made}, view)
    failed = [f"{name}: {trouble}" for name, trouble in made.items() if trouble]
    if not setup or not failed:
        return outcome
    return replace(outcome, trouble=RefusedError(f"not made: {'; '.join(failed)}"))
